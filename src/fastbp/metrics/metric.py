"""Metric: a function of targets and outputs with settings, and how it interprets outputs; `metrics.py` has the table.

A metric interprets outputs like the loss, which a `Reading` describes: as logits if the loss includes a softmax or
sigmoid, as logarithms of means under `poisson`, as quantiles, and so on. In direct calls a classification metric reads
outputs as logits, and a metric of values reads them as predictions.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar, NamedTuple, Self, overload

import numpy as np

from fastbp._configured import Configured, Registry
from fastbp._typing import ArrayLike
from fastbp.inputs import checks

# Names of the same metrics in Keras and scikit-learn.
SYNONYMS = {
    "acc": "accuracy",
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced_accuracy",
    "auc": "roc_auc",
    "roc_auc_score": "roc_auc",
    "f1_score": "f1",
    "precision_score": "precision",
    "recall_score": "recall",
    "r2_score": "r2",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "root_mean_squared_error": "rmse",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "top_k_categorical_accuracy": "top_k_accuracy",
    "sparse_top_k_categorical_accuracy": "top_k_accuracy",
    "top_k_accuracy_score": "top_k_accuracy",
    "binary_crossentropy": "log_loss",
    "categorical_crossentropy": "log_loss",
    "sparse_categorical_crossentropy": "log_loss",
}
METRICS = Registry("metric", "metric", functions=True, synonyms=SYNONYMS)


class Sums(NamedTuple):
    """How a metric adds up over batches: the sums of a batch, the metric from sums, and how two sums are added."""

    of_batch: Callable[..., Any]  # a function of what the metric's `reads` returns, and weights
    metric: Callable[..., Any]
    add: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add


class Reading(NamedTuple):
    """How a loss interprets outputs and targets."""

    logits: bool = True  # outputs are logits or margins: the threshold is 0
    multilabel: bool | None = None  # each output is a label of its own; None: if the rows of y show it
    probabilities: bool = True  # outputs give probabilities; margins do not
    masked: bool = False  # a target that is NaN is unknown
    predicted: Callable[[np.ndarray], np.ndarray] | None = None  # from outputs to predictions in the unit of y


class Metric(Configured):
    """A metric: called with targets and outputs it returns a number; called with settings it returns a copy.

    Besides its own settings a metric has

    - `weighted`: whether sample weights count in training and evaluation; False by default, as in Keras;
    - `name`: the name in histories;
    - `logits`: whether outputs are logits or probabilities; decided by the loss, True in direct calls;
    - `multilabel`: whether each output is a label of its own; decided by the loss, in direct calls by y: a matrix whose
      rows do not all sum to 1 has labels of their own.

    See Also
    --------
    fastbp.Trainer : Takes a list of them as `metrics`.

    Examples
    --------
    >>> from fastbp import metrics
    >>> metrics.f1([0, 1, 1], [[-2.0], [1.0], [-1.0]])
    0.6666666666666666
    >>> metrics.f1(average="macro").name
    'f1_macro'
    """

    classes = METRICS
    common: ClassVar[dict] = {"weighted": False, "name": None, "logits": True, "multilabel": None}

    @property
    def mode(self) -> str:
        """Whether lower ("min") or higher ("max") values are better."""
        return self.function.mode

    @property
    def name(self) -> str:
        """The name in histories: the setting `name`, or the metric's own name with the other settings."""
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
        """Compute the metric, or return it with these settings.

        Parameters
        ----------
        y : array of shape (rows,) or (rows, outputs), optional
            The targets; without them the metric is returned.
        output : array of shape (rows, outputs), optional
            Outputs of a network.
        sample_weight : array of shape (rows,), or of y's shape, optional
            Weights of the samples or of single targets; 1 if not given.
        **settings
            Settings of the metric, by name.

        Returns
        -------
        float or Metric
            The value, or a copy with these settings.
        """
        metric = self.configured(**settings) if settings else self
        return metric if y is None or output is None else metric.measure(y, output, sample_weight)

    def measure(
        self, y: ArrayLike, output: ArrayLike, weights: ArrayLike | None = None, reading: Reading | None = None
    ) -> float:
        """Compute the metric, reading outputs as a loss does, unless `logits` or `multilabel` were set.

        Weights are per row or per target; the result is NaN if nothing has weight.
        """
        read, weights, own = self._read(y, output, weights, reading)
        return np.nan if read is None else float(self.function(*read, weights, **own))

    @property
    def adds_up(self) -> bool:
        """Whether the metric follows from sums over batches, so that no target and no output needs to be kept."""
        return self.function.sums is not None

    def sums(self, y: ArrayLike, output: ArrayLike, weights: ArrayLike | None, reading: Reading) -> np.ndarray | None:
        """The sums of a batch, from which `of_sums` computes the metric; None if nothing has weight."""
        read, weights, own = self._read(y, output, weights, reading)
        if read is None:
            return None
        if self.function.sums is not MEAN:
            return np.array(self.function.sums.of_batch(*read, weights))
        amount = (
            np.shape(output)[0] if weights is None else (weights.mean(axis=1) if weights.ndim == 2 else weights).sum()
        )
        return np.array([amount * self.function(*read, weights, **own), amount])

    def add(self, *sums: np.ndarray | None) -> np.ndarray | None:
        """The sums of several batches, added up."""
        given = [each for each in sums if each is not None]
        return reduce(self.function.sums.add, given) if given else None

    def of_sums(self, sums: np.ndarray | None) -> float:
        """The metric of all batches, from their sums."""
        own = {name: self.settings[name] for name in self.function.__kwdefaults__ or ()}
        return np.nan if sums is None else float(self.function.sums.metric(sums, **own))

    def _read(self, y, output, weights, reading):
        """The function's arguments: the result of `reads`, or None if nothing has weight; the weights; its settings."""
        part, reading = reading is not None, reading or Reading()
        reads, logits = self.function.reads, self.given.get("logits", reading.logits)
        if reading.predicted is not None and (logits == reading.logits if reads is values else not reading.logits):
            output = reading.predicted(np.asarray(output))
        y, output = checks.as_scores(y, output)
        if weights is not None:
            shape = y.shape if np.ndim(weights) == 2 else y.shape[:1]
            weights = checks.as_weights(weights, shape, np.dtype(np.float64), part=part)
        if reading.masked:
            y, weights = known_only(y, weights)
        multilabel = self.given.get("multilabel", reading.multilabel)
        if multilabel is None:
            multilabel = y.ndim == 2 and y.shape[1] > 1 and not np.allclose(y.sum(axis=1), 1)
        if reads is log_probabilities and not reading.probabilities:
            raise ValueError(f"{self.__name__} wants probabilities, and the outputs of this loss are margins")
        by_class = reads is not values and reads is not bits and output.shape[1] > 1 and not multilabel
        if by_class and weights is not None and weights.ndim == 2:  # per row, 0 unless all of its targets are known
            weights = weights.mean(axis=1) * (weights > 0).all(axis=1)
        if weights is not None and not weights.any():
            return None, weights, {}
        own = {name: self.settings[name] for name in self.function.__kwdefaults__ or ()}
        return reads(y, output, logits, multilabel), weights, own


