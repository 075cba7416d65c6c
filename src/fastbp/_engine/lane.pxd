"""The fast lane: lane.pyx."""
from cpython.buffer cimport Py_buffer

from libc.stdint cimport uint64_t

from fastbp._engine.chain cimport Chain
from fastbp._engine.kernels cimport Loss
from fastbp._engine.program cimport Program


cdef class Lane:
    cdef Program program
    cdef Chain chain
    cdef const Loss* loss
    cdef object dtype
    cdef char kind              # of the numbers, as the buffer protocol writes it
    cdef Py_ssize_t I, O
    cdef bint open_lane(self, array, Py_buffer* view) except -1
    cdef bint is_rows(self, const Py_buffer* view, Py_ssize_t width) noexcept
    cdef checked_step(self, const Py_buffer* x, const Py_buffer* t, double lr, uint64_t seed, uint64_t step,
                      int threads)
    cdef bint is_target(self, const Py_buffer* view, Py_ssize_t rows) noexcept
