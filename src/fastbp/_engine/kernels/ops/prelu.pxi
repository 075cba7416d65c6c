"""PReLU, a learned slope: an op and not an entry of the activations, since it has a parameter for each feature."""

cdef inline void slopes_of_block(const Op* op, Py_ssize_t block, real* slopes) noexcept nogil:
    """W[j] for the features of a block, or W[0] for all of them if alpha is 1; 0 beyond the width."""
    cdef Py_ssize_t j, width = width_of(op.Y.width, block)
    cdef const real* W = <const real*> op.W
    memset(slopes, 0, PANEL * sizeof(real))
    for j in range(width):
        slopes[j] = W[0] if op.alpha == 1 else W[block * PANEL + j]


cdef inline void times_slopes(const Op* op, const Tensor* T, const Tensor* P, Py_ssize_t start,
                              Py_ssize_t stop) noexcept nogil:
    """P[n, j] = T[n, j] where X[n, j] > 0, else W[j] T[n, j]."""
    cdef real[64] slopes
    cdef Py_ssize_t block, n, j
    cdef const real* x
    cdef const real* t
    cdef real* p
    for block in range(blocks(P.width)):
        slopes_of_block(op, block, slopes)
        for n in range(start, stop):
            x, t, p = block_of(op.X, n, block), block_of(T, n, block), block_of(P, n, block)
            for j in range(P.pitch):
                p[j] = t[j] * (slopes[j] if x[j] <= 0 else <real> 1)


cdef void prelu_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X where X > 0, else W X; with a second input, the tangent, Y is the slope at X[0] times X[1]."""
    times_slopes(op, &op.X[op.inputs - 1], &op.Y, start, stop)

cdef void prelu_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[last] = dY where X > 0, else W dY; with two inputs X[0] only selects the slope."""
    if op.dX[op.inputs - 1].data != NULL:
        times_slopes(op, &op.dY, &op.dX[op.inputs - 1], start, stop)
    if op.inputs > 1 and op.dX.data != NULL:
        zero_rows(op.dX, start, stop)

cdef void prelu_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                         bint bias) noexcept nogil:
    """dW[j] = sum over n of dY[n, j] X[n, j] where X[n, j] <= 0; also over j if all features share one slope."""
    cdef real[64] sums
    cdef Py_ssize_t block, n, j, width
    cdef real total = 0
    cdef real* dW = <real*> op.dW
    cdef const real* x
    cdef const real* t
    cdef const real* dy
    if start >= stop:
        return
    for block in range(blocks(op.Y.width)):
        width = width_of(op.Y.width, block)
        memset(sums, 0, sizeof(sums))
        for n in range(N):
            x, t, dy = block_of(op.X, n, block), block_of(&op.X[op.inputs - 1], n, block), block_of(&op.dY, n, block)
            for j in range(width):
                sums[j] += dy[j] * t[j] if x[j] <= 0 else 0
        for j in range(width):
            if op.alpha == 1:
                total += sums[j]
            else:
                dW[block * PANEL + j] = (dW[block * PANEL + j] if op.adds_gradient else 0) + sums[j]
    if op.alpha == 1:
        dW[0] = (dW[0] if op.adds_gradient else 0) + total

op_kind(b"prelu", prelu_forward, prelu_backward, prelu_gradient)
