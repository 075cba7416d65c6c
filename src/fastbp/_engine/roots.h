/* The square root of a vector, for update rules: these divide by it next, and the division would queue for the same
   unit as the processor's root instruction, so products and an estimate of 1 / sqrt(x) are several times as fast. */
#ifndef FASTBP_ROOTS_H
#define FASTBP_ROOTS_H

#include "vector_rows.h"
#include <float.h>
#include <math.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define REAL_MIN (sizeof(real) == 4 ? (real)FLT_MIN : (real)DBL_MIN)
#define REAL_MAX (sizeof(real) == 4 ? (real)FLT_MAX : (real)DBL_MAX)

#if defined(__GNUC__)
/* An estimate of 1 / sqrt(x): ESTIMATE_STEPS doublings of its digits, and that of the root, reach the digits of x. */
INLINE vector estimate(vector x)
{
#if defined(__AVX512F__)
    return sizeof(real) == 4 ? (vector)_mm512_rsqrt14_ps((__m512)x) : (vector)_mm512_rsqrt14_pd((__m512d)x);
#define ESTIMATE_STEPS (sizeof(real) == 4 ? 0 : 1)
#else
#if defined(__AVX__)
    if (sizeof(real) == 4)
        return (vector)_mm256_rsqrt_ps((__m256)x);
#elif defined(__SSE2__)
    if (sizeof(real) == 4)
        return (vector)_mm_rsqrt_ps((__m128)x);
#endif
#if defined(__SSE2__)
#define ESTIMATE_STEPS (sizeof(real) == 4 ? 0 : 3)
#else
#define ESTIMATE_STEPS (sizeof(real) == 4 ? 2 : 3)
#endif
    /* Half the exponent by a shift of the bits, an error of 3 % at most (Lomont 2003). */
    const lanes magic = (lanes){0} + (whole_number)(sizeof(real) == 4 ? 0x5F3759DF : 0x5FE6EB50C7B537A9LL);
    return (vector)(magic - ((lanes)x >> 1));
#endif
}

/* sqrt(x) for 0 <= x, in Newton's steps; infinity gives the root of the largest number. */
INLINE vector square_roots(vector x)
{
    const vector low = (vector){0} + REAL_MIN, high = (vector){0} + REAL_MAX;
    x = chosen((lanes)(x < high), x, high);
    vector y = estimate(chosen((lanes)(x > low), x, low));
    for (int k = 0; k < ESTIMATE_STEPS; k++)
        y *= (real)1.5 - (real)0.5 * x * y * y;
    const vector root = x * y;
    return root + root * ((real)0.5 - (real)0.5 * y * root);
}
#else
typedef real vector;
INLINE vector square_roots(vector x) { return sizeof(real) == 4 ? (real)sqrtf((float)x) : (real)sqrt((double)x); }
#endif

#endif
