"""Vectors of numbers as C's compiler knows them, and their square roots: roots.h.

To Cython a vector is a number: sums and products of vectors, and of vectors and numbers, are C's own.
"""
from fastbp._engine.tile cimport real

cdef extern from "roots.h" nogil:
    ctypedef float vector
    vector square_roots(vector x) noexcept
