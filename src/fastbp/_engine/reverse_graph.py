"""Reverse mode as ops: the backward pass of one output of width 1, whose results are tensors like any other.

A gradient rule for each op gives what the op sends to its parents for the gradient G of its output. The rules use only
ops with tangent rules, so a gradient can be differentiated again: forces, Hessians by forward over reverse.
"""

from collections.abc import Callable

from fastbp._engine import derivative_rules as rules
from fastbp._engine.tables import ACTIVATIONS
from fastbp._engine.tangent_graph import BY_ROWS

GRADIENT_RULES: dict[str, Callable] = {}


class NoGradientRule(Exception):
    """An op, or an activation that works by rows, has no gradient rule; the argument is its name."""


def gradient_rule(kind):
    """Registers the gradient rule of a kind of op."""

    def register(function):
        GRADIENT_RULES[kind] = function
        return function

    return register


def gradient_of_tensor(graph, t, start):
    """The gradient of tensor t, of width 1, by tensor `start`; None for 0."""
    depends = _between(graph, t, start)
    gradients = {t: [graph.unit(1, 0)]}
    for k in reversed(depends):
        kind, parents, made, offsets, settings = graph.ops[k]
        G = graph.sum(gradients.pop(made, []))
        if G is None:
            continue
        if kind not in GRADIENT_RULES:
            raise NoGradientRule(kind)
        sent = GRADIENT_RULES[kind](graph, list(parents), made, G, offsets, settings)
        for parent, share in zip(parents, sent, strict=True):
            if share is not None:
                gradients.setdefault(parent, []).append(share)
    return graph.sum(gradients.get(start, []))


def _between(graph, t, start):
    """The ops on the paths from `start` to t."""
    reached, found = {start}, []
    for k in graph.before(t, lambda each: each == start):
        if not reached.isdisjoint(graph.ops[k][1]):
            reached.add(graph.ops[k][2])
            found.append(k)
    return found


def without_rule(graph, t, start):
    """The first kind of op between two tensors that has no gradient rule, or None."""
    kinds = (graph.ops[k][0] for k in _between(graph, t, start))
    return next((kind for kind in kinds if kind not in GRADIENT_RULES), None)


def products_between(graph, t, start):
    """Multiplications of a row in the dense layers between two tensors: all, and without layers that read `start`."""
    total = inner = 0
    for k in _between(graph, t, start):
        kind, parents, made, _, _ = graph.ops[k]
        if kind in ("dense", "transposed"):
            size = graph.widths[parents[0]] * graph.widths[made]
            total += size
            inner += size if parents[0] != start else 0
    return total, inner


@gradient_rule("dense")
def _dense(graph, xs, Y, G, offsets, settings):
    width, units = graph.widths[xs[0]], graph.widths[Y]
    return [graph.op("transposed", [G], width, (offsets[0], -1), rows=width, columns=units)]


@gradient_rule("transposed")
def _transposed(graph, xs, Y, G, offsets, settings):
    return [graph.op("dense", [G], graph.widths[xs[0]], (offsets[0], -1))]


@gradient_rule("activation")
def _activation(graph, xs, Y, G, offsets, settings):
    name = settings["activation"]
    if name == "log_softmax":
        shares = graph.op("activation", xs, activation="softmax")
        total = graph.op("broadcast", [graph.op("sum", [G], 1, alpha=1.0)], graph.widths[Y])
        return [graph.op("subtract", [G, graph.op("multiply", [shares, total])])]
    if ACTIVATIONS[name].by_rows:
        if name not in BY_ROWS:
            raise NoGradientRule(name)
        return [BY_ROWS[name](graph, xs[0], Y, G)]  # its Jacobian is symmetric
    return [graph.pushed(xs[0], Y, G, settings)]


@gradient_rule("slope")
def _slope(graph, xs, Y, G, offsets, settings):
    above = rules.slope(graph, *xs, settings, settings.get("step", 1) + 1)
    return [None if above is None else graph.op("multiply", [above, G]), None]


@gradient_rule("jet")
def _jet(graph, xs, Y, G, offsets, settings):
    Z, V = xs[:2]
    kind, given, pairs = rules.parts_of_jet(xs, settings["table"])
    sent = {u: [] for u in range(len(xs))}
    above = rules.slope(graph, Z, V, settings, 2)
    if given is not None:
        sent[given].append(rules.first(graph, Z, V, G, settings))
        if above is not None:
            sent[0].append(graph.op("multiply", [above, xs[given], G]))
    if kind == rules.SECOND:
        third = rules.slope(graph, Z, V, settings, 3)
        for i, j, weight in pairs:
            for u, v in ((i, j), (j, i)):
                sent[u].append(graph.scaled(graph.op("multiply", [above, xs[v], G]), float(weight)))
            sent[0].append(graph.scaled(graph.op("multiply", [third, xs[i], xs[j], G]), float(weight)))
    return [graph.sum(shares) for shares in sent.values()]


@gradient_rule("prelu")
def _prelu(graph, xs, Y, G, offsets, settings):
    return [*[None] * (len(xs) - 1), graph.op("prelu", [xs[0], G], None, offsets, **settings)]


