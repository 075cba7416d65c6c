"""The functions that create derivatives of nodes: `fb.diff`, `fb.grad` and others.

They check their arguments, so that an error points at the user's line: x must be an input or columns of one, the node
must depend on x, and every node between must have a derivative.
"""

from typing import Any

import numpy as np

from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.layers.derivative_checks import check_path, columns_of
from fastbp.layers.derivatives import (
    Derivative,
    Diff,
    Directional,
    Gradient,
    Hessian,
    Jacobian,
    Laplacian,
    LogDet,
)
from fastbp.layers.node import Node


def _made(layer: type[Derivative], u: Any, x: Any, what: str, more: tuple = (), **settings: Any) -> Node:
    """A derivative of u by the input or columns `x`."""
    checks.instance(u, Node, f"what {what} differentiates")
    source, columns = columns_of(x, what)
    made = layer(columns, **settings)
    check_path(u, source, what, made.order)
    return made(u, source, *more)


def diff(u: Node, c: Node) -> Node:
    """The derivative of a node by one input column, du/dc, as a node.

    Parameters
    ----------
    u : Node of width n
        Any node that depends on the input, also a derivative.
    c : Input of width 1, or a column such as `x[:, 0]`
        The column to differentiate by.

    Returns
    -------
    Node of width n
        Column o is the derivative of column o of u; it has derivatives itself.

    Raises
    ------
    ValueError
        If c is wider than one column or no input, or u does not depend on it or has no such derivative.

    See Also
    --------
    grad : Derivatives of a number by all columns.
    jac : Derivatives of a vector by all columns.
    hess : Second derivatives by all columns.
    laplacian : Their trace.
    directional : Derivative along a vector.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as fb
    >>> x = fb.Input(2)
    >>> u = fb.Activation("sin")(x[:, 0]) * x[:, 1]
    >>> net = fb.Model(x, [fb.diff(u, x[:, 0]), fb.diff(fb.diff(u, x[:, 0]), x[:, 1])], dtype="float64")
    >>> net.predict([[0.0, 3.0]])
    (array([[3.]]), array([[1.]]))
    """
    source, columns = columns_of(c, "diff")
    count = source.width if columns is None else len(columns)
    if count != 1:
        raise ValueError(f"diff wants one column, got {c!r}: take one as x[:, 0], or use grad or jac for all")
    return _made(Diff, u, c, "diff")


def grad(u: Node, x: Node, mode: str = "auto") -> Node:
    """The gradient of a node of width 1 by an input, du/dx, as a node. Forces are -grad(energy, positions).

    Parameters
    ----------
    u : Node of width 1
        Any node that depends on the input.
    x : Input, or columns of it such as `x[:, :3]`
        The input, or columns, to differentiate by.
    mode : {"auto", "forward", "reverse"}, default="auto"
        A tangent for each column, or one backward pass as ops; "auto" takes the mode with fewer matrix products.

    Returns
    -------
    Node of the width of x
        Column i is du / dx_i.

    Raises
    ------
    ValueError
        If u has another width than 1, x is no input, or u does not depend on it or has no such derivative.

    See Also
    --------
    diff : Derivative by one column.
    jac : Derivatives of a vector by all columns.
    hess : Second derivatives by all columns.
    laplacian : Their trace.
    input_gradient : The same of a network, as arrays.

    Examples
    --------
    >>> import fastbp as fb
    >>> x = fb.Input(3)
    >>> energy = fb.Dense(1)(fb.Dense(8, "tanh")(x))
    >>> fb.grad(energy, x).width
    3
    """
    checks.instance(u, Node, "what grad differentiates")
    if u.width != 1:
        raise ValueError(f"grad wants a node of width 1, got {u!r}: use jac for wider ones")
    return _made(Gradient, u, x, "grad", mode=mode)


def jac(u: Node, x: Node, mode: str = "auto") -> Node:
    """The Jacobian of a node by an input as a node, by rows: column o * inputs + i is du_o / dx_i.

    Parameters
    ----------
    u : Node of width n
        Any node that depends on the input.
    x : Input of width m, or columns of it
        The input, or columns, to differentiate by.
    mode : {"auto", "forward", "reverse"}, default="auto"
        A tangent for each column, or a backward pass for each output; "auto" takes the mode with fewer matrix products.

    Returns
    -------
    Node of width n * m
        The gradient of each column of u, one after the other.

    Raises
    ------
    ValueError
        If x is no input, or u does not depend on it or has no such derivative.

    See Also
    --------
    diff : Derivative by one column.
    grad : Derivatives of a number by all columns.
    hess : Second derivatives by all columns.
    laplacian : Their trace.
    jacobian : The same of a network, as arrays.

    Examples
    --------
    >>> import fastbp as fb
    >>> x = fb.Input(3)
    >>> fb.jac(fb.Dense(2, "tanh")(x), x).width
    6
    """
    return _made(Jacobian, u, x, "jac", mode=mode)


