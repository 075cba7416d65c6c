"""Does a net learn? Its loss is compared with that of the best constant; if it is no better, the cause is named.

The cause is one of data, output, loss, learning rate and depth. A constant does not depend on the inputs, so a net
whose loss is not below the constant's has learned nothing from them. The causes are checked in the order in which they
hide each other, each with figures; the learning rate is checked by trial: a copy of the net takes a few steps.
Rejected: judging by gradients alone, which are fine in most nets that do not learn.
"""

import math
from typing import NamedTuple

import numpy as np

from fastbp import functional
from fastbp.errors import DivergenceError
from fastbp.inputs import checks
from fastbp.layers.dense import Dense
from fastbp.layers.embedding import Embedding
from fastbp.losses.loss import Loss
from fastbp.network.network import Network
from fastbp.optimizers.adam import Adam
from fastbp.plotting.svg import readable
from fastbp.training.objective import Objective
from fastbp.training.trainer import Trainer

CLEAR = 0.01  # share of the possible gain over the best constant that counts as learning
LARGE = 30.0  # inputs or targets above this size, or below its inverse, do not suit the scale of initial weights
FLAT = 0.03  # share of the differences between rows that must be left at the last hidden layer
SMALL_STEP = 1e-6  # of the weights, in one step
FEWEST_ROWS = 40  # of each half of a trial
TRIAL_ROWS, TRIAL_STEPS, TRIAL_RATES = 512, 40, (1e-3, 1e-2, 1e-1)
TRIAL_WORK = 5e9  # multiplications that a trial may take
SEARCH_STEPS, SEARCH_WORK = 80, 2e7  # of the search for the best constant: steps, and numbers evaluated
FEWEST_STEPS, EXPLAINED = 5, 0.05  # of a trial; share of variance that a linear model must explain to count
RATES = "a larger learning rate if the loss stands still, a smaller one if it jumps, or more epochs"
DATA = "inputs that have to do with the targets, rows that belong to their targets, more rows"
RANGE = np.linspace(-60.0, 60.0, 4001)[:, None]  # where an activation's outputs lie


class Cause(NamedTuple):
    """Data, output, loss, rate or depth; the figures that say so, and what helps."""

    name: str
    reason: str
    remedy: str


class Baseline(NamedTuple):
    """The loss of the best constant, and how far below it a loss must be to count as learned."""

    loss: float
    margin: float

    def beaten(self, value: float) -> bool:
        return value < self.loss - self.margin


def baseline(objective: Objective, ts: tuple, dtype: np.dtype) -> Baseline:
    """The best constant for these targets."""
    lowest = perfect = 0.0
    for k, (node, t) in enumerate(zip(objective.nodes, ts, strict=True)):
        guesses = list(_guesses(t, node.width))
        constants = [(_value(objective, k, np.tile(guess, (len(t), 1)), t, dtype), guess) for guess in guesses]
        value, guess = min(constants, key=lambda pair: pair[0])
        lowest += min(value, _descended(objective, k, guess, value, t, dtype))
        perfect += min([value, *(_value(objective, k, Y, t, dtype) for Y in _known(t, node.width))])
    margin = CLEAR * (lowest - perfect) if perfect < lowest else CLEAR * abs(lowest)
    return Baseline(lowest, margin)


def _value(objective, k, Y, t, dtype):
    with np.errstate(all="ignore"):
        value = objective.losses[k](np.ascontiguousarray(Y, dtype), t)[0]
    return value if math.isfinite(value) else math.inf


