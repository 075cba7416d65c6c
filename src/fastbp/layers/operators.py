"""Operators on nodes, such as `h + g`, `2 / h`, `h ** 2` and `x[:, 2:5]`, and the functions `maximum` and `minimum`."""

import numbers

import numpy as np

from fastbp.inputs import checks
from fastbp.layers.arithmetic import Power
from fastbp.layers.dense import Activation
from fastbp.layers.merge import Add, Constant, Divide, Maximum, Minimum, Multiply, Rescaling, Slice, Subtract
from fastbp.layers.node import Node


def maximum(*nodes: Node | float) -> Node:
    """Elementwise maximum of nodes and numbers.

    Parameters
    ----------
    *nodes : Node or float
        At least one node; all of one width, or of width 1.

    Returns
    -------
    Node
        The largest in each row and column.

    Raises
    ------
    TypeError
        If none is a node.

    See Also
    --------
    minimum : The smaller, element by element.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> maximum(Input(3), Input(3)).width
    3
    """
    return Maximum()(*_as_nodes(nodes, "maximum"))


def minimum(*nodes: Node | float) -> Node:
    """Elementwise minimum of nodes and numbers.

    Parameters
    ----------
    *nodes : Node or float
        At least one node; all of one width, or of width 1.

    Returns
    -------
    Node
        The smallest in each row and column.

    Raises
    ------
    TypeError
        If none is a node.

    See Also
    --------
    maximum : The larger, element by element.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> minimum(Input(3), 1.0).width
    3
    """
    return Minimum()(*_as_nodes(nodes, "minimum"))


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_vector(value):
    """Whether it has a number for each column."""
    return isinstance(value, (np.ndarray, list, tuple))


def _as_nodes(values, function):
    nodes = [value for value in values if isinstance(value, Node)]
    if not nodes:
        raise TypeError(f"{function} wants a node among its arguments")
    width = max(node.width for node in nodes)
    return [_as_node(value, width) if _is_number(value) or _is_vector(value) else value for value in values]


def _as_node(value, width):
    """A number or a vector as a node of this width; a vector keeps its own width beside a node of width 1."""
    if _is_number(value) or np.ndim(value) == 0:
        return Constant(value, width)()
    shape = np.shape(value)
    if len(shape) != 1 or width not in (1, *shape):
        raise ValueError(f"an array beside a node of width {width} must have shape ({width},), got {shape}")
    return Constant(value)()


def _operator(merge, scale, offset, reflected=False):
    """An operator: merges a node with a node or a vector, or rescales it by scale(c) and offset(c) for a number c."""

    def operate(self, other):
        if _is_number(other) and scale is not None:
            return Rescaling(scale(other), offset(other))(self)
        if _is_number(other) or _is_vector(other):
            other = _as_node(other, self.width)
        elif not isinstance(other, Node):
            return NotImplemented
        return merge()(other, self) if reflected else merge()(self, other)

    return operate


def _divide(self, other):
    if _is_number(other):
        if other == 0:
            raise ZeroDivisionError(f"{self!r} is divided by 0")
        return Rescaling(1 / other)(self)
    return _operator(Divide, None, None)(self, other)


def _power(self, exponent):
    return Power(exponent)(self) if _is_number(exponent) else NotImplemented


def _columns(self: Node, key: tuple[slice, slice | int]) -> Node:
    if not isinstance(key, tuple) or len(key) != 2 or key[0] != slice(None):
        raise TypeError(f"a node is sliced as node[:, columns], got {key!r}")
    columns = key[1]
    if not isinstance(columns, slice):
        column = checks.integer(columns, "a column")
        if not -self.width <= column < self.width:
            raise IndexError(f"{self!r} has no column {column}")
        columns = slice(column, column + 1 or None)
    return Slice(columns.start, columns.stop, columns.step)(self)


OPERATORS = {
    "__add__": _operator(Add, lambda c: 1.0, lambda c: c),
    "__radd__": _operator(Add, lambda c: 1.0, lambda c: c, reflected=True),
    "__sub__": _operator(Subtract, lambda c: 1.0, lambda c: -c),
    "__rsub__": _operator(Subtract, lambda c: -1.0, lambda c: c, reflected=True),
    "__mul__": _operator(Multiply, lambda c: c, lambda c: 0.0),
    "__rmul__": _operator(Multiply, lambda c: c, lambda c: 0.0, reflected=True),
    "__truediv__": _divide,
    "__rtruediv__": _operator(Divide, None, None, reflected=True),
    "__pow__": _power,
    "__neg__": lambda self: Rescaling(-1.0)(self),
    "__abs__": lambda self: Activation("abs")(self),
    "__getitem__": _columns,
    "__iter__": None,  # x[0], x[1] ... are no rows
    "__array_ufunc__": None,  # so that a NumPy array on the left leaves the operator to the node
}
for name, operator in OPERATORS.items():  # node.py does not know the layers, so the operators are set here
    setattr(Node, name, operator)
