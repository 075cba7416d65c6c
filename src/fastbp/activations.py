"""Activation functions: entries of the engine's table with values of their parameters.

An `activation` argument takes a name or the result of a function of this module, such as `leaky_relu(0.1)`; there is
one for each entry of the table, created on first use. Those with parameters are also names of the package. Names of
other libraries, such as "swish", are synonyms in the table.
"""

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp._configured import plain_name
from fastbp._engine import ACTIVATIONS, Function, Setting, functional as _kernels
from fastbp._typing import ArrayLike
from fastbp.inputs import checks

# Every name and synonym of the table, with the name of its entry.
NAMES = {synonym: row.name for row in ACTIVATIONS.values() for synonym in (row.name, *row.synonyms)}
# Names that are no activations here: they have weights, or their output has another width than their input.
_ELSEWHERE = {"prelu": "the layer fastbp.PReLU()", "glu": "the block fastbp.GLU(units)",
              "maxout": "the block fastbp.Maxout(units, pieces)"}  # fmt: skip


class ActivationFunction:
    """An activation with its parameters: for `Dense(activation=...)`, or to be called on an array.

    Parameters
    ----------
    name : str
        Name or synonym of an activation.
    *parameters : float
        All of its parameters in order; its defaults if none are given.

    Attributes
    ----------
    name : str
        The name in the engine's table.
    parameters : tuple of float
        The values of its parameters.

    Raises
    ------
    ValueError
        If no activation has the name, or the parameters do not fit it.

    See Also
    --------
    fastbp.Activation : The function as a layer.

    Examples
    --------
    >>> f = ActivationFunction("leaky_relu", 0.1)
    >>> f([[-2.0, 3.0]])
    array([[-0.2,  3. ]])
    >>> f
    leaky_relu(negative_slope=0.1)
    """

    __slots__ = ("_key", "compiled", "name", "parameters")

    def __init__(self, name: str, *parameters: float):
        row = ACTIVATIONS[_known(name)]
        if parameters and len(parameters) != len(row.parameters):
            wanted = ", ".join(each.name for each in row.parameters) or "none"
            raise ValueError(f"{row.name} has the parameters {wanted}; got {', '.join(map(repr, parameters))}")
        values = parameters or [each.value for each in row.parameters]
        self.name = row.name
        self.parameters = tuple(_value(row, *pair) for pair in zip(row.parameters, values, strict=True))
        if row.ordered and self.parameters[0] > self.parameters[1]:
            low, high = (each.name for each in row.parameters)
            raise ValueError(f"{low} of {row.name} must be at most {high}, got {self.parameters}")
        self._key = (self.name, *self.parameters, *[0.0] * (2 - len(self.parameters)))
        self.compiled = Function(*self._key)

    def settings(self) -> dict[str, Any]:
        """The settings of an op of the engine with this activation."""
        return dict(zip(("activation", "alpha", "beta"), self._key, strict=True))

    def label(self) -> str:
        """The name, with the parameters if they are not the defaults."""
        own = tuple(each.value for each in ACTIVATIONS[self.name].parameters)
        return self.name if self.parameters == own else f"{self.name}({', '.join(f'{p:g}' for p in self.parameters)})"

    def __call__(self, Z: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
        """Compute f(Z), as `functional.activation_forward` does.

        Parameters
        ----------
        Z : array of shape (rows, width)
            The pre-activations.
        out : ndarray of Z's shape, optional
            Where to store the result; a new array if not given.

        Returns
        -------
        ndarray of shape (rows, width)
            Y.
        """
        Y = self.compiled.forward(Z, out)
        if Y is None:
            Z = checks.as_floats(Z, "Z")
            Y = checks.into(out, _kernels.activation_forward(Z, *self._key))
        return Y

    def vjp(self, dY: ArrayLike, Z: ArrayLike, Y: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
        """Compute dZ = dY f'(Z) for Y = f(Z), as `functional.activation_backward` does.

        Parameters
        ----------
        dY : array of shape (rows, width)
            Gradient of the loss with respect to Y.
        Z : array of shape (rows, width)
            The pre-activations.
        Y : array of shape (rows, width)
            The result of f(Z).
        out : ndarray of Z's shape, optional
            Where to store the result; a new array if not given.

        Returns
        -------
        ndarray of shape (rows, width)
            Gradient of the loss with respect to Z.
        """
        dZ = self.compiled.backward(dY, Z, Y, out)
        if dZ is None:
            Z = checks.as_floats(Z, "Z")
            dY, Y = (checks.as_shaped(A, Z.shape, Z.dtype, name) for A, name in ((dY, "dY"), (Y, "Y")))
            dZ = checks.into(out, _kernels.activation_backward(dY, Z, Y, *self._key))
        return dZ

    def __eq__(self, other):
        return isinstance(other, ActivationFunction) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __reduce__(self):
        return ActivationFunction, (self.name, *self.parameters)

    def __repr__(self):
        names = [each.name for each in ACTIVATIONS[self.name].parameters]
        return f"{self.name}({', '.join(f'{n}={p!r}' for n, p in zip(names, self.parameters, strict=True))})"


def resolve(activation: str | ActivationFunction, alpha: float | list[float] | None = None) -> ActivationFunction:
    """The activation for a name, with its parameter or a list of them as alpha, or the function itself.

    Parameters
    ----------
    activation : str or ActivationFunction
        A name or synonym, or the function itself.
    alpha : float or list of float, optional
        Its parameter, or all of them in order; its defaults if not given.

    Returns
    -------
    ActivationFunction
        The form that every `activation` argument is converted to.

    Raises
    ------
    ValueError
        If no activation has the name, or the parameters do not fit it.

    See Also
    --------
    ActivationFunction : What it returns.

    Examples
    --------
    >>> resolve("swish")
    silu()
    >>> resolve("threshold", [0.5, -1.0])
    threshold(threshold=0.5, value=-1.0)
    """
    if isinstance(activation, ActivationFunction):
        if alpha is not None:
            raise ValueError(f"alpha is given twice: {activation!r} and {alpha!r}")
        return activation
    name = _known(activation)
    count = len(ACTIVATIONS[name].parameters)
    if alpha is None or (count == 0 and isinstance(alpha, numbers.Real) and alpha == 0):
        return ActivationFunction(name)
    given = alpha if isinstance(alpha, (list, tuple)) else (alpha,)
    if len(given) != count:
        wanted = " and ".join(each.name for each in ACTIVATIONS[name].parameters)
        has = f"its parameters are {wanted}" if count else "it has no parameter alpha"
        raise ValueError(f"activation {name} got alpha={alpha!r}; {has}")
    return ActivationFunction(name, *given)


def _known(name):
    if isinstance(name, str) and name.lower() in _ELSEWHERE:
        raise ValueError(f"{name!r} is no activation but {_ELSEWHERE[name.lower()]}")
    if isinstance(name, str) and name not in NAMES:  # such as LeakyReLU
        name = {plain_name(known): known for known in NAMES}.get(plain_name(name), name)
    if not isinstance(name, str) or name not in NAMES:
        checks.one_of(name, "activation", ACTIVATIONS)
    return NAMES[name]


def _value(row, parameter: Setting, value):
    name = f"{parameter.name} of {row.name}"
    number = checks.in_range(value, name, parameter.low, parameter.high)
    if parameter.above and number == parameter.low:
        raise ValueError(f"{name} must be above {parameter.low:g}, got {number}")
    return number


def _maker(row):
    """The function of an entry, with a signature and a docstring."""
    from inspect import Parameter as Argument, Signature

    kind = Argument.POSITIONAL_OR_KEYWORD
    arguments = [Argument(p.name, kind, default=p.value, annotation=float) for p in row.parameters]
    signature = Signature(arguments, return_annotation=ActivationFunction)

    def make(*args, **named):
        bound = signature.bind(*args, **named)
        bound.apply_defaults()
        return ActivationFunction(row.name, *bound.args)

    listed = "".join(f"{p.name} : float, default={p.value!r}\n    In the formula above.\n" for p in row.parameters)
    siblings = ", ".join(
        f"fastbp.{name}" if ACTIVATIONS[name].parameters else f"fastbp.activations.{name}" for name in _siblings_of(row)
    )
    make.__name__ = make.__qualname__ = row.name
    make.__signature__ = signature
    make.__doc__ = (
        f"The activation function f(z) = {row.formula}.\n"
        + (f"\nParameters\n----------\n{listed}" if listed else "")
        + "\nReturns\n-------\nActivationFunction\n    For `Dense(activation=...)`, or to be called on an array.\n"
        + "\nSee Also\n--------\nfastbp.Activation : The function as a layer.\n"
        + (f"{siblings} : Similar functions.\n" if siblings else "")
        + f"\nExamples\n--------\n>>> {row.name}()\n{ActivationFunction(row.name)!r}\n"
    )
    return make


def _siblings_of(row):
    """Entries with a word in their name that ends like a word of this entry's: tanh and hard_tanh, elu and celu."""
    words = row.name.split("_")
    return [
        name
        for name in ACTIVATIONS
        if name != row.name and any(u.endswith(v) or v.endswith(u) for u in words for v in name.split("_"))
    ]


if TYPE_CHECKING:
    from fastbp._activation_names import *  # noqa: F403
else:  # with this __getattr__ a type checker would accept any name

    def __getattr__(name):
        if name not in ACTIVATIONS:
            raise AttributeError(f"module 'fastbp.activations' has no attribute {name!r}")
        made = globals()[name] = _maker(ACTIVATIONS[name])
        return made


def __dir__():
    return sorted({"ActivationFunction", "resolve", *ACTIVATIONS})
