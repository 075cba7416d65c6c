"""One thread or several: thread_choice.pyx."""

cdef struct Tuner:
    # Which number of threads is faster, found by trying: thread_choice.pyx.
    bint timing                 # the pass that goes on ...
    double began                # ... since then
    Py_ssize_t rows             # of a batch, to which this applies
    Py_ssize_t stray            # passes in a row over other numbers of rows
    int trials                  # so far ...
    double seconds[2]           # ... and what they took, of one thread and of several
    bint several                # what was chosen ...
    Py_ssize_t passes           # ... for the passes since then ...
    double spent                # ... and what they took
    Py_ssize_t pause            # passes of one thread until the next trial


cdef double clock_seconds() noexcept nogil
cdef int tuned(Tuner* tuner, Py_ssize_t rows, int wanted, int most) noexcept nogil
cdef void passed(Tuner* tuner) noexcept nogil
