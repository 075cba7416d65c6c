"""Derivatives as nodes: of any node by an input, exact, and used in losses like any other node.

A layer here is a description: which derivative, by which columns of the input, in which mode. The ops of all
derivatives are created together with the model (`_engine/derivative_graph.py`), so that common subexpressions are
computed once. They share the parameters of the layers that they differentiate. Rejected: public nodes for each op,
some dozens for each derivative, which no summary could show.
"""

from typing import ClassVar

import numpy as np

from fastbp import _engine
from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Node

MOST_SQUARE = 64  # columns of the Jacobian of `logdet`: kernels/ops/derivatives.pxi


class Derivative(Layer):
    """Base of the derivatives: called on a node and the input to differentiate it by."""

    kind = "derivative"
    arity: ClassVar[int | None] = 2
    order: ClassVar[int] = 1
    modes: ClassVar[tuple[str, ...]] = ("auto", "forward")
    verb = "differentiated"

    def __init__(self, columns: list[int] | None = None, mode: str = "auto", *, name: str | None = None):
        super().__init__(name)
        self.columns = None if columns is None else [checks.integer(column, "a column") for column in columns]
        self.mode = checks.one_of(mode, "mode", self.modes)

    def settings(self):
        return {"name": self.name, "columns": self.columns, "mode": self.mode}

    def columns_in(self, width: int) -> list[int]:
        """The columns to differentiate by, of an input of this width."""
        return list(range(width)) if self.columns is None else self.columns

    def by(self, source: Node) -> str:
        """The input or columns that it differentiates by, in words."""
        if self.columns is None:
            return str(source.name)
        return f"column{'s' * (len(self.columns) > 1)} {', '.join(map(str, self.columns))} of {source.name}"

    def expanded(self, graph: "_engine.DerivativeGraph", u: int, x: int, *more: int) -> int:
        """The tensor of the derivative, made in a graph of the engine."""
        raise NotImplementedError

    def describe(self):
        many = "" if self.columns is None or len(self.columns) == 1 else "s"
        columns = "" if self.columns is None else f" by column{many} {', '.join(map(str, self.columns))}"
        return f"{type(self).__name__}{columns}"


class Diff(Derivative):
    """The derivative by one column; `fb.diff` creates it."""

    def output_width(self, width, *others):
        return width

    def expanded(self, graph, u, x, *more):
        (column,) = self.columns_in(graph.widths[x])
        return graph.or_zero(graph.tangent(u, graph.column(x, column)), graph.widths[u])


class Jacobian(Derivative):
    """All first derivatives, by rows: column o * inputs + i is d u_o / d x_i; `fb.jac` and `fb.grad` create it."""

    modes = ("auto", "forward", "reverse")

    def output_width(self, width, inputs):
        return width * len(self.columns_in(inputs))

    def expanded(self, graph, u, x, *more):
        columns = self.columns_in(graph.widths[x])
        rows = graph.widths[u]
        if len(columns) > 1 and _reverse(self.mode, graph, u, x, len(columns), rows):
            return _joined(graph, [_gradient(graph, part, x, columns) for part in _parts(graph, u)])
        return _by_rows(graph, [graph.tangent(u, graph.column(x, c)) for c in columns], rows)


class Gradient(Jacobian):
    """The gradient of a node of width 1; `fb.grad` creates it."""


class Laplacian(Derivative):
    """The sum of the second derivatives by all columns; `fb.laplacian` creates it."""

    order = 2
    modes = ("auto", "forward", "nested")

    def output_width(self, width, inputs):
        return width

    def expanded(self, graph, u, x, *more):
        directions = [graph.column(x, c) for c in self.columns_in(graph.widths[x])]
        if self.mode == "nested":
            firsts = [(graph.tangent(u, d), d) for d in directions]
            total = graph.sum([None if T is None else graph.tangent(T, d) for T, d in firsts])
        else:
            total = graph.laplacian(u, directions)
        return graph.or_zero(total, graph.widths[u])


