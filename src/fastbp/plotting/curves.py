"""Plots of a training and its results with matplotlib: each function takes `ax` and returns the Axes.

The arguments are duck-typed by `predict` or `history`, so scikit-learn estimators and plain functions work as well.
The palette of `svg.py` is safe for colour-blind readers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastbp._typing import ArrayLike, Axes
from fastbp.inputs import checks
from fastbp.plotting.axes import FILLS, axes_or_new, column_of, labels_of, open_frame
from fastbp.plotting.surfaces import decision_boundary, prediction_interval
from fastbp.plotting.svg import COLORS, wants_logarithms

__all__ = [
    "confusion",
    "confusion_matrix",
    "decision_boundary",
    "loss_curves",
    "prediction_interval",
    "residuals",
    "weights",
]

MOST_NAMES = 30  # classes with room for their names


def loss_curves(runs: Any, *names: str, ax: Axes | None = None) -> Axes:
    """Plot losses or metrics of one or several fits against the epochs.

    Parameters
    ----------
    runs : History, dict or list of them
        A History (or its dict of lists); for several fits a dict from names to these, or a list.
    *names : str
        What to plot; "loss" and, with validation data, "val_loss" if not given. With several fits validation curves
        are dashed.
    ax : Axes, optional
        Where to draw; new Axes if not given.

    Returns
    -------
    Axes
        The Axes that were drawn on.

    Raises
    ------
    TypeError
        If `runs` is none of these.

    See Also
    --------
    fastbp.History.plot : Of one fit.

    Examples
    --------
    >>> ax = loss_curves({"a": {"loss": [3.0, 2.0]}, "b": {"loss": [3.0, 1.0]}}, "loss")
    >>> [line.get_label() for line in ax.lines]
    ['a: loss', 'b: loss']
    """
    ax = axes_or_new(ax, "loss_curves")
    histories = _histories(runs)
    known = list(dict.fromkeys(name for numbers in histories.values() for name in numbers))
    for name in names:
        checks.one_of(name, "number of the history", known)
    wanted = names or [name for name in ("loss", "val_loss") if name in known]
    curves = [(run, name) for run, numbers in histories.items() for name in wanted if name in numbers]
    several = len(histories) > 1
    runs_in_order = list(histories)
    for k, (run, name) in enumerate(curves):
        values = np.asarray(histories[run][name], np.float64)
        number = runs_in_order.index(run) if several else k
        dashed = several and name.startswith("val_")
        known = ~np.isnan(values)  # not every epoch may have been validated
        ax.plot(
            np.arange(1, len(values) + 1)[known],
            values[known],
            color=FILLS[number % len(FILLS)],
            linestyle="--" if dashed else "-",
            marker="o" if len(values) == 1 else None,
            label=f"{run}: {name}" if several else name,
        )
    if wants_logarithms(histories[run][name] for run, name in curves):
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    kinds = {name.removeprefix("val_") for name in wanted}
    if len(kinds) == 1:
        ax.set_ylabel(*kinds)
    ax.xaxis.get_major_locator().set_params(integer=True)
    if curves:
        ax.legend()
    return open_frame(ax)


def confusion_matrix(
    y: ArrayLike, predicted: ArrayLike, names: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Axes:
    """Plot the confusion matrix of a classifier: a row per true class, a column per predicted class.

    Parameters
    ----------
    y : array of shape (rows,)
        Class indices, from 0.
    predicted : array of shape (rows,) or (rows, classes)
        Class indices, or outputs of a network; the largest of a row is its class.
    names : sequence of str, optional
        Names of the classes in the order of their indices; the indices if not given.
    ax : Axes, optional
        Where to draw; new Axes if not given.

    Returns
    -------
    Axes
        The Axes that were drawn on.

    Raises
    ------
    ValueError
        If there are more classes than `names`.

    See Also
    --------
    confusion : The counts alone.

    Examples
    --------
    >>> ax = confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], ["cat", "dog", "owl"])
    >>> ax.get_xlabel(), [text.get_text() for text in ax.texts]
    ('predicted', ['1', '1', '1', '1'])
    """
    counts = confusion(y, predicted, None if names is None else len(names))
    size = len(counts)
    shown = [str(k) for k in range(size)] if names is None else [str(name) for name in names]
    side = min(9.0, max(3.6, 0.42 * size + 1.6))
    ax = axes_or_new(ax, "confusion_matrix", (side + 0.4, side))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if size <= MOST_NAMES:
        turn = max(map(len, shown)) > 3
        ax.set_xticks(range(size), shown, rotation=45 if turn else 0, ha="right" if turn else "center")
        ax.set_yticks(range(size), shown)
        for row, column in zip(*np.nonzero(counts), strict=True):
            color = "white" if shares[row, column] > 0.5 else "black"
            ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=9)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def residuals(y: ArrayLike, predicted: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Plot the residuals, prediction - y, against the predictions; a pattern shows what the model misses.

    Parameters
    ----------
    y : array of shape (rows,) or (rows, 1)
        The targets.
    predicted : array of shape (rows,) or (rows, 1)
        The predictions.
    ax : Axes, optional
        Where to draw; new Axes if not given.

    Returns
    -------
    Axes
        The Axes that were drawn on.

    See Also
    --------
    prediction_interval : Predictions against one feature.

    Examples
    --------
    >>> ax = residuals([1.0, 2.0], [1.5, 1.5])
    >>> ax.get_ylabel()
    'prediction - y'
    """
    y, predicted = (column_of(A, name) for A, name in ((y, "y"), (predicted, "predicted")))
    checks.same_rows(predicted, len(y), "predicted", "y")
    ax = axes_or_new(ax, "residuals")
    ax.axhline(0.0, color="#888888", linewidth=1, zorder=1)
    ax.scatter(predicted, predicted - y, s=14, color=COLORS[0], alpha=0.55, linewidths=0)
    ax.set_xlabel("prediction")
    ax.set_ylabel("prediction - y")
    return open_frame(ax)