def _guesses(t, width):
    """Constants; for most losses one of them is the best, or near it."""
    yield np.zeros(width)
    if t.ndim == 1:
        shares = np.bincount(t[t >= 0], minlength=width)[:width] / max(1, (t >= 0).sum())
        yield np.log(np.maximum(shares, 1e-9))
        return
    with np.errstate(all="ignore"):
        mean, middle, spread = np.nanmean(t, axis=0), np.nanmedian(t, axis=0), np.nanvar(t, axis=0)
        heads = max(1, width // t.shape[1])
        rows = [mean, middle, np.log(mean), np.log(mean) - np.log1p(-mean)]
        for row in rows:
            yield np.repeat(row, heads)[:width]
            yield np.tile(row, heads)[:width]
        if heads == 2:
            yield np.concatenate([mean, np.log(np.maximum(spread, 1e-9))])


def _known(t, width):
    """Outputs of a perfect net, in the forms that losses take."""
    if t.ndim == 1:
        yield 20.0 * np.eye(width)[np.maximum(t, 0)]
        return
    filled, heads = np.nan_to_num(t.astype(np.float64)), max(1, width // t.shape[1])
    with np.errstate(all="ignore"):
        for Y in (filled, np.log(np.maximum(filled, 1e-9)), 20.0 * np.sign(filled - 0.5)):
            yield np.tile(Y, (1, heads))[:, :width]


def _descended(objective, k, guess, value, t, dtype):
    """The lowest loss of a constant that Rprop finds from a guess."""
    c, best = np.array(guess, np.float64), value
    c = np.where(np.isfinite(c), c, 0.0)
    step, before = np.full(c.shape, 0.1), np.zeros(c.shape)
    for _ in range(int(min(SEARCH_STEPS, SEARCH_WORK // max(1, len(t) * len(c))))):
        Y = np.ascontiguousarray(np.tile(c, (len(t), 1)), dtype)
        value, dY = objective.losses[k](Y, t)
        gradient = dY.sum(axis=0, dtype=np.float64)
        if not math.isfinite(value) or np.abs(gradient).max() < 1e-7:
            break
        best = min(best, value)
        step = np.clip(np.where(gradient * before > 0, 1.3 * step, np.where(gradient * before < 0, 0.5 * step, step)),
                       1e-6, 1e6)  # fmt: skip
        c, before = c - step * np.sign(gradient), gradient
    return best


# What does not fit, whether it learns or not


def misfit(net: Network, objective: Objective, ts: tuple) -> Cause | None:
    """The cause if the range of an output layer does not fit the loss or the targets, even if the net learns."""
    for node, loss, t in zip(net.outputs, objective.losses, ts, strict=True):
        name = getattr(node.layer, "activation", None)
        if not isinstance(name, str) or name == "linear":
            continue
        low, high = _range(node)
        words = f"{node.name} ends in {name}, which gives {_between(low, high)}"
        if isinstance(loss, Loss) and loss.takes_shares and not name.startswith("log_"):
            what = f"{words}, and {loss.__name__} takes logits: any number, with a softmax or sigmoid of its own"
            return Cause("output", what, f"leave {name} out: the loss has its own")
        if t.ndim == 2 and not _has_link(loss):
            with np.errstate(invalid="ignore"):
                beyond = float(np.mean((t < low - 1e-3) | (t > high + 1e-3)))
            if beyond > 0.1:
                what = f"{words}; {beyond:.0%} of the targets, {_between(np.nanmin(t), np.nanmax(t))}, lie beyond"
                return Cause("output", what, "a linear output layer, or targets that are scaled to what it gives")
    return None


def _has_link(loss):
    return isinstance(loss, Loss) and (loss.row.whole or "log_input" in loss.settings)


def _range(node):
    Z = np.hstack([RANGE, np.zeros_like(RANGE)])  # two columns, as a softmax goes by row
    Y = functional.activation_forward(Z, node.layer.activation, node.layer.alpha)
    low, high = round(float(Y.min()), 6), round(float(Y.max()), 6)
    return (-math.inf if low < -LARGE else low), (math.inf if high > LARGE else high)


def _between(low, high):
    ends = ["no limit" if math.isinf(end) else readable(float(end)) for end in (low, high)]
    return f"{ends[0]} to {ends[1]}"


# What keeps a net from learning


def cause(net: Network, xs: tuple, ts: tuple, objective: Objective, values: list, updates: list) -> Cause:
    """Why the loss is not below that of the best constant.

    `values` are the nodes' values in one pass, `updates` the sizes of a step relative to the weights, where known.
    """
    found = of_data(net, xs, ts, objective) or _of_loss(objective, net, xs, ts) or _of_depth(net, xs, values)
    largest = max((update for update in updates if update == update), default=1.0)
    if found is None and largest < SMALL_STEP:
        what = f"one step moves no layer's weights by more than {largest:.1e} of their norm"
        found = Cause("rate", what, "a larger learning rate")
    return found or _by_trial(net, xs, ts, objective)


def of_data(net: Network, xs: tuple, ts: tuple, objective: Objective) -> Cause | None:
    """The cause if inputs or targets are all the same, or of a scale that does not suit initial weights."""
    for t in ts:
        if len(t) and (np.nanmax(t, axis=0) == np.nanmin(t, axis=0)).all():
            return Cause("data", "the targets are the same in every row", "other targets: a constant says all of these")
    plain = [x for x in xs if isinstance(x, np.ndarray)]
    if len(plain) == len(xs) and all((x == x[:1]).all() for x in plain):
        return Cause("data", "the inputs are the same in every row", "inputs that differ where the targets do")
    for node, x in zip(net.inputs, xs, strict=True):
        embedded = any(isinstance(child.layer, Embedding) for child in net.nodes if node in child.parents)
        if isinstance(x, np.ndarray) and not embedded:
            found = _of_scale("inputs", f"{node.name}, column", x, LARGE)
            if found:
                return found
    for t, loss in zip(ts, objective.losses, strict=True):
        if t.ndim == 2 and not (isinstance(loss, Loss) and (loss.takes_shares or _has_link(loss))):
            found = _of_scale("targets", "column", t, LARGE)
            if found:
                return found
    return None


def _of_scale(what, where, A, large):
    with np.errstate(all="ignore"):
        sizes = np.sqrt(np.nanmean(np.square(A, dtype=np.float64), axis=0))
        varies = np.nanstd(A, axis=0, dtype=np.float64) > 0
    if not varies.any():
        return None
    sizes = np.where(varies, sizes, 1.0 / large)
    column = int(np.argmax(sizes))
    size = float(sizes[column])
    if 1 / large <= size <= large:
        return None
    words = f"{what} are of size {readable(size)} ({where} {column}, root mean square), start weights are made for 1"
    return Cause("data", words, f"standardise the {what}: less their mean, by their standard deviation")


def _of_loss(objective, net, xs, ts):
    outputs = net.programs.forward(xs, False)
    for loss, Y, t in zip(objective.losses, outputs, ts, strict=True):
        if not np.any(loss(Y, t)[1]):
            what = f"{loss.__name__} has the gradient 0 at the outputs of every row"
            return Cause("loss", what, "a loss with a slope where the outputs are, or other start weights")
    return None


def _of_depth(net, xs, values):
    """The cause if the rows hardly differ any more before the last layer."""
    weighted = [k for k, node in enumerate(net.nodes) if isinstance(node.layer, Dense)]
    if len(weighted) < 4:
        return None
    first = max((_spread(x) for x in xs if isinstance(x, np.ndarray)), default=math.nan)
    last = min((_spread(values[k]), net.nodes[k].name) for k in weighted[:-1])
    if not last[0] < FLAT * first:
        return None
    words = f"the rows differ by {first:.2g} at the inputs and by {last[0]:.1e} at {last[1]} (standard deviation)"
    remedy = 'fewer layers, "relu" or "tanh" instead of an activation with small slopes, Residual blocks, or LayerNorm'
    return Cause("depth", words, remedy)


def _spread(A):
    return float(np.mean(np.std(A, axis=0, dtype=np.float64)))


def _by_trial(net, xs, ts, objective):
    """The rate if a few steps of a copy lower the loss of other rows; else the data if a linear model fails too."""
    rows = np.linspace(0, len(ts[0]) - 1, min(2 * TRIAL_ROWS, len(ts[0]))).astype(int)
    split = len(rows) >= 2 * FEWEST_ROWS
    own, others = (rows[::2], rows[1::2]) if split else (rows, rows)
    parts = [tuple(tuple(np.ascontiguousarray(A[some]) for A in As) for As in (xs, ts)) for some in (own, others)]
    bases = [baseline(objective, part[1], net.dtype) for part in parts]
    steps = int(min(TRIAL_STEPS, TRIAL_WORK // max(1, 6 * len(own) * net.params.size * len(TRIAL_RATES))))
    linear = _linear_share(xs, ts)
    if steps < FEWEST_STEPS:
        words = f"a linear model explains {linear:.0%} of the targets' variance; the net is too large to try steps"
        return Cause("rate", words, RATES) if linear > EXPLAINED else Cause("data", words, DATA)
    tried = [(values, lr) for lr in TRIAL_RATES if (values := _trained(net, parts, objective, lr, steps))]
    values, lr = min(tried, key=lambda one: one[0][1], default=((math.inf, math.inf), 0.0))
    if bases[1].beaten(values[1]):
        where = f"{len(others)} {'other rows' if split else 'rows'}"
        words = f"{steps} steps of Adam at lr={lr:g} bring the loss of {where} to {values[1]:.3g}"
        what = f"{words}, that of the best constant is {bases[1].loss:.3g}: the net can learn from these data"
        return Cause("rate", what, RATES)
    rates = ", ".join(f"{rate:g}" for rate in TRIAL_RATES)
    what = f"{steps} steps of Adam at lr={rates} leave {len(others)} rows at {values[1]:.3g}"
    if bases[0].beaten(values[0]):
        what += f" and learn {len(own)} rows by heart"
    if linear > EXPLAINED:
        what = f"{what}, while a linear model explains {linear:.0%} of the targets' variance"
        return Cause("depth", what, "a smaller net first: one hidden layer, then more")
    what = f"{what}, and a linear model explains {linear:.0%} of the targets' variance"
    return Cause("data", what, DATA)


def _trained(net, parts, objective, lr, steps):
    """The losses of a copy on both parts after some steps on the first; None if these steps fail."""
    (xs, ts), _ = parts
    try:
        copy = net.copy()
        trainer = Trainer(copy, checks.alone(objective.losses), Adam(lr=lr))
        for _ in range(steps):
            trainer.step(checks.alone(xs), checks.alone(ts))
        losses = [float(objective(copy.programs.forward(x, False), t, None)[0]) for x, t in parts]
    except (DivergenceError, TypeError, ValueError):
        return None
    return losses if all(map(math.isfinite, losses)) else None


def _linear_share(xs, ts):
    """The share of the targets' variance that a linear model explains, adjusted for chance."""
    plain = [x for x in xs if isinstance(x, np.ndarray)]
    X = np.hstack([np.ones((len(ts[0]), 1)), *plain])[:, :201].astype(np.float64)
    T = np.hstack([np.eye(int(t.max()) + 1)[np.maximum(t, 0)] if t.ndim == 1 else t for t in ts]).astype(np.float64)
    T = np.nan_to_num(T) - np.nan_to_num(T).mean(axis=0)
    if not T.any() or len(T) < X.shape[1] + 2:
        return 0.0
    rest = T - X @ np.linalg.lstsq(X, T, rcond=None)[0]
    share = 1 - (rest**2).sum() / (T**2).sum()
    return max(0.0, float(1 - (1 - share) * (len(T) - 1) / (len(T) - X.shape[1])))
