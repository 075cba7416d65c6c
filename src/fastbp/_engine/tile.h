/* The register tile: C = start + A P, for up to TILE_ROWS rows and PANEL_VECTORS vectors of columns.

   One body serves the three products of a dense layer (kernels/dense.pxi says how).  It is written in
   the vector extensions of GCC and Clang, so that one source gives SSE, AVX2, AVX-512 and NEON; a
   compiler without them gets the same sums in plain C.  Intrinsics would need a copy for each
   instruction set.  REAL is float or double; both are this file. */
#ifndef FASTBP_TILE_H
#define FASTBP_TILE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

/* Up to 28 accumulators of 32 registers, or 12 of 16: the rest holds the panel's row and a broadcast, which
   leaves 6 rows beside 4 vectors.  A sum too many spills to memory, and each addition waits for the store before. */
#define UP_TO_2(X, R) X(R, 1) X(R, 2)
#define UP_TO_3(X, R) UP_TO_2(X, R) X(R, 3)
#define UP_TO_4(X, R) UP_TO_3(X, R) X(R, 4)
#if defined(__AVX512F__)
#define PANEL_VECTORS 4
#define TILE_HEIGHTS {14, 14, 9, 6}
#define EACH_TILE(X)                                                                                    \
    UP_TO_4(X, 1) UP_TO_4(X, 2) UP_TO_4(X, 3) UP_TO_4(X, 4) UP_TO_4(X, 5) UP_TO_4(X, 6) UP_TO_3(X, 7)   \
    UP_TO_3(X, 8) UP_TO_3(X, 9) UP_TO_2(X, 10) UP_TO_2(X, 11) UP_TO_2(X, 12) UP_TO_2(X, 13) UP_TO_2(X, 14)
#else
#define PANEL_VECTORS 2
#define UP_TO_6(X) UP_TO_2(X, 1) UP_TO_2(X, 2) UP_TO_2(X, 3) UP_TO_2(X, 4) UP_TO_2(X, 5) UP_TO_2(X, 6)
#if defined(__aarch64__)
#define TILE_HEIGHTS {14, 14}
#define EACH_TILE(X)                                                                                    \
    UP_TO_6(X) UP_TO_2(X, 7) UP_TO_2(X, 8) UP_TO_2(X, 9) UP_TO_2(X, 10) UP_TO_2(X, 11) UP_TO_2(X, 12)   \
    UP_TO_2(X, 13) UP_TO_2(X, 14)
#else
#define TILE_HEIGHTS {6, 6}
#define EACH_TILE(X) UP_TO_6(X)
#endif
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define TILE_ROWS 14
#else
#define TILE_ROWS 6
#endif

#define LANES ((ptrdiff_t)(VECTOR_BYTES / sizeof(real)))
#define PANEL (PANEL_VECTORS * LANES)

/* What the accumulators hold before the first product. */
enum { FROM_ZERO, FROM_BIAS, FROM_C };

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
/* A loop over accumulators that is not unrolled keeps them in memory, at a third of the speed. */
#define UNROLL _Pragma("GCC unroll 16")
typedef real vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#else
#define INLINE static __inline
#define UNROLL
#endif

/* An array that a loop reads at i before it writes at i, and never again: it may be the array written to, or lie apart.
   Without `restrict` a compiler guards the loop against overlap, and in place it then runs number by number. */
typedef const real *__restrict operand;
/* An array that a loop only writes to. */
typedef real *__restrict result;

/* A's element (r, k) is A[r * row + (k / run) * jump + (k % run) * step]; P's row k begins at P[k * pitch]. */
INLINE void tile(const int R, const int V, const real *A, const ptrdiff_t row, const ptrdiff_t step,
                 const ptrdiff_t run, const ptrdiff_t jump, const real *P, const ptrdiff_t pitch,
                 ptrdiff_t K, real *C, const ptrdiff_t c_row, const real *bias, const int from)
{
#if defined(__GNUC__)
    vector sum[TILE_ROWS][PANEL_VECTORS];
    UNROLL for (int r = 0; r < R; r++) {
        const real *start = from == FROM_C ? C + r * c_row : bias;
        UNROLL for (int v = 0; v < V; v++)
            sum[r][v] = from == FROM_ZERO ? (vector){0} : *(const vector *)(start + v * LANES);
    }
    for (; K > 0; K -= run, A += jump) {
        const real *a = A, *const end = P + (K < run ? K : run) * pitch;
        for (; P != end; P += pitch, a += step) {
            vector p[PANEL_VECTORS];
            UNROLL for (int v = 0; v < V; v++)
                p[v] = *(const vector *)(P + v * LANES);
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int v = 0; v < V; v++)
                    sum[r][v] += a[r * row] * p[v];
        }
    }
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int v = 0; v < V; v++)
            *(vector *)(C + r * c_row + v * LANES) = sum[r][v];
