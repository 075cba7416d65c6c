"""Symbolic nodes: the outputs of layers in a graph, whose widths are known before any data is.

A node is created after its parents, so its serial number gives a topological order, and a cycle cannot be built.
The order is the one the user wrote; it also numbers the layers' names and orders the random draws of the initial
values. Rejected: a depth-first traversal, which recurses and whose order depends on the outputs.
"""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastbp._typing import Operand
from fastbp.inputs import checks

_serials = itertools.count()


class Node:
    """The output of a layer applied to parent nodes.

    Other attributes are looked up in the layer: after a model is built from it, `node.W` is `node.layer.W`.

    Parameters
    ----------
    layer : Layer
        The layer that computes the node.
    parents : tuple of Node
        The nodes it is computed from.
    width : int
        Number of columns.

    See Also
    --------
    fastbp.Input : The node that a graph begins with.

    Examples
    --------
    >>> from fastbp import Dense, Input
    >>> x = Input(3)
    >>> h = Dense(4, "tanh")(x)
    >>> h.width, h.parents == (x,)
    (4, True)
    """

    def __init__(self, layer: Any, parents: tuple["Node", ...], width: int):
        self.layer = layer
        self.parents = parents
        self.width = width
        self.serial = next(_serials)

    @property
    def name(self) -> str | None:
        """The layer's name; it can be set before a model is built."""
        return self.layer.name

    @name.setter
    def name(self, name: str) -> None:
        if self.layer.views is not None:
            raise ValueError(f"{self!r} belongs to a model already, whose names stay")
        self.layer.name = checks.as_name(name, checks.article(type(self.layer).__name__))

    def __getattr__(self, name: str) -> Any:
        layer = self.__dict__.get("layer")
        if layer is None or name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(layer, name)

    if TYPE_CHECKING:  # set by operators.py
        __iter__: None
        __array_ufunc__: None

        def __add__(self, other: "Node | Operand") -> "Node": ...
        def __radd__(self, other: Operand) -> "Node": ...
        def __sub__(self, other: "Node | Operand") -> "Node": ...
        def __rsub__(self, other: Operand) -> "Node": ...
        def __mul__(self, other: "Node | Operand") -> "Node": ...
        def __rmul__(self, other: Operand) -> "Node": ...
        def __truediv__(self, other: "Node | Operand") -> "Node": ...
        def __rtruediv__(self, other: Operand) -> "Node": ...
        def __pow__(self, exponent: float) -> "Node": ...
        def __neg__(self) -> "Node": ...
        def __abs__(self) -> "Node": ...
        def __getitem__(self, key: tuple[slice, slice | int]) -> "Node": ...

    def __repr__(self):
        return f"<{type(self.layer).__name__} node {self.name or '(no name yet)'}, width {self.width}>"


class Input(Node):
    """The input of a model.

    Parameters
    ----------
    width : int
        Number of columns of X.
    name : str, optional
        Unique in the model; "input_1" and so on if not given.

    See Also
    --------
    Constant : Fixed values.
    Parameter : Values that are learned.

    Examples
    --------
    >>> Input(20).width
    20
    """

    name: str | None = None  # an attribute here; a computed node asks its layer

    def __init__(self, width: int, name: str | None = None):
        super().__init__(None, (), checks.positive_int(width, "the width of an Input"))
        self.name = checks.as_name(name, "an Input")

    def __repr__(self):
        return f"<Input {self.name or '(no name yet)'}, width {self.width}>"


def topological_order(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """The outputs and all nodes they are computed from, each after its parents."""
    found: set[Node] = set()
    pending = list(outputs)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(node.parents)
    return tuple(sorted(found, key=lambda node: node.serial))


def depending_on(source: Node, nodes: Iterable[Node]) -> set[Node]:
    """The node `source`, and the nodes, given in topological order, that are computed from it."""
    found = {source}
    for node in nodes:
        if not found.isdisjoint(node.parents):
            found.add(node)
    return found


def names_for(things: Iterable) -> dict:
    """A name for each input and layer: its own, or its class and the first free number."""
    things = list(things)
    taken = [thing.name for thing in things if thing.name is not None]
    checks.distinct(taken, "the name")
    counters: dict[str, itertools.count] = {}
    names = {}
    for thing in things:
        name, kind = thing.name, type(thing)
        prefix = (kind.__name__ if isinstance(thing, Node) else kind.label()).lower()
        while name is None:
            free = f"{prefix}_{next(counters.setdefault(prefix, itertools.count(1)))}"
            name = None if free in taken else free
        names[thing] = name
    return names
