"""Samples that come as dicts of features: dict_row.pyx."""

cdef class DictRow:
    cdef dict columns
    cdef object labels
    cdef readonly object row, target
    cdef char* data
    cdef char* target_data
    cdef Py_ssize_t size
    cdef bint single            # numbers of 32 bits
    cdef inline void put(self, char* data, Py_ssize_t k, double value) noexcept
