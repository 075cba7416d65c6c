"""The number of threads that the engine may use.

Results do not depend on the number, to the last bit; it only affects speed. By default the engine uses several threads
where that has proved faster, up to this limit.
"""

import math
import os
import sys

from fastbp._engine import threads as engine
from fastbp.inputs import checks

__all__ = ["get_num_threads", "register_threadpoolctl", "set_num_threads"]

VARIABLES = ("FASTBP_NUM_THREADS", "OMP_NUM_THREADS")
CGROUP = "/sys/fs/cgroup"

_limit: int | None = None  # determined on first use
_registered = False  # whether threadpoolctl knows the engine


def get_num_threads() -> int:
    """The maximum number of threads of a call without `threads`.

    `set_num_threads` sets it, else the environment variable FASTBP_NUM_THREADS, else OMP_NUM_THREADS, else the number
    of processors available to the process: its affinity and the quota of its control group.

    Returns
    -------
    int
        The number of threads, from 1.

    Raises
    ------
    ValueError
        If the environment variable is not a whole number from 1.

    See Also
    --------
    set_num_threads : Set the number of threads.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    global _limit
    if _limit is None:
        if sys.modules.get("threadpoolctl"):
            register_threadpoolctl()
        _limit = _from_environment() or min(_affinity(), _quota())
        engine.limit(_limit)
    return _limit


def set_num_threads(threads: int | None) -> None:
    """Set the maximum number of threads of calls without `threads`, for the whole process.

    Parameters
    ----------
    threads : int or None
        The limit; None restores the default from the environment and the machine.

    See Also
    --------
    get_num_threads : The number of threads.

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


def register_threadpoolctl() -> None:
    """Register the engine's threads with the package threadpoolctl, so that `threadpool_limits` sees and limits them.

    The engine registers itself on first use, if threadpoolctl has been imported by then; scikit-learn and joblib import
    threadpoolctl.

    Raises
    ------
    ImportError
        If threadpoolctl is not installed.

    See Also
    --------
    fastbp.set_num_threads : A limit for this process.

    Examples
    --------
    >>> register_threadpoolctl()
    >>> from threadpoolctl import threadpool_limits
    >>> with threadpool_limits(limits=1, user_api="fastbp"):
    ...     get_num_threads()
    1
    """
    global _registered
    from fastbp._optional import package

    threadpoolctl = package("threadpoolctl", "register_threadpoolctl")
    if _registered:
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[name-defined]
        user_api = internal_api = "fastbp"
        filename_prefixes = ("threads.c",)  # the compiled module fastbp._engine.threads
        check_symbols = ("PyInit_threads",)

        def get_num_threads(self):
            return get_num_threads()

        def set_num_threads(self, num_threads):
            set_num_threads(num_threads)

        def get_version(self):
            return None

    threadpoolctl.register(Controller)
    _registered = True


def for_engine(threads: int | None) -> int:
    """The engine's argument: a number of threads, or minus the limit to let the engine choose."""
    if threads is None:
        return -(_limit or get_num_threads())
    return checks.thread_count(threads)


def _from_environment():
    for name in VARIABLES:
        text = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may list a number per nesting level
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
    """The number of processors that the quota of the control group allows, rounded up; infinity without a quota."""
    for quota, period in _quotas():
        try:
            microseconds, of = int(quota), int(period)
        except ValueError:  # "max": no quota
            continue
        if microseconds > 0 and of > 0:
            return math.ceil(microseconds / of)
    return math.inf


def _quotas():
    """Pairs (quota, period) in microseconds, from version 2 and version 1 of control groups."""
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


def __dir__():
    return __all__
