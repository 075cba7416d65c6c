"""Random draws by counters: (seed, step, node, row, feature) determine the number, whichever thread draws it."""
from libc.stdint cimport uint32_t, uint64_t

from fastbp._engine.kernel_table cimport Context, Op


cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of x moves every bit of the result."""
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint32_t row_key(const Op* op, const Context* context, Py_ssize_t n) noexcept nogil:
    """The key of all draws of a row."""
    return <uint32_t> mixed(mixed(mixed(context.seed) ^ context.step) ^ (op.key << 40) ^ (context.row + <uint64_t> n))


cdef inline uint32_t draw(uint32_t key, Py_ssize_t j) noexcept nogil:
    """32 random bits for feature j: the finalizer of MurmurHash3 on a Weyl sequence, which vectorises."""
    cdef uint32_t h = key + <uint32_t> j * <uint32_t> 0x9E3779B9
    h = (h ^ (h >> 16)) * <uint32_t> 0x85EBCA6B
    h = (h ^ (h >> 13)) * <uint32_t> 0xC2B2AE35
    return h ^ (h >> 16)
