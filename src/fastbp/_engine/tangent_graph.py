"""The graph of a net's tangents: for each op, ops that compute how its output moves when its inputs do.

The result is a graph of ops like any other, so the engine's forward pass gives directional derivatives (forward
mode), and its backward pass second derivatives (reverse over forward). Each tangent rule gives (Y, T): the tensor of
the value, and the tensor of its tangent, or None where the value does not move. Tensors that do not depend on a
direction are marked, and computed once for many directions. Formulas: Pearlmutter 1994.
"""

from collections.abc import Callable

from fastbp._engine.tables import ACTIVATIONS

TANGENT_RULES: dict[str, Callable] = {}


class NoTangentRule(Exception):
    """An op, or an activation that works by rows, has no tangent rule; the argument is its name or Python layer."""


def tangent_rule(kind):
    """Registers the tangent rule of a kind of op."""

    def register(function):
        TANGENT_RULES[kind] = function
        return function

    return register


class Tangents:
    """A graph that grows: tensors with their widths, ops, and which tensors move with the direction."""

    def __init__(self, offset=None):
        self.offset = offset  # of the direction in the vector of parameters; None: parameters do not move
        self.widths, self.ops, self.moving = [], [], []

    def tensor(self, width, moves=False):
        self.widths.append(width)
        self.moving.append(moves)
        return len(self.widths) - 1

    def op(self, kind, parents, width=None, offsets=(), along=False, **settings):
        """The tensor that an op makes; `along` says that its parameters are those of the direction."""
        if along:
            offsets = tuple(self.offset + start if start >= 0 else -1 for start in offsets)
        moves = along or any(self.moving[t] for t in parents)
        made = self.tensor(self.widths[parents[0]] if width is None else width, moves)
        self.ops.append((kind, tuple(parents), made, tuple(offsets), settings))
        return made

    def sum(self, tangents):
        """The sum of the tangents that are not None; None if all are."""
        terms = [t for t in tangents if t is not None]
        return self.op("add", terms, alpha=1.0) if len(terms) > 1 else terms[0] if terms else None

    def scaled(self, T, scale):
        return T if T is None or scale == 1 else self.op("affine", [T], alpha=scale)

    def pushed(self, Z, Y, TZ, settings):
        """f'(Z) TZ of an activation that works element by element."""
        return self.op("multiply", [self.op("slope", [Z, Y], **function_of(settings)), TZ])

    def or_zero(self, T, width):
        return self.op("constant", [], width, alpha=0.0) if T is None else T


def tangent(widths, ops, inputs, outputs, offset=None):
    """The graph (widths, ops, inputs, outputs), which tensors move, and those that ops with the direction's W make.

    Its outputs are the values and then their tangents. Without an offset the inputs move, and their directions are
    inputs after them; with one the parameters move, along the direction that begins there in the flat vector.
    """
    graph = Tangents(offset)
    values = {t: graph.tensor(widths[t]) for t in inputs}
    tangents = {t: graph.tensor(widths[t], True) if offset is None else None for t in inputs}
    starts = [values[t] for t in inputs] + [tangents[t] for t in inputs if tangents[t] is not None]
    for kind, parents, output, offsets, settings in ops:
        if kind not in TANGENT_RULES:
            raise NoTangentRule(kind)
        xs, ts = [values[t] for t in parents], [tangents[t] for t in parents]
        values[output], tangents[output] = TANGENT_RULES[kind](graph, xs, ts, widths[output], offsets, settings)
    ends = [values[t] for t in outputs] + [graph.or_zero(tangents[t], widths[t]) for t in outputs]
    along = [op[2] for op in graph.ops if op[3] and offset is not None and max(op[3]) >= offset]
    return (graph.widths, graph.ops, starts, ends), graph.moving, along


def one_hidden_layer(widths, ops, inputs, outputs, offset):
    """The graph of the whole Jacobian of a net X -> f(X W + b) V + c, and where W and V begin; None for other nets.

    dY[o]/dX[i] is the sum over h of f'(Z[h]) W[i, h] V[h, o]: one product of the slopes with a matrix of (hidden,
    outputs * inputs), which begins at the offset. It costs less than a pass for each output or input.
    """
    kinds = [op[0] for op in ops]
    if kinds != ["dense", "dense"] or len(inputs) != 1 or list(outputs) != [ops[1][2]] or ops[1][1] != (ops[0][2],):
        return None
    (_, _, hidden, first, settings), (_, _, output, last, after) = ops
    name = settings["activation"]
    if after["activation"] != "linear" or name == "linear" or ACTIVATIONS[name].by_rows:
        return None
    graph = Tangents()
    X = graph.tensor(widths[inputs[0]])
    Z = graph.op("dense", [X], widths[hidden], first)
    Y = graph.op("activation", [Z], **function_of(settings))
    slope = graph.op("slope", [Z, Y], **function_of(settings))
    size = widths[inputs[0]] * widths[output]
    J = graph.op("dense", [slope], size, (offset, -1))
    return (graph.widths, graph.ops, [X], [J]), first[0], last[0]


