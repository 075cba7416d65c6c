/* Atomic operations on integers that several threads change. */
#ifndef FASTBP_ATOMICS_H
#define FASTBP_ATOMICS_H

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

#endif
