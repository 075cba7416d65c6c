"""Activations: the value and the slope of each, beside one another; the slope at a kink is the left one."""

from collections.abc import Callable

import numpy as np

# name: (Y of Z, the slope of Z), with the parameters after Z
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
    return np.exp(-(clip(Z) ** 2) / 2) / np.sqrt(2 * np.longdouble("3.14159265358979323846264"))


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


# Where the formula takes like from like: the largest term of it, which rounds.
TERMS: dict[str, Callable] = {
    "tanh_shrink": np.abs,
    "gelu_tanh": lambda Z: np.abs(Z) / 2,
    "log_softmax": lambda Z: np.maximum(Z.max(axis=1, keepdims=True) - Z, np.log(Z.shape[1])),
}
