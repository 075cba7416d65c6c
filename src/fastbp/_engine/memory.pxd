"""Where engine and Python meet: addresses of arrays, aligned memory, the variant's table."""
from fastbp._engine.kernel_table cimport Kernels, Tensor


cdef const Kernels* kernels_of(dtype) except NULL
cdef Py_ssize_t pitch_of(const Kernels* kernels, Py_ssize_t width) noexcept
cdef Py_ssize_t numbers_of(const Kernels* kernels, Py_ssize_t width, Py_ssize_t rows) noexcept
cdef Tensor plain(const Kernels* kernels, const void* data, Py_ssize_t width) noexcept
cdef const char* readable_end(array) except NULL
cdef void* address(array, Py_ssize_t size) except? NULL


cdef class Arena:
    cdef void* raw
    cdef char* free_from
    cdef void* take(self, Py_ssize_t size) noexcept


cdef Py_ssize_t aligned(Py_ssize_t size) noexcept
