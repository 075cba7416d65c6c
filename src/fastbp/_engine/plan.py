"""From the graph's ops to the program's nodes: which node reads and writes which gradient."""

from typing import NamedTuple


class Spec(NamedTuple):
    kind: str
    inputs: tuple  # tensors, one for each gradient
    gradients: tuple  # where dLoss/d(input) goes
    output: int
    gradient: int  # where dLoss/d(output) lies
    offsets: tuple
    settings: dict
    others: tuple = ()  # further outputs of the op: (tensor, its gradient)
    live: bool = True  # an output depends on it: else it has no backward pass


def lower(widths, ops, inputs, outputs):
    """Specs in order, the width of each gradient, each tensor's own gradient, and the gradient of each output.

    Each use of a tensor has a gradient of its own, so that no kernel ever adds to another's result; a
    tensor used several times is followed by a `fan_out`, which sums these gradients into the first. An op that no
    output depends on has no gradients: its output gets none, and its parents do not count it as a use.
    """
    live = _live(ops, outputs)
    uses = [0] * len(widths)
    for t in [t for op, lives in zip(ops, live, strict=True) if lives for t in op[1]] + list(outputs):
        uses[t] += 1
    own, gradient_widths = [], []
    for t, width in enumerate(widths):
        own.append(len(gradient_widths))
        gradient_widths += [width] * max(1, uses[t])
    unused = list(own)

    def use(t):
        unused[t] += 1
        return unused[t] - 1

    def fan_out(t):
        shares = tuple(range(own[t], own[t] + uses[t]))
        return [Spec("fan_out", (t,) * uses[t], shares, t, own[t], (), {})] if uses[t] > 1 else []

    specs = [spec for t in inputs for spec in fan_out(t)]
    for (kind, parents, output, offsets, settings), lives in zip(ops, live, strict=True):
        gradients = tuple(use(t) if lives else own[t] for t in parents)
        others = tuple((t, own[t]) for t in settings.get("others", ()))
        specs.append(
            Spec(kind, tuple(parents), gradients, output, own[output], tuple(offsets), settings, others, lives)
        )
        for t in (output, *settings.get("others", ())):
            specs += fan_out(t)
    return specs, gradient_widths, own, [use(t) for t in outputs]


def _live(ops, outputs):
    """For each op, whether an output depends on it."""
    needed, live = set(outputs), []
    for _, parents, output, _, settings in reversed(ops):
        live.append(output in needed or not needed.isdisjoint(settings.get("others", ())))
        if live[-1]:
            needed.update(parents)
    return live[::-1]
