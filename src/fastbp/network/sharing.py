"""Networks on layers of another network: they share one vector of parameters, owned by the network built first.

Rejected: moving the parameters of small networks into the vector of a larger network that is built later. Arrays held
by users and running trainers would then refer to memory that no network uses any more.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Node
from fastbp.network.compiled import Programs


class Owner(NamedTuple):
    """A layer's reference to the network that owns its parameters; the network itself would be a reference cycle."""

    programs: Programs
    slices: dict[str, tuple[slice, tuple[int, ...]]]
    dtype: np.dtype


def owner_of(layers: Iterable[Layer]) -> Owner | None:
    """The owner of the parameters of these layers; None if they are new.

    Raises
    ------
    ValueError
        If some layers have parameters in one network and others in another network or in none.
    """
    layers = list(layers)
    built = [layer for layer in layers if layer.owner is not None]
    owners = {id(layer.owner): layer.owner for layer in built if layer.parameters}
    others = [layer for layer in layers if layer.owner is None and layer.parameters]
    if len(owners) > 1 or (built and others):
        example = next((layer for layer in built if layer.parameters), built[0])
        raise ValueError(
            f"{example!r} belongs to a model already, {f'and {others[0]!r}' if others else 'and others'} to "
            f"{'none' if others else 'another one'}; build the whole model first and its parts from it, as"
            f" Model(net.inputs, net[{example.name!r}].output), which shares the parameters; or call a model with"
            " copy=True, for new layers that start with its values; or make a new layer"
        )
    return next(iter(owners.values()), None)


def teller(programs: Programs, parts: list) -> Callable[[bool], None]:
    """A function that freezes or unfreezes a layer in these programs while they exist."""
    reference = weakref.ref(programs)

    def tell(trainable: bool) -> None:
        alive = reference()
        if alive is not None:
            alive.set_trainable(parts, trainable)

    return tell


def repeated(net: Any, nodes: tuple[Node, ...], layers: Mapping[Layer, Layer]) -> Node | tuple[Node, ...]:
    """The outputs of a network on other inputs, with these layers instead of its own."""
    if len(nodes) != len(net.inputs):
        raise TypeError(f"{net!r} is called on {len(net.inputs)} nodes, got {len(nodes)}")
    for node, own in zip(checks.instances(list(nodes), Node, "what a model is called on"), net.inputs, strict=True):
        if node.width != own.width:
            raise ValueError(f"{net!r} wants a node of width {own.width} for {own.name}, got {node.width}")
    made = dict(zip(net.inputs, nodes, strict=True))
    for node in net.nodes:
        if node.layer is not None:
            made[node] = Layer.__call__(layers[node.layer], *(made[parent] for parent in node.parents))
    outputs = tuple(made[node] for node in net.outputs)
    return outputs[0] if len(outputs) == 1 else outputs


def named_nodes(nodes: Iterable[Node]) -> dict[str, Node]:
    """The nodes that layers compute, by name; later calls of a layer get a number."""
    named: dict[str, Node] = {}
    calls: dict[Layer, int] = {}
    for node in nodes:
        if node.layer is not None:
            calls[node.layer] = calls.get(node.layer, 0) + 1
            call = calls[node.layer]
            named[str(node.name) if call == 1 else f"{node.name}:{call}"] = node
    return named
