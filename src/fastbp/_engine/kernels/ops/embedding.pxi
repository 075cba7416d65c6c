"""Embedding: rows of a table by their indices, for categorical columns."""

cdef inline Py_ssize_t number_at(const Tensor* X, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    """The row of the table that X[n, c] selects."""
    return <Py_ssize_t> at(X, n, c)[0]


cdef void embedding_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n] = W[X[n, 0]] | W[X[n, 1]] | ..."""
    cdef Py_ssize_t size = op.Y.width // op.X.width, n, c, done, piece
    cdef const real* w
    for n in range(start, stop):
        for c in range(op.X.width):
            w, done = <const real*> op.W + number_at(op.X, n, c) * size, 0
            while done < size:
                piece = least(size - done, PANEL - (c * size + done) % PANEL)
                copy_features(w + done, at(&op.Y, n, c * size + done), piece)
                done += piece

cdef void embedding_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = 0: indices are integers."""
    if op.dX.data != NULL:
        zero_rows(op.dX, start, stop)

cdef void embedding_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                             bint bias) noexcept nogil:
    """dW[i] = the sum of dY[n, c] over all n and c with X[n, c] = i, in this order."""
    cdef Py_ssize_t size = op.Y.width // op.X.width, n, c, i, j, done, piece
    cdef const real* dy
    cdef real* dw
    if not op.adds_gradient:
        memset(<real*> op.dW + start * size, 0, (stop - start) * size * sizeof(real))
    for n in range(N):
        for c in range(op.X.width):
            i = number_at(op.X, n, c)
            dw, done = <real*> op.dW + i * size, size if i < start or i >= stop else 0
            while done < size:
                piece = least(size - done, PANEL - (c * size + done) % PANEL)
                dy = at(&op.dY, n, c * size + done)
                for j in range(piece):
                    dw[done + j] += dy[j]
                done += piece

op_kind(b"embedding", embedding_forward, embedding_backward, embedding_gradient)
