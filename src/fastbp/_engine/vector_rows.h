/* What is done to LANES numbers of a row at once, a vector in memory, and to LANES rows of them: products, maxima and
   sums of which the last vector of a row has only its first `left` lanes.  Loops over lanes with such a condition
   become branches instead of vectors. */
#ifndef FASTBP_LANES_H
#define FASTBP_LANES_H

#include "tile.h"

#if defined(__GNUC__)
typedef __typeof__(__builtin_choose_expr(sizeof(real) == 4, (int32_t)0, (int64_t)0)) whole_number;
typedef whole_number lanes __attribute__((vector_size(VECTOR_BYTES), may_alias));

INLINE vector chosen(lanes where, vector a, vector b) { return (vector)((where & (lanes)a) | (~where & (lanes)b)); }

INLINE vector larger(vector a, vector b) { return chosen((lanes)(a > b), a, b); }

/* x in the lanes that belong to the row, `other` in the others. */
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

/* Whether all of n numbers are finite: x 0 is NaN for what is not, and stays so in a sum. */
INLINE int all_finite(const real *a, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    real total = 0;
#if defined(__GNUC__)
    vector sums[4] = {{0}};
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        UNROLL for (int v = 0; v < 4; v++)
            sums[v] += READ(a + i + v * LANES) * (real)0;
    }
    for (; i + LANES <= n; i += LANES)
        sums[0] += READ(a + i) * (real)0;
    sums[0] += sums[1] + (sums[2] + sums[3]);
    UNROLL for (int k = 0; k < LANES; k++)
        total += sums[0][k];
#endif
    for (; i < n; i++)
        total += a[i] * (real)0;
    return total == 0;
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
