"""Atomic operations on integers that several threads change."""

cdef extern from "atomics.h":
    bint swap "fastbp_swap"(int* place, int before, int after) noexcept nogil   # whether it was `before`
    int exchange "fastbp_exchange"(int* place, int value) noexcept nogil        # the value before
    void put "fastbp_put"(int* place, int value) noexcept nogil
