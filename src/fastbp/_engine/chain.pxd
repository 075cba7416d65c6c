"""A chain of optimizer rules with its state: chain.pyx."""
from fastbp._engine.kernels cimport MAX_RULES, ChainLink, Kernels


cdef class Chain:
    cdef const Kernels* kernels
    cdef ChainLink[MAX_RULES] links
    cdef int n_links
    cdef Py_ssize_t n
    cdef readonly object states
    cdef public long long t
    cdef char* scratch
    cdef void prepare(self, double lr) noexcept nogil
