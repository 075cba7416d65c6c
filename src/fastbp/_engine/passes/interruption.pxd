"""Ctrl-C in a long pass: the caller's thread looks for signals between two pieces of work; if a handler raises, all
threads stop.

What the pass has computed so far is thrown away, and no parameter has changed: where phase two takes long, the whole
gradient is formed before the first update; where an optimizer works on large matrices, a copy of what its step changes
is restored.
"""
from fastbp._engine.kernel_table cimport Context
from fastbp._engine.plan cimport Node, Plan
from fastbp._engine.signals cimport OPERATIONS

cdef enum:
    # Rows that run through all layers before the next ones do, so that they stay in the second-level cache.
    BLOCK_ROWS = 512


cdef inline bint stops(const Plan* plan, const Context* context) noexcept nogil:
    """Whether the pass ends here, without a result."""
    if plan.looks and context == plan.contexts and not plan.stopped:
        plan.look(<Plan*> plan)
    return plan.stopped


cdef inline bint asked(const Context* context) noexcept nogil:
    """`stops` for a kernel that takes long by itself: its `Context.stops`."""
    return stops(<const Plan*> context.plan, context)


cdef inline Py_ssize_t rows_of_piece(const Plan* plan) noexcept nogil:
    """Rows between two looks for signals, by the largest layer, but no more than fit the second-level cache."""
    return max(16, min(<Py_ssize_t> BLOCK_ROWS, <Py_ssize_t> (OPERATIONS / (2 * max(plan.products, 1.0)))) // 16 * 16)


cdef inline Py_ssize_t rows_of_thread(const Plan* plan, Py_ssize_t N, int threads) noexcept nogil:
    """The most rows that one thread has of N."""
    cdef Py_ssize_t lanes = plan.kernels.lanes, vectors = (N + lanes - 1) // lanes
    return min(N, lanes * ((vectors + threads - 1) // threads))


cdef inline int pieces_of(const Plan* plan, const Node* node, int of) noexcept nogil:
    """Into how many pieces a thread's slice of a weight gradient is cut."""
    cdef double products = 2.0 * plan.rows * node.weight_rows * node.weight_columns / of
    return <int> min(<double> max(node.weight_rows // of, 1), 1 + products / OPERATIONS) if plan.looks else 1


cdef inline bint long_update(const Plan* plan, int threads) noexcept nogil:
    """Whether the whole gradient is formed first, since forming it may be interrupted or fail."""
    cdef Py_ssize_t k
    for k in range(plan.n_nodes if plan.looks else 0):
        if plan.nodes[k].op.kind.gradient != NULL and pieces_of(plan, plan.nodes + k, threads) > 1:
            return True
    return plan.forms_first
