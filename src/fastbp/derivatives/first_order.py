"""Derivatives of a network with respect to its inputs: Jacobians, and products with them.

All are of the network at inference: dropout is off, and BatchNorm uses its running averages. `net.grads` and the state
of a pending backward pass do not change. The engine uses reverse mode if there are fewer outputs than inputs, else
forward mode, over a graph of tangents. Rejected: a tape, which would record at run time what the graph already says.
"""

from typing import Any

import numpy as np

from fastbp._typing import ArrayLike, Arrays, LossLike, OneOrMore
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.training.objective import Objective

MODES = ("auto", "forward", "reverse")


def jacobian(net: Network, X: Arrays, *, mode: str = "auto", threads: int | None = None) -> OneOrMore:
    """Jacobian: the derivative of each output with respect to each input, for every row.

    Parameters
    ----------
    net : Network
        The network to differentiate.
    X : array of shape (rows, inputs), or (inputs,), or a tuple of them
        The points: one per row, or a single one; a tuple for several inputs.
    mode : {"auto", "forward", "reverse"}, default="auto"
        Forward mode makes one pass per input, reverse mode one per output. "auto" takes the fewer; for a network with
        one hidden layer it computes the whole Jacobian at once.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    ndarray of shape (rows, outputs, inputs)
        (outputs, inputs) for a single point. For several outputs or inputs, a tuple over the outputs of tuples over
        the inputs.

    See Also
    --------
    vjp : Product with vectors from the left, in reverse mode.
    jvp : Product with vectors from the right, in forward mode.
    jac : As a node of a graph.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(3, bias=False, weights=np.arange(6.0).reshape(2, 3)), dtype="float64")
    >>> jacobian(net, [1.0, 1.0])
    array([[0., 3.],
           [1., 4.],
           [2., 5.]])
    """
    xs, one = rows_of(net, X)
    checks.one_of(mode, "mode", MODES)
    widths = [node.width for node in net.inputs], [node.width for node in net.outputs]
    forward = mode == "forward"
    if mode == "auto" and not any(layer.kind == "python" for layer in net.layers):
        forward = sum(widths[0]) < sum(widths[1])
    threads, programs = checks.as_threads(threads), net.programs.derivatives
    whole = programs.whole_jacobian(xs, threads) if mode == "auto" else None
    if whole is not None:
        return whole[0] if one else whole
    outs = [[np.empty((len(xs[0]), O, I), net.dtype) for I in widths[0]] for O in widths[1]]
    programs.jacobian(xs, [out for line in outs for out in line], forward, threads)
    outs = [[out[0] if one else out for out in line] for line in outs]
    return outs[0][0] if len(outs) == len(outs[0]) == 1 else tuple(tuple(line) for line in outs)


def vjp(net: Network, X: Arrays, V: Arrays, *, threads: int | None = None) -> OneOrMore:
    """Vector-Jacobian product: the gradient of the inputs for gradients V of the outputs.

    Parameters
    ----------
    net : Network
        The network to differentiate.
    X : array of shape (rows, inputs), or (inputs,), or a tuple of them
        The points: one per row, or a single one; a tuple for several inputs.
    V : array of shape (rows, outputs), or (outputs,), or a tuple of them
        One vector per row; a tuple for several outputs.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    ndarray of shape (rows, inputs), or (inputs,), or a tuple of them
        V J of each row, of X's shape.

    See Also
    --------
    jacobian : All derivatives of the outputs by the inputs.
    jvp : Product with vectors from the right, in forward mode.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(3, bias=False, weights=np.arange(6.0).reshape(2, 3)), dtype="float64")
    >>> vjp(net, [[1.0, 1.0]], [[1.0, 0.0, 1.0]])
    array([[2., 8.]])
    """
    xs, one = rows_of(net, X)
    vs = vectors_beside(V, net.outputs, xs, one, net.dtype, "V")
    return given(net.programs.derivatives.vjp(xs, vs, checks.as_threads(threads)), one)


def jvp(net: Network, X: Arrays, U: Arrays, *, threads: int | None = None) -> OneOrMore:
    """Jacobian-vector product: the directional derivative of the outputs along U.

    Parameters
    ----------
    net : Network
        The network to differentiate.
    X : array of shape (rows, inputs), or (inputs,), or a tuple of them
        The points: one per row, or a single one; a tuple for several inputs.
    U : array of the shape of X, or a tuple of them
        One direction per row.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    ndarray of shape (rows, outputs), or (outputs,), or a tuple of them
        J U of each row; a tuple for several outputs.

    See Also
    --------
    jacobian : All derivatives of the outputs by the inputs.
    vjp : Product with vectors from the left, in reverse mode.
    directional : As a node of a graph.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(3, bias=False, weights=np.arange(6.0).reshape(2, 3)), dtype="float64")
    >>> jvp(net, [[1.0, 1.0]], [[1.0, 0.0]])
    array([[0., 1., 2.]])
    """
    xs, one = rows_of(net, X)
    us = vectors_beside(U, net.inputs, xs, one, net.dtype, "U")
    return given(net.programs.derivatives.jvp(xs, us, checks.as_threads(threads)), one)


