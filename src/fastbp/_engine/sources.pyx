"""Arrays of any dtype as the samples of a batch, read in place and cast by batch."""
from cpython.buffer cimport PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t

from weakref import ref

import numpy as np

from fastbp._engine.kernel_table cimport SourceKind
from fastbp._engine.memory cimport address, kernels_of
from fastbp._engine.tables cimport row_named


cdef class Source:
    """The rows of an aligned (rows, width) array in native byte order, for a net of the dtype.

    With `finite` the engine checks that all numbers are finite, with `limits` (float64, one a column, 0 for none) that
    they are whole numbers below their column's limit.  Errors call the array by `name`.
    """

    def __init__(self, array, dtype, name="X", finite=False, limits=None):
        cdef Py_buffer view
        cdef const SourceKind* kind = <const SourceKind*> row_named(
            kernels_of(dtype).sources, sizeof(SourceKind), array.dtype.name)
        PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
        self.rows.data, self.rows.stride, self.rows.step = <const char*> view.buf, view.strides[0], view.strides[1]
        PyBuffer_Release(&view)
        self.rows.gather, self.rows.watched = kind.gather, finite
        if limits is not None:
            self.rows.limits = <const double*> address(limits, array.shape[1] * sizeof(double))
        self.array, self.dtype, self.shape = array, dtype, array.shape
        self.name, self.finite, self.limits = name, finite, limits
        self.pins = ref(array)          # NumPy resizes no array that has a weak reference

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """These rows as an array of the net's dtype."""
        return np.ascontiguousarray(self.array[rows], self.dtype)


cdef class SparseSource(Source):
    """Rows in compressed form (CSR): numbers of the net's dtype, their columns (int32 or int64), where rows begin.

    The columns of a row are ascending.  `array` is the sparse array itself: indexing gives rows with `toarray`.
    """

    def __init__(self, array, dtype, data, columns, starts):
        self.rows.data = <const char*> address(data, data.nbytes)
        self.rows.columns, self.rows.wide = address(columns, columns.nbytes), columns.itemsize == 8
        self.rows.starts = <const int64_t*> address(starts, (array.shape[0] + 1) * sizeof(int64_t))
        self.array, self.dtype, self.shape, self.finite = array, dtype, array.shape, False
        self.parts, self.pins = (data, columns, starts), ref(data)

    def limit(self, limits):
        """Sets `limits` as of a Source: the rows are then written out densely and checked."""
        self.rows.limits, self.limits = <const double*> address(limits, self.shape[1] * sizeof(double)), limits

    def __getitem__(self, rows):
        return np.ascontiguousarray(self.array[rows].toarray(), self.dtype)
