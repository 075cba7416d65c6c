"""Elementary functions of one number: inline and without branches, so that loops over them are vectorized.

Cython writes the 1 of a sum with a `real` as the double 1.0, which would make float kernels compute in double:
hence `<real> 1` here and in the kernels.  The exponential's polynomial is evaluated in an odd and an even half: in one
long chain of dependent operations the processor could not begin with the next numbers.

The choice of formula by number type is a comparison of constants that the compiler settles.  Rejected: libm, whose
calls prevent vectorization and cost ten times as much.
Sources: fdlibm (log); the exponential in float and the normal tail are fits of our own.  Errors in ulp are in
tests/_engine/test_activations.py.
"""
from libc.stdint cimport int32_t, int64_t

from fastbp._engine.tile cimport real

cdef union Single:
    float value
    int32_t bits

cdef union Double:
    double value
    int64_t bits


cdef inline float expm1_near_0_single(float x) noexcept nogil:
    """exp(x) - 1 for |x| <= log(2) / 2: a fit for the least error of exp(x), 3.1e-9."""
    cdef float z = x * x, odd = <float> 8.36871564e-3, even = <float> 1.38146011e-3
    even = even * z + <float> 4.1668389e-2
    odd = odd * z + <float> 1.66665211e-1
    even = even * z + <float> 4.9999994e-1
    return (odd * x + even) * z + x


cdef inline double expm1_near_0_double(double x) noexcept nogil:
    """exp(x) - 1 for |x| <= log(2) / 2, by Taylor's series: the term left out is below 2^-57."""
    cdef double z = x * x, odd = 1.0 / 6227020800.0, even = 1.0 / 479001600.0
    odd = odd * z + 1.0 / 39916800.0
    even = even * z + 1.0 / 3628800.0
    odd = odd * z + 1.0 / 362880.0
    even = even * z + 1.0 / 40320.0
    odd = odd * z + 1.0 / 5040.0
    even = even * z + 1.0 / 720.0
    odd = odd * z + 1.0 / 120.0
    even = even * z + 1.0 / 24.0
    odd = odd * z + 1.0 / 6.0
    even = even * z + 0.5
    return (odd * x + even) * z + x


# Adding 1.5 * 2^23 (in double 1.5 * 2^52) rounds to whole numbers and leaves the integer in the low bits.

cdef inline float exp_minus_single(float x, float rest, float scale) noexcept nogil:
    cdef Single n, low, high
    cdef float r, p
    x = <float> 89 if x > 89 else x
    x = <float> -104 if x < -104 else x
    n.value = (x - rest) * <float> 1.44269504088896341 + <float> 12582912
    r = n.value - <float> 12582912
    p = expm1_near_0_single(((x - r * <float> 0.693359375) + r * <float> 2.12194440e-4) - rest)
    # 2^n in two factors: n reaches 128 above and the subnormals below.
    n.bits = n.bits - 0x4B400000
    low.bits = ((n.bits >> 1) + 127) << 23
    high.bits = (n.bits - (n.bits >> 1) + 127) << 23
    return (p * scale + scale) * low.value * high.value


cdef inline double exp_minus_double(double x, double rest, double scale) noexcept nogil:
    cdef Double n, low, high
    cdef double r, p
    x = 710 if x > 710 else x
    x = -746 if x < -746 else x
    n.value = (x - rest) * 1.4426950408889634 + 6755399441055744.0
    r = n.value - 6755399441055744.0
    p = expm1_near_0_double(((x - r * 6.93147180369123816490e-01) - r * 1.90821492927058770002e-10) - rest)
    n.bits = n.bits - 0x4338000000000000LL
    low.bits = ((n.bits >> 1) + 1023) << 52
    high.bits = (n.bits - (n.bits >> 1) + 1023) << 52
    return (p * scale + scale) * low.value * high.value


cdef inline real exp_minus(real x, real rest, real scale) noexcept nogil:
    """scale exp(x - rest), for a rest below 1: the part of the exponent that is lost when it is rounded to x.

    The scale is multiplied in first: it rounds with the sum, and a result that is not subnormal is not computed from a
    subnormal one.
    """
    if sizeof(real) == 4:
        return <real> exp_minus_single(<float> x, <float> rest, <float> scale)
    return <real> exp_minus_double(<double> x, <double> rest, <double> scale)


