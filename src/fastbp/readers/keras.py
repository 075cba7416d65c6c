"""`from_keras`: reads sequential and functional Keras 3 models of dense layers, with any backend.

It reads the attributes of the Keras objects, so Keras is imported only to load a file. The graph is traversed from the
outputs back: a tensor knows the operation that created it and its input tensors.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp import _optional
from fastbp._engine import ACTIVATIONS as OWN
from fastbp._typing import DTypeLike
from fastbp.errors import ModelFormatError
from fastbp.layers import merge
from fastbp.layers.dense import Dense, Dropout, PReLU
from fastbp.layers.embedding import Embedding
from fastbp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.model import Model
from fastbp.readers import arithmetic
from fastbp.readers.arithmetic import At, Unread
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.formulas import Of, Spelled

FORM = "Keras"
# Keras's names that are not ours, and those with parameters of its own.
ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "absolute": ("abs", ()),
    "exponential": ("exp", ()),
    "swish": ("silu", ()),
    "hard_silu": ("hard_swish", ()),
    "leaky_relu": ("leaky_relu", (0.2,)),
    "squareplus": ("squareplus", (4.0,)),
    "threshold": ("", ()),  # has no defaults there
}


def from_keras(model: Any, *, dtype: DTypeLike | None = None) -> Model:
    """Convert a Keras model of dense layers, activations, normalizations and merge layers.

    Parameters
    ----------
    model : keras.Sequential, keras.Model, or path of a .keras file
        It must be built, with inputs of shape (rows, columns). A file is loaded by Keras, without its training
        configuration and without custom code from the file.
    dtype : {"float32", "float64"}, optional
        dtype of the model; that of the weights if not given.

    Returns
    -------
    Model
        A Sequential for a chain. Names of layers stay.

    Raises
    ------
    ValueError
        If a layer or operation has no counterpart; the message names it.
    TypeError
        If it is no model of Keras.
    ModelFormatError
        If Keras cannot load the file.
    ImportError
        If there is a file to load and the package `keras` is not installed.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])  # doctest: +SKIP
    >>> from_keras(model)  # doctest: +SKIP
    <Sequential 'sequential', 15 parameters, float32>
    """
    if isinstance(model, (str, os.PathLike)):
        model = _loaded(os.fspath(model))
    if not hasattr(model, "layers") or not hasattr(model, "get_weights"):
        raise TypeError(f"from_keras wants a model of Keras, got {type(model).__name__}")
    if not getattr(model, "inputs", None):
        raise ValueError(f"model {model.name!r} is not built: call it, or give it an Input")
    reader = _Reader(Draft())
    for tensor in model.inputs:
        reader.values[id(tensor)] = At(reader.draft.input(_width(tensor), tensor.name))
    outputs = [reader.value(tensor) for tensor in model.outputs]
    for tensor, value in zip(model.outputs, outputs, strict=True):
        if isinstance(value, Unread):
            raise value.error
        if not isinstance(value, At):
            raise ValueError(f"output {tensor.name!r} must have shape (rows, columns), got {tuple(tensor.shape)}")
    return reader.draft.model([at.number for at in outputs], dtype)


def _loaded(path: str) -> Any:
    os.stat(path)  # Keras says of a file that is missing that it is damaged
    keras = _optional.package("keras", "from_keras")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of a file that is damaged anything comes
        words = str(error).strip().partition("\n")[0]
        raise ModelFormatError(f"{path} is no sound model of Keras: {words}") from error


def _width(tensor: Any) -> int:
    if len(tensor.shape) != 2 or tensor.shape[1] is None:
        raise ValueError(f"input {tensor.name!r} must have shape (rows, columns), got {tuple(tensor.shape)}")
    return int(tensor.shape[1])


@dataclass(frozen=True)
class Stacked:
    """What an Embedding gives: a row for each column, which Flatten puts one after the other as our layer does."""

    at: At


class _Reader:
    """Walks from tensors to the operations that made them."""

    def __init__(self, draft: Draft):
        self.draft = draft
        self.values: dict[int, Any] = {}
        self.layers: dict[int, Any] = {}
        self.spelled = Spelled()

    def value(self, tensor: Any) -> Any:
        """The step of a tensor, after those that it is made of."""
        pending = [tensor]
        while pending:
            current = pending[-1]
            operation, node_index, _ = current._keras_history
            node = operation._inbound_nodes[node_index]
            missing = [parent for parent in node.input_tensors if id(parent) not in self.values]
            if id(current) in self.values:
                pending.pop()
            elif missing:
                pending.extend(missing)
            else:
                made = self.read(operation, node)
                self.values.update({id(output): at for output, at in zip(node.output_tensors, made, strict=True)})
        return self.values[id(tensor)]

    def read(self, operation: Any, node: Any) -> list[Any]:
        """The values of an operation's outputs."""
        if hasattr(operation, "inputs") and hasattr(operation, "outputs"):
            return self.nested(operation, node)
        activation = self.activation(operation, node)
        if activation is not None:
            return [activation]
        for tensor in node.input_tensors:
            if isinstance(self.values[id(tensor)], Unread):
                return [self.values[id(tensor)]] * len(node.output_tensors)
        made = self.called(operation, [self.known(argument) for argument in node.arguments.args])
        if made is None:
            what = f"layer {operation.name!r} ({type(operation).__name__})"
            made = Unread(unsupported(what, FORM, [*LAYERS, *OPERATIONS]))
        return list(made) if isinstance(made, tuple) else [made] * len(node.output_tensors)

    def called(self, operation: Any, args: list) -> Any:
        """What an operation gives; None if it has no counterpart."""
        kind = type(operation).__name__
        layer = hasattr(operation, "trainable_variables")
        row = (LAYERS if layer else OPERATIONS).get(kind)
        if any(isinstance(arg, Stacked) for arg in args):
            return args[0].at if kind == "Flatten" else None
        if row is not None:
            return row(self, operation, *args)
        return None if layer or len(args) != 1 or not isinstance(args[0], At) else _operation(self, operation, *args)

    def activation(self, operation: Any, node: Any) -> At | None:
        """The step of an operation that ends the formula of an activation."""
        key, arguments = id(node.output_tensors[0]), node.arguments.args
        if not hasattr(operation, "trainable_variables") and getattr(operation, "axis", -1) in (1, -1):
            limits = [getattr(operation, limit) for limit in ("x_min", "x_max") if hasattr(operation, limit)]
            parts = tuple(Of(id(part)) if id(part) in self.values else part for part in [*arguments, *limits])
            self.spelled.note(key, type(operation).__name__.lower(), parts)
        return self.spelled.activation(self.draft, key, self.values)

    def nested(self, model: Any, node: Any) -> list[Any]:
        """A model used as a layer: its own graph on these tensors."""
        inner = _Reader(self.draft)
        inner.layers = self.layers
        for own, given in zip(model.inputs, node.input_tensors, strict=True):
            inner.values[id(own)] = self.values[id(given)]
        return [inner.value(tensor) for tensor in model.outputs]

    def known(self, argument: Any) -> Any:
        """The values of the tensors in an argument."""
        if isinstance(argument, (list, tuple)):
            return type(argument)(self.known(each) for each in argument)
        return self.values.get(id(argument), argument)

    def add(self, operation: Any, make: Callable, x: At, **arrays: np.ndarray) -> At:
        """A step of a layer, the same one each time that the operation is called."""
        layer = self.layers.setdefault(id(operation), None) or make(operation.name)
        self.layers[id(operation)] = layer
        return At(self.draft.add(layer, x.number, **arrays))

    def activate(self, operation: Any, x: At, name: str, *parameters: float, own_name: bool = True) -> At | None:
        """An activation by our name; None if the engine has none."""
        if name not in OWN:
            return None
        label = operation.name if own_name and id(operation) not in self.layers else None
        self.layers.setdefault(id(operation), None)
        return At(self.draft.activate(x.number, name, *parameters, name=label))


