"""Sine and cosine over the whole range of both number types.

Up to 10,000 (single precision) and 1,000,000 (double) the multiple of pi / 2 is subtracted in four parts, the first
three with few enough digits for exact products (Cody and Waite 1980), in loops that vectorise.  Larger numbers go one
by one through an exact product with 2 / pi (Payne and Hanek 1983); infinities give NaN.  Rejected: libm for larger
numbers, which would have been the only call of its kind.  Polynomials: Cephes (single), fdlibm.
"""

cdef real CODY_WAITE = <real> 1e4 if sizeof(real) == 4 else <real> 1e6

cdef enum:
    TWO_OVER_PI_WORDS = 40
    WAVES_AT_ONCE = 64

cdef uint32_t[TWO_OVER_PI_WORDS] two_over_pi
two_over_pi[:] = [
    0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB, 0xDEBBC561,
    0xB7246E3A, 0x424DD2E0, 0x06492EEA, 0x09D1921C, 0xFE1DEB1C, 0xB129A73E, 0xE88235F5, 0x2EBB4484,
    0xE99C7026, 0xB45F7E41, 0x3991D639, 0x835339F4, 0x9C845F8B, 0xBDF9283B, 0x1FF897FF, 0xDE05980F,
    0xEF2F118B, 0x5A0A6D1F, 0x6D367ECF, 0x27CB09B7, 0x4F463F66, 0x9E5FEA2D, 0x7527BAC7, 0xEBE5F17B,
    0x3D0739F7, 0x8A5292EA, 0x6BFB5FB1, 0x1F8D5D08, 0x56033046, 0xFC7B6BAB, 0xF0CFBC20, 0x9AF4361D,
]


cdef inline real sine_near_0(real r, real z) noexcept nogil:
    """sin(r) for |r| <= pi / 4, z = r^2."""
    cdef real p
    if sizeof(real) == 4:
        p = <real> -1.9515295891e-4
        p = p * z + <real> 8.3321608736e-3
        p = p * z + <real> -1.6666654611e-1
        return p * z * r + r
    p = <real> 1.58969099521155010221e-10
    p = p * z + <real> -2.50507602534068634195e-08
    p = p * z + <real> 2.75573137070700676789e-06
    p = p * z + <real> -1.98412698298579493134e-04
    p = p * z + <real> 8.33333333332248946124e-03
    p = p * z + <real> -1.66666666666666324348e-01
    return p * z * r + r


cdef inline real cosine_near_0(real z) noexcept nogil:
    """cos(r) for |r| <= pi / 4, z = r^2."""
    cdef real p
    if sizeof(real) == 4:
        p = <real> 2.443315711809948e-5
        p = p * z + <real> -1.388731625493765e-3
        p = p * z + <real> 4.166664568298827e-2
        return p * z * z - <real> 0.5 * z + <real> 1
    p = <real> -1.13596475577881948265e-11
    p = p * z + <real> 2.08757232129817482790e-09
    p = p * z + <real> -2.75573143513906633035e-07
    p = p * z + <real> 2.48015872894767294178e-05
    p = p * z + <real> -1.38888888888741095749e-03
    p = p * z + <real> 4.16666666666666019037e-02
    return p * z * z - <real> 0.5 * z + <real> 1


cdef inline real wave_of(real r, int32_t quarter) noexcept nogil:
    """sin(r + quarter pi / 2) for |r| <= pi / 4."""
    cdef real z = r * r, s = sine_near_0(r, z), c = cosine_near_0(z)
    cdef real w = c if quarter & 1 else s
    return -w if quarter & 2 else w


cdef inline real near_wave(real x, int quarter) noexcept nogil:
    """sin(x + quarter pi / 2) for |x| <= CODY_WAITE."""
    cdef Single single
    cdef Double double_
    cdef real n, s, c
    # Adding 1.5 * 2^23 (in double 1.5 * 2^52) rounds to whole numbers and leaves the integer in the low bits.
    if sizeof(real) == 4:
        single.value = <float> x * <float> 0.63661977236758134 + <float> 12582912
        n = <real> (single.value - <float> 12582912)
        x = ((x - n * <real> 1.5703125) - n * <real> 0.0004837512969970703) - n * <real> 7.549533620476723e-08
        x -= n * <real> 2.5633440682570896e-12
        s, c = sine_near_0(x, x * x), cosine_near_0(x * x)
        s = c if (single.bits + quarter) & 1 else s
        return -s if (single.bits + quarter) & 2 else s
    double_.value = <double> x * 0.63661977236758134308 + 6755399441055744.0
    n = <real> (double_.value - 6755399441055744.0)
    x = ((x - n * <real> 1.5707963267341256) - n * <real> 6.077100506303966e-11) - n * <real> 2.0222662487111665e-21
    x -= n * <real> 8.4784276603689e-32
    s, c = sine_near_0(x, x * x), cosine_near_0(x * x)
    # As above; the integers are as wide as the numbers, else the loop would not vectorise.
    s = c if (double_.bits + quarter) & 1 else s
    return -s if (double_.bits + quarter) & 2 else s


