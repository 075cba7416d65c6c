"""The fast path: fast_path.pyx."""
from libc.stdint cimport int64_t

from fastbp._engine.chain cimport Chain
from fastbp._engine.memory cimport Arena
from fastbp._engine.program cimport Program
from fastbp._engine.loss_term cimport Term
from fastbp._engine.threads cimport Lock


cdef class FastPath:
    cdef Program program
    cdef Lock lock              # the network's
    cdef Chain chain
    cdef Term term
    cdef object dtype
    cdef int number             # NumPy's number of the net's dtype
    cdef Py_ssize_t I, O
    cdef Py_ssize_t size        # of the parameters, in bytes
    cdef bint takes(self, X) noexcept
    cdef bint takes_outputs(self, X, out) noexcept
    cdef Arena labels           # class indices of a batch, copied
    cdef int64_t* labels_at
    cdef Py_ssize_t labels_room
    cdef const int64_t* copied(self, const int64_t* labels, Py_ssize_t rows) except NULL
    cdef bint is_target(self, y, Py_ssize_t rows) except -1
    cdef attached(self, X, y, double lr, int threads, const void* theta)
    cdef void attach(self, X, y) except *
    cdef bint tiny(self, Py_ssize_t rows) noexcept
    cdef updated(self, double lr, int threads)
    cdef differentiated(self, int threads)