def _array(variable: Any) -> np.ndarray:
    """A weight, whatever the backend keeps it in."""
    return as_array(getattr(variable, "value", variable))


def _function(reader: _Reader, operation: Any, x: At, own_name: bool) -> At | None:
    function = operation.activation
    name = "linear" if function is None else getattr(function, "__name__", "")
    ours, parameters = ACTIVATIONS.get(name, (name, ()))
    return reader.activate(operation, x, ours, *parameters, own_name=own_name)


def _dense(reader: _Reader, operation: Any, x: At) -> At | None:
    W = _array(operation.kernel)
    arrays = {"W": W, **({"b": _array(operation.bias)} if operation.use_bias else {})}
    made = reader.add(
        operation,
        lambda name: Dense(W.shape[1], bias=operation.use_bias, name=name, trainable=bool(operation.trainable)),
        x,
        **arrays,
    )
    return _function(reader, operation, made, own_name=False)


def _norm(make: Callable, own: dict[str, str]) -> Callable:
    def read(reader, operation, x):
        if getattr(operation, "axis", -1) not in (1, -1, [1], [-1]) or getattr(operation, "rms_scaling", False):
            return None
        width = reader.draft.width(x.number)
        arrays = {"gamma": np.ones(width, np.float32), "beta": np.zeros(width, np.float32)}
        found = {ours: getattr(operation, theirs, None) for ours, theirs in own.items()}
        arrays |= {ours: _array(variable) for ours, variable in found.items() if variable is not None}
        return reader.add(operation, lambda name: make(operation, name), x, **arrays)

    return read


