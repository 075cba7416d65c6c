"""From a network's nodes to the engine's ops: one op for each node, or several if there are derivatives.

A net without derivatives is translated node by node. Otherwise, the nodes that are differentiated are split into ops
that have tangent rules, and a derivative becomes the ops that compute it; `tensors` has the tensor of each node.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fastbp import _engine
from fastbp.layers.layer import Layer
from fastbp.layers.node import Node, depending_on

GRADIENT = 4  # the first column of the engine's figures that is about gradients or weights


class Expansion(NamedTuple):
    """The graph (widths, ops, inputs, outputs), the same with fused jets, and which tensors belong to which node."""

    graph: tuple[list, list, list, list]
    fused: tuple[list, list, list, list]
    tensors: list[int]  # the tensor of each node
    parents: list[list[int]]  # the numbers of each node's parents
    derived: frozenset[int]  # the nodes that are derivatives
    parts: list[list[int]] | None  # the tensors that are made for each node; None where each node is one op

    def rows_of(self, table: np.ndarray, fused: bool) -> np.ndarray:
        """Select from an array with a row per op the row of each node, weight columns from the op with the weights.

        A node may be several ops: the last op has its values, another op its weights and with them its dZ.
        """
        if self.parts is None:
            return table
        ops = (self.fused if fused else self.graph)[1]
        made = {t: k for k, op in enumerate(ops) for t in (*op[4].get("others", ()), op[2])}
        rows = []
        for k, (t, parts) in enumerate(zip(self.tensors, self.parts, strict=True)):
            if t not in made:
                continue
            rows.append(table[made[t]].copy())
            weighted = [made[part] for part in parts if ops[made[part]][3]]
            if weighted and table.ndim > 1 and k not in self.derived:
                rows[-1][GRADIENT:] = table[weighted[0]][GRADIENT:]
        return np.array(rows)

    def by_node(self, values: list) -> list:
        """Select from a list by tensor the entry of each node."""
        return values if self.parts is None else [values[t] for t in self.tensors]

    def explained(self, apart: list, values: list, totals: dict, edges: list) -> tuple:
        """Convert from tensors to nodes: values, gradients, gradients sent to each parent, Z before an activation."""
        made = {op[2]: k for k, op in enumerate(apart)}
        sent: dict[int, list] = {}
        Z: dict[int, np.ndarray] = {}
        assert self.parts is not None
        for k, (t, parts) in enumerate(zip(self.tensors, self.parts, strict=True)):
            own = [made[part] for part in parts]
            own += [made[p] for j in own for p in apart[j][1] if p in made and p >= len(self.graph[0])]
            if t in made and apart[made[t]][0] == "activation":
                Z[k] = values[apart[made[t]][1][0]]
            sent[k] = []
            for parent in self.parents[k]:
                wanted = self.tensors[parent]
                shares = [edges[j][u] for j in own for u, p in enumerate(apart[j][1]) if p == wanted]
                sent[k].append(sum(shares, np.zeros_like(values[wanted])))
        return self.by_node(values), {k: totals[t] for k, t in enumerate(self.tensors)}, sent, Z

    def tensors_with(self, parts: Iterable[tuple[int, int]], fused: bool) -> frozenset[int]:
        """The tensors of ops with parameters within these spans."""
        ops = (self.fused if fused else self.graph)[1]
        spans = list(parts)
        return frozenset(
            op[2] for op in ops if any(start <= offset < stop for offset in op[3] for start, stop in spans)
        )


def expanded(
    nodes: Iterable[Node], inputs: Iterable[Node], outputs: Iterable[Node], offsets: Mapping[Layer, tuple]
) -> Expansion:
    """The ops of nodes in topological order; `offsets` says where the parameters of each layer begin."""
    nodes = tuple(nodes)
    numbers = {node: k for k, node in enumerate(nodes)}
    if any(node.layer is not None and node.layer.kind == "derivative" for node in nodes):
        return _with_derivatives(numbers, inputs, outputs, offsets)
    ops = []
    for node, number in numbers.items():
        if node.layer is not None:
            parents = tuple(numbers[parent] for parent in node.parents)
            ops.append((node.layer.kind, parents, number, offsets[node.layer], _settings(node, number)))
    ends = [[numbers[node] for node in each] for each in (inputs, outputs)]
    graph = ([node.width for node in nodes], ops, ends[0], ends[1])
    return Expansion(graph, graph, list(range(len(nodes))), [], frozenset(), None)


def _settings(node, number):
    return node.layer.op(number, *(parent.width for parent in node.parents))


def _with_derivatives(numbers, inputs, outputs, offsets):
    graph = _engine.DerivativeGraph()
    tensors, parts = translated(graph, tuple(numbers), offsets)
    ops = _engine.needed(graph.ops, tensors)
    widths, ops, new = _engine.compact(graph.widths, ops, tensors)
    public = [new[t] for t in tensors]
    ends = [[public[numbers[node]] for node in each] for each in (inputs, outputs)]
    fused = _engine.fused(ops, set(public))
    made = [[new[t] for t in each if t in new] for each in parts]
    derived = frozenset(k for node, k in numbers.items() if node.layer is not None and node.layer.kind == "derivative")
    parents = [[numbers[parent] for parent in node.parents] for node in numbers]
    return Expansion((widths, ops, *ends), (widths, fused, *ends), public, parents, derived, made)


def translated(
    graph: _engine.DerivativeGraph, nodes: tuple[Node, ...], offsets: Mapping[Layer, tuple]
) -> tuple[list[int], list[list[int]]]:
    """Add nodes in topological order to a graph; return the tensor of each, and all tensors that were made for it."""
    crossed = _crossed(nodes)
    tensors: dict[Node, int] = {}
    parts: list[list[int]] = []
    for number, node in enumerate(nodes):
        before = len(graph.ops)
        parents = tuple(tensors[parent] for parent in node.parents)
        if node.layer is None:
            tensors[node] = graph.tensor(node.width)
        elif node.layer.kind == "derivative":
            made = node.layer.expanded(graph, *parents)
            tensors[node] = made if made in graph.maker else graph.copy(made)
        else:
            settings, places = _settings(node, number), offsets[node.layer]
            tensors[node] = graph.node(node.layer.kind, parents, node.width, places, settings, node in crossed)
        parts.append([op[2] for op in graph.ops[before:]])
    return list(tensors.values()), parts


def _crossed(nodes: Iterable[Node]) -> set[Node]:
    """The nodes through which a derivative is taken."""
    nodes = list(nodes)
    found: set[Node] = set()
    for made in nodes:
        if made.layer is None or made.layer.kind != "derivative":
            continue
        u, source = made.parents[:2]
        depends, above = depending_on(source, nodes), {u}
        for node in reversed(nodes):
            if node in above and node is not source:
                above.update(node.parents)
        found |= depends & above - {source}
    return found