class Hessian(Derivative):
    """All second derivatives: column (o * inputs + i) * inputs + j is d2 u_o / dx_i dx_j; `fb.hess` creates it."""

    order = 2
    modes = ("auto", "forward", "reverse")

    def output_width(self, width, inputs):
        return width * len(self.columns_in(inputs)) ** 2

    def expanded(self, graph, u, x, *more):
        columns = self.columns_in(graph.widths[x])
        directions = [graph.column(x, c) for c in columns]
        if len(columns) > 1 and _reverse(self.mode, graph, u, x, len(columns), graph.widths[u]):
            parts = []
            for part in _parts(graph, u):
                G = _gradient(graph, part, x, columns)
                parts += [graph.or_zero(graph.tangent(G, d), len(columns)) for d in directions]
            return _joined(graph, parts)
        firsts = [graph.tangent(u, d) for d in directions]
        seconds: dict = {}
        for i, T in enumerate(firsts):
            for j in range(i + 1):
                seconds[i, j] = seconds[j, i] = None if T is None else graph.tangent(T, directions[j])
        every = [seconds[i, j] for i in range(len(columns)) for j in range(len(columns))]
        return _by_rows(graph, every, graph.widths[u])


class LogDet(Derivative):
    """Log |det| of the square Jacobian; `fb.logdet` creates it."""

    def output_width(self, width, inputs):
        size = len(self.columns_in(inputs))
        if size != width:
            raise ValueError(f"a determinant wants a square Jacobian, got {width} outputs by {size} columns")
        if size > MOST_SQUARE:
            raise ValueError(f"a determinant wants at most {MOST_SQUARE} columns, got {size}")
        return 1

    def expanded(self, graph, u, x, *more):
        tangents = [graph.tangent(u, graph.column(x, c)) for c in self.columns_in(graph.widths[x])]
        return graph.op("log_det", [graph.or_zero(T, graph.widths[u]) for T in tangents], 1)


class Directional(Derivative):
    """The Jacobian times a direction, a node or constant numbers; `fb.directional` creates it."""

    arity = None

    def __init__(
        self,
        columns: list[int] | None = None,
        mode: str = "auto",
        along: ArrayLike | None = None,
        *,
        name: str | None = None,
    ):
        super().__init__(columns, mode, name=name)
        self.along = None if along is None else [float(value) for value in np.asarray(along).reshape(-1)]

    def output_width(self, width, *others):
        return width

    def settings(self):
        return {**super().settings(), "along": self.along}

    def expanded(self, graph, u, x, *more):
        width = graph.widths[x]
        columns = self.columns_in(width)
        if more:
            V = more[0] if len(columns) == width else _spread(graph, more[0], columns, width)
        else:
            V = graph.sum([graph.unit(width, c, value) for c, value in zip(columns, self.along, strict=True)])
        return graph.or_zero(graph.tangent(u, graph.along(x, V)), graph.widths[u])


def _reverse(mode, graph, u, x, columns, rows):
    """Whether a Jacobian takes a backward pass for each row instead of a tangent for each column.

    The cost is counted in matrix products: a tangent takes all except those of the first layers, which only copy rows
    of W; a backward pass takes all.
    """
    if mode == "forward":
        return False
    missing = _engine.without_rule(graph, u, x)
    if mode == "reverse" and missing is not None:
        raise ValueError(f'mode="reverse" does not go through {missing!r}, which has no gradient rule: take "forward"')
    if mode == "reverse" or missing is not None:
        return mode == "reverse"
    total, inner = _engine.products_between(graph, u, x)
    return rows * total < columns * inner


def _parts(graph, u):
    width = graph.widths[u]
    return [u] if width == 1 else [graph.op("slice", [u], 1, first=k, step=1) for k in range(width)]


def _gradient(graph, part, x, columns):
    width = graph.widths[x]
    G = graph.or_zero(_engine.gradient_of_tensor(graph, part, x), width)
    if columns == list(range(width)):
        return G
    return _joined(graph, [graph.op("slice", [G], 1, first=c, step=1) for c in columns])


def _joined(graph, parts):
    return parts[0] if len(parts) == 1 else graph.op("concatenate", parts, sum(graph.widths[t] for t in parts))


def _by_rows(graph, tangents, rows):
    tangents = [graph.or_zero(T, rows) for T in tangents]
    if len(tangents) == 1:
        return tangents[0]
    return graph.op("concatenate" if rows == 1 else "interleave", tangents, rows * len(tangents))


def _spread(graph, V, columns, width):
    parts = [graph.op("slice", [V], 1, first=k, step=1) for k in range(len(columns))]
    return graph.sum(
        [graph.op("scatter", [part], width, first=c, step=1) for part, c in zip(parts, columns, strict=True)]
    )
