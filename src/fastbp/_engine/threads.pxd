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
cdef void pause(int microseconds) noexcept nogil


cdef class Lock:
    cdef int state
    cdef PyThread_type_lock bell    # its release wakes one thread that waits
    cdef unsigned long owner        # the thread that holds it; 0: none
    cdef int process, waiting       # `forks` when it was taken; the number of threads that wait for it
    cdef int acquire(self) except -1
    cdef bint try_acquire(self) noexcept nogil
    cdef int wait(self) except -1
    cdef void release(self) noexcept nogil

cdef object serve(Lock lock)