cdef inline real exp(real x) noexcept nogil:
    return exp_minus(x, <real> 0, <real> 1)


cdef inline real exp_over(real x, real rest, real scale, int shift) noexcept nogil:
    """scale exp(x - rest) 2^-shift, for a rest below 1, where exp(...) 2^-shift is within 2^-126 and 2^127 (in double
    2^-1022 and 2^1023), so that its 2^n is one factor; 0 where n is one less."""
    cdef Single n
    cdef Double n_double
    cdef float r
    cdef double r_double
    if sizeof(real) == 4:
        n.value = <float> (x - rest) * <float> 1.44269504088896341 + <float> 12582912
        r = n.value - <float> 12582912
        n.bits = (n.bits - 0x4B400000 + 127 - shift) << 23
        r = expm1_near_0_single(((<float> x - r * <float> 0.693359375) + r * <float> 2.12194440e-4) - <float> rest)
        return <real> ((r * <float> scale + <float> scale) * n.value)
    n_double.value = <double> (x - rest) * 1.4426950408889634 + 6755399441055744.0
    r_double = n_double.value - 6755399441055744.0
    n_double.bits = (n_double.bits - 0x4338000000000000LL + 1023 - shift) << 52
    r_double = expm1_near_0_double(((<double> x - r_double * 6.93147180369123816490e-01)
                                    - r_double * 1.90821492927058770002e-10) - <double> rest)
    return <real> ((r_double * <double> scale + <double> scale) * n_double.value)


cdef inline real exp_of_moderate(real x) noexcept nogil:
    """exp(x) for -87 <= x <= 88 (in double -708 <= x <= 709)."""
    return exp_over(x, 0, 1, 0)


cdef inline real exp_of_negative(real x) noexcept nogil:
    """exp(x) for x <= 0; below the smallest normal number it is 0."""
    cdef real low = <real> -88 if sizeof(real) == 4 else <real> -709
    return exp_over(low if x < low else x, 0, 1, 0)


cdef inline real expm1(real x) noexcept nogil:
    """exp(x) - 1 for -40 <= x <= 40."""
    cdef Single n, scale
    cdef Double n_double, scale_double
    cdef float r
    cdef double r_double
    if sizeof(real) == 4:
        n.value = <float> x * <float> 1.44269504088896341 + <float> 12582912
        r = n.value - <float> 12582912
        scale.bits = (n.bits - 0x4B400000 + 127) << 23
        r = expm1_near_0_single((<float> x - r * <float> 0.693359375) + r * <float> 2.12194440e-4)
        return <real> (r * scale.value + (scale.value - <float> 1))
    n_double.value = <double> x * 1.4426950408889634 + 6755399441055744.0
    r_double = n_double.value - 6755399441055744.0
    scale_double.bits = (n_double.bits - 0x4338000000000000LL + 1023) << 52
    r_double = expm1_near_0_double((<double> x - r_double * 6.93147180369123816490e-01)
                                   - r_double * 1.90821492927058770002e-10)
    return <real> (r_double * scale_double.value + (scale_double.value - 1))


cdef inline real log_of_parts(real f, real k) noexcept nogil:
    """log((1 + f) 2^k) for sqrt(1/2) - 1 <= f < sqrt(2) - 1."""
    cdef real s = f / (<real> 2 + f), z = s * s, h = <real> 0.5 * f * f, R
    if sizeof(real) == 4:
        R = <real> 0.24279078841
        R = R * z + <real> 0.28498786688
        R = R * z + <real> 0.40000972152
        R = R * z + <real> 0.66666662693
        R = R * z
        return k * <real> 6.9313812256e-01 - ((h - (s * (h + R) + k * <real> 9.0580006145e-06)) - f)
    R = <real> 1.479819860511658591e-01
    R = R * z + <real> 1.531383769920937332e-01
    R = R * z + <real> 1.818357216161805012e-01
    R = R * z + <real> 2.222219843214978396e-01
    R = R * z + <real> 2.857142874366239149e-01
    R = R * z + <real> 3.999999999940941908e-01
    R = R * z + <real> 6.666666666666735130e-01
    R = R * z
    return k * <real> 6.93147180369123816490e-01 - (
        (h - (s * (h + R) + k * <real> 1.90821492927058770002e-10)) - f)


