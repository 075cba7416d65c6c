"""Gates: ops that merge nodes of one width, elementwise.

Gates differ in what they do with the gradient: Add distributes it, Maximum routes it to the largest input (a tie is
split evenly), Multiply scales each input's gradient by the other inputs.  Nodes of width 1 go through a broadcast op
first, so every input here has Y's layout in memory.
"""

cdef inline void scale_stretch(const real* A, real* C, Py_ssize_t n, real scale) noexcept nogil:
    """C = scale A."""
    cdef Py_ssize_t i
    if scale == 1:
        memcpy(C, A, n * sizeof(real))
        return
    for i in range(n):
        C[i] = scale * A[i]


cdef void affine_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = alpha X + beta."""
    cdef Py_ssize_t block, i
    cdef real scale = <real> op.alpha, shift = <real> op.beta
    cdef const real* x
    cdef real* y
    for block in range(blocks(op.Y.width)):
        x, y = block_of(op.X, start, block), block_of(&op.Y, start, block)
        for i in range(numbers_in(&op.Y, start, stop)):
            y[i] = scale * x[i] + shift

cdef void affine_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = alpha dY."""
    cdef Py_ssize_t block
    for block in range(blocks(op.Y.width)):
        scale_stretch(block_of(&op.dY, start, block), block_of(op.dX, start, block),
                      numbers_in(&op.Y, start, stop), <real> op.alpha)

op_kind(b"affine", affine_forward, affine_backward)


cdef void add_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = alpha (X[0] + X[1] + ...)."""
    cdef Py_ssize_t block, u, i, n = numbers_in(&op.Y, start, stop)
    cdef real scale = <real> op.alpha
    cdef const real* x
    cdef real* y
    for block in range(blocks(op.Y.width)):
        y = block_of(&op.Y, start, block)
        memcpy(y, block_of(op.X, start, block), n * sizeof(real))
        for u in range(1, op.inputs):
            x = block_of(&op.X[u], start, block)
            for i in range(n):
                y[i] += x[i]
        if scale != 1:
            for i in range(n):
                y[i] *= scale

cdef void add_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[u] = alpha dY: the gradient is distributed."""
    cdef Py_ssize_t u, block
    for u in range(op.inputs):
        if op.dX[u].data != NULL:
            for block in range(blocks(op.Y.width)):
                scale_stretch(block_of(&op.dY, start, block), block_of(&op.dX[u], start, block),
                              numbers_in(&op.Y, start, stop), <real> op.alpha)

op_kind(b"add", add_forward, add_backward)


cdef void subtract_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X[0] - X[1]."""
    cdef Py_ssize_t block, i
    cdef const real* a
    cdef const real* b
    cdef real* y
    for block in range(blocks(op.Y.width)):
        a, b = block_of(op.X, start, block), block_of(&op.X[1], start, block)
        y = block_of(&op.Y, start, block)
        for i in range(numbers_in(&op.Y, start, stop)):
            y[i] = a[i] - b[i]

cdef void subtract_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[0] = dY, dX[1] = -dY."""
    cdef Py_ssize_t u, block
    for u in range(2):
        if op.dX[u].data != NULL:
            for block in range(blocks(op.Y.width)):
                scale_stretch(block_of(&op.dY, start, block), block_of(&op.dX[u], start, block),
                              numbers_in(&op.Y, start, stop), <real> (1 - 2 * u))

op_kind(b"subtract", subtract_forward, subtract_backward)


cdef inline void multiply_into(real* product, const Op* op, Py_ssize_t first, Py_ssize_t but, Py_ssize_t block,
                               Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """product *= X[first] X[first + 1] ..., without X[but]."""
    cdef Py_ssize_t u, i
    cdef const real* x
    for u in range(first, op.inputs):
        if u != but:
            x = block_of(&op.X[u], start, block)
            for i in range(n):
                product[i] *= x[i]

cdef void multiply_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X[0] X[1] ..."""
    cdef Py_ssize_t block, n = numbers_in(&op.Y, start, stop)
    cdef real* y
    for block in range(blocks(op.Y.width)):
        y = block_of(&op.Y, start, block)
        memcpy(y, block_of(op.X, start, block), n * sizeof(real))
        multiply_into(y, op, 1, -1, block, start, n)

cdef void multiply_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[u] = dY times all X except X[u]: the quotient Y / X[u] would fail at 0."""
    cdef Py_ssize_t u, block, n = numbers_in(&op.Y, start, stop)
    cdef real* dx
    for u in range(op.inputs):
        if op.dX[u].data == NULL:
            continue
        for block in range(blocks(op.Y.width)):
            dx = block_of(&op.dX[u], start, block)
            memcpy(dx, block_of(&op.dY, start, block), n * sizeof(real))
            multiply_into(dx, op, 0, u, block, start, n)

op_kind(b"multiply", multiply_forward, multiply_backward)


cdef inline void extreme_rows(const Op* op, Py_ssize_t start, Py_ssize_t stop, real sign) noexcept nogil:
    """Y = the input for which sign X is largest; NaN stays NaN."""
    cdef Py_ssize_t block, u, i, n = numbers_in(&op.Y, start, stop)
    cdef const real* x
    cdef real* y
    for block in range(blocks(op.Y.width)):
        y = block_of(&op.Y, start, block)
        memcpy(y, block_of(op.X, start, block), n * sizeof(real))
        for u in range(1, op.inputs):
            x = block_of(&op.X[u], start, block)
            for i in range(n):
                y[i] = x[i] if (sign * x[i] > sign * y[i]) | (x[i] != x[i]) else y[i]

cdef void extreme_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[u] = dY / (number of inputs that equal Y) where X[u] = Y, else 0: the gradient goes to the winners."""
    cdef Py_ssize_t block, chunk, first, u, i, n = numbers_in(&op.Y, start, stop), m
    cdef real[256] winners
    cdef const real* x
    cdef const real* y
    cdef const real* dy
    cdef real* dx
    for block in range(blocks(op.Y.width)):
        for chunk in range(parts(n, 256)):
            first = chunk * 256
            m, y, dy = least(256, n - first), block_of(&op.Y, start, block), block_of(&op.dY, start, block)
            for i in range(m):
                winners[i] = 0
            for u in range(op.inputs):
                x = block_of(&op.X[u], start, block)
                for i in range(m):
                    winners[i] += <real> (x[first + i] == y[first + i])
            for u in range(op.inputs):
                if op.dX[u].data == NULL:
                    continue
                x, dx = block_of(&op.X[u], start, block), block_of(&op.dX[u], start, block)
                for i in range(m):
                    dx[first + i] = dy[first + i] / winners[i] if x[first + i] == y[first + i] else 0


cdef void maximum_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = max(X[0], X[1], ...)."""
    extreme_rows(op, start, stop, 1)

op_kind(b"maximum", maximum_forward, extreme_backward)


cdef void minimum_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = min(X[0], X[1], ...)."""
    extreme_rows(op, start, stop, -1)

op_kind(b"minimum", minimum_forward, extreme_backward)
