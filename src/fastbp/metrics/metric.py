"""Metric: a number that says how good outputs are, and how it reads outputs. `metrics` fills the table.

A metric of classes reads outputs as the loss does: logits where the loss has a softmax or sigmoid of its own,
probabilities else. A trainer knows which; by hand the outputs are logits.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self, overload

import numpy as np

from fastbp._configured import Configured, Registry
from fastbp._typing import ArrayLike
from fastbp.inputs import checks

METRICS = Registry("metric", "metric", functions=True)


class Metric(Configured):
    """A row of the table: called with targets and outputs it measures; called with settings it takes these.

    Besides its own settings a metric has

    - `weighted`: whether the weights of the rows count in training and evaluation; not by default, as in Keras;
    - `name`: what it is shown by;
    - `logits`: whether outputs are logits or probabilities; what the loss takes them for, by hand logits;
    - `multilabel`: whether each output is a question of its own; what the loss takes them for, by hand not.

    Examples
    --------
    >>> from fastbp import metrics
    >>> metrics.f1([0, 1, 1], [[-2.0], [1.0], [-1.0]])
    0.6666666666666666
    >>> metrics.f1(average="macro").name
    'f1_macro'
    """

    classes = METRICS
    common: ClassVar[dict] = {"weighted": False, "name": None, "logits": True, "multilabel": False}

    @property
    def mode(self) -> str:
        """Whether less ("min") or more ("max") of it is better."""
        return self.function.mode

    @property
    def name(self) -> str:
        """What it is shown by: the name that was given, or its own with what was set."""
        parts = [name if value is True else str(value) for name, value in self.given.items() if value is not False]
        return self.given.get("name") or "_".join([self.__name__, *parts])

    @overload
    def __call__(
        self, y: ArrayLike, output: ArrayLike, sample_weight: ArrayLike | None = None, **settings: Any
    ) -> float: ...

    @overload
    def __call__(self, y: None = None, output: None = None, **settings: Any) -> Self: ...

    def __call__(
        self,
        y: ArrayLike | None = None,
        output: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        **settings: Any,
    ) -> float | Self:
        """Measure, or take settings."""
        metric = self.configured(**settings) if settings else self
        return metric if y is None or output is None else metric.measure(y, output, sample_weight)

    def measure(
        self, y: ArrayLike, output: ArrayLike, weights: ArrayLike | None = None, meaning: dict | None = None
    ) -> float:
        """The number; `meaning` is `logits` and `multilabel` as the loss has them, where nothing else was given."""
        y, output = checks.as_scores(y, output)
        if weights is not None:
            weights = checks.as_weights(weights, (len(y),), np.dtype(np.float64))
        settings = {**self.common, **(meaning or {}), **self.given}
        parts = self.function.reads(y, output, settings["logits"], settings["multilabel"])
        own = {name: self.settings[name] for name in self.function.__kwdefaults__ or ()}
        return float(self.function(*parts, weights, **own))


METRICS.base = Metric


def row(mode: str, reads: Callable, **rules: Callable) -> Callable[[Callable], Metric]:
    """Register a function of what `reads` makes of targets and outputs, and of weights, under its name."""
    every = {"weighted": checks.as_bool, "name": checks.as_name, "logits": checks.as_bool, "multilabel": checks.as_bool}

    def add(function: Any) -> Metric:
        function.mode, function.reads = mode, reads
        metric = METRICS[function.__name__] = Metric(function, {**rules, **every}, {})
        return metric

    return add


# What metrics make of (y, output, logits, multilabel)


def values(y, Y, logits, multilabel):
    """Targets and outputs as numbers, in float64 and in one shape."""
    if y.shape != Y.shape and Y.shape[1] != 1:
        raise ValueError(f"y must have shape {Y.shape}, got {y.shape}")
    return y.reshape(Y.shape).astype(np.float64), Y.astype(np.float64)


def bits(y, Y, logits, multilabel):
    """Yes or no for each output, true and predicted."""
    y, Y = values(y, Y, logits, multilabel)
    return y > 0.5, np.greater(Y, 0.0 if logits else 0.5)


def decisions(y, Y, logits, multilabel):
    """Labels, true and predicted, and the number of classes; or yes and no for each output, and 0."""
    if multilabel and Y.shape[1] > 1:
        return *bits(y, Y, logits, multilabel), 0
    if Y.shape[1] == 1:
        true, predicted = bits(y, Y, logits, multilabel)
        return true[:, 0].astype(np.int64), predicted[:, 0].astype(np.int64), 2
    return _labels(y, Y), Y.argmax(axis=1), Y.shape[1]


def scores(y, Y, logits, multilabel):
    """Labels (or yes and no for each output), and what grows with the probability of each class or output."""
    y_or_bits, _, classes = decisions(y, Y, logits, multilabel)
    Y = Y.astype(np.float64)
    return y_or_bits, log_softmax(Y) if logits and classes and Y.shape[1] > 1 else Y


def log_probabilities(y, Y, logits, multilabel):
    """Shares of the classes, and logs of the probabilities, each row's adding up to 1.

    Yes and no of an output are two classes; then each output is a row. Probabilities are kept from 0 by the last
    place of their dtype, as in scikit-learn.
    """
    eps = np.finfo(Y.dtype).eps
    if multilabel or Y.shape[1] == 1:
        y, Y = (A.reshape(-1, 1) for A in values(y, Y, logits, multilabel))
        y, Y = np.hstack([1 - y, y]), np.hstack([np.zeros_like(Y), Y] if logits else [1 - Y, Y])
    elif y.ndim == 1:
        y = np.eye(Y.shape[1])[_labels(y, Y)]
    return y, log_softmax(Y.astype(np.float64)) if logits else np.log(np.clip(Y.astype(np.float64), eps, 1 - eps))


def log_softmax(Z: np.ndarray) -> np.ndarray:
    """Logs of the softmax of each row."""
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def _labels(y, Y):
    return checks.as_classes(y, Y.shape[1]) if y.ndim == 1 else y.argmax(axis=1)
