"""Vectors of the C compiler's vector extension, and their square roots: roots.h.

Cython takes a vector for a number: it leaves sums and products of vectors, and of vectors and numbers, to C.
"""
from fastbp._engine.tile cimport real

cdef extern from "roots.h" nogil:
    ctypedef float vector
    vector square_roots(vector x) noexcept
