"""Gates: layers that merge nodes, and the operators on nodes that stand for them.

`h + g`, `h * g`, `fb.maximum(h, g)` make the same nodes as `Add()(h, g)` and so on. A node of width 1 is
broadcast by a node of its own, so each gate knows one width only. What a gate does with a gradient is in its
docstring: that pattern is what it is for.
"""

from typing import ClassVar

from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Node


class Broadcast(Layer):
    """Y[n, j] = X[n, 0]: one column, repeated. Its gradient is the sum of its copies'.

    Parameters
    ----------
    width : int
        How many columns.
    name : str, optional

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Broadcast(5)(Input(1)).width
    5
    """

    kind = "broadcast"
    verb = "summed"

    def __init__(self, width: int, *, name: str | None = None):
        super().__init__(name)
        self.width = checks.positive_int(width, "width")

    def output_width(self, width):
        if width != 1:
            raise ValueError(f"Broadcast wants a node of width 1, got {width}")
        return self.width

    def settings(self):
        return {"name": self.name, "width": self.width}


class Constant(Layer):
    """Y = value in every row, whatever the inputs are. It is called on no node.

    Parameters
    ----------
    value : float
    width : int
    name : str, optional

    Examples
    --------
    >>> Constant(0.5, 3)().width
    3
    """

    kind = "constant"
    arity = 0

    def __init__(self, value: float, width: int = 1, *, name: str | None = None):
        super().__init__(name)
        self.value = checks.in_range(value, "value")
        self.width = checks.positive_int(width, "width")

    def output_width(self):
        return self.width

    def settings(self):
        return {"name": self.name, "value": self.value, "width": self.width}

    def op(self, number, *widths):
        return {"alpha": self.value}


class Rescaling(Layer):
    """Y = scale X + offset, with numbers that are not trained; what `2 * h - 1` makes.

    Parameters
    ----------
    scale, offset : float
    name : str, optional

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Rescaling(1 / 255)(Input(784)).width
    784
    """

    kind = "affine"

    def __init__(self, scale: float, offset: float = 0.0, *, name: str | None = None):
        super().__init__(name)
        self.scale = checks.in_range(scale, "scale")
        self.offset = checks.in_range(offset, "offset")

    def settings(self):
        return {"name": self.name, "scale": self.scale, "offset": self.offset}

    def op(self, number, *widths):
        return {"alpha": self.scale, "beta": self.offset}


class Slice(Layer):
    """Some columns: Y = X[:, start:stop:step]; what `x[:, 2:5]` makes.

    Parameters
    ----------
    start, stop, step : int, optional
        As Python's slices have them, negative ones included.
    name : str, optional

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Input(20)[:, 2:5].width, Input(20)[:, -1].width
    (3, 1)
    """

    kind = "slice"

    def __init__(self, start: int | None = None, stop: int | None = None, step: int | None = None, *, name=None):
        super().__init__(name)
        ends = {"start": start, "stop": stop, "step": step}
        self.ends = {key: end if end is None else checks.integer(end, key) for key, end in ends.items()}
        if step == 0:
            raise ValueError("step must not be 0")

    def _columns(self, width):
        return range(*slice(*self.ends.values()).indices(width))

    def output_width(self, width):
        columns = self._columns(width)
        if not columns:
            raise ValueError(f"{self.describe()} takes no column of a node of width {width}")
        return len(columns)

    def settings(self):
        return {"name": self.name, **self.ends}

    def op(self, number, *widths):
        return {"first": self._columns(*widths)[0], "step": self.ends["step"] or 1}

    def describe(self):
        start, stop, step = ("" if end is None else str(end) for end in self.ends.values())
        return f"Slice {start}:{stop}{f':{step}' if step else ''}"


class Merge(Layer):
    """Base of the gates: called on two nodes or more, of one width or of width 1."""

    arity: ClassVar[int | None] = None

    def __call__(self, *nodes: Node) -> Node:
        """The node this gate makes of others; a list of them will do too."""
        if len(nodes) == 1 and isinstance(nodes[0], (list, tuple)):
            nodes = tuple(nodes[0])
        checks.instances(list(nodes), Node, f"what {self!r} is called on")
        if len(nodes) < 2:
            raise ValueError(f"{self!r} merges two nodes or more, got {len(nodes)}")
        return super().__call__(*self.aligned(nodes))

    def output_width(self, *widths):
        return max(widths)

    def aligned(self, nodes: tuple[Node, ...]) -> list[Node]:
        """The nodes, those of width 1 broadcast to the width of the others."""
        width = max(node.width for node in nodes)
        for node in nodes:
            if node.width not in (1, width):
                got = ", ".join(f"{node.name or 'a node'} of width {node.width}" for node in nodes)
                raise ValueError(f"{self!r} wants nodes of one width, or of width 1; got {got}")
        return [node if node.width == width else Broadcast(width)(node) for node in nodes]


class Add(Merge):
    """Y = X1 + X2 + ... A distributor: each input gets the whole gradient dY.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> x = Input(3)
    >>> (x + x + 1).width
    3
    """

    kind = "add"
    verb = "distributed"

    def op(self, number, *widths):
        return {"alpha": 1.0}


class Average(Merge):
    """Y = (X1 + X2 + ...) / n. Each of n inputs gets dY / n.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> x = Input(3)
    >>> Average()(x, x, x).width
    3
    """

    kind = "add"
    verb = "distributed"

    def op(self, number, *widths):
        return {"alpha": 1 / len(widths)}


class Subtract(Merge):
    """Y = X1 - X2. X1 gets dY, X2 gets -dY.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> (Input(3) - Input(1)).width
    3
    """

    kind = "subtract"
    verb = "distributed"
    arity = 2


class Multiply(Merge):
    """Y = X1 X2 ... A switcher: each input gets dY times the product of the others.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> (Input(3) * Input(3)).width
    3
    """

    kind = "multiply"
    verb = "switched"


class Maximum(Merge):
    """Y = max(X1, X2, ...). A router: the largest input gets dY, the others 0; a tie is split evenly.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Maximum()(Input(3), Input(3)).width
    3
    """

    kind = "maximum"
    verb = "routed"


class Minimum(Merge):
    """Y = min(X1, X2, ...). A router: the smallest input gets dY, the others 0; a tie is split evenly.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Minimum()(Input(3), Input(3)).width
    3
    """

    kind = "minimum"
    verb = "routed"


class Concatenate(Merge):
    """Y = the columns of all inputs, one after the other. Each input gets its columns of dY.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Concatenate()(Input(3), Input(4)).width
    7
    """

    kind = "concatenate"
    verb = "split"

    def aligned(self, nodes):
        return list(nodes)

    def output_width(self, *widths):
        return sum(widths)
