"""Data in rows: batches for a loop by hand, and the checked arrays that a trainer goes through.

Both are put in order by the same draw, `permutation(rows)` of NumPy's generator, so a loop by hand sees the
batches that `fit` sees.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastbp._engine import Source
from fastbp._typing import Arrays, OneOrMore
from fastbp.inputs import checks
from fastbp.losses.loss import Loss, Objective
from fastbp.losses.loss_checks import MISSING


class Data(NamedTuple):
    """Checked arrays: one for each input, one for each output, and weights for each or None."""

    xs: tuple[np.ndarray | Source, ...]
    ts: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray | None, ...] | None

    @property
    def row_weights(self) -> np.ndarray | None:
        """Those of the rows of a net with one output, or None."""
        return None if self.weights is None else self.weights[0]

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.xs[0])

    def take(self, order: np.ndarray | None, rows: slice, inputs: bool = True) -> "Data":
        """The rows at these positions of the order; None is the order they are in."""
        weights = None if self.weights is None else take(self.weights, order, rows)
        return Data(take(self.xs, order, rows) if inputs else (), take(self.ts, order, rows), weights)


def take(arrays: tuple, order: np.ndarray | None, rows: slice) -> tuple:
    """The rows of each array at these positions of the order; None stays None."""
    chosen = rows if order is None else order[rows]
    return tuple(None if array is None else array[chosen] for array in arrays)


def batches(
    X: Arrays,
    y: Arrays,
    batch_size: int,
    *,
    seed: "int | np.random.Generator | None" = None,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Iterator[tuple[OneOrMore, OneOrMore]]:
    """Go once through the rows of X and y.

    Parameters
    ----------
    X, y : array, or a tuple of them
        With one number of rows.
    batch_size : int
        Rows of a batch; the last one has what is left.
    seed : int or numpy.random.Generator, optional
        Of the order, `numpy.random.default_rng(seed).permutation(rows)`; a generator goes on from where it
        is. Drawn if not given.
    shuffle : bool
        Whether to draw an order at all.
    drop_last : bool
        Whether to leave out a last batch with fewer rows.

    Returns
    -------
    iterator of (xb, yb)

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


def weighted_by_class(class_weight, objective: Objective, ts: tuple, weights: tuple | None, dtype: np.dtype) -> tuple:
    """The weights times those of each row's class: a dict from label to weight, or "balanced"."""
    labels, classes = _labels(objective, ts)
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(labels[labels != MISSING], minlength=classes)
        of_class = counts.sum() / (max(1, np.count_nonzero(counts)) * np.maximum(counts, 1))
    else:
        of_class = checks.as_class_weight(class_weight, classes)
    of_row = of_class[labels] if weights is None else (of_class[labels] * weights[0].T).T
    return (checks.as_weights(of_row, of_row.shape, dtype, "class_weight by row"),)


def _labels(objective, ts):
    """The label of each row, MISSING where it is, and the number of classes, where there is one label a row."""
    loss, t, width = objective.losses[0], ts[0], objective.nodes[0].width
    if len(ts) == 1 and isinstance(loss, Loss):
        if t.ndim == 1:
            return t, width
        labels = np.where(np.isnan(t), MISSING, t)[:, 0]
        if loss.takes_shares and width == 1 and np.isin(labels, (0, 1, MISSING)).all():
            return labels.astype(np.int64), 2
    raise ValueError("class_weight wants one output with a class label in each row of y")
