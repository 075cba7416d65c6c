"""What X may come as in training, prediction and evaluation, where a copy of the whole may be more than memory holds.

The engine reads rows of any dtype and any strides where they lie, and casts them batch by batch. An array in memory
is looked through once, before anything starts. A mapped file is looked through as its batches are read, since reading
all of it first would read all of it twice.
"""

import numpy as np

from fastbp import _engine, checks
from fastbp._engine import Source

# Bytes below which an array whose columns lie apart is copied: to read a row of it costs a cache line a number.
COPIED = 2**28
CHUNK = 4096  # rows that are looked at together
REMEDY = "check_finite=False lets it pass"


def as_source(X, width: int, dtype: np.dtype, name: str = "X", check_finite: bool = True) -> np.ndarray | Source:
    """Rows for the engine: an array as `checks.as_rows` gives it, or a Source where that would be a copy."""
    array = checks.of_width(X, width, name)
    plain, mapped = array.dtype == dtype and array.flags.c_contiguous, is_mapped(array)
    apart = array.strides[1] != array.itemsize and width > 1 and array.size * dtype.itemsize < COPIED
    if (not mapped and (plain or apart)) or not _readable(array):
        return checks.as_rows(array, width, dtype, name, check_finite)
    watched = check_finite and array.dtype.kind == "f"
    if mapped:
        array = np.asarray(array)
        return array if plain and not watched else Source(array, dtype, name if watched else None)
    if watched:
        refuse_nonfinite(array, dtype, name, range(len(array)))
    return Source(np.asarray(array), dtype)


def _readable(array):
    return array.dtype.name in _engine.SOURCES and array.dtype.isnative and array.flags.aligned


def is_mapped(array: np.ndarray) -> bool:
    """Whether the numbers of an array lie in a mapped file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def refuse_nonfinite(array: np.ndarray, dtype: np.dtype, name: str, rows) -> None:
    """Raise at the first of these rows with a number that is not finite as the dtype."""
    for first in range(0, len(rows), CHUNK):
        some = rows[first : first + CHUNK]
        chunk = array[some.start : some.stop] if isinstance(some, range) else array[some]
        checks.finite(checks.as_numbers_of(chunk, dtype), name, REMEDY, rows=some)


def refuse_unfit(xs: tuple, order: np.ndarray | None = None, rows: slice = slice(None)) -> None:
    """The error for what the engine has seen in a watched source among these rows of the order."""
    for x in xs:
        if isinstance(x, Source) and x.name is not None:
            refuse_nonfinite(x.array, x.dtype, x.name, (range(len(x)) if order is None else order)[rows])
