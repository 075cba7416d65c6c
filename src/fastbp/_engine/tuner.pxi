"""How many threads a run takes when it may choose: one or all, whichever was faster in the last trials.

Cores may be busy, or not be real ones, so a model of costs alone would be wrong as often as not.
"""

cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec* now, int base)
    enum: TIME_UTC

cdef enum:
    TRIALS = 6                  # steps that compare one thread with several, as often as the next says
    STEPS_BETWEEN_TRIALS = 300


cdef inline double clock_seconds() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return <double> now.tv_sec + 1e-9 * <double> now.tv_nsec


cdef int chosen(Tuner* tuner, Py_ssize_t rows, int most) noexcept nogil:
    """Threads for the next step over so many rows."""
    if tuner.rows != rows or tuner.steps >= STEPS_BETWEEN_TRIALS:
        tuner[0] = Tuner(0, [1e300, 1e300], rows, 0)
    if tuner.trials < TRIALS:
        return most if tuner.trials % 2 == 0 else 1
    return most if tuner.seconds[1] <= tuner.seconds[0] else 1


cdef void timed(Tuner* tuner, int threads, double seconds) noexcept nogil:
    """What the step took."""
    cdef int several = threads > 1
    if tuner.trials < TRIALS:
        tuner.trials += 1
        tuner.seconds[several] = min(tuner.seconds[several], seconds)
    else:
        tuner.steps += 1