def _through(graph, Z, TZ, settings):
    """Y = f(Z) and T = f'(Z) TZ."""
    name = settings["activation"]
    if name == "linear":
        return Z, TZ
    Y = graph.op("activation", [Z], **function_of(settings))
    if TZ is None:
        return Y, None
    if ACTIVATIONS[name].by_rows:
        if name not in BY_ROWS:
            raise NoTangentRule(name)
        return Y, BY_ROWS[name](graph, Z, Y, TZ)
    return Y, graph.pushed(Z, Y, TZ, settings)


def function_of(settings):
    """The settings that name an activation in an op."""
    return {key: settings[key] for key in ("activation", "alpha", "beta") if key in settings}


def _less_mean(graph, Y, TZ):
    """TZ minus its mean over the row, weighted by Y."""
    along = graph.op("sum", [graph.op("multiply", [Y, TZ])], 1, alpha=1.0)
    return graph.op("subtract", [TZ, graph.op("broadcast", [along], graph.widths[Y])])


def _log_softmax(graph, Z, Y, TZ):
    return _less_mean(graph, graph.op("activation", [Z], activation="softmax"), TZ)


# The tangents of the activations that work by rows.
BY_ROWS = {
    "softmax": lambda graph, Z, Y, TZ: graph.op("multiply", [Y, _less_mean(graph, Y, TZ)]),
    "softmin": lambda graph, Z, Y, TZ: graph.scaled(graph.op("multiply", [Y, _less_mean(graph, Y, TZ)]), -1.0),
    "log_softmax": _log_softmax,
}


@tangent_rule("dense")
def _dense(graph, xs, ts, width, offsets, settings):
    Z = graph.op("dense", xs, width, offsets)
    TZ = None if ts[0] is None else graph.op("dense", ts, width, (offsets[0], -1))
    if graph.offset is not None:
        TZ = graph.sum([TZ, graph.op("dense", xs, width, offsets, along=True)])
    return _through(graph, Z, TZ, settings)


@tangent_rule("activation")
def _activation(graph, xs, ts, width, offsets, settings):
    return _through(graph, xs[0], ts[0], settings)


@tangent_rule("prelu")
def _prelu(graph, xs, ts, width, offsets, settings):
    Y = graph.op("prelu", xs, None, offsets, **settings)
    # Of two inputs the first only chooses the slope of the second.
    T = None if ts[-1] is None else graph.op("prelu", [xs[0], ts[-1]], None, offsets, **settings)
    if graph.offset is not None and len(xs) == 1:
        # Where X is below 0, Y moves by X times the direction of the slopes: prelu with the direction, minus relu.
        moved = graph.op("prelu", xs, None, offsets, along=True, **settings)
        T = graph.sum([T, graph.op("subtract", [moved, graph.op("activation", xs, activation="relu")])])
    return Y, T


@tangent_rule("dropout")
def _dropout(graph, xs, ts, width, offsets, settings):
    return xs[0], ts[0]


@tangent_rule("affine")
def _affine(graph, xs, ts, width, offsets, settings):
    return graph.op("affine", xs, **settings), graph.scaled(ts[0], settings["alpha"])


@tangent_rule("add")
def _add(graph, xs, ts, width, offsets, settings):
    return graph.op("add", xs, **settings), graph.scaled(graph.sum(ts), settings["alpha"])


@tangent_rule("subtract")
def _subtract(graph, xs, ts, width, offsets, settings):
    return graph.op("subtract", xs), graph.sum([ts[0], graph.scaled(ts[1], -1.0)])


@tangent_rule("multiply")
def _multiply(graph, xs, ts, width, offsets, settings):
    terms = [graph.op("multiply", [*xs[:u], T, *xs[u + 1 :]]) for u, T in enumerate(ts) if T is not None]
    return graph.op("multiply", xs), graph.sum(terms)


def _extreme(kind):
    @tangent_rule(kind)
    def route(graph, xs, ts, width, offsets, settings):
        Y = graph.op(kind, xs)
        terms = [
            graph.op("multiply", [graph.op("winner", [*xs, Y], first=u), T]) for u, T in enumerate(ts) if T is not None
        ]
        return Y, graph.sum(terms)


_extreme("maximum")
_extreme("minimum")


@tangent_rule("concatenate")
def _concatenate(graph, xs, ts, width, offsets, settings):
    if all(T is None for T in ts):
        return graph.op("concatenate", xs, width), None
    parts = [graph.or_zero(T, graph.widths[x]) for x, T in zip(xs, ts, strict=True)]
    return graph.op("concatenate", xs, width), graph.op("concatenate", parts, width)


