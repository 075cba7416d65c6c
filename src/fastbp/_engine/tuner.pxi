"""How many threads a pass takes when it may choose: one, or all where these proved faster in the last trials.

Cores may be busy, or not be real ones, so a model of costs alone would be wrong as often as not. Threads that save
little may just have been lucky, and cost others their cores: they must save a tenth.
"""

cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec* now, int base)
    enum: TIME_UTC

cdef enum:
    TRIALS = 8                  # passes that compare one thread with several, as often as the next says
    FIRST_TRIALS = 2            # that wake threads and do not count
    PASSES_BETWEEN_TRIALS = 300
    STRAY = 8                   # passes over another number of rows, until that counts: an epoch's last batch does not

cdef double GAIN = 0.9


cdef inline double clock_seconds() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return <double> now.tv_sec + 1e-9 * <double> now.tv_nsec


cdef int tuned(Tuner* tuner, Py_ssize_t rows, int wanted, int most) noexcept nogil:
    """Threads for the next pass over so many rows: most, unless the caller leaves the choice (wanted < 0)."""
    cdef bint several
    tuner.timing = wanted < 0 and most > 1
    if not tuner.timing:
        return most
    tuner.stray = tuner.stray + 1 if rows != tuner.rows else 0
    if tuner.rows == 0 or tuner.stray >= STRAY or tuner.passes >= PASSES_BETWEEN_TRIALS:
        tuner[0] = Tuner(True, 0, [0, 0], rows, 0, 0, 0)
    tuner.timing = rows == tuner.rows
    tuner.began = clock_seconds()
    several = tuner.trials % 2 == 0 if tuner.trials < TRIALS else tuner.seconds[1] < GAIN * tuner.seconds[0]
    rest(not several)
    return most if several else 1


cdef void passed(Tuner* tuner, int threads) noexcept nogil:
    """Takes note of what the pass took."""
    cdef int several = threads > 1
    if not tuner.timing:
        return
    if tuner.trials < TRIALS:
        tuner.trials += 1
        if tuner.trials > FIRST_TRIALS:
            tuner.seconds[several] += clock_seconds() - tuner.began
    else:
        tuner.passes += 1
