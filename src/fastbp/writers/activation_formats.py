"""The activations in other formats: an entry for each, with its forms in PyTorch, ONNX and C side by side.

The writers use these forms, and the readers recognize what these forms write. An entry must have all three. The slope
of an activation is written once for all formats, in other activations and arithmetic. Rejected: a table in each
writer, so that a new activation is a line in three files.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class InTorch(NamedTuple):
    """An activation in PyTorch: a class of torch.nn with the names of its parameters, else a formula of tensors."""

    module: str  # empty: a formula
    names: tuple[str, ...] = ()  # of alpha and beta among the module's arguments
    fixed: dict = {}  # noqa: RUF012  (a constant)
    formula: Callable | None = None  # (torch, X, alpha, beta) -> Y


class Formats(NamedTuple):
    """The forms of one activation.

    ONNX is a formula (X, alpha, beta) -> Y of values of the graph (`onnx_table.Value`). C is an expression of z and the
    parameters a and b; `real` is float or double, F(name) the function of math.h for it, K(number) a constant of it.
    For an activation that works by rows, C is the statements that replace the n numbers at y.

    The slope is a formula (graph, Z, Y, alpha, beta) -> f'(Z) of tensors of a `derivative_steps` graph; higher
    derivatives follow by its tangent rules. It is None if derivatives take other ops: for activations that are linear,
    work by rows or have random slopes.
    """

    torch: InTorch
    onnx: Callable[[Any, float, float], Any]
    c: str
    slope: Callable[[Any, int, int, float, float], int] | None = None


def _module(name: str, *names: str, **fixed: Any) -> InTorch:
    return InTorch(name, names, fixed)


def _formula(formula: Callable) -> InTorch:
    return InTorch("", formula=formula)


def _softplus(X):
    return X.either("Softplus", lambda: X.op("Max", 0.0) + ((-X.op("Abs")).exp() + 1.0).op("Log"))


def _expm1(X, scale=1.0):
    """exp(X / scale) - 1 where X < 0, else 0, so that nothing overflows."""
    return (X.op("Min", 0.0) * (1 / scale)).exp() - 1.0


def _erf(X):
    if X.graph.dtype == np.float64:  # onnxruntime implements it for float32 only
        return X.op("Cast", to=X.graph.code("float32")).op("Erf").op("Cast", to=X.graph.code("float64"))
    return X.op("Erf")


def normal_cdf(X: Any) -> Any:
    """The cumulative distribution function of the standard normal distribution, in ONNX."""
    return (_erf(X * math.sqrt(0.5)) + 1.0) * 0.5


def _gelu(X, approximate):
    def formula():
        if approximate == "none":
            return X * 0.5 * (_erf(X * math.sqrt(0.5)) + 1.0)
        return X * 0.5 * (((X + X * X * X * 0.044715) * math.sqrt(2 / math.pi)).tanh() + 1.0)

    return X.either("Gelu", formula, since=20, approximate=approximate)


def _shrink(X, edge, bias):
    return X.op("Shrink", lambd=edge, bias=bias)


def _leaky_relu(X, slope):
    return X.either("LeakyRelu", lambda: X.op("Relu") + X.op("Min", 0.0) * slope, alpha=slope)


def _gated_slope(graph, Z, s, dw):
    """The slope of Z s, where s = sigmoid(w) and w has the constant derivative dw."""
    return graph.op("add", [s, graph.affine(graph.times(Z, s, graph.affine(s, -1.0, 1.0)), dw)], alpha=1.0)


def _gelu_tanh_slope(graph, Z):
    c = np.sqrt(8 / np.pi)
    moved = graph.affine(graph.times(Z, Z), c * 3 * 0.044715, c)
    s = graph.f("sigmoid", graph.times(Z, graph.affine(graph.times(Z, Z), c * 0.044715, c)))
    return graph.op("add", [s, graph.times(Z, s, graph.affine(s, -1.0, 1.0), moved)], alpha=1.0)


def _hard_swish_slope(graph, Z):
    inner = graph.times(graph.within(Z, -3.0, 3.0), graph.affine(Z, 1 / 3, 0.5))
    return graph.op("add", [graph.above(Z, 3.0), inner], alpha=1.0)


def _shrink_slope(graph, Z, edge):
    return graph.affine(graph.within(Z, -edge, edge), -1.0, 1.0)


def _reciprocal_slope(graph, Z, scale):
    """Scale / (1 + |z|)^2; |z| is z times a sign that is -1 at 0, so the slope of |z| at 0 is the left one."""
    size = graph.times(Z, graph.affine(graph.above(Z), 2.0, -1.0))
    return graph.affine(graph.op("power", [graph.affine(size, 1.0, 1.0)], alpha=-2.0), scale)


def _mish_slope(graph, Z):
    t = graph.f("tanh", graph.f("softplus", Z, alpha=1.0))
    moved = graph.times(Z, graph.affine(graph.times(t, t), -1.0, 1.0), graph.f("sigmoid", Z))
    return graph.op("add", [t, moved], alpha=1.0)


SELU = 1.0507009873554805, 1.6732632423543772  # lambda and alpha of Klambauer et al. 2017
SOFTPLUS = "(z > 0 ? z + F(log1p)(F(exp)(-z)) : F(log1p)(F(exp)(z)))"

FORMATS: dict[str, Formats] = {
    "linear": Formats(
        torch=_module("Identity"),
        onnx=lambda X, a, b: X,
        c="z",
    ),
    "sigmoid": Formats(
        torch=_module("Sigmoid"),
        onnx=lambda X, a, b: X.sigmoid(),
        c="1 / (1 + F(exp)(-z))",
        slope=lambda g, Z, Y, a, b: g.times(Y, g.affine(Y, -1.0, 1.0)),
    ),
    "log_sigmoid": Formats(
        torch=_module("LogSigmoid"),
        onnx=lambda X, a, b: -_softplus(-X),
        c="z < 0 ? z - F(log1p)(F(exp)(z)) : -F(log1p)(F(exp)(-z))",
        slope=lambda g, Z, Y, a, b: g.f("sigmoid", g.affine(Z, -1.0)),
    ),
    "tanh": Formats(
        torch=_module("Tanh"),
        onnx=lambda X, a, b: X.tanh(),
        c="F(tanh)(z)",
        slope=lambda g, Z, Y, a, b: g.affine(g.times(Y, Y), -1.0, 1.0),
    ),
    "relu": Formats(
        torch=_module("ReLU"),
        onnx=lambda X, a, b: X.op("Relu"),
        c="z <= 0 ? 0 : z",
        slope=lambda g, Z, Y, a, b: g.above(Z),
    ),
    "relu6": Formats(
        torch=_module("ReLU6"),
        onnx=lambda X, a, b: X.clip(0.0, 6.0),
        c="z < 0 ? 0 : z > 6 ? 6 : z",
        slope=lambda g, Z, Y, a, b: g.within(Z, 0.0, 6.0),
    ),
    "leaky_relu": Formats(
        torch=_module("LeakyReLU", "negative_slope"),
        onnx=lambda X, a, b: _leaky_relu(X, a),
        c="z <= 0 ? a * z : z",
        slope=lambda g, Z, Y, a, b: g.affine(g.above(Z), 1.0 - a, a),
    ),
    "rrelu": Formats(
        torch=_module("RReLU", "lower", "upper"),
        onnx=lambda X, a, b: _leaky_relu(X, (a + b) / 2),
        c="z <= 0 ? (a + b) / 2 * z : z",
    ),
    "elu": Formats(
        torch=_module("ELU", "alpha"),
        onnx=lambda X, a, b: X.either("Elu", lambda: X.op("Relu") + _expm1(X) * a, alpha=a),
        c="z <= 0 ? a * F(expm1)(z) : z",
        slope=lambda g, Z, Y, a, b: g.below(Z, g.decay(Z, 1.0, a)),
    ),
    "selu": Formats(
        torch=_module("SELU"),
        onnx=lambda X, a, b: X.either("Selu", lambda: (X.op("Relu") + _expm1(X) * SELU[1]) * SELU[0]),
        c="K(1.0507009873554805) * (z <= 0 ? K(1.6732632423543772) * F(expm1)(z) : z)",
        slope=lambda g, Z, Y, a, b: g.affine(g.below(Z, g.decay(Z, 1.0, SELU[1])), SELU[0]),
    ),
    "celu": Formats(
        torch=_module("CELU", "alpha"),
        onnx=lambda X, a, b: X.either("Celu", lambda: X.op("Relu") + _expm1(X, a) * a, alpha=a),
        c="z <= 0 ? a * F(expm1)(z / a) : z",
        slope=lambda g, Z, Y, a, b: g.below(Z, g.decay(Z, a, 1.0)),
    ),
    "gelu": Formats(
        torch=_module("GELU", approximate="none"),
        onnx=lambda X, a, b: _gelu(X, "none"),
        c="K(0.5) * z * F(erfc)(-z * K(0.7071067811865476))",
        slope=lambda g, Z, Y, a, b: g.own_slope("gelu", Z, Y),
    ),
    "gelu_tanh": Formats(
        torch=_module("GELU", approximate="tanh"),
        onnx=lambda X, a, b: _gelu(X, "tanh"),
        c="K(0.5) * z * (1 + F(tanh)(K(0.7978845608028654) * (z + K(0.044715) * z * z * z)))",
        slope=lambda g, Z, Y, a, b: _gelu_tanh_slope(g, Z),
    ),
    "quick_gelu": Formats(
        torch=_formula(lambda torch, X, a, b: X * torch.sigmoid(1.702 * X)),
        onnx=lambda X, a, b: X * (X * 1.702).sigmoid(),
        c="z / (1 + F(exp)(K(-1.702) * z))",
        slope=lambda g, Z, Y, a, b: _gated_slope(g, Z, g.f("sigmoid", g.affine(Z, 1.702)), 1.702),
    ),
    "silu": Formats(
        torch=_module("SiLU"),
        onnx=lambda X, a, b: X * X.sigmoid(),
        c="z / (1 + F(exp)(-z))",
        slope=lambda g, Z, Y, a, b: _gated_slope(g, Z, g.f("sigmoid", Z), 1.0),
    ),
    "mish": Formats(
        torch=_module("Mish"),
        onnx=lambda X, a, b: X.either("Mish", lambda: X * _softplus(X).tanh(), since=18),
        c=f"z * F(tanh){SOFTPLUS}",
        slope=lambda g, Z, Y, a, b: _mish_slope(g, Z),
    ),
    "softplus": Formats(
        torch=_module("Softplus", "beta", threshold=40.0),
        onnx=lambda X, a, b: _softplus(X * a) * (1 / a),
        c="(a * z > 0 ? a * z + F(log1p)(F(exp)(-a * z)) : F(log1p)(F(exp)(a * z))) / a",
        slope=lambda g, Z, Y, a, b: g.f("sigmoid", g.affine(Z, a)),
    ),
    "softsign": Formats(
        torch=_module("Softsign"),
        onnx=lambda X, a, b: X.either("Softsign", lambda: X / (X.op("Abs") + 1.0)),
        c="z / (1 + F(fabs)(z))",
        slope=lambda g, Z, Y, a, b: _reciprocal_slope(g, Z, 1.0),
    ),
    "hard_sigmoid": Formats(
        torch=_module("Hardsigmoid"),
        onnx=lambda X, a, b: (X * (1 / 6) + 0.5).clip(0.0, 1.0),
        c="z < -3 ? 0 : z > 3 ? 1 : z / 6 + K(0.5)",
        slope=lambda g, Z, Y, a, b: g.affine(g.within(Z, -3.0, 3.0), 1 / 6),
    ),
    "hard_tanh": Formats(
        torch=_module("Hardtanh", "min_val", "max_val"),
        onnx=lambda X, a, b: X.clip(a, b),
        c="z < a ? a : z > b ? b : z",
        slope=lambda g, Z, Y, a, b: g.within(Z, a, b),
    ),
    "hard_swish": Formats(
        torch=_module("Hardswish"),
        onnx=lambda X, a, b: X * (X * (1 / 6) + 0.5).clip(0.0, 1.0),
        c="z < -3 ? 0 : z > 3 ? z : z * (z / 6 + K(0.5))",
        slope=lambda g, Z, Y, a, b: _hard_swish_slope(g, Z),
    ),
    "tanh_shrink": Formats(
        torch=_module("Tanhshrink"),
        onnx=lambda X, a, b: X - X.tanh(),
        c="z - F(tanh)(z)",
        slope=lambda g, Z, Y, a, b: g.op("power", [g.f("tanh", Z)], alpha=2.0),
    ),
    "soft_shrink": Formats(
        torch=_module("Softshrink", "lambd"),
        onnx=lambda X, a, b: _shrink(X, a, a),
        c="z > a ? z - a : z < -a ? z + a : 0",
        slope=lambda g, Z, Y, a, b: _shrink_slope(g, Z, a),
    ),
    "hard_shrink": Formats(
        torch=_module("Hardshrink", "lambd"),
        onnx=lambda X, a, b: _shrink(X, a, 0.0),
        c="F(fabs)(z) > a ? z : 0",
        slope=lambda g, Z, Y, a, b: _shrink_slope(g, Z, a),
    ),
    "threshold": Formats(
        torch=_module("Threshold", "threshold", "value"),
        onnx=lambda X, a, b: X.where(X.op("Greater", a), b),
        c="z > a ? z : b",
        slope=lambda g, Z, Y, a, b: g.above(Z, a),
    ),
    "squareplus": Formats(
        torch=_formula(lambda torch, X, a, b: 0.5 * (X + torch.sqrt(X * X + a))),
        onnx=lambda X, a, b: (X + (X * X + a).op("Sqrt")) * 0.5,
        c="z > 0 ? (z + F(sqrt)(z * z + a)) / 2 : a / (2 * (F(sqrt)(z * z + a) - z))",
        slope=lambda g, Z, Y, a, b: g.affine(
            g.times(Z, g.op("power", [g.affine(g.times(Z, Z), 1.0, a)], alpha=-0.5)), 0.5, 0.5
        ),
    ),
    "exp": Formats(
        torch=_formula(lambda torch, X, a, b: torch.exp(X)),
        onnx=lambda X, a, b: X.exp(),
        c="F(exp)(z)",
        slope=lambda g, Z, Y, a, b: Y,
    ),
    "gaussian": Formats(
        torch=_formula(lambda torch, X, a, b: torch.exp(-X * X)),
        onnx=lambda X, a, b: (-(X * X)).exp(),
        c="F(exp)(-z * z)",
        slope=lambda g, Z, Y, a, b: g.affine(g.times(Z, Y), -2.0),
    ),
    "elliot": Formats(
        torch=_formula(lambda torch, X, a, b: 0.5 + 0.5 * torch.nn.functional.softsign(X)),
        onnx=lambda X, a, b: X / ((X.op("Abs") + 1.0) * 2.0) + 0.5,
        c="K(0.5) + z / (2 + 2 * F(fabs)(z))",
        slope=lambda g, Z, Y, a, b: _reciprocal_slope(g, Z, 0.5),
    ),
    "sin": Formats(
        torch=_formula(lambda torch, X, a, b: torch.sin(X)),
        onnx=lambda X, a, b: X.op("Sin"),
        c="F(sin)(z)",
        slope=lambda g, Z, Y, a, b: g.f("cos", Z),
    ),
    "cos": Formats(
        torch=_formula(lambda torch, X, a, b: torch.cos(X)),
        onnx=lambda X, a, b: X.op("Cos"),
        c="F(cos)(z)",
        slope=lambda g, Z, Y, a, b: g.affine(g.f("sin", Z), -1.0),
    ),
    "abs": Formats(
        torch=_formula(lambda torch, X, a, b: torch.abs(X)),
        onnx=lambda X, a, b: X.op("Abs"),
        c="F(fabs)(z)",
        slope=lambda g, Z, Y, a, b: g.op("subtract", [g.above(Z), g.above(g.affine(Z, -1.0))]),
    ),
    "square": Formats(
        torch=_formula(lambda torch, X, a, b: torch.square(X)),
        onnx=lambda X, a, b: X * X,
        c="z * z",
        slope=lambda g, Z, Y, a, b: g.affine(Z, 2.0),
    ),
    "softmax": Formats(
        torch=_module("Softmax", dim=-1),
        onnx=lambda X, a, b: X.op("Softmax", axis=1),
        c="""\
    real most = y[0], sum = 0;
    int i;
    for (i = 1; i < n; i++) most = y[i] > most ? y[i] : most;
    for (i = 0; i < n; i++) { y[i] = F(exp)(y[i] - most); sum += y[i]; }
    for (i = 0; i < n; i++) y[i] /= sum;""",
    ),
    "log_softmax": Formats(
        torch=_module("LogSoftmax", dim=-1),
        onnx=lambda X, a, b: X.op("LogSoftmax", axis=1),
        c="""\
    real most = y[0], sum = 0;
    int i;
    for (i = 1; i < n; i++) most = y[i] > most ? y[i] : most;
    for (i = 0; i < n; i++) sum += F(exp)(y[i] - most);
    sum = F(log)(sum) + most;
    for (i = 0; i < n; i++) y[i] -= sum;""",
    ),
    "softmin": Formats(
        torch=_module("Softmin", dim=-1),
        onnx=lambda X, a, b: (-X).op("Softmax", axis=1),
        c="""\
    real least = y[0], sum = 0;
    int i;
    for (i = 1; i < n; i++) least = y[i] < least ? y[i] : least;
    for (i = 0; i < n; i++) { y[i] = F(exp)(least - y[i]); sum += y[i]; }
    for (i = 0; i < n; i++) y[i] /= sum;""",
    ),
}
