"""Losses: of each row, and its derivative by the outputs; and what a loss takes as targets."""

from collections.abc import Callable

import numpy as np

from reference.activations import log_softmax, logistic, softmax, softplus


def each(loss: Callable, slope: Callable) -> tuple[Callable, Callable]:
    """A loss of single outputs as one of rows: the mean over the outputs; several of them may share a target."""

    def spread(Y: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.repeat(t, Y.shape[1] // t.shape[1], axis=1)

    return (
        lambda Y, t, **settings: loss(Y, spread(Y, t), **settings).mean(axis=1),
        lambda Y, t, **settings: slope(Y, spread(Y, t), **settings) / Y.shape[1],
    )


# name: (loss of each row, its derivative by Y); targets are values, or indices made one-hot
LOSSES: dict[str, tuple[Callable, Callable]] = {
    "mse": each(lambda Y, t: (Y - t) ** 2, lambda Y, t: 2 * (Y - t)),
    "mae": each(lambda Y, t: np.abs(Y - t), lambda Y, t: np.sign(Y - t)),
    "huber": each(
        lambda Y, t, delta=1: np.where(np.abs(Y - t) > delta, delta * (np.abs(Y - t) - delta / 2), (Y - t) ** 2 / 2),
        lambda Y, t, delta=1: np.clip(Y - t, -delta, delta),
    ),
    "log_cosh": each(
        lambda Y, t: np.log1p(2 * np.sinh(within(Y - t) / 2) ** 2) + beyond(Y - t), lambda Y, t: np.tanh(Y - t)
    ),
    "quantile": each(
        lambda Y, t, quantiles=0.5: np.maximum(tiled(quantiles, Y) * (t - Y), (tiled(quantiles, Y) - 1) * (t - Y)),
        lambda Y, t, quantiles=0.5: np.where(t == Y, 0, (t < Y) - tiled(quantiles, Y)),
    ),
    "expectile": each(
        lambda Y, t, expectiles=0.5: np.abs((t < Y) - tiled(expectiles, Y)) * (Y - t) ** 2,
        lambda Y, t, expectiles=0.5: 2 * np.abs((t < Y) - tiled(expectiles, Y)) * (Y - t),
    ),
    "binary_cross_entropy": each(
        lambda Y, t, pos_weight=1, label_smoothing=0: (
            pos_weight * smooth(t, label_smoothing, 2) * softplus(-Y) + smooth(1 - t, label_smoothing, 2) * softplus(Y)
        ),
        lambda Y, t, pos_weight=1, label_smoothing=0: (
            smooth(1 - t, label_smoothing, 2) * logistic(Y) - pos_weight * smooth(t, label_smoothing, 2) * logistic(-Y)
        ),
    ),
    "focal": each(
        lambda Y, t, gamma=2, alpha=0.25: (
            alpha * t * logistic(-Y) ** gamma * softplus(-Y)
            + (1 - alpha) * (1 - t) * logistic(Y) ** gamma * softplus(Y)
        ),
        lambda Y, t, gamma=2, alpha=0.25: (
            (1 - alpha) * (1 - t) * logistic(Y) ** gamma * (gamma * logistic(-Y) * softplus(Y) + logistic(Y))
            - alpha * t * logistic(-Y) ** gamma * (gamma * logistic(Y) * softplus(-Y) + logistic(-Y))
        ),
    ),
    "hinge": each(lambda Y, t: np.maximum(1 - side(t) * Y, 0), lambda Y, t: np.where(side(t) * Y < 1, -side(t), 0)),
    "squared_hinge": each(
        lambda Y, t: np.maximum(1 - side(t) * Y, 0) ** 2, lambda Y, t: -2 * side(t) * np.maximum(1 - side(t) * Y, 0)
    ),
    "poisson": each(
        lambda Y, t, log_input=True, eps=1e-8: np.exp(Y) - t * Y if log_input else Y - t * np.log(Y + eps),
        lambda Y, t, log_input=True, eps=1e-8: np.exp(Y) - t if log_input else 1 - t / (Y + eps),
    ),
    "gamma": each(
        lambda Y, t, log_input=True, eps=1e-8: Y + t * np.exp(-Y) if log_input else np.log(Y + eps) + t / (Y + eps),
        lambda Y, t, log_input=True, eps=1e-8: 1 - t * np.exp(-Y) if log_input else 1 / (Y + eps) - t / (Y + eps) ** 2,
    ),
    "tweedie": each(
        lambda Y, t, power=1.5, log_input=True, eps=1e-8: (
            mean(Y, log_input, eps) ** (2 - power) / (2 - power)
            - t * mean(Y, log_input, eps) ** (1 - power) / (1 - power)
        ),
        lambda Y, t, power=1.5, log_input=True, eps=1e-8: (
            (mean(Y, log_input, eps) ** (1 - power) - t * mean(Y, log_input, eps) ** -power)
            * (np.exp(Y) if log_input else 1)
        ),
    ),
    "cross_entropy": (
        lambda Y, t, label_smoothing=0, class_weight=1: (
            -(class_weight * smooth(t, label_smoothing, Y.shape[1]) * log_softmax(Y)).sum(axis=1)
        ),
        lambda Y, t, label_smoothing=0, class_weight=1: (
            softmax(Y) * (class_weight * smooth(t, label_smoothing, Y.shape[1])).sum(axis=1, keepdims=True)
            - class_weight * smooth(t, label_smoothing, Y.shape[1])
        ),
    ),
    "focal_cross_entropy": (
        lambda Y, t, gamma=2, alpha=1, label_smoothing=0: (
            -(alpha * smooth(t, label_smoothing, Y.shape[1]) * others(Y) ** gamma * log_softmax(Y)).sum(axis=1)
        ),
        lambda Y, t, gamma=2, alpha=1, label_smoothing=0: through_softmax(
            Y,
            alpha
            * smooth(t, label_smoothing, Y.shape[1])
            * (gamma * softmax(Y) * others(Y) ** (gamma - 1) * log_softmax(Y) - others(Y) ** gamma),
        ),
    ),
    "kl_divergence": (
        lambda Y, t: (t * (np.log(np.where(t > 0, t, 1)) - log_softmax(Y))).sum(axis=1),
        lambda Y, t: softmax(Y) * t.sum(axis=1, keepdims=True) - t,
    ),
    "cosine": (
        lambda Y, t: 1 - (Y * t).sum(axis=1) / lengths(Y, t)[:, 0],
        lambda Y, t: (Y * (Y * t).sum(axis=1, keepdims=True) / (Y * Y).sum(axis=1, keepdims=True) - t) / lengths(Y, t),
    ),
    "gaussian_nll": (lambda Y, t, **settings: gaussian(Y, t, **settings)[0], lambda Y, t, **s: gaussian(Y, t, **s)[1]),
}


def tiled(levels, Y: np.ndarray) -> np.ndarray:
    return np.tile(levels, Y.shape[1] // np.size(levels))


def smooth(t: np.ndarray, smoothing: float, classes: int) -> np.ndarray:
    return (1 - smoothing) * t + smoothing / classes


def others(Y: np.ndarray) -> np.ndarray:
    """1 - softmax(Y), as the sum of the others."""
    return softmax(Y) @ (1 - np.eye(Y.shape[1]))


def through_softmax(Y: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """A slope by log_softmax(Y) as one by Y."""
    return slope - softmax(Y) * slope.sum(axis=1, keepdims=True)


def side(t: np.ndarray) -> np.ndarray:
    return np.where(t > 0, 1, -1)


def within(d: np.ndarray) -> np.ndarray:
    return np.clip(d, -1, 1)


def beyond(d: np.ndarray) -> np.ndarray:
    """Log cosh d - log cosh of d cut to -1 ... 1, from exponentials that cannot overflow."""
    far = np.maximum(np.abs(d), 1)
    return far + np.log1p(np.exp(-2 * far)) - (1 + np.log1p(np.exp(-2)))


def mean(Y: np.ndarray, log_input: bool, eps: float) -> np.ndarray:
    return np.exp(Y) if log_input else Y + eps


def lengths(Y: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.sqrt((Y * Y).sum(axis=1, keepdims=True) * (t * t).sum(axis=1, keepdims=True))


def gaussian(Y: np.ndarray, t: np.ndarray, log_variance=True, eps=1e-6) -> tuple[np.ndarray, np.ndarray]:
    m, s = np.split(Y, 2, axis=1)
    v = np.maximum(np.exp(s) if log_variance else s, eps)
    slope = (1 - (m - t) ** 2 / v) / 2
    dY = np.hstack([(m - t) / v, slope if log_variance else slope / v]) / t.shape[1]
    return ((np.log(v) + (m - t) ** 2 / v) / 2).mean(axis=1), dY


def targets(name: str, rows: int, outputs: int, rng: np.random.Generator, kind: str = "values") -> np.ndarray:
    """What a loss takes, for so many outputs: class indices, or values."""
    if kind == "indices":
        return rng.integers(outputs, size=rows)
    if name == "gaussian_nll":
        return rng.normal(size=(rows, outputs // 2))
    if name in ("hinge", "squared_hinge"):
        return rng.choice([-1.0, 1.0], size=(rows, outputs))
    if name in ("poisson", "gamma", "tweedie"):
        return rng.gamma(2.0, size=(rows, outputs))
    return softmax(rng.normal(size=(rows, outputs)))


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[np.asarray(labels)]


def loss(
    name: str, Y: np.ndarray, t: np.ndarray, weights: np.ndarray | None = None, **settings
) -> tuple[float, np.ndarray]:
    """The weighted sum over the number of rows, and its derivative by Y."""
    rows, slope = LOSSES[name]
    Y = np.asarray(Y, dtype=np.float64)
    t = one_hot(t, Y.shape[1]) if t.ndim == 1 and Y.shape[1] > 1 else np.asarray(t, np.float64).reshape(len(Y), -1)
    w = np.ones(len(Y)) if weights is None else np.asarray(weights, dtype=np.float64)
    return float((w * rows(Y, t, **settings)).mean()), (w / len(Y))[:, None] * slope(Y, t, **settings)
