"""Which variants of the kernels this processor can run, best first."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    #define HAS(feature) __builtin_cpu_supports(feature)
    #else
    #define HAS(feature) 0
    #endif
    static int has_avx2(void) { return HAS("avx2") && HAS("fma"); }
    static int has_avx512(void)
    {
        return has_avx2() && HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq")
            && HAS("avx512vl");
    }
    """
    bint has_avx2() noexcept
    bint has_avx512() noexcept


def supported():
    """Names of instruction sets, best first; `generic` always works."""
    return (["avx512"] if has_avx512() else []) + (["avx2"] if has_avx2() else []) + ["generic"]
