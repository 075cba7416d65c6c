/* A training step of one net and one number of rows, known when this is compiled, and nothing else: products,
   activations, loss, update. No checks, no other shapes, one thread: the bound that `of frontier` is measured against.

   Compiled with -DREAL=float -DROWS=32 -DLAYERS="L(0,0,4,64) L(1,0,64,64) L(2,1,64,2)" (layer, the one below, inputs,
   outputs) and the same from the last layer on as BACKWARDS, -DLAST=2 -DINPUTS=4 -DOUTPUTS=2, -DTANH or not (relu),
   -DMSE or not (cross entropy of classes), -DADAM or not (SGD). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef REAL real;
#if defined(__AVX512F__)
enum { BYTES = 64, TALLEST = 6, WIDE = 4 };
#elif defined(__AVX__)
enum { BYTES = 32, TALLEST = 6, WIDE = 2 };
#else
enum { BYTES = 16, TALLEST = 6, WIDE = 2 };
#endif
#ifdef MSE
enum { TARGET_BYTES = OUTPUTS * sizeof(real) };
#else
enum { TARGET_BYTES = sizeof(long) };
#endif
enum { LANES = BYTES / sizeof(real) };
typedef real vector __attribute__((vector_size(BYTES), aligned(sizeof(real))));
#define INLINE static inline __attribute__((always_inline))
#define PADDED(n) (((n) + LANES - 1) / LANES * LANES)
#define ALIGNED __attribute__((aligned(64)))
#define JOINED(name, l) name##l
#define OF_LAST(name, l) JOINED(name, l)

/* C[rows, wide vectors] = A B, or + bias; A's element (m, k) lies at A[m * down + k * along]. */
INLINE void tile(int rows, int wide, int K, const real *A, int down, int along, const real *B, int pitch, real *C,
                 int pitch_c, const real *bias)
{
    vector sum[8][8];
#pragma GCC unroll 8
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
        for (int v = 0; v < wide; v++)
            sum[m][v] = bias ? *(const vector *)(bias + v * LANES) : (vector){0};
    for (int k = 0; k < K; k++) {
        vector b[8];
#pragma GCC unroll 8
        for (int v = 0; v < wide; v++)
            b[v] = *(const vector *)(B + k * pitch + v * LANES);
#pragma GCC unroll 8
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
            for (int v = 0; v < wide; v++)
                sum[m][v] += A[m * down + k * along] * b[v];
    }
#pragma GCC unroll 8
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 8
        for (int v = 0; v < wide; v++)
            *(vector *)(C + m * pitch_c + v * LANES) = sum[m][v];
}

INLINE void column_of_tiles(int wide, int M, int K, const real *A, int down, int along, const real *B, int pitch,
                            real *C, const real *bias)
{
    const int parts = (M + TALLEST - 1) / TALLEST, tall = (M + parts - 1) / parts, talls = M - parts * (tall - 1);
    int m = 0;
    for (int i = 0; i < talls; i++, m += tall)
        tile(tall, wide, K, A + m * down, down, along, B, pitch, C + m * pitch, pitch, bias);
    if (tall > 1)
        for (int i = talls; i < parts; i++, m += tall - 1)
            tile(tall - 1, wide, K, A + m * down, down, along, B, pitch, C + m * pitch, pitch, bias);
}

/* C = A B: N is padded, and so are the rows of B and C. */
INLINE void product(int M, int N, int K, const real *A, int down, int along, const real *B, real *C, const real *bias)
{
    const int vectors = N / LANES, wide = M == 1 ? 2 * WIDE : WIDE, rest = vectors % wide;
    int v = 0;
    for (; v + wide <= vectors; v += wide)
        column_of_tiles(wide, M, K, A, down, along, B + v * LANES, N, C + v * LANES, bias ? bias + v * LANES : 0);
    if (rest)
        column_of_tiles(rest, M, K, A, down, along, B + v * LANES, N, C + v * LANES, bias ? bias + v * LANES : 0);
}

