"""Checks before a derivative node is created: of its input, and of the nodes on the path to it."""

import warnings

from fastbp import _engine
from fastbp.layers.layer import Layer
from fastbp.layers.merge import Slice
from fastbp.layers.node import Input, Node, depending_on, topological_order

HIGHEST = 4  # order of the derivatives of one activation
PIECEWISE = {"maximum", "minimum", "prelu"}  # kinds whose second derivatives are 0 wherever they exist


def columns_of(x: Node, what: str) -> tuple[Input, list[int] | None]:
    """The input, and which of its columns `x` is; None for all."""
    if isinstance(x, Input):
        return x, None
    if isinstance(x, Node) and isinstance(x.layer, Slice) and isinstance(x.parents[0], Input):
        source = x.parents[0]
        return source, list(x.layer.columns_of(source.width))
    raise ValueError(f"{what} is by an input or columns of one, such as x[:, 0], got {x!r}")


def check_path(u: Node, source: Input, what: str, order: int) -> None:
    """Raise unless a node depends on an input, and all nodes between have derivatives of the required orders."""
    nodes = topological_order([u])
    depends = depending_on(source, nodes)
    if u not in depends:
        raise ValueError(f"{what}: {u!r} does not depend on {source!r}")
    wanted: dict[Node, int] = {u: order}
    for node in reversed(nodes):
        if node not in wanted or node not in depends or node.layer is None:
            continue
        level = wanted[node]
        _check_layer(node, level, what)
        for parent in node.parents:
            wanted[parent] = max(wanted.get(parent, 0), level + getattr(node.layer, "order", 0))


def _check_layer(node, level, what):
    layer: Layer = node.layer
    refused = _why_not(layer)
    if refused:
        raise ValueError(f"{what}: no derivative goes through {layer!r}, {refused}")
    name = getattr(layer, "activation", None)
    row = _engine.ACTIVATIONS[name] if name is not None else None
    smooth = row is not None and (row.by_rows or row.curved or name == "linear")
    if level > HIGHEST and row is not None and row.curved:
        raise ValueError(
            f"{what}: a derivative of order {level} goes through {layer!r}; those of {name} end at {HIGHEST}"
        )
    if level > 1 and (layer.kind in PIECEWISE or (row is not None and not smooth)):
        warnings.warn(
            f"{what}: a derivative of order {level} goes through {layer!r}, whose second derivative is 0 wherever "
            "there is one; take a smooth activation such as tanh, softplus or sin",
            stacklevel=5,
        )


def _why_not(layer):
    if layer.kind == "dropout":
        return "which is random in training"
    if layer.kind == "python":
        return "whose functions are Python's"
    if layer.kind == "embedding":
        return "whose inputs are numbers of rows"
    if layer.kind == "batch_norm" and layer.trainable:
        return "which couples the rows of a batch in training: with trainable=False it uses running averages"
    name = getattr(layer, "activation", None)
    if name is not None and _engine.ACTIVATIONS[name].draws:
        return f"since {name} is random in training"
    if layer.kind != "derivative" and layer.kind not in _engine.TANGENT_RULES:
        return f"since {layer.kind!r} has no tangent rule"
    return None
