"""An activation on arrays without copies of them, in a fraction of a microsecond.

A typed memoryview takes 0.1 us, as much as a small activation, and raises where an array does not fit.  Here buffers
are checked in C; an array that needs a cast or a copy is no error: the caller goes through functional.pyx instead.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memcpy, memmove, memset

import numpy as np

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Activation, Context, Kernels, Op, Tensor
from fastbp._engine.memory cimport kernels_of, plain
from fastbp._engine.tables cimport row_named

cdef enum:
    COPIED = 2048               # bytes of one memmove: for more it uses an instruction that is slower within the caches
    WORTH_THE_LOCK = 16384      # numbers from which on the GIL is released
    PIECE = 16777216            # bytes between two looks for signals; a multiple of VECTOR
    VECTOR = 64                 # bytes of the longest vector

cdef object empty = np.empty, ndarray = np.ndarray
cdef tuple DTYPES = (np.dtype("float32"), np.dtype("float64"))


cdef struct Views:
    # The arrays of a call: Z and Y, or dY, Z, Y and dZ.  The last is written to.
    Py_buffer[4] each
    int n


cdef bint hold(Views* views, array, int flags) noexcept:
    """Adds the view of an array of rows of floats; False for arrays that need a cast, a copy or an error message."""
    cdef Py_buffer* view = &views.each[views.n]
    if type(array) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags)
    except Exception:
        return False
    views.n += 1
    return (view.ndim == 2 and view.len > 0 and (view.format[0] == b"f" or view.format[0] == b"d")
            and view.format[1] == 0 and <size_t> view.buf % <size_t> view.itemsize == 0)


cdef void release(Views* views) noexcept:
    cdef int k
    for k in range(views.n):
        PyBuffer_Release(&views.each[k])


cdef bint fit(const Views* views) noexcept:
    """Whether the arrays have one dtype and shape, and the result is the first array (in place) or overlaps none."""
    cdef const Py_buffer* result = &views.each[views.n - 1]
    cdef const Py_buffer* view
    cdef const char* a
    cdef const char* b = <const char*> result.buf
    cdef int k
    for k in range(views.n - 1):
        view = &views.each[k]
        a = <const char*> view.buf
        if (view.itemsize != result.itemsize or view.shape[0] != result.shape[0] or view.shape[1] != result.shape[1]
                or (a < b + result.len and b < a + view.len and not (k == 0 and a == b))):
            return False
    return True


cdef class Function:
    """An activation with its parameters, for arrays that a kernel can take without a copy.

    For all others the methods return None, and the caller checks, converts or refuses the arrays.
    """
    cdef const Kernels* kernels[2]      # of float32 and float64
    cdef const Activation* rows[2]
    cdef Op op
    cdef Context context

    def __cinit__(self, name, double alpha, double beta):
        for k in range(2):
            self.kernels[k] = kernels_of(DTYPES[k])
            self.rows[k] = <const Activation*> row_named(self.kernels[k].activations, sizeof(Activation), name)
        self.op.alpha, self.op.beta, self.op.inputs = alpha, beta, 1

    def forward(self, Z, out):
        """Y = f(Z), written into out unless that is None; None if a kernel cannot take the arrays."""
        cdef Views views
        views.n = 0
        try:
            return self.result(&views, out) if hold(&views, Z, 0) else None
        finally:
            release(&views)

    def backward(self, dY, Z, Y, out):
        """dZ = dY f'(Z) for Y = f(Z), written into out unless that is None; None if a kernel cannot take the arrays."""
        cdef Views views
        views.n = 0
        try:
            taken = hold(&views, dY, 0) and hold(&views, Z, 0) and hold(&views, Y, 0)
            return self.result(&views, out) if taken else None
        finally:
            release(&views)

    cdef result(self, Views* views, out):
        """Runs the kernel and returns the array written to; None if it cannot take the arrays."""
        cdef const Py_buffer* like = &views.each[0]
        if out is None:
            out = empty((like.shape[0], like.shape[1]), DTYPES[like.itemsize == 8])
        return out if hold(views, out, PyBUF_WRITABLE) and fit(views) and self.run(views) else None

    cdef bint run(self, const Views* views) except -1:
        """Calls the kernel; False where it needs rows of whole vectors and these are not."""
        cdef const Py_buffer* like = &views.each[0]
        cdef const Kernels* kernels = self.kernels[like.itemsize == 8]
        cdef const Activation* row = self.rows[like.itemsize == 8]
        cdef bint by_rows = row.rows_value != NULL and not row.draws
        cdef fp_mode mode
        if by_rows and like.shape[1] % kernels.lanes:
            return False
        if by_rows:
            self.run_rows(kernels, row, views)
        elif like.len < WORTH_THE_LOCK * like.itemsize:
            mode = flush_subnormals()
            run_elements(kernels, row, &self.op, views, 0, like.len)
            restore_mode(mode)
        else:
            self.run_pieces(kernels, row, views)
        return True

    cdef run_pieces(self, const Kernels* kernels, const Activation* row, const Views* views):
        """Piece by piece without the GIL, so that other Python threads run meanwhile, and Ctrl-C ends the call."""
        cdef Py_ssize_t at = 0, size = views.each[0].len
        cdef fp_mode mode
        while at < size:
            with nogil:
                mode = flush_subnormals()
                run_elements(kernels, row, &self.op, views, at, min(at + PIECE, size))
                restore_mode(mode)
            at += PIECE
            if at < size:
                PyErr_CheckSignals()

    cdef run_rows(self, const Kernels* kernels, const Activation* row, const Views* views):
        cdef Py_ssize_t N = views.each[0].shape[0], k, n = 0
        cdef Py_ssize_t step = max(16, PIECE // (views.each[0].shape[1] * kernels.item) // 16 * 16)
        cdef fp_mode mode
        cdef Tensor[4] T
        for k in range(views.n):
            T[k] = plain(kernels, views.each[k].buf, views.each[k].shape[1])
        self.op.activation, self.op.Y = row, T[views.n // 2]
        while n < N:
            mode = flush_subnormals()
            if views.n == 2:
                row.rows_value(&self.op, &self.context, &T[0], n, min(n + step, N))
            else:
                row.rows_vjp(&self.op, &self.context, &T[1], &T[0], &T[3], n, min(n + step, N))
            restore_mode(mode)
            n += step
            if n < N:
                PyErr_CheckSignals()


cdef void run_elements(const Kernels* kernels, const Activation* row, const Op* op, const Views* views,
                       Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Bytes start ... stop: whole vectors, then the rest in a zero-padded vector, so that it has the same bits."""
    cdef Py_ssize_t vector = kernels.lanes * kernels.item
    cdef Py_ssize_t whole = (stop - start) // vector * vector, left = stop - start - whole
    cdef char[3][VECTOR] rest
    cdef char* A[4]
    cdef char* ends[4]
    cdef int last = views.n - 1, k
    for k in range(views.n):
        A[k] = <char*> views.each[k].buf + start
    if whole > 0:
        run_stretch(row, op, views.n, A, whole, kernels.item)
    if left > 0:
        memset(rest, 0, sizeof(rest))
        for k in range(last):
            memcpy(rest[k], A[k] + whole, left)
            ends[k] = rest[k]
        ends[last] = rest[0]
        run_stretch(row, op, views.n, ends, vector, kernels.item)
        memcpy(A[last] + whole, rest[0], left)


cdef inline void run_stretch(const Activation* row, const Op* op, int n, char** A, Py_ssize_t size,
                             Py_ssize_t item) noexcept nogil:
    """A stretch of `size` bytes of each of n arrays, in the order of Views."""
    cdef Py_ssize_t at = 0, count
    if row.value == NULL:
        while at < size:
            count = min(size - at, COPIED)
            memmove(A[n - 1] + at, A[0] + at, count)
            at += count
    elif n == 2:
        row.value(A[0], A[1], size // item, op.alpha, op.beta)
    else:
        row.vjp(A[1], A[2], A[0], A[3], size // item, op.alpha, op.beta)
