"""Explanation: the forward and backward pass of one sample, node by node."""

from typing import Any, NamedTuple

import numpy as np

from fastbp import _engine
from fastbp._typing import Arrays, Axes, LossLike
from fastbp.derivatives.first_order import rows_of
from fastbp.network.network import Network
from fastbp.optimizers.optimizer import Optimizer
from fastbp.plotting import graph, text
from fastbp.training.objective import Objective


class Change(NamedTuple):
    """A parameter of a layer, its gradient, and what one update adds to it; None without an optimizer."""

    name: str
    gradient: np.ndarray
    update: np.ndarray | None


class Step(NamedTuple):
    """One node: its value, the slope of its activation, its gradients, and what it passed to each parent.

    `arrived` is dLoss/dY, which comes from the nodes after it. `gradient` is the same, but for a Dense layer it is
    dLoss/dZ, arrived * slope, as in `diagnose`. `changes` has the parameters of a layer, at its last node.
    """

    name: str
    op: str
    value: np.ndarray
    slope: np.ndarray | None
    gradient: np.ndarray
    sent: list[tuple[str, np.ndarray]]
    words: str
    arrived: np.ndarray
    changes: list[Change]


class Explanation:
    """The forward and backward pass of one sample, node by node.

    Attributes
    ----------
    loss : float
        The loss of the sample.
    steps : list of Step
        One per node in the order of the forward pass, including inputs.

    See Also
    --------
    explain : Creates one.
    Diagnosis : Figures of many samples.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1, weights="ones"))
    >>> explain(net, [1.0, 2.0], [2.0]).loss
    1.0
    """

    def __init__(self, net: Network, loss: float, steps: list[Step]):
        self.net = net
        self.loss = loss
        self.steps = steps

    def to_dict(self) -> dict:
        """All of it, JSON-serializable."""
        return {"loss": self.loss, "nodes": [_plain(step) for step in self.steps]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the graph with values in the nodes and gradients on the edges.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; new Axes if not given.

        Returns
        -------
        Axes
            The Axes that were drawn on.
        """
        texts = {
            node: f"{graph.label_of(node)}\ny = {text.numbers(step.value)}"
            for node, step in zip(self.net.nodes, self.steps, strict=True)
        }
        edges: dict = {}
        for node, step in zip(self.net.nodes, self.steps, strict=True):
            for parent, (_, sent) in zip(node.parents, step.sent, strict=True):
                edges[parent, node] = "; ".join(filter(None, [edges.get((parent, node)), text.numbers(sent)]))
        return graph.draw(self.net, ax, texts, edges)

    def _repr_html_(self) -> str:
        from fastbp.plotting import html

        head = ("node", "op", "value", "slope", "gradient", "parameters", "what it passed on")
        rows = [
            (
                step.name,
                step.op,
                text.numbers(step.value),
                "" if step.slope is None else text.mean(step.slope),
                text.numbers(step.gradient),
                "; ".join(_told(step.changes)),
                step.words,
            )
            for step in reversed(self.steps)
        ]
        return html.titled(f"loss {self.loss:.6g}", html.table(head, rows, "<<>>><<"))

    def __str__(self):
        lines = [f"loss {self.loss:.6g}"]
        for step in reversed(self.steps):
            lines.append(f"{step.name} ({step.op})")
            lines.append(f"  value     {text.numbers(step.value)}")
            if step.slope is not None:
                lines.append(f"  slope     {text.mean(step.slope)}")
            lines.append(f"  gradient  {text.numbers(step.gradient)}")
            lines += [f"  {line}" for line in _told(step.changes)]
            if step.words:
                lines.append(f"  {step.words}")
        return "\n".join(lines)


def explain(
    net: Network, x: Arrays, t: Any, loss: LossLike = "mse", *, optimizer: str | Optimizer | None = None
) -> Explanation:
    """Explain backpropagation on one sample: values, gradients of nodes and parameters, what each node passed on.

    Layers work as in inference: without dropout, and BatchNorm with its running averages.

    Parameters
    ----------
    net : Network
        The network to explain.
    x : array of shape (1, inputs) or (inputs,), or a tuple of them
        The sample; a tuple for several inputs.
    t : array
        The target of the sample, as for the loss.
    loss : str or function, or a tuple of them, default="mse"
        A name in `fastbp.losses`, a loss, or a function (Y, t) -> (value, dY).
    optimizer : str or Optimizer, optional
        If given, also shows what its first update would add to each parameter; the network does not change.

    Returns
    -------
    Explanation
        The figures of each node; printing it shows them as below.

    Raises
    ------
    ValueError
        If x has several rows.

    See Also
    --------
    diagnose : Figures of all nodes over many samples, with the same gradients.

    Examples
    --------
    >>> from fastbp import Input, Model, maximum
    >>> a, b = Input(1, name="a"), Input(1, name="b")
    >>> net = Model([a, b], maximum(a, b), dtype="float64")
    >>> print(explain(net, ([[3.0]], [[2.0]]), [[1.0]]))
    loss 4
    maximum_1 (Maximum)
      value     3
      gradient  4
      routed: 4 to a (1 of 1 columns), 0 to b (0 of 1)
    b (Input)
      value     2
      gradient  0
    a (Input)
      value     3
      gradient  4
    """
    xs, one = rows_of(net, x)
    if len(xs[0]) != 1:
        raise ValueError(f"explain takes one row, got {len(xs[0])}")
    objective = Objective(loss, net, refuse_shares=False)
    ts = objective.targets([t] if one and np.ndim(t) <= 1 and len(net.outputs) == 1 else t, 1)
    value, values, totals, sent, Z = net.programs.derivatives.explained(xs, ts, objective)
    steps = []
    changes = _changes(net, xs, ts, objective, optimizer)
    last = {node.layer: k for k, node in enumerate(net.nodes)}
    for k, node in enumerate(net.nodes):
        slope = None if k not in Z else _slope(node.layer, Z[k], values[k])
        shares = [(parent.name, share[0]) for parent, share in zip(node.parents, sent.get(k, ()), strict=True)]
        words = "" if node.layer is None else _words(node, shares, [values[p] for p in _parents(net, node)], values[k])
        op = "Input" if node.layer is None else node.layer.describe()
        arrived = totals[k]
        dense = k in Z and node.layer.kind == "dense"
        gradient = _pulled(arrived, node.layer, Z[k], values[k]) if dense else arrived
        own = changes.get(node.layer, []) if last[node.layer] == k else []
        steps.append(Step(node.name, op, values[k][0], slope, gradient[0], shares, words, arrived[0], own))
    return Explanation(net, value, steps)


def _changes(net, xs, ts, objective, optimizer):
    """The gradient of each trained parameter, and what an update adds to it, by layer; from a copy."""
    if net.programs.params.size == 0:
        return {}
    copy = net.copy()
    _, dys = objective(copy.programs.forward(xs, False), ts, None)
    copy.programs.backward(dys, False)
    gradients, before = copy.grads.copy(), copy.params.copy()
    if optimizer is not None:
        Optimizer.classes.resolve(optimizer).configured().step(copy)
    found = {}
    for layer, theirs in zip(net.layers, copy.layers, strict=True):
        names = [name for name in theirs.fixed_shapes or () if name not in layer.statistics and layer.trainable]
        for name in names:
            part, shape = copy.slices[f"{theirs.name}.{name}"]
            moved = None if optimizer is None else (copy.params[part] - before[part]).reshape(shape)
            found.setdefault(layer, []).append(Change(name, gradients[part].reshape(shape), moved))
    return found


def _told(changes):
    """A line for the gradient of each parameter, and one for all updates."""
    lines = [f"{f'd{change.name}':8}  {text.numbers(change.gradient)}" for change in changes]
    moved = [f"{change.name} by {text.numbers(change.update)}" for change in changes if change.update is not None]
    return [*lines, f"update    {'; '.join(moved)}"] if moved else lines


def _parents(net, node):
    numbers = {each: k for k, each in enumerate(net.nodes)}
    return [numbers[parent] for parent in node.parents]


def _slope(layer, Z, Y):
    """f'(Z) of an element-by-element activation; None for one that works by rows."""
    if _engine.ACTIVATIONS[layer.activation].by_rows:
        return None
    return _pulled(np.ones_like(Z), layer, Z, Y)[0]


def _pulled(dY, layer, Z, Y):
    """The gradient dLoss/dZ of an activation."""
    return _engine.functional.activation_backward(dY, Z, Y, *layer.function.settings().values())


def _words(node, shares, values, Y):
    verb = node.layer.verb
    if node.layer.kind == "derivative":
        u, source = node.parents[:2]
        return f"{verb}: {u.name} by {node.layer.by(source)}; its gradient goes to the layers between them"
    if not verb or not shares:
        return ""
    parts = []
    for (name, share), value in zip(shares, values, strict=True):
        part = f"{text.numbers(share)} to {name}"
        if verb == "routed":
            won = int((value == Y).sum())
            part += f" ({won} of {Y.shape[1]}{' columns' if not parts else ''})"
        parts.append(part)
    return f"{verb}: {', '.join(parts)}"


def _plain(step):
    slope = None if step.slope is None else step.slope.tolist()
    sent = [{"to": name, "gradient": share.tolist()} for name, share in step.sent]
    return {
        "name": step.name, "op": step.op, "value": step.value.tolist(), "slope": slope,
        "gradient": step.gradient.tolist(), "sent": sent, "words": step.words, "arrived": step.arrived.tolist(),
        "changes": [{"name": c.name, "gradient": c.gradient.tolist(), "update": None if c.update is None else
                     c.update.tolist()} for c in step.changes],
    }  # fmt: skip
