"""Second derivatives of a network: Hessians, and products with them.

Reverse over forward mode: the backward pass through the graph of tangents gives a row of a Hessian for each
direction. Rejected: differences of gradients, which lose half of the digits.
"""

import math

import numpy as np

from fastbp._typing import ArrayLike, Arrays
from fastbp.derivatives.first_order import column_of, single, vectors_beside
from fastbp.inputs import checks
from fastbp.losses.loss import Loss
from fastbp.network.network import Network
from fastbp.training.objective import Objective

WRT = ("inputs", "params")


def hessian(
    net: Network,
    X: Arrays,
    y: Arrays | None = None,
    *,
    loss: str | None = None,
    output: int = 0,
    wrt: str = "inputs",
    max_bytes: int = 2**30,
    threads: int | None = None,
) -> np.ndarray:
    """Hessian of one output or of the loss by the inputs, or of the loss by the parameters.

    Parameters
    ----------
    net : Network
        A network with one input and one output.
    X : array of shape (rows, inputs), or (inputs,)
        The points: one per row, or a single one.
    y : array of labels or values, optional
        The targets, with a loss.
    loss : str or Loss, optional
        A name in `fastbp.losses`, or a loss with parameters; an output is differentiated if not given.
    output : int, default=0
        The column of the output to differentiate, without a loss.
    wrt : {"inputs", "params"}, default="inputs"
        With respect to the inputs there is a Hessian for each row (of its own loss); with respect to the parameters
        there is one, of the mean loss.
    max_bytes : int, default=2**30
        The largest size of the result, in bytes.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    ndarray of shape (rows, inputs, inputs), or (params, params)
        Entry (i, j) is the derivative by the i-th and j-th input or parameter; without rows for a single point.

    Raises
    ------
    MemoryError
        If the result would take more than `max_bytes`.
    ValueError
        If the loss is a Python function, or is missing where y or `wrt` needs it.

    See Also
    --------
    hvp : Its product with a vector.
    hess : As a node of a graph.

    Examples
    --------
    >>> from fastbp import Input, Model
    >>> x = Input(2)
    >>> hessian(Model(x, x * x, dtype="float64"), [3.0, 4.0], output=1)
    array([[0., 0.],
           [0., 2.]])
    """
    xs, one = single(net, X)
    objective, ts, output = _second(net, xs, y, loss, output, wrt)
    rows, width = xs[0].shape
    shape = (rows, width, width) if wrt == "inputs" else (net.params.size,) * 2
    size = math.prod(shape) * net.dtype.itemsize
    if size > max_bytes:
        raise MemoryError(f"a Hessian of shape {shape} takes {size:,} bytes, more than max_bytes={max_bytes:,}")
    terms = None if objective is None else objective.terms
    if wrt == "inputs":
        out = np.empty(shape, net.dtype)
        net.programs.derivatives.second(xs, out, output, ts, terms, checks.as_threads(threads))
        return out[0] if one else out
    out, direction = np.empty(shape, net.dtype), np.zeros(net.params.size, net.dtype)
    for k in range(len(out)):
        direction[k] = 1
        out[k] = net.programs.derivatives.parameter_second(xs, direction, ts, terms)
        direction[k] = 0
    return out


def hvp(
    net: Network,
    X: Arrays,
    V: ArrayLike,
    y: Arrays | None = None,
    *,
    loss: str | None = None,
    output: int = 0,
    wrt: str = "inputs",
    threads: int | None = None,
) -> np.ndarray:
    """Hessian-vector product: the product of `hessian` with V, without forming the Hessian.

    Parameters
    ----------
    net : Network
        As for `hessian`.
    X : array of shape (rows, inputs), or (inputs,)
        As for `hessian`.
    V : array of shape (rows, inputs), or (inputs,); or (params,)
        The vectors: of the shape of X, or of `net.params` with wrt="params".
    y : array of labels or values, optional
        As for `hessian`.
    loss : str, optional
        As for `hessian`.
    output : int, default=0
        As for `hessian`.
    wrt : {"inputs", "params"}, default="inputs"
        As for `hessian`.
    threads : int, optional
        As for `hessian`.

    Returns
    -------
    ndarray of V's shape
        The products, one for each row with respect to the inputs.

    Raises
    ------
    ValueError
        As for `hessian`.

    See Also
    --------
    hessian : The matrix of second derivatives.

    Examples
    --------
    >>> from fastbp import Input, Model
    >>> x = Input(2)
    >>> hvp(Model(x, x * x, dtype="float64"), [[3.0, 4.0]], [[1.0, 1.0]], output=1)
    array([[0., 2.]])
    """
    xs, one = single(net, X)
    objective, ts, output = _second(net, xs, y, loss, output, wrt)
    terms = None if objective is None else objective.terms
    if wrt == "params":
        return net.programs.derivatives.parameter_second(
            xs, checks.as_shaped(V, net.params.shape, net.dtype, "V"), ts, terms
        )
    vs = vectors_beside(V, net.inputs, xs, one, net.dtype, "V")
    out = np.empty(xs[0].shape, net.dtype)
    net.programs.derivatives.second((*xs, *vs), out, output, ts, terms, checks.as_threads(threads))
    return out[0] if one else out


def _second(net, xs, y, loss, output, wrt):
    """Objective, targets and output column of a second derivative."""
    checks.one_of(wrt, "wrt", WRT)
    if loss is None:
        if y is not None:
            raise ValueError("y is given without a loss")
        if wrt == "params":
            raise ValueError('wrt="params" wants a loss and y')
        return None, None, column_of(output, net.outputs[0].width)
    if not isinstance(Loss.classes.resolve(loss), Loss):
        raise ValueError(f"second derivatives want a loss of fastbp's own, got the function {loss!r}")
    if wrt == "params":
        net.programs.refuse_part()
    objective = Objective(loss, net, refuse_shares=False)
    return objective, objective.targets(y, len(xs[0])), -1
