"""The loss of a batch: phase one over all its rows, or in parts of them, with the gradient of each part."""
from fastbp._engine.chain cimport Rules
from fastbp._engine.passes.forward_backward cimport loss_pass, place_inputs, rows_at_once, tell_first
from fastbp._engine.passes.parameters cimport form_gradients
from fastbp._engine.plan cimport Plan, Port


cdef inline void begin_part(Plan* plan, bint direct, Py_ssize_t first, Py_ssize_t rows, int threads) noexcept nogil:
    """Makes the rows of the buffers stand for a part of the caller's rows, from `first` on."""
    cdef Py_ssize_t k
    plan.first, plan.rows = first, rows
    place_inputs(plan, direct, first)
    for k in range(plan.n_sinks):
        plan.sinks[k].targets.first = first
    tell_first(plan, threads)


cdef inline double batch_loss(Plan* plan, bint direct, bint adds, int threads) noexcept nogil:
    """Phase one over the batch; returns the sum of its rows' scaled losses, in the order of the rows.

    Where the batch goes through the buffers in parts, the gradient of each part is formed here (and added to what
    grads held, if `adds`).
    """
    cdef Py_ssize_t k, first = plan.first, N = plan.rows, at_once = rows_at_once(plan, plan.rows)
    cdef Port* port
    cdef double total = 0
    cdef Rules* rules = plan.rules
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        port.targets.first, port.targets.order = plan.first, plan.order
        port.scale = plan.kernels.loss_scale(&port.targets, plan.rows) if plan.scales == NULL else plan.scales[k]
    plan.scale = plan.sinks.scale if plan.sinks.targets.weighted_mean else 1.0 / <double> plan.rows
    plan.in_parts, plan.part = at_once < N and not plan.keeps_rows, 0
    if not plan.in_parts:
        at_once = N
    while plan.part < N and not plan.failed and not plan.stopped and not plan.unfit:
        begin_part(plan, direct, first + plan.part, min(at_once, N - plan.part), threads)
        loss_pass(plan, threads)
        if plan.in_parts and not plan.failed and not plan.stopped and not plan.unfit:
            plan.rules = NULL
            form_gradients(plan, adds or plan.part > 0, threads)
            plan.rules = rules
        plan.part += at_once
    plan.first, plan.rows, plan.part = first, N, 0
    tell_first(plan, threads)
    for k in range(plan.n_sinks):
        plan.sinks[k].loss = plan.kernels.sum_losses(plan.row_losses + k * plan.loss_rows, N)
        total += plan.sinks[k].loss
    return total
