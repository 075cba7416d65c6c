/* LANES nets at once, one a SIMD lane: number k of all nets is vector k of a block.  passes/lanes.pxi says what for.

   Each sum has the order that it has in a net alone, in tile.h and in kernels/, and so the same bits.  For compilers
   without vector extensions there is none of this. */
#ifndef FASTBP_LANE_TILE_H
#define FASTBP_LANE_TILE_H

#include "tile.h"

#if defined(__GNUC__)
/* Copies LANES vectors, transposed. */
__attribute__((noinline)) static void move_square(real *const *from, ptrdiff_t f, real *const *to, ptrdiff_t t)
{
    vector square[LANES];
    UNROLL for (ptrdiff_t i = 0; i < LANES; i++)
        square[i] = *(const vector *)(from[i] + f);
    exchange(square);
    UNROLL for (ptrdiff_t i = 0; i < LANES; i++)
        *(vector *)(to[i] + t) = square[i];
}

/* n numbers of LANES rows to a block, or back; from LANES numbers on the last square may overlap the one before. */
static void move_lanes(void **rows, ptrdiff_t n, void *block, int back)
{
    real *vectors[LANES], *const *nets = (real *const *)rows;
    if (n < LANES) {
        for (ptrdiff_t i = 0; i < LANES; i++)
            for (ptrdiff_t j = 0; j < n; j++) {
                real *a = nets[i] + j, *b = (real *)block + j * LANES + i;
                *(back ? a : b) = *(back ? b : a);
            }
        return;
    }
    for (ptrdiff_t i = 0; i < LANES; i++)
        vectors[i] = (real *)block + i * LANES;
    for (ptrdiff_t j = 0, k; j < n; j += LANES) {
        k = j < n - LANES ? j : n - LANES;
        move_square(back ? vectors : nets, back ? k * LANES : k, back ? nets : vectors, back ? k : k * LANES);
    }
}

enum { TALL = 4 };

/* LaneProduct of kernel_table.pxd, which describes it. */
typedef struct {
    const vector *A;
    ptrdiff_t a_row, a_step;
    const vector *B;
    ptrdiff_t b_step, b_column;
    const vector *start;
    vector *C;
    ptrdiff_t rows, columns, depth;
} lane_job;

/* R rows of a column: R sums side by side, which share what they read of B. */
INLINE void lane_tile(const int R, const lane_job *job, ptrdiff_t r, ptrdiff_t c)
{
    const ptrdiff_t a_row = job->a_row;
    const vector *A = job->A + r * a_row, *B = job->B + c * job->b_column;
    vector sum[TALL];
    UNROLL for (int i = 0; i < R; i++)
        sum[i] = job->start[c];
    for (ptrdiff_t k = job->depth; k > 0; k--, A += job->a_step, B += job->b_step)
        UNROLL for (int i = 0; i < R; i++)
            sum[i] += A[i * a_row] * *B;
    UNROLL for (int i = 0; i < R; i++)
        job->C[(r + i) * job->columns + c] = sum[i];
}

static void lane_product(const void *what)
{
    const lane_job *job = what;
    for (ptrdiff_t r = 0, R; r < job->rows; r += R) {
        R = job->rows - r < TALL ? 1 : TALL;
        for (ptrdiff_t c = 0; c < job->columns; c++)
            if (R > 1)
                lane_tile(TALL, job, r, c);
            else
                lane_tile(1, job, r, c);
    }
}

/* db = the sum of dZ's rows, in four partial sums; of one row, that row. */
static void lane_sums(const void *dZ, ptrdiff_t N, ptrdiff_t O, void *db)
{
    for (ptrdiff_t o = 0; o < O; o++) {
        const vector *dz = (const vector *)dZ + o;
        vector sum[4] = {{0}, {0}, {0}, {0}};
        for (ptrdiff_t n = 0; n < N; n++)
            sum[n < N - N % 4 ? n % 4 : 0] += dz[n * O];
        sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        ((vector *)db)[o] = *(N == 1 ? dz : sum);
    }
}

/* row_losses = share times the sums of each row's losses of outputs, lane by lane; dY *= share.  O is at most PANEL. */
static void lane_losses(const void *losses, void *dY, ptrdiff_t N, ptrdiff_t O, double share, double *row_losses)
{
    const ptrdiff_t wide = O > 4 ? O - O % LANES : 0; /* from five outputs on `add_losses` has partial sums */
    const vector *row = losses;
    vector *dy = dY;
    for (ptrdiff_t n = 0; n < N * O; n++)
        dy[n] *= (real)share;
    for (ptrdiff_t n = 0; n < N; n++, row += O) {
        vector total = {0};
        ptrdiff_t k = 0;
        for (; k < LANES && wide > 0; k++) {
            vector sum = {0};
            for (ptrdiff_t j = k; j < wide; j += LANES)
                sum += row[j];
            total += sum;
        }
        for (k = wide; k < O; k++)
            total += row[k];
        for (k = 0; k < LANES; k++)
            row_losses[k * N + n] = share * (double)total[k];
    }
}

/* The rows of the first lane to a tensor of one block, or back. */
static void lane_rows(void *block, ptrdiff_t N, const void *tensor, int back)
{
    const struct { real *data; ptrdiff_t width, pitch; } *T = tensor;
    real *a = block;
    for (ptrdiff_t n = 0; n < N; n++)
        for (ptrdiff_t j = 0; j < T->width; j++, a += LANES) {
            real *t = T->data + n * T->pitch + j;
            *(back ? a : t) = *(back ? t : a);
        }
}

#define MOVE_LANES move_lanes
#define LANE_PRODUCT ((void *)lane_product)
#define LANE_SUMS lane_sums
#define LANE_LOSSES lane_losses
#define LANE_ROWS ((void *)lane_rows)
#else
#define MOVE_LANES NULL
#define LANE_PRODUCT NULL
#define LANE_SUMS NULL
#define LANE_LOSSES NULL
#define LANE_ROWS NULL
#endif

#endif
