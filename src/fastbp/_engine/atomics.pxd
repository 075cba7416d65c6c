"""Whole numbers that several threads change."""

cdef extern from *:
    """
    #if defined(__GNUC__)
    static inline int fastbp_swap(int *place, int from, int to)
    {
        return __atomic_compare_exchange_n(place, &from, to, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    }
    static inline int fastbp_exchange(int *place, int value)
    {
        return __atomic_exchange_n(place, value, __ATOMIC_SEQ_CST);
    }
    static inline void fastbp_put(int *place, int value) { __atomic_store_n(place, value, __ATOMIC_RELEASE); }
    #else
    #include <intrin.h>
    static __inline int fastbp_swap(int *place, int from, int to)
    {
        return _InterlockedCompareExchange((volatile long *)place, to, from) == from;
    }
    static __inline int fastbp_exchange(int *place, int value)
    {
        return _InterlockedExchange((volatile long *)place, value);
    }
    static __inline void fastbp_put(int *place, int value) { _InterlockedExchange((volatile long *)place, value); }
    #endif
    """
    bint swap "fastbp_swap"(int* place, int before, int after) noexcept nogil   # whether it was `before`
    int exchange "fastbp_exchange"(int* place, int value) noexcept nogil        # what it was
    void put "fastbp_put"(int* place, int value) noexcept nogil
