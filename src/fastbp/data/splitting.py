"""Train/validation splits: a held-out fraction, and folds for cross-validation.

Both are index arrays that depend only on the seed, so that splits are reproducible. Without a seed the rows stay in
order: the last ones are held out, as in Keras, and folds are consecutive, as in scikit-learn.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastbp._typing import ArrayLike, Arrays
from fastbp.inputs import checks, other_packages


class Split:
    """A train/validation split, for `fit(validation_split=)`.

    Parameters
    ----------
    share : float
        Fraction of the rows to hold out, 0 < share < 1; rounded up to whole rows.
    seed : int, optional
        Seed of the random choice; the last rows are held out if not given.
    stratify : bool, default=False
        Whether both parts have the same proportions of the classes, or values of y; each class keeps a training row if
        there are enough rows.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1.

    See Also
    --------
    kfold : Several splits.

    Examples
    --------
    >>> train, held = Split(0.4).indices(5)
    >>> train, held
    (array([0, 1, 2]), array([3, 4]))
    >>> Split(0.5, stratify=True).indices(6, [0, 0, 1, 1, 1, 1])[1]
    array([1, 4, 5])
    """

    def __init__(self, share: float, seed: int | None = None, stratify: bool = False):
        self.share = checks.in_range(share, "validation_split", 0.0, 1.0)
        if not self.share:
            raise ValueError("validation_split must be above 0, got 0.0")
        self.seed = None if seed is None else checks.as_seed(seed)
        self.stratify = checks.as_bool(stratify, "stratify")

    def indices(self, rows: int, y: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The indices of the training rows and of the held-out rows, both ascending.

        Parameters
        ----------
        rows : int
            Number of rows.
        y : array, optional
            Labels, for `stratify`.

        Returns
        -------
        train : ndarray of int64
            The rows to train on.
        held : ndarray of int64
            The rows held out.

        Raises
        ------
        ValueError
            If no row is left to train on, or `stratify` has no labels.
        """
        count = math.ceil(round(self.share * rows, 9))
        if count >= rows:
            raise ValueError(f"validation_split={self.share:g} leaves nothing to train on: there are {rows} rows")
        order = np.arange(rows) if self.seed is None else np.random.default_rng(self.seed).permutation(rows)
        return _both(_held(order, _labels(y, rows), count) if self.stratify else order[rows - count :], rows)

    def __repr__(self):
        return f"Split({self.share}, seed={self.seed}, stratify={self.stratify})"