def _batch_norm(operation, name):
    momentum = round(1 - operation.momentum, 9)
    return BatchNorm(momentum, operation.epsilon, name=name, trainable=bool(operation.trainable))


AFFINE = {"gamma": "gamma", "beta": "beta"}


def _relu(reader, operation, x):
    top, slope = operation.max_value, float(operation.negative_slope)
    if operation.threshold or (top is not None and (slope or top != 6)):
        return None
    name, *parameters = ("relu6",) if top else ("leaky_relu", slope) if slope else ("relu",)
    return reader.activate(operation, x, name, *parameters)


def _merge(gate: type[merge.Merge]) -> Callable:
    def read(reader, operation, values, *more):
        values = values if isinstance(values, list) else [values, *more]
        if not all(isinstance(value, At) for value in values) or getattr(operation, "axis", -1) not in (1, -1):
            return None
        return arithmetic.merged(reader.draft, gate(name=operation.name), values)

    return read


def _plain(function: Callable) -> Callable:
    return lambda reader, operation, *args: function(reader.draft, *args)


def _normalization(reader, operation, x):
    mean, variance = (_array(getattr(operation, key)).reshape(-1) for key in ("mean", "variance"))
    if operation.invert or mean.size not in (1, reader.draft.width(x.number)):
        return None
    std = np.maximum(np.sqrt(variance), 1e-7)  # Keras's epsilon
    return At(reader.draft.affine(x.number, 1 / std, -mean / std, operation.name))


def _prelu(reader, operation, x):
    alpha = _array(operation.alpha)
    return reader.add(operation, lambda name: PReLU(alpha.size, name=name), x, alpha=alpha.reshape(-1))


def _embedding(reader, operation, x):
    W = _array(operation.embeddings)
    made = reader.add(
        operation, lambda name: Embedding(*W.shape, name=name, trainable=bool(operation.trainable)), x, W=W
    )
    return None if operation.mask_zero else Stacked(made)


