"""Weight initializers: functions (shape, rng) -> float64 array, and the table of them by name.

All draws are in float64 from one NumPy generator, so float32 and float64 networks of the same seed start from the same
weights. Shapes are (inputs, outputs), so fan-in comes first. The normal distributions of the glorot, he and lecun
families are not truncated, as in PyTorch; Keras truncates them.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from fastbp._configured import Configured, Registry
from fastbp._typing import ArrayLike
from fastbp.inputs import checks

Draw = Callable[[tuple[int, ...], "np.random.Generator"], np.ndarray]
FANS = {"in": 0, "out": -1}  # the axis of a shape that has the fan


INITIALIZERS = Registry("initializer", "initializer")


class Initializer(Configured):
    """An initializer: called with a shape and a generator it draws values; called with settings it returns a copy.

    See Also
    --------
    fastbp.Dense : Takes one as `weights`.

    Examples
    --------
    >>> narrow = truncated_normal(std=0.02)
    >>> narrow
    truncated_normal(std=0.02)
    >>> narrow((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """

    classes = INITIALIZERS

    @overload
    def __call__(self, shape: tuple[int, ...], rng: "np.random.Generator", /) -> np.ndarray: ...

    @overload
    def __call__(self, *values: float | str, **settings: float | str) -> "Initializer": ...

    def __call__(self, *arguments: Any, **settings: Any) -> "np.ndarray | Initializer":
        """Draw initial values, or return the initializer with these settings.

        Parameters
        ----------
        *arguments : tuple and Generator, or float or str
            The shape of the array and a NumPy generator; or settings in order.
        **settings : float or str
            Settings by name.

        Returns
        -------
        ndarray or Initializer
            Values in float64, or a copy with these settings.
        """
        if len(arguments) == 2 and isinstance(arguments[1], np.random.Generator) and not settings:
            return self.function(*arguments, **self.settings)
        return self.configured(*arguments, **settings)

    def configured(self, *values: Any, **settings: Any) -> Self:
        """The initializer with these settings, checked; a test draw finds incompatible ones."""
        new = super().configured(*values, **settings)
        new((1, 1), np.random.default_rng(0))
        return new


INITIALIZERS.base = Initializer
if TYPE_CHECKING:
    from fastbp._initializer_synonyms import *  # noqa: F403


def _row(*synonyms, **rules):
    """Register a function under its name and its names in PyTorch and Keras."""

    def add(function: Callable) -> Initializer:
        row = Initializer(function, rules, {})
        for name in (function.__name__, *synonyms):
            INITIALIZERS[name] = globals()[name] = row
        return row

    return add


def _share(value, name):
    return checks.in_range(value, name, 0.0, np.nextafter(1, 2))


def _not_negative(value, name):
    return checks.in_range(value, name, 0.0)


def _cut(value, name):
    return checks.in_range(value, name, 0.5)


def _fan(value, name):
    return checks.one_of(value, name, FANS)


@_row()
def zeros(shape, rng):
    """All zeros."""
    return np.zeros(shape)


@_row()
def ones(shape, rng):
    """All ones."""
    return np.ones(shape)


@_row(value=checks.in_range)
def constant(shape, rng, *, value=0.0):
    """All `value`."""
    return np.full(shape, value)


@_row("random_uniform", low=checks.in_range, high=checks.in_range)
def uniform(shape, rng, *, low=-0.05, high=0.05):
    """Uniform in [low, high)."""
    if not low < high:
        raise ValueError(f"uniform wants low < high, got {low:g} and {high:g}")
    return rng.uniform(low, high, shape)


@_row("random_normal", mean=checks.in_range, std=_not_negative)
def normal(shape, rng, *, mean=0.0, std=0.05):
    """Normal with mean `mean` and standard deviation `std`."""
    return rng.normal(mean, std, shape)


@_row("trunc_normal", mean=checks.in_range, std=_not_negative, cut=_cut)
def truncated_normal(shape, rng, *, mean=0.0, std=0.05, cut=2.0):
    """Normal, redrawn where it is more than `cut` standard deviations from the mean; cut >= 0.5.

    `std` is the standard deviation before truncation, as in PyTorch and Keras; at cut = 2 the result's is 0.88 times as
    large.
    """
    Z = rng.standard_normal(shape)
    while (outside := np.abs(Z) > cut).any():
        Z[outside] = rng.standard_normal(np.count_nonzero(outside))
    return mean + std * Z


@_row("xavier_uniform", gain=_not_negative)
def glorot_uniform(shape, rng, *, gain=1.0):
    """Uniform of variance gain**2 * 2 / (inputs + outputs); Glorot and Bengio 2010."""
    return _uniform(shape, rng, gain**2 * 2 / (shape[0] + shape[-1]))


@_row("xavier_normal", gain=_not_negative)
def glorot_normal(shape, rng, *, gain=1.0):
    """Normal of variance gain**2 * 2 / (inputs + outputs); Glorot and Bengio 2010."""
    return _normal(shape, rng, gain**2 * 2 / (shape[0] + shape[-1]))


@_row("kaiming_uniform", alpha=checks.in_range, fan=_fan)
def he_uniform(shape, rng, *, alpha=0.0, fan="in"):
    """Uniform of variance 2 / ((1 + alpha**2) * inputs), for a leaky relu of slope alpha; He et al. 2015.

    With fan="out" the variance depends on the number of outputs instead.
    """
    return _uniform(shape, rng, 2 / ((1 + alpha**2) * shape[FANS[fan]]))


@_row("kaiming_normal", alpha=checks.in_range, fan=_fan)
def he_normal(shape, rng, *, alpha=0.0, fan="in"):
    """Normal of variance 2 / ((1 + alpha**2) * inputs), for a leaky relu of slope alpha; He et al. 2015.

    With fan="out" the variance depends on the number of outputs instead.
    """
    return _normal(shape, rng, 2 / ((1 + alpha**2) * shape[FANS[fan]]))


@_row()
def lecun_uniform(shape, rng):
    """Uniform of variance 1 / inputs; LeCun et al. 1998."""
    return _uniform(shape, rng, 1 / shape[0])


@_row()
def lecun_normal(shape, rng):
    """Normal of variance 1 / inputs; LeCun et al. 1998."""
    return _normal(shape, rng, 1 / shape[0])


@_row(gain=checks.in_range)
def orthogonal(shape, rng, *, gain=1.0):
    """`gain` times a random matrix with orthonormal columns, or rows if these are fewer; Saxe et al. 2014.

    Uniformly distributed: the Q of a normal matrix, with signs that make the diagonal of R positive.
    """
    inputs, outputs = _matrix(shape, "orthogonal")
    Q, R = np.linalg.qr(rng.standard_normal((max(inputs, outputs), min(inputs, outputs))))
    Q = Q * np.where(np.diag(R) < 0, -1.0, 1.0)
    return gain * (Q if inputs >= outputs else Q.T)


@_row("eye", gain=checks.in_range)
def identity(shape, rng, *, gain=1.0):
    """`gain` on the diagonal and 0 elsewhere; Le et al. 2015."""
    return gain * np.eye(*_matrix(shape, "identity"))


@_row(sparsity=_share, std=_not_negative)
def sparse(shape, rng, *, sparsity=0.9, std=0.01):
    """Normal with standard deviation `std`, and a fraction `sparsity` of zeros per output; Martens 2010.

    Of the n weights of an output ceil(sparsity * n) are 0.
    """
    inputs, outputs = _matrix(shape, "sparse")
    W = rng.normal(0.0, std, shape)
    order = rng.permuted(np.tile(np.arange(inputs), (outputs, 1)), axis=1).T
    zeros_each = math.ceil(round(sparsity * inputs, 9))  # rounded, since 0.7 * 10 is more than 7 in floating point
    np.put_along_axis(W, order[:zeros_each], 0.0, axis=0)
    return W


def resolve(start: str | Draw | ArrayLike, what: str = "initializer") -> Draw:
    """The initializer for a name, a function, or an array (or number) of initial values.

    Parameters
    ----------
    start : str, function or array
        A name, a function (shape, rng) -> array, or the values themselves.
    what : str, default="initializer"
        What error messages call it.

    Returns
    -------
    function
        A function from (shape, rng) to the initial values.

    Raises
    ------
    ValueError
        If no initializer has the name.

    See Also
    --------
    Initializer : What a name stands for.

    Examples
    --------
    >>> resolve("ones")((2, 3), np.random.default_rng(0))
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    if isinstance(start, (str, Mapping)):
        return INITIALIZERS.resolve(start, what)
    if callable(start):
        return start
    array = checks.as_numbers(start, what)
    return lambda shape, rng: np.broadcast_to(array, shape) if array.ndim == 0 else array


def _matrix(shape, name):
    if len(shape) != 2:
        raise ValueError(f"{name} starts a matrix, got shape {shape}")
    return shape


def _uniform(shape, rng, variance):
    limit = np.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def _normal(shape, rng, variance):
    return rng.normal(0.0, np.sqrt(variance), shape)


def __dir__():
    return sorted({"Initializer", "resolve", *INITIALIZERS})
