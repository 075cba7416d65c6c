"""Subnormal numbers to zero around our loops: they cost 10 to 25 times as much as others.

The calling thread's mode comes back afterwards, with its floating-point flags.
"""

cdef extern from *:
    """
    #if defined(__SSE__) || defined(_M_X64)
    #include <xmmintrin.h>
    typedef unsigned int fp_mode;
    static fp_mode flush_subnormals(void)
    {
        fp_mode before = _mm_getcsr();
        _mm_setcsr(before | 0x8040);
        return before;
    }
    static void restore_mode(fp_mode before) { _mm_setcsr(before); }
    #elif defined(__aarch64__) && defined(__GNUC__)
    typedef unsigned long long fp_mode;
    static fp_mode flush_subnormals(void)
    {
        fp_mode before;
        __asm__ volatile("mrs %0, fpcr" : "=r"(before));
        __asm__ volatile("msr fpcr, %0" : : "r"(before | (1ull << 24)));
        return before;
    }
    static void restore_mode(fp_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
    #else
    typedef int fp_mode;
    static fp_mode flush_subnormals(void) { return 0; }
    static void restore_mode(fp_mode before) { (void)before; }
    #endif
    """
    ctypedef unsigned int fp_mode
    fp_mode flush_subnormals() noexcept nogil
    void restore_mode(fp_mode before) noexcept nogil
