"""Gates: layers that merge, select or rescale nodes.

`h + g`, `h * g`, `fb.maximum(h, g)` create the same nodes as `Add()(h, g)` and so on (`operators.py`). A node of
width 1 goes through a Broadcast node first, so a gate handles inputs of one width only. The docstring of a gate says
how it passes the gradient on.
"""

from typing import ClassVar

import numpy as np

from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Node


class Broadcast(Layer):
    """Repeats one column: Y[n, j] = X[n, 0]. Its gradient is the sum of the gradients of the copies.

    Parameters
    ----------
    width : int
        Number of columns.
    name : str, optional
        Unique in the model; "broadcast_1" and so on if not given.

    See Also
    --------
    Concatenate : Different nodes side by side.

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
    """Y = value in every row, independent of the inputs. It is called without nodes.

    Parameters
    ----------
    value : float or array of shape (width,)
        The value of every entry of Y, or one for each column.
    width : int, optional
        Number of columns: 1 for a number, and the length of an array, if not given.
    name : str, optional
        Unique in the model; "constant_1" and so on if not given.

    See Also
    --------
    Parameter : Values that are learned.
    Input : Values that are passed in.

    Examples
    --------
    >>> Constant(0.5, 3)().width, Constant([1.0, 2.0])().width
    (3, 2)
    """

    kind = "constant"
    arity = 0

    def __init__(self, value: ArrayLike, width: int | None = None, *, name: str | None = None):
        super().__init__(name)
        values = checks.as_numbers(value, "value")
        size = 1 if values.ndim == 0 else values.size
        self.width = size if width is None else checks.positive_int(width, "width")
        self.value: float | list[float]
        if values.ndim == 0:
            self.value = checks.in_range(value.item() if isinstance(value, np.ndarray) else value, "value")
        else:
            self.value = checks.as_parameter(values, (self.width,), "value").tolist()

    def output_width(self):
        return self.width

    def settings(self):
        return {"name": self.name, "value": self.value, "width": self.width}

    def op(self, number, *widths):
        return {"values": self.value} if isinstance(self.value, list) else {"alpha": self.value}


class Rescaling(Layer):
    """Y = scale X + offset with constants that are not trained; `2 * h - 1` creates it.

    Parameters
    ----------
    scale : float
        Factor of X.
    offset : float, default=0.0
        Added to the product.
    name : str, optional
        Unique in the model; "rescaling_1" and so on if not given.

    See Also
    --------
    Dense : With learned weights.
    BatchNorm : To the scale of the data.

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
    """Selects columns: Y = X[:, start:stop:step]; `x[:, 2:5]` creates it.

    Parameters
    ----------
    start, stop, step : int, optional
        As in a Python slice; negative numbers count from the end, and an end not given is open.
    name : str, optional
        Unique in the model; "slice_1" and so on if not given.

    Raises
    ------
    ValueError
        If `step` is 0.

    See Also
    --------
    Concatenate : Nodes side by side.

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

    def columns_of(self, width: int) -> range:
        """The columns that it takes of a node of this width."""
        return range(*slice(*self.ends.values()).indices(width))

    def output_width(self, width):
        columns = self.columns_of(width)
        if not columns:
            raise ValueError(f"{self.describe()} takes no column of a node of width {width}")
        return len(columns)

    def settings(self):
        return {"name": self.name, **self.ends}

    def op(self, number, *widths):
        return {"first": self.columns_of(*widths)[0], "step": self.ends["step"] or 1}

    def describe(self):
        start, stop, step = ("" if end is None else str(end) for end in self.ends.values())
        return f"Slice {start}:{stop}{f':{step}' if step else ''}"


class Merge(Layer):
    """Base of the gates: called on two or more nodes, of one width or of width 1."""

    arity: ClassVar[int | None] = None

    def __call__(self, *nodes: Node) -> Node:
        """Apply the gate to nodes, given one by one or in a list.

        Parameters
        ----------
        *nodes : Node
            Nodes of one width; those of width 1 are broadcast.

        Returns
        -------
        Node
            The output of the gate.

        Raises
        ------
        ValueError
            If the number or the widths of the nodes do not fit.
        """
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

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Average : The sum divided by the number of nodes.
    Subtract : The difference of two nodes.
    Sum : Over the columns of one node.

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

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Add : The sum.
    Mean : Over the columns of one node.

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

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Add : The sum.

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

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Divide : The quotient.
    Rescaling : By a constant.
    Power : A power of one node.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> (Input(3) * Input(3)).width
    3
    """

    kind = "multiply"
    verb = "switched"


class Divide(Merge):
    """Y = X1 / X2, by IEEE arithmetic where X2 is 0. X1 gets dY / X2, X2 gets -dY Y / X2.

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Multiply : The product.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> (Input(3) / Input(3)).width, (1 / Input(3)).width
    (3, 3)
    """

    kind = "divide"
    verb = "switched"
    arity = 2


class Maximum(Merge):
    """Y = max(X1, X2, ...). A router: the largest input gets dY, the others 0; a tie is split evenly.

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Minimum : The smallest.
    maximum : The same as a function, also of numbers.

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

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Maximum : The largest.
    minimum : The same as a function, also of numbers.

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

    Parameters
    ----------
    name, trainable : str, bool, optional
        As for `Dense`.

    See Also
    --------
    Slice : Columns of a node.
    Add : The sum of nodes.

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
