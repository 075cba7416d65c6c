"""A training step of few rows through a small net, on the caller's thread alone: the same numbers in the same order.

The passes that threads share cost more here than the arithmetic: they change the floating-point mode for each task, cut
rows and parameters into parts, ask at each node whether to stop, and update layer by layer.
"""
from libc.math cimport isfinite

from fastbp._engine.chain cimport Chain, update_span
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Context
from fastbp._engine.passes.forward_backward cimport load, loss_rows, place_inputs, store
from fastbp._engine.passes.parameters cimport later_stages, no_gradient
from fastbp._engine.plan cimport SHORT_ROWS, Node, Plan, Port, Span

cdef enum:
    SHORT_BYTES = 65536         # of parameters: all gradients, then all updates, from the first-level cache


cdef inline void read_inputs(Plan* plan, bint direct, Py_ssize_t first) noexcept nogil:
    """As `place_inputs`; where layers read the caller's rows, it sets only address and layout of the tensors."""
    cdef Py_ssize_t k
    cdef const Port* port
    if not direct:
        place_inputs(plan, False, first)
        return
    plan.direct = True
    for k in range(plan.n_operands):
        if plan.X_source[k] >= 0:
            port = plan.sources + plan.X_source[k]
            plan.X[k].data = port.array + first * port.value.width * plan.kernels.item
            plan.X[k].pitch, plan.X[k].block = port.value.width, plan.kernels.panel


cdef inline void find_spans(Plan* plan) noexcept:
    """Finds the stretches of the flat vector that a step updates; adjacent ones are merged."""
    cdef Py_ssize_t k
    cdef const Node* node
    plan.n_spans = 0
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.gradient == NULL or node.op.frozen or node.weights < 0:
            continue
        if node.last_of_parameters:
            add_span(plan, node.weights, node.weights + node.weight_rows * node.weight_columns)
        if node.last_of_bias:
            add_span(plan, node.bias, node.bias + node.weight_columns)


cdef inline void add_span(Plan* plan, Py_ssize_t start, Py_ssize_t stop) noexcept:
    cdef Span* last = plan.spans + plan.n_spans - 1
    if plan.n_spans > 0 and last.stop == start:
        last.stop = stop
        return
    plan.spans[plan.n_spans].start, plan.spans[plan.n_spans].stop = start, stop
    plan.n_spans += 1


cdef inline bint is_short(const Plan* plan, int threads) noexcept nogil:
    """Whether a step is a short one."""
    return threads == 1 and plan.small and plan.rows <= SHORT_ROWS and not plan.looks and plan.n_coupled == 0


cdef inline double short_loss(Plan* plan) noexcept nogil:
    """Phase one: every dZ, and the loss."""
    cdef Py_ssize_t k, rows = plan.rows
    cdef const Context* context = plan.contexts
    cdef const Node* node
    cdef Port* port
    cdef double* row_losses
    cdef double total = 0
    if not plan.direct:
        load(plan, plan.order, plan.first, 0, rows)
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.forward != NULL:
            node.op.kind.forward(&node.op, context, 0, rows)
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        port.targets.first, port.targets.order = plan.first, plan.order
        port.scale = plan.kernels.loss_scale(&port.targets, rows)
    plan.scale = plan.sinks.scale if plan.sinks.targets.weighted_mean else 1.0 / <double> rows
    loss_rows(plan, context, 0, rows)
    for k in range(plan.n_nodes - 1, -1, -1):
        node = plan.nodes + k
        if node.live and (plan.inputs_wanted or node.trains):
            node.op.kind.backward(&node.op, context, 0, rows)
    if plan.outputs_wanted:
        store(plan, plan.first, 0, rows)
    for k in range(plan.n_sinks):
        row_losses = plan.row_losses + k * plan.loss_rows
        plan.sinks[k].loss = plan.kernels.sum_losses(row_losses, rows) if rows > 1 else 0.0 + row_losses[0]
        total += plan.sinks[k].loss
    return total


cdef inline bint short_update(Plan* plan) noexcept nogil:
    """Phase two: all gradients, and the update.  False if the update was not finite."""
    cdef Py_ssize_t k
    cdef Node* node
    cdef Context* context = plan.contexts
    cdef bint fine = True
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.gradient == NULL or node.op.frozen or node.weights < 0 and node.op.running_mean == NULL:
            continue
        node.op.adds_gradient, node.op.adds_bias = node.shares_gradient, node.shares_bias
        if node.live:
            node.op.kind.gradient(&node.op, context, plan.rows, 0, node.weight_rows, True)
        else:
            no_gradient(&node.op, 0, node.weight_rows, node.weight_columns, True, plan.kernels.item)
    for k in range(plan.n_spans):
        fine &= update_span(plan.rules, plan.params, plan.grads, plan.spans[k].start, plan.spans[k].stop,
                            context.scratch)
    context.fine = fine
    return fine if plan.rules.n_stages == 1 and plan.n_constrained == 0 else later_stages(plan, 1)


cdef inline int short_step(Plan* plan, Chain chain, bint direct, double lr, double* loss) noexcept nogil:
    """A short step: what `Program.batch_on` does after `begin`."""
    cdef fp_mode mode = flush_subnormals()
    cdef int status = 0
    plan.in_parts = False
    read_inputs(plan, direct, plan.first)
    loss[0] = short_loss(plan)
    if plan.unfit:
        status = 4
    else:
        loss[0] += chain.penalty(plan.params, plan.scale)
        if not isfinite(loss[0]):
            status = 1
        else:
            chain.prepare(lr, loss[0], plan.scale)
            chain.rules.averages_wait = plan.n_constrained > 0
            status = 0 if short_update(plan) else 2
    restore_mode(mode)
    return status