cdef inline real log(real x) noexcept nogil:
    """log(x) for normal x > 0; NaN for NaN, which the arithmetic on bits would lose."""
    cdef Single single
    cdef Double double_
    cdef real m, k
    # Subtracting the bits of sqrt(1/2) puts the mantissa into [sqrt(1/2), sqrt(2)).
    if sizeof(real) == 4:
        single.value = <float> x
        single.bits = single.bits - 0x3F3504F3
        k = <real> (single.bits >> 23)
        single.bits = (single.bits & 0x7FFFFF) + 0x3F3504F3
        m = <real> single.value
    else:
        double_.value = <double> x
        double_.bits = double_.bits - 0x3FE6A09E667F3BCDLL
        k = <real> (double_.bits >> 52)
        double_.bits = (double_.bits & 0xFFFFFFFFFFFFFLL) + 0x3FE6A09E667F3BCDLL
        m = <real> double_.value
    return log_of_parts(m - <real> 1, k) + (x - x)


cdef inline real log1p_of_unit(real u) noexcept nogil:
    """log(1 + u) for 0 <= u <= 1, accurate to the last digits also for small u."""
    cdef bint big = u > <real> 0.41421356
    cdef real f = (u - <real> 1) * <real> 0.5 if big else u
    return log_of_parts(f, <real> 1 if big else <real> 0)


cdef inline real softplus_of_minus(real x) noexcept nogil:
    """log(1 + exp(x)) for x <= 0."""
    return log1p_of_unit(exp(x))


cdef inline real upper_half(real x) noexcept nogil:
    """x with the lower half of its digits cleared, so that its square is exact."""
    cdef Single single
    cdef Double double_
    if sizeof(real) == 4:
        single.value = <float> x
        single.bits = single.bits & <int32_t> 0xFFFFF000
        return <real> single.value
    double_.value = <double> x
    double_.bits = double_.bits & ~<int64_t> 0x7FFFFFF
    return <real> double_.value


cdef inline real exp_of_minus_square(real x, real share, real scale) noexcept nogil:
    """scale exp(-share x^2) for |x| <= 40 and a share of 1 or 1/2.

    The square is passed in two parts: the relative error of a rounded one would be multiplied by the square.
    """
    cdef real h = upper_half(x)
    return exp_minus(-share * h * h, share * (x - h) * (x + h), scale)


cdef inline real exp_of_product(double a, real x, real scale) noexcept nogil:
    """scale exp(a x) for a > 0 and x <= 0, with the product in two parts for the same reason."""
    cdef real least = <real> ((-110 if sizeof(real) == 4 else -760) / a)
    cdef real ah = upper_half(<real> a), al = <real> (a - <double> ah), xh
    x = least if x < least else x
    xh = upper_half(x)
    return exp_minus(ah * xh, -(ah * (x - xh) + al * x), scale)


cdef inline real sigmoid(real x) noexcept nogil:
    """1 / (1 + exp(-x)); below the smallest normal number it is 0."""
    cdef real low = <real> -88 if sizeof(real) == 4 else <real> -709
    cdef real high = <real> 87 if sizeof(real) == 4 else <real> 708
    x = low if x < low else x
    x = high if x > high else x
    return <real> 1 / (<real> 1 + exp_of_moderate(-x))


cdef inline real tanh(real x) noexcept nogil:
    """e / (e + 2) with e = exp(2 |x|) - 1: exact near 0 without a second formula.  From 20 on it is 1."""
    cdef real a = -x if x < 0 else x
    cdef real e = expm1(<real> 2 * (<real> 20 if a > <real> 20 else a))
    cdef real t = e / (e + <real> 2)
    return -t if x < 0 else t


