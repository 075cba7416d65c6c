"""Functions of nodes: `fb.exp(x)`, `fb.sqrt(x)`, `fb.sum(x)` and others, each a layer without parameters.

They have the names of NumPy and keras.ops, and are used as `fb.sum`, so that no builtin is shadowed.
"""

from fastbp.inputs import checks
from fastbp.layers.arithmetic import Log, Mean, Power, Sum
from fastbp.layers.dense import Activation
from fastbp.layers.merge import Multiply
from fastbp.layers.node import Node


def exp(node: Node) -> Node:
    """The exponential function of X, element by element.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of the same width.

    See Also
    --------
    log : The inverse.
    Activation : All functions of one node.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> exp(Input(3)).width
    3
    """
    return Activation("exp")(node)


def log(node: Node) -> Node:
    """The natural logarithm of X, element by element: -inf at 0, NaN below.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of the same width.

    See Also
    --------
    exp : The inverse.
    Log : The layer.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> log(Input(3)).width
    3
    """
    return Log()(node)


def sqrt(node: Node) -> Node:
    """The square root of X, element by element: NaN below 0; its slope at 0 is infinite.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of the same width.

    See Also
    --------
    Power : Any other exponent.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> sqrt(Input(3)).width
    3
    """
    return Power(0.5)(node)


def sin(node: Node) -> Node:
    """The sine of X in radians, element by element.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of the same width.

    See Also
    --------
    cos : The cosine.
    Activation : All functions of one node.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> sin(Input(3)).width
    3
    """
    return Activation("sin")(node)


def cos(node: Node) -> Node:
    """The cosine of X in radians, element by element.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of the same width.

    See Also
    --------
    sin : The sine.
    Activation : All functions of one node.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> cos(Input(3)).width
    3
    """
    return Activation("cos")(node)


def abs(node: Node) -> Node:
    """The absolute value of X, element by element; its slope at 0 is 0. `abs(node)` of Python does the same.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of the same width.

    See Also
    --------
    maximum : The larger of two nodes.
    Activation : All functions of one node.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> abs(Input(3)).width
    3
    """
    return Activation("abs")(node)


def sum(node: Node) -> Node:
    """The sum of the columns of X, in each row.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of width 1.

    See Also
    --------
    mean : Divided by the width.
    Sum : The layer.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> sum(Input(3) ** 2).width
    1
    """
    return Sum()(node)


def mean(node: Node) -> Node:
    """The mean of the columns of X, in each row.

    Parameters
    ----------
    node : Node
        X, of any width.

    Returns
    -------
    Node
        Of width 1.

    See Also
    --------
    sum : Not divided by the width.
    Mean : The layer.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> mean(Input(3)).width
    1
    """
    return Mean()(node)


def dot(a: Node, b: Node) -> Node:
    """The dot product of two nodes in each row: the sum over j of A[n, j] B[n, j].

    Parameters
    ----------
    a, b : Node
        A and B, of one width.

    Returns
    -------
    Node
        Of width 1.

    Raises
    ------
    ValueError
        If the widths differ.

    See Also
    --------
    sum : Of one node.
    Multiply : The products alone.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> dot(Input(3), Input(3)).width
    1
    """
    for node in (a, b):
        checks.instance(node, Node, "what dot is called on")
    if a.width != b.width:
        raise ValueError(f"dot wants two nodes of one width, got {a!r} and {b!r}")
    return Sum()(Multiply()(a, b))
