"""Unbounded activations: relu and its variants, smooth approximations of them, and plain functions."""

cdef void relu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = 0 if Z[i] <= 0 else Z[i]

cdef void relu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = 0 if Y[i] <= 0 else dY[i]

cdef Activation* relu_entry = activation(b"relu", b"z > 0: z; else 0", relu_value, relu_vjp)
relu_entry.start = b"he_normal"
relu_entry.dies = True


cdef void relu6_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = within(Z[i], 0, SIX)

cdef void relu6_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] if (Z[i] > 0) & (Z[i] <= 6) else 0

cdef Activation* relu6_entry = activation(b"relu6", b"z, but within 0 ... 6", relu6_value, relu6_vjp, NULL, True)
relu6_entry.start = b"he_normal"
relu6_entry.low, relu6_entry.high, relu6_entry.dies = -INFINITY, 5.999999, True


cdef void leaky_relu_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.bound = max(1, alpha, -alpha)

cdef void leaky_relu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        Y[i] = a * Z[i] if Z[i] <= 0 else Z[i]

cdef void leaky_relu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = a * dY[i] if Z[i] <= 0 else dY[i]

cdef Activation* leaky_relu_entry = activation(
    b"leaky_relu", b"z > 0: z; else negative_slope z", leaky_relu_value, leaky_relu_vjp, NULL, True)
leaky_relu_entry.start = b"he_normal"
leaky_relu_entry.parameters[0] = setting(b"negative_slope", 0.01)
leaky_relu_entry.shape = leaky_relu_shape


cdef void rrelu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    leaky_relu_value(Z, Y, n, (alpha + beta) / 2, 0)

cdef void rrelu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    leaky_relu_vjp(Z, Y, dY, dZ, n, (alpha + beta) / 2, 0)

cdef void random_slopes_of_row(operand z, operand s, real* t, Py_ssize_t first, Py_ssize_t n, uint32_t key, real low,
                               real step) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(whole(n)):
        t[k] = s[k] * (low + step * <real> draw(key, first + k) if z[k] <= 0 else <real> 1)

cdef inline void random_slopes(const Op* op, const Context* context, const Tensor* Z, const Tensor* S, const Tensor* T,
                               Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """T[n, j] = S[n, j], times a random slope where Z[n, j] <= 0."""
    cdef real low = <real> op.alpha, step = <real> ((op.beta - op.alpha) / 4294967296.0)
    cdef Py_ssize_t n, block
    cdef uint32_t key
    for n in range(start, stop):
        key = row_key(op, context, n)
        for block in range(blocks(T.width)):
            random_slopes_of_row(block_of(Z, n, block), block_of(S, n, block), block_of(T, n, block), block * PANEL,
                                 T.pitch, key, low, step)

cdef void rrelu_rows_value(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t start,
                           Py_ssize_t stop) noexcept nogil:
    random_slopes(op, context, Z, Z, &op.Y, start, stop)

cdef void rrelu_rows_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dY, const Tensor* dZ,
                         Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    random_slopes(op, context, Z, dY, dZ, start, stop)

cdef void rrelu_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.bound = max(1, beta, -alpha)

cdef Activation* rrelu_entry = activation(
    b"rrelu", b"z > 0: z; else a z with a drawn from lower ... upper in training, and their mean else", rrelu_value,
    rrelu_vjp, NULL, True)
rrelu_entry.start = b"he_normal"
rrelu_entry.parameters[0] = setting(b"lower", 1.0 / 8)
rrelu_entry.parameters[1] = setting(b"upper", 1.0 / 3)
rrelu_entry.rows_value, rrelu_entry.rows_vjp, rrelu_entry.draws = rrelu_rows_value, rrelu_rows_vjp, True
rrelu_entry.ordered, rrelu_entry.shape = True, rrelu_shape


cdef void threshold_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.dies = alpha >= 0 and beta <= 0

cdef void threshold_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real edge = <real> alpha, below = <real> beta
    for i in range(whole(n)):
        Y[i] = below if Z[i] <= edge else Z[i]

cdef void threshold_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real edge = <real> alpha
    for i in range(whole(n)):
        dZ[i] = 0 if Z[i] <= edge else dY[i]

cdef Activation* threshold_entry = activation(
    b"threshold", b"z > threshold: z; else value", threshold_value, threshold_vjp, NULL, True)
threshold_entry.start = b"he_normal"
threshold_entry.parameters[0] = setting(b"threshold", 1)
threshold_entry.parameters[1] = setting(b"value", 0)
threshold_entry.shape = threshold_shape


cdef void elu_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.bound = max(1, alpha)
    row.low, row.high = 0.05 * row.bound - alpha, INFINITY

cdef void elu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        Y[i] = a * expm1(within(Z[i], -40, 0)) if Z[i] <= 0 else Z[i]

cdef void elu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] + a) if Y[i] <= 0 else dY[i]

