"""Gradients by the parameters: of each row by itself, and checked against finite differences."""

import numpy as np

from fastbp._typing import Arrays, LossLike
from fastbp.derivatives.first_order import row_losses
from fastbp.inputs import checks
from fastbp.network.network import Network


def per_sample_gradients(
    net: Network, X: Arrays, y: Arrays, loss: LossLike = "mse", *, threads: int | None = None
) -> np.ndarray:
    """The gradient of each row's own loss by all parameters; their mean is the gradient of the batch.

    Parameters
    ----------
    net : Network
    X, y : arrays, or tuples of them
    loss : str or function, or a tuple of them
        As for `Trainer`; a function's gradient is taken as that of a mean over the rows.
    threads : int, optional

    Returns
    -------
    ndarray of shape (rows, params)

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(1), Dense(1, weights="ones"), dtype="float64")
    >>> per_sample_gradients(net, [[1.0], [2.0]], [0.0, 0.0])
    array([[2., 2.],
           [8., 4.]])
    """
    xs, ts, terms = row_losses(net, X, y, loss)
    out = np.empty((len(xs[0]), net.params.size), net.dtype)
    net.programs.derivatives.rows_gradients(xs, ts, terms, out, None, checks.as_threads(threads))
    return out


def per_sample_gradient_norms(
    net: Network, X: Arrays, y: Arrays, loss: LossLike = "mse", *, threads: int | None = None
) -> np.ndarray:
    """The Euclidean norm of each row of `per_sample_gradients`, without storing these.

    Parameters
    ----------
    net, X, y, loss, threads
        As for `per_sample_gradients`.

    Returns
    -------
    ndarray of shape (rows,), float64

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(1), Dense(1, weights=[[3.0]], bias=False), dtype="float64")
    >>> per_sample_gradient_norms(net, [[1.0], [2.0]], [0.0, 0.0])
    array([ 6., 24.])
    """
    xs, ts, terms = row_losses(net, X, y, loss)
    norms = np.empty(len(xs[0]))
    net.programs.derivatives.rows_gradients(xs, ts, terms, None, norms, checks.as_threads(threads))
    return norms
