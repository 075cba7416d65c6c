"""Elementwise losses: value and slope of each output in one loop, the curvature below.

Y are outputs, T their targets, C a parameter with one value for each output; d is the error.
"""
cdef inline real magnitude(real x) noexcept nogil:
    return -x if x < 0 else x


cdef inline real sign_of(real x) noexcept nogil:
    """-1, 0 or 1: the slope of |x|, which is 0 at 0."""
    return <real> (x > 0) - <real> (x < 0)


cdef inline real log_of(real x) noexcept nogil:
    """log(x); NaN unless x > 0."""
    return log(x) if x > 0 else <real> NAN


cdef void mse(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
              Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d
    for i in range(whole(n)):
        d = Y[i] - T[i]
        losses[i] = d * d
        dY[i] = d + d

cdef void mse_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        ddY[i] = 2

loss(b"mse", b"d^2, with d = Y - t", mse, mse_curvature)


cdef void mae(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
              Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d
    for i in range(whole(n)):
        d = Y[i] - T[i]
        losses[i] = magnitude(d)
        dY[i] = sign_of(d)

loss(b"mae", b"|d|, with d = Y - t", mae)


cdef void huber(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d, size, inside, delta = <real> numbers[0]
    for i in range(whole(n)):
        d = Y[i] - T[i]
        size = magnitude(d)
        inside = delta if size > delta else size
        losses[i] = inside * (size - <real> 0.5 * inside)
        dY[i] = -inside if d < 0 else inside

cdef void huber_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real delta = <real> numbers[0]
    for i in range(whole(n)):
        ddY[i] = <real> (magnitude(Y[i] - T[i]) <= delta)

cdef Loss* huber_entry = loss(
    b"huber", b"d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = Y - t", huber, huber_curvature)
huber_entry.parameters[0] = Parameter(b"delta", 1, ABOVE_0, INFINITY, NUMBER)


cdef void log_cosh(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                   Py_ssize_t n) noexcept nogil:
    """Near 0 from cosh(d) - 1 = 2 sinh(d / 2)^2, where the other formula would lose digits to cancellation."""
    cdef Py_ssize_t i
    cdef real d, size, e, sinh, near
    for i in range(whole(n)):
        d = Y[i] - T[i]
        size = magnitude(d)
        near = <real> 1.3 if size > <real> 1.3 else size
        e = expm1(<real> 0.5 * near)
        sinh = <real> 0.5 * (e + e / (e + <real> 1))
        losses[i] = log1p_of_unit(<real> 2 * sinh * sinh) if size <= <real> 1.3 else (
            size - <real> 0.6931471805599453 + log1p_of_unit(exp(<real> -2 * size)))
        dY[i] = tanh(d)

cdef void log_cosh_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                             Py_ssize_t n) noexcept nogil:
    """1 - tanh(d)^2 = 4 s (1 - s), with s = sigmoid(2 d)."""
    cdef Py_ssize_t i
    cdef real d
    for i in range(whole(n)):
        d = <real> 2 * (Y[i] - T[i])
        ddY[i] = <real> 4 * sigmoid(d) * sigmoid(-d)

loss(b"log_cosh", b"log(cosh(d)), with d = Y - t", log_cosh, log_cosh_curvature)


cdef void quantile(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                   Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d, slope
    for i in range(whole(n)):
        d = Y[i] - T[i]
        slope = <real> 1 - C[i] if d > 0 else (-C[i] if d < 0 else d)
        losses[i] = slope * d
        dY[i] = slope

cdef Loss* quantile_entry = loss(
    b"quantile", b"q (t - Y) where Y < t, else (1 - q) (Y - t), for each q of the quantiles", quantile)
quantile_entry.parameters[0] = Parameter(b"quantiles", 0.5, ABOVE_0, BELOW_1, HEADS)


cdef void expectile(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                    Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real d, side
    for i in range(whole(n)):
        d = Y[i] - T[i]
        side = <real> 1 - C[i] if d > 0 else C[i]
        losses[i] = side * d * d
        dY[i] = <real> 2 * side * d

cdef void expectile_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                              Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        ddY[i] = <real> 2 * (<real> 1 - C[i] if Y[i] - T[i] > 0 else C[i])

cdef Loss* expectile_entry = loss(
    b"expectile", b"q d^2 where Y < t, else (1 - q) d^2, with d = Y - t, for each q of the expectiles", expectile,
    expectile_curvature)
expectile_entry.parameters[0] = Parameter(b"expectiles", 0.5, ABOVE_0, BELOW_1, HEADS)