def _linear(kind):
    @tangent_rule(kind)
    def same(graph, xs, ts, width, offsets, settings):
        T = None if ts[0] is None else graph.op(kind, ts, width, **settings)
        return graph.op(kind, xs, width, **settings), T


_linear("slice")
_linear("broadcast")
_linear("sum")


@tangent_rule("python")
def _python(graph, xs, ts, width, offsets, settings):
    layer = settings["functions"]
    Y = graph.op("python", xs, width, offsets, **settings)
    along = graph.offset is not None and bool(layer.parameters)
    if all(T is None for T in ts) and not along:
        return Y, None
    functions = layer.tangent()
    if functions is None or along:
        raise NoTangentRule(layer)
    moved = [graph.or_zero(T, graph.widths[x]) for x, T in zip(xs, ts, strict=True)]
    return Y, graph.op("python", [*xs, Y, *moved], width, functions=functions)


@tangent_rule("constant")
def _constant(graph, xs, ts, width, offsets, settings):
    return graph.op("constant", [], width, **settings), None


@tangent_rule("parameter")
def _parameter(graph, xs, ts, width, offsets, settings):
    Y = graph.op("parameter", [], width, offsets)
    return Y, None if graph.offset is None else graph.op("parameter", [], width, offsets, along=True)


@tangent_rule("divide")
def _divide(graph, xs, ts, width, offsets, settings):
    Y = graph.op("divide", xs)
    less = graph.scaled(None if ts[1] is None else graph.op("multiply", [Y, ts[1]]), -1.0)
    moved = graph.sum([ts[0], less])
    return Y, None if moved is None else graph.op("divide", [moved, xs[1]])


@tangent_rule("power")
def _power(graph, xs, ts, width, offsets, settings):
    exponent = settings["alpha"]
    Y = graph.op("power", xs, alpha=exponent)
    if ts[0] is None or exponent == 0:
        return Y, None
    slope = graph.op("power", xs, alpha=exponent - 1)
    return Y, graph.scaled(graph.op("multiply", [slope, ts[0]]), exponent)


@tangent_rule("log")
def _log(graph, xs, ts, width, offsets, settings):
    return graph.op("log", xs), None if ts[0] is None else graph.op("divide", [ts[0], xs[0]])


@tangent_rule("embedding")
def _embedding(graph, xs, ts, width, offsets, settings):
    Y = graph.op("embedding", xs, width, offsets, **settings)
    T = None if graph.offset is None else graph.op("embedding", xs, width, offsets, along=True, **settings)
    return Y, T


def _mean(graph, x, width, factor=1.0):
    return graph.op("sum", [x], 1, alpha=factor / width)


def _scale(graph, Z, TZ, offsets):
    """Gamma Z + beta, of a normalization."""
    if offsets[0] < 0:
        return Z, TZ
    # The value first: later ops add to the gradients of its parameters, and only it has beta.
    Y = graph.op("scale", [Z], None, offsets[:2])
    T = None if TZ is None else graph.op("scale", [TZ], None, (offsets[0], -1))
    if graph.offset is not None:
        T = graph.sum([T, graph.op("scale", [Z], None, offsets[:2], along=True)])
    return Y, T


def _row_norm(kind, centred):
    @tangent_rule(kind)
    def normalize(graph, xs, ts, width, offsets, settings):
        def centre(x):
            if x is None or not centred:
                return x
            return graph.op("subtract", [x, graph.op("broadcast", [_mean(graph, x, width)], width)])

        def spread(column):
            return graph.op("broadcast", [column], width)

        C, TC = centre(xs[0]), centre(ts[0])
        root = graph.op("reciprocal_root", [_mean(graph, graph.op("multiply", [C, C]), width)], alpha=settings["alpha"])
        Z, TZ = graph.op("multiply", [C, spread(root)]), None
        if TC is not None:
            moved = _mean(graph, graph.op("multiply", [C, TC]), width, -1.0)
            T_root = graph.op("multiply", [root, root, root, moved])
            TZ = graph.sum([graph.op("multiply", [TC, spread(root)]), graph.op("multiply", [C, spread(T_root)])])
        return _scale(graph, Z, TZ, offsets)


_row_norm("layer_norm", True)
_row_norm("rms_norm", False)


@tangent_rule("batch_norm")
def _batch_norm(graph, xs, ts, width, offsets, settings):
    running = (-1, -1, *offsets[2:])
    Z = graph.op("batch_norm", xs, None, running, **settings)
    TZ = None if ts[0] is None else graph.op("batch_norm", ts, None, running, **{**settings, "first": 1})
    return _scale(graph, Z, TZ, offsets)
