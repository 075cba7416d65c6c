"""Plots of a learned function: decision boundaries, and regression curves with prediction intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp._typing import ArrayLike, Axes
from fastbp.inputs import checks
from fastbp.plotting.axes import FILLS, axes_or_new, column_of, labels_of, open_frame
from fastbp.plotting.svg import COLORS

MARKERS = "osD^vPX*"


def decision_boundary(
    net: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    resolution: int = 200,
    ax: Axes | None = None,
) -> Axes:
    """Plot the decision regions of a classifier with two features, shaded by confidence, and the data.

    Parameters
    ----------
    net : Model, estimator or function
        Maps (rows, 2) to logits or probabilities (rows, classes), one logit (rows, 1), or class indices (rows,).
        If it has `predict_proba`, that is used; a single column of its result is a probability.
    X : array of shape (rows, 2)
        The samples to show, which also set the range of the axes.
    y : array of shape (rows,), optional
        Class indices of the samples; for an estimator with `classes_`, labels. If not given, all samples look alike.
    names : sequence of str, optional
        Names of the classes; their indices or labels if not given.
    resolution : int, default=200
        Number of grid points per axis.
    ax : Axes, optional
        Where to draw; new Axes if not given.

    Returns
    -------
    Axes
        The Axes that were drawn on.

    Raises
    ------
    ValueError
        If X does not have two columns.

    See Also
    --------
    confusion_matrix : For more than two features.

    Examples
    --------
    >>> ax = decision_boundary(lambda X: X, [[0.0, 1.0], [1.0, 0.0]], [1, 0])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['0', '1']
    """
    X = checks.as_floats(X, "X")
    if X.shape[1] != 2:
        raise ValueError(f"decision_boundary wants X of shape (rows, 2), got {X.shape}")
    classes = getattr(net, "classes_", None)  # of an estimator, which knows them by name
    if classes is not None and y is not None:
        names, y = (classes if names is None else names), np.searchsorted(classes, y)
    labels = None if y is None else labels_of(y, len(X))
    side = checks.positive_int(resolution, "resolution", 2)
    low, high = X.min(axis=0), X.max(axis=0)
    margin = np.where(high > low, 0.08 * (high - low), 0.5)
    horizontal, vertical = (np.linspace(low[k] - margin[k], high[k] + margin[k], side) for k in range(2))
    grid = np.stack(np.meshgrid(horizontal, vertical), axis=-1).reshape(-1, 2).astype(X.dtype)
    told = getattr(net, "predict_proba", None)
    outputs = _outputs(told or net, grid)
    shares = _two(outputs) if told and outputs.shape[1:] == (1,) else _shares(outputs)
    ax = axes_or_new(ax, "decision_boundary", (5.2, 4.2))
    count = max(shares.shape[1], 0 if labels is None else labels.max() + 1)
    colors = np.array([_rgb(FILLS[k % len(FILLS)]) for k in range(count)])
    best = shares.argmax(axis=1)
    sure = shares.max(axis=1, keepdims=True)
    even = 1 / shares.shape[1]
    strength = 0.12 + 0.38 * (sure - even) / (1 - even)
    image = 1 - strength * (1 - colors[best])
    extent = (horizontal[0], horizontal[-1], vertical[0], vertical[-1])
    ax.imshow(image.reshape(side, side, 3), origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    for k in np.unique(best)[1:]:  # between classes, so that the first needs no line of its own
        others = np.delete(shares, k, axis=1).max(axis=1)
        lead = (shares[:, k] - others).reshape(side, side)
        ax.contour(horizontal, vertical, lead, [0.0], colors="#555555", linewidths=0.8)
    for k in range(count if labels is not None else 0):
        at = labels == k
        name = str(k) if names is None else str(names[k])
        marker = MARKERS[k % len(MARKERS)]
        ax.scatter(*X[at].T, s=22, marker=marker, color=colors[k], edgecolors="white", linewidths=0.5, label=name)
    if labels is None:
        ax.scatter(*X.T, s=10, color="#333333")
    else:
        ax.legend()
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    return ax


def prediction_interval(
    net: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    quantiles: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    resolution: int = 400,
    ax: Axes | None = None,
) -> Axes:
    """Plot the predictions of a regression with one feature over the range of X, and the data.

    Parameters
    ----------
    net : Model, estimator or function
        Maps (rows, 1) to (rows,) or (rows, outputs).
    X : array of shape (rows,) or (rows, 1)
        The samples, which set the range of the curve.
    y : array of shape (rows,) or (rows, 1), optional
        Their targets, drawn as points; none are drawn if not given.
    quantiles : sequence of float, optional
        The quantile of each output, ascending: the outermost two make a band, the next two a darker band inside it,
        and so on; one left in the middle is a line. If not given, each output is a line.
    names : sequence of str, optional
        Names of the outputs if each is a line; numbers if not given.
    resolution : int, default=400
        Number of points of the curve.
    ax : Axes, optional
        Where to draw; new Axes if not given.

    Returns
    -------
    Axes
        The Axes that were drawn on.

    Raises
    ------
    ValueError
        If `quantiles` are not ascending, one for each output.

    See Also
    --------
    residuals : For more than one feature.

    Examples
    --------
    >>> ax = prediction_interval(lambda X: X + [[-1, 0, 1]], [0.0, 3.0], quantiles=[0.1, 0.5, 0.9])
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['80 %', 'quantile 0.5']
    """
    x = column_of(X, "X")
    points = np.linspace(x.min(), x.max(), checks.positive_int(resolution, "resolution", 2))
    Y = _outputs(net, points[:, None].astype(x.dtype))
    Y = Y.reshape(len(points), -1)
    ax = axes_or_new(ax, "prediction_interval")
    if y is not None:
        target = column_of(y, "y")
        checks.same_rows(target, len(x), "y")
        ax.scatter(x, target, s=10, color="#777777", alpha=0.6, linewidths=0, zorder=1)
    if quantiles is None:
        for k, column in enumerate(Y.T):
            name = f"output {k}" if names is None else str(names[k])
            ax.plot(points, column, color=FILLS[k % len(FILLS)], label=name, zorder=3)
        if Y.shape[1] > 1 or names is not None:
            ax.legend()
    else:
        _draw_bands(ax, points, Y, _quantiles(quantiles, Y.shape[1]))
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return open_frame(ax)


def _draw_bands(ax, points, Y, quantiles):
    pairs = len(quantiles) // 2
    for k in range(pairs):
        shade = 0.18 + 0.22 * k
        label = f"{100 * (quantiles[-1 - k] - quantiles[k]):.3g} %"
        edges = [(k, k + 1), (-2 - k, -1 - k)] if k + 1 < pairs else [(k, -1 - k)]
        for low, high in edges:
            ax.fill_between(points, Y[:, low], Y[:, high], color=COLORS[0], alpha=shade, linewidth=0, label=label)
            label = None
    if len(quantiles) % 2:
        label = f"quantile {quantiles[pairs]:g}"
        ax.plot(points, Y[:, pairs], color=COLORS[1], label=label, zorder=3)
    ax.legend()


def _quantiles(quantiles, outputs):
    values = [checks.in_range(value, "each of quantiles", 0.0, 1.0) for value in quantiles]
    if len(values) != outputs or sorted(values) != values:
        raise ValueError(f"quantiles must be ascending, one for each of {outputs} outputs, got {list(quantiles)}")
    return values


def _outputs(net, X):
    return np.asarray(net.predict(X) if hasattr(net, "predict") else net(X))


def _shares(Y):
    """Probabilities of the classes: logits go through softmax, a single logit through the sigmoid."""
    if Y.ndim == 1:
        labels = labels_of(Y, None, "what predict gives")
        return np.eye(max(2, labels.max() + 1))[labels]
    Y = Y.astype(np.float64)
    if Y.shape[1] == 1:
        return _two(0.5 * (1 + np.tanh(0.5 * Y)))
    if (Y >= 0).all() and np.allclose(Y.sum(axis=1), 1, atol=1e-4):
        return Y
    shares = np.exp(Y - Y.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _two(p):
    """Both classes' probabilities from those of the second."""
    return np.hstack([1 - p, p])


def _rgb(color):
    return [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