/* Parameters, and what the optimizer keeps of them; W has padded rows. Values and slopes; padded columns are zero. */
#define L(l, below, I, O)                                                                                                  \
    ALIGNED static real W##l[3][(I) * PADDED(O) + PADDED(O)], dW##l[(I) * PADDED(O) + PADDED(O)], Y##l[ROWS * PADDED(O)],\
        dY##l[ROWS * PADDED(O)], T##l[(O) * PADDED(I)];
LAYERS
#undef L
static double powers[2] = {1, 1};

INLINE void activated(real *Y, int n)
{
    for (int i = 0; i < n; i++)
#ifdef TANH
        Y[i] = sizeof(real) == 4 ? tanhf(Y[i]) : tanh(Y[i]);
#else
        Y[i] = Y[i] > 0 ? Y[i] : 0;
#endif
}

INLINE void slope(const real *Y, real *dY, int n)
{
    for (int i = 0; i < n; i++)
#ifdef TANH
        dY[i] *= 1 - Y[i] * Y[i];
#else
        dY[i] = Y[i] > 0 ? dY[i] : 0;
#endif
}

INLINE void forward(const real *X, const int rows)
{
    const real *from = X;
    int pitch = INPUTS;
#define L(l, below, I, O)                                                                                                  \
    product(rows, PADDED(O), I, from, pitch, 1, W##l[0], Y##l, W##l[0] + (I) * PADDED(O));                             \
    if (l != LAST)                                                                                                     \
        activated(Y##l, rows * PADDED(O));                                                                             \
    from = Y##l, pitch = PADDED(O);
    LAYERS
#undef L
}

INLINE double loss(const real *Y, const void *targets, real *dY)
{
    double total = 0;
    for (int n = 0; n < ROWS; n++) {
        const real *y = Y + n * PADDED(OUTPUTS);
        real *d = dY + n * PADDED(OUTPUTS), part = 0;
#ifdef MSE
        for (int o = 0; o < OUTPUTS; o++) {
            real e = y[o] - ((const real *)targets)[n * OUTPUTS + o];
            part += e * e, d[o] = e * (real)(2.0 / (ROWS * OUTPUTS));
        }
        total += part / (ROWS * OUTPUTS);
#else
        const int known = (int)((const long *)targets)[n];
        real most = y[0];
        for (int o = 1; o < OUTPUTS; o++)
            most = y[o] > most ? y[o] : most;
        for (int o = 0; o < OUTPUTS; o++)
            part += d[o] = sizeof(real) == 4 ? expf(y[o] - most) : exp(y[o] - most);
        total += (log(part) + most - y[known]) / ROWS;
        for (int o = 0; o < OUTPUTS; o++)
            d[o] *= 1 / (part * ROWS);
        d[known] -= (real)(1.0 / ROWS);
#endif
    }
    return total;
}

/* dW = X' dY with db behind it; dX = dY W'. */
INLINE void backward(const real *X)
{
#define L(l, below, I, O)                                                                                                  \
    {                                                                                                                  \
        const real *from = l ? Y##below : X;                                                                           \
        const int pitch = l ? PADDED(I) : INPUTS;                                                                      \
        if (l != LAST)                                                                                                 \
            slope(Y##l, dY##l, ROWS * PADDED(O));                                                                      \
        product(I, PADDED(O), ROWS, from, 1, pitch, dY##l, dW##l, 0);                                                  \
        real *db = dW##l + (I) * PADDED(O);                                                                            \
        memset(db, 0, PADDED(O) * sizeof(real));                                                                       \
        for (int n = 0; n < ROWS; n++)                                                                                 \
            for (int o = 0; o < PADDED(O); o++)                                                                        \
                db[o] += dY##l[n * PADDED(O) + o];                                                                     \
        if (l) {                                                                                                       \
            for (int i = 0; i < I; i++)                                                                                \
                for (int o = 0; o < O; o++)                                                                            \
                    T##l[o * PADDED(I) + i] = W##l[0][i * PADDED(O) + o];                                              \
            product(ROWS, PADDED(I), O, dY##l, PADDED(O), 1, T##l, dY##below, 0);                                 \
        }                                                                                                              \
    }
    BACKWARDS
#undef L
}

INLINE void update(real *p, real *m, real *v, const real *g, int n, real rate, real root)
{
    for (int i = 0; i < n; i++) {
#ifdef ADAM
        m[i] += (real)0.1 * (g[i] - m[i]);
        v[i] += (real)0.001 * (g[i] * g[i] - v[i]);
        p[i] -= rate * m[i] / ((sizeof(real) == 4 ? sqrtf(v[i]) : sqrt(v[i])) * root + (real)1e-8);
#else
        p[i] -= rate * g[i];
#endif
    }
}

/* All of what follows goes through so many batches, which lie one behind the other. */
INLINE double gradient_of(const real *X, const void *targets)
{
    forward(X, ROWS);
    double value = loss(OF_LAST(Y, LAST), targets, OF_LAST(dY, LAST));
    backward(X);
    return value;
}

double gradient(const real *X, const void *targets, long batches)
{
    double value = 0;
    for (long k = 0; k < batches; k++)
        value += gradient_of(X + k * ROWS * INPUTS, (const char *)targets + k * ROWS * TARGET_BYTES);
    return value;
}

double train(const real *X, const void *targets, long batches, double rate)
{
    double value = 0;
    for (long k = 0; k < batches; k++) {
        value = gradient_of(X + k * ROWS * INPUTS, (const char *)targets + k * ROWS * TARGET_BYTES);
        double root = 1, bias = 1;
#ifdef ADAM
        powers[0] *= 0.9, powers[1] *= 0.999;
        bias = 1 - powers[0], root = 1 / sqrt(1 - powers[1]);
#endif
#define L(l, below, I, O) update(W##l[0], W##l[1], W##l[2], dW##l, ((I) + 1) * PADDED(O), rate / bias, root);
        LAYERS
#undef L
    }
    return value;
}

void predict(const real *X, real *Y, long batches)
{
    for (long k = 0; k < batches; k++) {
        forward(X + k * ROWS * INPUTS, ROWS);
        for (int n = 0; n < ROWS; n++)
            memcpy(Y + n * OUTPUTS, OF_LAST(Y, LAST) + n * PADDED(OUTPUTS), OUTPUTS * sizeof(real));
    }
}

/* Predictions of a row, each of whose first input comes from the outputs of the one before. */
void follow(real *x, real *Y, long count, double times)
{
    for (long k = 0; k < count; k++) {
        forward(x, 1);
        x[0] = (real)times * OF_LAST(Y, LAST)[0];
    }
    memcpy(Y, OF_LAST(Y, LAST), OUTPUTS * sizeof(real));
}

/* Rounds of so many predictions of a row, whose largest output is the action, and a step on a batch. */
void play(const real *X, const void *targets, long batches, long *actions, long rounds, long each, double rate)
{
    long row = 0;
    for (long k = 0; k < rounds; k++) {
        for (long n = 0; n < each; n++) {
            const real *y = OF_LAST(Y, LAST);
            long best = 0;
            forward(X + row * INPUTS, 1);
            for (int o = 1; o < OUTPUTS; o++)
                best = y[o] > y[best] ? o : best;
            actions[row] = best;
            row = row + 1 < batches * ROWS ? row + 1 : 0;
        }
        train(X + k % batches * ROWS * INPUTS, (const char *)targets + k % batches * ROWS * TARGET_BYTES, 1, rate);
    }
}

/* W and b of a layer, from arrays (0), or of parameters (1) or the gradient (2) into arrays. */
void exchange(int layer, int what, real *W, real *b)
{
#define L(l, below, I, O)                                                                                                  \
    if (layer == l)                                                                                                    \
        for (int i = 0; i <= I; i++) {                                                                                 \
            real *ours = (what == 2 ? dW##l : W##l[0]) + i * PADDED(O), *theirs = i < I ? W + i * (O) : b;             \
            memcpy(what ? theirs : ours, what ? ours : theirs, (O) * sizeof(real));                                    \
        }
    LAYERS
#undef L
}
