"""The objective of a training run: a loss for each output.

In training, the losses of a batch are weighted, summed and divided by the number of samples, as in Keras. Evaluation
and the history report weighted means. Rejected: dividing by the sum of a batch's weights, as PyTorch's `weight=` does;
the weight of a sample would then depend on the other samples of its batch.
"""

import math
from functools import cached_property

import numpy as np

from fastbp import _engine
from fastbp._typing import Arrays, LossLike, WeightsLike, WeightsOf
from fastbp.inputs import checks
from fastbp.losses import loss_checks
from fastbp.losses.loss import Loss, are_shares
from fastbp.network.network import Network


def masked(losses: tuple) -> list[bool]:
    """Whether each loss leaves out missing targets."""
    return [isinstance(loss, Loss) and loss.settings["mask_nan"] for loss in losses]


def amounts(losses: tuple, ts: tuple, weights: tuple | None) -> np.ndarray | None:
    """The weight of each row in the means of these losses: an array (losses, 2, rows), or None if all are 1.

    The first number is the fraction of the row's targets that are known, the second the sum of their absolute weights,
    divided by the number of targets.
    """
    leaves_out = masked(losses)
    if weights is None and not any(leaves_out):
        return None
    found = np.ones((len(ts), 2, len(ts[0])))
    for k, (loss, t) in enumerate(zip(losses, ts, strict=True)):
        w = None if weights is None or not isinstance(loss, Loss) else weights[k]
        known = np.float64(1)
        if leaves_out[k]:
            known = (t >= 0 if t.ndim == 1 else ~np.isnan(t)).astype(np.float64)
        weighted = known if w is None else (known.T * np.abs(w.T.astype(np.float64))).T
        for row, amount in zip(found[k], (known, weighted), strict=True):
            row[...] = amount.mean(axis=1) if amount.ndim == 2 else amount
    return found


def counted(each: np.ndarray | None, outputs: int, edges: tuple, order: np.ndarray | None = None) -> np.ndarray:
    """The sums of `amounts` over batches from edges[0] to edges[1] of the order: an array (outputs, 2, batches)."""
    starts, stops = edges
    if each is None:
        found = np.empty((outputs, 2, len(starts)))
        found[...] = stops - starts
        return found
    if len(starts) and (starts[1:] == stops[:-1]).all():
        stop = stops[-1]
        return np.add.reduceat(each[:, :, slice(stop) if order is None else order[:stop]], starts, axis=2)
    return np.stack([each[:, :, a:b].sum(axis=2) for a, b in zip(starts, stops, strict=True)], axis=2)


def mean_of_batches(each_loss: np.ndarray, counted: np.ndarray) -> float:
    """The weighted mean of losses (batches, outputs) whose batches count (outputs, 2, batches), as `counted` has it.

    An output without known targets adds nothing; NaN if no output has any.
    """
    known, weights = counted[:, 0], np.add.reduce(counted[:, 1], axis=1)
    totals = np.add.reduce(np.ascontiguousarray(each_loss.T) * known, axis=1)
    if len(weights) == 1:  # the same result as below, in a third of the time
        return float(totals[0] / weights[0]) if weights[0] > 0 else math.nan
    counts = weights > 0
    return float((totals[counts] / weights[counts]).sum()) if counts.any() else math.nan


def _refuse_shares(loss, node):
    """Raise if a loss with a softmax or sigmoid of its own follows a softmax or sigmoid in the network."""
    ends_in = getattr(node.layer, "activation", None)
    if isinstance(loss, Loss) and loss.takes_shares and are_shares(ends_in):
        own = "softmax" if loss.row.labels else "sigmoid"
        raise ValueError(
            f"the output {node.name} is a {ends_in} already, and {loss.__name__} takes logits, to which it applies a"
            f" {own} itself: the network would hardly learn; make the last layer linear, {type(node.layer).__name__}"
            f"({node.width if type(node.layer).__name__ == 'Dense' else ''}), and ask predict_proba for probabilities"
        )


