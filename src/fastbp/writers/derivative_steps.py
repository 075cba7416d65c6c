"""Networks with derivatives as the writers see them: in kinds of op that every format has.

Slopes of activations are written in other activations and arithmetic, so that a format needs nothing new; derivatives
of these follow by the engine's tangent rules. Rows of W are constants, W' is a dense layer's matrix of its own.
"""

from typing import Any

import numpy as np

from fastbp import _engine
from fastbp.layers.layer import Layer
from fastbp.network.expansion import translated
from fastbp.network.network import Network


class _Part:
    """A part of a derivative in the place of a layer: its name and kind."""

    def __init__(self, name: str, kind: str):
        self.name, self.kind = name, kind

    def describe(self) -> str:
        """The kind."""
        return self.kind

    def __repr__(self):
        return f"<{self.kind} of a derivative, {self.name}>"


class _PlainGraph(_engine.DerivativeGraph):
    """A graph of derivatives without kinds of op that only the engine has."""

    def __init__(self, params: np.ndarray):
        super().__init__()
        self.params = params

    def op(self, kind, parents, width=None, offsets=(), along=False, **settings):
        made = getattr(self, f"_{kind}", None)
        if made is None:
            return super().op(kind, parents, width, offsets, along, **settings)
        return made(list(parents), width, offsets, settings)

    def row(self, values: Any) -> int:
        """The same numbers in every row."""
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
        if len(parents) > 1:
            raise ValueError("derivatives of a prelu have no form in other formats")
        return super().op("prelu", parents, width, offsets, **settings)

    def _reciprocal_root(self, parents, width, offsets, settings):
        return self.op("power", [self.affine(parents[0], 1.0, settings["alpha"])], alpha=-0.5)

    def _slope(self, parents, width, offsets, settings):
        return self.slope(*parents, settings)

    def _jet(self, parents, width, offsets, settings):
        Z, Y = parents[:2]
        _, given, pairs = _engine.parts_of_jet(parents, settings["table"])
        slope = self.slope(Z, Y, settings)
        terms = [] if given is None else [self.times(slope, parents[given])]
        if pairs:
            ones = self.row(np.ones(self.widths[Z]))
            curvature = self.tangent(slope, self.along(Z, ones))
            squares = [self.scaled(self.times(parents[i], parents[j]), float(weight)) for i, j, weight in pairs]
            terms += [] if curvature is None else [self.times(curvature, self.sum(squares))]
        return self.sum(terms)

    def slope(self, Z: int, Y: int, settings: dict) -> int:
        """f'(Z) in other activations and arithmetic."""
        name = settings["activation"]
        if name not in SLOPES:
            raise ValueError(
                f"derivatives of {name} have no form in other formats; those with one: {', '.join(SLOPES)}"
            )
        return SLOPES[name](self, Z, Y, settings.get("alpha", 0.0))


def _gated(graph, Z, s, dw):
    """Of Z s, s a sigmoid of something with the derivative dw: a number."""
    return graph.op("add", [s, graph.affine(graph.times(Z, s, graph.affine(s, -1.0, 1.0)), dw)], alpha=1.0)


def _mish(graph, Z, Y, a):
    t = graph.f("tanh", graph.f("softplus", Z, alpha=1.0))
    moved = graph.times(Z, graph.affine(graph.times(t, t), -1.0, 1.0), graph.f("sigmoid", Z))
    return graph.op("add", [t, moved], alpha=1.0)


# The slope of each activation: (graph, Z, Y, alpha) -> tensor.
SLOPES = {
    "tanh": lambda g, Z, Y, a: g.affine(g.times(Y, Y), -1.0, 1.0),
    "sigmoid": lambda g, Z, Y, a: g.times(Y, g.affine(Y, -1.0, 1.0)),
    "log_sigmoid": lambda g, Z, Y, a: g.f("sigmoid", g.affine(Z, -1.0)),
    "exp": lambda g, Z, Y, a: Y,
    "sin": lambda g, Z, Y, a: g.f("cos", Z),
    "cos": lambda g, Z, Y, a: g.affine(g.f("sin", Z), -1.0),
    "square": lambda g, Z, Y, a: g.affine(Z, 2.0),
    "softplus": lambda g, Z, Y, a: g.f("sigmoid", g.affine(Z, a)),
    "squareplus": lambda g, Z, Y, a: g.affine(
        g.times(Z, g.op("power", [g.affine(g.times(Z, Z), 1.0, a)], alpha=-0.5)), 0.5, 0.5
    ),
    "gaussian": lambda g, Z, Y, a: g.affine(g.times(Z, Y), -2.0),
    "tanh_shrink": lambda g, Z, Y, a: g.op("power", [g.f("tanh", Z)], alpha=2.0),
    "silu": lambda g, Z, Y, a: _gated(g, Z, g.f("sigmoid", Z), 1.0),
    "quick_gelu": lambda g, Z, Y, a: _gated(g, Z, g.f("sigmoid", g.affine(Z, 1.702)), 1.702),
    "mish": _mish,
}


def plain_ops(net: Network) -> tuple[list[tuple], list[int], list[int]]:
    """(tensor, name, kind, parents, width, layer, settings, arrays) of each step; the tensors of inputs and outputs."""
    graph = _PlainGraph(net.params)
    offsets = {part.start: name for name, (part, _) in net.slices.items()}

    def offsets_of(layer: Layer) -> tuple:
        slices = [net.slices.get(f"{layer.name}.{name}") for name in layer.parameters]
        return tuple(-1 if entry is None else entry[0].start for entry in slices)

    tensors, _ = translated(graph, net.nodes, offsets_of)
    numbers = {node: k for k, node in enumerate(net.nodes)}
    named = dict(zip(reversed(tensors), reversed(net.nodes), strict=True))
    inputs, outputs = ([tensors[numbers[node]] for node in nodes] for nodes in (net.inputs, net.outputs))
    found: list[tuple] = [(t, named[t].name, "input", (), graph.widths[t], None, {}, {}) for t in inputs]
    layers = {layer.name: layer for layer in net.layers}
    for kind, parents, made, places, settings in _engine.needed(graph.ops, outputs):
        node = named.get(made)
        name = f"derivatives_{made}" if node is None else node.name
        full = next((offsets[place] for place in places if place in offsets), None)
        layer: Any = layers[full.partition(".")[0]] if full else _Part(name, kind)
        arrays = {}
        for parameter, place in zip(layer.parameters if full else (), places, strict=False):
            if place >= 0:
                arrays[parameter] = layer.views[parameter]
        if kind in ("transposed", "scatter"):
            arrays = {"W": _matrix(graph, kind, parents, made, settings, arrays)}
            layer, kind, settings = _Part(name, kind), "dense", {"activation": "linear"}
        found.append((made, name, kind, parents, graph.widths[made], layer, settings, arrays))
    return found, inputs, outputs


def _matrix(graph, kind, parents, made, settings, arrays):
    """What a transposed product, or a move of columns, multiplies by."""
    if kind == "transposed":
        return np.ascontiguousarray(arrays["W"].T)
    size, width = graph.widths[parents[0]], graph.widths[made]
    matrix = np.zeros((size, width), graph.params.dtype)
    matrix[np.arange(size), settings["first"] + settings["step"] * np.arange(size)] = 1
    return matrix
