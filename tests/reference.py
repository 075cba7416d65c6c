"""The plain-NumPy truth: one line per activation, loss and optimizer rule, and a small net to put them in.

Everything here is written from the formulas, in the precision of its arguments (float64 or long double),
without looking at the engine. A derivative stands beside its function and is itself checked by finite
differences. The names are those of the engine's tables; a row of the engine without a line here fails the
suite. Automatic differentiation was rejected: it would hide a wrong convention at a kink.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

# name: (Y of Z, the slope of Z), with the parameters after Z; the slope at a kink is the left one
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "linear": (lambda Z: Z, lambda Z: 1),
    "sigmoid": (lambda Z: logistic(Z), lambda Z: logistic(Z) * logistic(-Z)),
    "log_sigmoid": (lambda Z: -softplus(-Z), lambda Z: logistic(-Z)),
    "tanh": (lambda Z: np.tanh(Z), lambda Z: 4 * logistic(2 * Z) * logistic(-2 * Z)),
    "softsign": (lambda Z: np.sign(Z) / (1 + 1 / np.abs(Z)), lambda Z: 1 / (1 + np.abs(Z)) ** 2),
    "elliot": (lambda Z: np.abs((Z > 0) - 0.5 / (1 + np.abs(Z))), lambda Z: 0.5 / (1 + np.abs(Z)) ** 2),
    "hard_sigmoid": (lambda Z: np.clip(Z + 3, 0, 6) / 6, lambda Z: ((Z > -3) & (Z <= 3)) / Z.dtype.type(6)),
    "hard_tanh": (lambda Z, a, b: np.clip(Z, a, b), lambda Z, a, b: (a < Z) & (b >= Z)),
    "gaussian": (lambda Z: np.exp(-Z * Z), lambda Z: -2 * clip(Z) * np.exp(-Z * Z)),
    "relu": (lambda Z: np.where(Z <= 0, 0, Z), lambda Z: Z > 0),
    "relu6": (lambda Z: np.clip(Z, 0, 6), lambda Z: (Z > 0) & (Z <= 6)),
    "leaky_relu": (lambda Z, a: np.where(Z > 0, Z, a * Z), lambda Z, a: np.where(Z > 0, 1, a)),
    "rrelu": (lambda Z, a, b: np.where(Z > 0, Z, (a + b) / 2 * Z), lambda Z, a, b: np.where(Z > 0, 1, (a + b) / 2)),
    "threshold": (lambda Z, a, b: np.where(a >= Z, b, Z), lambda Z, a, b: a < Z),
    "elu": (lambda Z, a: np.where(Z > 0, Z, a * np.expm1(Z)), lambda Z, a: np.where(Z > 0, 1, a * np.exp(Z))),
    "selu": (lambda Z: SELU * np.where(Z > 0, Z, A * np.expm1(Z)), lambda Z: SELU * np.where(Z > 0, 1, A * np.exp(Z))),
    "celu": (lambda Z, a: np.where(Z > 0, Z, a * np.expm1(Z / a)), lambda Z, a: np.where(Z > 0, 1, np.exp(Z / a))),
    "softplus": (lambda Z, b: softplus(b * Z) / b, lambda Z, b: logistic(b * Z)),
    "squareplus": (lambda Z, b: squareplus(Z, b), lambda Z, b: squareplus(Z, b) / np.hypot(Z, np.sqrt(b))),
    "abs": (lambda Z: np.abs(Z), lambda Z: np.sign(Z)),
    "square": (lambda Z: Z * Z, lambda Z: 2 * Z),
    "exp": (lambda Z: np.exp(Z), lambda Z: np.exp(Z)),
    "silu": (lambda Z: gated(Z, Z), lambda Z: gate_slope(Z, Z, 1)),
    "quick_gelu": (lambda Z: gated(Z, QUICK * Z), lambda Z: gate_slope(Z, QUICK * Z, QUICK)),
    "gelu_tanh": (lambda Z: gated(Z, cubic(Z)[0]), lambda Z: gate_slope(Z, *cubic(Z))),
    "gelu": (lambda Z: np.where(Z > 0, Z, clip(Z)) * normal(Z), lambda Z: normal(Z) + clip(Z) * density(Z)),
    "mish": (lambda Z: np.where(Z > 0, Z, clip(Z)) * np.tanh(softplus(Z)), lambda Z: mish_slope(clip(Z))),
    "hard_swish": (
        lambda Z: np.where(Z > 3, Z, clip(Z) * np.clip(Z + 3, 0, 6) / 6),
        lambda Z: np.where(Z <= -3, 0, np.where(Z > 3, 1, Z / 3 + 0.5)),
    ),
    "tanh_shrink": (lambda Z: Z - np.tanh(Z), lambda Z: np.tanh(Z) ** 2),
    "soft_shrink": (lambda Z, a: Z - np.clip(Z, -a, a), lambda Z, a: (a < Z) | (-a >= Z)),
    "hard_shrink": (lambda Z, a: np.where(np.abs(Z) <= a, 0, Z), lambda Z, a: (a < Z) | (-a >= Z)),
    "sin": (lambda Z: np.sin(Z), lambda Z: np.cos(Z)),
    "cos": (lambda Z: np.cos(Z), lambda Z: -np.sin(Z)),
    "softmax": (lambda Z: softmax(Z), lambda Z: jacobian_of_softmax(Z)),
    "softmin": (lambda Z: softmax(-Z), lambda Z: -jacobian_of_softmax(-Z)),
    "log_softmax": (lambda Z: log_softmax(Z), lambda Z: np.eye(Z.shape[1]) - softmax(Z)[:, None, :]),
}
SELU, A = np.longdouble("1.0507009873554804934193349852946"), np.longdouble("1.6732632423543772848170429916717")
QUICK = np.longdouble(1.702)



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
    "hinge": each(
        lambda Y, t: np.maximum(1 - side(t) * Y, 0), lambda Y, t: np.where(side(t) * Y < 1, -side(t), 0)
    ),
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
    "kl_divergence": (
        lambda Y, t: (t * (np.log(np.where(t > 0, t, 1)) - log_softmax(Y))).sum(axis=1),
        lambda Y, t: softmax(Y) * t.sum(axis=1, keepdims=True) - t,
    ),
    "cosine": (
        lambda Y, t: 1 - (Y * t).sum(axis=1) / lengths(Y, t)[:, 0],
        lambda Y, t: (
            Y * (Y * t).sum(axis=1, keepdims=True) / (Y * Y).sum(axis=1, keepdims=True) - t
        )
        / lengths(Y, t),
    ),
    "gaussian_nll": (lambda Y, t, **settings: gaussian(Y, t, **settings)[0], lambda Y, t, **s: gaussian(Y, t, **s)[1]),
}

# name: (rule, scalars to test it with); a rule turns p, g, states into new ones at step t = 1, 2, ...
RULES: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "sgd": (lambda p, g, s, t, lr: (p - lr * g, g, s), ()),
    "momentum": (lambda p, g, s, t, lr, m, d: momentum(p, g, s[0], 1 if t == 1 else 1 - d, lr, m), (0.9, 0.3)),
    "nesterov": (lambda p, g, s, t, lr, m: (p - lr * (g + m * (m * s[0] + g)), g, [m * s[0] + g]), (0.8,)),
    "velocity": (lambda p, g, s, t, lr, m: (p + m * s[0] - lr * g, g, [m * s[0] - lr * g]), (0.9,)),
    "nesterov_velocity": (
        lambda p, g, s, t, lr, m: (p + m * (m * s[0] - lr * g) - lr * g, g, [m * s[0] - lr * g]),
        (0.8,),
    ),
    "adam": (lambda p, g, s, t, lr, b1, b2, eps: adam(p, g, s, t, lr, b1, b2, eps), (0.9, 0.999, 1e-8)),
    "adam_eps_hat": (
        lambda p, g, s, t, lr, b1, b2, eps: adam(p, g, s, t, lr, b1, b2, eps / np.sqrt(1 - b2**t)),
        (0.8, 0.99, 1e-4),
    ),
    "amsgrad": (lambda p, g, s, t, lr, b1, b2, eps: amsgrad(p, g, s, t, lr, b1, b2, eps), (0.9, 0.99, 1e-8)),
    "radam": (lambda p, g, s, t, lr, b1, b2, eps: radam(p, g, s, t, lr, b1, b2, eps), (0.9, 0.8, 1e-8)),
    "nadam": (lambda p, g, s, t, lr, b1, b2, eps, d: nadam(p, g, s, t, lr, b1, b2, eps, d), (0.9, 0.999, 1e-8, 0.004)),
    "adamax": (lambda p, g, s, t, lr, b1, b2, eps: adamax(p, g, s, t, lr, b1, b2, eps), (0.9, 0.999, 1e-8)),
    "adan": (lambda p, g, s, t, lr, b1, b2, b3, eps: adan(p, g, s, t, lr, b1, b2, b3, eps), (0.98, 0.92, 0.99, 1e-8)),
    "adagrad": (
        lambda p, g, s, t, lr, decay, start, eps: adagrad(p, g, s, lr / (1 + (t - 1) * decay), start * (t == 1), eps),
        (0.1, 0.5, 1e-10),
    ),
    "adadelta": (lambda p, g, s, t, lr, rho, eps: adadelta(p, g, s, lr, rho, eps), (0.9, 1e-6)),
    "rms": (lambda p, g, s, t, lr, a, eps: rms(p, g, [s[0], 0 * g], a, eps, 0), (0.9, 1e-4)),
    "rms_centered": (lambda p, g, s, t, lr, a, eps: rms(p, g, s, a, eps, 1), (0.9, 1e-4)),
    "lion": (
        lambda p, g, s, t, lr, b1, b2: (p - lr * np.sign(b1 * s[0] + (1 - b1) * g), g, [b2 * s[0] + (1 - b2) * g]),
        (0.9, 0.99),
    ),
    "rprop": (lambda p, g, s, t, lr, a, b, low, high: rprop(p, g, s, t, lr, a, b, low, high), (0.5, 1.2, 1e-6, 50)),
    "rprop_plus": (
        lambda p, g, s, t, lr, a, b, low, high, grown=False: rprop(p, g, s, t, lr, a, b, low, high, grown),
        (0.5, 1.2, 1e-6, 50),
    ),
    "muon": (lambda p, g, s, t, lr, mu, *_: muon_direction(p, g, s[0], mu), (0.95, 1, 1e-7, 5, 3.4, -4.7, 2.0, 0)),
    "mean_of_batches": (lambda p, g, s, t, lr, k: (p, g, [g]), (1,)),
    "clip_by_norm": (lambda p, g, s, t, lr, most: (p, g * min(1, most / np.sqrt((g * g).sum())), s), (0.5,)),
    "clip_by_value": (lambda p, g, s, t, lr, most: (p, np.clip(g, -most, most), s), (0.5,)),
    "moving_average": (lambda p, g, s, t, lr, d: (p, g, [p if t == 1 else d * s[0] + (1 - d) * p]), (0.9,)),
    "plain_average": (lambda p, g, s, t, lr, first, every: swa(p, g, s[0], t - first, every), (2, 3)),
    "decoupled_decay": (lambda p, g, s, t, lr, wd: (p * (1 - lr * wd), g, s), (0.1,)),
    "proximal_decay": (lambda p, g, s, t, lr, wd: (p / (1 + lr * wd), g, s), (0.1,)),
    "l1": (lambda p, g, s, t, lr, l1: (p, g + l1 * np.sign(p), s), (0.3,)),
    "l2_of_sum": (lambda p, g, s, t, lr, wd: (p, g + wd * p, s), (0.2,)),
    "l2": (lambda p, g, s, t, lr, wd: (p, g + wd * p, s), (0.2,)),
}


def activation(name: str, Z: np.ndarray, *parameters: float) -> np.ndarray:
    """Y = f(Z)."""
    return ACTIVATIONS[name][0](Z, *parameters)


def activation_vjp(name: str, dY: np.ndarray, Z: np.ndarray, *parameters: float) -> np.ndarray:
    """Give dZ = dY f'(Z); a slope of three dimensions has all the outputs of a row by all its inputs."""
    slope = ACTIVATIONS[name][1](Z, *parameters)
    return np.einsum("no,noi->ni", dY, slope) if np.ndim(slope) == 3 else dY * slope


