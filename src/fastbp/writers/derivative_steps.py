"""Networks with derivatives for the writers: expressed in the kinds of op that a format has.

Slopes of activations are written in other activations, arithmetic and step functions; derivatives of these follow by
the engine's tangent rules. If a format's ops cannot share a layer's parameters, rows of W become constants and W' the
matrix of another dense layer; if it has no determinant, one is written by minors.
"""

from collections.abc import Collection
from itertools import combinations
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp.network.expansion import translated
from fastbp.network.network import Network
from fastbp.network.structure import offsets_in
from fastbp.writers.activation_formats import FORMATS


class Part:
    """Stands for the layer of a step that is a part of a derivative: its name and kind."""

    def __init__(self, name: str, kind: str):
        self.name, self.kind = name, kind

    def describe(self) -> str:
        """The kind."""
        return self.kind

    def __repr__(self):
        return f"<{self.kind} of a derivative, {self.name}>"


OWN = {"weight_row", "transposed", "scale", "scatter", "interleave", "log_det", "inverse", "square_product"}
MOST_MINORS = 6  # columns of a determinant by minors: n columns have 2**n minors


class _PlainGraph(_engine.DerivativeGraph):
    """A graph of derivatives that has only the `kinds` of op of a format."""

    def __init__(self, params: np.ndarray, kinds: Collection[str]):
        super().__init__()
        self.params = params
        self.own = OWN.intersection(kinds)

    def op(self, kind, parents, width=None, offsets=(), along=False, **settings):
        made = None if kind in self.own else getattr(self, f"_{kind}", None)
        if made is None:
            return super().op(kind, parents, width, offsets, along, **settings)
        return made(list(parents), width, offsets, settings)

    def row(self, values: Any) -> int:
        """A constant with the same numbers in every row."""
        numbers = [float(value) for value in values]
        return super().op("constant", [], len(numbers), values=numbers)

    def times(self, *parents: int) -> int:
        """The product of tensors."""
        return self.op("multiply", parents)

    def affine(self, t: int, scale: float, shift: float = 0.0) -> int:
        """Scale t + shift."""
        return self.op("affine", [t], alpha=float(scale), beta=float(shift))

    def f(self, name: str, t: int, **parameters: float) -> int:
        """An activation of a tensor."""
        return self.op("activation", [t], activation=name, **parameters)

    def _unit(self, parents, width, offsets, settings):
        return self.row(np.where(np.arange(width) == settings["first"], settings["alpha"], 0.0))

    def _weight_row(self, parents, width, offsets, settings):
        start = offsets[0] + settings["first"] * width
        return self.row(settings["alpha"] * self.params[start : start + width].astype(np.float64))

    def _scale(self, parents, width, offsets, settings):
        size = self.widths[parents[0]]
        made = self.times(parents[0], self.row(self.params[offsets[0] : offsets[0] + size]))
        if offsets[1] < 0:
            return made
        return self.op("add", [made, self.row(self.params[offsets[1] : offsets[1] + size])], alpha=1.0)

    def _batch_norm(self, parents, width, offsets, settings):
        size = self.widths[parents[0]]
        mean, variance = (self.params[at : at + size].astype(np.float64) for at in offsets[2:])
        scale = 1 / np.sqrt(variance + settings["alpha"])
        made = self.times(parents[0], self.row(scale))
        return made if settings.get("first") else self.op("add", [made, self.row(-mean * scale)], alpha=1.0)

    def _interleave(self, parents, width, offsets, settings):
        rows = range(self.widths[parents[0]])
        parts = [self.op("slice", [t], 1, first=o, step=1) for o in rows for t in parents]
        return self.op("concatenate", parts, width)

    def _prelu(self, parents, width, offsets, settings):
        if len(parents) == 1 or "weight_row" in self.own:
            return super().op("prelu", parents, width, offsets, **settings)
        Z, T = parents  # Z chooses the slope
        size = settings.get("columns", 1)
        alpha = np.broadcast_to(self.params[offsets[0] : offsets[0] + size], self.widths[Z])
        below = self.times(self.affine(self.above(Z), -1.0, 1.0), self.row(alpha))
        return self.times(T, self.op("add", [self.above(Z), below], alpha=1.0))

    def _winner(self, parents, width, offsets, settings):
        *xs, Y = parents
        equal = [self.affine(self.above(self.f("abs", self.op("subtract", [x, Y]))), -1.0, 1.0) for x in xs]
        return self.op("divide", [equal[settings["first"]], self.sum(equal)])

    def _log_det(self, parents, width, offsets, settings):
        size = len(parents)
        if size > MOST_MINORS:
            raise ValueError(f"a logdet of {size} columns has no form in this format, which has at most {MOST_MINORS}")
        entries = [[self.op("slice", [t], 1, first=o, step=1) for t in parents] for o in range(size)]
        minors = {(i,): entries[0][i] for i in range(size)}  # of the first rows, by columns
        for o in range(1, size):
            minors = {
                columns: self.sum([
                    self.scaled(self.times(entries[o][i], minors[columns[:k] + columns[k + 1 :]]), (-1.0) ** (o + k))
                    for k, i in enumerate(columns)
                ])
                for columns in combinations(range(size), o + 1)
            }  # fmt: skip
        return self.op("log", [self.f("abs", minors[tuple(range(size))])])

    def _reciprocal_root(self, parents, width, offsets, settings):
        return self.op("power", [self.affine(parents[0], 1.0, settings["alpha"])], alpha=-0.5)

    def _slope(self, parents, width, offsets, settings):
        made, Z = self.slope(*parents, settings), parents[0]
        if settings.get("step", 1) == 2 and settings["activation"] == "gelu":
            phi = self.affine(self.f("gaussian", self.affine(Z, np.sqrt(0.5))), 1 / np.sqrt(2 * np.pi))
            return self.times(self.affine(self.times(Z, Z), -1.0, 2.0), phi)
        for _ in range(settings.get("step", 1) - 1):
            made = self.or_zero(self.tangent(made, self.along(Z, self.ones(Z))), self.widths[Z])
        return made

    def ones(self, t: int) -> int:
        """A row of ones, as wide as a tensor."""
        return self.row(np.ones(self.widths[t]))

    def above(self, t: int, edge: float = 0.0) -> int:
        """1 where a tensor is above the edge, else 0: the slope of a threshold."""
        return self.own_slope("threshold", t, t, alpha=float(edge))

    def own_slope(self, name: str, Z: int, Y: int, **parameters: float) -> int:
        """f'(Z) as a separate op, for which each format has an entry: `slope_threshold`, `slope_gelu`."""
        return super().op("slope", [Z, Y], activation=name, **parameters)

    def within(self, t: int, low: float, high: float) -> int:
        """1 where low < t <= high, else 0."""
        return self.op("subtract", [self.above(t, low), self.above(t, high)])

    def below(self, t: int, slope: int) -> int:
        """1 where t > 0, else `slope`."""
        above = self.above(t)
        return self.op("add", [above, self.times(self.affine(above, -1.0, 1.0), slope)], alpha=1.0)

    def decay(self, t: int, scale: float, slope: float) -> int:
        """Slope exp(t / scale) where t <= 0."""
        low = self.times(t, self.affine(self.above(t), -1.0, 1.0))
        return self.affine(self.f("exp", self.affine(low, 1 / scale)), slope)

    def _jet(self, parents, width, offsets, settings):
        Z, Y = parents[:2]
        _, given, pairs = _engine.parts_of_jet(parents, settings["table"])
        slope = self.slope(Z, Y, settings)
        terms = [] if given is None else [self.times(slope, parents[given])]
        if pairs:
            curvature = self.tangent(slope, self.along(Z, self.ones(Z)))
            squares = [self.scaled(self.times(parents[i], parents[j]), float(weight)) for i, j, weight in pairs]
            terms += [] if curvature is None else [self.times(curvature, self.sum(squares))]
        return self.sum(terms)

    def slope(self, Z: int, Y: int, settings: dict) -> int:
        """f'(Z), in other activations and arithmetic."""
        name = settings["activation"]
        formula = FORMATS[name].slope
        if formula is None:
            known = ", ".join(name for name, formats in FORMATS.items() if formats.slope)
            raise ValueError(f"derivatives of {name} have no form in other formats; those with one: {known}")
        return formula(self, Z, Y, settings.get("alpha", 0.0), settings.get("beta", 0.0))


