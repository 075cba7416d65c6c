"""The engine's kernels as functions, for custom training loops: each forward function and its backward.

float32 arrays are computed in float32, all others in float64. Every call returns new arrays, unless `out` is given;
a network is faster, because it reuses its arrays.
"""

import numpy as np

from fastbp import _engine, activations
from fastbp._typing import ArrayLike
from fastbp.activations import ActivationFunction
from fastbp.inputs import checks

__all__ = ["activation_backward", "activation_forward", "dense_backward", "dense_forward"]

_kernels = _engine.functional
_SEEN: dict[str, ActivationFunction] = {}  # a cache by name; resolving a name takes as long as a small call


def dense_forward(
    X: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = None,
    activation: str | ActivationFunction = "linear",
    alpha: float | list[float] | None = None,
) -> np.ndarray:
    """Y = f(X W + b).

    Parameters
    ----------
    X : array of shape (rows, inputs)
        The inputs.
    W : array of shape (inputs, outputs)
        The weights.
    b : array of shape (outputs,), optional
        The biases; zero if not given.
    activation : str or ActivationFunction, default="linear"
        The function f, or its name.
    alpha : float or list, optional
        Parameter of an activation given by name, or a list of all of them; its own defaults if not given.

    Returns
    -------
    ndarray of shape (rows, outputs)
        Y.

    See Also
    --------
    dense_backward : Its gradients.
    fastbp.Dense : The layer.

    Examples
    --------
    >>> dense_forward([[1.0, 2.0]], [[3.0], [-4.0]], [1.0], activation="relu")
    array([[0.]])
    """
    X, W, b = _dense(X, W, b)
    return _kernels.dense_forward(X, W, b, *_activation(activation, alpha))


def dense_backward(
    dY: ArrayLike,
    X: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None,
    Y: ArrayLike,
    activation: str | ActivationFunction = "linear",
    alpha: float | list[float] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of `dense_forward`: dX = dZ W', dW = X' dZ, db = column sums of dZ, with dZ = f'(Z) dY.

    Parameters
    ----------
    dY : array of shape (rows, outputs)
        Gradient of the loss with respect to Y.
    X : array of shape (rows, inputs)
        The inputs.
    W : array of shape (inputs, outputs)
        The weights.
    b : array of shape (outputs,), or None
        The biases.
    Y : array of shape (rows, outputs)
        The result of `dense_forward`.
    activation : str or ActivationFunction, default="linear"
        The activation of `dense_forward`.
    alpha : float or list, optional
        The alpha of `dense_forward`.

    Returns
    -------
    dX : ndarray of shape (rows, inputs)
        Gradient of the loss with respect to X.
    dW : ndarray of shape (inputs, outputs)
        Gradient with respect to W, summed over the rows.
    db : ndarray of shape (outputs,)
        Gradient with respect to b, summed over the rows.

    See Also
    --------
    dense_forward : What it differentiates.

    Examples
    --------
    >>> dense_backward([[1.0]], [[1.0, 2.0]], [[3.0], [-4.0]], [0.0], [[-5.0]])
    (array([[ 3., -4.]]), array([[1.],
           [2.]]), array([1.]))
    """
    X, W, b = _dense(X, W, b)
    shape = len(X), W.shape[1]
    dY, Y = (checks.as_shaped(A, shape, X.dtype, name) for A, name in ((dY, "dY"), (Y, "Y")))
    return _kernels.dense_backward(dY, X, W, b, Y, *_activation(activation, alpha))


def activation_forward(
    Z: ArrayLike,
    activation: str | ActivationFunction,
    alpha: float | list[float] | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Y = f(Z), element by element (softmax: row by row).

    Parameters
    ----------
    Z : array of shape (rows, width)
        The pre-activations.
    activation : str or ActivationFunction
        The function f, or its name.
    alpha : float or list, optional
        Parameter of an activation given by name, or a list of all of them; its own defaults if not given.
    out : ndarray of shape (rows, width), optional
        Where to store Y; may be Z for in-place computation. A new array if not given.

    Returns
    -------
    ndarray of shape (rows, width)
        Y; `out` if it was given.

    See Also
    --------
    activation_backward : Its gradient.
    fastbp.Activation : The layer.

    Examples
    --------
    >>> activation_forward([[-2.0, 3.0]], "leaky_relu", alpha=0.5)
    array([[-1.,  3.]])
    """
    known = _SEEN.get(activation) if alpha is None and type(activation) is str else None
    Y = None if known is None else known.compiled.forward(Z, out)
    return _function(activation, alpha)(Z, out=out) if Y is None else Y


def activation_backward(
    dY: ArrayLike,
    Z: ArrayLike,
    Y: ArrayLike,
    activation: str | ActivationFunction,
    alpha: float | list[float] | None = None,
    *,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Gradient of `activation_forward`: dZ = f'(Z) dY.

    Parameters
    ----------
    dY : array of shape (rows, width)
        Gradient of the loss with respect to Y.
    Z : array of shape (rows, width)
        The argument of `activation_forward`.
    Y : array of shape (rows, width)
        The result of `activation_forward`.
    activation : str or ActivationFunction
        The activation of `activation_forward`.
    alpha : float or list, optional
        The alpha of `activation_forward`.
    out : ndarray of shape (rows, width), optional
        Where to store dZ; may be dY for in-place computation. A new array if not given.

    Returns
    -------
    ndarray of shape (rows, width)
        The gradient dZ; `out` if it was given.

    See Also
    --------
    activation_forward : What it differentiates.

    Examples
    --------
    >>> activation_backward([[1.0, 1.0]], [[-2.0, 3.0]], [[-1.0, 3.0]], "leaky_relu", alpha=0.5)
    array([[0.5, 1. ]])
    """
    known = _SEEN.get(activation) if alpha is None and type(activation) is str else None
    dZ = None if known is None else known.compiled.backward(dY, Z, Y, out)
    return _function(activation, alpha).vjp(dY, Z, Y, out=out) if dZ is None else dZ


def _dense(X, W, b):
    X = checks.as_floats(X, "X")
    inputs, outputs = checks.as_floats(W, "W").shape
    X = checks.as_rows(X, inputs, X.dtype, "X", check_finite=False)
    W = checks.as_shaped(W, (inputs, outputs), X.dtype, "W")
    b = np.zeros(outputs, X.dtype) if b is None else checks.as_shaped(b, (outputs,), X.dtype, "b")
    return X, W, b


def _activation(name, alpha):
    return activations.resolve(name, alpha).settings().values()


def _function(activation, alpha):
    function = activations.resolve(activation, alpha)
    if alpha is None and type(activation) is str:
        _SEEN[activation] = function
    return function


def __dir__():
    return __all__
