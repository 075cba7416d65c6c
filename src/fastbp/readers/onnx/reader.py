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
from fastbp.readers.arithmetic import At, Unread, Whole
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.formulas import Of, Spelled, number
from fastbp.readers.onnx import original
from fastbp.readers.onnx.array_operators import computed
from fastbp.readers.onnx.norms import Part, step
from fastbp.readers.onnx.operators import ML_OPERATORS, OPERATORS, WIDE, Node, described
from fastbp.readers.settings import Refused, Settings
from fastbp.writers.onnx_table import FORM

STANDARD = ("", "ai.onnx")  # domains of the standard operators
DOMAINS = {**dict.fromkeys(STANDARD, OPERATORS), "ai.onnx.ml": ML_OPERATORS}
INT64, STRING = 7, 8  # type codes of ONNX
# Exceptions of reading a damaged graph.
DAMAGE = (ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError, UnicodeDecodeError)
SPARE = 2**22  # columns and array elements that a small file may describe
SHARE = 4  # and this many more for each byte


def from_onnx(source: Any, *, dtype: DTypeLike | None = None, check: bool = True) -> Model:
    """The model in an ONNX file, if its graph is one of dense layers and gates.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A model with two-dimensional inputs, (rows, columns).
    dtype : {"float32", "float64"}, optional
        The dtype of the model; that of the parameters if not given.
    check : bool, default=True
        Whether the outputs of the model and of onnxruntime are compared on a few random rows, if onnxruntime is
        installed and can run the graph. It runs only the nodes that were read.

    Returns
    -------
    Model
        A Sequential for a chain. Names of nodes become names of layers. Outputs that are labels of classes are
        left out.

    Raises
    ------
    ModelFormatError
        If the file is damaged or not an ONNX model, or describes more than 2**22 numbers plus 4 for each byte.
    ValueError
        If the graph has an operator or an attribute without a counterpart in fastbp; the message names it. If `check`
        finds that the outputs of the model and the graph differ.
    ImportError
        If the package `onnx` is not installed.

    See Also
    --------
    Model.to_onnx : Writes a file.
    from_fann, from_keras, from_sklearn, from_torch : Readers of other formats.

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
        reader = _Reader(onnx, proto)
        net = reader.model(dtype)
    except (ModelFormatError, onnx.checker.ValidationError, *DAMAGE) as error:
        raise ModelFormatError(f"{where} is no sound ONNX model: {str(error).strip().partition(chr(10))[0]}") from error
    if check:
        original.compare(net, proto, reader.outputs)
    return net


def _loaded(onnx: Any, path: str | os.PathLike) -> Any:
    with open(path, "rb") as file:
        data = file.read()
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's errors have no common base
        raise ModelFormatError(str(error)) from error


class _Reader:
    """Goes through the nodes of a graph in order, and drafts a step for each."""

    def __init__(self, onnx: Any, proto: Any):
        self.onnx, self.graph = onnx, proto.graph
        self.functions = {(function.domain, function.name) for function in proto.functions}
        self.versions = {entry.domain: entry.version for entry in proto.opset_import}
        self.opset = next((self.versions[domain] for domain in STANDARD if domain in self.versions), 1)
        self.draft = Draft(SPARE + SHARE * proto.ByteSize())
        self.names: set[str] = set()  # names of layers
        self.outputs: list[str] = []
        self.layers: dict = {}
        self.spelled = Spelled()
        self.values: dict[str, Any] = {"": None}  # an omitted input
        for tensor in proto.graph.initializer:
            self.values[tensor.name] = self.array(tensor)
        for sparse in proto.graph.sparse_initializer:
            error = unsupported(f"initializer {sparse.values.name!r}", FORM, (), "it is sparse")
            self.values[sparse.values.name] = Unread(error)
        for entry in proto.graph.input:
            if entry.name not in self.values:
                self.values[entry.name] = self.input(entry)

    def model(self, dtype: DTypeLike | None) -> Model:
        """The model of the outputs; labels of classes, which a net does not compute, are left out."""
        for proto in self.graph.node:
            made = self.read(proto)
            rest = made if isinstance(made, Unread) else Unread(self.beyond(proto))
            made = made if type(made) is tuple else (made, *[rest] * (len(proto.output) - 1))
            self.values.update((name, value) for name, value in zip(proto.output, made, strict=False) if name)
        outputs = []
        for entry in self.graph.output:
            value = step(self.draft, self.values[entry.name])
            if isinstance(value, At):
                outputs.append(value.number)
                self.outputs.append(entry.name)
            elif entry.type.tensor_type.elem_type not in (INT64, STRING):
                what = "a constant" if isinstance(value, np.ndarray) else "of whole numbers or three dimensions"
                raise value.error if isinstance(value, Unread) else ValueError(f"output {entry.name!r} is {what}")
        if not outputs:
            raise ValueError("the graph has no output of numbers; those of whole ones (to int64) are left out")
        return self.draft.model(outputs, dtype)

    def input(self, entry: Any) -> Any:
        """The value of an input."""
        number, kind = self.draft.input(_width(entry), entry.name), entry.type.tensor_type.elem_type
        if kind in (self.onnx.TensorProto.INT64, self.onnx.TensorProto.INT32):
            return Whole(number, exact=True)
        if kind not in (self.onnx.TensorProto.FLOAT, self.onnx.TensorProto.DOUBLE, self.onnx.TensorProto.FLOAT16):
            name = self.onnx.TensorProto.DataType.Name(kind)
            return Unread(unsupported(f"input {entry.name!r}", FORM, (), f"it is of type {name}"))
        return At(number)

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
        settings = Settings(attributes, self.defaults(proto))
        name = proto.name if proto.name and proto.name not in self.names else None
        node = Node(self.draft, self.layers, proto, name, settings, self.opset)
        known = inputs and all(value is None or isinstance(value, np.ndarray) for value in inputs)
        why = ""
        try:
            if (proto.domain, proto.op_type) in self.functions:
                raise Refused("the file has a function of its own of this name")
            made = computed(node, proto.op_type, inputs) if known else None
            made = row(node, *inputs) if made is None and row else made
            if made is None and row and any(isinstance(value, Part) for value in inputs):
                made = row(node, *(step(self.draft, value) for value in inputs))
            if made is not None:
                settings.refuse_others()
        except ModelFormatError:
            raise
        except (Refused, ValueError, *DAMAGE) as error:
            made, why = None, str(error) if isinstance(error, (Refused, ValueError)) else ""
        if made is None:
            if row and not why:
                why = f"it is read, but not of {', '.join(described(node, value) for value in inputs) or 'nothing'}"
                why += "".join(f", {name}={value!s:.60}" for name, value in attributes.items())
            return Unread(unsupported(_titled(proto), FORM, [*OPERATORS, *ML_OPERATORS], why))
        self.names.add(proto.name)
        return made

    def defaults(self, proto: Any) -> dict[str, Any]:
        """The default attributes of an operator."""
        try:
            schema = self.onnx.defs.get_schema(proto.op_type, self.versions.get(proto.domain, 1), proto.domain)
        except self.onnx.defs.SchemaError:
            return {}
        found = {name: attribute.default_value for name, attribute in schema.attributes.items()}
        return {name: self.attribute(value) for name, value in found.items() if value.type}

    def beyond(self, proto: Any) -> ValueError:
        """The error for outputs of a node after the first."""
        return unsupported(_titled(proto), FORM, (), "its outputs after the first one are used")

    def activation(self, proto: Any, attributes: dict) -> At | None:
        """The step of a node that ends the formula of an activation."""
        own = (proto.domain, proto.op_type) in self.functions
        wide = str(attributes.get("to", "float32")) in (*WIDE, "bool")
        if not own and wide and attributes.get("axis", -1) in (1, -1) and not attributes.keys() - {"axis", "to"}:
            parts = tuple(self.part(name) for name in proto.input)
            self.spelled.note(proto.output[0], proto.op_type.lower(), parts)
        return self.spelled.activation(self.draft, proto.output[0], self.values, proto.name or None)

    def part(self, name: str) -> Any:
        """An input in the form that formulas use."""
        value = self.values[name]
        return None if value is None else number(value) if isinstance(value, np.ndarray) else Of(name)

    def array(self, tensor: Any) -> np.ndarray:
        """A tensor whose data is in the file itself."""
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
            return float(str(np.float32(value)))  # 0.2 instead of 0.20000000298
        return value.decode(errors="replace") if isinstance(value, bytes) else value


def _titled(proto: Any) -> str:
    return f"node {proto.name or ', '.join(proto.output)!r} ({proto.op_type})"


def _width(entry: Any) -> int:
    shape = entry.type.tensor_type.shape.dim
    if len(shape) != 2 or shape[1].dim_value < 1:
        sizes = ", ".join(str(size.dim_value or size.dim_param or "?") for size in shape)
        raise ValueError(f"input {entry.name!r} must have shape (rows, columns), columns a number, got ({sizes})")
    return shape[1].dim_value