def clip(Z: np.ndarray) -> np.ndarray:
    """Z, but within what a product with a number near 0 may have."""
    return np.clip(Z, -1e5, 1e5)


def gated(Z: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.where(Z > 0, Z, clip(Z)) * logistic(w)


def gate_slope(Z: np.ndarray, w: np.ndarray, dw: np.ndarray) -> np.ndarray:
    return logistic(w) + clip(Z) * logistic(w) * logistic(-w) * dw


def cubic(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2 sqrt(2 / pi) (z + 0.044715 z^3) and its derivative."""
    c, k, z = np.sqrt(8 / np.longdouble("3.14159265358979323846264")), np.longdouble("0.044715"), clip(Z)
    return c * (z + k * z**3), c * (1 + 3 * k * z**2)


def squareplus(Z: np.ndarray, b: float) -> np.ndarray:
    a = np.abs(Z)
    large = (a + np.hypot(a, np.sqrt(b))) / 2
    return np.where(Z > 0, large, b / 4 / large)


def mish_slope(Z: np.ndarray) -> np.ndarray:
    t = np.tanh(softplus(Z))
    return t + Z * (1 - t * t) * logistic(Z)


def density(Z: np.ndarray) -> np.ndarray:
    return np.exp(-clip(Z) ** 2 / 2) / np.sqrt(2 * np.longdouble("3.14159265358979323846264"))


def normal(Z: np.ndarray) -> np.ndarray:
    """The probability that a normal number is at most Z: a series up to 2.5, a continued fraction beyond."""
    a = np.abs(np.clip(Z, -200, 200))
    term = total = np.minimum(a, 2.5)
    for k in range(1, 60):
        term = term * np.minimum(a, 2.5) ** 2 / (2 * k + 1)
        total = total + term
    fraction = np.maximum(a, 2.5)
    for k in range(80, 0, -1):
        fraction = np.maximum(a, 2.5) + k / fraction
    tail = np.where(a < 2.5, 0.5 - density(a) * total, density(a) / fraction)
    return np.where(Z > 0, 1 - tail, tail)


def jacobian_of_softmax(Z: np.ndarray) -> np.ndarray:
    Y = softmax(Z)
    return Y[:, :, None] * (np.eye(Y.shape[1]) - Y[:, None, :])


def logistic(Z: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(Z))
    return np.where(Z < 0, small, 1) / (1 + small)


def softplus(Z: np.ndarray) -> np.ndarray:
    return np.maximum(Z, 0) + np.log1p(np.exp(-np.abs(Z)))


def log_softmax(Z: np.ndarray) -> np.ndarray:
    shifted = Z - Z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(Z: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(Z))


def adam(p, g, s, t, lr, b1, b2, eps):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    return p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps), g, [m, v]


def momentum(p, g, v, gain, lr, m):
    v = m * v + gain * g
    return p - lr * v, g, [v]


def amsgrad(p, g, s, t, lr, b1, b2, eps):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    most = np.maximum(s[2], v)
    return p - lr * (m / (1 - b1**t)) / (np.sqrt(most / (1 - b2**t)) + eps), g, [m, v, most]


def radam(p, g, s, t, lr, b1, b2, eps):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    last = 2 / (1 - b2) - 1
    rho = last - 2 * t * b2**t / (1 - b2**t)
    if rho <= 5:
        return p - lr * m / (1 - b1**t), g, [m, v]
    r = np.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
    return p - lr * r * m / (1 - b1**t) * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps), g, [m, v]


def nadam(p, g, s, t, lr, b1, b2, eps, decay):
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * g * g
    mu = b1 * (1 - 0.5 * 0.96 ** (decay * np.arange(1, t + 2)))
    step = (1 - mu[t - 1]) / (1 - mu[:t].prod()) * g + mu[t] / (1 - mu.prod()) * m
    return p - lr * step / (np.sqrt(v / (1 - b2**t)) + eps), g, [m, v]


def adamax(p, g, s, t, lr, b1, b2, eps):
    m, u = b1 * s[0] + (1 - b1) * g, np.maximum(b2 * s[1], np.abs(g) + eps)
    return p - lr / (1 - b1**t) * m / u, g, [m, u]


def adan(p, g, s, t, lr, b1, b2, b3, eps):
    d = 0 * g if t == 1 else g - s[3]
    m, v = b1 * s[0] + (1 - b1) * g, b2 * s[1] + (1 - b2) * d
    n = b3 * s[2] + (1 - b3) * (g + b2 * d) ** 2
    step = m / (1 - b1**t) + b2 * v / (1 - b2**t)
    return p - lr * step / (np.sqrt(n / (1 - b3**t)) + eps), g, [m, v, n, g]


def adagrad(p, g, s, lr, start, eps):
    v = s[0] + start + g * g
    return p - lr * g / (np.sqrt(v) + eps), g, [v]


def adadelta(p, g, s, lr, rho, eps):
    v = rho * s[0] + (1 - rho) * g * g
    d = g * np.sqrt(s[1] + eps) / np.sqrt(v + eps)
    return p - lr * d, g, [v, rho * s[1] + (1 - rho) * d * d]


def rms(p, g, s, a, eps, centered):
    v, m = a * s[0] + (1 - a) * g * g, a * s[1] + (1 - a) * g
    return p, g / (np.sqrt(np.maximum(v - centered * m * m, 0)) + eps), [v, m][: 1 + centered]


def rprop(p, g, s, t, lr, down, up, low, high, grown=None):
    kept = np.sign(g * s[0])
    size = np.clip((s[1] if t > 1 else lr) * np.choose(kept.astype(int) + 1, [down, 1, up]), low, high)
    g = np.where(kept < 0, 0, g)
    if grown is None:
        return p - np.sign(g) * size, g, [g, size]
    move = np.where(kept < 0, -grown * s[2], -np.sign(g) * size)
    return p + move, g, [g, size, move]


def swa(p, g, a, beyond, every):
    if beyond < 0 or beyond % every:
        return p, g, [a]
    return p, g, [a + (p - a) / (beyond // every + 1)]


def muon_direction(p, g, v, mu):
    v = mu * v + (1 - mu) * g
    u = mu * v + (1 - mu) * g
    return p, u, [v, u]


def orthogonalised(u, steps=5, a=3.4445, b=-4.7750, c=2.0315):
    """Newton and Schulz's iteration, on matrices (inputs, outputs); scaled as for outputs > inputs."""
    x = u.T if len(u) > u.shape[1] else u
    x = x / max(np.sqrt((x * x).sum()), 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if len(u) > u.shape[1] else x) * np.sqrt(max(1, u.shape[1] / len(u)))


def tiled(levels, Y: np.ndarray) -> np.ndarray:
    return np.tile(levels, Y.shape[1] // np.size(levels))


def smooth(t: np.ndarray, smoothing: float, classes: int) -> np.ndarray:
    return (1 - smoothing) * t + smoothing / classes


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
    """The weighted mean over the rows, and its derivative by Y."""
    rows, slope = LOSSES[name]
    Y = np.asarray(Y, dtype=np.float64)
    t = one_hot(t, Y.shape[1]) if t.ndim == 1 and Y.shape[1] > 1 else np.asarray(t, np.float64).reshape(len(Y), -1)
    w = np.ones(len(Y)) if weights is None else np.asarray(weights, dtype=np.float64)
    return float((w * rows(Y, t, **settings)).sum() / w.sum()), (w / w.sum())[:, None] * slope(Y, t, **settings)


class Chain:
    """Optimizer rules one after the other, each handing its gradient on."""

    def __init__(self, rules: Sequence[tuple[str, tuple[float, ...]]], states: Sequence[int], n: int) -> None:
        self.rules, self.t = rules, 0
        self.states = [[np.zeros(n) for _ in range(count)] for count in states]

    def step(self, p: np.ndarray, g: np.ndarray, lr: float) -> np.ndarray:
        self.t += 1
        for k, (name, scalars) in enumerate(self.rules):
            p, g, self.states[k] = RULES[name][0](p, g, self.states[k], self.t, lr, *scalars)
        return p


@dataclass
class Op:
    """One node: a dense layer (W not None) and its activation, or an activation alone (W None)."""

    source: int
    target: int
    activation: str = "linear"
    parameters: tuple[float, ...] = ()
    W: np.ndarray | None = None
    b: np.ndarray | None = None
    key: int = -1  # where dW and db are summed; ops that share a layer share the key


@dataclass
class Net:
    """Ops in topological order over numbered tensors; forward keeps every Z and Y, backward reads them."""

    inputs: list[int]
    outputs: list[int]
    ops: list[Op]
    Z: dict[int, np.ndarray] = field(default_factory=dict)
    Y: dict[int, np.ndarray] = field(default_factory=dict)

    def forward(self, *xs: np.ndarray) -> list[np.ndarray]:
        self.Y = {number: np.asarray(x, dtype=np.float64) for number, x in zip(self.inputs, xs, strict=True)}
        for op in self.ops:
            Z = self.Y[op.source] if op.W is None else self.Y[op.source] @ op.W
            self.Z[op.target] = Z if op.b is None else Z + op.b
            self.Y[op.target] = activation(op.activation, self.Z[op.target], *op.parameters)
        return [self.Y[number] for number in self.outputs]

    def backward(self, *dys: np.ndarray) -> tuple[list[np.ndarray], dict[int, tuple[np.ndarray, np.ndarray]]]:
        """(dX of each input, {key: (dW, db)})."""
        dY = {number: np.zeros_like(Y) for number, Y in self.Y.items()}
        for number, dy in zip(self.outputs, dys, strict=True):
            dY[number] = dY[number] + dy
        sums: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for op in reversed(self.ops):
            dZ = activation_vjp(op.activation, dY[op.target], self.Z[op.target], *op.parameters)
            if op.W is not None:
                dW, db = sums.get(op.key, (0, 0))
                sums[op.key] = dW + self.Y[op.source].T @ dZ, db + dZ.sum(axis=0)
                dZ = dZ @ op.W.T
            dY[op.source] = dY[op.source] + dZ
        return [dY[number] for number in self.inputs], sums


def mirror(net) -> tuple[Net, list]:
    """The reference net of a fastbp model without dropout, and the layers in the order of the keys."""
    numbers = {id(node): number for number, node in enumerate(net.nodes)}
    layers, ops = [], []
    for node in net.nodes:
        if not node.parents:
            continue
        function = node.layer.function
        op = Op(numbers[id(node.parents[0])], numbers[id(node)], function.name, function.parameters)
        if node.layer.kind == "dense":
            if node.layer not in layers:
                layers.append(node.layer)
            op.key = layers.index(node.layer)
            op.W = np.array(node.layer.W, dtype=np.float64)
            op.b = None if node.layer.b is None else np.array(node.layer.b, dtype=np.float64)
        ops.append(op)
    return Net([numbers[id(n)] for n in net.inputs], [numbers[id(n)] for n in net.outputs], ops), layers


def differences(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Central finite differences of f at x in float64; x is put back."""
    g = np.empty(x.shape)
    for k in np.ndindex(x.shape):
        old = x[k]
        h = 6e-6 * max(1.0, abs(float(old)))
        x[k] = old + h
        up, above = f(x), float(x[k])
        x[k] = old - h
        g[k] = (up - f(x)) / (above - float(x[k]))
        x[k] = old
    return g


def assert_gradient(f: Callable[[np.ndarray], float], x: np.ndarray, g: np.ndarray, name: str = "gradient") -> None:
    """The gradient check of the whole suite: g is df/dx to one part in 100,000 of its largest element."""
    assert g.shape == x.shape, f"{name} has shape {g.shape}, its variable {x.shape}"
    wanted = differences(f, x)
    error, scale = np.abs(g - wanted).max(), np.abs(wanted).max()
    assert error <= 1e-5 * scale + 1e-10, f"{name} is off by {error:.3g} where the largest slope is {scale:.3g}"


def ulps(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|got - wanted| in units of the last place of got's dtype; one smallest normal number is forgiven."""
    info = np.finfo(got.dtype)
    wanted = np.asarray(wanted, dtype=np.longdouble)
    with np.errstate(over="ignore", invalid="ignore"):
        same = (got == wanted.astype(got.dtype)) | (np.isnan(got) & np.isnan(wanted))
    largest = np.nextafter(info.max, got.dtype.type(0))
    unit = np.spacing(np.clip(np.abs(wanted), info.tiny, largest).astype(got.dtype)).astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        error = np.maximum(np.abs(got.astype(np.longdouble) - wanted) - info.tiny, 0) / unit
    return np.where(same, 0, error).astype(np.float64)