def laplacian(u: Node, x: Node, mode: str = "auto") -> Node:
    """The Laplacian of a node, the sum of its second derivatives by the columns of an input, as a node.

    Parameters
    ----------
    u : Node of width n
        Any node that depends on the input.
    x : Input, or columns of it such as `x[:, :2]`
        The input, or columns, to differentiate by.
    mode : {"auto", "forward", "nested"}, default="auto"
        The forward Laplacian (Li et al. 2023), which "auto" takes, or a second derivative for each column.

    Returns
    -------
    Node of width n
        Column o is the sum over i of d2 u_o / dx_i dx_i.

    Raises
    ------
    ValueError
        If x is no input, or u does not depend on it or has no such derivative.

    See Also
    --------
    diff : Derivative by one column.
    grad : Derivatives of a number by all columns.
    jac : Derivatives of a vector by all columns.
    hess : Second derivatives by all columns.

    Examples
    --------
    >>> import fastbp as fb
    >>> x = fb.Input(3)
    >>> square = fb.Activation("square")(x)
    >>> r2 = square[:, 0] + square[:, 1] + square[:, 2]
    >>> fb.Model(x, fb.laplacian(r2, x), dtype="float64").predict([[1.0, 2.0, 3.0]])
    array([[6.]])
    """
    return _made(Laplacian, u, x, "laplacian", mode=mode)


def hess(u: Node, x: Node, mode: str = "auto") -> Node:
    """All second derivatives of a node by an input as a node: column (o * m + i) * m + j is d2 u_o / dx_i dx_j.

    Parameters
    ----------
    u : Node of width n
        Any node that depends on the input.
    x : Input of width m, or columns of it
        The input, or columns, to differentiate by.
    mode : {"auto", "forward", "reverse"}, default="auto"
        Tangents of tangents, or tangents of a backward pass for each output.

    Returns
    -------
    Node of width n * m * m
        The Hessian of each column of u, one after the other, each by rows.

    Raises
    ------
    ValueError
        If x is no input, or u does not depend on it or has no such derivative.

    See Also
    --------
    diff : Derivative by one column.
    grad : Derivatives of a number by all columns.
    jac : Derivatives of a vector by all columns.
    laplacian : Their trace.
    hessian : The same of a network, as arrays.

    Examples
    --------
    >>> import fastbp as fb
    >>> x = fb.Input(2)
    >>> fb.Model(x, fb.hess(x[:, 0] * x[:, 1], x), dtype="float64").predict([[1.0, 2.0]])
    array([[0., 1., 1., 0.]])
    """
    return _made(Hessian, u, x, "hess", mode=mode)


def logdet(z: Node, x: Node) -> Node:
    """The log |det dz/dx| of each row as a node of width 1: the loss of a flow is -log p(z) - logdet(z, x).

    Parameters
    ----------
    z : Node of width n
        Any node that depends on the input.
    x : Input of width n, at most 64, or n columns of it
        The input, or columns, to differentiate by.

    Returns
    -------
    Node of width 1
        The logarithm of each row; -inf where the Jacobian is singular.

    Raises
    ------
    ValueError
        If the Jacobian is not square, x is no input, or z does not depend on it or has no such derivative.

    See Also
    --------
    jac : The Jacobian itself.
    log_abs_det_jacobian : The same of a network, as arrays.

    Examples
    --------
    >>> import fastbp as fb
    >>> x = fb.Input(2)
    >>> fb.Model(x, fb.logdet(2 * x, x), dtype="float64").predict([[1.0, 5.0]]).round(6)
    array([[1.386294]])
    """
    return _made(LogDet, z, x, "logdet")


def directional(u: Node, x: Node, along: Node | ArrayLike) -> Node:
    """The derivative of a node along a direction of an input, J v, as a node.

    Parameters
    ----------
    u : Node of width n
        Any node that depends on the input.
    x : Input of width m, or m columns of it
        The input, or columns, to differentiate by.
    along : Node of width m, or array of shape (m,)
        The direction v, one for each row or the same for all. It counts as constant: only u is differentiated.

    Returns
    -------
    Node of width n
        Column o is the sum over i of du_o / dx_i * v_i.

    Raises
    ------
    ValueError
        If the direction has another width, x is no input, or u does not depend on it or has no such derivative.

    See Also
    --------
    diff : Along one column.
    jac : Along each column.
    jvp : The same of a network, as arrays.

    Examples
    --------
    >>> import fastbp as fb
    >>> x = fb.Input(2)
    >>> u = x[:, 0] * x[:, 1]
    >>> fb.Model(x, fb.directional(u, x, [1.0, 0.0]), dtype="float64").predict([[2.0, 7.0]])
    array([[7.]])
    """
    source, columns = columns_of(x, "directional")
    width = source.width if columns is None else len(columns)
    if isinstance(along, Node):
        if along.width != width:
            raise ValueError(f"directional wants a direction of width {width}, that of {x!r}, got {along!r}")
        return _made(Directional, u, x, "directional", (along,))
    numbers = checks.as_numbers(along, "the direction")
    if numbers.shape != (width,) or not np.isfinite(numbers).all():
        raise ValueError(f"directional wants a direction of {width} finite numbers, got an array {numbers.shape}")
    return _made(Directional, u, x, "directional", along=numbers)
