"""Tangent rules of the ops that derivatives introduce: with them derivatives can be differentiated again.

The tangent of a jet of order 2 is a jet of order 2 plus the third derivative of the activation as an op of its own,
`slope`; the tangent of a `slope` is the one of the next order. So any order can be written; kernels end at the fifth
(kernels/activations/higher.pxi), one order of which a backward pass takes.
"""

from fastbp._engine.tables import ACTIVATIONS
from fastbp._engine.tangent_graph import function_of, tangent_rule

HIGHEST = 4  # derivatives of an activation in a forward pass; its backward pass takes one more
FIRST, SECOND = 1, 2  # kinds of a jet's output: kernels/ops/jets.pxi


class OrderTooHigh(Exception):
    """A derivative of an activation beyond HIGHEST; the argument is the activation's name."""


def slope(graph, Z, Y, settings, order):
    """The derivative of an activation of some order, as an op."""
    if order > HIGHEST:
        raise OrderTooHigh(settings["activation"])
    if order > 1 and not curved(settings):
        return None
    more = {"step": order} if order > 1 else {}
    return graph.op("slope", [Z, Y], **function_of(settings), **more)


def curved(settings):
    """Whether the activation has a second derivative."""
    return ACTIVATIONS[settings["activation"]].curved


def first(graph, Z, Y, T, settings):
    """f'(Z) T as a jet; None for no T."""
    if T is None:
        return None
    return graph.op("jet", [Z, Y, T], table=(0, 1, FIRST, 2, 0, 0), **function_of(settings))


def second(graph, Z, Y, S, pairs, settings):
    """f'(Z) S + f''(Z) times the sum of weight T_i T_j as a jet, for pairs (T_i, T_j, weight); None for nothing."""
    pairs = [pair for pair in pairs if None not in pair] if curved(settings) else []
    if not pairs:
        return first(graph, Z, Y, S, settings)
    moving = list(dict.fromkeys([*(() if S is None else (S,)), *(T for pair in pairs for T in pair[:2])]))
    parents, place = [Z, Y, *moving], {t: 2 + k for k, t in enumerate(moving)}
    numbers = [number for a, b, weight in pairs for number in (place[a], place[b], weight)]
    table = (0, 1, SECOND, -1 if S is None else place[S], 0, len(pairs), *numbers)
    return graph.op("jet", parents, table=table, **function_of(settings))


def parts_of_jet(parents, table):
    """The kind of a jet of one output, its S or T, and its pairs of tensors with weights."""
    _, _, kind, given, start, stop = table[:6]
    pairs = [table[6 + 3 * k : 9 + 3 * k] for k in range(start, stop)]
    return kind, None if given < 0 else given, [(i, j, weight) for i, j, weight in pairs]


@tangent_rule("slope")
def _slope(graph, xs, ts, width, offsets, settings):
    order = settings.get("step", 1)
    Y = slope(graph, *xs, settings, order)
    above = None if ts[0] is None else slope(graph, *xs, settings, order + 1)
    return Y, None if above is None else graph.op("multiply", [above, ts[0]])


@tangent_rule("jet")
def _jet(graph, xs, ts, width, offsets, settings):
    made = graph.op("jet", xs, None, **settings)
    (Z, Y), TZ = xs[:2], ts[0]
    kind, given, pairs = parts_of_jet(xs, settings["table"])
    T, TT = (None, None) if given is None else (xs[given], ts[given])
    if kind == FIRST:
        return made, second(graph, Z, Y, TT, [(TZ, T, 1)], settings)
    moved = [(TZ, T, 1)]
    for i, j, weight in pairs:
        if i == j:
            moved.append((ts[i], xs[i], 2 * weight))
        else:
            moved += [(ts[i], xs[j], weight), (xs[i], ts[j], weight)]
    terms = [second(graph, Z, Y, TT, moved, settings)]
    third = None if TZ is None else slope(graph, Z, Y, settings, 3)
    if third is not None:
        products = [graph.scaled(graph.op("multiply", [xs[i], xs[j]]), float(weight)) for i, j, weight in pairs]
        terms.append(graph.op("multiply", [third, TZ, graph.sum(products)]))
    return made, graph.sum(terms)


