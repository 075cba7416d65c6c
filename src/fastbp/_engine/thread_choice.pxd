"""One thread or several: thread_choice.pyx."""

cdef struct Tuner:
    # Which number of threads is faster, found by trying: thread_choice.pyx.
    bint timing                 # the current pass is timed ...
    double began                # ... from this moment on
    Py_ssize_t rows             # of the batches that the choice is for
    Py_ssize_t stray            # passes in a row over other numbers of rows
    int trials                  # passes of the trial so far ...
    double seconds[2]           # ... and what they took, with one thread and with several
    bint several                # the choice ...
    Py_ssize_t passes           # ... the passes since then ...
    double spent                # ... and what they took
    Py_ssize_t pause            # passes of one thread until the next trial


cdef double clock_seconds() noexcept nogil
cdef int tuned(Tuner* tuner, Py_ssize_t rows, int wanted, int most) noexcept nogil
cdef void passed(Tuner* tuner) noexcept nogil
