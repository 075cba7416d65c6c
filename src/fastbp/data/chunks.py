"""Batches of data larger than memory: arrays on disk and tables, read window by window.

A window is a stretch of consecutive rows that is read at once and shuffled; the windows come in a random order.
Rejected: random single rows, for each of which a compressed chunk would be read and unpacked anew.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastbp._optional import package
from fastbp.inputs import checks

WINDOW = 2**23  # bytes of X: long reads, and little memory beside what a package that reads files takes itself


class Chunks:
    """Batches (X, y) from arrays on disk, for `fit`, `evaluate` and `predict`: only a window of rows is in memory.

    Parameters
    ----------
    X, y : array that can be sliced by rows
        Objects with `shape` and slices that NumPy can read: datasets of h5py, arrays of zarr and Dask, memory maps.
        For the columns of a table see `Chunks.parquet`.
    batch_size : int, default=32
        Number of rows of a batch; the next window completes the last batch of a window.
    window : int, optional
        Number of consecutive rows that are read at once and shuffled. If not given, about 8 MB of X, in whole chunks
        where X has `chunks`.
    shuffle : bool, default=True
        Whether to shuffle the windows, and the rows within each window. The rows of a window stay together.
    seed : int, optional
        Seed of the shuffling, which differs in each epoch; random if not given.

    Raises
    ------
    TypeError
        If an array has no shape or no slices.
    ValueError
        If X and y have no rows, or different numbers of them.

    See Also
    --------
    batches : From arrays in memory.

    Examples
    --------
    >>> X, y = np.arange(10.0).reshape(5, 2), np.arange(5.0)
    >>> [yb.tolist() for _, yb in Chunks(X, y, batch_size=2, window=3, shuffle=False)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        batch_size: int = 32,
        window: int | None = None,
        shuffle: bool = True,
        seed: int | None = None,
    ):
        for name, A in (("X", X), ("y", y)):
            if not hasattr(A, "shape") or not hasattr(A, "__getitem__") or not len(A.shape):
                raise TypeError(f"{name} must be an array on disk, with shape and slices, got {type(A).__name__}")
        if X.shape[0] != y.shape[0] or not X.shape[0]:
            raise ValueError(
                f"X and y must have the same number of rows, at least 1, got {X.shape[0]} and {y.shape[0]}"
            )
        window = _window_of(X) if window is None else checks.positive_int(window, "window")
        starts = range(0, X.shape[0], window)

        def read(start: int) -> tuple[np.ndarray, np.ndarray]:
            rows = slice(start, start + window)
            return np.asarray(X[rows]), np.asarray(y[rows])

        self._set(read, list(starts), batch_size, shuffle, seed)

    def _set(self, read: Callable[[Any], tuple], windows: list, batch_size, shuffle, seed) -> None:
        self._read, self._windows = read, windows
        self._batch_size = checks.positive_int(batch_size, "batch_size")
        self._shuffle = checks.as_bool(shuffle, "shuffle")
        self._rng = np.random.default_rng(checks.as_seed(seed))

    @classmethod
    def parquet(
        cls,
        path: Any,
        target: str,
        *,
        columns: list[str] | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> "Chunks":
        """Batches of a Parquet file by pyarrow; a window is one of its row groups.

        Parameters
        ----------
        path : str or path-like
            The file.
        target : str
            The column of y.
        columns : list of str, optional
            The numeric columns of X; all but the target if not given.
        batch_size : int, default=32
            Number of rows of a batch.
        shuffle : bool, default=True
            Whether to shuffle the row groups, and the rows within each.
        seed : int, optional
            Seed of the shuffling; random if not given.

        Returns
        -------
        Chunks

        Raises
        ------
        ImportError
            If pyarrow is not installed.
        """
        file = package("pyarrow.parquet", "Chunks.parquet").ParquetFile(path)
        types = package("pyarrow.types", "Chunks.parquet")
        schema = file.schema_arrow
        names = schema.names
        wanted = [name for name in names if name != target] if columns is None else list(columns)
        for name in [*wanted, target]:
            checks.one_of(name, "column", names)

        def column(group: int, name: str) -> np.ndarray:
            found = file.read_row_group(group, [name], use_threads=False).column(name)
            plain = types.is_integer(found.type) or types.is_floating(found.type)
            if not plain or found.null_count or not len(found):
                return found.to_numpy()  # this call imports pandas: 30 MB
            return np.concatenate([np.from_dlpack(part) for part in found.chunks])

        def read(group: int) -> tuple[np.ndarray, np.ndarray]:
            y = column(group, target)
            kinds = [schema.field(name).type.to_pandas_dtype() for name in wanted]
            X = np.empty((len(y), len(wanted)), np.result_type(*kinds))
            for k, name in enumerate(wanted):  # one by one: a table of all columns would be in memory beside X
                X[:, k] = column(group, name)
            return X, y

        made = cls.__new__(cls)
        made._set(read, list(range(file.num_row_groups)), batch_size, shuffle, seed)
        return made

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One epoch."""
        size = self._batch_size
        rest: tuple[np.ndarray, np.ndarray] | None = None  # rows of earlier windows that fill no batch
        windows = self._rng.permutation(len(self._windows)) if self._shuffle else range(len(self._windows))
        for number in windows:
            X, y = self._read(self._windows[number])
            order = self._rng.permutation(len(X)) if self._shuffle else np.arange(len(X))
            first = 0
            if rest is not None:
                first = min(size - len(rest[0]), len(X))
                rest = np.concatenate([rest[0], X[order[:first]]]), np.concatenate([rest[1], y[order[:first]]])
                if len(rest[0]) < size:
                    continue
                yield rest
            end = first + (len(X) - first) // size * size
            for start in range(first, end, size):
                rows = order[start : start + size]
                yield X[rows], y[rows]
            rest = None if end == len(X) else (X[order[end:]], y[order[end:]])
            del X, y  # free the window before the next one is read
        if rest is not None:
            yield rest


def _window_of(X):
    """Number of rows of a window, in whole chunks of the array."""
    chunks = getattr(X, "chunks", None)
    rows = chunks[0] if chunks else 1
    rows = max(rows) if isinstance(rows, tuple) else rows
    of_row = max(1, math.prod(X.shape[1:]) * np.dtype(X.dtype).itemsize)
    return max(1, round(WINDOW / of_row / rows)) * rows
