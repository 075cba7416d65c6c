"""Ops that occur in graphs of tangents only (tangent_graph.py): slopes, winners and 1 / sqrt(x) as separate nodes.

Their backward passes give second derivatives.
"""

cdef inline void times_derivative(const Op* op, const real* Z, const real* Y, const real* A, real* C, Py_ssize_t n,
                                  Py_ssize_t order) noexcept nogil:
    """C = A f^(order)(Z), for order 1 and above; C may be A."""
    if order == 1:
        op.activation.vjp(Z, Y, A, C, n, op.alpha, op.beta)
    elif op.activation.curvature == NULL:
        memset(C, 0, n * sizeof(real))
    elif order == 2:
        op.activation.curvature(Z, Y, A, C, n, op.alpha, op.beta)
    else:
        op.activation.higher(Z, Y, A, C, n, op.alpha, op.beta, <int> order)


cdef void slope_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = f'(Z), or the derivative of order `step`, with Z = X[0] and f(Z) = X[1]."""
    cdef Py_ssize_t block, n
    for n in range(start, stop):
        fill_row(&op.Y, n, 1)
    for block in range(blocks(op.Y.width)):
        times_derivative(op, block_of(op.X, start, block), block_of(&op.X[1], start, block),
                         block_of(&op.Y, start, block), block_of(&op.Y, start, block),
                         numbers_in(&op.Y, start, stop), op.step)

cdef void slope_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dZ = dY f''(Z), or one order above the forward pass: this is the whole derivative, so f(Z) gets none."""
    cdef Py_ssize_t block
    if op.dX[1].data != NULL:
        zero_rows(&op.dX[1], start, stop)
    if op.dX.data == NULL:
        return
    for block in range(blocks(op.Y.width)):
        times_derivative(op, block_of(op.X, start, block), block_of(&op.X[1], start, block),
                         block_of(&op.dY, start, block), block_of(op.dX, start, block),
                         numbers_in(&op.Y, start, stop), op.step + 1)

op_kind(b"slope", slope_forward, slope_backward)


cdef void winner_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = the share of the gradient that a gate with the output X[last] routes to X[first]."""
    cdef Py_ssize_t block, u, i, n = numbers_in(&op.Y, start, stop)
    cdef const real* x
    cdef const real* best
    cdef real* y
    for block in range(blocks(op.Y.width)):
        y, best = block_of(&op.Y, start, block), block_of(&op.X[op.inputs - 1], start, block)
        for i in range(n):
            y[i] = 0
        for u in range(op.inputs - 1):
            x = block_of(&op.X[u], start, block)
            for i in range(n):
                y[i] += <real> (x[i] == best[i])
        x = block_of(&op.X[op.first], start, block)
        for i in range(n):
            y[i] = <real> 1 / y[i] if x[i] == best[i] else 0

cdef void winner_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = 0: which input wins is constant almost everywhere."""
    cdef Py_ssize_t u
    for u in range(op.inputs):
        if op.dX[u].data != NULL:
            zero_rows(&op.dX[u], start, stop)

op_kind(b"winner", winner_forward, winner_backward)


cdef void reciprocal_root_forward(const Op* op, const Context* context, Py_ssize_t start,
                                  Py_ssize_t stop) noexcept nogil:
    """Y = 1 / sqrt(X + alpha)."""
    cdef Py_ssize_t n, j
    for n in range(start, stop):
        for j in range(op.Y.width):
            at(&op.Y, n, j)[0] = <real> (1 / sqrt_double(<double> at(op.X, n, j)[0] + op.alpha))

cdef void reciprocal_root_backward(const Op* op, const Context* context, Py_ssize_t start,
                                   Py_ssize_t stop) noexcept nogil:
    """dX = -Y^3 dY / 2."""
    cdef Py_ssize_t n, j
    cdef real y
    for n in range(start, stop):
        for j in range(op.Y.width):
            y = at(&op.Y, n, j)[0]
            at(op.dX, n, j)[0] = <real> -0.5 * y * y * y * at(&op.dY, n, j)[0]

op_kind(b"reciprocal_root", reciprocal_root_forward, reciprocal_root_backward)
