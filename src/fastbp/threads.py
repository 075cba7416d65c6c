"""How many threads the engine may use.

Every result is the same to the last bit whatever the number, so it is a matter of speed alone: unless told
otherwise the engine uses more than one where that has proved faster, up to a limit.
"""

import math
import os

from fastbp._engine import threads as engine
from fastbp.inputs import checks

VARIABLES = ("FASTBP_NUM_THREADS", "OMP_NUM_THREADS")
CGROUP = "/sys/fs/cgroup"

_limit: int | None = None  # found out on first use


def get_num_threads() -> int:
    """The most threads that a call without `threads` uses.

    It is what `set_num_threads` said, else the environment variable FASTBP_NUM_THREADS, else OMP_NUM_THREADS,
    else the number of processors that the process may use: its affinity and the quota of its control group.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the environment variable is not a whole number from 1.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    global _limit
    if _limit is None:
        _limit = _from_environment() or min(_affinity(), _quota())
        engine.limit(_limit)
    return _limit


def set_num_threads(threads: int | None) -> None:
    """Limit the threads of calls without `threads`, for the whole process.

    Parameters
    ----------
    threads : int or None
        None forgets what was set and looks at the environment and the machine again.

    Examples
    --------
    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(None)
    """
    global _limit
    _limit = checks.as_threads(threads)
    engine.limit(_limit or 0)


def for_engine(threads: int | None) -> int:
    """What the engine takes: so many, or a choice of its own up to -threads."""
    if threads is None:
        return -(_limit or get_num_threads())
    return checks.thread_count(threads)


def _from_environment():
    for name in VARIABLES:
        text = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may be a list, one a level
        if text:
            if not text.isdecimal() or int(text) < 1:
                raise ValueError(f"the environment variable {name} must be a whole number from 1, got {text!r}")
            return int(text)
    return None


def _affinity():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota():
    """Processors that a control group's quota comes to, rounded up; infinity without one."""
    for quota, period in _quotas():
        try:
            microseconds, of = int(quota), int(period)
        except ValueError:  # "max": no quota
            continue
        if microseconds > 0 and of > 0:
            return math.ceil(microseconds / of)
    return math.inf


def _quotas():
    """(quota, period) in microseconds, as version 2 of control groups writes them and version 1."""
    for group in (_own_group(), ""):
        parts = _words(CGROUP, group, "cpu.max")
        if len(parts) == 2:
            yield parts
    parts = _words(CGROUP, "cpu/cpu.cfs_quota_us") + _words(CGROUP, "cpu/cpu.cfs_period_us")
    if len(parts) == 2:
        yield parts


def _own_group():
    lines = [word for word in _words("/proc/self/cgroup") if word.startswith("0::/")]
    return lines[0].removeprefix("0::/") if lines else ""


def _words(*path):
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read().split()
    except OSError:
        return []