def _constant(kind):
    @tangent_rule(kind)
    def same(graph, xs, ts, width, offsets, settings):
        """An op that does not depend on the inputs."""
        return graph.op(kind, xs, width, offsets, **settings), None


_constant("unit")


@tangent_rule("winner")
def _winner(graph, xs, ts, width, offsets, settings):
    return graph.op("winner", xs, None, **settings), None


@tangent_rule("weight_row")
def _weight_row(graph, xs, ts, width, offsets, settings):
    T = None if graph.offset is None else graph.op("weight_row", xs, width, offsets, along=True, **settings)
    return graph.op("weight_row", xs, width, offsets, **settings), T


@tangent_rule("transposed")
def _transposed(graph, xs, ts, width, offsets, settings):
    Y = graph.op("transposed", xs, width, offsets, **settings)
    T = None if ts[0] is None else graph.op("transposed", ts, width, offsets, **settings)
    if graph.offset is not None:
        T = graph.sum([T, graph.op("transposed", xs, width, offsets, along=True, **settings)])
    return Y, T


@tangent_rule("scale")
def _scale(graph, xs, ts, width, offsets, settings):
    Y = graph.op("scale", xs, None, offsets, **settings)
    T = None if ts[0] is None else graph.op("scale", ts, None, (offsets[0], -1), **settings)
    if graph.offset is not None:
        T = graph.sum([T, graph.op("scale", xs, None, offsets, along=True, **settings)])
    return Y, T


@tangent_rule("scatter")
def _scatter(graph, xs, ts, width, offsets, settings):
    T = None if ts[0] is None else graph.op("scatter", ts, width, **settings)
    return graph.op("scatter", xs, width, **settings), T


@tangent_rule("reciprocal_root")
def _reciprocal_root(graph, xs, ts, width, offsets, settings):
    Y = graph.op("reciprocal_root", xs, **settings)
    return Y, None if ts[0] is None else graph.scaled(graph.op("multiply", [Y, Y, Y, ts[0]]), -0.5)


@tangent_rule("interleave")
def _interleave(graph, xs, ts, width, offsets, settings):
    Y = graph.op("interleave", xs, width)
    return Y, interleaved(graph, ts, xs, width)


def interleaved(graph, ts, xs, width):
    """The row-major matrix of some columns, with zeros for those that are None; None if all are."""
    if all(T is None for T in ts):
        return None
    return graph.op("interleave", [graph.or_zero(T, graph.widths[x]) for x, T in zip(xs, ts, strict=True)], width)


@tangent_rule("log_det")
def _log_det(graph, xs, ts, width, offsets, settings):
    moved = interleaved(graph, ts, xs, len(xs) ** 2)
    if moved is None:
        return graph.op("log_det", xs, 1), None
    inverse = graph.op("inverse", xs, len(xs) ** 2)
    return graph.op("log_det", xs, 1), graph.op("sum", [graph.op("multiply", [inverse, moved])], 1, alpha=1.0)


@tangent_rule("inverse")
def _inverse(graph, xs, ts, width, offsets, settings):
    made, moved = graph.op("inverse", xs, width), interleaved(graph, ts, xs, width)
    if moved is None:
        return made, None
    turned = graph.op("square_product", [made, moved], width, first=len(xs), step=2)
    return made, graph.scaled(graph.op("square_product", [turned, made], width, first=len(xs), step=1), -1.0)


@tangent_rule("square_product")
def _square_product(graph, xs, ts, width, offsets, settings):
    terms = [
        None if T is None else graph.op("square_product", [*xs[:u], T, *xs[u + 1 :]], width, **settings)
        for u, T in enumerate(ts)
    ]
    return graph.op("square_product", xs, width, **settings), graph.sum(terms)
