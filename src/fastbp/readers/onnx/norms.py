"""Recognizes normalizations that an ONNX graph writes out: X / sqrt(mean(X**2) + eps), also after X - mean(X).

A `Part` marks which part of the formula a value is, until the final division turns it into a layer; a following
multiplication and addition become gamma and beta.
"""

from typing import Any, NamedTuple

import numpy as np

from fastbp.layers.normalization import LayerNorm, RMSNorm
from fastbp.readers import arithmetic
from fastbp.readers.arithmetic import At
from fastbp.readers.settings import want


class Part(NamedTuple):
    """The meaning of a value: mean, deviation from the mean, its square, or a root, of a step."""

    kind: str
    of: int
    eps: float = 0.0


def mean(node, x: Any, axes: Any = None) -> Part | None:
    """ReduceMean of each row."""
    axes = node.get("axes", axes)
    if axes is None or len(axes) != 1 or int(axes[0]) not in (1, -1) or not node.get("keepdims", 1):
        return None
    if isinstance(x, At):
        return Part("mean", x.number)
    return Part("variance", x.of) if isinstance(x, Part) and x.kind == "square" else None


def subtract(a: Any, b: Any) -> Part | None:
    """X minus its mean."""
    return Part("deviation", b.of) if isinstance(b, Part) and a == At(b.of) and b.kind == "mean" else None


def multiply(node, a: Any, b: Any) -> Any:
    """The square of a deviation; or the end of the formula, if that has a reciprocal."""
    if isinstance(a, Part) and a == b and a.kind == "deviation":
        return Part("square", a.of)
    for part, other in ((a, b), (b, a)):
        if isinstance(part, Part) and part.kind.startswith("inverse "):
            return divide(node, other, part._replace(kind=part.kind.removeprefix("inverse ")))
    return None


def add(a: Any, b: Any) -> Part | None:
    """A mean of squares and a small number."""
    part, eps = (a, b) if isinstance(a, Part) else (b, a)
    if not isinstance(part, Part) or part.kind not in ("mean", "variance"):
        return None
    if not isinstance(eps, np.ndarray) or eps.size != 1:
        return None
    return part._replace(eps=float(f"{np.ravel(eps)[0]:.7g}"))


def root(node, x: Any) -> Part | At | None:
    """The square root of a mean of squares plus eps, or of a step."""
    kinds = {"mean": "root mean", "variance": "root variance"}
    if isinstance(x, Part) and x.kind in kinds:
        return x._replace(kind=kinds[x.kind])
    return arithmetic.power(node.draft, x, 0.5, name=node.name)


def reciprocal(node, x: Any) -> Part | At | None:
    """One over a root, or over a step."""
    if isinstance(x, Part) and x.kind.startswith("root "):
        return x._replace(kind=f"inverse {x.kind}")
    return arithmetic.power(node.draft, x, -1.0, name=node.name)


def total(node, x: Any, axes: Any = None) -> At | None:
    """ReduceSum of each row."""
    axes = node.get("axes", axes)
    want("keepdims", node.get("keepdims", 1), 1)
    want("axes", None if axes is None else list(map(int, axes)), [1], [-1])
    node.get("noop_with_empty_axes")  # there are axes
    return arithmetic.total(node.draft, x, name=node.name)


def divide(node, a: Any, b: Any) -> At | None:
    """The end of the formula: a layer without gamma and beta."""
    if not isinstance(b, Part):
        return None
    if b.kind == "root variance" and a == Part("deviation", b.of):
        return At(node.draft.add(LayerNorm(b.eps, affine=False, name=node.name), b.of))
    squared = b.kind == "root mean" and getattr(node.draft.layer(b.of), "activation", "") == "square"
    if squared and isinstance(a, At) and node.draft.parents(b.of) == (a.number,):
        return At(node.draft.add(RMSNorm(b.eps, affine=False, name=node.name), a.number))
    return None


def scaled(node, a: Any, b: Any, name: str) -> At | None:
    """A normalization with this as its gamma or beta."""
    at, array = (a, b) if isinstance(a, At) else (b, a)
    layer: Any = node.draft.layer(at.number) if isinstance(at, At) else None
    if type(layer) not in (LayerNorm, RMSNorm) or not isinstance(array, np.ndarray):
        return None
    width, given = node.draft.width(at.number), node.draft.parameters(at.number)
    first = not given if name == "gamma" else type(layer) is LayerNorm and not np.any(given.get("beta", 0))
    if array.size != width or not first or set(array.shape[:-1]) - {1}:
        return None
    arrays = {"gamma": np.ones_like(array.reshape(-1)), "beta": np.zeros_like(array.reshape(-1)), **given}
    arrays[name] = array.reshape(-1)
    made = type(layer)(layer.eps, name=layer.name)
    return At(node.draft.add(made, node.draft.parents(at.number)[0], **arrays))


def step(draft, value: Any) -> Any:
    """The step of a part with which no formula continues; other values unchanged."""
    if not isinstance(value, Part):
        return value
    kind, of = value.kind, At(value.of)
    for head, exponent in (("inverse ", -1.0), ("root ", 0.5)):
        if kind.startswith(head):
            return arithmetic.power(draft, step(draft, value._replace(kind=kind.removeprefix(head))), exponent)
    if kind == "deviation":
        return arithmetic.subtract(draft, of, arithmetic.average(draft, of))
    if kind == "square":
        return arithmetic.power(draft, step(draft, Part("deviation", value.of)), 2.0)
    mean = arithmetic.average(draft, of if kind == "mean" else step(draft, Part("square", value.of)))
    return arithmetic.add(draft, mean, value.eps) if value.eps else mean
