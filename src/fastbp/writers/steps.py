"""A network for the writers: steps, each a kind of op with its settings and parameters.

Each format has a table of kinds of op, and all share the table of activations; `require` checks a network against both
before anything is written. Rejected: a method of each layer for each format, which would make the layers depend on the
formats.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

from fastbp.network.network import Network
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.derivative_steps import plain_ops

INPUT = "input"  # the kind of a step that is an input of the net


class Step(NamedTuple):
    """A node for the writers: the op's kind and settings, its parameters, its parents by number."""

    number: int
    name: str
    kind: str
    parents: tuple[int, ...]
    width: int
    layer: Any  # a Layer; None for an input
    settings: dict
    arrays: dict[str, np.ndarray]

    @property
    def alpha(self) -> float:
        """The first number of the op."""
        return self.settings.get("alpha", 0.0)

    @property
    def beta(self) -> float:
        """The second number of the op."""
        return self.settings.get("beta", 0.0)

    def columns(self) -> range:
        """Which columns a slice takes."""
        first, step = self.settings["first"], self.settings["step"]
        return range(first, first + self.width * step, step)


def steps(net: Network, kinds: Collection[str]) -> list[Step]:
    """All nodes in topological order; derivatives are expanded into steps of these kinds."""
    if has_derivatives(net):
        return _with_derivatives(net, kinds)[0]
    numbers = {node: k for k, node in enumerate(net.nodes)}
    return [_step(node, k, tuple(numbers[parent] for parent in node.parents)) for node, k in numbers.items()]


def _step(node, number, parents):
    layer = node.layer
    if layer is None:
        return Step(number, node.name, INPUT, parents, node.width, None, {}, {})
    settings = layer.op(number, *(parent.width for parent in node.parents))
    arrays = {name: layer.views[name] for name in layer.fixed_shapes}
    return Step(number, node.name, layer.kind, parents, node.width, layer, settings, arrays)


def has_derivatives(net: Network) -> bool:
    """Whether a node is a derivative."""
    return any(node.layer is not None and node.layer.kind == "derivative" for node in net.nodes)


def _with_derivatives(net, kinds):
    found, inputs, outputs = plain_ops(net, kinds)
    numbers = {made: k for k, (made, *_) in enumerate(found)}
    made = [
        Step(k, name, kind, tuple(numbers[parent] for parent in parents), *rest)
        for k, (_, name, kind, parents, *rest) in enumerate(found)
    ]
    return made, [numbers[t] for t in inputs], [numbers[t] for t in outputs]


def ends(net: Network, kinds: Collection[str]) -> tuple[list[int], list[int]]:
    """The numbers of the steps that are inputs, and of those that are outputs, in the net's order."""
    if has_derivatives(net):
        return _with_derivatives(net, kinds)[1:]
    numbers = {node: k for k, node in enumerate(net.nodes)}
    return [numbers[node] for node in net.inputs], [numbers[node] for node in net.outputs]


def taken_apart(step: Step, *given: Any) -> Any:
    """The entry of derivatives; it is never called, since `derivative_steps` expands them."""
    raise AssertionError(step.name)


def require(net: Network, form: str, kinds: Collection[str], impossible: dict[str, str]) -> list[Step]:
    """The steps of a net; raises if a format lacks one of their kinds or activations."""
    found = steps(net, kinds)
    for step in found:
        for what, name, known in (
            ("op", step.kind, {INPUT, *kinds}),
            ("activation", step.settings.get("activation", INPUT), {INPUT, *FORMATS}),
        ):
            if name not in known:
                why = impossible.get(name, f"known: {', '.join(sorted(known - {INPUT}))}")
                raise ValueError(f"{step.layer!r} cannot be written as {form}, which has no {what} {name!r}: {why}")
    return found
