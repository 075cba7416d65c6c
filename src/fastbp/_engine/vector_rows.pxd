"""Vectors in memory, and LANES rows of them: vector_rows.h."""
from fastbp._engine.tile cimport real

cdef extern from "vector_rows.h" nogil:
    bint all_finite(const real* a, Py_ssize_t n)
    void read_first(const real* a, Py_ssize_t n, real* C)
    void write_first(const real* A, Py_ssize_t n, real* c)
    void add_lanes(real* sums, const real* a, Py_ssize_t left)
    void add_products(real* sums, const real* a, const real* b, Py_ssize_t left)
    void keep_largest(real* most, const real* a, real sign, Py_ssize_t left)
    void sums_across(const real* rows, real* sums)
    void largest_across(const real* rows, real* most)
