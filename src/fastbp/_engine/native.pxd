"""A net as C functions: native.pyx."""
from libc.stdint cimport int64_t

from fastbp._engine.chain cimport Chain
from fastbp._engine.loss_term cimport Term
from fastbp._engine.memory cimport Arena
from fastbp._engine.plan cimport Plan
from fastbp._engine.program cimport Program
from fastbp._engine.threads cimport Lock

ctypedef int (*Trains)(void* owner, const void* x, const void* t, double lr, double* loss) noexcept nogil

cdef struct Handle:
    int state
    Py_ssize_t rows
    Plan* values
    Plan* tangents              # NULL where there are none
    Py_ssize_t params           # bytes
    void* owner                 # a Native: the first argument of `trains`
    Trains trains


cdef class Native:
    cdef Handle* handle
    cdef Program values, tangents       # of predict and vjp; of jvp
    cdef Program training, counts       # runs the steps; counts them for dropout; None without training
    cdef Lock lock                      # the network's
    cdef Chain chain
    cdef Term term
    cdef Arena labels                   # class indices of a batch, copied
    cdef int64_t* labels_at
    cdef object next_rate, diverged
    cdef Py_ssize_t rows, I, O, width   # the width of a row of targets
    cdef int number                     # NumPy's number of the net's dtype
    cdef bint tiny                      # a call is too short to release the GIL
    cpdef close(self)
    cdef void prepare(self, Program program) except *
    cdef int train(self, const void* x, const void* t, double lr, double* loss) noexcept nogil
    cdef int want(self, str name, array, Py_ssize_t width) except -1
    cdef int want_target(self, array) except -1
    cdef unfit(self, str name, array, shape, dtype)
