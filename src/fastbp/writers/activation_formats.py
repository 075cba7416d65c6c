"""The activations in other formats: an entry for each, with its forms in PyTorch, ONNX and C beside each other.

The writers take their form from here, the readers recognize what these forms write. An activation that lacks one cannot
be entered. Rejected: a table in each writer, so that a new activation is a line in three files.
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
    For an activation of whole rows, C is the statements that replace the n numbers at y.
    """

    torch: InTorch
    onnx: Callable[[Any, float, float], Any]
    c: str


def _module(name: str, *names: str, **fixed: Any) -> InTorch:
    return InTorch(name, names, fixed)


def _formula(formula: Callable) -> InTorch:
    return InTorch("", formula=formula)


def _softplus(X):
    return X.either("Softplus", lambda: X.op("Max", 0.0) + ((-X.op("Abs")).exp() + 1.0).op("Log"))


def _expm1(X, scale=1.0):
    """Below 0, else 0: exp(X / scale) - 1, so that nothing overflows."""
    return (X.op("Min", 0.0) * (1 / scale)).exp() - 1.0


def _erf(X):
    if X.graph.dtype == np.float64:  # onnxruntime has it in float32 alone
        return X.op("Cast", to=X.graph.code("float32")).op("Erf").op("Cast", to=X.graph.code("float64"))
    return X.op("Erf")


