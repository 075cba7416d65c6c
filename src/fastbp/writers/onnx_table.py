"""The table of the ONNX writer: the operators of each kind of op; `activation_formats` has the activations.

An entry maps values of the graph to values, so composite functions are formulas. A standard operator is used if the
opset has it and, in float64, onnxruntime implements it for float64; otherwise the formula beside it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.writers.activation_formats import normal_cdf
from fastbp.writers.steps import Step, taken_apart

FORM = "ONNX"
LOWEST, USUAL = 13, 17  # opsets: the first with ReduceSum's axes as an input, and the first with LayerNormalization


class Value:
    """A tensor of a graph that is being written; operators and methods add nodes."""

    def __init__(self, graph: Any, name: Any):
        self.graph, self.name = graph, name

    def op(self, kind: str, *others: Any, **attributes: Any) -> "Value":
        """The output of an operator on this and other values; numbers and arrays become constants."""
        return self.graph.node(kind, [self, *others], attributes)

    def either(self, kind: str, formula: Callable[[], "Value"], *, since: int = 1, **attributes: Any) -> "Value":
        """The output of a standard operator, or of the formula where onnxruntime or the opset lacks the operator."""
        if self.graph.dtype == np.float64 or self.graph.opset < since:
            return formula()
        return self.op(kind, **attributes)

    def __add__(self, other):
        return self.op("Add", other)

    def __sub__(self, other):
        return self.op("Sub", other)

    def __mul__(self, other):
        return self.op("Mul", other)

    def __truediv__(self, other):
        return self.op("Div", other)

    def __neg__(self):
        return self.op("Neg")

    __radd__, __rmul__ = __add__, __mul__

    def exp(self):
        return self.op("Exp")

    def tanh(self):
        return self.op("Tanh")

    def sigmoid(self):
        return self.op("Sigmoid")

    def clip(self, low, high):
        """Clipped to low ... high."""
        return self.op("Max", low).op("Min", high)

    def mean(self):
        """The mean of each row."""
        if self.graph.opset < 18:
            return self.op("ReduceMean", axes=[1], keepdims=1)
        return self.op("ReduceMean", np.array([1]), keepdims=1)

    def where(self, condition, other):
        """The value itself where the condition holds, else the other."""
        return condition.op("Where", self, other)


def _scaled(X: Value, scale: float, shift: float = 0.0) -> Value:
    X = X if scale == 1 else X * scale
    return X if shift == 0 else X + shift


def _layer_norm(step: Step, X: Value, p: dict[str, Value]) -> Value:
    if X.graph.opset >= 17:
        ones = np.ones(step.width, X.graph.dtype)
        return X.op("LayerNormalization", p.get("gamma", ones), p.get("beta", 0 * ones), axis=-1, epsilon=step.alpha)
    D = X - X.mean()
    return _affine(D / ((D * D).mean() + step.alpha).op("Sqrt"), p)


def _affine(X: Value, p: dict[str, Value]) -> Value:
    X = X * p["gamma"] if "gamma" in p else X
    return X + p["beta"] if "beta" in p else X


def _batch_norm(step: Step, X: Value, p: dict[str, Value]) -> Value:
    ones = np.ones(step.width, X.graph.dtype)
    affine = p.get("gamma", ones), p.get("beta", 0 * ones)
    return X.op("BatchNormalization", *affine, p["mean"], p["variance"], epsilon=step.alpha)


def _slice(step: Step, X: Value, p: dict[str, Value]) -> Value:
    columns = step.columns()
    stop = columns.stop if columns.stop >= 0 else -(2**31)
    ends = (np.array([value]) for value in (columns.start, stop, 1, columns.step))
    return X.op("Slice", *ends)


def _every_row(step: Step, X: Value, row: Value) -> Value:
    """A number, or one for each column, broadcast to the rows of X."""
    rows = X.op("Shape").op("Slice", np.array([0]), np.array([1]))
    return row.op("Expand", rows.op("Concat", np.array([step.width]), axis=0))


def _constant(step: Step, X: Value, p: dict[str, Value]) -> Value:
    values = np.array([step.settings.get("values", [step.alpha])], X.graph.dtype)
    return _every_row(step, X, X.graph.constant(values))


def _power(step: Step, X: Value, p: dict[str, Value]) -> Value:
    return X.op("Sqrt") if step.alpha == 0.5 else X.op("Pow", step.alpha)


def _sum(step: Step, X: Value, p: dict[str, Value]) -> Value:
    return _scaled(X.op("ReduceSum", np.array([1]), keepdims=1), step.alpha)


def _embedding(step: Step, X: Value, p: dict[str, Value]) -> Value:
    """The table's rows for each column, one after the other."""
    return p["W"].op("Gather", X.op("Cast", to=X.graph.code("int64")), axis=0).op("Reshape", np.array([-1, step.width]))


def _each(kind: str) -> Callable:
    """A gate of several inputs by an operator of two, applied repeatedly."""

    def write(step: Step, X: Value, p: dict[str, Value], *others: Value) -> Value:
        for other in others:
            X = X.op(kind, other)
        return X

    return write


# kind: (step, X, parameters by name, more inputs) -> Y; X is some input of the net for a kind without inputs
KINDS: dict[str, Callable[..., Value]] = {
    "derivative": taken_apart,
    "dense": lambda step, X, p: X.op("Gemm", *p.values()),
    "activation": lambda step, X, p: X,
    "dropout": lambda step, X, p: X,
    "embedding": _embedding,
    "prelu": lambda step, X, p: X.op("Relu") + X.op("Min", 0.0) * p["alpha"],
    "affine": lambda step, X, p: _scaled(X, step.alpha, step.beta),
    "add": lambda step, X, p, *others: _scaled(X.op("Sum", *others), step.alpha),
    "subtract": _each("Sub"),
    "multiply": _each("Mul"),
    "maximum": lambda step, X, p, *others: X.op("Max", *others),
    "minimum": lambda step, X, p, *others: X.op("Min", *others),
    "concatenate": lambda step, X, p, *others: X.op("Concat", *others, axis=1),
    "slice": _slice,
    "broadcast": lambda step, X, p: X.op("Expand", np.array([1, step.width])),
    "constant": _constant,
    "parameter": lambda step, X, p: _every_row(step, X, p["value"]),
    "divide": _each("Div"),
    "power": _power,
    "log": lambda step, X, p: X.op("Log"),
    "sum": _sum,
    "layer_norm": _layer_norm,
    "rms_norm": lambda step, X, p: _affine(X / ((X * X).mean() + step.alpha).op("Sqrt"), p),
    "batch_norm": _batch_norm,
    "slope_threshold": lambda step, X, p, *Y: X.op("Greater", step.alpha).op("Cast", to=X.graph.code(X.graph.dtype)),
    "slope_gelu": lambda step, X, p, *Y: normal_cdf(X) + X * (X * X * -0.5).exp() * (2 * math.pi) ** -0.5,
}
IMPOSSIBLE = {"python": "its functions stay in Python"}
