"""Where engine and Python meet: addresses of arrays, aligned memory, the variant's table."""
from fastbp._engine.kernels cimport Kernels, Tensor


cdef const Kernels* kernels_of(dtype) except NULL
cdef void* address(array, Py_ssize_t size) except? NULL


cdef class Arena:
    cdef void* raw
    cdef char* free_from
    cdef void* take(self, Py_ssize_t size) noexcept


cdef Py_ssize_t aligned(Py_ssize_t size) noexcept