def normal_cdf(X: Any) -> Any:
    """The share of a normal distribution below X, in ONNX."""
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
    ),
    "log_sigmoid": Formats(
        torch=_module("LogSigmoid"),
        onnx=lambda X, a, b: -_softplus(-X),
        c="z < 0 ? z - F(log1p)(F(exp)(z)) : -F(log1p)(F(exp)(-z))",
    ),
    "tanh": Formats(
        torch=_module("Tanh"),
        onnx=lambda X, a, b: X.tanh(),
        c="F(tanh)(z)",
    ),
    "relu": Formats(
        torch=_module("ReLU"),
        onnx=lambda X, a, b: X.op("Relu"),
        c="z <= 0 ? 0 : z",
    ),
    "relu6": Formats(
        torch=_module("ReLU6"),
        onnx=lambda X, a, b: X.clip(0.0, 6.0),
        c="z < 0 ? 0 : z > 6 ? 6 : z",
    ),
    "leaky_relu": Formats(
        torch=_module("LeakyReLU", "negative_slope"),
        onnx=lambda X, a, b: _leaky_relu(X, a),
        c="z <= 0 ? a * z : z",
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
    ),
    "selu": Formats(
        torch=_module("SELU"),
        onnx=lambda X, a, b: X.either("Selu", lambda: (X.op("Relu") + _expm1(X) * SELU[1]) * SELU[0]),
        c="K(1.0507009873554805) * (z <= 0 ? K(1.6732632423543772) * F(expm1)(z) : z)",
    ),
    "celu": Formats(
        torch=_module("CELU", "alpha"),
        onnx=lambda X, a, b: X.either("Celu", lambda: X.op("Relu") + _expm1(X, a) * a, alpha=a),
        c="z <= 0 ? a * F(expm1)(z / a) : z",
    ),
    "gelu": Formats(
        torch=_module("GELU", approximate="none"),
        onnx=lambda X, a, b: _gelu(X, "none"),
        c="K(0.5) * z * F(erfc)(-z * K(0.7071067811865476))",
    ),
    "gelu_tanh": Formats(
        torch=_module("GELU", approximate="tanh"),
        onnx=lambda X, a, b: _gelu(X, "tanh"),
        c="K(0.5) * z * (1 + F(tanh)(K(0.7978845608028654) * (z + K(0.044715) * z * z * z)))",
    ),
    "quick_gelu": Formats(
        torch=_formula(lambda torch, X, a, b: X * torch.sigmoid(1.702 * X)),
        onnx=lambda X, a, b: X * (X * 1.702).sigmoid(),
        c="z / (1 + F(exp)(K(-1.702) * z))",
    ),
    "silu": Formats(
        torch=_module("SiLU"),
        onnx=lambda X, a, b: X * X.sigmoid(),
        c="z / (1 + F(exp)(-z))",
    ),
    "mish": Formats(
        torch=_module("Mish"),
        onnx=lambda X, a, b: X.either("Mish", lambda: X * _softplus(X).tanh(), since=18),
        c=f"z * F(tanh){SOFTPLUS}",
    ),
    "softplus": Formats(
        torch=_module("Softplus", "beta", threshold=40.0),
        onnx=lambda X, a, b: _softplus(X * a) * (1 / a),
        c="(a * z > 0 ? a * z + F(log1p)(F(exp)(-a * z)) : F(log1p)(F(exp)(a * z))) / a",
    ),
    "softsign": Formats(
        torch=_module("Softsign"),
        onnx=lambda X, a, b: X.either("Softsign", lambda: X / (X.op("Abs") + 1.0)),
        c="z / (1 + F(fabs)(z))",
    ),
    "hard_sigmoid": Formats(
        torch=_module("Hardsigmoid"),
        onnx=lambda X, a, b: (X * (1 / 6) + 0.5).clip(0.0, 1.0),
        c="z < -3 ? 0 : z > 3 ? 1 : z / 6 + K(0.5)",
    ),
    "hard_tanh": Formats(
        torch=_module("Hardtanh", "min_val", "max_val"),
        onnx=lambda X, a, b: X.clip(a, b),
        c="z < a ? a : z > b ? b : z",
    ),
    "hard_swish": Formats(
        torch=_module("Hardswish"),
        onnx=lambda X, a, b: X * (X * (1 / 6) + 0.5).clip(0.0, 1.0),
        c="z < -3 ? 0 : z > 3 ? z : z * (z / 6 + K(0.5))",
    ),
    "tanh_shrink": Formats(
        torch=_module("Tanhshrink"),
        onnx=lambda X, a, b: X - X.tanh(),
        c="z - F(tanh)(z)",
    ),
    "soft_shrink": Formats(
        torch=_module("Softshrink", "lambd"),
        onnx=lambda X, a, b: _shrink(X, a, a),
        c="z > a ? z - a : z < -a ? z + a : 0",
    ),
    "hard_shrink": Formats(
        torch=_module("Hardshrink", "lambd"),
        onnx=lambda X, a, b: _shrink(X, a, 0.0),
        c="F(fabs)(z) > a ? z : 0",
    ),
    "threshold": Formats(
        torch=_module("Threshold", "threshold", "value"),
        onnx=lambda X, a, b: X.where(X.op("Greater", a), b),
        c="z > a ? z : b",
    ),
    "squareplus": Formats(
        torch=_formula(lambda torch, X, a, b: 0.5 * (X + torch.sqrt(X * X + a))),
        onnx=lambda X, a, b: (X + (X * X + a).op("Sqrt")) * 0.5,
        c="z > 0 ? (z + F(sqrt)(z * z + a)) / 2 : a / (2 * (F(sqrt)(z * z + a) - z))",
    ),
    "exp": Formats(
        torch=_formula(lambda torch, X, a, b: torch.exp(X)),
        onnx=lambda X, a, b: X.exp(),
        c="F(exp)(z)",
    ),
    "gaussian": Formats(
        torch=_formula(lambda torch, X, a, b: torch.exp(-X * X)),
        onnx=lambda X, a, b: (-(X * X)).exp(),
        c="F(exp)(-z * z)",
    ),
    "elliot": Formats(
        torch=_formula(lambda torch, X, a, b: 0.5 + 0.5 * torch.nn.functional.softsign(X)),
        onnx=lambda X, a, b: X / ((X.op("Abs") + 1.0) * 2.0) + 0.5,
        c="K(0.5) + z / (2 + 2 * F(fabs)(z))",
    ),
    "sin": Formats(
        torch=_formula(lambda torch, X, a, b: torch.sin(X)),
        onnx=lambda X, a, b: X.op("Sin"),
        c="F(sin)(z)",
    ),
    "cos": Formats(
        torch=_formula(lambda torch, X, a, b: torch.cos(X)),
        onnx=lambda X, a, b: X.op("Cos"),
        c="F(cos)(z)",
    ),
    "abs": Formats(
        torch=_formula(lambda torch, X, a, b: torch.abs(X)),
        onnx=lambda X, a, b: X.op("Abs"),
        c="F(fabs)(z)",
    ),
    "square": Formats(
        torch=_formula(lambda torch, X, a, b: torch.square(X)),
        onnx=lambda X, a, b: X * X,
        c="z * z",
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