cdef real far_wave(real x, int quarter) noexcept nogil:
    """sin(x + quarter pi / 2) for any |x| >= 4; NaN for NaN and infinities.

    With |x| = m 2^e and an integer m, the bits of 2 / pi before bit e - 1 give whole turns.  The product of m with the
    192 bits from there on has the quarter in its first two bits, and the fraction of a quarter in the others.
    """
    cdef Double bits
    cdef uint64_t m, total, carry
    cdef uint32_t[6] window
    cdef uint32_t[6] product
    cdef int32_t e, first, k, j, shift, flip = 0
    cdef double f = 0, scale = 1
    if not x - x == 0:
        return x - x
    if x < 0:                                       # sin(q - a) = sin(a + pi - q)
        quarter = 2 - quarter
    bits.value = <double> x
    bits.bits = bits.bits & 0x7FFFFFFFFFFFFFFFLL
    e = <int32_t> (bits.bits >> 52) - 1075
    m = <uint64_t> bits.bits & 0xFFFFFFFFFFFFFULL | 0x10000000000000ULL
    first = e - 2                                   # bits to skip, or, if negative, zeros to put in front
    for k in range(6):
        j = first + 32 * k
        total = 0
        shift = j & 31
        j = (j - shift) // 32
        if j >= 0:
            total = <uint64_t> two_over_pi[j] << 32
        if j >= -1:
            total |= two_over_pi[j + 1]
        window[k] = <uint32_t> (total >> (32 - shift))
        product[k] = 0
    for j in range(2):                              # the lower and the upper half of m
        carry = 0
        for k in range(5 - j, -1, -1):
            total = <uint64_t> window[k + j] * (m >> 32 * j & 0xFFFFFFFFULL) + product[k] + carry
            product[k], carry = <uint32_t> total, total >> 32
    quarter += product[0] >> 30
    product[0] = product[0] << 2 >> 2
    if product[0] >> 29:                            # above half a quarter: the distance to the next one
        quarter += 1
        flip = -1
        for k in range(6):
            product[k] = ~product[k]
        product[0] = product[0] << 2 >> 2
    for k in range(6):
        scale *= 1.0 / 4294967296.0
        f += <double> product[k] * scale
    f *= 4 * 1.57079632679489661923 * (1 + 2 * flip)
    return wave_of(<real> f, quarter)


cdef inline bint within_reach(const real* Z, Py_ssize_t n) noexcept nogil:
    """Whether no Z[i] is NaN and no |Z[i]| above CODY_WAITE; it counts, since a search would not vectorise."""
    cdef Py_ssize_t i, near = 0
    for i in range(whole(n)):
        near += <Py_ssize_t> (absolute(Z[i]) <= CODY_WAITE)
    return near == n


cdef inline void waves(const real* Z, real* W, Py_ssize_t n, int quarter) noexcept nogil:
    """W[i] = sin(Z[i] + quarter pi / 2) for at most WAVES_AT_ONCE numbers; W is not Z."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        W[i] = near_wave(Z[i], quarter)
    if not within_reach(Z, n):
        for i in range(n):
            if not absolute(Z[i]) <= CODY_WAITE:
                W[i] = far_wave(Z[i], quarter)


cdef inline void all_waves(const real* Z, real* Y, Py_ssize_t n, int quarter) noexcept nogil:
    """Y[i] = sin(Z[i] + quarter pi / 2); Y may be Z."""
    cdef real[WAVES_AT_ONCE] W
    cdef Py_ssize_t at = 0, count
    while at < n:
        count = least(WAVES_AT_ONCE, n - at)
        waves(Z + at, W, count, quarter)
        memcpy(Y + at, W, count * sizeof(real))
        at += count


cdef inline void times_waves(const real* Z, const real* dY, real* dZ, Py_ssize_t n, int quarter) noexcept nogil:
    """dZ[i] = dY[i] sin(Z[i] + quarter pi / 2)."""
    cdef real[WAVES_AT_ONCE] W
    cdef Py_ssize_t at = 0, count, i
    while at < n:
        count = least(WAVES_AT_ONCE, n - at)
        waves(Z + at, W, count, quarter)
        for i in range(whole(count)):
            dZ[at + i] = dY[at + i] * W[i]
        at += count


cdef void sin_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    all_waves(Z, Y, n, 0)

cdef void sin_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    times_waves(Z, dY, dZ, n, 1)

cdef void sin_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    times_waves(Z, dY, dZ, n, 2)

cdef void sin_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                     int order) noexcept nogil:
    times_waves(Z, dY, dZ, n, order)

cdef Activation* sin_entry = activation(b"sin", b"sin(z)", sin_value, sin_vjp, sin_curvature, True)
sin_entry.higher = <HigherKernel> sin_higher


cdef void cos_value(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    all_waves(Z, Y, n, 1)

cdef void cos_vjp(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta) noexcept nogil:
    times_waves(Z, dY, dZ, n, 2)

cdef void cos_curvature(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                        double beta) noexcept nogil:
    times_waves(Z, dY, dZ, n, 3)

cdef void cos_higher(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha, double beta,
                     int order) noexcept nogil:
    times_waves(Z, dY, dZ, n, order + 1)

cdef Activation* cos_entry = activation(b"cos", b"cos(z)", cos_value, cos_vjp, cos_curvature, True)

cos_entry.higher = <HigherKernel> cos_higher
