"""Metrics: functions (y, output) -> float, and the table of them by name.

A metric says by `mode` whether more of it is better, which early stopping reads. A metric of a user's is any
function of the two arrays. Metrics are not weighted, as in Keras.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from fastbp import checks
from fastbp.annotations import ArrayLike, MetricsLike
from fastbp.losses import Loss, Objective

Metric = Callable[..., float]
METRICS: dict[str, Metric] = {}


def _row(mode):
    def add(function):
        function.mode = mode
        METRICS[function.__name__] = function
        return function

    return add


@_row("max")
def accuracy(y: ArrayLike, output: ArrayLike) -> float:
    """Share of rows whose greatest output is the label's; y holds labels or probabilities.

    Examples
    --------
    >>> accuracy([0, 1], [[2.0, 1.0], [0.5, 0.1]])
    0.5
    """
    y, output = checks.as_scores(y, output)
    if output.shape[1] == 1:
        raise ValueError("accuracy wants an output for each class, got 1; binary_accuracy takes logits")
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    return float(np.mean(output.argmax(axis=1) == labels))


@_row("max")
def binary_accuracy(y: ArrayLike, output: ArrayLike) -> float:
    """Share of logits whose sign is right; y holds 0 or 1.

    Examples
    --------
    >>> binary_accuracy([0, 1], [[-2.0], [0.5]])
    1.0
    """
    y, output = _alike(y, output)
    return float(np.mean((output > 0) == (y > 0.5)))


@_row("min")
def mae(y: ArrayLike, output: ArrayLike) -> float:
    """Mean of |output - y|.

    Examples
    --------
    >>> mae([1.0, 2.0], [[1.5], [2.0]])
    0.25
    """
    y, output = _alike(y, output)
    return float(np.mean(np.abs(output - y), dtype=np.float64))


@_row("min")
def mse(y: ArrayLike, output: ArrayLike) -> float:
    """Mean of (output - y)**2.

    Examples
    --------
    >>> mse([1.0, 2.0], [[1.5], [2.0]])
    0.125
    """
    y, output = _alike(y, output)
    return float(np.mean(np.square(output - y), dtype=np.float64))


@_row("max")
def r2(y: ArrayLike, output: ArrayLike) -> float:
    """Coefficient of determination, 1 - residual / total sum of squares; the mean over the outputs.

    An output whose targets are all the same counts 1 if it is met exactly and 0 if not, as in scikit-learn.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [[1.0], [2.0], [3.5]])
    0.875
    """
    y, output = _alike(y, output)
    y = y.astype(np.float64)
    residual = np.square(output - y).sum(axis=0)
    total = np.square(y - y.mean(axis=0)).sum(axis=0)
    constant = np.where(residual == 0, 1.0, 0.0)
    return float(np.mean(np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), constant)))


class Measured(NamedTuple):
    """A metric and the number of the output it measures."""

    function: Metric
    output: int


def resolve(metrics: MetricsLike, objective: Objective) -> dict[str, Measured]:
    """The metrics of a network's outputs by the names they are shown by.

    With several outputs there is a list of metrics for each, and the names begin with the output's.
    """
    nodes = objective.nodes
    if len(nodes) > 1 and not metrics:
        return {}
    found = []
    lists = checks.one_each(metrics, len(nodes), "metrics")
    for k, (wanted, loss, node) in enumerate(zip(lists, objective.losses, nodes, strict=True)):
        prefix = f"{node.name}_" if len(nodes) > 1 else ""
        found += [(prefix + name, Measured(function, k)) for name, function in _named(wanted, loss)]
    checks.distinct([name for name, _ in found], "the metric")
    return dict(found)


def _named(metrics, loss):
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be a list of names or functions, got {metrics!r}")
    logits = isinstance(loss, Loss) and loss.row.unit and not loss.row.indices
    table = {**METRICS, accuracy.__name__: binary_accuracy} if logits else METRICS
    for metric in metrics:
        if isinstance(metric, str):
            yield metric, table[checks.one_of(metric, "metric", table)]
        else:
            yield checks.as_callable(metric, "metric").__name__, metric


def _alike(y, output):
    y, output = checks.as_scores(y, output)
    if y.shape != output.shape and output.shape[1] != 1:
        raise ValueError(f"y must have shape {output.shape}, got {y.shape}")
    return y.reshape(output.shape), output
