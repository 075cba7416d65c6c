"""The objective of a training: a loss for each output."""

import numpy as np

from fastbp import _engine
from fastbp._typing import Arrays, LossLike, WeightsLike, WeightsOf
from fastbp.inputs import checks
from fastbp.losses import loss_checks
from fastbp.losses.loss import Loss
from fastbp.network.network import Network


class Objective:
    """The objective of a training: the weighted sum of a loss for each output, which is minimized.

    `terms` holds the losses as the engine takes them if it has them all, else None; `fast_path` is the engine's short
    way to the gradient of a batch that needs no conversion, where there is one.
    """

    def __init__(self, loss: LossLike, net: Network, loss_weights: WeightsLike = None):
        self.nodes = net.outputs
        self._dtype = net.dtype
        self.losses = tuple(Loss.classes.resolve(one) for one in self._each(loss, "loss"))
        self.shares = self._shares(loss_weights)
        compiled = all(isinstance(loss, Loss) for loss in self.losses)
        self.terms = tuple(self._terms()) if compiled else None
        self.fast_path = net.programs.fast_path(self.terms)

    def _each(self, values, name):
        """One of the values for each output; a dict has them by the outputs' names."""
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
        """Targets checked: one array for each output."""
        if len(self.losses) == 1:
            return (self._target(self.losses[0], y, rows, self.nodes[0].width, name),)
        parts = zip(self.losses, self._each(y, name), self.nodes, checks.each_name(name, self.nodes), strict=True)
        return tuple(self._target(loss, y, rows, node.width, name) for loss, y, node, name in parts)

    def _target(self, loss, y, rows, width, name):
        if isinstance(loss, Loss):
            return loss.targets(y, rows, width, self._dtype, name)
        return checks.as_plain_targets(y, rows, name)

    def weights(
        self, sample_weight: WeightsOf, ts: tuple, name: str = "sample_weight"
    ) -> tuple[np.ndarray | None, ...] | None:
        """Weights checked: one array for each output, of its rows or of its targets' shape."""
        if sample_weight is None:
            return None
        check = loss_checks.as_weights
        if len(ts) == 1:
            return (check(sample_weight, ts[0], self._dtype, name),)
        each = (sample_weight,) * len(ts)
        if isinstance(sample_weight, (tuple, dict)):
            each = self._each(sample_weight, name)
        parts = zip(each, ts, checks.each_name(name, self.nodes), strict=True)
        return tuple(None if w is None else check(w, t, self._dtype, name) for w, t, name in parts)

    def seen(self, ts: tuple, ys: tuple, weights: tuple | None) -> list[tuple]:
        """The data for the metrics of each output: the rows with known targets, and their weights or None."""
        seen = []
        for k, (loss, t, Y) in enumerate(zip(self.losses, ts, ys, strict=True)):
            w = None if weights is None else weights[k]
            w = w.mean(axis=1) if w is not None and w.ndim == 2 else w
            if isinstance(loss, Loss) and loss.settings["mask_nan"]:
                known = t >= 0 if t.ndim == 1 else ~np.isnan(t).any(axis=1)
                t, Y, w = t[known], Y[known], None if w is None else w[known]
            seen.append((t, Y, w))
        return seen

    def knows(self, ts: tuple) -> bool:
        """Whether any target is known."""
        for loss, t in zip(self.losses, ts, strict=True):
            masks = isinstance(loss, Loss) and loss.settings["mask_nan"]
            if not masks or (t >= 0 if t.ndim == 1 else ~np.isnan(t)).any():
                return True
        return False

    def __call__(self, ys: tuple, ts: tuple, weights: tuple | None) -> tuple[float, tuple[np.ndarray, ...]]:
        """Value and gradients for checked outputs and targets."""
        total, dys = 0.0, []
        for k, (Y, t) in enumerate(zip(ys, ts, strict=True)):
            value, dY = self._apply(k, Y, t, None if weights is None else weights[k])
            total += value
            dys.append(dY)
        return total, tuple(dys)

    def _apply(self, k, Y, t, weights):
        loss = self.losses[k]
        if isinstance(loss, Loss):
            term = self.terms[k] if self.terms is not None else (self.shares[k] * loss).term(Y.shape[1], Y.dtype)
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
