/* Operations on one vector of a row in memory, and on LANES rows of vectors: products, maxima and sums of which the
   last vector of a row has only its first `left` lanes.  Compilers turn loops over lanes with such a condition into
   branches instead of SIMD. */
#ifndef FASTBP_LANES_H
#define FASTBP_LANES_H

#include "tile.h"
#if defined(__GNUC__) && defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__GNUC__)
typedef __typeof__(__builtin_choose_expr(sizeof(real) == 4, (int32_t)0, (int64_t)0)) whole_number;
typedef whole_number lanes __attribute__((vector_size(VECTOR_BYTES), may_alias));

INLINE vector chosen(lanes where, vector a, vector b) { return (vector)((where & (lanes)a) | (~where & (lanes)b)); }

INLINE vector larger(vector a, vector b) { return chosen((lanes)(a > b), a, b); }

/* x in the first `left` lanes, which belong to the row, `other` in the rest. */
INLINE vector held(vector x, ptrdiff_t left, vector other)
{
    lanes k;
    if (left >= LANES)
        return x;
    UNROLL for (int j = 0; j < LANES; j++)
        k[j] = j;
    return chosen((lanes)(k < (whole_number)left), x, other);
}

#define AT(a) (*(vector *)(a))
#define READ(a) (*(const vector *)(a))
#define EACH_LANE(gnu, plain) gnu;
#else
#define EACH_LANE(gnu, plain)                                                                           \
    for (ptrdiff_t k = 0; k < LANES; k++)                                                               \
        plain;
#endif

/* Whether a lane is NaN.  By a comparison of whole vectors: a sum over lanes would be LANES dependent additions. */
#if defined(__GNUC__)
INLINE int any_nan(vector x)
{
#if defined(__AVX512F__)
    return sizeof(real) == 4 ? _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q)
                             : _mm512_cmp_pd_mask((__m512d)x, (__m512d)x, _CMP_UNORD_Q);
#elif defined(__AVX__)
    return sizeof(real) == 4 ? _mm256_movemask_ps(_mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q))
                             : _mm256_movemask_pd(_mm256_cmp_pd((__m256d)x, (__m256d)x, _CMP_UNORD_Q));
#elif defined(__SSE2__)
    return sizeof(real) == 4 ? _mm_movemask_ps(_mm_cmpunord_ps((__m128)x, (__m128)x))
                             : _mm_movemask_pd(_mm_cmpunord_pd((__m128d)x, (__m128d)x));
#else
    int any = 0;
    UNROLL for (int k = 0; k < LANES; k++)
        any |= x[k] != x[k];
    return any;
#endif
}
#endif

/* Whether all of n numbers are finite: x * 0 is NaN for an x that is not, and a sum with NaN is NaN. */
INLINE int all_finite(const real *a, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    real total = 0;
#if defined(__GNUC__)
    vector sums[8] = {{0}};
    for (; i + 8 * LANES <= n; i += 8 * LANES) {
        UNROLL for (int v = 0; v < 8; v++)
            sums[v] += READ(a + i + v * LANES) * (real)0;
    }
    for (; i + LANES <= n; i += LANES)
        sums[0] += READ(a + i) * (real)0;
    UNROLL for (int v = 0; v < 4; v++)
        sums[v] += sums[v + 4];
    if (any_nan(sums[0] + sums[1] + (sums[2] + sums[3])))
        return 0;
#endif
    for (; i < n; i++)
        total += a[i] * (real)0;
    return total == 0;
}

/* C = the first n of a vector's numbers, at most LANES, and zeros; C may be a.  Where the processor has masked loads,
   by one of them: a vector written in smaller parts could be read as a whole only when these have reached the cache. */
INLINE void read_first(const real *a, ptrdiff_t n, real *C)
{
#if defined(__AVX512F__)
    const unsigned first = (1u << n) - 1;
    AT(C) = sizeof(real) == 4 ? (vector)_mm512_maskz_loadu_ps((__mmask16)first, a)
                              : (vector)_mm512_maskz_loadu_pd((__mmask8)first, a);
#elif defined(__AVX__)
    const __m256i first = (__m256i)held((vector) ~(lanes){0}, n, (vector){0});
    AT(C) = sizeof(real) == 4 ? (vector)_mm256_maskload_ps((const float *)a, first)
                              : (vector)_mm256_maskload_pd((const double *)a, first);
#else
    real first[16] = {0};
    memcpy(first, a, n * sizeof(real));
    memcpy(C, first, LANES * sizeof(real));
#endif
}

/* The first n of a vector's numbers, at most LANES, to c. */
INLINE void write_first(const real *A, ptrdiff_t n, real *c)
{
#if defined(__AVX512F__)
    const unsigned first = (1u << n) - 1;
    if (sizeof(real) == 4)
        _mm512_mask_storeu_ps(c, (__mmask16)first, (__m512)READ(A));
    else
        _mm512_mask_storeu_pd(c, (__mmask8)first, (__m512d)READ(A));
#elif defined(__AVX__)
    const __m256i first = (__m256i)held((vector) ~(lanes){0}, n, (vector){0});
    if (sizeof(real) == 4)
        _mm256_maskstore_ps((float *)c, first, (__m256)READ(A));
    else
        _mm256_maskstore_pd((double *)c, first, (__m256d)READ(A));
#else
    memcpy(c, A, n * sizeof(real));
#endif
}

INLINE void add_lanes(real *sums, const real *a, ptrdiff_t left)
{
    EACH_LANE(AT(sums) += held(READ(a), left, (vector){0}), sums[k] += k < left ? a[k] : 0)
}

INLINE void add_products(real *sums, const real *a, const real *b, ptrdiff_t left)
{
    EACH_LANE(AT(sums) += held(READ(a) * READ(b), left, (vector){0}), sums[k] += k < left ? a[k] * b[k] : 0)
}

/* most = the larger of most and sign a. */
INLINE void keep_largest(real *most, const real *a, real sign, ptrdiff_t left)
{
    EACH_LANE(AT(most) = larger(held(sign * READ(a), left, READ(most)), READ(most)),
              most[k] = k < left && sign * a[k] > most[k] ? sign * a[k] : most[k])
}

/* sums[r] = the sum over k of rows[r * LANES + k]. */
INLINE void sums_across(const real *rows, real *sums)
{
    real turned[16 * 16];
    transpose(rows, LANES, turned, LANES);
    memcpy(sums, turned, LANES * sizeof(real));
    UNROLL for (ptrdiff_t v = 1; v < LANES; v++)
        add_lanes(sums, turned + v * LANES, LANES);
}

/* most[r] = the largest of rows[r * LANES + k]. */
INLINE void largest_across(const real *rows, real *most)
{
    real turned[16 * 16];
    transpose(rows, LANES, turned, LANES);
    memcpy(most, turned, LANES * sizeof(real));
    UNROLL for (ptrdiff_t v = 1; v < LANES; v++)
        keep_largest(most, turned + v * LANES, 1, LANES);
}

#endif
