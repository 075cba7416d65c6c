"""The pool of threads, one for the process: pool.h says how it works."""

cdef extern from "pool.h" nogil:
    int pool_enter(int wanted)
    void pool_run(Task task, void* job, int of)
    void pool_leave(int threads)
    int pool_size()


cdef int enter(int wanted) noexcept nogil:
    """Takes the pool; how many threads there are then, the caller among them."""
    return pool_enter(wanted)


cdef void share(Task task, void* job, int of) noexcept nogil:
    """Runs the parts 0 ... of - 1 of a task, and comes back when all are done."""
    pool_run(task, job, of)


cdef void leave(int threads) noexcept nogil:
    """Gives back what `enter` has given."""
    pool_leave(threads)


def started():
    """Threads that exist, the caller among them."""
    return pool_size()