#else
    for (int r = 0; r < R; r++)
        for (ptrdiff_t j = 0; j < V * LANES; j++) {
            real sum = from == FROM_ZERO ? 0 : from == FROM_BIAS ? bias[j] : C[r * c_row + j];
            for (ptrdiff_t k = 0; k < K; k++)
                sum += A[r * row + k / run * jump + k % run * step] * P[k * pitch + j];
            C[r * c_row + j] = sum;
        }
#endif
}

typedef void tile_function(const real *A, ptrdiff_t stride, ptrdiff_t jump, const real *P, ptrdiff_t pitch,
                           ptrdiff_t K, real *C, ptrdiff_t c_row, const real *bias, int from);

#define TILE_FUNCTIONS(R, V)                                                                            \
    static void tile_blocked_##R##_##V(const real *A, ptrdiff_t stride, ptrdiff_t jump, const real *P,  \
                                       ptrdiff_t pitch, ptrdiff_t K, real *C, ptrdiff_t c_row,          \
                                       const real *bias, int from)                                      \
    {                                                                                                   \
        (void)stride;                                                                                   \
        tile(R, V, A, PANEL, 1, PANEL, jump, P, pitch, K, C, c_row, bias, from);                        \
    }                                                                                                   \
    static void tile_plain_##R##_##V(const real *A, ptrdiff_t stride, ptrdiff_t jump, const real *P,    \
                                     ptrdiff_t pitch, ptrdiff_t K, real *C, ptrdiff_t c_row,            \
                                     const real *bias, int from)                                        \
    {                                                                                                   \
        (void)jump;                                                                                     \
        tile(R, V, A, stride, 1, K, 0, P, pitch, K, C, c_row, bias, from);                              \
    }                                                                                                   \
    static void tile_columns_##R##_##V(const real *A, ptrdiff_t stride, ptrdiff_t jump, const real *P,  \
                                       ptrdiff_t pitch, ptrdiff_t K, real *C, ptrdiff_t c_row,          \
                                       const real *bias, int from)                                      \
    {                                                                                                   \
        (void)jump;                                                                                     \
        tile(R, V, A, 1, stride, K, 0, P, pitch, K, C, c_row, bias, from);                              \
    }
EACH_TILE(TILE_FUNCTIONS)

/* How the left operand lies in memory: in blocks of PANEL features, in plain rows, or read by columns. */
enum { BLOCKED, PLAIN, COLUMNS };

#define POINTERS(R, V)                                                                                  \
    [R - 1][BLOCKED][V - 1] = tile_blocked_##R##_##V, [R - 1][PLAIN][V - 1] = tile_plain_##R##_##V,     \
    [R - 1][COLUMNS][V - 1] = tile_columns_##R##_##V,
static tile_function *const TILES[TILE_ROWS][3][PANEL_VECTORS] = {EACH_TILE(POINTERS)};

/* The rows of the tallest tile, by its number of vectors - 1. */
static const ptrdiff_t HEIGHTS[PANEL_VECTORS] = TILE_HEIGHTS;

/* One row: C = start + A P for 1 ... LONE_VECTORS vectors of columns, of several panels.  The sums of a panel alone are
   too few to keep the multiply-add units busy.  Vector v of C lies at
   (v / PANEL_VECTORS) * block + (v % PANEL_VECTORS) * LANES. */
enum { LONE_VECTORS = 8 };

INLINE void lone(const int V, const real *A, const ptrdiff_t run, const ptrdiff_t jump, const real *P,
                 const ptrdiff_t pitch, ptrdiff_t K, real *C, const ptrdiff_t block, const real *start)
{
#if defined(__GNUC__)
    vector sum[LONE_VECTORS];
    UNROLL for (int v = 0; v < V; v++)
        sum[v] = start ? *(const vector *)(start + v * LANES) : (vector){0};
    for (; K > 0; K -= run, A += jump) {
        const real *a = A, *const end = P + (K < run ? K : run) * pitch;
        for (; P != end; P += pitch, a++)
            UNROLL for (int v = 0; v < V; v++)
                sum[v] += *a * *(const vector *)(P + v * LANES);
    }
    UNROLL for (int v = 0; v < V; v++)
        *(vector *)(C + v / PANEL_VECTORS * block + v % PANEL_VECTORS * LANES) = sum[v];
#else
    for (ptrdiff_t j = 0; j < V * LANES; j++) {
        real sum = start ? start[j] : 0;
        for (ptrdiff_t k = 0; k < K; k++)
            sum += A[k / run * jump + k % run] * P[k * pitch + j];
        C[j / PANEL * block + j % PANEL] = sum;
    }
#endif
}

typedef void lone_function(const real *A, ptrdiff_t run, ptrdiff_t jump, const real *P, ptrdiff_t pitch, ptrdiff_t K,
                           real *C, ptrdiff_t block, const real *start);

#define EACH_LONE(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define LONE_FUNCTIONS(V)                                                                               \
    static void lone_##V(const real *A, ptrdiff_t run, ptrdiff_t jump, const real *P, ptrdiff_t pitch,  \
                         ptrdiff_t K, real *C, ptrdiff_t block, const real *start)                      \
    {                                                                                                   \
        lone(V, A, run, jump, P, pitch, K, C, block, start);                                            \
    }
