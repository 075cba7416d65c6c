"""Metrics: functions (y, output) -> float, and the table of them by name.

`mode` says whether higher values are better, for early stopping. Values are those of scikit-learn, without its
warnings: 0 for a quotient with denominator 0, NaN if undefined. A custom metric is any function of the two arrays.
"""

from typing import NamedTuple

import numpy as np

from fastbp.inputs import checks
from fastbp.metrics.metric import (
    MEAN,
    METRICS,
    Sums,
    bits,
    decisions,
    log_probabilities,
    row,
    scores,
    values,
)

AVERAGES = ("auto", "binary", "macro", "micro", "weighted")


def _average(value, name):
    return checks.one_of(value, name, AVERAGES)


def _average_of_classes(value, name):
    return checks.one_of(value, name, AVERAGES[2:])


def _by_class(of):
    """The sums of a metric of `Counts`, with an added row that says whether they are by class."""

    def of_batch(true, predicted, classes, weights):
        counts = _counts(true, predicted, classes, weights)
        return [*counts, np.full(len(counts.true), classes > 0)]

    def metric(sums, **settings):
        classes = len(sums[4]) if sums[4].any() else 0
        return of(Counts(*sums[:3], sums[3] > 0), classes=classes, **settings)

    return Sums(of_batch, metric)


def _balanced(counts, classes):
    occur = counts.true > 0
    return np.mean(_quotient(counts.both[occur], counts.true[occur])) if occur.any() else np.nan


def _precision(counts, average, classes):
    return _averaged(counts, counts.both, counts.predicted, average, classes)


def _recall(counts, average, classes):
    return _averaged(counts, counts.both, counts.true, average, classes)


def _f1(counts, average, classes):
    return _averaged(counts, 2 * counts.both, counts.true + counts.predicted, average, classes)


# Labels


@row("max", decisions, MEAN)
def accuracy(true, predicted, classes, weights):
    """Fraction of samples whose largest output is the label's; for multilabel outputs, fraction of correct outputs.

    Examples
    --------
    >>> accuracy([0, 1], [[2.0, 1.0], [0.5, 0.1]])
    0.5
    """
    return _mean(true == predicted, weights)


@row("max", bits, MEAN)
def binary_accuracy(true, predicted, weights):
    """Fraction of outputs on the correct side of the threshold, 0 for logits, 0.5 for probabilities; y is 0 or 1.

    Examples
    --------
    >>> binary_accuracy([0, 1], [[-2.0], [0.5]])
    1.0
    """
    return _mean(true == predicted, weights)


@row("max", decisions, _by_class(_balanced))
def balanced_accuracy(true, predicted, classes, weights):
    """Mean recall over the classes that occur; Brodersen et al. 2010.

    Examples
    --------
    >>> balanced_accuracy([0, 0, 1], [[2.0, 1.0], [0.5, 0.1], [0.0, 1.0]])
    1.0
    """
    return _balanced(_counts(_one_label(true, classes, "balanced_accuracy"), predicted, classes, weights), classes)


@row("max", scores, MEAN, k=checks.positive_int)
def top_k_accuracy(true, Y, weights, *, k=5):
    """Fraction of samples whose label is among the k largest outputs; of equal outputs the later one ranks first.

    Examples
    --------
    >>> top_k_accuracy([0, 2], [[0.2, 0.3, 0.5], [0.3, 0.4, 0.1]], k=2)
    0.0
    """
    if true.ndim == 2 or Y.shape[1] == 1:
        raise ValueError("top_k_accuracy wants an output for each class and one label a row")
    of_label = np.take_along_axis(Y, true[:, None], axis=1)
    later = np.arange(Y.shape[1]) > true[:, None]
    ahead = (of_label < Y) | ((of_label == Y) & later)
    return _mean(ahead.sum(axis=1) < k, weights)


@row("max", decisions, _by_class(_precision), average=_average)
def precision(true, predicted, classes, weights, *, average="auto"):
    """Precision: the fraction of the predictions of a class that are correct.

    `average` is "binary" (class 1), "macro" (mean over the classes that occur), "micro" (over all decisions),
    "weighted" (mean weighted by class frequency), or "auto": binary for two classes, else macro.

    Examples
    --------
    >>> precision([0, 1, 1], [[2.0], [1.0], [1.0]])
    0.6666666666666666
    """
    return _precision(_counts(true, predicted, classes, weights), average, classes)


@row("max", decisions, _by_class(_recall), average=_average)
def recall(true, predicted, classes, weights, *, average="auto"):
    """Recall: the fraction of the samples of a class that are found; `average` as for precision.

    Examples
    --------
    >>> recall([0, 1, 1], [[2.0], [1.0], [-1.0]])
    0.5
    """
    return _recall(_counts(true, predicted, classes, weights), average, classes)