def plain_ops(net: Network, kinds: Collection[str]) -> tuple[list[tuple], list[int], list[int]]:
    """(tensor, name, kind, parents, width, layer, settings, arrays) of each step; the tensors of inputs and outputs."""
    graph = _PlainGraph(net.params, kinds)
    offsets = {part.start: name for name, (part, _) in net.slices.items()}

    places_of = {layer: offsets_in(net.slices, layer, str(layer.name)) for layer in net.layers}
    tensors, _ = translated(graph, net.nodes, places_of)
    numbers = {node: k for k, node in enumerate(net.nodes)}
    named = dict(zip(reversed(tensors), reversed(net.nodes), strict=True))
    inputs, outputs = ([tensors[numbers[node]] for node in nodes] for nodes in (net.inputs, net.outputs))
    found: list[tuple] = [(t, named[t].name, "input", (), graph.widths[t], None, {}, {}) for t in inputs]
    layers = {layer.name: layer for layer in net.layers}
    for kind, parents, made, places, settings in _engine.needed(graph.ops, outputs):
        node = named.get(made)
        name = f"derivatives_{made}" if node is None else node.name
        full = next((offsets[place] for place in places if place in offsets), None)
        layer: Any = layers[full.partition(".")[0]] if full else Part(name, kind)
        arrays = {}
        for parameter, place in zip(layer.parameters if full else (), places, strict=False):
            if place >= 0:
                arrays[parameter] = layer.views[parameter]
        if kind == "slope":
            kind, settings = f"slope_{settings['activation']}", {"alpha": settings.get("alpha", 0.0)}
        if kind == "scatter":
            settings = {**settings, "size": graph.widths[parents[0]]}
        if kind in ("transposed", "scatter") and kind not in kinds:
            arrays = {"W": _matrix(graph, kind, parents, made, settings, arrays)}
            layer, kind, settings = Part(name, kind), "dense", {"activation": "linear"}
        found.append((made, name, kind, parents, graph.widths[made], layer, settings, arrays))
    return found, inputs, outputs


def _matrix(graph, kind, parents, made, settings, arrays):
    """The matrix by which a transposed product, or a scatter of columns, multiplies."""
    if kind == "transposed":
        return np.ascontiguousarray(arrays["W"].T)
    size, width = graph.widths[parents[0]], graph.widths[made]
    matrix = np.zeros((size, width), graph.params.dtype)
    matrix[np.arange(size), settings["first"] + settings["step"] * np.arange(size)] = 1
    return matrix
