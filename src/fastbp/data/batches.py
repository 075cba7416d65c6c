"""Mini-batches: `batches` for custom training loops, and the checked arrays that a trainer iterates over.

Both are shuffled by the same draw, `permutation(rows)` of a NumPy generator, so a custom loop sees the batches that
`fit` sees.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastbp._engine import Source
from fastbp._typing import Arrays, OneOrMore
from fastbp.inputs import checks


class Data(NamedTuple):
    """Checked arrays: one for each input, one for each output, and sample weights or None.

    `chosen` has the rows that are trained on, unless all rows are.
    """

    xs: tuple[np.ndarray | Source, ...]
    ts: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray | None, ...] | None
    chosen: np.ndarray | None = None

    @property
    def row_weights(self) -> np.ndarray | None:
        """The sample weights of a network with one output, or None."""
        return None if self.weights is None else self.weights[0]

    @property
    def rows(self) -> int:
        """Number of rows that are trained on."""
        return len(self.xs[0] if self.chosen is None else self.chosen)

    def order(self, rng: np.random.Generator | None) -> np.ndarray | None:
        """The rows of an epoch, shuffled if there is a generator; None for all rows in the given order."""
        if rng is None:
            return self.chosen
        order = rng.permutation(self.rows)
        return order if self.chosen is None else self.chosen[order]

    def take(self, order: np.ndarray | None, rows: slice, inputs: bool = True) -> "Data":
        """The rows at these positions of the order; an order of None is the given order."""
        weights = None if self.weights is None else take(self.weights, order, rows)
        return Data(take(self.xs, order, rows) if inputs else (), take(self.ts, order, rows), weights)


def take(arrays: tuple, order: np.ndarray | None, rows: slice) -> tuple:
    """The rows of each array at these positions of the order; an array of None stays None."""
    chosen = rows if order is None else order[rows]
    return tuple(None if array is None else array[chosen] for array in arrays)


class Chosen(NamedTuple):
    """X, and the rows of X, y and the weights that are trained on: folds and samples without copies."""

    X: Any
    rows: np.ndarray


def batches(
    X: Arrays,
    y: Arrays,
    batch_size: int,
    *,
    seed: "int | np.random.Generator | None" = None,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Iterator[tuple[OneOrMore, OneOrMore]]:
    """Iterate once over mini-batches of X and y.

    Parameters
    ----------
    X, y : array, or a tuple of them
        Arrays with the same number of rows.
    batch_size : int
        Number of rows of a batch; the last batch has the rest.
    seed : int or numpy.random.Generator, optional
        Seed of the order, `numpy.random.default_rng(seed).permutation(rows)`; a generator continues its stream.
        Random if not given.
    shuffle : bool, default=True
        Whether to shuffle the rows.
    drop_last : bool, default=False
        Whether to drop an incomplete last batch.

    Returns
    -------
    iterator of (xb, yb)
        Arrays of up to `batch_size` rows of X and y; tuples of them where X or y is a tuple.

    See Also
    --------
    Chunks : From arrays on disk.
    Trainer.step : Trains on a batch.

    Examples
    --------
    >>> X, y = np.arange(10).reshape(5, 2), np.arange(5)
    >>> for xb, yb in batches(X, y, 2, shuffle=False):
    ...     yb
    array([0, 1])
    array([2, 3])
    array([4])
    """
    size = checks.positive_int(batch_size, "batch_size")
    data = Data(_parts(X, "X"), _parts(y, "y"), None)
    for name, arrays in (("X", data.xs), ("y", data.ts)):
        for array in arrays:
            checks.same_rows(array, data.rows, name)
    order = np.random.default_rng(seed).permutation(data.rows) if shuffle else None
    end = data.rows - data.rows % size if drop_last else data.rows
    parts = (data.take(order, slice(first, first + size)) for first in range(0, end, size))
    return ((_like(X, part.xs), _like(y, part.ts)) for part in parts)


def _parts(A, name):
    parts = A if isinstance(A, tuple) else (A,)
    return tuple(checks.with_rows(checks.as_numbers(part, name), name) for part in parts)


def _like(A, parts):
    return parts if isinstance(A, tuple) else parts[0]
