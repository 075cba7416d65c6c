"""Embedding: learned vectors for categorical columns, beside numeric ones.

The category indices are columns of an ordinary Input, so one X holds categorical and numeric columns. They are checked
where X is read (`inputs/array_sources.py`). Rejected: an Input of integers, which would split every data set into
two arrays.
"""

from collections.abc import Iterable

import numpy as np

from fastbp import initializers
from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.merge import Slice
from fastbp.layers.node import Input, Node

COUNTED = {"float32": 2**24, "float64": 2**53}  # integers that a dtype represents


class Embedding(Layer):
    """Y = W[X]: looks up a learned vector for each category index in X, as `torch.nn.Embedding` does.

    It is called on an Input or on columns of one, such as `x[:, 2]`, that hold integers 0 ... rows - 1; any other
    value raises when X is passed. Several columns share the table; use one layer per column for separate ones. An
    entry of W that a batch refers to gets the sum of its gradients, all others get 0.

    Parameters
    ----------
    rows : int
        Number of categories.
    width : int
        Length of the vector of each category.
    weights : str, function or array, default="uniform"
        Initial values: the name of an initializer, a function (shape, rng) -> array, or the values.
    decay : float, optional
        Weight decay of W, instead of the optimizer's, as for `Dense`.
    name : str, optional
        Unique in the model; "embedding_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates W.

    Attributes
    ----------
    W, dW : ndarray of shape (rows, width)
        The table and its gradient: live views.

    Raises
    ------
    TypeError
        When called on anything but an Input or columns of one.

    See Also
    --------
    Dense : For numbers in place of categories.
    Parameter : A learned vector, the same in every row.

    Examples
    --------
    >>> from fastbp import Concatenate, Dense, Model
    >>> x = Input(4)  # a weekday, a town, and two measurements
    >>> h = Concatenate()(Embedding(7, 2)(x[:, 0]), Embedding(300, 8)(x[:, 1]), x[:, 2:])
    >>> model = Model(x, Dense(1)(h), seed=0)
    >>> model.predict([[6, 299, 0.5, -1.0]]).shape
    (1, 1)
    """

    kind = "embedding"
    parameters = ("W",)

    def __init__(
        self,
        rows: int,
        width: int,
        *,
        weights: str | initializers.Draw | ArrayLike = "uniform",
        decay: float | None = None,
        name: str | None = None,
        trainable: bool = True,
    ):
        super().__init__(name, trainable)
        self.decays(decay)
        self.rows = checks.positive_int(rows, "rows")
        self.width = checks.positive_int(width, "width")
        self._weights = weights
        self._start = initializers.resolve(weights, "initializer of weights")

    def __call__(self, *nodes: Node) -> Node:
        """The node of the vectors that some columns of an input look up.

        Parameters
        ----------
        *nodes : Node
            An Input, or columns of one.

        Returns
        -------
        Node
            The vectors of the columns, side by side.
        """
        for node in nodes:
            if isinstance(node, Node) and _origin(node) is None:
                raise TypeError(f"{self!r} reads whole numbers from an Input or from columns of one, got {node!r}")
        return super().__call__(*nodes)

    def output_width(self, width):
        return width * self.width

    def shapes(self, width):
        return {"W": (self.rows, self.width)}

    def start(self, rng):
        shape = (self.rows, self.width)
        return {"W": checks.as_parameter(self._start(shape, rng), shape, "the start value of W")}

    def settings(self):
        weights = self._weights if isinstance(self._weights, str) else "uniform"
        return {**super().settings(), "rows": self.rows, "width": self.width, "weights": weights}

    def op(self, number, *widths):
        return {"rows": self.rows}


def tables_of(inputs: Iterable[Input], nodes: Iterable[Node], dtype: np.dtype) -> list[list[tuple[range, int]]]:
    """For each input: which of its columns index an embedding, and how many categories that has."""
    tables: dict[Node, list[tuple[range, int]]] = {source: [] for source in inputs}
    for node in nodes:
        if not isinstance(node.layer, Embedding):
            continue
        rows = node.layer.rows
        if rows > COUNTED[dtype.name]:
            raise ValueError(f"{node.layer!r} has {rows} rows; {dtype} counts to {COUNTED[dtype.name]}")
        source, columns = _origin(node.parents[0])
        tables[source].append((columns, rows))
    return list(tables.values())


def limits_of(tables: Iterable[tuple[range, int]], width: int) -> np.ndarray:
    """The exclusive limit of the integers in each column of an input; 0 for a numeric column.

    Allocated for an actual X, because a file may claim an input of any width.
    """
    limits = np.zeros(width)
    for columns, rows in tables:
        some = limits[columns]
        limits[columns] = np.where((some == 0) | (rows < some), rows, some)
    return limits


def _origin(node):
    """The input whose columns a node selects, and which; None for a node that computes."""
    parts = []
    while not isinstance(node, Input):
        if not isinstance(node.layer, Slice):
            return None
        parts.append(slice(*node.layer.ends.values()))
        (node,) = node.parents
    columns = range(node.width)
    for part in reversed(parts):
        columns = columns[part]
    return node, columns
