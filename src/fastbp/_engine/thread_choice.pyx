"""How many threads a pass takes when the engine may choose: one, or all of them while they are faster.

Cores may be busy, or not be physical ones, so a cost model alone would be wrong as often as not, and a trial is true
only for its moment. So after a choice of one thread there is another trial, soon at first and then ever more rarely; a
choice of several is watched, and given up when the passes since have taken longer than one thread would have. A small
gain may be luck, and costs other programs their cores: in a trial several threads must save a tenth.
"""

from libc.string cimport memset

from fastbp._engine.threads cimport rest


cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec* now, int base)
    enum: TIME_UTC

cdef enum:
    EACH = 4                    # passes of a trial with one, then several threads; the first wakes or parks: not timed
    PASSES_OF_SEVERAL = 300     # passes of several threads until the next trial ...
    SHORTEST = 16               # ... and of one thread, doubled each time that several lose a trial or a watch,
    LONGEST = 4096              # up to this
    PATIENT = 8                 # several threads may be behind by the time of this many passes of one
    STRAY = 8                   # passes in a row over other numbers of rows that restart trials: an epoch's last is one

cdef double GAIN = 0.9


cdef double clock_seconds() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return <double> now.tv_sec + 1e-9 * <double> now.tv_nsec


cdef inline void settle(Tuner* tuner, bint several) noexcept nogil:
    tuner.several, tuner.passes, tuner.spent = several, 0, 0
    if not several:
        tuner.pause = min(2 * tuner.pause, LONGEST)


cdef inline bint chosen(Tuner* tuner) noexcept nogil:
    """Whether the next pass takes several threads."""
    if tuner.trials == 2 * EACH and tuner.passes >= (PASSES_OF_SEVERAL if tuner.several else tuner.pause):
        if tuner.several:
            tuner.pause = SHORTEST
        tuner.trials, tuner.seconds[0], tuner.seconds[1] = 0, 0, 0
    return tuner.trials >= EACH if tuner.trials < 2 * EACH else tuner.several


cdef inline void noted(Tuner* tuner, double took) noexcept nogil:
    """Records the seconds of a pass with the chosen number of threads."""
    cdef bint several = tuner.trials >= EACH, lost
    if tuner.trials < 2 * EACH:
        tuner.trials += 1
        if tuner.trials % EACH != 1:
            tuner.seconds[several] += took
        lost = several and (took > tuner.seconds[0] or tuner.seconds[1] > tuner.seconds[0])
        if lost or tuner.trials == 2 * EACH:
            tuner.trials = 2 * EACH
            settle(tuner, tuner.seconds[1] < GAIN * tuner.seconds[0] and not lost)
        return
    tuner.passes += 1
    tuner.spent += took
    if tuner.several and tuner.spent > (tuner.passes + PATIENT) * tuner.seconds[0] / (EACH - 1):
        settle(tuner, False)


cdef int tuned(Tuner* tuner, Py_ssize_t rows, int wanted, int most) noexcept nogil:
    """Threads for the next pass over some rows: `most`, unless the engine may choose (wanted < 0)."""
    cdef bint several
    tuner.timing = wanted < 0 and most > 1
    if not tuner.timing:
        return most
    tuner.stray = tuner.stray + 1 if rows != tuner.rows else 0
    if tuner.rows == 0 or tuner.stray >= STRAY:
        memset(tuner, 0, sizeof(Tuner))
        tuner.rows, tuner.pause = rows, SHORTEST
    tuner.timing = rows == tuner.rows
    several = chosen(tuner)
    rest(not several)
    tuner.began = clock_seconds()
    return most if several else 1


cdef void passed(Tuner* tuner) noexcept nogil:
    """Records how long the pass took."""
    if tuner.timing:
        noted(tuner, clock_seconds() - tuner.began)


def choices(times):
    """Which passes take several threads, given each one's (seconds with one thread, seconds with several)."""
    cdef Tuner tuner
    cdef bint several
    memset(&tuner, 0, sizeof(Tuner))
    tuner.pause = SHORTEST
    made = []
    for of_one, of_several in times:
        several = chosen(&tuner)
        noted(&tuner, of_several if several else of_one)
        made.append(several)
    return made
