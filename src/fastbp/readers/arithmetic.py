"""Arithmetic on values while reading: steps of a draft, and constants.

The readers of PyTorch, ONNX and Keras share it. A function gets the draft and the values, and returns a value, or None
if no layer computes it.
"""

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbp.layers import merge
from fastbp.layers.arithmetic import Log, Mean, Power, Sum
from fastbp.layers.layer import Layer
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft


@dataclass(frozen=True)
class At:
    """A value that is a step of the draft; other values are numbers, arrays, tensors and tuples."""

    number: int


@dataclass(frozen=True)
class Whole:
    """A step cast to integers, which may only index a table: an input of integers (`exact`), or rounded numbers."""

    number: int
    exact: bool = False


@dataclass(frozen=True)
class Stacked:
    """The output of an embedding before it is flattened: a row for each column."""

    at: At


@dataclass(frozen=True)
class Unread:
    """A value that no layer can represent; using it raises the error."""

    error: ValueError


def constant(draft: Draft, at: At, value: Any) -> np.ndarray | None:
    """A number, or a vector with one for each column of a step; otherwise None."""
    if isinstance(value, bool) or not (isinstance(value, (numbers.Real, np.ndarray)) or hasattr(value, "detach")):
        return None
    array = np.float64(value) if isinstance(value, numbers.Real) else as_array(value)
    fits = array.size in (1, draft.width(at.number)) and array.ndim <= 2 and array.shape[:-1] in ((), (1,))
    return array.reshape(-1).astype(np.float64) if fits else None


def merged(draft: Draft, gate: merge.Merge, values: Sequence[At]) -> At | None:
    """A gate of steps, if it accepts their widths."""
    widths = {draft.width(value.number) for value in values}
    if isinstance(gate, merge.Concatenate) or len(widths - {1}) < 2:
        return At(draft.add(gate, *(value.number for value in values)))
    return None


def _dtype(array: Any) -> np.dtype:
    dtype = as_array(array).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def binary(gate: type[merge.Merge] | None, right: Callable, left: Callable | None) -> Callable:
    """An operator: a gate of two steps, or with a constant c the map (scale, shift) = right(c), left(c) on its left."""

    def read(draft: Draft, a: Any, b: Any, *, name: str | None = None) -> At | None:
        if isinstance(a, At) and isinstance(b, At):
            return merged(draft, gate(name=name), [a, b]) if gate else None
        at, other, way = (a, b, right) if isinstance(a, At) else (b, a, left)
        c = constant(draft, at, other) if isinstance(at, At) and way else None
        if c is None or way is None:
            return None
        with np.errstate(divide="ignore"):  # infinity raises an error later
            scale, shift = way(c)
        return At(
            draft.affine(at.number, scale, shift, name, None if isinstance(other, numbers.Real) else _dtype(other))
        )

    return read


add = binary(merge.Add, lambda c: (1.0, c), lambda c: (1.0, c))
subtract = binary(merge.Subtract, lambda c: (1.0, -c), lambda c: (-1.0, c))
multiply = binary(merge.Multiply, lambda c: (c, 0.0), lambda c: (c, 0.0))
scaled = binary(None, lambda c: (1 / c, 0.0), None)


def divide(draft: Draft, a: Any, b: Any, *, name: str | None = None) -> At | None:
    """A / B of steps, of a step and a constant, or of a constant and a step."""
    if isinstance(b, At) and not isinstance(a, At):
        c = constant(draft, b, a)
        if c is None or not np.isfinite(c).all():
            return None
        a = At(draft.add(merge.Constant(float(c[0]) if c.size == 1 else c)))
    both = isinstance(a, At) and isinstance(b, At)
    return merged(draft, merge.Divide(name=name), [a, b]) if both else scaled(draft, a, b, name=name)


def power(draft: Draft, x: Any, exponent: Any, *, name: str | None = None) -> At | None:
    """X to a constant power that is one number."""
    c = constant(draft, x, exponent) if isinstance(x, At) else None
    return At(draft.add(Power(float(c[0]), name=name), x.number)) if c is not None and c.size == 1 else None


def along(layer: type[Layer]) -> Callable:
    """A layer without settings on one step: a logarithm, or a sum or mean of the columns."""

    def read(draft: Draft, x: Any, *, name: str | None = None) -> At | None:
        return At(draft.add(layer(name=name), x.number)) if isinstance(x, At) else None

    return read


log, total, average = along(Log), along(Sum), along(Mean)


def extreme(gate: type[merge.Merge]) -> Callable:
    """The largest or the smallest of steps and numbers."""

    def read(draft: Draft, *values: Any, name: str | None = None) -> At | None:
        steps = [value for value in values if isinstance(value, At)]
        if not steps:
            return None
        widest = max(steps, key=lambda at: draft.width(at.number))
        level = [value if isinstance(value, At) else _level(draft, widest, value) for value in values]
        known = [value for value in level if value is not None]
        if len(known) < len(level):
            return None
        return known[0] if len(known) == 1 else merged(draft, gate(name=name), known)

    return read


def _level(draft: Draft, at: At, value: Any) -> At | None:
    c = constant(draft, at, value)
    if c is None or not (c == c[0]).all() or not np.isfinite(c[0]):
        return None
    return At(draft.add(merge.Constant(float(c[0]), draft.width(at.number))))


maximum, minimum = extreme(merge.Maximum), extreme(merge.Minimum)


def clipped(draft: Draft, x: At, low: Any = None, high: Any = None) -> At | None:
    """X clipped to low ... high, either of which may be missing."""
    for limit, function in ((low, maximum), (high, minimum)):
        if limit is not None and x is not None:
            x = function(draft, x, limit)
    return x


def split(draft: Draft, x: At, sizes: Sequence[int]) -> tuple[At, ...]:
    """Consecutive groups of columns of these sizes."""
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return tuple(
        At(draft.columns(x.number, range(start, start + size))) for start, size in zip(starts, sizes, strict=True)
    )
