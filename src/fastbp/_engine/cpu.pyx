"""Which variants of the kernels this processor can run, best first.

A variant needs all features that setup.py lets the compiler use: the levels of the x86-64 psABI, named as in the
compiler's macros.  `cpuid` says which of them the processor has, since not every compiler's `__builtin_cpu_supports`
knows all of them; `xgetbv` says whether the system saves the wider registers.
"""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    #include <cpuid.h>
    #define IS_X86 1
    /* eax, ebx, ecx, edx; all 0 where the processor has no such leaf. */
    static void ask(unsigned leaf, unsigned *r)
    {
        r[0] = r[1] = r[2] = r[3] = 0;
        __get_cpuid_count(leaf, 0, r, r + 1, r + 2, r + 3);
    }
    static unsigned registers_saved(void)
    {
        unsigned low, high;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        return low;
    }
    #else
    #define IS_X86 0
    static void ask(unsigned leaf, unsigned *r) { (void)leaf; r[0] = r[1] = r[2] = r[3] = 0; }
    static unsigned registers_saved(void) { return 0; }
    #endif
    """
    const bint IS_X86
    void ask(unsigned leaf, unsigned* r) noexcept
    unsigned registers_saved() noexcept

cdef enum:
    EBX = 1
    ECX = 2

# Where cpuid reports each feature: leaf, register and bit.
FEATURES = {
    "sse3": (1, ECX, 0), "ssse3": (1, ECX, 9), "cmpxchg16b": (1, ECX, 13), "sse4_1": (1, ECX, 19),
    "sse4_2": (1, ECX, 20), "popcnt": (1, ECX, 23), "lahf_sahf": (0x80000001, ECX, 0),
    "fma": (1, ECX, 12), "movbe": (1, ECX, 22), "xsave": (1, ECX, 26), "osxsave": (1, ECX, 27), "avx": (1, ECX, 28),
    "f16c": (1, ECX, 29), "bmi": (7, EBX, 3), "avx2": (7, EBX, 5), "bmi2": (7, EBX, 8), "lzcnt": (0x80000001, ECX, 5),
    "avx512f": (7, EBX, 16), "avx512dq": (7, EBX, 17), "avx512cd": (7, EBX, 28), "avx512bw": (7, EBX, 30),
    "avx512vl": (7, EBX, 31),
}

# What each variant needs beyond the one before it, and which registers the system must save: XMM, YMM; masks, ZMM.
LEVELS = {
    "generic": (("sse3", "ssse3", "cmpxchg16b", "sse4_1", "sse4_2", "popcnt", "lahf_sahf"), 0),
    "avx2": (("fma", "movbe", "xsave", "osxsave", "avx", "f16c", "bmi", "avx2", "bmi2", "lzcnt"), 0b110),
    "avx512": (("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"), 0b11100110),
}


def has(name):
    """Whether this processor has one of FEATURES."""
    cdef unsigned[4] registers
    cdef unsigned leaf, register, bit
    leaf, register, bit = FEATURES[name]
    ask(leaf, registers)
    return bool(registers[register] >> bit & 1)


def supported():
    """Names of the supported instruction sets, best first; on other processors than x86 `generic`, without checks."""
    if not IS_X86:
        return ["generic"]
    found = []
    for level, (features, registers) in LEVELS.items():
        if not all([has(name) for name in features]) or registers and registers & ~registers_saved():
            break
        found.insert(0, level)
    return found
