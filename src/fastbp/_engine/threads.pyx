"""The pool of threads, one for the process: pool.h says how it works.  And the lock around a network."""
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
)

cdef extern from "pool.h" nogil:
    int pool_enter(int wanted)
    void pool_run(Task task, void* job, int of)
    void pool_leave(int threads)
    void pool_rest(int resting)
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


cdef int most = 0               # threads of a call that does not say; 0: not known yet


def limit(int threads):
    """Sets the most threads of a call that does not say; 0: the floor above will find out."""
    global most
    most = threads


cdef int wanted(threads) except? 0:
    """What `Program.claim` takes; 0 where the floor above must find out, or look, first."""
    if threads is None:
        return -most
    return threads if type(threads) is int and 0 < threads <= MOST_THREADS else 0


cdef class Lock:
    """For `with`, and for compiled code, which a lock of Python's would cost ten times as much."""

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    cdef void acquire(self) noexcept:
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            with nogil:
                PyThread_acquire_lock(self.lock, WAIT_LOCK)

    cdef void release(self) noexcept:
        PyThread_release_lock(self.lock)

    def __enter__(self):
        self.acquire()

    def __exit__(self, kind, error, traceback):
        self.release()


cdef void rest(bint resting) noexcept nogil:
    """Between `enter` for several threads and `leave`: whether the next passes do without the others."""
    pool_rest(resting)


def started():
    """Threads that exist, the caller among them."""
    return pool_size()
