"""How parameters start: functions (shape, rng) -> float64 array, and the table of them by name.

Everything is drawn in float64 from one NumPy generator, so a float32 and a float64 net of the same seed
start from the same weights. The normal distributions are not truncated, as in PyTorch; Keras truncates.
"""

from collections.abc import Callable

import numpy as np

from fastbp import checks
from fastbp.annotations import ArrayLike

Initializer = Callable[[tuple[int, ...], "np.random.Generator"], np.ndarray]
INITIALIZERS: dict[str, Initializer] = {}


def _row(function):
    INITIALIZERS[function.__name__] = function
    return function


@_row
def zeros(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Nothing but 0."""
    return np.zeros(shape)


@_row
def ones(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Nothing but 1."""
    return np.ones(shape)


@_row
def glorot_uniform(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Uniform of variance 2 / (inputs + outputs); Glorot and Bengio 2010."""
    return _uniform(shape, rng, 2 / (shape[0] + shape[-1]))


@_row
def glorot_normal(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Normal of variance 2 / (inputs + outputs); Glorot and Bengio 2010."""
    return _normal(shape, rng, 2 / (shape[0] + shape[-1]))


@_row
def he_uniform(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Uniform of variance 2 / inputs; He et al. 2015."""
    return _uniform(shape, rng, 2 / shape[0])


@_row
def he_normal(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Normal of variance 2 / inputs; He et al. 2015."""
    return _normal(shape, rng, 2 / shape[0])


@_row
def lecun_uniform(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Uniform of variance 1 / inputs; LeCun et al. 1998."""
    return _uniform(shape, rng, 1 / shape[0])


@_row
def lecun_normal(shape: tuple[int, ...], rng: "np.random.Generator") -> np.ndarray:
    """Normal of variance 1 / inputs; LeCun et al. 1998."""
    return _normal(shape, rng, 1 / shape[0])


def resolve(start: str | Initializer | ArrayLike, what: str = "initializer") -> Initializer:
    """The function for a name, a function, or an array of start values.

    Examples
    --------
    >>> resolve("ones")((2, 3), np.random.default_rng(0))
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    if isinstance(start, str):
        return INITIALIZERS[checks.one_of(start, what, INITIALIZERS)]
    if callable(start):
        return start
    array = checks.as_numbers(start, what)
    return lambda shape, rng: array


def _uniform(shape, rng, variance):
    limit = np.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _normal(shape, rng, variance):
    return rng.normal(0.0, np.sqrt(variance), shape)
