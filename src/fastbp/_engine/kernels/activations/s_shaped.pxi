"""Activations that are bounded or saturate fast on one side: S-shaped ones and the bell."""

cdef real SETTLED = <real> (1LL << 60)     # beyond it z + 1 rounds to z


cdef void sigmoid_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = sigmoid(Z[i])

cdef void sigmoid_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                      double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] * (<real> 1 - Y[i]))

cdef void sigmoid_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                            double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] * (<real> 1 - Y[i]) * (<real> 1 - <real> 2 * Y[i]))

cdef void sigmoid_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                         int order) noexcept nogil:
    cdef Py_ssize_t i
    if order == 3:
        for i in range(whole(n)):
            dZ[i] = dY[i] * sigmoid_order(Y[i], <real> 1 - Y[i], 3)
        return
    for i in range(whole(n)):
        dZ[i] = dY[i] * sigmoid_order(Y[i], <real> 1 - Y[i], order)

cdef Activation* sigmoid_entry = activation(
    b"sigmoid", b"1 / (1 + exp(-z))", sigmoid_value, sigmoid_vjp, sigmoid_curvature)
sigmoid_entry.synonyms = b"logistic"
sigmoid_entry.bound, sigmoid_entry.low, sigmoid_entry.high = 0.25, 0.0126606, 0.9873394
sigmoid_entry.higher = <HigherKernel> sigmoid_higher


cdef void log_sigmoid_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = (Z[i] if Z[i] < 0 else 0) - log1p_of_unit(exp(Z[i] if Z[i] < 0 else -Z[i]))

cdef void log_sigmoid_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                          double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = -dY[i] * expm1(within(Y[i], -40, 0))

cdef void log_sigmoid_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                                double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = -expm1(within(Y[i], -40, 0))
        dZ[i] = dY[i] * (s * (s - <real> 1))

cdef void log_sigmoid_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                             int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real shut
    for i in range(whole(n)):
        shut = -expm1(within(Y[i], -40, 0))
        dZ[i] = -dY[i] * sigmoid_order(<real> 1 - shut, shut, order - 1)

cdef Activation* log_sigmoid_entry = activation(
    b"log_sigmoid", b"log(1 / (1 + exp(-z)))", log_sigmoid_value, log_sigmoid_vjp, log_sigmoid_curvature)
log_sigmoid_entry.synonyms = b"logsigmoid"
log_sigmoid_entry.low, log_sigmoid_entry.high = -INFINITY, -0.0512933
log_sigmoid_entry.higher = <HigherKernel> log_sigmoid_higher


cdef void tanh_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = tanh(Z[i])

cdef void tanh_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> 1 - Y[i] * Y[i])

cdef void tanh_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> -2 * Y[i] * (<real> 1 - Y[i] * Y[i]))

cdef void tanh_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                      int order) noexcept nogil:
    cdef Py_ssize_t i
    if order == 3:
        for i in range(whole(n)):
            dZ[i] = dY[i] * tanh_order(Y[i], 3)
        return
    for i in range(whole(n)):
        dZ[i] = dY[i] * tanh_order(Y[i], order)

cdef void tanh_slopes(operand Z, operand Y, result s, result c, result h, Py_ssize_t n, double alpha,
                      double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real v
    for i in range(whole(n)):
        v = <real> 1 - Y[i] * Y[i]
        s[i], c[i] = v, <real> -2 * Y[i] * v
        h[i] = v * (<real> 4 - <real> 6 * v)

cdef Activation* tanh_entry = activation(b"tanh", b"tanh(z)", tanh_value, tanh_vjp, tanh_curvature)
tanh_entry.synonyms = b"sigmoid_symmetric"
tanh_entry.low, tanh_entry.high = -0.9746794, 0.9746794
tanh_entry.higher, tanh_entry.slopes = <HigherKernel> tanh_higher, <SlopesKernel> tanh_slopes


cdef void softsign_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -SETTLED, SETTLED)
        Y[i] = z / (<real> 1 + absolute(z))

cdef void softsign_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                       double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 1 - absolute(Y[i])
        dZ[i] = dY[i] * (s * s)

cdef void softsign_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                             double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 1 - absolute(Y[i])
        dZ[i] = dY[i] * ((<real> -2 if Y[i] > 0 else <real> 2) * s * s * s)

cdef void softsign_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                          int order) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * reciprocal_order(<real> 1 - absolute(Y[i]), Y[i] > 0, order)

cdef Activation* softsign_entry = activation(
    b"softsign", b"z / (1 + |z|)", softsign_value, softsign_vjp, softsign_curvature)
