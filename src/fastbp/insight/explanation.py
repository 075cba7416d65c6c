"""Explanation: the forward and backward pass of one sample, node by node."""

from typing import Any, NamedTuple

import numpy as np

from fastbp import _engine
from fastbp._typing import Arrays, Axes, LossLike
from fastbp.derivatives.first_order import rows_of
from fastbp.network.network import Network
from fastbp.plotting import graph, text
from fastbp.training.objective import Objective


class Step(NamedTuple):
    """One node: its value, the slope of its activation, its gradient, and what it passed to each parent."""

    name: str
    op: str
    value: np.ndarray
    slope: np.ndarray | None
    gradient: np.ndarray
    sent: list[tuple[str, np.ndarray]]
    words: str


class Explanation:
    """The forward and backward pass of one sample, node by node.

    Attributes
    ----------
    loss : float
        The loss of the sample.
    steps : list of Step
        One per node in the order of the forward pass, including inputs.
    """

    def __init__(self, net: Network, loss: float, steps: list[Step]):
        self.net = net
        self.loss = loss
        self.steps = steps

    def to_dict(self) -> dict:
        """All of it, JSON-serializable."""
        return {"loss": self.loss, "nodes": [_plain(step) for step in self.steps]}

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the graph with values in the nodes and gradients on the edges. Returns the Axes."""
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

        head = ("node", "op", "value", "slope", "gradient", "")
        rows = [
            (
                step.name,
                step.op,
                text.numbers(step.value),
                "" if step.slope is None else text.numbers(step.slope),
                text.numbers(step.gradient),
                step.words,
            )
            for step in reversed(self.steps)
        ]
        return html.titled(f"loss {self.loss:.6g}", html.table(head, rows, "<<>>><"))

    def __str__(self):
        lines = [f"loss {self.loss:.6g}"]
        for step in reversed(self.steps):
            lines.append(f"{step.name} ({step.op})")
            lines.append(f"  value     {text.numbers(step.value)}")
            if step.slope is not None:
                lines.append(f"  slope     {text.numbers(step.slope)}")
            lines.append(f"  gradient  {text.numbers(step.gradient)}")
            if step.words:
                lines.append(f"  {step.words}")
        return "\n".join(lines)


def explain(net: Network, x: Arrays, t: Any, loss: LossLike = "mse") -> Explanation:
    """Explain backpropagation on one sample: values, gradients, and what each node passed on.

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

    Returns
    -------
    Explanation

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
    for k, node in enumerate(net.nodes):
        slope = None if k not in Z else _slope(node.layer, Z[k], values[k])
        shares = [(parent.name, share[0]) for parent, share in zip(node.parents, sent.get(k, ()), strict=True)]
        words = "" if node.layer is None else _words(node, shares, [values[p] for p in _parents(net, node)], values[k])
        op = "Input" if node.layer is None else node.layer.describe()
        steps.append(Step(node.name, op, values[k][0], slope, totals[k][0], shares, words))
    return Explanation(net, value, steps)


def _parents(net, node):
    numbers = {each: k for k, each in enumerate(net.nodes)}
    return [numbers[parent] for parent in node.parents]


def _slope(layer, Z, Y):
    """f'(Z) of an element-by-element activation; None for one that works by rows."""
    if _engine.ACTIVATIONS[layer.activation].by_rows:
        return None
    return _engine.functional.activation_backward(np.ones_like(Z), Z, Y, *layer.function.settings().values())[0]


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
        "gradient": step.gradient.tolist(), "sent": sent, "words": step.words,
    }  # fmt: skip