cdef void elu_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] + a) if Y[i] <= 0 else 0

cdef void elu_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                     int order) noexcept nogil:
    elu_curvature(Z, Y, dY, dZ, n, alpha, beta)

cdef Activation* elu_entry = activation(b"elu", b"z > 0: z; else alpha (exp(z) - 1)", elu_value, elu_vjp, elu_curvature)
elu_entry.start = b"he_normal"
elu_entry.parameters[0] = setting(b"alpha", 1, 0)
elu_entry.shape = elu_shape
elu_entry.higher = <HigherKernel> elu_higher


cdef double SELU_SCALE = 1.0507009873554804934
cdef double SELU_BELOW = 1.6732632423543772848 * 1.0507009873554804934

cdef void selu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = <real> SELU_BELOW * expm1(within(Z[i], -40, 0)) if Z[i] <= 0 else <real> SELU_SCALE * Z[i]

cdef void selu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] + <real> SELU_BELOW if Y[i] <= 0 else <real> SELU_SCALE)

cdef void selu_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] + <real> SELU_BELOW) if Y[i] <= 0 else 0

cdef void selu_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                      int order) noexcept nogil:
    selu_curvature(Z, Y, dY, dZ, n, alpha, beta)

cdef Activation* selu_entry = activation(
    b"selu", b"z > 0: l z; else l a (exp(z) - 1), l = 1.0507..., a = 1.6733... (Klambauer 2017)", selu_value, selu_vjp,
    selu_curvature)
selu_entry.start = b"lecun_normal"
selu_entry.bound, selu_entry.low, selu_entry.high = SELU_BELOW, -0.95 * SELU_BELOW, INFINITY
selu_entry.higher = <HigherKernel> selu_higher


cdef void celu_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.low, row.high = -0.95 * alpha, INFINITY

cdef void celu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        Y[i] = a * expm1(within(Z[i] / a, -40, 0)) if Z[i] <= 0 else Z[i]

cdef void celu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] * (Y[i] / a + <real> 1 if Y[i] <= 0 else <real> 1)

cdef void celu_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] * ((Y[i] / a + <real> 1) / a) if Y[i] <= 0 else 0

cdef void celu_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                      int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha, scale = power_of(a, order - 1)
    for i in range(whole(n)):
        dZ[i] = dY[i] * ((Y[i] / a + <real> 1) / scale) if Y[i] <= 0 else 0

cdef Activation* celu_entry = activation(
    b"celu", b"z > 0: z; else alpha (exp(z / alpha) - 1)", celu_value, celu_vjp, celu_curvature)
celu_entry.start = b"he_normal"
celu_entry.parameters[0] = setting(b"alpha", 1, 0, INFINITY, True)
celu_entry.shape = celu_shape
celu_entry.higher = <HigherKernel> celu_higher


cdef void softplus_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.low, row.high = 0.0512933 / alpha, INFINITY

cdef void softplus_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, a = <real> alpha
    for i in range(whole(n)):
        z = Z[i]
        Y[i] = (z if z > 0 else 0) + log1p_of_unit(exp_of_product(<double> a, -z if z > 0 else z, 1)) / a

cdef void softplus_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                       double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(whole(n)):
        dZ[i] = -dY[i] * expm1(within(-a * Y[i], -40, 0))

cdef void softplus_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                             double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s, a = <real> alpha
    for i in range(whole(n)):
        s = -expm1(within(-a * Y[i], -40, 0))
        dZ[i] = dY[i] * (a * s * (<real> 1 - s))

