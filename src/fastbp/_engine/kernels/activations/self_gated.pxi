"""Activations that are z times a gate of z: silu, gelu and their variants."""

# z times a gate s(w) with w = w(z); each needs s, its complement 1 - s, and the derivatives of w.

cdef real FAR = 800                 # beyond it every gate is open (1) or shut (0)
cdef double QUICK = 1.702
cdef double TANH_1 = 1.5957691216057307117      # 2 sqrt(2 / pi): tanh(w / 2) = 2 s(w) - 1
cdef double TANH_3 = 0.044715 * 1.5957691216057307117
# Below w = SHUT the gate is shut: z exp(w) is subnormal.  Above SHUT exp(-w) could still overflow, so its power of 2 is
# lowered by SHIFT.  Above w = OPEN the gate is open: exp(-w) is negligible beside 1.
cdef real SHUT = <real> -92.5 if sizeof(real) == 4 else -716
cdef real OPEN = 40

cdef enum:
    SHIFT = 16


cdef inline real gated(real z, real x, real rest) noexcept nogil:
    """z s(w) for -w = x - rest, with w >= SHUT."""
    cdef real one = <real> (1.0 / (1 << SHIFT)), part = z / (one + exp_over(x, rest, 1, SHIFT)) * one
    return z if x < -OPEN else part


cdef inline real gate_slope(real z, real w, real dw) noexcept nogil:
    """The slope of z s(w)."""
    cdef real e = exp_of_negative(-absolute(w)), r = <real> 1 / (<real> 1 + e), shut = e * r
    return (r if w > 0 else shut) + z * shut * r * dw


cdef inline real gate_curvature(real z, real w, real dw, real ddw) noexcept nogil:
    cdef real e = exp_of_negative(-absolute(w)), r = <real> 1 / (<real> 1 + e), first = e * r * r
    cdef real s = r if w > 0 else e * r
    return first * (<real> 2 * dw + z * ((<real> 1 - <real> 2 * s) * dw * dw + ddw))


cdef void silu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = SHUT if Z[i] < SHUT else Z[i]
        Y[i] = gated(z, -z, 0)

cdef void silu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -FAR, FAR)
        dZ[i] = dY[i] * gate_slope(z, z, 1)

cdef void silu_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -FAR, FAR)
        dZ[i] = dY[i] * gate_curvature(z, z, 1, 0)

cdef void silu_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                      int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    cdef real[6] w
    w[1], w[2], w[3], w[4], w[5] = 1, 0, 0, 0, 0
    for i in range(whole(n)):
        z = within(Z[i], -FAR, FAR)
        dZ[i] = dY[i] * gate_higher(z, z, w, order)

cdef Activation* silu_entry = activation(b"silu", b"z / (1 + exp(-z))", silu_value, silu_vjp, silu_curvature, True)
silu_entry.synonyms = b"swish"
silu_entry.start = b"he_normal"
silu_entry.bound = 1.09983932
silu_entry.higher = <HigherKernel> silu_higher


cdef void quick_gelu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    """QUICK z comes in two parts: exp would multiply the relative error of a single product by |QUICK z|."""
    cdef Py_ssize_t i
    cdef real ah = upper_half(<real> QUICK), al = <real> (QUICK - <double> ah), low = SHUT / <real> QUICK, z, zh
    for i in range(whole(n)):
        z = low if Z[i] < low else Z[i]
        zh = upper_half(z)
        Y[i] = gated(z, -ah * zh, ah * (z - zh) + al * z)

cdef void quick_gelu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -FAR, FAR)
        dZ[i] = dY[i] * gate_slope(z, <real> QUICK * z, <real> QUICK)

cdef void quick_gelu_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                               double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -FAR, FAR)
        dZ[i] = dY[i] * gate_curvature(z, <real> QUICK * z, <real> QUICK, 0)

cdef void quick_gelu_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                            int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    cdef real[6] w
    w[1], w[2], w[3], w[4], w[5] = <real> QUICK, 0, 0, 0, 0
    for i in range(whole(n)):
        z = within(Z[i], -FAR, FAR)
        dZ[i] = dY[i] * gate_higher(z, <real> QUICK * z, w, order)

