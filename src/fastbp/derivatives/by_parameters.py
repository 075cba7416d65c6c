"""Per-sample gradients: the gradient of each sample's loss with respect to the parameters."""

import numpy as np

from fastbp._typing import Arrays, LossLike
from fastbp.derivatives.first_order import row_losses
from fastbp.inputs import checks
from fastbp.network.network import Network


def per_sample_gradients(
    net: Network, X: Arrays, y: Arrays, loss: LossLike = "mse", *, threads: int | None = None
) -> np.ndarray:
    """The gradient of each sample's loss with respect to all parameters; their mean is the batch gradient.

    Parameters
    ----------
    net : Network
        The network to differentiate.
    X : array of shape (rows, inputs), or a tuple of them
        The inputs; a tuple for several.
    y : array of labels or values, or a tuple of them
        The targets; a tuple for several outputs.
    loss : str or function, or a tuple of them, default="mse"
        A name in `fastbp.losses`, a loss, or a function (Y, t) -> (value, dY) that averages over the rows.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    ndarray of shape (rows, params)
        In the order of `net.params`.

    See Also
    --------
    per_sample_gradient_norms : Their norms, without storing them.

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
    net.programs.refuse_part()
    net.programs.derivatives.rows_gradients(xs, ts, terms, out, None, checks.as_threads(threads))
    return out


def per_sample_gradient_norms(
    net: Network, X: Arrays, y: Arrays, loss: LossLike = "mse", *, threads: int | None = None
) -> np.ndarray:
    """The Euclidean norm of each row of `per_sample_gradients`, without storing the gradients.

    Parameters
    ----------
    net : Network
        As for `per_sample_gradients`.
    X : array of shape (rows, inputs), or a tuple of them
        As for `per_sample_gradients`.
    y : array of labels or values, or a tuple of them
        As for `per_sample_gradients`.
    loss : str, Loss or function, default="mse"
        As for `per_sample_gradients`.
    threads : int, optional
        As for `per_sample_gradients`.

    Returns
    -------
    ndarray of shape (rows,), float64
        The norm of each sample's gradient.

    See Also
    --------
    per_sample_gradients : The gradient of each sample.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(1), Dense(1, weights=[[3.0]], bias=False), dtype="float64")
    >>> per_sample_gradient_norms(net, [[1.0], [2.0]], [0.0, 0.0])
    array([ 6., 24.])
    """
    xs, ts, terms = row_losses(net, X, y, loss)
    norms = np.empty(len(xs[0]))
    net.programs.refuse_part()
    net.programs.derivatives.rows_gradients(xs, ts, terms, None, norms, checks.as_threads(threads))
    return norms
