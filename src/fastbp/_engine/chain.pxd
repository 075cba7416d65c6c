"""A chain of optimizer rules with its state: chain.pyx."""
from fastbp._engine.kernels cimport MAX_RULES, ChainLink, Kernels, Step


cdef struct Group:
    # The rules of some of the parameters.
    ChainLink[MAX_RULES] links
    int n_links
    double lr_scale
    double penalty

cdef struct Segment:
    # A part of the flat vector, from where the one before it stops.
    Py_ssize_t stop
    Group* group

cdef struct Rules:
    # What a pass needs of a chain.
    const Kernels* kernels
    Segment* segments
    int n_segments


cdef bint update_span(const Rules* rules, void* P, const void* G, Py_ssize_t start, Py_ssize_t stop,
                      void* scratch) noexcept nogil


cdef class Chain:
    cdef Rules rules
    cdef Group* groups
    cdef int n_groups
    cdef Py_ssize_t n
    cdef list arrays            # kept alive: the structs, the scratch memory
    cdef readonly object states
    cdef public long long t
    cdef void* scratch
    cdef void* own(self, Py_ssize_t size) except NULL
    cdef void fill(self, Group* group, rules) except *
    cdef void prepare(self, double lr, double scale) noexcept nogil
    cdef double penalty(self, const void* P, double scale) noexcept nogil