class Objective:
    """The objective of a training run: the weighted sum of a loss for each output, which is minimized.

    `terms` holds the losses as the engine's terms, or None if one of them is written in Python; `fast_path` is the
    engine's fast path for a batch that needs no conversion, if the network has one. Losses that take logits refuse
    outputs that are already probabilities, except where nothing is trained: diagnosis, derivatives.
    """

    def __init__(self, loss: LossLike, net: Network, loss_weights: WeightsLike = None, refuse_shares: bool = True):
        self.nodes = net.outputs
        self._dtype = net.dtype
        self.losses = tuple(Loss.classes.resolve(one) for one in self._each(loss, "loss"))
        self.shares = self._shares(loss_weights)
        if refuse_shares:
            for one, node in zip(self.losses, self.nodes, strict=True):
                _refuse_shares(one, node)
        compiled = all(isinstance(loss, Loss) for loss in self.losses)
        self.terms = tuple(self._terms()) if compiled else None
        self.fast_path = net.programs.fast_path(self.terms)

    def _each(self, values, name):
        """One value for each output, from a sequence or a dict by the outputs' names."""
        if isinstance(values, dict) and len(self.nodes) > 1:
            names = [node.name for node in self.nodes]
            return tuple(checks.by_name(values, names, name))
        return checks.one_each(values, len(self.nodes), name)

    def _shares(self, loss_weights):
        if loss_weights is None:
            return (1.0,) * len(self.nodes)
        return tuple(checks.in_range(share, "loss_weights", 0.0) for share in self._each(loss_weights, "loss_weights"))

    def _terms(self):
        for loss, share, node in zip(self.losses, self.shares, self.nodes, strict=True):
            yield (loss if share == 1 else share * loss).term(node.width, self._dtype)

    def targets(self, y: Arrays, rows: int, name: str = "y") -> tuple[np.ndarray, ...]:
        """Checked targets: one array for each output."""
        if len(self.losses) == 1:
            return (self._target(self.losses[0], y, rows, self.nodes[0].width, name),)
        parts = zip(self.losses, self._each(y, name), self.nodes, checks.each_name(name, self.nodes), strict=True)
        return tuple(self._target(loss, y, rows, node.width, name) for loss, y, node, name in parts)

    def _target(self, loss, y, rows, width, name):
        if isinstance(loss, Loss):
            return loss.targets(y, rows, width, self._dtype, name)
        return checks.as_plain_targets(y, rows, name)

    def weights(
        self,
        sample_weight: WeightsOf,
        ts: tuple,
        name: str = "sample_weight",
        *,
        part: bool = False,
        training: bool = False,
    ) -> tuple[np.ndarray | None, ...] | None:
        """Checked weights: an array for each output, one weight per row or per target.

        All weights may be 0 if the rows are only a batch of a stream. In training weights may be negative, which
        increases the losses of these samples, unless the weighted mean is minimized.
        """
        if sample_weight is None:
            return None
        check, dtype = loss_checks.as_weights, self._dtype
        signs = training and not self.divides_by_weights
        if len(ts) == 1:
            return (check(sample_weight, ts[0], dtype, name, part, signs),)
        each = (sample_weight,) * len(ts)
        if isinstance(sample_weight, (tuple, dict)):
            each = self._each(sample_weight, name)
        parts = zip(each, ts, checks.each_name(name, self.nodes), strict=True)
        return tuple(None if w is None else check(w, t, dtype, name, part, signs) for w, t, name in parts)

    def seen(self, ts: tuple, ys: tuple, weights: tuple | None) -> list[tuple]:
        """The data for the metrics of each output: targets, outputs, weights or None, of rows with a known target."""
        seen = []
        for k, (leaves_out, t, Y) in enumerate(zip(masked(self.losses), ts, ys, strict=True)):
            w = None if weights is None else weights[k]
            if leaves_out:
                known = t >= 0 if t.ndim == 1 else ~np.isnan(t).all(axis=1)
                t, Y, w = t[known], Y[known], None if w is None else w[known]
            seen.append((t, Y, w))
        return seen

    def amounts(self, ts: tuple, weights: tuple | None) -> np.ndarray | None:
        """`amounts` of the losses."""
        return amounts(self.losses, ts, weights)

    def divide_by_weights(self) -> None:
        """Minimize the weighted mean of each batch, as scikit-learn does, for losses of the engine."""
        for term in self.terms or ():
            term.weighted_mean = True

    @property
    def divides_by_weights(self) -> bool:
        """Whether the weighted mean of a batch is minimized."""
        return self.terms is not None and self.terms[0].weighted_mean

    def mean_loss(self, ys: tuple, ts: tuple, weights: tuple | None) -> float:
        """The loss as `evaluate` reports it: the weighted mean over known targets, NaN if there are none."""
        amounts = self.amounts(ts, weights)
        if amounts is not None and not amounts[:, 1].any():
            return math.nan
        terms = self.terms if self.divides_by_weights else self._means
        return sum(value for value, _ in self.each(ys, ts, weights, terms))

    def mean_losses(self, ys: tuple, ts: tuple, weights: tuple | None) -> tuple[list[float], np.ndarray]:
        """The weighted mean loss of each output over a batch, 0 where nothing is known, and the weights."""
        amounts, edges = self.amounts(ts, weights), (np.array([0]), np.array([len(ts[0])]))
        weight = counted(amounts, len(ts), edges)[:, 1, 0]
        terms = self.terms if self.divides_by_weights else self._means
        values = self.each(ys, ts, weights, terms)
        return [value if w > 0 else 0.0 for (value, _), w in zip(values, weight, strict=True)], weight

    @cached_property
    def _means(self):
        """Terms of weighted means, for losses of the engine."""
        parts = zip(self.losses, self.shares, self.nodes, strict=True)
        terms = [isinstance(loss, Loss) and (share * loss).term(node.width, self._dtype) for loss, share, node in parts]
        for term in filter(None, terms):
            term.weighted_mean = True
        return terms

    def __call__(self, ys: tuple, ts: tuple, weights: tuple | None) -> tuple[float, tuple[np.ndarray, ...]]:
        """Value and gradients for checked outputs and targets."""
        values, dys = zip(*self.each(ys, ts, weights), strict=True)
        return sum(values), dys

    def each(self, ys: tuple, ts: tuple, weights: tuple | None, terms=None) -> list[tuple[float, np.ndarray]]:
        """Value and gradient of each output's loss; the objective's value is the sum of the values."""
        terms = self.terms if terms is None else terms
        none = (None,) * len(ys)
        parts = zip(range(len(ys)), ys, ts, weights or none, terms or none, strict=True)
        return [self._apply(*part) for part in parts]

    def _apply(self, k, Y, t, weights, term):
        loss = self.losses[k]
        if isinstance(loss, Loss):
            term = term or (self.shares[k] * loss).term(Y.shape[1], Y.dtype)
            return _engine.loss(term, Y, t, weights)
        result = loss(Y, t) if weights is None else loss(Y, t, weights)
        value, dY = checks.as_loss_result(result, Y.shape, Y.dtype, loss.__name__)
        return self.shares[k] * value, Y.dtype.type(self.shares[k]) * dY

    def loss_and_gradient(self, net: Network, xs: tuple, ts: tuple, weights: tuple | None = None) -> float:
        """The loss without dropout; fills `net.grads`."""
        if self.terms is not None:
            return net.programs.loss_and_gradient(xs, ts, weights, self.terms)
        value, dys = self(net.programs.forward(xs, False), ts, weights)
        net.programs.backward(dys, False)
        return value
