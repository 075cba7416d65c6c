"""The pool of threads, one per process (pool.h says how it works), and the lock of a network."""
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
    """Acquires the pool; returns how many threads it gives, including the caller's."""
    return pool_enter(wanted)


cdef void share(Task task, void* job, int of) noexcept nogil:
    """Runs the parts 0 ... of - 1 of a task, and returns when all are done."""
    pool_run(task, job, of)


cdef void leave(int threads) noexcept nogil:
    """Releases what `enter` has acquired."""
    pool_leave(threads)


cdef void pause(int microseconds) noexcept nogil:
    nap(microseconds)


cdef int most = 0               # threads of a call without a number; 0: not known yet


def limit(int threads):
    """Sets the most threads of a call without a number; 0: not known, fastbp/threads.py finds it."""
    global most
    most = threads


cdef int wanted(threads) except? 0:
    """The `threads` of `Program.claim`; 0 where fastbp/threads.py must find or check the number first."""
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
    COURTESY = 200              # microseconds for which a free lock is left to threads that came first
    FREE = 0, TAKEN, AWAITED    # states of a lock; a thread that waits sets AWAITED


cdef object serve(Lock lock):
    """Records that this thread runs Python for a pass under a lock; returns the lock recorded before."""
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
    """The lock of a network, for `with` and for compiled code: one thread at a time computes.

    A lock of Python's `threading` would cost ten times as much, and would deadlock where this one raises: when a thread
    wants a lock that it holds, or that another thread held when the process was forked. To take a free lock is one
    atomic exchange; a lock of the threads library reads the clock first, and takes 20 ns longer.
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
        """Takes the lock if it is free, and never waits: for threads that may hold what others wait for."""
        if not swap(&self.state, FREE, TAKEN):
            return False
        self.owner, self.process = PyThread_get_thread_ident(), forks
        return True

    cdef int wait(self) except -1:
        """Waits for the lock; raises where it would never come, or where a signal handler raises."""
        cdef bint polite = self.waiting > 0 and self.owner == 0
        if self.owner != 0 and self.process != forks:
            raise RuntimeError("this network was at work in another thread when the process was forked, and that thread"
                               " is not here; fork between passes, or use a copy made before")
        if self.owner == PyThread_get_thread_ident() or served == <void*> self:
            raise RuntimeError("this network is at work: what runs inside of one of its passes (a Lambda, a signal"
                               " handler, a finalizer) cannot use it")
        with cython.critical_section(self):     # for a Python without the GIL; a no-op in others
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
            PyThread_release_lock(self.bell)    # harmless if no thread waits: a woken one checks the state

    def call(self, function, *arguments):
        """function(*arguments) under the lock, without Python bytecode in between: no signal handler runs inside.

        Arrays among the arguments, in tuples too, keep their size meanwhile: NumPy resizes no array that has a weak
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
    """Called between `enter` for several threads and `leave`: whether the next passes do without the workers."""
    pool_rest(resting)


def started():
    """The number of threads that exist, including the caller's."""
    return pool_size()
