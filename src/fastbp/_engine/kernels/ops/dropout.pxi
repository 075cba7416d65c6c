"""Dropout: masks drawn by counters."""

cdef inline void mask_rows(const Op* op, const Context* context, const Tensor* A, const Tensor* C, Py_ssize_t start,
                           Py_ssize_t stop) noexcept nogil:
    """C[n, j] = A[n, j] / (1 - rate) or 0, by a draw that (seed, step, node, row, feature) determine."""
    cdef uint32_t key
    cdef uint32_t kept_below = <uint32_t> ((1 - op.alpha) * 4294967295.0)
    cdef real scale = <real> (1 / (1 - op.alpha)), zero = 0
    cdef Py_ssize_t n, block, k
    cdef const real* a
    cdef real* c
    for n in range(start, stop):
        key = row_key(op, context, n)
        for block in range(blocks(C.width)):
            a, c = block_of(A, n, block), block_of(C, n, block)
            for k in range(C.pitch):
                c[k] = a[k] * (scale if draw(key, block * PANEL + k) <= kept_below else zero)


cdef void dropout_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X M / (1 - rate) in training, with M = 1 with probability 1 - rate; else Y = X."""
    if context.training:
        mask_rows(op, context, op.X, &op.Y, start, stop)
    else:
        copy_rows(op.X, &op.Y, start, stop)

cdef void dropout_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dY M / (1 - rate) with the same M, drawn again; else dX = dY."""
    if context.training:
        mask_rows(op, context, &op.dY, op.dX, start, stop)
    else:
        copy_rows(&op.dY, op.dX, start, stop)

op_kind(b"dropout", dropout_forward, dropout_backward)