softsign_entry.synonyms = b"elliot_symmetric"
softsign_entry.low, softsign_entry.high = -0.7763932, 0.7763932
softsign_entry.higher = <HigherKernel> softsign_higher


cdef void elliot_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 0.5 / (<real> 1 + absolute(Z[i]))
        Y[i] = <real> 1 - s if Z[i] > 0 else s

cdef void elliot_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                     double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 1 - Y[i] if Y[i] > <real> 0.5 else Y[i]
        dZ[i] = dY[i] * (<real> 2 * s * s)

cdef void elliot_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                           double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 1 - Y[i] if Y[i] > <real> 0.5 else Y[i]
        dZ[i] = dY[i] * ((<real> -8 if Y[i] > <real> 0.5 else <real> 8) * s * s * s)

cdef void elliot_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                        int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s
    for i in range(whole(n)):
        s = <real> 2 * (<real> 1 - Y[i] if Y[i] > <real> 0.5 else Y[i])
        dZ[i] = dY[i] * (<real> 0.5 * reciprocal_order(s, Y[i] > <real> 0.5, order))

cdef Activation* elliot_entry = activation(
    b"elliot", b"1/2 + z / (2 + 2 |z|)", elliot_value, elliot_vjp, elliot_curvature)
elliot_entry.bound, elliot_entry.low, elliot_entry.high = 0.5, 0.1118034, 0.8881966
elliot_entry.higher = <HigherKernel> elliot_higher


cdef void hard_sigmoid_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = within(Z[i] + <real> 3, 0, SIX) * <real> (1.0 / 6)

cdef void hard_sigmoid_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                           double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * <real> (1.0 / 6) if (Z[i] > -3) & (Z[i] <= 3) else 0

cdef Activation* hard_sigmoid_entry = activation(
    b"hard_sigmoid", b"z / 6 + 1/2, but within 0 ... 1", hard_sigmoid_value, hard_sigmoid_vjp, NULL, True)
hard_sigmoid_entry.synonyms = b"hardsigmoid"
hard_sigmoid_entry.bound, hard_sigmoid_entry.low, hard_sigmoid_entry.high = 1.0 / 6, 1e-6, 0.999999


cdef void hard_tanh_shape(double alpha, double beta, Activation* row) noexcept nogil:
    cdef double margin = 1e-6 * (beta - alpha)
    row.low, row.high = alpha + margin, beta - margin

cdef void hard_tanh_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real> alpha, high = <real> beta
    for i in range(whole(n)):
        Y[i] = within(Z[i], low, high)

cdef void hard_tanh_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real> alpha, high = <real> beta
    for i in range(whole(n)):
        dZ[i] = dY[i] if (Z[i] > low) & (Z[i] <= high) else 0

cdef Activation* hard_tanh_entry = activation(
    b"hard_tanh", b"z, but within min_val ... max_val", hard_tanh_value, hard_tanh_vjp, NULL, True)
hard_tanh_entry.synonyms = b"hardtanh linear_piece_symmetric"
hard_tanh_entry.parameters[0] = setting(b"min_val", -1)
hard_tanh_entry.parameters[1] = setting(b"max_val", 1)
hard_tanh_entry.ordered, hard_tanh_entry.shape = True, hard_tanh_shape


cdef void gaussian_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = exp_of_minus_square(within(Z[i], -40, 40), 1, 1)

cdef void gaussian_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                       double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> -2 * within(Z[i], -40, 40) * Y[i])

cdef void gaussian_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                             double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -40, 40)
        dZ[i] = dY[i] * ((<real> 4 * z * z - <real> 2) * Y[i])

cdef void gaussian_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                          int order) noexcept nogil:
    """By Hermite polynomials."""
    cdef Py_ssize_t i
    cdef real z, v, h
    for i in range(whole(n)):
        z = within(Z[i], -40, 40)
        v = z * z
        if order == 3:
            h = z * (<real> 12 - <real> 8 * v)
        elif order == 4:
            h = <real> 12 + v * (<real> 16 * v - <real> 48)
        else:
            h = -z * (<real> 120 + v * (<real> 32 * v - <real> 160))
        dZ[i] = dY[i] * (h * Y[i])

cdef Activation* gaussian_entry = activation(
    b"gaussian", b"exp(-z^2)", gaussian_value, gaussian_vjp, gaussian_curvature, True)
gaussian_entry.bound, gaussian_entry.low, gaussian_entry.high = 0.857763885, 0.01, INFINITY

gaussian_entry.higher = <HigherKernel> gaussian_higher
