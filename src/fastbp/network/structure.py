"""The structure of a network: its nodes in order, the slices of its parameters, and their initial values."""

import math

import numpy as np

from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input, Node, topological_order


def ordered(inputs: tuple[Input, ...], outputs: tuple[Node, ...]) -> tuple[Node, ...]:
    """All nodes in topological order; raises if the graph is incomplete."""
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


def started(layers: tuple[Layer, ...], names: dict, seed: int | None) -> dict[str, np.ndarray]:
    """Initial values of all parameters by their full names."""
    rng = np.random.default_rng(seed)
    return {f"{names[layer]}.{name}": value for layer in layers for name, value in layer.start_values(rng).items()}


def slices_of(layers: tuple[Layer, ...], names: dict) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """The slice of the flat vector and the shape of each parameter, by its full name."""
    slices, offset = {}, 0
    for layer in layers:
        for name, shape in (layer.fixed_shapes or {}).items():
            size = math.prod(shape)
            slices[f"{names[layer]}.{name}"] = (slice(offset, offset + size), shape)
            offset += size
    return slices


def size_of(slices: dict[str, tuple[slice, tuple[int, ...]]]) -> int:
    """Number of parameters."""
    return sum(part.stop - part.start for part, _ in slices.values())


def offsets_in(slices: dict[str, tuple[slice, tuple[int, ...]]], layer: Layer, name: str) -> tuple[int, ...]:
    """Where each parameter of the layer `name` begins in the flat vector; -1 for a parameter that it does not have."""
    entries = [slices.get(f"{name}.{parameter}") for parameter in layer.parameters[: 1 if layer.one_span else None]]
    return tuple(-1 if entry is None else entry[0].start for entry in entries)