def _operation(reader, operation, x):
    """A function that is an activation, by its own name or Keras's other one."""
    kind = type(operation).__name__
    theirs = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    ours = ACTIVATIONS.get(theirs, ("",))[0] or theirs
    name = f"{ours}_tanh" if getattr(operation, "approximate", False) else ours
    parameters = [float(getattr(operation, key)) for key in PARAMETERS.get(kind, ())]
    usual = getattr(operation, "axis", -1) in (1, -1)
    return reader.activate(operation, x, name, *parameters) if usual else None


def _split(reader, operation, x):
    sections, width = operation.indices_or_sections, reader.draft.width(x.number)
    if operation.axis not in (1, -1):
        return None
    ends = [width // sections * k for k in range(1, sections)] if isinstance(sections, int) else list(sections)
    return arithmetic.split(reader.draft, x, np.diff([0, *ends, width]).tolist())


def _item(reader, operation, x, key):
    if not isinstance(x, At) or not isinstance(key, tuple) or len(key) != 2 or key[0] not in (slice(None), ...):
        return None
    width = reader.draft.width(x.number)
    return At(reader.draft.columns(x.number, range(width)[key[1]])) if isinstance(key[1], slice) else None


# Layers and operations, by class: (reader, the layer, what it is called on) -> step
LAYERS: dict[str, Callable] = {
    "Dense": _dense,
    "Activation": lambda reader, operation, x: _function(reader, operation, x, own_name=True),
    "ReLU": _relu,
    "LeakyReLU": lambda reader, op, x: reader.activate(op, x, "leaky_relu", float(op.negative_slope)),
    "ELU": lambda reader, op, x: reader.activate(op, x, "elu", float(op.alpha)),
    "PReLU": _prelu,
    "Softmax": lambda reader, op, x: reader.activate(op, x, "softmax") if op.axis in (1, -1) else None,
    "BatchNormalization": _norm(_batch_norm, {**AFFINE, "mean": "moving_mean", "variance": "moving_variance"}),
    "LayerNormalization": _norm(lambda op, name: LayerNorm(op.epsilon, name=name), AFFINE),
    "RMSNormalization": _norm(lambda op, name: RMSNorm(op.epsilon, name=name), {"gamma": "scale"}),
    "Embedding": _embedding,
    "Dropout": lambda reader, op, x: reader.add(op, lambda name: Dropout(float(op.rate), name=name), x),
    "Flatten": lambda reader, op, x: x,
    "Identity": lambda reader, op, x: x,
    "Rescaling": lambda reader, op, x: At(reader.draft.affine(x.number, float(op.scale), float(op.offset), op.name)),
    "Normalization": _normalization,
    "Add": _merge(merge.Add),
    "Average": _merge(merge.Average),
    "Subtract": _merge(merge.Subtract),
    "Multiply": _merge(merge.Multiply),
    "Maximum": _merge(merge.Maximum),
    "Minimum": _merge(merge.Minimum),
    "Concatenate": _merge(merge.Concatenate),
}
OPERATIONS: dict[str, Callable] = {
    "Add": _plain(arithmetic.add),
    "Subtract": _plain(arithmetic.subtract),
    "Multiply": _plain(arithmetic.multiply),
    "TrueDivide": _plain(arithmetic.divide),
    "Divide": _plain(arithmetic.divide),
    "Negative": lambda reader, op, x: At(reader.draft.affine(x.number, -1.0, 0.0)),
    "Maximum": _plain(arithmetic.maximum),
    "Minimum": _plain(arithmetic.minimum),
    "Concatenate": _merge(merge.Concatenate),
    "Split": _split,
    "Clip": lambda reader, op, x: arithmetic.clipped(reader.draft, x, op.x_min, op.x_max),
    "GetItem": _item,
}
# What functions that are activations call their parameters.
PARAMETERS = {
    "Celu": ("alpha",),
    "Elu": ("alpha",),
    "HardShrink": ("threshold",),
    "LeakyRelu": ("negative_slope",),
    "SoftShrink": ("threshold",),
    "Squareplus": ("b",),
    "Threshold": ("threshold", "default_value"),
}
