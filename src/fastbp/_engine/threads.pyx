"""The pool of threads, one for the process: pool.h says how it works.  And the lock around a network."""
import os

cimport cython
import numpy as np

from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
)
from cpython.weakref cimport PyWeakref_NewRef

from fastbp._engine.atomics cimport exchange, swap

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()
    int PyThread_acquire_lock_timed(PyThread_type_lock, long long microseconds, int intr_flag)

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define FASTBP_THREAD_LOCAL __declspec(thread)
    #else
    #define FASTBP_THREAD_LOCAL __thread
    #endif
    static FASTBP_THREAD_LOCAL void *fastbp_served;     /* the lock of the pass that called Python in this thread */
    """
    void* served "fastbp_served"

cdef extern from * nogil:
    """
    #if defined(_WIN32)
    #include <windows.h>
    static void fastbp_nap(int microseconds) { Sleep(microseconds / 1000 + 1); }
    #else
    #include <time.h>
    static void fastbp_nap(int microseconds)
    {
        struct timespec span = {0, microseconds * 1000L};
        nanosleep(&span, NULL);
    }
    #endif
    """
    void nap "fastbp_nap"(int microseconds)

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


cdef void pause(int microseconds) noexcept nogil:
    nap(microseconds)


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


cdef int forks = 0              # between this process and the one that imported the engine


def _forked():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

cdef enum:
    LOOK_EVERY = 20_000         # microseconds of a wait between two looks for signals
    COURTESY = 200              # microseconds that a lock is left to those who wait for it
    FREE = 0, TAKEN, AWAITED    # what a lock is; who waits for it says so


cdef object serve(Lock lock):
    """Says that this thread runs Python for a pass under a lock; gives what it was told before."""
    global served
    before = None if served == NULL else <object> served
    served = <void*> lock if lock is not None else NULL
    return before


cdef object ndarray = np.ndarray


cdef int pin(values, list pins) except -1:
    """Adds a weak reference to each array."""
    for value in values:
        if isinstance(value, ndarray):
            pins.append(PyWeakref_NewRef(value, None))
        elif isinstance(value, (tuple, list)):
            pin(value, pins)
    return 0


cdef class Lock:
    """Around a network: one thread at a time computes.  For `with`, and for compiled code.

    A lock of Python's would cost ten times as much, and would hang where this one raises: when a thread wants a
    lock that it holds, or that was held by another when the process was forked. Who finds it free makes one exchange;
    a lock of the threads library looks at the clock first, and takes 20 ns longer.
    """

    def __cinit__(self):
        self.state, self.bell = FREE, PyThread_allocate_lock()
        if self.bell == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.bell, NOWAIT_LOCK)

    def __dealloc__(self):
        if self.bell != NULL:
            PyThread_free_lock(self.bell)

    cdef int acquire(self) except -1:
        if self.waiting or not swap(&self.state, FREE, TAKEN):
            self.wait()
        self.owner, self.process = PyThread_get_thread_ident(), forks
        return 0

    cdef bint try_acquire(self) noexcept nogil:
        """Whether it was free, and is taken now: for threads that may hold what others wait for."""
        if not swap(&self.state, FREE, TAKEN):
            return False
        self.owner, self.process = PyThread_get_thread_ident(), forks
        return True

    cdef int wait(self) except -1:
        """Gets the lock, or raises where it would never come, or where a signal's handler raises."""
        cdef bint polite = self.waiting > 0 and self.owner == 0
        if self.owner != 0 and self.process != forks:
            raise RuntimeError("this network was at work in another thread when the process was forked, and that thread"
                               " is not here; fork between passes, or use a copy made before")
        if self.owner == PyThread_get_thread_ident() or served == <void*> self:
            raise RuntimeError("this network is at work: what runs inside of one of its passes (a Lambda, a signal"
                               " handler, a finalizer) cannot use it")
        with cython.critical_section(self):     # of a Python without the GIL; nothing in others
            self.waiting += 1
        try:
            if polite:          # it is free, and others came first: their turn
                with nogil:
                    nap(COURTESY)
            while exchange(&self.state, AWAITED) != FREE:
                with nogil:
                    PyThread_acquire_lock_timed(self.bell, LOOK_EVERY, 1)
                PyErr_CheckSignals()
        finally:
            with cython.critical_section(self):
                self.waiting -= 1
        return 0

    cdef void release(self) noexcept nogil:
        self.owner = 0
        if exchange(&self.state, FREE) == AWAITED:
            PyThread_release_lock(self.bell)    # for nobody, it does no harm: who wakes looks again

    def call(self, function, *arguments):
        """function(*arguments) under the lock, with no line of Python between: no signal's handler runs inside.

        Arrays among the arguments, in tuples too, keep their size meanwhile: NumPy resizes none that has a weak
        reference.
        """
        cdef list pins = []
        pin(arguments, pins)
        self.acquire()
        try:
            return function(*arguments)
        finally:
            self.release()

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
