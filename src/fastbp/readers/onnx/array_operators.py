"""ONNX operators on constant arrays, which exporters use to compute shapes; NumPy evaluates them.

An entry gets the node and the arrays. The batch size, which is unknown, is -1 in a shape.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

BROADCASTING = {"Add", "Sub", "Mul", "Div", "Equal", "Where"}
COPYING = {"Concat", "Neg", "Sqrt", "Cast", "Reshape"}
LARGEST = 16  # dimensions of a shape


def computed(node: Any, kind: str, arrays: list) -> np.ndarray | None:
    """The result of an operator on arrays; None if it has no entry, or has other arguments."""
    if kind not in ARRAYS:
        return None
    node.draft.spend(_size(node, kind, arrays))
    made = ARRAYS[kind](node, *arrays)
    return None if made is None else np.asarray(made)


def _size(node: Any, kind: str, arrays: list) -> int:
    """The number of elements that an operator allocates; 0 if its result is a view."""
    if kind in BROADCASTING:
        return math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    if kind == "Gather":
        x, indices = arrays
        return indices.size * math.prod(x.shape) // max(x.shape[node.get("axis", 0)], 1)
    return sum(array.size for array in arrays) if kind in COPYING else 0


def _divide(node: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.trunc(a / b)).astype(a.dtype) if a.dtype.kind in "iu" else a / b


def _slice(node: Any, x: np.ndarray, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None):
    starts, ends, axes = (node.get(key, value) for key, value in (("starts", starts), ("ends", ends), ("axes", axes)))
    steps = np.ones(len(starts), int) if steps is None else steps
    for axis, *ends_and_step in zip(range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True):
        start, end, step = map(int, ends_and_step)
        cut = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
        x = x[(slice(None),) * (int(axis) % x.ndim) + (cut,)]
    return x


def _unsqueeze(node: Any, x: np.ndarray, axes: Any = None) -> np.ndarray:
    return np.expand_dims(x, tuple(map(int, node.get("axes", axes))))


def _squeeze(node: Any, x: np.ndarray, axes: Any = None) -> np.ndarray:
    axes = node.get("axes", axes)
    return np.squeeze(x, None if axes is None else tuple(map(int, axes)))


def _filled(node: Any, shape: np.ndarray) -> np.ndarray | None:
    value = node.get("value", np.zeros(1, np.float32))
    return np.full(shape, value.reshape(-1)[0]) if shape.shape == (1,) and 0 <= shape[0] <= LARGEST else None


ARRAYS: dict[str, Callable] = {
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": _divide,
    "Neg": lambda node, x: -x,
    "Sqrt": lambda node, x: np.sqrt(x),
    "Equal": lambda node, a, b: a == b,
    "Where": lambda node, condition, a, b: np.where(condition, a, b),
    "Concat": lambda node, *arrays: np.concatenate(arrays, node.get("axis")),
    "Slice": _slice,
    "Gather": lambda node, x, indices: np.take(x, indices, node.get("axis", 0)),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": lambda node, x, shape: x.reshape(shape),
    "Transpose": lambda node, x: np.transpose(x, node.get("perm")),
    "Cast": lambda node, x: None if node.get("to") is None else x.astype(node.get("to")),
    "ConstantOfShape": _filled,
    "Shape": lambda node, x: np.array(x.shape),
    "Identity": lambda node, x: x,
}
