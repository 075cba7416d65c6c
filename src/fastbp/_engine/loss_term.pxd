"""A loss with its parameters: loss_term.pyx."""
from fastbp._engine.kernel_table cimport Kernels, Targets


cdef class Term:
    cdef Targets targets        # without the arrays
    cdef readonly object column
    cdef const Kernels* kernels
    cdef Py_ssize_t heads
    cdef void place(self, Targets* targets, Py_ssize_t outputs, t, weights, Py_ssize_t rows) except *
