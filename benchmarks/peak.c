/* The machine's peak: independent fused multiply-adds, as many in flight as two units can take. */
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12

typedef float vector __attribute__((vector_size(BYTES)));
volatile float sink;

double operations(long rounds)
{
    vector sum[CHAINS], factor = (vector){0} + 0.999f, term = (vector){0} + 0.001f;
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) /* equal chains would be computed once */
        sum[i] = (vector){0} + (float)i;
    for (long round = 0; round < rounds; round++)
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * factor + term;
    float total = 0;
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++)
        total += sum[i][0];
    sink = total;
    return 2.0 * CHAINS * rounds * (BYTES / sizeof(float));
}
