"""`from_keras`: reads models of dense layers, sequential or functional, of any backend.

Only attributes of Keras 3 objects are read, so Keras need not be imported here, except for a file. The graph is
traversed from the outputs back: a tensor knows the operation that created it, and the arguments of that call.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import _optional
from fastbp._engine import ACTIVATIONS as OWN
from fastbp._typing import DTypeLike
from fastbp.errors import DAMAGE, ModelFormatError
from fastbp.model import Model
from fastbp.readers import comparison
from fastbp.readers.arithmetic import At, Stacked, Unread
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.formulas import SYNONYMS, Of, Spelled, names
from fastbp.readers.keras import archive
from fastbp.readers.keras.layers import (
    LAYERS,
    OPERATIONS,
    at_defaults,
    in_order,
    operation_of,
    our_name,
    settings_of,
)
from fastbp.readers.settings import Asked, Refused, want

FORM = "Keras"
# Exceptions of reading a damaged file; ValueError is for valid models that fastbp cannot represent.
DAMAGED = tuple(kind for kind in DAMAGE if kind is not ValueError)


def from_keras(model: Any, *, dtype: DTypeLike | None = None, check: bool = True) -> Model:
    """Convert a Keras model of dense layers, activations, normalizations and merges.

    Parameters
    ----------
    model : keras.Sequential, keras.Model, or path of a .keras file
        A built model, so that its inputs have a shape (rows, columns). A file is loaded by Keras 3.12 or later, without
        its training configuration, and only if it names only layers that can be read.
    dtype : {"float32", "float64"}, optional
        The dtype of the model; that of the weights if not given.
    check : bool, default=True
        Whether both models are compared on a few random rows.

    Returns
    -------
    Model
        A Sequential for a chain. Names of layers are kept.

    Raises
    ------
    ValueError
        If a layer or operation has no counterpart, or a setting that no layer has; the message names it. If `check`
        finds that the outputs of the two models differ.
    TypeError
        If it is not a model of Keras.
    ModelFormatError
        If the file is damaged, or names something that cannot be read.
    ImportError
        If a file is to be loaded and the package `keras` is not installed, or older than 3.12.

    See Also
    --------
    from_fann, from_onnx, from_sklearn, from_torch : Readers of other formats.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])  # doctest: +SKIP
    >>> from_keras(model)  # doctest: +SKIP
    <Sequential 'sequential', 15 parameters, float32>
    """
    if not isinstance(model, (str, os.PathLike)):
        return _read(model, dtype, check)
    path = os.fspath(model)
    loaded = _loaded(path)
    try:
        return _read(loaded, dtype, check)
    except DAMAGED as error:  # Keras also loads layers with lists for tensors, and settings of any type
        raise ModelFormatError(f"{path}: no model that can be read: {type(error).__name__}: {error}") from error


def _read(model: Any, dtype: DTypeLike | None, check: bool) -> Model:
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
    net = reader.draft.model([at.number for at in outputs], dtype)
    if check:
        _compare(net, model)
    return net


def _compare(net: Model, model: Any) -> None:
    keras = _optional.package("keras", "from_keras")

    struct = getattr(model, "_inputs_struct", None)  # which a Sequential, of one input, does not have

    def evaluate(*xs):
        given = xs[0] if struct is None else keras.tree.pack_sequence_as(struct, xs)
        made = model(given, training=False)
        return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(made)]

    kinds = [str(tensor.dtype) for tensor in model.inputs]
    xs = [np.rint(x) if "int" in kind else x for x, kind in zip(comparison.rows(net), kinds, strict=True)]
    comparison.compare(net, evaluate, FORM, str(model.compute_dtype), xs)


def _is_operation(kind: str) -> bool:
    """Whether operations of this class can be read, or be part of the formula of an activation."""
    plain = kind.lower()
    ours = our_name(kind)[0]
    return kind in OPERATIONS or ours in OWN or SYNONYMS.get(plain, plain) in names()


def _loaded(path: str) -> Any:
    os.stat(path)  # Keras reports a missing file as damaged
    keras = _optional.package("keras", "from_keras")
    archive.check(path, LAYERS, _is_operation)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can raise anything
        words = str(error).strip().partition("\n")[0]
        raise ModelFormatError(f"{path} is no sound model of Keras: {words}") from error


def _width(tensor: Any) -> int:
    if len(tensor.shape) != 2 or tensor.shape[1] is None:
        raise ValueError(f"input {tensor.name!r} must have shape (rows, columns), got {tuple(tensor.shape)}")
    return int(tensor.shape[1])


class _Reader:
    """Goes back from tensors to the operations that created them."""

    def __init__(self, draft: Draft):
        self.draft = draft
        self.values: dict[int, Any] = {}
        self.layers: dict[int, Any] = {}
        self.current = 0  # the current operation
        self.spelled = Spelled()

    def value(self, tensor: Any) -> Any:
        """The step of a tensor, after those from which it is computed."""
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
        what, why = f"layer {operation.name!r} ({type(operation).__name__})", ""
        try:
            made = self.called(operation, [self.known(argument) for argument in node.arguments.args], node)
            if made is None and type(operation).__name__ in (*LAYERS, *OPERATIONS):
                shapes = ", ".join(str(tuple(tensor.shape)) for tensor in node.input_tensors)
                why = f"it is read, but not with these arguments, of shapes {shapes}"
        except (Refused, ValueError) as error:
            made, why = None, str(error)
        if made is None:
            made = Unread(unsupported(what, FORM, [*LAYERS, *OPERATIONS], why))
        return list(made) if isinstance(made, tuple) else [made] * len(node.output_tensors)

    def called(self, operation: Any, args: list, node: Any) -> Any:
        """The result of an operation; None if it has no counterpart."""
        kind = type(operation).__name__
        layer = hasattr(operation, "trainable_variables")
        row = (LAYERS if layer else OPERATIONS).get(kind)
        if not type(operation).__module__.startswith("keras."):  # a custom class of this name
            return None
        options = {key: self.known(value) for key, value in node.arguments.kwargs.items()}
        if layer:
            if options.pop("training", None):
                raise Refused("it is called with training=True")
            for key, value in options.items():
                want(key, value, None)
        elif options:
            args = in_order(operation, args, options)
        if kind == "Dropout" and node.arguments.kwargs.get("training") is False:  # inactive in training too
            return args[0]
        if any(isinstance(arg, Stacked) for arg in args):
            return args[0].at if kind == "Flatten" else None
        self.current = id(operation)
        settings = settings_of(operation, layer)
        if row is None:
            row = None if layer or len(args) != 1 or not isinstance(args[0], At) else operation_of
        made = None if row is None else row(self, Asked(operation, settings), *args)
        if made is not None:
            settings.refuse_others()
        return made

    def activation(self, operation: Any, node: Any) -> At | None:
        """The step of an operation that ends the formula of an activation."""
        key, arguments, arguments_by_name = id(node.output_tensors[0]), node.arguments.args, node.arguments.kwargs
        if not hasattr(operation, "trainable_variables") and getattr(operation, "axis", -1) in (1, -1):
            limits = [getattr(operation, limit) for limit in ("x_min", "x_max") if hasattr(operation, limit)]
            parts = tuple(Of(id(part)) if id(part) in self.values else part for part in [*arguments, *limits])
            plain = not arguments_by_name and at_defaults(operation)
            self.spelled.note(key, type(operation).__name__.lower() if plain else "", parts)
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
        """A step of a layer, the same layer in each call of the operation."""
        layer = self.layers.setdefault(self.current, None) or make(operation.name)
        self.layers[self.current] = layer
        return At(self.draft.add(layer, x.number, **arrays))

    def activate(self, operation: Any, x: At, name: str, *parameters: float, own_name: bool = True) -> At | None:
        """An activation by our name; None if the engine has none."""
        if name not in OWN:
            return None
        label = operation.name if own_name and self.current not in self.layers else None
        self.layers.setdefault(self.current, None)
        return At(self.draft.activate(x.number, name, *parameters, name=label))