def input_gradient(
    net: Network,
    X: ArrayLike,
    y: Any = None,
    *,
    loss: LossLike | None = None,
    output: int | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """The gradient of one output, or of each sample's loss, with respect to the inputs (saliency).

    Parameters
    ----------
    net : Network
        The network to differentiate; with a single output if no loss is given.
    X : array of shape (rows, inputs), or (inputs,), or a tuple of them
        The points: one per row, or a single one; a tuple for several inputs.
    y : array of labels or values, optional
        The targets, with a loss.
    loss : str or function, optional
        The loss to differentiate; the output itself if not given.
    output : int, optional
        The column of the output to differentiate; the largest of each row if neither it nor a loss is given.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    ndarray of shape (rows, inputs), or (inputs,), or a tuple of them
        The gradient of each row, of X's shape.

    See Also
    --------
    jacobian : The gradients of all outputs.
    grad : As a node of a graph.

    Examples
    --------
    >>> from fastbp import Input, Model
    >>> x = Input(2)
    >>> input_gradient(Model(x, x * x, dtype="float64"), [[3.0, 4.0]], output=0)
    array([[6., 0.]])
    """
    xs, one = rows_of(net, X)
    threads = checks.as_threads(threads)
    if loss is not None:
        objective = Objective(loss, net, refuse_shares=False)
        ts = objective.targets([y] if one and np.ndim(y) == 0 else y, len(xs[0]))
        dys = row_seeds(net, xs, ts, objective)
    else:
        width = only(net.outputs, "output", "input_gradient without a loss").width
        dys = (np.zeros((len(xs[0]), width), net.dtype),)
        largest = net.programs.predict(xs, threads)[0].argmax(axis=1) if output is None else None
        dys[0][np.arange(len(xs[0])), largest if output is None else column_of(output, width)] = 1
    return given(net.programs.derivatives.vjp(xs, dys, threads), one)


def log_abs_det_jacobian(net: Network, X: ArrayLike, *, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Sign and logarithm of the absolute value of the Jacobian determinant, as for normalizing flows.

    Parameters
    ----------
    net : Network
        A network with one input and one output of the same width.
    X : array of shape (rows, inputs), or (inputs,)
        The points: one per row, or a single one.
    threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Returns
    -------
    sign : ndarray of shape (rows,)
        The sign, 0 for a singular matrix.
    logabsdet : ndarray of shape (rows,)
        As from `numpy.linalg.slogdet`: the density p(x) becomes p(x) / exp(logabsdet) at y = net(x).

    Raises
    ------
    ValueError
        If there are not as many outputs as inputs.

    See Also
    --------
    jacobian : The Jacobian itself.
    logdet : As a node of a graph.

    Examples
    --------
    >>> from fastbp import Input, Model
    >>> x = Input(2)
    >>> sign, logabsdet = log_abs_det_jacobian(Model(x, x * x, dtype="float64"), [[0.5, -0.5]])
    >>> sign, logabsdet
    (array([-1.]), array([0.]))
    """
    single(net, X)
    inputs, outputs = net.inputs[0].width, net.outputs[0].width
    if inputs != outputs:
        raise ValueError(f"a determinant wants as many outputs as inputs, got {outputs} outputs of {inputs} inputs")
    sign, logabsdet = np.linalg.slogdet(jacobian(net, X, threads=threads))
    return sign, logabsdet


def rows_of(net, X):
    """X checked, and whether it is a single point without an axis of rows."""
    checks.instance(net, Network, "net")
    parts = X if isinstance(X, tuple) else (X,)
    if len(parts) != len(net.inputs):
        return net.as_inputs(X), False  # which says what is wrong
    names = checks.each_name("X", net.inputs)
    parts = tuple(checks.as_numbers(part, name) for part, name in zip(parts, names, strict=True))
    one = all(part.ndim == 1 and len(part) == node.width > 1 for part, node in zip(parts, net.inputs, strict=True))
    return net.as_inputs(checks.alone(tuple(part[None] for part in parts) if one else parts)), one


def single(net, X):
    """`rows_of` for a network of one input and one output."""
    xs, one = rows_of(net, X)
    only(net.inputs, "input", "this derivative")
    only(net.outputs, "output", "this derivative")
    return xs, one


def only(nodes, what, who):
    """The single node; raises if there are several."""
    if len(nodes) != 1:
        raise ValueError(f"{who} wants a net with one {what}, got {len(nodes)}")
    return nodes[0]


def vectors_beside(V, nodes, xs, one, dtype, name):
    """Vectors that belong to the rows: one array for each node."""
    if one:
        V = tuple(np.asarray(v)[None] for v in V) if isinstance(V, tuple) else np.asarray(V)[None]
    vs = checks.as_batch(V, nodes, dtype, name)
    checks.same_rows(vs[0], len(xs[0]), name)
    return vs


def given(arrays, one):
    """The return value: one array or a tuple, with or without an axis of rows."""
    arrays = tuple(array[0] for array in arrays) if one else arrays
    return arrays[0] if len(arrays) == 1 else arrays


def column_of(output, width):
    """A column's number, checked."""
    column = checks.integer(output, "output")
    if not 0 <= column < width:
        raise ValueError(f"output must be a column of 0 ... {width - 1}, got {column}")
    return column


def row_losses(net, X, y, loss):
    """Checked inputs, targets and loss terms, from which the engine computes per-sample gradients.

    For a loss in Python: inputs, gradients of the outputs, and None.
    """
    xs, _ = rows_of(net, X)
    objective = Objective(loss, net, refuse_shares=False)
    ts = objective.targets(y, len(xs[0]))
    if objective.terms is not None:
        return xs, ts, objective.terms
    return xs, row_seeds(net, xs, ts, objective), None


def row_seeds(net, xs, ts, objective):
    """The gradient of each sample's loss with respect to the outputs."""
    _, dys = objective(net.programs.predict(xs), ts, None)
    return tuple(dy * net.dtype.type(len(xs[0])) for dy in dys)