cdef inline real normal_tail_polynomial(real t) noexcept nogil:
    """The polynomial that normal_tail_ratio divides, in t = (a - c) / (a + c), as in Shepherd and Laframboise 1981.

    The coefficients were fitted at Chebyshev's points with 60 digits: relative errors are below 2.7e-9 and 3.9e-18.
    """
    cdef real p
    if sizeof(real) == 4:
        p = <real> -5.2645649784e-5
        p = p * t + <real> -0.00023462176113
        p = p * t + <real> 0.00016935545828
        p = p * t + <real> 0.0016462956119
        p = p * t + <real> -0.0034880755301
        p = p * t + <real> -0.0075452681642
        p = p * t + <real> 0.060397293906
        p = p * t + <real> -0.18652130746
        p = p * t + <real> 0.3871373823
        p = p * t + <real> -0.60789665776
        p = p * t + <real> 0.75528513049
        return p
    p = <real> -7.2624198104095792964e-10
    p = p * t + <real> -2.5220994578780735364e-9
    p = p * t + <real> 1.9182770203733402626e-9
    p = p * t + <real> 1.961961086135555974e-8
    p = p * t + <real> 1.3280797787310327843e-8
    p = p * t + <real> -8.5408418156851249779e-8
    p = p * t + <real> -1.5496491742247450468e-7
    p = p * t + <real> 2.7180452962592835767e-7
    p = p * t + <real> 1.0215540371961015335e-6
    p = p * t + <real> -6.2969656058158233297e-7
    p = p * t + <real> -5.9201733230161029169e-6
    p = p * t + <real> 7.1666632452210311862e-7
    p = p * t + <real> 0.00003514468605300346296
    p = p * t + <real> -1.9082584797734331084e-6
    p = p * t + <real> -0.00023109493516945901442
    p = p * t + <real> 0.00013334431240964573657
    p = p * t + <real> 0.0016308184575887011911
    p = p * t + <real> -0.0034796923673935951504
    p = p * t + <real> -0.0075401889667267915747
    p = p * t + <real> 0.060396574890936560689
    p = p * t + <real> -0.1865218579596572468
    p = p * t + <real> 0.38713740074221454099
    p = p * t + <real> -0.60789664197189210759
    p = p * t + <real> 0.75528513041575149327
    return p


cdef inline real normal_tail_ratio(real a) noexcept nogil:
    """P / exp(-a^2 / 2) for 0 <= a <= 39 (in single precision 14.5), with P the probability that a normal number is
    above a.

    The sum d = a + c rounds.  So the ratio is computed at d - c, where t is a quotient of exact numbers, and the small
    distance of a from there is added by the slope, a R - 1 / sqrt(2 pi).
    """
    cdef real c = <real> 4, d = a + c
    cdef real near = d - c
    cdef real R = normal_tail_polynomial((near - c) / d) / d
    return R + (a - near) * (near * R - <real> 0.39894228040143267794)


cdef inline real square_root(real x) noexcept nogil:
    """x / sqrt(x) for 0 <= x; infinity gives the root of the largest number.

    The reciprocal root comes from a guess in the bits (an error of 3 %, squared by each of Newton's steps): products
    overlap with the division that mostly follows, while the instruction for the root would queue for the same unit.
    """
    cdef Single single
    cdef Double double_
    cdef real half, y
    if sizeof(real) == 4:
        x = <real> 3.4e38 if x > <real> 3.4e38 else x
        single.value = <float> x
        single.bits = 0x5F3759DF - (single.bits >> 1)
        y = <real> single.value
    else:
        x = <real> 1.7e308 if x > <real> 1.7e308 else x
        double_.value = <double> x
        double_.bits = 0x5FE6EB50C7B537A9LL - (double_.bits >> 1)
        y = <real> double_.value
    half = <real> 0.5 * x
    y = y * (<real> 1.5 - half * y * y)
    y = y * (<real> 1.5 - half * y * y)
    y = y * (<real> 1.5 - half * y * y)
    if sizeof(real) == 8:
        y = y * (<real> 1.5 - half * y * y)
    return x * y
