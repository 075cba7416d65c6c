"""An ONNX graph run by onnxruntime, to be compared with the net that was read from it.

Only the nodes from which the outputs are computed are run. Each of them was read, so its constants are of an allowed
size and it opens no file; onnxruntime does not see other parts of a file.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from fastbp.model import Model
from fastbp.readers import comparison
from fastbp.writers.onnx_table import FORM

WHOLE = (6, 7)  # type codes of int32 and int64 in ONNX


def compare(net: Model, proto: Any, outputs: list[str]) -> None:
    """Raise if onnxruntime, if it is installed and can run the graph, has other outputs than the net."""
    try:
        runtime = import_module("onnxruntime")
    except ImportError:
        return
    given = {tensor.name for tensor in proto.graph.initializer}
    kinds = [entry.type.tensor_type.elem_type for entry in proto.graph.input if entry.name not in given]
    xs = [np.rint(x) if kind in WHOLE else x for x, kind in zip(comparison.rows(net), kinds, strict=True)]
    # onnxruntime implements some functions only in float32
    comparison.compare(net, _Session(runtime, proto, outputs), FORM, "float32", xs)


class _Session:
    """The part of a graph that outputs need, as a function of arrays."""

    def __init__(self, runtime: Any, proto: Any, outputs: list[str]):
        self.runtime, self.outputs = runtime, outputs
        self.run: Callable | None = None
        self.proto = proto

    def __call__(self, *xs: np.ndarray) -> list[np.ndarray]:
        if self.run is None:
            part = _part(self.proto, self.outputs)
            options = self.runtime.SessionOptions()
            options.log_severity_level, options.intra_op_num_threads, options.inter_op_num_threads = 4, 1, 1
            options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = self.runtime.InferenceSession(
                part.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            self.entries = [
                entry for entry in part.graph.input if entry.name in {each.name for each in session.get_inputs()}
            ]
            self.run = session.run
        kinds = {7: np.int64, 6: np.int32, 11: np.float64, 10: np.float16}
        feed = {
            entry.name: x.astype(kinds.get(entry.type.tensor_type.elem_type, np.float32))
            for entry, x in zip(self.entries, xs, strict=True)
        }
        rows = max(self.entries[0].type.tensor_type.shape.dim[0].dim_value, 0) if self.entries else 0
        if not rows:
            return self.arrays(feed)
        parts = [self.arrays(_taken(feed, start, rows)) for start in range(0, len(xs[0]), rows)]
        return [np.concatenate(each)[: len(xs[0])] for each in zip(*parts, strict=True)]

    def arrays(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs; the dicts of a ZipMap, one for each row, become rows of numbers."""
        made = self.run(self.outputs, feed) if self.run else []
        return [np.array([list(row.values()) for row in Y]) if isinstance(Y, list) else Y for Y in made]


def _taken(feed: dict[str, np.ndarray], start: int, rows: int) -> dict[str, np.ndarray]:
    """Rows from an offset, of a fixed number; the last row is repeated if there are too few."""
    return {name: x[np.minimum(np.arange(start, start + rows), len(x) - 1)] for name, x in feed.items()}


def _part(proto: Any, outputs: list[str]) -> Any:
    """A model of only the nodes that the outputs need."""
    part = type(proto)()
    part.CopyFrom(proto)
    graph = part.graph
    needed, nodes = set(outputs), []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    kept = {
        "node": nodes[::-1],
        "output": [entry for entry in graph.output if entry.name in outputs],
        "initializer": [tensor for tensor in graph.initializer if tensor.name in needed],
        "input": list(graph.input),
        "sparse_initializer": [],
        "value_info": [],
        "quantization_annotation": [],
    }
    for field, values in kept.items():
        copies = [type(value)() for value in values]
        for copy, value in zip(copies, values, strict=True):
            copy.CopyFrom(value)
        graph.ClearField(field)
        getattr(graph, field).extend(copies)
    del part.functions[:]
    return part
