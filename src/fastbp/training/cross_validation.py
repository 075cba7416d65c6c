"""cross_validate: train a new network for each fold and evaluate it on the rest."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._typing import ArrayLike, Arrays, LossLike, MetricsLike
from fastbp.data.splitting import kfold, take_rows
from fastbp.inputs import checks
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
    **settings: Any,
) -> dict[str, np.ndarray]:
    """Cross-validation: train a new network for each of k folds and evaluate it on the held-out samples.

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
    **settings
        Further arguments of `fit`: epochs, batch_size, callbacks, validation_split ...

    Returns
    -------
    dict from str to ndarray of shape (k,)
        "loss" and the metrics, one value per fold.

    See Also
    --------
    kfold : The rows of each fold.

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
    nets: list[Network] = []
    scores: list[dict[str, float]] = []
    for train, test in kfold(X, y, k, seed, stratify):
        net = checks.instance(make(), Network, "what make returns")
        if any(net is other for other in nets):
            raise ValueError("make must build a new net for each fold, got the same again")
        nets.append(net)
        trainer = Trainer(net, loss, copy.copy(optimizer), metrics=metrics)
        weights = take_rows(sample_weight, train)
        trainer.fit(take_rows(X, train), take_rows(y, train), sample_weight=weights, seed=seed, **settings)
        rest = (take_rows(A, test) for A in (X, y, sample_weight))
        scores.append(trainer.evaluate(*rest))
    return {name: np.array([score[name] for score in scores]) for name in scores[0]}
