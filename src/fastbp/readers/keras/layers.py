"""The table of Keras layers and operations: each entry maps the reader, the layer and its inputs to a step.

An entry asks a layer for its settings through `Asked`; the reader refuses settings that no entry asked for and that do
not have their default values.
"""

import inspect
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp._engine import ACTIVATIONS as OWN
from fastbp.layers import constraints, merge
from fastbp.layers.dense import Dense, Dropout, PReLU
from fastbp.layers.embedding import Embedding
from fastbp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.readers import arithmetic
from fastbp.readers.arithmetic import At, Stacked
from fastbp.readers.arrays import as_array
from fastbp.readers.settings import Refused, Settings, want

# Activations with another name in Keras, or other parameters.
ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "absolute": ("abs", ()),
    "exponential": ("exp", ()),
    "swish": ("silu", ()),
    "hard_silu": ("hard_swish", ()),
    "leaky_relu": ("leaky_relu", (0.2,)),
    "squareplus": ("squareplus", (4.0,)),
    "threshold": ("", ()),  # without defaults in Keras
}


# Settings that weights determine, that affect only initialization and penalties, or that are checked for all layers.
HARMLESS = {
    "name",
    "trainable",
    "dtype",
    "units",
    "input_dim",
    "output_dim",
    "center",
    "seed",
    "data_format",
    "synchronized",
}
HARMLESS |= {"shared_axes", "activity_regularizer"}
NUMBERS = ("float32", "float64")  # dtypes in which Keras computes the same


def settings_of(operation: Any, layer: bool) -> Settings:
    """The settings of a layer from its config, of another operation from its attributes."""
    parameters = inspect.signature(type(operation).__init__).parameters
    defaults = {key: each.default for key, each in parameters.items() if each.default is not each.empty}
    if not layer:
        own = {key: value for key, value in vars(operation).items() if not key.startswith("_")}
        return Settings(own, defaults, {"name"})
    with warnings.catch_warnings(action="ignore"):  # functions cannot be compared
        found = operation.get_config()
    want("dtype", operation.compute_dtype, *NUMBERS)
    want("quantization_mode", getattr(operation, "quantization_mode", None), None)
    harmless = {key for key in found if key.endswith(("_initializer", "_regularizer"))}
    return Settings(found, defaults, HARMLESS | harmless)


def at_defaults(operation: Any) -> bool:
    """Whether an operation has only settings that formulas know; a cast may only be to float32 or float64."""
    settings = settings_of(operation, False)
    settings.asked |= {"axis", "x_min", "x_max"}
    if str(getattr(operation, "dtype", "")) in NUMBERS:
        settings.asked.add("dtype")
    try:
        settings.refuse_others()
    except Refused:
        return False
    return True


def in_order(operation: Any, args: list, options: dict) -> list:
    """Arguments of an operation, with keyword arguments moved to their positions."""
    bound = inspect.signature(type(operation).call).bind(operation, *args, **options)
    return list(bound.args[1:])


def _array(variable: Any) -> np.ndarray:
    """A weight, in any backend."""
    return as_array(getattr(variable, "value", variable))


def _function(reader: Any, operation: Any, x: At, own_name: bool) -> At | None:
    function = operation.activation
    name = "linear" if function is None else getattr(function, "__name__", "")
    if function is not None and not str(getattr(function, "__module__", "")).startswith("keras."):
        raise Refused(f"activation is {function!r:.60}, which is not one of Keras's")
    ours, parameters = ACTIVATIONS.get(name, (name, ()))
    if ours not in OWN:
        raise Refused(f"activation is {name or function!r:.60}, for which there is none here")
    return reader.activate(operation, x, ours, *parameters, own_name=own_name)


def _constraint(operation: Any) -> Any:
    """The constraint of a kernel, if fastbp has it: over the inputs of each unit."""
    found = operation.kernel_constraint
    kind = type(found).__name__
    if found is None:
        return None
    if kind == "NonNeg":
        return constraints.NonNegative()
    if kind == "MaxNorm" and found.axis == 0:
        return constraints.MaxNorm(float(found.max_value))
    raise Refused(f"kernel_constraint is {kind}, for which there is none here")