@row("max", decisions, _by_class(_f1), average=_average)
def f1(true, predicted, classes, weights, *, average="auto"):
    """F1 score: harmonic mean of precision and recall; `average` as for precision.

    Examples
    --------
    >>> f1([0, 1, 1], [[2.0], [1.0], [-1.0]])
    0.5
    """
    return _f1(_counts(true, predicted, classes, weights), average, classes)


# Probabilities


@row("max", scores, average=_average_of_classes)
def roc_auc(true, Y, weights, *, average="macro"):
    """Area under the ROC curve: the probability that a sample of a class scores above one of another; ties count half.

    For two classes, the area of class 1; for more, one versus rest: the mean over the classes ("macro"), the mean
    weighted by class frequency ("weighted"), or over all decisions ("micro"). NaN if a class has all samples or none.

    Examples
    --------
    >>> roc_auc([0, 1, 0, 1], [[0.1], [0.4], [0.35], [0.8]])
    1.0
    """
    if true.ndim == 1 and Y.shape[1] <= 2:
        return _area(true == 1, Y[:, -1], _of_rows(weights))
    true = true if true.ndim == 2 else true[:, None] == np.arange(Y.shape[1])
    w = np.broadcast_to(1.0 if weights is None else weights.reshape(len(Y), -1), Y.shape)
    if average == "micro":
        return _area(true.ravel(), Y.ravel(), w.ravel())
    areas = np.array([_area(true[:, c], Y[:, c], w[:, c]) for c in range(Y.shape[1])])
    if average == "macro":
        return areas.mean()
    of_class = (w * true).sum(axis=0)
    return np.average(np.where(of_class > 0, areas, 0.0), weights=of_class) if of_class.any() else 0.0


@row("min", log_probabilities, MEAN)
def log_loss(shares, logs, weights):
    """Log loss: the mean negative log-likelihood, equal to cross_entropy or binary_cross_entropy.

    Examples
    --------
    >>> log_loss([0, 1], [[0.5, 0.5], [0.5, 0.5]], logits=False)
    0.6931471805599453
    """
    if weights is not None:
        weights = weights.ravel() if weights.size == len(shares) else np.repeat(weights, len(shares) // len(weights))
    return _mean(-(shares * logs).sum(axis=1), weights)


# Values


@row("min", values, MEAN)
def mae(y, Y, weights):
    """Mean absolute error: mean of |output - y|.

    Examples
    --------
    >>> mae([1.0, 2.0], [[1.5], [2.0]])
    0.25
    """
    return _mean(np.abs(Y - y), weights)


@row("min", values, MEAN)
def mse(y, Y, weights):
    """Mean squared error: mean of (output - y)**2.

    Examples
    --------
    >>> mse([1.0, 2.0], [[1.5], [2.0]])
    0.125
    """
    return _mean(np.square(Y - y), weights)


def _squares(y, Y, weights):
    return _column_sums(np.square(Y - y), weights)


def _rmse(sums):
    return _mean_of_columns(np.sqrt(_column_means(*sums)))


@row("min", values, Sums(_squares, _rmse))
def rmse(y, Y, weights):
    """Root mean squared error, averaged over the outputs.

    Examples
    --------
    >>> rmse([1.0, 2.0], [[1.0], [2.5]])
    0.3535533905932738
    """
    return _rmse(_squares(y, Y, weights))


@row("min", values, MEAN)
def mape(y, Y, weights):
    """Mean absolute percentage error: mean of |output - y| / |y|, as a fraction; huge where y is 0.

    Examples
    --------
    >>> mape([1.0, 2.0], [[1.5], [2.0]])
    0.25
    """
    return _mean(np.abs(Y - y) / np.maximum(np.abs(y), np.finfo(np.float64).eps), weights)


def _moments(y, Y, weights):
    """Sums of each column: weight, mean of y, squares of y around it, squares of residuals, known targets, rows."""
    w = np.ones((len(y), 1)) if weights is None else weights.reshape(len(y), -1)
    residual = (w * np.square(Y - y)).sum(axis=0)
    first = np.take_along_axis(y, np.argmax(np.broadcast_to(w > 0, y.shape), axis=0)[None], axis=0)
    y = y - first  # so that a constant column has exactly no variance
    mean = np.nan_to_num(_columns(y, weights))
    total = (w * np.square(y - mean)).sum(axis=0)
    rows = np.broadcast_to(len(y), total.shape)
    each = w.sum(axis=0), mean + first[0], total, residual, np.count_nonzero(w, axis=0), rows
    return np.stack([np.broadcast_to(A, total.shape) for A in each])


def _add_moments(a, b):
    """Add moments as Chan, Golub and LeVeque 1983 do: plain sums of squares would cancel where a mean is large."""
    summed = a + b
    share = np.divide(b[0], summed[0], out=np.zeros(a.shape[1]), where=summed[0] > 0)
    apart = b[1] - a[1]
    summed[1] = a[1] + np.where(a[0] > 0, apart * share, apart)
    summed[2] += np.square(apart) * a[0] * share
    return summed


def _r2(moments):
    _, _, total, residual, known, rows = moments
    if rows[0] < 2:
        return np.nan
    constant = np.where(residual == 0, 1.0, 0.0)
    each = np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), constant)
    return _mean_of_columns(np.where((known < 2) & (len(known) > 1), np.nan, each))


