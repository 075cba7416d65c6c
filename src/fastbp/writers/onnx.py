"""Writer of ONNX: a graph of standard operators, through the package `onnx`."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbp import _optional
from fastbp.files import safetensors
from fastbp.network.network import Network
from fastbp.writers import steps
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.onnx_table import FORM, IMPOSSIBLE, KINDS, LOWEST, Value
from fastbp.writers.steps import INPUT, Step


class Graph:
    """An ONNX graph while it is written."""

    def __init__(self, onnx: Any, dtype: np.dtype, opset: int):
        self.onnx, self.dtype, self.opset = onnx, dtype, opset
        self.nodes: list = []
        self.arrays: dict[str, np.ndarray] = {}
        self.taken: set[str] = set()
        self.scope = ""

    def code(self, dtype: str) -> int:
        """The ONNX code of a dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def fresh(self, name: str) -> str:
        """The name, with the first free number if it is taken."""
        number, wanted = 1, name
        while wanted in self.taken:
            number, wanted = number + 1, f"{name}_{number}"
        self.taken.add(wanted)
        return wanted

    def node(self, kind: str, inputs: list, attributes: dict) -> Value:
        """The output of a new node."""
        names = [value.name if isinstance(value, Value) else self.constant(value).name for value in inputs]
        name = self.fresh(f"{self.scope}/{kind}")
        self.nodes.append(self.onnx.helper.make_node(kind, names, [name], name=name, **attributes))
        return Value(self, name)

    def constant(self, value: float | np.ndarray) -> Value:
        """A constant: a number of the graph's dtype, or an array."""
        array = np.asarray(value, None if isinstance(value, np.ndarray) else self.dtype)
        for name, known in self.arrays.items():
            if known.dtype == array.dtype and known.shape == array.shape and known.tobytes() == array.tobytes():
                return Value(self, name)
        return self.parameter(self.fresh("constant"), array)

    def parameter(self, name: str, array: np.ndarray) -> Value:
        """A named array."""
        self.arrays.setdefault(name, array)
        self.taken.add(name)
        return Value(self, name)

    def named(self, value: Value, name: str, fresh: bool) -> Value:
        """The value under a name: `fresh` renames the last node's output, else a copy gets the name."""
        if not fresh:
            value = value.op("Identity")
        self.nodes[-1].output[0] = self.nodes[-1].name = name
        self.taken.add(name)
        return Value(self, name)


def model(net: Network, opset: int, labels: Sequence | None, zipmap: bool) -> Any:
    """The ModelProto of a net."""
    onnx = _optional.package("onnx", "to_onnx")
    _optional.package("onnx.helper", "to_onnx")
    newest = onnx.defs.onnx_opset_version()
    if not LOWEST <= opset <= newest:
        raise ValueError(f"opset must be in {LOWEST} ... {newest}, got {opset}")
    found = steps.require(net, FORM, KINDS, IMPOSSIBLE)
    graph = Graph(onnx, net.dtype, opset)
    inputs, outputs = steps.ends(net, KINDS)
    values = _body(graph, found, inputs)
    if labels is None:
        ends = [_end(graph, found[k], values, outputs[:place]) for place, k in enumerate(outputs)]
        infos = [
            _info(onnx, value.name, graph.code(net.dtype.name), found[k].width)
            for value, k in zip(ends, outputs, strict=True)
        ]
    else:
        infos = _classifier(graph, net, found, values, outputs, labels, zipmap)
    entries = [_info(onnx, found[k].name, graph.code(net.dtype.name), found[k].width) for k in inputs]
    arrays = [onnx.numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in graph.arrays.items()]
    body = onnx.helper.make_graph(graph.nodes, net.name, entries, infos, arrays)
    domains = [onnx.helper.make_opsetid("", opset)]
    if zipmap:
        domains.append(onnx.helper.make_opsetid("ai.onnx.ml", 1))
    version = onnx.helper.find_min_ir_version_for(domains)
    made = onnx.helper.make_model(body, opset_imports=domains, ir_version=version, producer_name="fastbp")
    onnx.checker.check_model(made, full_check=True)
    return made