cdef Activation* quick_gelu_entry = activation(
    b"quick_gelu", b"z / (1 + exp(-1.702 z))", quick_gelu_value, quick_gelu_vjp, quick_gelu_curvature, True)
quick_gelu_entry.start = b"he_normal"
quick_gelu_entry.bound = 1.09983932
quick_gelu_entry.higher = <HigherKernel> quick_gelu_higher


cdef void gelu_tanh_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real low = <real> -10.2 if sizeof(real) == 4 else <real> -21.2, z
    for i in range(whole(n)):
        z = low if Z[i] < low else Z[i]
        Y[i] = gated(z, -z * (<real> TANH_1 + <real> TANH_3 * z * z), 0)

cdef void gelu_tanh_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, w
    for i in range(whole(n)):
        z = within(Z[i], -22, 22)
        w = <real> TANH_3 * z * z
        dZ[i] = dY[i] * gate_slope(z, z * (<real> TANH_1 + w), <real> TANH_1 + <real> 3 * w)

cdef void gelu_tanh_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                              double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, w
    for i in range(whole(n)):
        z = within(Z[i], -22, 22)
        w = <real> TANH_3 * z * z
        dZ[i] = dY[i] * gate_curvature(z, z * (<real> TANH_1 + w), <real> TANH_1 + <real> 3 * w,
                                       <real> (6 * TANH_3) * z)

cdef void gelu_tanh_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                           int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, v
    cdef real[6] w
    w[3], w[4], w[5] = <real> (6 * TANH_3), 0, 0
    for i in range(whole(n)):
        z = within(Z[i], -22, 22)
        v = <real> TANH_3 * z * z
        w[1], w[2] = <real> TANH_1 + <real> 3 * v, <real> (6 * TANH_3) * z
        dZ[i] = dY[i] * gate_higher(z, z * (<real> TANH_1 + v), w, order)

cdef Activation* gelu_tanh_entry = activation(
    b"gelu_tanh", b"z/2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))", gelu_tanh_value, gelu_tanh_vjp,
    gelu_tanh_curvature, True)
gelu_tanh_entry.synonyms = b"gelu_new gelu_pytorch_tanh gelu_approximate"
gelu_tanh_entry.start = b"he_normal"
gelu_tanh_entry.bound = 1.12900
gelu_tanh_entry.higher = <HigherKernel> gelu_tanh_higher


cdef double DENSITY = 0.39894228040143267794    # 1 / sqrt(2 pi)
cdef real EDGE = <real> 13.2 if sizeof(real) == 4 else 37.64      # beyond it the shut side is subnormal

cdef void gelu_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    """z - z p or z p; p itself can be subnormal.  The square comes in two parts, as in the gaussian."""
    cdef Py_ssize_t i
    cdef real z, h, shut
    for i in range(whole(n)):
        z = absolute(Z[i])
        z = EDGE if z > EDGE else z
        h = upper_half(z)
        shut = exp_over(<real> -0.5 * h * h, <real> 0.5 * (z - h) * (z + h), z * normal_tail_ratio(z), 0)
        Y[i] = Z[i] - shut if Z[i] > 0 else -shut

cdef void gelu_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, e, p
    for i in range(whole(n)):
        z = absolute(Z[i])
        z = EDGE if z > EDGE else z
        e = exp_of_negative(<real> -0.5 * z * z)
        p = e * normal_tail_ratio(z)
        p -= e * z * <real> DENSITY
        dZ[i] = dY[i] * (<real> 1 - p if Z[i] > 0 else p)

cdef void gelu_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i], -EDGE, EDGE)
        dZ[i] = dY[i] * exp_of_negative(<real> -0.5 * z * z) * <real> DENSITY * (<real> 2 - z * z)

cdef void gelu_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                      int order) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, v, h
    for i in range(whole(n)):
        z = within(Z[i], -EDGE, EDGE)
        v = z * z
        if order == 3:
            h = z * (v - <real> 4)
        elif order == 4:
            h = v * (<real> 7 - v) - <real> 4
        else:
            h = z * (<real> 18 + v * (v - <real> 11))
        dZ[i] = dY[i] * (exp_of_negative(<real> -0.5 * v) * <real> DENSITY * h)

