"""The pool of threads: threads.pyx."""

ctypedef void (*Task)(void* job, int part, int of) noexcept nogil

cdef enum:
    MOST_THREADS = 64

cdef int enter(int wanted) noexcept nogil
cdef void share(Task task, void* job, int of) noexcept nogil
cdef void leave(int threads) noexcept nogil
