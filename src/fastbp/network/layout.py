"""What a network is laid out by: the order of its nodes, the places of its parameters, their initial values."""

import math
from collections.abc import Sequence

import numpy as np

from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input, Node, topological_order


def ordered(inputs: tuple[Input, ...], outputs: tuple[Node, ...]) -> tuple[Node, ...]:
    """All nodes of a network, each after its parents; raises where inputs and outputs do not fit."""
    for what, nodes in (("inputs", inputs), ("outputs", outputs)):
        if not nodes:
            raise ValueError(f"a model needs {what}, got none")
    checks.distinct(inputs, "the input")
    nodes = topological_order(outputs)
    needed, given = set(nodes), set(inputs)
    for node in inputs:
        if node not in needed:
            raise ValueError(f"{node!r} is an input that no output is computed from")
    for node in nodes:
        if node.layer is None and node not in given:
            raise ValueError(f"{node!r} is needed by an output and is not among the inputs")
    return nodes


def started(layers: Sequence[Layer], names: dict, seed: int) -> dict[str, np.ndarray]:
    """Initial values of all parameters by their full names."""
    rng = np.random.default_rng(seed)
    return {f"{names[layer]}.{name}": value for layer in layers for name, value in layer.start_values(rng).items()}


def slices(layers: Sequence[Layer], names: dict) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """Where each parameter is in the flat vectors, and its shape, by its full name."""
    found, offset = {}, 0
    for layer in layers:
        for name, shape in (layer.fixed_shapes or {}).items():
            size = math.prod(shape)
            found[f"{names[layer]}.{name}"] = (slice(offset, offset + size), shape)
            offset += size
    return found


def size(slices: dict[str, tuple[slice, tuple[int, ...]]]) -> int:
    """Number of parameters."""
    return sum(part.stop - part.start for part, _ in slices.values())
