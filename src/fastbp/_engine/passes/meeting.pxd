"""What a pass asks of Python between two pieces of work: signal handlers, and statistics of the other ranks' rows.

In data parallel training the ranks combine their statistics where a node couples rows.

`Program.meeting` is called between two stages, with the number of the node, the number of rows here, the two statistics
that the stage has ended with, and whether the pass is forward; it returns the two of all rows, and how many these are.
"""
from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memcpy

from fastbp._engine.kernel_table cimport Op
from fastbp._engine.memory cimport address
from fastbp._engine.plan cimport Plan
from fastbp._engine.program cimport Program
from fastbp._engine.signals cimport LOOK_EVERY
from fastbp._engine.thread_choice cimport clock_seconds


cdef inline void look(Plan* plan) noexcept nogil:
    """Looks for signals, if the time has come."""
    if clock_seconds() - plan.looked > LOOK_EVERY:
        run_handlers(plan)


cdef inline void run_handlers(Plan* plan) noexcept with gil:
    """Runs the handlers of signals that have come, in the main thread; what they raise stops the pass."""
    cdef Program program = <Program> plan.owner
    plan.looked = clock_seconds()
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        program.interruption, plan.stopped = error, True


cdef inline void meet(Plan* plan, Py_ssize_t k, bint forward) noexcept with gil:
    cdef Program program = <Program> plan.owner
    cdef const Op* op = &plan.nodes[k].op
    if plan.stopped or plan.failed:
        return
    try:
        meet_at(program, op, k, forward)
    except BaseException as error:
        program.interruption, plan.stopped = error, True


cdef inline void meet_at(Program program, const Op* op, Py_ssize_t k, bint forward) except *:
    """The meeting of batch_norm, which saves a row of numbers each for: mean, 1 / sqrt(variance + alpha), variance,
    mean(dY) and mean(dY Z)."""
    import numpy as np
    cdef Py_ssize_t width = op.Y.width, panel = program.plan.kernels.panel, item = program.plan.kernels.item
    cdef Py_ssize_t length = (width + panel - 1) // panel * panel
    cdef double N = <double> program.plan.rows
    rows = np.empty((5, length), program.dtype)
    cdef void* copy = address(rows, rows.nbytes)
    memcpy(copy, op.saved, 5 * length * item)
    saved = rows[:, :width]
    first, second = (0, 2) if forward else (3, 4)
    here = saved[first].astype(np.float64), saved[second].astype(np.float64)
    saved[first], whole, total = program.meeting(k, N, *here, forward)
    saved[second] = whole
    if forward:
        saved[1] = 1 / np.sqrt(saved[2].astype(np.float64) + op.alpha)
        # The running variance is the unbiased one of all rows; the kernel takes N for their number.
        saved[2] = whole * (total / max(total - 1, 1)) / (N / max(N - 1, 1))
    memcpy(op.saved, copy, 5 * length * item)
