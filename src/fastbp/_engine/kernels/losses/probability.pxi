"""Losses of outputs that stand for a probability, a side or a rate: logits, margins, logarithms of means.

Built like regression.pxi.  For a logit x the kernels use e = exp(-|x|), which cannot overflow: the logarithms of
1 + exp(x) and 1 + exp(-x), and both probabilities p and q = 1 - p, come from it without cancellation.
"""

cdef struct Odds:
    # Of a logit: the probabilities p of class 1 and q of class 0, -log p and -log q.
    real p, q, minus_log_p, minus_log_q


cdef inline Odds odds(real x) noexcept nogil:
    cdef Odds o
    cdef real e = exp(-magnitude(x)), larger = <real> 1 / (<real> 1 + e), smaller = e * larger
    cdef real rest = log1p_of_unit(e)
    o.p, o.q = smaller if x < 0 else larger, larger if x < 0 else smaller
    o.minus_log_p, o.minus_log_q = rest - x if x < 0 else rest, rest if x < 0 else rest + x
    return o


cdef void binary_cross_entropy(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                               Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real ones, zeros, kept = <real> (1 - numbers[1]), moved = <real> (numbers[1] / 2)
    cdef Odds o
    for i in range(whole(n)):
        o = odds(Y[i])
        ones = kept * T[i] + moved
        zeros = <real> 1 - ones
        ones = ones * C[i]
        losses[i] = ones * o.minus_log_p + zeros * o.minus_log_q
        dY[i] = zeros * o.p - ones * o.q

cdef void binary_cross_entropy_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real ones, kept = <real> (1 - numbers[1]), moved = <real> (numbers[1] / 2)
    cdef Odds o
    for i in range(whole(n)):
        o = odds(Y[i])
        ones = kept * T[i] + moved
        ddY[i] = (<real> 1 - ones + ones * C[i]) * o.p * o.q

cdef Loss* binary_cross_entropy_entry = loss(
    b"binary_cross_entropy", b"-w t log p - (1 - t) log (1 - p), with p = sigmoid(Y) and w = pos_weight",
    binary_cross_entropy, binary_cross_entropy_curvature)
binary_cross_entropy_entry.low, binary_cross_entropy_entry.high = 0, 1
binary_cross_entropy_entry.parameters[0] = Parameter(b"pos_weight", 1, 0, INFINITY, EACH_OUTPUT)
binary_cross_entropy_entry.parameters[1] = Parameter(b"label_smoothing", 0, 0, BELOW_1, NUMBER)


cdef void focal(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                Py_ssize_t n) noexcept nogil:
    """q^gamma is exp(-gamma (-log q)): no call of pow, and no logarithm of a rounded q."""
    cdef Py_ssize_t i
    cdef real gamma = <real> numbers[0], alpha = <real> numbers[1], ones, zeros
    cdef Odds o
    for i in range(whole(n)):
        o = odds(Y[i])
        ones = alpha * T[i] * exp(-gamma * o.minus_log_q)
        zeros = (<real> 1 - alpha) * (<real> 1 - T[i]) * exp(-gamma * o.minus_log_p)
        losses[i] = ones * o.minus_log_p + zeros * o.minus_log_q
        dY[i] = zeros * (gamma * o.q * o.minus_log_q + o.p) - ones * (gamma * o.p * o.minus_log_p + o.q)

cdef void focal_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real gamma = <real> numbers[0], alpha = <real> numbers[1], ones, zeros
    cdef Odds o
    for i in range(whole(n)):
        o = odds(Y[i])
        ones = alpha * T[i] * exp(-gamma * o.minus_log_q)
        zeros = (<real> 1 - alpha) * (<real> 1 - T[i]) * exp(-gamma * o.minus_log_p)
        ddY[i] = (
            ones * o.p * (gamma * (gamma * o.p - o.q) * o.minus_log_p + (<real> 2 * gamma + <real> 1) * o.q)
            + zeros * o.q * (gamma * (gamma * o.q - o.p) * o.minus_log_q + (<real> 2 * gamma + <real> 1) * o.p))

cdef Loss* focal_entry = loss(
    b"focal", b"-a t (1 - p)^gamma log p - (1 - a) (1 - t) p^gamma log (1 - p), with p = sigmoid(Y) and a = alpha",
    focal, focal_curvature)
focal_entry.low, focal_entry.high = 0, 1
focal_entry.parameters[0] = Parameter(b"gamma", 2, 0, INFINITY, NUMBER)
focal_entry.parameters[1] = Parameter(b"alpha", 0.25, 0, 1, NUMBER)


cdef void hinge(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real side, missing
    for i in range(whole(n)):
        side = <real> 1 if T[i] > 0 else <real> -1
        missing = <real> 1 - side * Y[i]
        losses[i] = 0 if missing <= 0 else missing
        dY[i] = 0 if missing <= 0 else -side

cdef Loss* hinge_entry = loss(b"hinge", b"max(0, 1 - s Y), with the side s = -1 or 1 (a target of 0 means -1)", hinge)
hinge_entry.low, hinge_entry.high = -1, 1
hinge_entry.whole = True


cdef void squared_hinge(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                        Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef real side, missing
    for i in range(whole(n)):
        side = <real> 1 if T[i] > 0 else <real> -1
        missing = <real> 1 - side * Y[i]
        missing = 0 if missing <= 0 else missing
        losses[i] = missing * missing
        dY[i] = <real> -2 * side * missing

cdef void squared_hinge_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        ddY[i] = <real> 2 * <real> ((Y[i] if T[i] > 0 else -Y[i]) < 1)

cdef Loss* squared_hinge_entry = loss(
    b"squared_hinge", b"max(0, 1 - s Y)^2, with the side s = -1 or 1 (a target of 0 means -1)", squared_hinge,
    squared_hinge_curvature)
squared_hinge_entry.low, squared_hinge_entry.high = -1, 1
squared_hinge_entry.whole = True


cdef void poisson(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint logs = numbers[0] != 0
    cdef real eps = <real> numbers[1], m
    for i in range(whole(n)):
        m = exp(Y[i]) if logs else Y[i]
        losses[i] = m - T[i] * (Y[i] if logs else log_of(m + eps))
        dY[i] = m - T[i] if logs else <real> 1 - T[i] / (m + eps)

cdef void poisson_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint logs = numbers[0] != 0
    cdef real m, eps = <real> numbers[1]
    for i in range(whole(n)):
        m = Y[i] + eps
        ddY[i] = exp(Y[i]) if logs else T[i] / (m * m)

cdef Loss* poisson_entry = loss(
    b"poisson", b"m - t log m, with the mean m = exp(Y), or Y + eps without log_input", poisson, poisson_curvature)
poisson_entry.low, poisson_entry.high = 0, INFINITY
poisson_entry.parameters[0] = Parameter(b"log_input", 1, 0, 1, FLAG)
poisson_entry.parameters[1] = Parameter(b"eps", 1e-8, 0, 1, NUMBER)


cdef void gamma(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint logs = numbers[0] != 0
    cdef real eps = <real> numbers[1], m, ratio
    for i in range(whole(n)):
        m = Y[i] + eps
        ratio = T[i] * exp(-Y[i]) if logs else T[i] / m
        losses[i] = ratio + (Y[i] if logs else log_of(m))
        dY[i] = <real> 1 - ratio if logs else (<real> 1 - ratio) / m

cdef void gamma_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                          Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint logs = numbers[0] != 0
    cdef real eps = <real> numbers[1], m
    for i in range(whole(n)):
        m = Y[i] + eps
        ddY[i] = T[i] * exp(-Y[i]) if logs else (<real> 2 * T[i] / m - <real> 1) / (m * m)

cdef Loss* gamma_entry = loss(
    b"gamma", b"log m + t / m, with the mean m = exp(Y), or Y + eps without log_input", gamma, gamma_curvature)
gamma_entry.low, gamma_entry.high = ABOVE_0, INFINITY
gamma_entry.parameters[0] = Parameter(b"log_input", 1, 0, 1, FLAG)
gamma_entry.parameters[1] = Parameter(b"eps", 1e-8, 0, 1, NUMBER)


cdef void tweedie(operand Y, operand T, operand C, const double* numbers, result losses, real* dY,
                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint logs = numbers[1] != 0
    cdef real first = <real> (1 - numbers[0]), second = <real> (2 - numbers[0]), eps = <real> numbers[2], x, a, b
    for i in range(whole(n)):
        x = Y[i] if logs else log_of(Y[i] + eps)
        a, b = T[i] * exp(first * x), exp(second * x)
        losses[i] = b / second - a / first
        dY[i] = b - a if logs else (b - a) / (Y[i] + eps)

cdef void tweedie_curvature(operand Y, operand T, operand C, const double* numbers, real* ddY,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint logs = numbers[1] != 0
    cdef real power = <real> numbers[0], first = <real> (1 - numbers[0]), second = <real> (2 - numbers[0])
    cdef real eps = <real> numbers[2], x, a, b, m
    for i in range(whole(n)):
        m = Y[i] + eps
        x = Y[i] if logs else log_of(m)
        a, b = T[i] * exp(first * x), exp(second * x)
        ddY[i] = second * b - first * a if logs else (first * b + power * a) / (m * m)

cdef Loss* tweedie_entry = loss(
    b"tweedie",
    b"m^(2 - p) / (2 - p) - t m^(1 - p) / (1 - p), with p = power and the mean m = exp(Y), or Y + eps without "
    b"log_input", tweedie, tweedie_curvature)
tweedie_entry.low, tweedie_entry.high = 0, INFINITY
tweedie_entry.parameters[0] = Parameter(b"power", 1.5, 1 + 2.0 ** -52, 2 - 2.0 ** -52, NUMBER)
tweedie_entry.parameters[1] = Parameter(b"log_input", 1, 0, 1, FLAG)
tweedie_entry.parameters[2] = Parameter(b"eps", 1e-8, 0, 1, NUMBER)
