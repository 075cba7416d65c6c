"""`from_onnx`: reads ONNX graphs of dense layers, activations, normalizations and gates.

A graph is read node by node, with weights and shapes as constants. Files are not trusted: any fault raises one error,
and no other file is opened.
"""

import os
from typing import Any

import numpy as np

from fastbp import _optional
from fastbp._typing import DTypeLike
from fastbp.errors import ModelFormatError
from fastbp.model import Model
from fastbp.readers.arithmetic import At, Unread
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.formulas import Of, Spelled, number
from fastbp.readers.onnx.array_operators import computed
from fastbp.readers.onnx.operators import ML_OPERATORS, OPERATORS, Node
from fastbp.writers.onnx_table import FORM

STANDARD = ("", "ai.onnx")  # the names of the standard's own operators
DOMAINS = {**dict.fromkeys(STANDARD, OPERATORS), "ai.onnx.ml": ML_OPERATORS}
INT64, STRING = 7, 8  # numbers of types in ONNX
# What reading a damaged graph can raise.
DAMAGE = (AttributeError, IndexError, KeyError, OverflowError, TypeError, UnicodeDecodeError)


def from_onnx(source: Any, *, dtype: DTypeLike | None = None) -> Model:
    """Load a model from an ONNX file whose graph consists of dense layers, activations, normalizations and gates.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A model with two-dimensional inputs, (rows, columns).
    dtype : {"float32", "float64"}, optional
        dtype of the model; that of the parameters if not given.

    Returns
    -------
    Model
        A Sequential for a chain. Names of nodes become names of layers. Outputs that are labels of classes are
        left out.

    Raises
    ------
    ModelFormatError
        If the file is damaged or no ONNX model.
    ValueError
        If the graph has an operator that no layer of fastbp stands for; the message names it.
    ImportError
        If the package `onnx` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import fastbp as fb
    >>> net = fb.Sequential(fb.Input(3), fb.Dense(5, "tanh"), fb.Dense(2), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.to_onnx(f"{folder}/net.onnx")
    ...     same = from_onnx(f"{folder}/net.onnx")
    >>> bool((same.params == net.params).all())
    True
    """
    onnx = _optional.package("onnx", "from_onnx")
    named = isinstance(source, (str, os.PathLike))
    where = os.fspath(source) if named else "the model"
    try:
        proto = _loaded(onnx, source) if named else source
        onnx.checker.check_model(proto)
        return _Reader(onnx, proto).model(dtype)
    except (ModelFormatError, onnx.checker.ValidationError, *DAMAGE) as error:
        raise ModelFormatError(f"{where} is no sound ONNX model: {str(error).strip().partition(chr(10))[0]}") from error


def _loaded(onnx: Any, path: str | os.PathLike) -> Any:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's errors have no common base
        raise ModelFormatError(str(error)) from error


class _Reader:
    """Walks the nodes of a graph in their order, and drafts a step for each."""

    def __init__(self, onnx: Any, proto: Any):
        self.onnx, self.graph = onnx, proto.graph
        self.opset = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD), 1)
        self.draft = Draft()
        self.layers: dict = {}
        self.spelled = Spelled()
        self.values: dict[str, Any] = {"": None}  # an input that is left out
        for tensor in proto.graph.initializer:
            self.values[tensor.name] = self.array(tensor)
        for entry in proto.graph.input:
            if entry.name not in self.values:
                self.values[entry.name] = At(self.draft.input(_width(entry), entry.name))

    def model(self, dtype: DTypeLike | None) -> Model:
        """The model of the outputs; labels of classes, which are no numbers of the net, are left out."""
        for proto in self.graph.node:
            made = self.read(proto)
            made = made if type(made) is tuple else (made,) * len(proto.output)
            self.values.update(zip(proto.output, made, strict=False))
        outputs = []
        for entry in self.graph.output:
            value = self.values[entry.name]
            if isinstance(value, At):
                outputs.append(value.number)
            elif entry.type.tensor_type.elem_type not in (INT64, STRING):
                raise value.error if isinstance(value, Unread) else ValueError(f"output {entry.name!r} is a constant")
        if not outputs:
            raise ValueError("the graph has no output of numbers")
        return self.draft.model(outputs, dtype)

    def read(self, proto: Any) -> Any:
        """The value of a node."""
        inputs = [self.values[name] for name in proto.input]
        attributes = {entry.name: self.attribute(entry) for entry in proto.attribute}
        if proto.domain in STANDARD:
            activation = self.activation(proto, attributes)
            if activation is not None:
                return activation
        spoiled = [value for value in inputs if isinstance(value, Unread)]
        if spoiled:
            return spoiled[0]
        row = DOMAINS.get(proto.domain, {}).get(proto.op_type)
        attributes["outputs"] = len(proto.output)
        node = Node(self.draft, self.layers, list(proto.input), proto.name or None, attributes, self.opset)
        known = inputs and all(value is None or isinstance(value, np.ndarray) for value in inputs)
        made = computed(node, proto.op_type, inputs) if known else None
        made = row(node, *inputs) if made is None and row else made
        if made is None:
            what = f"node {proto.name or proto.output[0]!r} ({proto.op_type})"
            return Unread(unsupported(what, FORM, [*OPERATORS, *ML_OPERATORS]))
        return made

    def activation(self, proto: Any, attributes: dict) -> At | None:
        """The step of a node that ends the formula of an activation."""
        if attributes.get("axis", -1) in (1, -1) and not attributes.keys() - {"axis", "to"}:
            parts = tuple(self.part(name) for name in proto.input)
            self.spelled.note(proto.output[0], proto.op_type.lower(), parts)
        return self.spelled.activation(self.draft, proto.output[0], self.values, proto.name or None)

    def part(self, name: str) -> Any:
        """An input as formulas have it."""
        value = self.values[name]
        return None if value is None else number(value) if isinstance(value, np.ndarray) else Of(name)

    def array(self, tensor: Any) -> np.ndarray:
        """A tensor that the file holds itself."""
        if tensor.data_location == self.onnx.TensorProto.EXTERNAL:
            raise ModelFormatError(f"tensor {tensor.name!r} lies in another file; pass what onnx.load(path) gives")
        return self.onnx.numpy_helper.to_array(tensor)

    def attribute(self, entry: Any) -> Any:
        """The value of an attribute, None for a graph."""
        if entry.name == "to":
            return self.onnx.helper.tensor_dtype_to_np_dtype(entry.i)
        if entry.type == self.onnx.AttributeProto.TENSOR:
            return self.array(entry.t)
        if entry.type in (self.onnx.AttributeProto.GRAPH, self.onnx.AttributeProto.GRAPHS):
            return None
        value = self.onnx.helper.get_attribute_value(entry)
        if isinstance(value, float):
            return float(str(np.float32(value)))  # 0.2 was meant and not 0.20000000298
        return value.decode(errors="replace") if isinstance(value, bytes) else value


def _width(entry: Any) -> int:
    shape = entry.type.tensor_type.shape.dim
    if len(shape) != 2 or shape[1].dim_value < 1:
        sizes = ", ".join(str(size.dim_value or size.dim_param or "?") for size in shape)
        raise ValueError(f"input {entry.name!r} must have shape (rows, columns), columns a number, got ({sizes})")
    return shape[1].dim_value