@row("max", values, Sums(_moments, _r2, _add_moments))
def r2(y, Y, weights):
    """Coefficient of determination, 1 - residual / total sum of squares; the mean over the outputs.

    A constant output counts 1 if it is predicted exactly and 0 if not. NaN for a single sample; of several outputs
    those with fewer than two known targets do not count.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [[1.0], [2.0], [3.5]])
    0.875
    """
    return _r2(_moments(y, Y, weights))


__test__ = {name: metric.function for name, metric in METRICS.items()}  # doctest runs their examples


# By name


# Sums


class Counts(NamedTuple):
    """Weights of the rows by class: true and predicted, true, predicted; and whether the class occurs."""

    both: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    occurs: np.ndarray


def _mean(A, weights):
    """The mean of all numbers, each with its own weight or its row's."""
    if weights is not None and A.ndim == 2 == weights.ndim:
        return np.average(A, weights=weights)
    return np.average(A, axis=0, weights=_of_rows(weights)).mean()


def _of_rows(weights):
    return weights if weights is None or weights.ndim == 1 else weights[:, 0]


def _columns(A, weights):
    """The mean of each column, NaN where nothing has weight."""
    return _column_means(*_column_sums(A, weights))


def _column_sums(A, weights):
    w = np.ones((len(A), 1)) if weights is None else weights.reshape(len(A), -1)
    w = np.broadcast_to(w, A.shape)
    return (A * w).sum(axis=0), w.sum(axis=0)


def _column_means(totals, sums):
    return np.divide(totals, sums, out=np.full(len(sums), np.nan), where=sums > 0)


def _mean_of_columns(each):
    """The mean of the columns that are not NaN; NaN if there is none."""
    known = each[~np.isnan(each)]
    return known.mean() if known.size else np.nan


def _quotient(a, b):
    return np.divide(a, b, out=np.zeros(np.shape(b)), where=b > 0)


def _one_label(true, classes, who):
    if true.ndim == 2:
        raise ValueError(f"{who} wants one label a row, and each output is a question of its own here")
    return true


def _counts(true, predicted, classes, weights):
    if not classes:
        w = np.ones((len(true), 1)) if weights is None else weights.reshape(len(true), -1)
        both, true, predicted = ((w * side).sum(axis=0) for side in (true & predicted, true, predicted))
        return Counts(both, true, predicted, np.ones(len(true), bool))

    weights = _of_rows(weights)

    def heaps(labels, weights):
        return np.bincount(labels, weights, classes)

    right = true == predicted
    return Counts(
        heaps(true[right], None if weights is None else weights[right]),
        heaps(true, weights),
        heaps(predicted, weights),
        heaps(true, None) + heaps(predicted, None) > 0,
    )


def _averaged(counts, above, below, average, classes):
    if average == "auto":
        average = "binary" if classes == 2 else "macro"
    if average == "binary":
        if classes != 2:
            raise ValueError(f"average='binary' wants two classes, got {classes or 'several outputs'}")
        return _quotient(above, below)[1]
    if average == "micro":
        return _quotient(above.sum(), below.sum())
    shares = _quotient(above, below)[counts.occurs]
    if average == "macro":
        return shares.mean()
    of_class = counts.true[counts.occurs]
    return np.average(shares, weights=of_class) if of_class.any() else 0.0


def _area(positive, scores, weights):
    """Area under the ROC curve, by trapezoids between the points where the score changes."""
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    weights = np.ones(len(scores)) if weights is None else weights[order]
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found, false = (np.append(0.0, np.cumsum(weights * side)[ends]) for side in (positive, ~positive))
    if not found[-1] or not false[-1]:
        return np.nan
    return np.sum(np.diff(false) * (found[1:] + found[:-1])) / (2 * found[-1] * false[-1])