def _decay(regularizer: Any) -> float | None:
    """Keras adds l2 * sum(W**2) to the loss: its gradient is a weight decay of 2 * l2. None without l2."""
    if type(regularizer).__name__ not in ("L2", "L1L2") or not type(regularizer).__module__.startswith("keras."):
        return None
    return 2.0 * float(regularizer.l2) or None


def _dense(reader: Any, operation: Any, x: At) -> At | None:
    W = _array(operation.kernel)
    arrays = {"W": W, **({"b": _array(operation.bias)} if operation.use_bias else {})}
    made = reader.add(
        operation,
        lambda name: Dense(
            W.shape[1],
            bias=bool(operation.use_bias),
            name=name,
            trainable=bool(operation.trainable),
            constraint=_constraint(operation),
            decay=_decay(operation.kernel_regularizer),
        ),
        x,
        **arrays,
    )
    return _function(reader, operation, made, own_name=False)


COLUMNS = (-1, 1, [-1], [1])


def _norm(make: Callable, own: dict[str, str]) -> Callable:
    def read(reader, operation, x):
        want("axis", getattr(operation, "axis", -1), *COLUMNS)
        operation._settings.get("scale")  # gamma determines it
        width = reader.draft.width(x.number)
        arrays = {"gamma": np.ones(width, np.float32), "beta": np.zeros(width, np.float32)}
        found = {ours: getattr(operation, theirs, None) for ours, theirs in own.items()}
        arrays |= {ours: _array(variable) for ours, variable in found.items() if variable is not None}
        return reader.add(operation, lambda name: make(operation, name), x, **arrays)

    return read


def _batch_norm(operation, name):
    momentum = round(1 - operation.momentum, 9)
    return BatchNorm(momentum, operation.epsilon, name=name, trainable=bool(operation.trainable))


def _layer_norm(operation, name):
    want("rms_scaling", getattr(operation, "rms_scaling", False), False)
    return LayerNorm(operation.epsilon, name=name, trainable=bool(operation.trainable))


def _rms_norm(operation, name):
    return RMSNorm(operation.epsilon, name=name, trainable=bool(operation.trainable))


def _softmax(reader, operation, x):
    want("axis", operation.axis, *COLUMNS)
    return reader.activate(operation, x, "softmax")


def _rescaling(reader, operation, x):
    for key in ("scale", "offset"):
        if isinstance(getattr(operation, key), bool):
            raise Refused(f"{key} is {getattr(operation, key)}")
    given = [_array(value).reshape(-1).astype(np.float64) for value in (operation.scale, operation.offset)]
    if any(value.size not in (1, reader.draft.width(x.number)) for value in given):
        raise Refused(f"scale and offset are of {given[0].size} and {given[1].size} numbers")
    scale, shift = (float(value[0]) if value.size == 1 else value.astype(np.float32) for value in given)
    return At(reader.draft.affine(x.number, scale, shift, operation.name))


AFFINE = {"gamma": "gamma", "beta": "beta"}


def _relu(reader, operation, x):
    top, slope = operation.max_value, float(operation.negative_slope)
    want("threshold", float(operation.threshold), 0.0)
    if top is not None and slope:
        raise Refused(f"negative_slope is {slope}, with max_value {top}")
    if top is not None and float(top) != 6:
        return reader.activate(operation, x, "hard_tanh", 0.0, float(top))
    name, *parameters = ("relu6",) if top else ("leaky_relu", slope) if slope else ("relu",)
    return reader.activate(operation, x, name, *parameters)


def _merge(gate: type[merge.Merge]) -> Callable:
    def read(reader, operation, values, *more):
        values = values if isinstance(values, list) else [values, *more]
        want("axis", getattr(operation, "axis", -1), *COLUMNS)
        if not all(isinstance(value, At) for value in values):
            return None
        return arithmetic.merged(reader.draft, gate(name=operation.name), values)

    return read


def _plain(function: Callable) -> Callable:
    return lambda reader, operation, *args: function(reader.draft, *args)