@gradient_rule("affine")
def _affine(graph, xs, Y, G, offsets, settings):
    return [graph.scaled(G, settings["alpha"])]


@gradient_rule("add")
def _add(graph, xs, Y, G, offsets, settings):
    return [graph.scaled(G, settings["alpha"])] * len(xs)


@gradient_rule("subtract")
def _subtract(graph, xs, Y, G, offsets, settings):
    return [G, graph.scaled(G, -1.0)]


@gradient_rule("multiply")
def _multiply(graph, xs, Y, G, offsets, settings):
    return [graph.op("multiply", [*xs[:u], G, *xs[u + 1 :]]) for u in range(len(xs))]


@gradient_rule("divide")
def _divide(graph, xs, Y, G, offsets, settings):
    share = graph.op("divide", [G, xs[1]])
    return [share, graph.scaled(graph.op("multiply", [Y, share]), -1.0)]


@gradient_rule("power")
def _power(graph, xs, Y, G, offsets, settings):
    exponent = settings["alpha"]
    if exponent == 0:
        return [None]
    slope = graph.op("power", xs, alpha=exponent - 1)
    return [graph.scaled(graph.op("multiply", [slope, G]), exponent)]


@gradient_rule("log")
def _log(graph, xs, Y, G, offsets, settings):
    return [graph.op("divide", [G, xs[0]])]


def _extreme(kind):
    @gradient_rule(kind)
    def route(graph, xs, Y, G, offsets, settings):
        winners = (graph.op("winner", [*xs, Y], first=u) for u in range(len(xs)))
        return [graph.op("multiply", [winner, G]) for winner in winners]


_extreme("maximum")
_extreme("minimum")


@gradient_rule("winner")
def _winner(graph, xs, Y, G, offsets, settings):
    return [None] * len(xs)


@gradient_rule("concatenate")
def _concatenate(graph, xs, Y, G, offsets, settings):
    starts = [sum(graph.widths[x] for x in xs[:u]) for u in range(len(xs))]
    return [graph.op("slice", [G], graph.widths[x], first=at, step=1) for x, at in zip(xs, starts, strict=True)]


@gradient_rule("slice")
def _slice(graph, xs, Y, G, offsets, settings):
    return [graph.op("scatter", [G], graph.widths[xs[0]], **settings)]


@gradient_rule("scatter")
def _scatter(graph, xs, Y, G, offsets, settings):
    return [graph.op("slice", [G], graph.widths[xs[0]], **settings)]


@gradient_rule("broadcast")
def _broadcast(graph, xs, Y, G, offsets, settings):
    return [graph.op("sum", [G], 1, alpha=1.0)]


@gradient_rule("sum")
def _sum(graph, xs, Y, G, offsets, settings):
    return [graph.op("broadcast", [graph.scaled(G, settings["alpha"])], graph.widths[xs[0]])]


@gradient_rule("reciprocal_root")
def _reciprocal_root(graph, xs, Y, G, offsets, settings):
    return [graph.scaled(graph.op("multiply", [Y, Y, Y, G]), -0.5)]


@gradient_rule("scale")
def _scale(graph, xs, Y, G, offsets, settings):
    return [graph.op("scale", [G], None, (offsets[0], -1), **settings)]


@gradient_rule("batch_norm")
def _batch_norm(graph, xs, Y, G, offsets, settings):
    return [graph.op("batch_norm", [G], None, offsets, **{**settings, "first": 1})]


@gradient_rule("interleave")
def _interleave(graph, xs, Y, G, offsets, settings):
    return [graph.op("slice", [G], graph.widths[x], first=i, step=len(xs)) for i, x in enumerate(xs)]


@gradient_rule("log_det")
def _log_det(graph, xs, Y, G, offsets, settings):
    size = len(xs) ** 2
    inverse = graph.op("inverse", xs, size)
    return _columns(graph, graph.op("multiply", [inverse, graph.op("broadcast", [G], size)]), len(xs))


def _columns(graph, matrix, size):
    return [graph.op("slice", [matrix], size, first=i, step=size) for i in range(size)]


def _turned(graph, matrix, size):
    rows = [graph.op("slice", [matrix], size, first=o * size, step=1) for o in range(size)]
    return graph.op("interleave", rows, size * size)


def _product(graph, A, B, size, turn=False):
    return graph.op("square_product", [A, B], size * size, first=size, step=2 if turn else 1)


@gradient_rule("inverse")
def _inverse(graph, xs, Y, G, offsets, settings):
    """-Y G' Y, where Y is the inverse's transpose."""
    size = len(xs)
    shares = _product(graph, _product(graph, Y, G, size, turn=True), Y, size)
    return _columns(graph, graph.scaled(shares, -1.0), size)


@gradient_rule("square_product")
def _square_product(graph, xs, Y, G, offsets, settings):
    """Of A B: G B' and A' G; of A B': G B and G' A."""
    (A, B), size, turn = xs, settings["first"], settings["step"] == 2
    left, right = (G, A) if turn else (A, G)
    return [_product(graph, G, B, size, not turn), _product(graph, _turned(graph, left, size), right, size)]
