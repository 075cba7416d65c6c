"""Where engine and Python meet: addresses of arrays, aligned memory, the variant's table.

Arrays are C-contiguous and of the right dtype when they come here (inputs/ has checked them); their size is
checked once more, since a wrong one would write out of bounds.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uintptr_t
from libc.stdlib cimport calloc, free

from fastbp._engine.kernel_table cimport Kernels, Tensor

import fastbp._engine.variant as variant


cdef const Kernels* kernels_of(dtype) except NULL:
    return <const Kernels*> PyCapsule_GetPointer(variant.TABLES[dtype], b"fastbp._engine.kernels")


cdef void* address(array, Py_ssize_t size) except? NULL:
    """The first byte of a C-contiguous array of `size` bytes; the caller keeps the array alive."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef void* first = view.buf
    cdef Py_ssize_t length = view.len
    PyBuffer_Release(&view)
    if length != size:
        raise BufferError(f"array of {length} bytes where {size} belong")
    return first


cdef const char* readable_end(array) except NULL:
    """The end of the memory that an array lies in: its own, or that of the array of bytes that it is a view of."""
    raw = array.base if type(array.base) is type(array) and array.base.dtype.itemsize == 1 else array
    return <const char*> address(raw, raw.nbytes) + <Py_ssize_t> raw.nbytes


cdef Py_ssize_t aligned(Py_ssize_t size) noexcept:
    return (size + 63) // 64 * 64


cdef Py_ssize_t pitch_of(const Kernels* kernels, Py_ssize_t width) noexcept:
    """Numbers from one row of a tensor's block to the next."""
    return min(kernels.panel, (width + kernels.lanes - 1) // kernels.lanes * kernels.lanes)


cdef Py_ssize_t numbers_of(const Kernels* kernels, Py_ssize_t width, Py_ssize_t rows) noexcept:
    """How many numbers a tensor holds, padding included."""
    return (width + kernels.panel - 1) // kernels.panel * pitch_of(kernels, width) * rows


cdef Tensor plain(const Kernels* kernels, const void* data, Py_ssize_t width) noexcept:
    """A C-contiguous array as a tensor, without a copy: for kernels that take its width."""
    return Tensor(<void*> data, width, width, kernels.panel)


cdef class Arena:
    """One buffer of zeroed memory, handed out in pieces aligned to 64 bytes."""

    def __cinit__(self, Py_ssize_t size):
        self.raw = calloc(size + 64, 1)
        if self.raw == NULL:
            raise MemoryError(f"{size} bytes for activations and their gradients")
        self.free_from = <char*> (<uintptr_t> self.raw + 63 & ~<uintptr_t> 63)

    cdef void* take(self, Py_ssize_t size) noexcept:
        cdef void* piece = self.free_from
        self.free_from += aligned(size)
        return piece

    def __dealloc__(self):
        free(self.raw)