def _normalization(reader, operation, x):
    mean, variance = (_array(getattr(operation, key)).reshape(-1) for key in ("mean", "variance"))
    want("axis", operation.axis, None, *COLUMNS)
    want("invert", operation.invert, False)
    if mean.size not in (1, reader.draft.width(x.number)):
        raise Refused(f"mean has {mean.size} numbers, of {reader.draft.width(x.number)} columns")
    std = np.maximum(np.sqrt(variance), 1e-7)  # Keras's epsilon
    return At(reader.draft.affine(x.number, 1 / std, -mean / std, operation.name))


def _prelu(reader, operation, x):
    alpha = _array(operation.alpha)
    trainable = bool(operation.trainable)
    return reader.add(
        operation, lambda name: PReLU(alpha.size, name=name, trainable=trainable), x, alpha=alpha.reshape(-1)
    )


def _embedding(reader, operation, x):
    want("mask_zero", operation.mask_zero, False)
    W = _array(operation.embeddings)
    decay = _decay(operation.embeddings_regularizer)
    made = reader.add(
        operation, lambda name: Embedding(*W.shape, name=name, trainable=bool(operation.trainable), decay=decay), x, W=W
    )
    return Stacked(made)


def our_name(kind: str) -> tuple[str, str]:
    """Our name for the class of a function, and Keras's."""
    theirs = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    return ACTIVATIONS.get(theirs, ("",))[0] or theirs, theirs


def operation_of(reader, operation, x):
    """A function that is an activation, by its own name or its other name in Keras."""
    kind = type(operation._part).__name__
    ours, _ = our_name(kind)
    name = f"{ours}_tanh" if getattr(operation, "approximate", False) else ours
    parameters = [float(getattr(operation, key)) for key in PARAMETERS.get(kind, ())]
    want("axis", getattr(operation, "axis", -1), *COLUMNS)
    return reader.activate(operation, x, name, *parameters)


def _split(reader, operation, x):
    sections, width = operation.indices_or_sections, reader.draft.width(x.number)
    if operation.axis not in (1, -1):
        return None
    ends = [width // sections * k for k in range(1, sections)] if isinstance(sections, int) else list(sections)
    return arithmetic.split(reader.draft, x, np.diff([0, *ends, width]).tolist())


def _item(reader, operation, x, key):
    key = tuple(key) if isinstance(key, list) else key  # lists in files
    if not isinstance(x, At) or not isinstance(key, tuple) or len(key) != 2 or key[0] not in (slice(None), ...):
        return None
    width = reader.draft.width(x.number)
    return At(reader.draft.columns(x.number, range(width)[key[1]])) if isinstance(key[1], slice) else None


# Layers and operations by class: (reader, layer, inputs) -> step
LAYERS: dict[str, Callable] = {
    "Dense": _dense,
    "Activation": lambda reader, operation, x: _function(reader, operation, x, own_name=True),
    "ReLU": _relu,
    "LeakyReLU": lambda reader, op, x: reader.activate(op, x, "leaky_relu", float(op.negative_slope)),
    "ELU": lambda reader, op, x: reader.activate(op, x, "elu", float(op.alpha)),
    "PReLU": _prelu,
    "Softmax": _softmax,
    "BatchNormalization": _norm(_batch_norm, {**AFFINE, "mean": "moving_mean", "variance": "moving_variance"}),
    "LayerNormalization": _norm(_layer_norm, AFFINE),
    "RMSNormalization": _norm(_rms_norm, {"gamma": "scale"}),
    "Embedding": _embedding,
    "Dropout": lambda reader, op, x: reader.add(op, lambda name: Dropout(float(op.rate), name=name), x),
    "Flatten": lambda reader, op, x: x,
    "Identity": lambda reader, op, x: x,
    "Rescaling": _rescaling,
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
# Parameter names of functions that are activations.
PARAMETERS = {
    "Celu": ("alpha",),
    "Elu": ("alpha",),
    "HardShrink": ("threshold",),
    "LeakyRelu": ("negative_slope",),
    "SoftShrink": ("threshold",),
    "Squareplus": ("b",),
    "Threshold": ("threshold", "default_value"),
}
