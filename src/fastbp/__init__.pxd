"""The C functions of a network for Cython, `cimport fastbp`: docs/native.md."""
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_GetPointer

ctypedef int (*predict_function)(void* handle, const void* x, void* y) noexcept nogil
ctypedef int (*step_function)(void* handle, const void* x, const void* t, double lr, double* loss) noexcept nogil
ctypedef int (*vjp_function)(void* handle, const void* x, const void* dy, void* dx, void* dparams) noexcept nogil
ctypedef int (*jvp_function)(void* handle, const void* x, const void* dx, void* y, void* dy) noexcept nogil


cdef inline void* handle_of(native) except NULL:
    """The first argument of every function; valid as long as the native object."""
    return PyCapsule_GetContext(native.capsules["predict"])


cdef inline predict_function predict_of(native) except NULL:
    return <predict_function> PyCapsule_GetPointer(
        native.capsules["predict"], "int (void *, const void *, void *)")


cdef inline step_function step_of(native) except NULL:
    return <step_function> PyCapsule_GetPointer(
        native.capsules["step"], "int (void *, const void *, const void *, double, double *)")


cdef inline vjp_function vjp_of(native) except NULL:
    return <vjp_function> PyCapsule_GetPointer(
        native.capsules["vjp"], "int (void *, const void *, const void *, void *, void *)")


cdef inline jvp_function jvp_of(native) except NULL:
    return <jvp_function> PyCapsule_GetPointer(
        native.capsules["jvp"], "int (void *, const void *, const void *, void *, void *)")
