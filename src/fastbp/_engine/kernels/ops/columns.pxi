"""Ops that move features: concatenate, slice, broadcast, the sum of a row, constants and parameters."""

cdef inline void copy_span(const Tensor* A, Py_ssize_t a, const Tensor* C, Py_ssize_t c, Py_ssize_t width,
                           Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """C[n, c : c + width] = A[n, a : a + width], in pieces that lie within one block of A and one of C."""
    cdef Py_ssize_t n, done = 0, piece
    cdef const real* from_
    cdef real* to
    while done < width:
        piece = least(width - done, least(PANEL - (a + done) % PANEL, PANEL - (c + done) % PANEL))
        from_ = block_of(A, start, (a + done) // PANEL) + (a + done) % PANEL
        to = block_of(C, start, (c + done) // PANEL) + (c + done) % PANEL
        for n in range(stop - start):
            copy_features(from_ + n * A.pitch, to + n * C.pitch, piece)
        done += piece


cdef void concatenate_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X[0] | X[1] | ..."""
    cdef Py_ssize_t u, j = 0
    for u in range(op.inputs):
        copy_span(&op.X[u], 0, &op.Y, j, op.X[u].width, start, stop)
        j += op.X[u].width

cdef void concatenate_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[u] = the columns of dY that belong to X[u]."""
    cdef Py_ssize_t u, j = 0
    for u in range(op.inputs):
        if op.dX[u].data != NULL:
            copy_span(&op.dY, j, &op.dX[u], 0, op.X[u].width, start, stop)
        j += op.X[u].width

op_kind(b"concatenate", concatenate_forward, concatenate_backward)


cdef void slice_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = X[n, first + j step]."""
    cdef Py_ssize_t n, j
    if op.step == 1:
        copy_span(op.X, op.first, &op.Y, 0, op.Y.width, start, stop)
        return
    for n in range(start, stop):
        for j in range(op.Y.width):
            at(&op.Y, n, j)[0] = at(op.X, n, op.first + j * op.step)[0]

cdef void slice_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[n, first + j step] = dY[n, j], else 0."""
    cdef Py_ssize_t n, j
    zero_rows(op.dX, start, stop)
    if op.step == 1:
        copy_span(&op.dY, 0, op.dX, op.first, op.Y.width, start, stop)
        return
    for n in range(start, stop):
        for j in range(op.Y.width):
            at(op.dX, n, op.first + j * op.step)[0] = at(&op.dY, n, j)[0]

op_kind(b"slice", slice_forward, slice_backward)


cdef void broadcast_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = X[n, 0]."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        fill_row(&op.Y, n, at(op.X, n, 0)[0])

cdef void broadcast_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[n, 0] = sum over j of dY[n, j]."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        at(op.dX, n, 0)[0] = row_sum(&op.dY, n)

op_kind(b"broadcast", broadcast_forward, broadcast_backward)


cdef void sum_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, 0] = alpha times the sum over j of X[n, j]."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        at(&op.Y, n, 0)[0] = <real> op.alpha * row_sum(op.X, n)

cdef void sum_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[n, j] = alpha dY[n, 0]."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        fill_row(op.dX, n, <real> op.alpha * at(&op.dY, n, 0)[0])

op_kind(b"sum", sum_forward, sum_backward)


cdef inline void repeat_row(const real* row, const Tensor* C, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """C[n] = row."""
    cdef Py_ssize_t n, block
    for block in range(blocks(C.width)):
        for n in range(start, stop):
            copy_features(row + block * PANEL, block_of(C, n, block), width_of(C.width, block))


cdef void constant_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = alpha, or W[j] if there is a W."""
    cdef Py_ssize_t n
    if op.W != NULL:
        repeat_row(<const real*> op.W, &op.Y, start, stop)
        return
    for n in range(start, stop):
        fill_row(&op.Y, n, <real> op.alpha)

cdef void no_inputs_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    pass

op_kind(b"constant", constant_forward, no_inputs_backward)


cdef void parameter_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n] = W."""
    repeat_row(<const real*> op.W, &op.Y, start, stop)

cdef void parameter_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                             bint bias) noexcept nogil:
    """dW = the sum of dY's rows."""
    cdef Py_ssize_t block
    if start >= stop:
        return
    for block in range(blocks(op.Y.width)):
        sum_rows(&op.dY, block, N, <real*> op.dW + block * PANEL, op.adds_gradient)

op_kind(b"parameter", parameter_forward, no_inputs_backward, parameter_gradient)