def weights(net: Any, *, ax: Axes | None = None) -> Axes:
    """Plot a histogram of the weights of each layer, all on one scale.

    Parameters
    ----------
    net : Model
        The model whose weight matrices are drawn.
    ax : Axes, optional
        Where to draw; new Axes if not given.

    Returns
    -------
    Axes
        The Axes that were drawn on.

    Raises
    ------
    ValueError
        If the network has no weights.

    See Also
    --------
    fastbp.GradientMonitor : Plots the gradients.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> ax = weights(Sequential(Input(4), Dense(3), Dense(2), seed=0))
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['dense_1.W', 'dense_2.W']
    """
    arrays = {name: array for name, array in net.arrays().items() if array.ndim > 1}
    if not arrays:
        raise ValueError(f"{net!r} has no weights to draw")
    ax = axes_or_new(ax, "weights", (6.4, max(2.2, 0.5 * len(arrays) + 1.0)))
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays.values()])
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    edges = np.linspace(low, high if high > low else low + 1, 61)
    for place, array in enumerate(arrays.values()):
        counts, _ = np.histogram(array, edges)
        tall = 0.85 * counts / max(1, counts.max())
        ax.stairs(place + 0.42 - tall, edges, baseline=place + 0.42, fill=True, color=COLORS[0], alpha=0.8)
    ax.axvline(0.0, color="#888888", linewidth=1, zorder=0)
    ax.set_yticks(range(len(arrays)), list(arrays))
    ax.set_ylim(len(arrays) - 0.4, -0.6)
    ax.set_xlabel("weight")
    return open_frame(ax)


def confusion(y: ArrayLike, predicted: ArrayLike, classes: int | None = None) -> np.ndarray:
    """The confusion matrix: counts by true class (rows) and predicted class (columns).

    Parameters
    ----------
    y : array of shape (rows,)
        Class indices, from 0.
    predicted : array of shape (rows,) or (rows, classes)
        Class indices, or outputs of a network; the largest of a row is its class.
    classes : int, optional
        Number of classes; as many as occur if not given.

    Returns
    -------
    ndarray of shape (classes, classes), int64
        Entry (i, j) is the number of samples of class i that were predicted as class j.

    Raises
    ------
    ValueError
        If a label is not below `classes`.

    See Also
    --------
    confusion_matrix : Plots it.

    Examples
    --------
    >>> confusion([0, 1, 1], [0, 1, 0])
    array([[1, 0],
           [1, 1]])
    """
    A = checks.as_numbers(predicted, "predicted")
    seen = A.shape[1] if A.ndim == 2 else 0
    given, guessed = labels_of(y, None), labels_of(A.argmax(axis=1) if A.ndim == 2 else A, None, "predicted")
    checks.same_rows(guessed, len(given), "predicted", "y")
    size = classes or max(seen, int(given.max()) + 1, int(guessed.max()) + 1)
    for labels, name in ((given, "y"), (guessed, "predicted")):
        if labels.max() >= size:
            raise ValueError(f"{name} has class {labels.max()}, there are names for {size}")
    return np.bincount(given * size + guessed, minlength=size * size).reshape(size, size)


def _histories(runs):
    """Name -> numbers by name, of one run or several."""
    if isinstance(runs, (list, tuple)):
        runs = {f"run {k}": run for k, run in enumerate(runs, 1)}
    numbers = getattr(runs, "history", runs)
    if not isinstance(numbers, Mapping):
        raise TypeError(f"runs must be a History, or a dict or list of them, got {type(runs).__name__}")
    if all(hasattr(run, "history") or isinstance(run, Mapping) for run in numbers.values()) and numbers:
        return {str(name): getattr(run, "history", run) for name, run in numbers.items()}
    return {"": numbers}
