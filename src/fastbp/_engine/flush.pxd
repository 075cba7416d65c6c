"""Flushes subnormal numbers to zero around the engine's loops: they cost 10 to 25 times as much as others.

Afterwards the calling thread's mode is restored, with its floating-point flags.  Where the mode is already as wanted,
nothing is written, since a write waits for all running instructions.
"""

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define FASTBP_INLINE static inline __attribute__((always_inline))
    #else
    #define FASTBP_INLINE static __inline
    #endif
    #if defined(__SSE__) || defined(_M_X64)
    #include <xmmintrin.h>
    typedef unsigned int fp_mode;
    #define FASTBP_GRADUAL(mode) (((mode) & 0x8040) != 0x8040)
    FASTBP_INLINE fp_mode flush_subnormals(void)
    {
        fp_mode before = _mm_getcsr();
        if (FASTBP_GRADUAL(before))
            _mm_setcsr(before | 0x8040);
        return before;
    }
    FASTBP_INLINE void restore_mode(fp_mode before)
    {
        if (FASTBP_GRADUAL(before))
            _mm_setcsr(before);
    }
    #elif defined(__aarch64__) && defined(__GNUC__)
    typedef unsigned long long fp_mode;
    FASTBP_INLINE fp_mode flush_subnormals(void)
    {
        fp_mode before;
        __asm__ volatile("mrs %0, fpcr" : "=r"(before));
        __asm__ volatile("msr fpcr, %0" : : "r"(before | (1ull << 24)));
        return before;
    }
    FASTBP_INLINE void restore_mode(fp_mode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }
    #else
    typedef int fp_mode;
    FASTBP_INLINE fp_mode flush_subnormals(void) { return 0; }
    FASTBP_INLINE void restore_mode(fp_mode before) { (void)before; }
    #endif
    """
    ctypedef unsigned int fp_mode
    fp_mode flush_subnormals() noexcept nogil
    void restore_mode(fp_mode before) noexcept nogil