cdef Activation* gelu_entry = activation(
    b"gelu", b"z/2 (1 + erf(z / sqrt(2)))", gelu_value, gelu_vjp, gelu_curvature, True)
gelu_entry.start = b"he_normal"
gelu_entry.bound = 1.12890
gelu_entry.higher = <HigherKernel> gelu_higher


cdef void mish_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, e, w
    for i in range(whole(n)):
        z = within(Z[i], -FAR, 0)
        e = exp(within(Z[i], -FAR, 20))
        w = (e + <real> 2) / (e * (e + <real> 2) + <real> 2)
        Y[i] = Z[i] * (e * w) if Z[i] > -1 else exp_minus(z, 0, z) * w

cdef void mish_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, e, m, r
    for i in range(whole(n)):
        z = within(Z[i], -FAR, 20)
        e = exp(z)
        m = e * (e + <real> 2)
        r = <real> 1 / (m + <real> 2)
        dZ[i] = dY[i] * (m * r + <real> 4 * z * (e * r) * ((<real> 1 + e) * r))

cdef void mish_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z, e, r, first
    for i in range(whole(n)):
        z = within(Z[i], -FAR, 20)
        e = exp(z)
        r = <real> 1 / (e * (e + <real> 2) + <real> 2)
        first = <real> 4 * (e * r) * ((<real> 1 + e) * r)
        first *= <real> 2 + z * ((<real> 1 + <real> 2 * e) / (<real> 1 + e) - <real> 4 * e * ((<real> 1 + e) * r))
        dZ[i] = dY[i] * first

cdef void mish_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                      int order) noexcept nogil:
    """z tanh(w) with w = log(1 + exp(z)): w' is the sigmoid."""
    cdef Py_ssize_t i
    cdef int k
    cdef real z, e, m, r
    cdef real[6] s
    cdef real[6] w
    s[0] = w[0] = 0
    for i in range(whole(n)):
        z = within(Z[i], -FAR, 20)
        e = exp(z)
        m = e * (e + <real> 2)
        r = <real> 1 / (<real> 1 + e)
        for k in range(1, 6):
            s[k] = tanh_order(m / (m + <real> 2), k)
            w[k] = sigmoid_order(e * r, r, k - 1)
        dZ[i] = dY[i] * (z * composed(s, w, order) + <real> order * composed(s, w, order - 1))

cdef Activation* mish_entry = activation(
    b"mish", b"z tanh(log(1 + exp(z)))", mish_value, mish_vjp, mish_curvature, True)
mish_entry.start = b"he_normal"
mish_entry.bound = 1.08849
mish_entry.higher = <HigherKernel> mish_higher


cdef void hard_swish_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real z
    for i in range(whole(n)):
        z = within(Z[i] + <real> 3, 0, SIX) * <real> (1.0 / 6)
        Y[i] = Z[i] * z if z > 0 else z

cdef void hard_swish_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                         double beta) noexcept nogil:
    cdef Py_ssize_t i
    cdef real slope
    for i in range(whole(n)):
        slope = (<real> 2 * Z[i] + <real> 3) * <real> (1.0 / 6)
        dZ[i] = dY[i] * (<real> 1 if Z[i] > 3 else (<real> 0 if Z[i] <= -3 else slope))

cdef void hard_swish_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                               double beta) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dZ[i] = dY[i] * (<real> (1.0 / 3) if (Z[i] > -3) & (Z[i] <= 3) else <real> 0)

cdef Activation* hard_swish_entry = activation(
    b"hard_swish", b"z (z / 6 + 1/2), with the bracket within 0 ... 1", hard_swish_value, hard_swish_vjp,
    hard_swish_curvature, True)
hard_swish_entry.synonyms = b"hardswish hard_silu"
hard_swish_entry.start = b"he_normal"
hard_swish_entry.bound = 1.5
hard_swish_entry.higher = <HigherKernel> nothing_higher