cdef void softplus_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                          int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real s, a = <real> alpha, scale = power_of(a, order - 1)
    for i in range(whole(n)):
        s = -expm1(within(-a * Y[i], -40, 0))
        dZ[i] = dY[i] * (scale * sigmoid_order(s, <real> 1 - s, order - 1))

cdef Activation* softplus_entry = activation(
    b"softplus", b"log(1 + exp(beta z)) / beta", softplus_value, softplus_vjp, softplus_curvature)
softplus_entry.parameters[0] = setting(b"beta", 1, 0, INFINITY, True)
softplus_entry.shape = softplus_shape
softplus_entry.higher = <HigherKernel> softplus_higher


cdef real ROOTED = <real> (1LL << 60)     # from here on sqrt(z^2 + 1) rounds to z

cdef inline real sqrt_of(real x) noexcept nogil:
    """The processor's instruction, which is correctly rounded."""
    if sizeof(real) == 4:
        return <real> sqrtf(<float> x)
    return <real> sqrt_double(<double> x)

cdef void squareplus_shape(double alpha, double beta, Activation* row) noexcept nogil:
    row.low, row.high = 0.1147079 * sqrt_double(alpha), INFINITY

cdef void squareplus_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, root, b = <real> alpha
    for i in range(whole(n)):
        z = Z[i] if Z[i] > 0 else -Z[i]
        root = sqrt_of(within(z, 0, ROOTED) * within(z, 0, ROOTED) + b) if z < ROOTED else z
        z = <real> 0.5 * z + <real> 0.5 * root
        Y[i] = z if Z[i] > 0 else <real> 0.25 * b / z

cdef void squareplus_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real b = <real> alpha
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> 1 / (<real> 1 + <real> 0.25 * b / Y[i] / Y[i]))

cdef void squareplus_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                               double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real root, b = <real> alpha
    for i in range(whole(n)):
        root = Y[i] + <real> 0.25 * b / Y[i]
        dZ[i] = dY[i] * (<real> 0.5 * b / root / root / root)

cdef void squareplus_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                            int order) noexcept nogil:
    """By r = 1 / sqrt(z^2 + b) and t = z r, which stay small."""
    cdef Py_ssize_t i
    cdef real b = <real> alpha, low, r, t, h
    for i in range(whole(n)):
        low = <real> 0.25 * b / Y[i]
        r = <real> 1 / (Y[i] + low)
        t = (Y[i] - low) * r
        if order == 3:
            h = <real> -1.5 * t * r
        elif order == 4:
            h = (<real> 7.5 * t * t - <real> 1.5) * r * r
        else:
            h = t * (<real> 22.5 - <real> 52.5 * t * t) * r * r * r
        dZ[i] = dY[i] * (h * b * r * r * r)

cdef Activation* squareplus_entry = activation(
    b"squareplus", b"(z + sqrt(z^2 + b)) / 2", squareplus_value, squareplus_vjp, squareplus_curvature)
squareplus_entry.parameters[0] = setting(b"b", 4, 0, INFINITY, True)
squareplus_entry.shape = squareplus_shape
squareplus_entry.higher = <HigherKernel> squareplus_higher


cdef void abs_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = absolute(Z[i])

cdef void abs_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> (Z[i] > 0) - <real> (Z[i] < 0))

activation(b"abs", b"|z|, with slope 0 at 0", abs_value, abs_vjp, NULL, True)


cdef void square_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = Z[i] * Z[i]

cdef void square_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                     double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> 2 * Z[i])

cdef void square_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                           double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * <real> 2

cdef Activation* square_entry = activation(b"square", b"z^2", square_value, square_vjp, square_curvature, True)
square_entry.bound = INFINITY
square_entry.higher = <HigherKernel> nothing_higher


cdef void exp_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        Y[i] = exp(Z[i])

cdef void exp_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * Y[i]

cdef void exp_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * Y[i]

cdef void exp_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                     int order) noexcept nogil:
    exp_vjp(Z, Y, dY, dZ, n, alpha, beta)

cdef Activation* exp_entry = activation(b"exp", b"exp(z)", exp_value, exp_vjp, exp_curvature)
exp_entry.synonyms = b"exponential"
exp_entry.bound = INFINITY

exp_entry.higher = <HigherKernel> exp_higher
