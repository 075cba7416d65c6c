"""The table of ONNX operators: each entry maps a node and the values of its inputs to a value.

A value is a step of the draft, a constant array, or None for an omitted input. An entry returns None for attributes
that no layer supports.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._engine import ACTIVATIONS as OWN
from fastbp.errors import ModelFormatError
from fastbp.layers import merge
from fastbp.layers.dense import Dense, Dropout, PReLU
from fastbp.layers.embedding import Embedding
from fastbp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.readers import arithmetic
from fastbp.readers.arithmetic import At, Stacked, Whole
from fastbp.readers.draft import Draft
from fastbp.readers.onnx import norms
from fastbp.readers.settings import Refused, Settings, want

WIDE = ("float32", "float64")  # casts between these do not change the computation
WHOLE = ("int64", "int32")


class Node:
    """A node of the graph: its attributes, and the layers created from arrays so far."""

    def __init__(self, draft: Draft, layers: dict, proto: Any, name: str | None, attributes: Settings, opset: int):
        self.draft, self.layers, self.inputs = draft, layers, list(proto.input)
        self.outputs, self.name, self.attributes, self.opset = len(proto.output), name, attributes, opset
        self.get = attributes.get  # marks the attribute as used

    def layer(self, make: Callable, x: At, *names: str, **arrays: np.ndarray) -> At:
        """A step of a layer; for the same arrays as before, of the same layer."""
        key = (*names, *self.inputs[1:], *(str(item) for item in sorted(self.attributes.found.items(), key=str)))
        if key not in self.layers:
            self.layers[key] = make(self.name)
        return At(self.draft.add(self.layers[key], x.number, **arrays))

    def activate(self, x: Any, activation: str, *parameters: float) -> At | None:
        """An activation, if the engine has it."""
        if not isinstance(x, At) or activation not in OWN:
            return None
        return At(self.draft.activate(x.number, activation, *parameters, name=self.name))


def _gemm(node, A, B, C=None):
    want("transA", node.get("transA", 0), 0)
    _want_weights(A, B)
    W = node.get("alpha", 1.0) * (B.T if node.get("transB", 0) else B)
    scale = node.get("beta", 1.0)
    if C is not None and not (isinstance(C, np.ndarray) and is_row(C, W.shape[1])):
        raise Refused(f"its third input is {described(node, C)}, known here: constants, one for each column or one")
    b = None if C is None else scale * np.broadcast_to(np.reshape(C, -1), (W.shape[1],))
    return _dense(node, A, W.astype(B.dtype), b)


def _dense(node, x, W, b):
    arrays = {"W": W} if b is None else {"W": W, "b": b.astype(W.dtype)}
    return node.layer(lambda name: Dense(W.shape[1], bias=b is not None, name=name), x, **arrays)


def _matmul(node, A, B):
    _want_weights(A, B)
    return _dense(node, A, B, None)


def _is_matrix(B):
    return isinstance(B, np.ndarray) and B.ndim == 2 and B.dtype.kind == "f"


def _want_weights(A, B):
    """Refuse a product unless it is of a step and a constant matrix."""
    if isinstance(B, np.ndarray) and not _is_matrix(B):
        raise Refused(
            f"its weights are an array of {B.dtype} of shape {B.shape}, known here: a matrix of floating point"
        )
    if not isinstance(A, At):
        raise Refused("its first input is not computed from the inputs as (rows, columns)")
    if not isinstance(B, np.ndarray):
        raise Refused("its weights are not constant: they are computed from the inputs")


def is_row(array: np.ndarray, width: int) -> bool:
    """Whether an array is one number, or one for each column, and the same for all rows."""
    return array.size in (1, width) and not set(array.shape[:-1]) - {1}


def described(node: "Node", value: Any) -> str:
    """A value as an error message describes it."""
    if isinstance(value, At):
        return f"{node.draft.width(value.number)} columns"
    if isinstance(value, np.ndarray):
        return f"a constant of shape {value.shape}"
    words = {Whole: "whole numbers", Stacked: "rows of a table, of three dimensions", norms.Part: "a part of a formula"}
    return words.get(type(value), "nothing" if value is None else "another value")


def _arithmetic(read: Callable) -> Callable:
    return lambda node, a, b: read(node.draft, a, b, name=node.name)


def _add(node, a, b):
    at, other = (a, b) if isinstance(a, At) else (b, a)
    dense = isinstance(at, At) and type(node.draft.layer(at.number)) is Dense and isinstance(other, np.ndarray)
    before = node.draft.parameters(at.number) if dense else {}
    if (
        before.keys() == {"W"} and other.size == before["W"].shape[1] > 1 and is_row(other, other.size)
    ):  # MatMul followed by Add is one layer
        parent = At(node.draft.parents(at.number)[0])
        return _dense(node, parent, before["W"], other.reshape(-1))
    return norms.add(a, b) or norms.scaled(node, a, b, "beta") or _plus(node, a, b)


_plus = _arithmetic(arithmetic.add)
_minus = _arithmetic(arithmetic.subtract)
_times = _arithmetic(arithmetic.multiply)
_over = _arithmetic(arithmetic.divide)


def _mul(node, a, b):
    return norms.multiply(node, a, b) or norms.scaled(node, a, b, "gamma") or _times(node, a, b)


def _pow(node, x, exponent):
    if np.size(exponent) == 1 and isinstance(exponent, np.ndarray) and np.ravel(exponent)[0] == 2:
        return _mul(node, x, x)
    return arithmetic.power(node.draft, x, exponent, name=node.name)


def _sum(node, *values):
    steps = [value for value in values if isinstance(value, At)]
    if len(values) == 1:
        return values[0]
    return arithmetic.merged(node.draft, merge.Add(name=node.name), steps) if len(steps) == len(values) else None


def _mean(node, *values):
    if len(values) < 2 or not all(isinstance(value, At) for value in values):
        return values[0] if len(values) == 1 else None
    return arithmetic.merged(node.draft, merge.Average(name=node.name), values)


def _extreme(read):
    return lambda node, *values: read(node.draft, *values, name=node.name)


def _clip(node, x, low=None, high=None):
    low, high = (node.get(key, value) for key, value in (("min", low), ("max", high)))
    if low is not None and high is not None and "hard_tanh" in OWN and np.size(low) == np.size(high) == 1:
        return node.activate(x, "hard_tanh", float(np.ravel(low)[0]), float(np.ravel(high)[0]))
    return arithmetic.clipped(node.draft, x, low, high) if isinstance(x, At) else None


def _concat(node, *values):
    steps = [value for value in values if isinstance(value, At)]
    want("axis", node.get("axis"), 1, -1)
    if len(steps) < len(values):
        return None
    return steps[0] if len(steps) == 1 else arithmetic.merged(node.draft, merge.Concatenate(name=node.name), steps)


def _slice(node, x, starts=None, ends=None, axes=None, steps=None):
    starts, ends, axes = (node.get(key, value) for key, value in (("starts", starts), ("ends", ends), ("axes", axes)))
    axes = range(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), int) if steps is None else steps
    if isinstance(x, At) and len(starts) == 1 and int(axes[0]) in (1, -1):
        width = node.draft.width(x.number)
        columns = range(width)[_python_slice(int(starts[0]), int(ends[0]), int(steps[0]), width)]
        return At(node.draft.columns(x.number, columns, node.name)) if columns else None
    return None


def _python_slice(start, end, step, width):
    if step < 0 and end < -width:
        return slice(start, None, step)
    return slice(start, end, step)


def _split(node, x, sizes=None):
    if not isinstance(x, At):
        return None
    want("axis", node.get("axis", 0), 1, -1)
    width, count = node.draft.width(x.number), node.outputs
    if node.get("num_outputs", count) != count:
        raise ModelFormatError(f"a Split says num_outputs={node.get('num_outputs')} and has {count} outputs")
    sizes = node.get("split", sizes)
    if sizes is None:
        each = -(-width // count)
        sizes = [min(each, width - start) for start in range(0, width, each)]
    fits = len(sizes) == count and sum(map(int, sizes)) == width and all(int(size) > 0 for size in sizes)
    return arithmetic.split(node.draft, x, [int(size) for size in sizes]) if fits else None


def _gather(node, x, indices):
    if _is_matrix(x) and isinstance(indices, Whole) and node.get("axis", 0) == 0:
        return Stacked(At(node.draft.add(Embedding(*x.shape, name=node.name), indices.number, W=x)))
    if isinstance(x, At) and isinstance(indices, np.ndarray) and indices.ndim == 1 and node.get("axis", 0) in (1, -1):
        width = node.draft.width(x.number)
        if indices.size and (np.abs(indices + 0.5) < width).all():
            return At(node.draft.columns(x.number, [range(width)[k] for k in indices.tolist()], node.name))
    return None


def _softmax(activation):
    def row(node, x):
        usual = 1 if node.opset < 13 else -1
        want("axis", node.get("axis", usual), 1, -1)
        return node.activate(x, activation)

    return row


def _plain(activation: str, **defaults: float) -> Callable:
    """An activation whose parameters are attributes of these names, with these defaults."""

    def row(node, x):
        return node.activate(x, activation, *(float(node.get(key, value)) for key, value in defaults.items()))

    return row


def _only(activation: str, **wanted: float) -> Callable:
    """An activation that exists only for these values of the attributes."""

    def row(node, x):
        for key, value in wanted.items():
            if not math.isclose(node.get(key, value), value, rel_tol=1e-6):
                raise Refused(f"{key} is {node.get(key)}, known here: {value}")
        return node.activate(x, activation)

    return row


def _hard_sigmoid(node, x):
    scale, shift = node.get("alpha", 0.2), node.get("beta", 0.5)
    if not isinstance(x, At) or "hard_tanh" not in OWN:
        return None
    if math.isclose(scale, 1 / 6, rel_tol=1e-6) and shift == 0.5:
        return node.activate(x, "hard_sigmoid")
    return node.activate(At(node.draft.affine(x.number, scale, shift)), "hard_tanh", 0.0, 1.0)


def _shrink(node, x):
    edge, bias = node.get("lambd", 0.5), node.get("bias", 0.0)
    activation = {edge: "soft_shrink", 0.0: "hard_shrink"}.get(bias)
    return node.activate(x, activation, edge) if activation else None


def _gelu(node, x):
    return node.activate(x, {"none": "gelu", "tanh": "gelu_tanh"}[node.get("approximate", "none")])


def _batch_norm(node, x, gamma, beta, mean, variance):
    want("training_mode", node.get("training_mode", 0), 0)
    if not isinstance(x, At):
        return None
    arrays = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    momentum, eps = round(1 - node.get("momentum", 0.9), 7), node.get("epsilon", 1e-5)
    return node.layer(lambda name: BatchNorm(momentum, eps, name=name), x, **arrays)


def _layer_norm(node, x, gamma, beta=None):
    want("axis", node.get("axis", -1), 1, -1)
    if not isinstance(x, At):
        return None
    beta = np.zeros_like(gamma) if beta is None else beta
    return node.layer(lambda name: LayerNorm(node.get("epsilon", 1e-5), name=name), x, gamma=gamma, beta=beta)


def _rms_norm(node, x, gamma):
    want("axis", node.get("axis", -1), 1, -1)
    if not isinstance(x, At):
        return None
    return node.layer(lambda name: RMSNorm(node.get("epsilon", 1e-5), name=name), x, gamma=gamma)


def _dropout(node, x, ratio=None, training=None):
    node.get("seed")  # used in training only
    if not (training is None or (isinstance(training, np.ndarray) and not training.any())):
        raise Refused("training_mode is on, or not constant")
    if ratio is not None and not isinstance(ratio, np.ndarray):
        raise Refused("ratio is not constant")
    rate = float(node.get("ratio", 0.5 if ratio is None else np.ravel(ratio)[0]))
    return At(node.draft.add(Dropout(rate, name=node.name), x.number)) if isinstance(x, At) else None


def _shape(node, x):
    """In shapes the batch size, which is unknown, is -1."""
    return np.array([-1, node.draft.width(x.number)]) if isinstance(x, At) else None


def _expand(node, x, shape):
    if isinstance(x, np.ndarray) and x.size == 1 and list(shape[:1]) == [-1] and len(shape) == 2:
        return At(node.draft.add(merge.Constant(float(x.reshape(-1)[0]), int(shape[1]), name=node.name)))
    if not isinstance(x, At) or not isinstance(shape, np.ndarray) or shape.shape != (2,) or shape[0] not in (1, -1):
        return None
    width, wanted = node.draft.width(x.number), int(shape[1])
    if wanted in (1, width):
        return x
    return At(node.draft.add(merge.Broadcast(wanted, name=node.name), x.number)) if width == 1 else None


def _constant_of_shape(node, shape):
    value = node.get("value", np.zeros(1, np.float32))
    if not isinstance(shape, np.ndarray) or shape.shape != (2,) or shape[0] != -1:
        return None
    return At(node.draft.add(merge.Constant(float(value.reshape(-1)[0]), int(shape[1]), name=node.name)))


def _reshape(node, x, shape=None):
    shape = node.get("shape", shape)
    want("allowzero", node.get("allowzero", 0), 0)
    x = x.at if isinstance(x, Stacked) else x
    if not isinstance(x, At) or not isinstance(shape, (np.ndarray, list)):
        return None
    return x if list(shape) in ([-1, node.draft.width(x.number)], [0, -1], [0, node.draft.width(x.number)]) else None


def _flatten(node, x):
    axis = node.get("axis", 1)
    if isinstance(x, Stacked):
        want("axis", axis, 1)
        return x.at
    want("axis", axis, 1, -1)
    return x if isinstance(x, At) else None


def _cast(node, x):
    kind = getattr(node.get("to"), "name", str(node.get("to")))
    node.get("saturate"), node.get("round_mode")  # only used by casts to 8 bits
    if isinstance(x, (At, Whole)) and kind in WHOLE:
        return Whole(x.number, isinstance(x, Whole) and x.exact)
    if isinstance(x, Whole) and not x.exact:
        raise Refused("it is of numbers that were rounded to whole ones")
    want("to", kind, *WIDE, *WHOLE)
    return At(x.number) if isinstance(x, (At, Whole)) else None


def _constant(node):
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for key, kind in kinds.items():
        if node.get(key) is not None:
            return np.asarray(node.get(key), kind)
    return node.get("value")


def _zip_map(node, x):
    node.get("classlabels_int64s"), node.get("classlabels_strings")  # names of the columns, in their order
    return x


def _neg(node, x):
    return At(node.draft.affine(x.number, -1.0, 0.0, node.name)) if isinstance(x, At) else None


def _prelu(node, x, slope):
    if not isinstance(x, At):
        return None
    if not isinstance(slope, np.ndarray) or not is_row(slope, node.draft.width(x.number)):
        raise Refused(f"its slope is {described(node, slope)}, known here: constants, one for each column or one")
    alpha = np.reshape(slope, -1)
    return node.layer(lambda name: PReLU(alpha.size, name=name), x, alpha=alpha)


def _scaler(node, x):
    scale, offset = (np.asarray(node.get(key, default), np.float32) for key, default in (("scale", 1), ("offset", 0)))
    return At(node.draft.affine(x.number, scale, -offset * scale, node.name)) if isinstance(x, At) else None


def _linear_regressor(node, x):
    want("post_transform", node.get("post_transform", "NONE"), "NONE")
    if not isinstance(x, At):
        return None
    W = np.reshape(np.asarray(node.get("coefficients"), np.float32), (node.get("targets", 1), -1)).T
    return _dense(node, x, W, None if node.get("intercepts") is None else np.asarray(node.get("intercepts")))


OPERATORS: dict[str, Callable] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Sub": lambda node, a, b: norms.subtract(a, b) or _minus(node, a, b),
    "Mul": _mul,
    "Pow": _pow,
    "Div": lambda node, a, b: norms.divide(node, a, b) or _over(node, a, b),
    "ReduceMean": norms.mean,
    "ReduceSum": norms.total,
    "Log": lambda node, x: arithmetic.log(node.draft, x, name=node.name),
    "Sqrt": norms.root,
    "Reciprocal": norms.reciprocal,
    "Neg": _neg,
    "Sum": _sum,
    "Mean": _mean,
    "Max": _extreme(arithmetic.maximum),
    "Min": _extreme(arithmetic.minimum),
    "Clip": _clip,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Shape": _shape,
    "Sigmoid": _plain("sigmoid"),
    "Tanh": _plain("tanh"),
    "Relu": _plain("relu"),
    "LeakyRelu": _plain("leaky_relu", alpha=0.01),
    "Elu": _plain("elu", alpha=1.0),
    "Celu": _plain("celu", alpha=1.0),
    "Selu": _only("selu", alpha=1.6732632423543772, gamma=1.0507009873554805),
    "Gelu": _gelu,
    "Mish": _plain("mish"),
    "Swish": _only("silu", alpha=1.0),
    "Softplus": _plain("softplus"),
    "Softsign": _plain("softsign"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain("hard_swish"),
    "ThresholdedRelu": lambda node, x: node.activate(x, "threshold", float(node.get("alpha", 1.0)), 0.0),
    "PRelu": _prelu,
    "Shrink": _shrink,
    "Exp": _plain("exp"),
    "Abs": _plain("abs"),
    "Sin": _plain("sin"),
    "Cos": _plain("cos"),
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "Dropout": _dropout,
    "Identity": lambda node, x: x,
    "Cast": _cast,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Constant": _constant,
}
ML_OPERATORS: dict[str, Callable] = {  # of the domain ai.onnx.ml
    "LinearRegressor": _linear_regressor,
    "Scaler": _scaler,
    "ZipMap": _zip_map,
}