EACH_LONE(LONE_FUNCTIONS)
#define LONE_POINTERS(V) lone_##V,
static lone_function *const LONES[LONE_VECTORS] = {EACH_LONE(LONE_POINTERS)};

/* The outer product of two rows: C's row i = A[i] P, for 1 ... PANEL_VECTORS vectors of P. */
INLINE void outer(const int V, const real *A, const ptrdiff_t rows, const real *P, real *C, const ptrdiff_t pitch)
{
#if defined(__GNUC__)
    vector p[PANEL_VECTORS];
    UNROLL for (int v = 0; v < V; v++)
        p[v] = *(const vector *)(P + v * LANES);
    for (const real *const end = A + rows; A != end; A++, C += pitch)
        UNROLL for (int v = 0; v < V; v++)
            *(vector *)(C + v * LANES) = *A * p[v];
#else
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < V * LANES; j++)
            C[i * pitch + j] = A[i] * P[j];
#endif
}

typedef void outer_function(const real *A, ptrdiff_t rows, const real *P, real *C, ptrdiff_t pitch);

#define OUTER_FUNCTIONS(V)                                                                              \
    static void outer_##V(const real *A, ptrdiff_t rows, const real *P, real *C, ptrdiff_t pitch)       \
    {                                                                                                   \
        outer(V, A, rows, P, C, pitch);                                                                 \
    }
#define OUTER_POINTERS(V) outer_##V,
#if PANEL_VECTORS == 4
#define EACH_OUTER(X) X(1) X(2) X(3) X(4)
#else
#define EACH_OUTER(X) X(1) X(2)
#endif
EACH_OUTER(OUTER_FUNCTIONS)
static outer_function *const OUTERS[PANEL_VECTORS] = {EACH_OUTER(OUTER_POINTERS)};

#if defined(__GNUC__)
#if defined(__clang__)
#define PICK(a, b, mask, out)                                                                           \
    UNROLL for (ptrdiff_t j = 0; j < LANES; j++)                                                        \
        out[j] = mask[j] < LANES ? a[mask[j]] : b[mask[j] - LANES];
#else
#define PICK(a, b, mask, out) out = __builtin_shuffle(a, b, mask);
#endif
#define EXCHANGE(distance)                                                                              \
    if (distance < LANES) {                                                                             \
        lanes low, high;                                                                                \
        UNROLL for (ptrdiff_t j = 0; j < LANES; j++) {                                                  \
            low[j] = j & distance ? LANES + j - distance : j;                                           \
            high[j] = j & distance ? LANES + j : j + distance;                                          \
        }                                                                                               \
        UNROLL for (ptrdiff_t i = 0; i < LANES; i++)                                                    \
            if (!(i & distance)) {                                                                      \
                const vector a = t[i], b = t[(i + distance) % LANES];                                   \
                PICK(a, b, low, t[i])                                                                   \
                PICK(a, b, high, t[(i + distance) % LANES])                                             \
            }                                                                                           \
    }
/* Transposes LANES vectors in registers, by exchanges at distances of 1, 2, 4 and 8 lanes. */
INLINE void exchange(vector *t)
{
    typedef __typeof__((vector){0} < (vector){0}) lanes;
    EXCHANGE(1) EXCHANGE(2) EXCHANGE(4) EXCHANGE(8)
}
#endif

/* T[j][i] = S[i][j] for LANES by LANES numbers. */
static inline void transpose(const real *S, ptrdiff_t s_row, real *T, ptrdiff_t t_row)
{
#if defined(__GNUC__)
    vector t[LANES];
    UNROLL for (ptrdiff_t i = 0; i < LANES; i++)
        t[i] = *(const vector *)(S + i * s_row);
    exchange(t);
    UNROLL for (ptrdiff_t i = 0; i < LANES; i++)
        *(vector *)(T + i * t_row) = t[i];
#else
    for (ptrdiff_t i = 0; i < LANES; i++)
        for (ptrdiff_t j = 0; j < LANES; j++)
            T[j * t_row + i] = S[i * s_row + j];
#endif
}

/* Prefetches the cache lines of `size` bytes; one function, since dozens of loops over rows call it. */
#if defined(__GNUC__)
__attribute__((noinline, unused)) static void fetch(const void *A, ptrdiff_t size)
{
    for (ptrdiff_t k = 0; k < size; k += 64)
        __builtin_prefetch((const char *)A + k);
}
#else
static inline void fetch(const void *A, ptrdiff_t size) {}
#endif

/* C = A, 64 bytes at a multiple of 64: on x86 by non-temporal stores, which do not fetch the cache line first. */
static inline void stream_line(const void *A, void *C)
{
#if defined(__SSE2__)
    for (int k = 0; k < 4; k++)
        _mm_stream_si128((__m128i *)C + k, _mm_loadu_si128((const __m128i *)A + k));
#else
    memcpy(C, A, 64);
#endif
}

#endif
