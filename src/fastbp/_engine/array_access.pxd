"""NumPy arrays by NumPy's C interface, which takes a tenth of the time of the buffer protocol.

A module that uses it calls `import_numpy()` first.  NumPy's own declarations want `infer_types`, which is off here.
"""

cdef extern from *:
    """
    #include <numpy/arrayobject.h>
    #undef I    /* of complex.h */
    """
    ctypedef Py_ssize_t npy_intp
    ctypedef struct PyArrayObject
    enum: NPY_FLOAT, NPY_DOUBLE, NPY_ARRAY_WRITEABLE
    int import_numpy "_import_array"() except -1
    bint PyArray_Check(array)
    bint PyArray_CheckExact(array)
    bint PyArray_ISCARRAY_RO(PyArrayObject* array)
    bint PyArray_CHKFLAGS(PyArrayObject* array, int flags)
    bint PyArray_ISINTEGER(PyArrayObject* array)
    bint PyArray_ISUNSIGNED(PyArrayObject* array)
    Py_ssize_t PyArray_ITEMSIZE(PyArrayObject* array)
    int PyArray_TYPE(PyArrayObject* array)
    int PyArray_NDIM(PyArrayObject* array)
    npy_intp* PyArray_DIMS(PyArrayObject* array)
    void* PyArray_DATA(PyArrayObject* array)
    object PyArray_EMPTY(int ndim, npy_intp* shape, int number, bint fortran)


cdef inline bint is_plain(array) noexcept:
    """Whether it is an ndarray and no subclass, C-contiguous, aligned, in native byte order."""
    return PyArray_CheckExact(array) and PyArray_ISCARRAY_RO(<PyArrayObject*> array)


cdef inline bint is_writeable(array) noexcept:
    return PyArray_CHKFLAGS(<PyArrayObject*> array, NPY_ARRAY_WRITEABLE)


cdef inline int number_of(array) noexcept:
    """NumPy's number of the array's dtype."""
    return PyArray_TYPE(<PyArrayObject*> array)


cdef inline int ndim_of(array) noexcept:
    return PyArray_NDIM(<PyArrayObject*> array)


cdef inline Py_ssize_t length_of(array, int axis) noexcept:
    return PyArray_DIMS(<PyArrayObject*> array)[axis]


cdef inline char* data_of(array) noexcept:
    return <char*> PyArray_DATA(<PyArrayObject*> array)


cdef inline bint is_rows(array, Py_ssize_t width, int number) noexcept:
    """Whether a plain array is 2-D and not empty, with this width and this number of its dtype."""
    return (ndim_of(array) == 2 and length_of(array, 0) > 0 and length_of(array, 1) == width
            and number_of(array) == number)


cdef inline bint holds_labels(array) noexcept:
    """Whether a plain array is 1-D, of int64."""
    return ndim_of(array) == 1 and holds_int64(array)


cdef inline bint holds_int64(array) noexcept:
    return (PyArray_ISINTEGER(<PyArrayObject*> array)
            and not PyArray_ISUNSIGNED(<PyArrayObject*> array) and PyArray_ITEMSIZE(<PyArrayObject*> array) == 8)


cdef inline new_rows_like(int ndim, Py_ssize_t rows, Py_ssize_t width, int number):
    """An uninitialized array (rows, width), or (width,) if ndim is 1."""
    cdef npy_intp[2] shape
    shape[0], shape[ndim - 1] = rows, width
    return PyArray_EMPTY(ndim, shape, number, 0)


cdef inline int number_of_size(Py_ssize_t item) noexcept:
    return NPY_FLOAT if item == 4 else NPY_DOUBLE
