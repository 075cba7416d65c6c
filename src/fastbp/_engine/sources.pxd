"""Arrays of any dtype as the samples of a batch: sources.pyx."""
from fastbp._engine.kernel_table cimport Rows


cdef class Source:
    cdef Rows rows
    cdef readonly object array, dtype, name, limits
    cdef object pins
    cdef readonly bint finite
    cdef readonly tuple shape


cdef class SparseSource(Source):
    cdef object parts
