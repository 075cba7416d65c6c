"""fit_many: train many networks, on threads of this process or on any executor."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastbp._typing import MetricsLike
from fastbp.callbacks.callback import Callback
from fastbp.callbacks.history import History
from fastbp.data import splitting
from fastbp.inputs import checks
from fastbp.many import jobs
from fastbp.network.network import Network
from fastbp.training.fit_settings import FitSettings

ARGUMENTS = {"loss", "loss_weights", "optimizer", "metrics", *FitSettings._fields} - {"resume"}


def fit_many(
    nets: Sequence[Network],
    X: Any,
    y: Any = None,
    *,
    loss: Any = "mse",
    optimizer: Any = "adam",
    metrics: MetricsLike = (),
    seed: int | Iterable[int | None] | None = None,
    epochs: int | Iterable[int] = 1,
    batch_size: int | Iterable[int] = 32,
    sample_weight: Any = None,
    validation_split: float | splitting.Split | None = None,
    rows: Sequence[Any] | None = None,
    callbacks: Callable[[int], Sequence[Callback]] | Sequence[Sequence[Callback]] | None = None,
    threads: int | None = None,
    executor: Any = None,
    errors: str = "raise",
    progress: bool = False,
    **settings: Any,
) -> list[History]:
    """Train many networks side by side; each gets the bits that a `fit` alone would give it.

    The networks may differ in everything. Of loss, optimizer, seed, epochs and batch_size, anything but a list or a
    range is for all networks; a list or a range has one for each. The optimizer is copied for each network, and stays
    as it was. Without an executor, small chains of `Dense` layers of the same widths (up to 4 kB of parameters, batches
    of up to 64 rows) are trained together, one in each lane of a SIMD vector, up to four times as fast.

    Parameters
    ----------
    nets : list of Model
        The networks, which are trained in place.
    X : array of shape (rows, inputs), or a tuple of them, or a list of these with one for each net
        The inputs, as for `fit`: arrays are shared by all fits and not copied. Without y an iterable of batches that
        can be gone through again.
    y : array of labels or values, or a tuple of them, or a list of these with one for each net, optional
        The targets.
    loss : str, Loss or function, a tuple of them, or a list with one for each net, default="mse"
        As for `Trainer`.
    optimizer : str or Optimizer, or a list of them, default="adam"
        As for `Trainer`.
    metrics : list of str or Metric, default=()
        As for `Trainer`, for all networks.
    seed : int, or a list or range of them, optional
        Seed of the shuffling; that of each network if not given.
    epochs : int, or a list or range of them, default=1
        Number of epochs.
    batch_size : int, or a list or range of them, default=32
        Number of samples per step.
    sample_weight : array of shape (rows,) or of y's shape, or a list of these with one for each net, optional
        Weights of the samples; 1 if not given.
    validation_split : float or Split, optional
        Fraction of the rows, or of each net's own `rows`, held out for validation.
    rows : list of int arrays, optional
        Indices of the rows that each network is trained on: folds and bootstrap samples without copies. All if not
        given.
    callbacks : function k -> list of Callback, or a list of lists, optional
        The callbacks of network k, made anew for each, since callbacks have state. They are called in the thread
        that trains the network, and in another process copies are.
    threads : int, optional
        Number of threads that train networks; `get_num_threads()` if not given. With an executor, the threads of each
        fit; 1 if not given.
    executor : optional
        Anything with `submit` or `map` as in concurrent.futures: a pool of threads or processes, loky, mpi4py.futures,
        a Dask client, a Ray pool. Networks, data and callbacks are pickled for another process, memory-mapped
        files as their names. Threads of this process if not given.
    errors : {"raise", "keep"}, default="raise"
        What a network that diverges does: end all fits with its DivergenceError, or end alone, with the error in its
        history.
    progress : bool, default=False
        Whether to show one line of progress on standard error.
    **settings
        Further arguments of `Model.fit`, for all networks: validation_data, class_weight, shuffle ...

    Returns
    -------
    list of History
        One for each network.

    Raises
    ------
    DivergenceError
        If a loss or an update is not finite, unless errors="keep".
    TypeError
        If callbacks would be shared, or data can be iterated over only once.
    ValueError
        If a network is there twice, or a list has another length.

    See Also
    --------
    Trainers : Networks trained step by step.
    Ensemble : The networks as one.
    cross_validate : A fit for each fold.

    Examples
    --------
    >>> import fastbp as fb
    >>> X, y = fb.datasets.digits()
    >>> nets = [fb.Sequential(fb.Input(64), fb.Dense(width, "relu"), fb.Dense(10), seed=0) for width in (8, 16, 32)]
    >>> rates = [fb.Adam(0.01), fb.Adam(0.003), fb.SGD(0.1)]
    >>> histories = fit_many(nets, X, y, loss="cross_entropy", optimizer=rates, epochs=3, seed=range(3))
    >>> [len(history.epoch) for history in histories]
    [3, 3, 3]
    """
    nets = checks.instances(list(nets), Network, "nets")
    if len({id(net) for net in nets}) < len(nets):
        raise ValueError("nets must be different, got one of them twice")
    count = len(nets)
    for name in settings:
        checks.one_of(name, "argument of fit_many", ARGUMENTS, TypeError)
    for name, data in (("X", X), ("validation_data", settings.get("validation_data"))):
        if isinstance(data, Iterator):
            raise TypeError(f"{name} can be gone through only once; many nets want a list, a DataLoader or arrays")
    keep = checks.one_of(errors, "errors", ("raise", "keep")) == "keep"
    threads = checks.as_threads(threads)
    told = _callbacks(callbacks, count)
    each = {
        "loss": _each(loss, count, "loss"),
        "optimizer": _each(optimizer, count, "optimizer"),
        "seed": _each(seed, count, "seed"),
        "epochs": [checks.positive_int(one, "epochs") for one in _each(epochs, count, "epochs")],
        "batch_size": [checks.positive_int(one, "batch_size") for one in _each(batch_size, count, "batch_size")],
    }
    given = {"X": X, "y": y, "sample_weight": sample_weight}
    lists = [[A] * count if y is None else _arrays_each(A, count, name) for name, A in given.items()]
    parts = zip(*lists, _rows(rows, count), strict=True)
    split = _Split(validation_split, settings.get("validation_data"))
    loss_weights = settings.pop("loss_weights", None)
    made = []
    for k, (net, data) in enumerate(zip(nets, parts, strict=True)):
        Xk, yk, weights, chosen, validation = split.of(*data)
        one = {name: values[k] for name, values in each.items()}
        recipe = {"loss": one.pop("loss"), "optimizer": one.pop("optimizer"), "metrics": metrics}
        rest = {**settings, **one, "sample_weight": weights, "validation_data": validation, "callbacks": told[k]}
        made.append(jobs.Job(k, net, {**recipe, "loss_weights": loss_weights}, Xk, yk, chosen, rest, keep))
    return jobs.run(made, executor, threads, progress)


def as_rows_chosen(rows: Any, count: int, name: str) -> np.ndarray:
    """Indices of rows, checked."""
    index = np.asarray(rows)
    if index.dtype.kind not in "iu" or index.ndim != 1 or not index.size:
        raise TypeError(f"{name} must be indices of rows, got {index.dtype} of shape {index.shape}")
    if index.min() < 0 or index.max() >= count:
        raise ValueError(f"{name} must be in 0 ... {count - 1}, got {index.min()} ... {index.max()}")
    return np.ascontiguousarray(index, np.int64)


class _Split:
    """Holds rows out; the same data are split once."""

    def __init__(self, split, validation_data):
        self.split, self.validation_data = split, validation_data
        if split is not None:
            if validation_data is not None:
                raise ValueError("validation_split wants X and y as arrays, and no validation_data")
            self.split = split if isinstance(split, splitting.Split) else splitting.Split(split)
        self._last: tuple = ()
        self._parts: tuple = ()

    def of(self, X, y, weights, rows):
        """X, y, weights, rows to train on or None for all, and validation data."""
        if rows is not None:
            if y is None:
                raise ValueError("rows is for arrays, not for batches")
            rows = as_rows_chosen(rows, splitting.count_rows(X), "rows")
        if self.split is None:
            return X, y, weights, rows, self.validation_data
        given = X, y, weights, rows
        if len(self._last) != 4 or any(a is not b for a, b in zip(given, self._last, strict=True)):
            self._last, self._parts = given, self._parted(*given)
        return self._parts

    def _parted(self, X, y, weights, rows):
        split = self.split
        if rows is None and split.seed is None and not split.stratify:
            Xt, yt, weights, held = splitting.part(split, X, y, weights, None)
            return Xt, yt, weights, None, held
        if y is None:
            raise ValueError("validation_split wants X and y as arrays, and no validation_data")
        count = splitting.count_rows(X)
        index = np.arange(count) if rows is None else rows
        labels = splitting.take_rows(y, index) if split.stratify else None
        train, held = (index[part] for part in split.indices(len(index), labels))
        validation = tuple(splitting.take_rows(A, held) for A in (X, y, weights) if A is not None)
        return X, y, weights, train, validation


def _each(value, count, name):
    """One for each net, of a list or a range; anything else for all."""
    if not isinstance(value, (list, range, np.ndarray)) or getattr(value, "shape", None) == ():
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{name} must be one for all or {count} for so many nets, got {len(value)}")
    return list(value)


def _arrays_each(A, count, name):
    """One for each net, of a list of arrays, data frames or tuples; anything else for all."""
    of_each = isinstance(A, list) and bool(A) and all(hasattr(one, "shape") or isinstance(one, tuple) for one in A)
    if not of_each or getattr(A[0], "shape", None) == ():
        return [A] * count
    if len(A) != count:
        raise ValueError(f"{name} is a list of arrays and must have one for each of {count} nets, got {len(A)}")
    return A


def _rows(rows, count):
    if rows is None:
        return [None] * count
    rows = list(rows)
    if len(rows) != count:
        raise ValueError(f"rows must have an array of indices for each of {count} nets, got {len(rows)}")
    return rows


def _callbacks(callbacks, count):
    if callbacks is None:
        return [()] * count
    if callable(callbacks):
        lists = [callbacks(k) for k in range(count)]
    else:
        lists = _each(list(callbacks), count, "callbacks")
        if any(isinstance(one, Callback) for one in lists):
            raise TypeError("callbacks have state: pass a function of k that makes the list of net k")
    lists = [checks.instances(one, Callback, "callbacks") for one in lists]
    if len({id(one) for found in lists for one in found}) < sum(len(found) for found in lists):
        raise ValueError("callbacks must be new ones for each net, got one of them twice")
    return lists