METRICS.base = Metric


def _unused(*read: Any) -> Any:
    raise NotImplementedError


def _quotient_of_sums(sums, **settings):
    return sums[0] / sums[1]


MEAN = Sums(_unused, _quotient_of_sums)  # sums of a weighted mean over rows: value times weight, and weight


def row(mode: str, reads: Callable, sums: Sums | None = None, **rules: Callable) -> Callable[[Callable], Metric]:
    """Register a metric under its name: a function of what `reads` returns for targets and outputs, and of weights."""
    every = {"weighted": checks.as_bool, "name": checks.as_name, "logits": checks.as_bool, "multilabel": checks.as_bool}

    def add(function: Any) -> Metric:
        function.mode, function.reads, function.sums = mode, reads, sums
        metric = METRICS[function.__name__] = Metric(function, {**rules, **every}, {})
        return metric

    return add


def known_only(y: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Targets and weights if NaN means unknown: such a target becomes 0 and gets the weight 0."""
    unknown = np.isnan(y) if y.dtype.kind == "f" else np.zeros(y.shape, bool)
    if not unknown.any():
        return y, weights
    weights = np.ones(len(y)) if weights is None else weights
    return np.where(unknown, 0, y), np.where(unknown, 0, (np.ones(y.shape).T * weights.T).T)


# How metrics interpret (y, output, logits, multilabel)


def values(y, Y, logits, multilabel):
    """Targets and outputs as numbers, in float64 and in one shape."""
    if y.shape != Y.shape and Y.shape[1] != 1:
        raise ValueError(f"y must have shape {Y.shape}, got {y.shape}")
    return y.reshape(Y.shape).astype(np.float64), Y.astype(np.float64)


def bits(y, Y, logits, multilabel):
    """Binary targets and predictions for each output."""
    y, Y = values(y, Y, logits, multilabel)
    return y > 0.5, np.greater(Y, 0.0 if logits else 0.5)


def decisions(y, Y, logits, multilabel):
    """True and predicted labels and the number of classes; for multilabel outputs, binary labels per output, and 0."""
    if multilabel and Y.shape[1] > 1:
        return *bits(y, Y, logits, multilabel), 0
    if Y.shape[1] == 1:
        true, predicted = bits(y, Y, logits, multilabel)
        return true[:, 0].astype(np.int64), predicted[:, 0].astype(np.int64), 2
    return _labels(y, Y), Y.argmax(axis=1), Y.shape[1]


def scores(y, Y, logits, multilabel):
    """Labels (or binary targets for each output), and scores that increase with the probability of each label."""
    y_or_bits, _, classes = decisions(y, Y, logits, multilabel)
    Y = Y.astype(np.float64)
    return y_or_bits, log_softmax(Y) if logits and classes and Y.shape[1] > 1 else Y


def log_probabilities(y, Y, logits, multilabel):
    """Target probabilities of the classes, and logarithms of the predicted probabilities.

    A binary output has two classes; then each output is a row. Probabilities are clipped by the machine epsilon of
    their dtype, as in scikit-learn.
    """
    eps = np.finfo(Y.dtype).eps
    if multilabel or Y.shape[1] == 1:
        y, Y = (A.reshape(-1, 1) for A in values(y, Y, logits, multilabel))
        y, Y = np.hstack([1 - y, y]), np.hstack([np.zeros_like(Y), Y] if logits else [1 - Y, Y])
    elif y.ndim == 1:
        y = np.eye(Y.shape[1])[_labels(y, Y)]
    return y, log_softmax(Y.astype(np.float64)) if logits else np.log(np.clip(Y.astype(np.float64), eps, 1 - eps))


def log_softmax(Z: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax of each row."""
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def _labels(y, Y):
    return checks.as_classes(y, Y.shape[1]) if y.ndim == 1 else y.argmax(axis=1)
