"""cross_validate: train a new network for each fold and evaluate it on the rest."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastbp._typing import ArrayLike, Arrays, LossLike, MetricsLike
from fastbp.callbacks.callback import Callback
from fastbp.data.splitting import count_rows, kfold, take_rows
from fastbp.inputs import checks
from fastbp.many.fit_many import as_rows_chosen, fit_many
from fastbp.network.network import Network
from fastbp.optimizers.optimizer import Optimizer
from fastbp.training.trainer import Trainer


def cross_validate(
    make: Callable[[], Network],
    X: Arrays,
    y: Arrays,
    *,
    k: int = 5,
    seed: int | None = None,
    stratify: bool = False,
    loss: LossLike = "mse",
    optimizer: str | Optimizer = "adam",
    metrics: MetricsLike = (),
    sample_weight: ArrayLike | None = None,
    cv: Any = None,
    groups: ArrayLike | None = None,
    executor: Any = None,
    **settings: Any,
) -> dict[str, np.ndarray]:
    """Cross-validation: train a new network for each of k folds and evaluate it on the held-out samples.

    The folds are trained side by side by `fit_many`, on the same arrays without copies.

    Parameters
    ----------
    make : function () -> net
        Builds a new network; with the same seed each starts from the same weights.
    X : array of shape (rows, inputs), or a tuple of them
        The inputs; a tuple for several.
    y : array of labels or values, or a tuple of them
        The targets; a tuple for several outputs.
    k : int, default=5
        Number of folds.
    seed : int, optional
        Seed of the folds, which are consecutive rows if not given, and of the shuffling.
    stratify : bool, default=False
        Whether each fold has the same proportions of the classes.
    loss : str, Loss or function, or one for each output, default="mse"
        As for `Trainer`.
    optimizer : str or Optimizer, default="adam"
        As for `Trainer`; it starts afresh for each fold.
    metrics : list, default=()
        As for `Trainer`.
    sample_weight : array of shape (rows,), optional
        Weights in training and evaluation; 1 if not given.
    cv : splitter of scikit-learn, or iterable of (train, test) index arrays, optional
        The folds, in place of k and stratify.
    groups : array of shape (rows,), optional
        The groups that a splitter such as GroupKFold keeps together.
    executor : optional
        As for `fit_many`; threads of this process if not given.
    **settings
        Further arguments of `fit_many` and `fit`: epochs, batch_size, callbacks, validation_split ... A plain list of
        callbacks serves all folds, which are then trained one after the other.

    Returns
    -------
    dict from str to ndarray of shape (k,)
        "loss" and the metrics, one value per fold.

    Raises
    ------
    TypeError
        If `make` is not a function, or `cv` neither a splitter nor pairs.
    ValueError
        If `make` returns the same network twice.

    See Also
    --------
    kfold : The rows of each fold.
    fit_many : Fits without folds.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential, datasets
    >>> X, y = datasets.digits()
    >>> def make():
    ...     return Sequential(Input(64), Dense(20, "relu"), Dense(10), seed=0)
    >>> scores = cross_validate(
    ...     make, X[:500], y[:500], k=3, seed=0, loss="cross_entropy", metrics=["accuracy"], epochs=20
    ... )
    >>> scores["accuracy"].shape, bool(scores["accuracy"].mean() > 0.6)
    ((3,), True)
    """
    if not callable(make) or isinstance(make, Network):
        raise TypeError(f"make must be a function that builds a net, got {make!r}")
    folds = list(_folds(X, y, cv, groups) if cv is not None else kfold(X, y, k, seed, stratify))
    nets: list[Network] = []
    for _ in folds:
        net = checks.instance(make(), Network, "what make returns")
        if any(net is other for other in nets):
            raise ValueError("make must build a new net for each fold, got the same again")
        nets.append(net)
    recipe = {"loss": loss, "optimizer": optimizer, "metrics": metrics}
    shared = {"X": X, "y": y, "sample_weight": sample_weight, "seed": seed, **recipe}
    told = settings.pop("callbacks", None)
    if isinstance(told, (list, tuple)) and all(isinstance(one, Callback) for one in told):
        for net, (train, _) in zip(nets, folds, strict=True):
            fit_many([net], **_for_one(shared), rows=[train], callbacks=[told], executor=executor, **settings)
    else:
        rows = [train for train, _ in folds]
        fit_many(nets, **_for_one(shared), rows=rows, callbacks=told, executor=executor, **settings)
    scores: list[dict[str, float]] = []
    for net, (_, test) in zip(nets, folds, strict=True):
        rest = (take_rows(A, test) for A in (X, y, sample_weight))
        scores.append(Trainer(net, loss, metrics=metrics).evaluate(*rest))
    return {name: np.array([score[name] for score in scores]) for name in scores[0]}


def _for_one(shared):
    """The arguments of all folds; lists of numbers become arrays, since lists of arrays are one for each net."""
    return {name: np.asarray(A) if isinstance(A, list) and name in ("X", "y") else A for name, A in shared.items()}


def _folds(X, y, cv, groups):
    """The folds of a splitter of scikit-learn, or those that are given."""
    rows = count_rows(X)
    pairs: Iterable = cv
    if hasattr(cv, "split"):
        parts = (A[0] if isinstance(A, tuple) else A for A in (X, y))
        pairs = cv.split(*parts, groups)
    elif isinstance(cv, (str, int)) or not isinstance(cv, Iterable):
        raise TypeError(f"cv must be a splitter of scikit-learn or pairs (train, test) of indices, got {cv!r}")
    folds = [tuple(as_rows_chosen(part, rows, "a fold") for part in pair) for pair in pairs]
    if not folds or any(len(fold) != 2 for fold in folds):
        raise ValueError("cv must give pairs (train, test) of indices")
    return folds
