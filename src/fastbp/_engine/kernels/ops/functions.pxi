"""Quotients, powers and logarithms, elementwise, by the rules of IEEE arithmetic.

They are ops and not entries of the activations, since their derivatives are ops of the same kinds: every order exists.
"""

cdef void divide_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X[0] / X[1]."""
    cdef Py_ssize_t block, i
    cdef const real* a
    cdef const real* b
    cdef real* y
    for block in range(blocks(op.Y.width)):
        a, b = block_of(op.X, start, block), block_of(&op.X[1], start, block)
        y = block_of(&op.Y, start, block)
        for i in range(whole(numbers_in(&op.Y, start, stop))):
            y[i] = a[i] / b[i]

cdef void divide_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[0] = dY / X[1], dX[1] = -dY Y / X[1]."""
    cdef Py_ssize_t block, i, n = whole(numbers_in(&op.Y, start, stop))
    cdef const real* b
    cdef const real* y
    cdef const real* dy
    cdef real* dx
    for block in range(blocks(op.Y.width)):
        b, y, dy = block_of(&op.X[1], start, block), block_of(&op.Y, start, block), block_of(&op.dY, start, block)
        if op.dX.data != NULL:
            dx = block_of(op.dX, start, block)
            for i in range(n):
                dx[i] = dy[i] / b[i]
        if op.dX[1].data != NULL:
            dx = block_of(&op.dX[1], start, block)
            for i in range(n):
                dx[i] = -dy[i] * y[i] / b[i]

op_kind(b"divide", divide_forward, divide_backward)


cdef enum:
    MOST_FACTORS = 64           # of a power that is a product: each rounds once; pow takes as long as some 30 factors


cdef inline void whole_powers(const real* X, real* Y, Py_ssize_t n, int exponent) noexcept nogil:
    """Y = X^exponent for exponent >= 0, by squaring; Y is not X."""
    cdef Py_ssize_t i
    cdef int bit = 1
    while 2 * bit <= exponent:
        bit *= 2
    for i in range(n):
        Y[i] = X[i] if exponent > 0 else <real> 1
    bit //= 2
    while bit > 0:
        for i in range(n):
            Y[i] *= Y[i]
        if exponent & bit:
            for i in range(n):
                Y[i] *= X[i]
        bit //= 2


cdef inline void powers(const real* X, real* Y, Py_ssize_t n, double exponent) noexcept nogil:
    """Y = X^exponent; Y is not X."""
    cdef Py_ssize_t i
    cdef double size = exponent if exponent > 0 else -exponent
    if size == 0.5:
        for i in range(n):
            Y[i] = <real> sqrtf(<float> X[i]) if sizeof(real) == 4 else <real> sqrt_double(<double> X[i])
    elif size <= MOST_FACTORS and floor(size) == size:
        whole_powers(X, Y, n, <int> size)
    else:
        for i in range(n):
            Y[i] = <real> pow(<double> X[i], exponent)
        return
    if exponent < 0:
        for i in range(n):
            Y[i] = <real> 1 / Y[i]


cdef void power_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X^alpha."""
    cdef Py_ssize_t block
    for block in range(blocks(op.Y.width)):
        powers(block_of(op.X, start, block), block_of(&op.Y, start, block), whole(numbers_in(&op.Y, start, stop)),
               op.alpha)

cdef void power_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dY alpha X^(alpha - 1); 0 if alpha is 0."""
    cdef Py_ssize_t block, i, n = whole(numbers_in(&op.Y, start, stop))
    cdef real scale = <real> op.alpha
    cdef const real* dy
    cdef real* dx
    if op.alpha == 0:
        zero_rows(op.dX, start, stop)
        return
    for block in range(blocks(op.Y.width)):
        dx, dy = block_of(op.dX, start, block), block_of(&op.dY, start, block)
        powers(block_of(op.X, start, block), dx, n, op.alpha - 1)
        for i in range(n):
            dx[i] *= scale * dy[i]

op_kind(b"power", power_forward, power_backward)


cdef void log_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = log(X): -inf at 0, NaN below."""
    cdef Py_ssize_t block, i
    cdef const real* x
    cdef real* y
    cdef real v
    for block in range(blocks(op.Y.width)):
        x, y = block_of(op.X, start, block), block_of(&op.Y, start, block)
        for i in range(whole(numbers_in(&op.Y, start, stop))):
            v = log(x[i])
            v = <real> -INFINITY if x[i] == 0 else v
            v = <real> NAN if x[i] < 0 else v
            y[i] = <real> INFINITY if x[i] == <real> INFINITY else v

cdef void log_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dY / X."""
    cdef Py_ssize_t block, i
    cdef const real* x
    cdef const real* dy
    cdef real* dx
    for block in range(blocks(op.Y.width)):
        x, dx, dy = block_of(op.X, start, block), block_of(op.dX, start, block), block_of(&op.dY, start, block)
        for i in range(whole(numbers_in(&op.Y, start, stop))):
            dx[i] = dy[i] / x[i]

op_kind(b"log", log_forward, log_backward)
