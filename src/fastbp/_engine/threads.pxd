"""The pool of threads: threads.pyx."""
from cpython.pythread cimport PyThread_type_lock

ctypedef void (*Task)(void* job, int part, int of) noexcept nogil

cdef enum:
    MOST_THREADS = 64

cdef int enter(int wanted) noexcept nogil
cdef void share(Task task, void* job, int of) noexcept nogil
cdef void leave(int threads) noexcept nogil
cdef void rest(bint resting) noexcept nogil
cdef int wanted(threads) except? 0


cdef class Lock:
    cdef PyThread_type_lock lock
    cdef void acquire(self) noexcept
    cdef void release(self) noexcept