def hold_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows to hold out as the command line does: a `Split` by class that leaves each class a row to train on.

    Parameters
    ----------
    labels : ndarray of int, shape (rows,)
        The class of each row, from 0.
    share : float
        Fraction of the rows, 0 <= share < 1; above 0 at least one row is held out.
    seed : int
        Seed of the random choice.

    Returns
    -------
    train, held : ndarray of int64
        Row indices, both ascending.

    Examples
    --------
    >>> train, held = hold_out(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    >>> len(train), len(held)
    (6, 2)
    """
    rows = len(labels)
    if share == 0:
        return np.arange(rows), np.arange(0)
    spare = rows - np.count_nonzero(np.bincount(labels))
    if not spare:
        raise ValueError(f"{rows} rows are too few to hold some out (--validation 0 trains on all)")
    count = min(max(1, round(share * rows)), spare)
    return _both(_held(np.random.default_rng(seed).permutation(rows), labels, count), rows)


class Parted(NamedTuple):
    """The training part of the data, and the validation data."""

    X: Any
    y: Any
    sample_weight: Any
    validation_data: tuple[Any, ...]


def part(split: float | Split, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> Parted:
    """Split X, y and sample weights into training and validation data."""
    if y is None or validation_data is not None:
        raise ValueError("validation_split wants X and y as arrays, and no validation_data")
    split = split if isinstance(split, Split) else Split(split)
    rows = count_rows(X)
    indices = split.indices(rows, y)
    in_order = split.seed is None and not split.stratify
    count = len(indices[0])
    parts = (slice(count), slice(count, None)) if in_order else indices  # slices are views, no copies
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None and count_rows(value, name) != rows:
            raise ValueError(f"{name} has {count_rows(value)} rows, X has {rows}")
    one, other = ([take_rows(A, index) for A in (X, y, sample_weight)] for index in parts)
    X, y, sample_weight = one
    return Parted(X, y, sample_weight, tuple(other[:2] if other[2] is None else other))


def kfold(
    X: Arrays, y: Arrays | None = None, k: int = 5, seed: int | None = None, stratify: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Iterate over k folds for cross-validation: each row is in the test part of one fold.

    Parameters
    ----------
    X : array, or a tuple of them
        The rows to split; only their number matters.
    y : array, optional
        Labels, for `stratify`.
    k : int, default=5
        Number of folds, at least 2.
    seed : int, optional
        Seed of the random assignment; folds are consecutive rows if not given.
    stratify : bool, default=False
        Whether each fold has the same proportions of the classes, to within one row.

    Returns
    -------
    iterator of (train, test)
        Row indices, both ascending.

    Raises
    ------
    ValueError
        If there are more folds than rows, or `stratify` has no labels.

    See Also
    --------
    cross_validate : Trains a network for each fold.
    Split : One split, for `fit`.

    Examples
    --------
    >>> for train, test in kfold(np.zeros((5, 2)), k=2):
    ...     print(train, test)
    [3 4] [0 1 2]
    [0 1 2] [3 4]
    """
    rows = count_rows(X)
    k = checks.positive_int(k, "k", low=2)
    if k > rows:
        raise ValueError(f"k must be at most the number of rows, got {k} folds of {rows} rows")
    rng = None if seed is None else np.random.default_rng(checks.as_seed(seed))
    if checks.as_bool(stratify, "stratify"):
        fold = _stratified(_labels(y, rows), k, rng)
    else:
        fold = np.repeat(np.arange(k), [len(block) for block in np.array_split(np.arange(rows), k)])
        fold = fold if rng is None else rng.permuted(fold)
    return ((np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(k))


def count_rows(A: Any, name: str = "X") -> int:
    """Number of rows of an array, or of the first of a tuple."""
    A = A[0] if isinstance(A, tuple) and A else A
    shape = getattr(A, "shape", None)
    if shape == () or not (shape or hasattr(A, "__len__")):
        raise TypeError(f"{name} must have rows, got {type(A).__name__}")
    return shape[0] if shape else len(A)


def take_rows(A: Any, index: np.ndarray | slice) -> Any:
    """These rows of an array, data frame, sparse array, or of each of a tuple; None for None."""
    if A is None:
        return None
    if isinstance(A, tuple):
        return tuple(take_rows(each, index) for each in A)
    if other_packages.is_sparse(A):
        return A.tocsr()[index]
    if hasattr(A, "iloc"):
        return A.iloc[index]
    return (A if hasattr(A, "shape") else np.asarray(A))[index]


def _both(held, rows):
    """The rows that are not held out, and the held-out rows, both ascending."""
    mask = np.zeros(rows, bool)
    mask[held] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _stratified(labels, k, rng):
    """The fold of each row: class by class, rows are dealt out to the folds in turn."""
    in_order = np.sort(labels)
    counts = np.array([np.bincount(in_order[fold::k], minlength=labels.max() + 1) for fold in range(k)])
    folds = np.empty(len(labels), np.int64)
    for c in range(counts.shape[1]):
        of_class = np.repeat(np.arange(k), counts[:, c])
        folds[labels == c] = of_class if rng is None else rng.permuted(of_class)
    return folds


def _labels(y, rows):
    """The class of each row as a number; classes count in the order in which they appear, a row of a matrix is one."""
    if y is None or isinstance(y, tuple):
        raise ValueError("stratify wants one y with a label in each row")
    y = np.asarray(y)
    checks.same_rows(y, rows, "y")
    _, firsts, numbers = np.unique(y, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(firsts))[numbers.reshape(-1)]


def _held(order, labels, count):
    """The last rows of each class in this order: `count` in all, in proportion to the classes."""
    parts = [order[labels[order] == c] for c in range(labels.max() + 1)]
    shares = _shares(np.array([len(part) for part in parts]), count)
    return np.concatenate([part[len(part) - n :] for part, n in zip(parts, shares, strict=True)])


def _shares(sizes, count):
    """How many rows of each class to hold out, `count` in all: in proportion to its size, but not all if possible."""
    exact = count * sizes / sizes.sum()
    whole = np.floor(exact).astype(np.int64)
    most = np.maximum(sizes - 1, 0)
    most = most if count <= most.sum() else sizes
    while left := count - whole.sum():
        spare = np.flatnonzero(whole < most)
        whole[spare[np.argsort((whole - exact)[spare], kind="stable")][:left]] += 1
    return whole