def write(net: Network, path: str | os.PathLike, opset: int, labels: Sequence | None, zipmap: bool) -> None:
    """The implementation of `Model.to_onnx`."""
    data = model(net, opset, labels, zipmap).SerializeToString()
    with safetensors.replacing(path) as file:
        file.write(data)


def _body(graph: Graph, found: list[Step], inputs: list[int]) -> dict[int, Value]:
    graph.taken |= {step.name for step in found}
    values = {k: Value(graph, found[k].name) for k in inputs}
    for step in found:
        if step.kind == INPUT:
            continue
        graph.scope = step.name
        X, *others = [values[parent] for parent in step.parents] or [values[inputs[0]]]
        given = {name: graph.parameter(f"{step.layer.name}.{name}", array) for name, array in step.arrays.items()}
        before = len(graph.nodes)
        Y = KINDS[step.kind](step, X, given, *others)
        if "activation" in step.settings:
            Y = FORMATS[step.settings["activation"]].onnx(Y, step.alpha, step.beta)
        twice = any(node.output[0] == step.name for node in graph.nodes)  # a layer that is called again
        if len(graph.nodes) > before and not twice:
            Y = graph.named(Y, step.name, True)
            if step.arrays:  # the node with the parameters gets the layer's name
                graph.nodes[-1].name, graph.nodes[before].name = graph.nodes[before].name, step.name
        values[step.number] = Y
    return values


def _end(graph: Graph, step: Step, values: dict[int, Value], before: list[int]) -> Value:
    """An output with its own name: a copy if the value is an input, passes through, or is an output already."""
    value = values[step.number]
    if value.name == step.name and step.kind != INPUT and step.number not in before:
        return value
    graph.scope = step.name
    return value.op("Identity")


def _info(onnx, name: str, code: int, *widths: int | None):
    return onnx.helper.make_tensor_value_info(name, code, ["rows", *widths])


def _classifier(graph, net, found, values, outputs, labels, zipmap) -> list:
    """Labels and probabilities in place of the output, named as skl2onnx names them."""
    labels = np.asarray(labels)
    step = found[outputs[0]]
    _check_labels(labels, len(outputs), step.width)
    graph.scope = "classifier"
    X = values[step.number]
    last = step.settings.get("activation")
    if step.width == 1:
        second = X if last == "sigmoid" else X.sigmoid()
        P = (-second + 1.0).op("Concat", second, axis=1)
    else:
        P = X if last == "softmax" else X.op("Softmax", axis=1)
    best = P.op("ArgMax", axis=1, keepdims=0)
    names = ("output_label", "output_probability") if zipmap else ("label", "probabilities")
    texts = labels.dtype.kind == "U"
    table = labels.astype(object) if texts else labels.astype(np.int64)
    label = graph.named(graph.parameter("labels", table).op("Gather", best, axis=0), names[0], True)
    code = graph.onnx.TensorProto.STRING if texts else graph.onnx.TensorProto.INT64
    infos = [_info(graph.onnx, label.name, code)]
    if not zipmap:
        P = graph.named(P, names[1], False)
        return [*infos, _info(graph.onnx, P.name, graph.code(net.dtype.name), len(labels))]
    if graph.dtype == np.float64:
        P = P.op("Cast", to=graph.code("float32"))
    key = {"classlabels_strings": labels.tolist()} if texts else {"classlabels_int64s": labels.tolist()}
    P = graph.named(P.op("ZipMap", domain="ai.onnx.ml", **key), names[1], True)
    helper = graph.onnx.helper
    value_type = helper.make_tensor_type_proto(graph.code("float32"), [])
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(code, value_type))
    return [*infos, helper.make_value_info(P.name, kind)]


def _check_labels(labels: np.ndarray, outputs: int, width: int) -> None:
    if outputs != 1:
        raise ValueError(f"labels are for a model of one output, this has {outputs}")
    if labels.ndim != 1 or labels.dtype.kind not in "biuU" or len(set(labels.tolist())) < len(labels):
        raise ValueError(f"labels must be a list of different integers or texts, got {labels.tolist()!r:.80}")
    if len(labels) != max(width, 2):
        raise ValueError(f"labels must be {max(width, 2)} for an output of width {width}, got {len(labels)}")
