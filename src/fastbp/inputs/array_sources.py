"""Sources of X that are not copied: arrays of any dtype and layout, memory-mapped files, sparse matrices.

The engine reads rows of any dtype and strides in place and casts them batch by batch. An array in memory is checked
once, before anything starts. A memory-mapped file is checked batch by batch, since checking all of it first would read
it twice. A sparse X is read in compressed form (CSR).
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp._engine import Source, SparseSource
from fastbp.inputs import checks, other_packages

# Bytes below which an array with non-adjacent columns is copied: reading a row of it costs a cache line per number.
COPIED = 2**28
INDEX = np.dtype(np.int32)  # SciPy's column indices; int64 where int32 is too small
CHUNK = 4096  # rows that are checked together
REMEDY = "check_finite=False lets it pass"


def as_source(X, width: int, dtype: np.dtype, name: str = "X", check_finite: bool = True) -> np.ndarray | Source:
    """Rows for the engine: an array as `checks.as_rows` returns it, or a Source where that would be a copy."""
    if other_packages.is_sparse(X):
        return _as_sparse(X, width, dtype, name, check_finite)
    array = checks.of_width(X, width, name)
    plain, mapped = array.dtype == dtype and array.flags.c_contiguous, is_mapped(array)
    apart = array.strides[1] != array.itemsize and width > 1 and array.size * dtype.itemsize < COPIED
    if (not mapped and (plain or apart)) or not _readable(array):
        return checks.as_rows(array, width, dtype, name, check_finite)
    watched = check_finite and array.dtype.kind == "f"
    if mapped:
        array = np.asarray(array)
        return Source(array, dtype, name, watched) if watched or not plain else array
    if watched:
        refuse_nonfinite(array, dtype, name, range(len(array)))
    return Source(np.asarray(array), dtype)


def _as_sparse(X, width, dtype, name, check_finite):
    if len(X.shape) != 2 or X.shape[1] != width or not X.shape[0]:
        raise ValueError(f"{name} must have shape (rows, {width}) with at least one row, got {X.shape}")
    X = X.tocsr()
    _check_compressed(X.indptr, X.indices, len(X.data), width, name)
    X = X if X.has_sorted_indices else X.sorted_indices()
    # Copies, checked again: the engine indexes with them, and the caller's arrays may change meanwhile.
    starts = np.array(X.indptr, checks.LABEL)
    columns = np.array(X.indices, INDEX if X.indices.dtype == INDEX else checks.LABEL)
    data = checks.as_numbers(X.data, name)
    _check_compressed(starts, columns, len(data), width, name)
    data = checks.as_numbers_of(data[: starts[-1]], dtype)
    if check_finite:
        _refuse_nonfinite_data(data, columns, starts, name)
    return SparseSource(X, dtype, data, columns, starts)


def _check_compressed(starts, columns, size, width, name):
    """Check that the parts fit together; SciPy itself, like the engine, would read beyond the arrays."""
    if starts[0] or (starts[1:] < starts[:-1]).any() or starts[-1] > min(size, len(columns)):
        raise ValueError(f"{name} is no proper CSR array: indptr does not rise from 0 to the number of indices")
    used = columns[: starts[-1]]
    if len(used) and not 0 <= used.min() <= used.max() < width:
        raise ValueError(f"{name} is no proper CSR array: a column is outside 0 ... {width - 1}")


def _refuse_nonfinite_data(data, columns, starts, name):
    at = _engine.first_nonfinite(data)
    if at >= 0:
        row = np.searchsorted(starts, at, side="right") - 1
        checks.refuse_nonfinite(data[at], f"row {row}, column {columns[at]}", name, REMEDY)


def _readable(array):
    return array.dtype.name in _engine.SOURCES and array.dtype.isnative and array.flags.aligned


def is_mapped(array: np.ndarray) -> bool:
    """Whether the numbers of an array lie in a memory-mapped file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def refuse_nonfinite(array: np.ndarray, dtype: np.dtype, name: str, rows) -> None:
    """Raise at the first of these rows with a number that is not finite when cast to the dtype."""
    for first in range(0, len(rows), CHUNK):
        some = rows[first : first + CHUNK]
        chunk = array[some.start : some.stop] if isinstance(some, range) else array[some]
        checks.finite(checks.as_numbers_of(chunk, dtype), name, REMEDY, rows=some)


def limited(x: np.ndarray | Source, limits: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray | Source:
    """Rows whose columns must hold whole numbers below their limits; a memory-mapped file is checked as it is read.

    An array in memory is checked now, and again as it is read, since it may change in between.
    """
    array = x.array if isinstance(x, Source) else x
    if not (isinstance(array, np.ndarray) and is_mapped(array)):
        refuse_beyond(array, limits, name, range(array.shape[0]))
    if isinstance(x, SparseSource):
        x.limit(limits)
        return x
    return Source(array, dtype, name, isinstance(x, Source) and x.finite, limits)


def refuse_beyond(array, limits: np.ndarray, name: str, rows) -> None:
    """Raise at the first of these rows where a column with a limit holds no whole number from 0 to below it."""
    columns = np.flatnonzero(limits)
    for first in range(0, len(rows), CHUNK):
        some = rows[first : first + CHUNK]
        chunk = array[some.start : some.stop] if isinstance(some, range) else array[some]
        chunk = chunk.toarray() if other_packages.is_sparse(chunk) else chunk
        numbers = chunk[:, columns]
        bad = np.argwhere(~((numbers >= 0) & (numbers < limits[columns]) & (numbers == np.floor(numbers))))
        if len(bad):
            row, k = bad[0]
            raise ValueError(
                f"{name} has {numbers[row, k]} at row {some[row]}, column {columns[k]}; "
                f"the Embedding there takes whole numbers 0 ... {limits[columns[k]] - 1:.0f}"
            )


def refuse_unfit(xs: tuple, order: np.ndarray | None = None, rows: slice = slice(None)) -> None:
    """Raise the error for the number that made the engine refuse a source, among these rows of the order."""
    for x in xs:
        if isinstance(x, Source):
            numbers = (range(len(x)) if order is None else order)[rows]
            if x.limits is not None:
                refuse_beyond(x.array, x.limits, x.name, numbers)
            if x.finite:
                refuse_nonfinite(x.array, x.dtype, x.name, numbers)


def inputs_of(X: Any, count: int) -> Iterator[Any] | None:
    """The inputs of each batch of an iterable, for a network with `count` inputs; None if it is not an iterable.

    A batch is X or (X, y), as for `fit`; with several inputs X is a tuple. A list is rows.
    """
    plain = isinstance(X, (list, tuple, str, bytes, Mapping, Set))
    plain = plain or any(hasattr(X, name) for name in ("shape", "__array__", "read"))
    if plain or not isinstance(X, Iterable):
        return None
    return (_inputs_of_batch(x, count) for x in X)


def _inputs_of_batch(x, count):
    if isinstance(x, (tuple, list)):
        with_targets = isinstance(x, tuple) or np.ndim(x[0]) > 1  # DataLoader makes lists; a list of numbers is rows
        if count > 1:
            x = x[0] if isinstance(x[0], (tuple, list)) else x
            return tuple(x)
        return x[0] if with_targets else x
    return x
