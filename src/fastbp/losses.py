"""Losses: (Y, t) -> (value, dY), and the objective that gives each output of a network its loss.

The functions `mse`, `cross_entropy` and so on are the rows of the engine's table, made here in a loop: there
is no list of them in Python. A loss may also be any function (Y, t) -> (value, dY); then a step goes through
Python. Rejected: a class for each loss, as Keras has it, for what is one formula.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fastbp import _engine, checks
from fastbp.annotations import ArrayLike, Arrays, LossLike
from fastbp.network import Network


class Loss:
    """A row of the engine's table of losses as a function.

    The value is the mean of the rows' losses, weighted by `sample_weight` if given; the gradient carries
    the 1/N.

    Examples
    --------
    >>> value, dY = mse([[1.0, 2.0]], [[0.0, 0.0]])
    >>> value
    2.5
    >>> dY
    array([[1., 2.]])
    """

    def __init__(self, row: _engine.Loss):
        self.row = row
        self.__name__ = row.name

    def __call__(
        self, Y: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, np.ndarray]:
        """Loss of outputs Y for targets t.

        Parameters
        ----------
        Y : array of shape (rows, outputs)
            Outputs of the network; logits where the loss has a softmax or sigmoid of its own.
        t : array
            Class labels (rows,) or values (rows, outputs), as the loss takes them.
        sample_weight : array of shape (rows,), optional

        Returns
        -------
        value : float
        dY : ndarray of shape (rows, outputs)
        """
        Y = checks.as_floats(Y, "Y")
        rows, width = Y.shape
        t = checks.as_targets(t, rows, width, self.row, Y.dtype, "t")
        if sample_weight is not None:
            sample_weight = checks.as_weights(sample_weight, rows, Y.dtype)
        return _engine.loss(self.row.name, Y, t, sample_weight)

    def __reduce__(self):
        return self.__name__

    def __repr__(self):
        return f"<loss {self.__name__}>"


if TYPE_CHECKING:

    def __getattr__(name: str) -> Loss: ...  # each row of the table


globals().update({name: Loss(row) for name, row in _engine.LOSSES.items()})

__all__ = ["Loss", "Objective", "resolve", *_engine.LOSSES]


def resolve(loss: str | Callable) -> Callable:
    """The loss for a name, or the function itself."""
    if isinstance(loss, str):
        return globals()[checks.one_of(loss, "loss", _engine.LOSSES)]
    return checks.as_callable(loss, "loss")


class Objective:
    """What a network is trained for: a loss for each output; their sum is minimised.

    `names` holds the names of the losses if the engine has them all, else None; `lane` is the engine's short way to
    the gradient of a batch that needs no conversion, where there is one.
    """

    def __init__(self, loss: LossLike, net: Network):
        self.losses = tuple(resolve(one) for one in checks.one_each(loss, len(net.outputs), "loss"))
        compiled = all(isinstance(loss, Loss) for loss in self.losses)
        self.names = tuple(loss.__name__ for loss in self.losses) if compiled else None
        self.nodes = net.outputs
        self.lane = net.programs.lane(self.names)
        self._dtype = net.dtype

    def targets(self, y: Arrays, rows: int, name: str = "y") -> tuple[np.ndarray, ...]:
        """Targets checked: one array for each output."""
        if len(self.losses) == 1:
            return (self._target(self.losses[0], y, rows, self.nodes[0].width, name),)
        ys = checks.one_each(y, len(self.losses), name)
        parts = zip(self.losses, ys, self.nodes, checks.each_name(name, self.nodes), strict=True)
        return tuple(self._target(loss, y, rows, node.width, name) for loss, y, node, name in parts)

    def _target(self, loss, y, rows, width, name):
        if isinstance(loss, Loss):
            return checks.as_targets(y, rows, width, loss.row, self._dtype, name)
        return checks.as_plain_targets(y, rows, name)

    def __call__(self, ys: tuple, ts: tuple, weights: np.ndarray | None) -> tuple[float, tuple[np.ndarray, ...]]:
        """Value and gradients for checked outputs and targets."""
        total, dys = 0.0, []
        for loss, Y, t in zip(self.losses, ys, ts, strict=True):
            value, dY = _apply(loss, Y, t, weights)
            total += value
            dys.append(dY)
        return total, tuple(dys)

    def loss_and_gradient(
        self, net: Network, xs: tuple, ts: tuple, weights: np.ndarray | None = None
    ) -> float:
        """The loss without dropout; fills `net.grads`."""
        if self.names is not None:
            return net.programs.loss_and_gradient(xs, ts, weights, self.names)
        value, dys = self(net.programs.forward(xs, False), ts, weights)
        net.programs.backward(dys, False)
        return value


def _apply(loss, Y, t, weights):
    if isinstance(loss, Loss):
        return _engine.loss(loss.row.name, Y, t, weights)
    result = loss(Y, t) if weights is None else loss(Y, t, weights)
    return checks.as_loss_result(result, Y.shape, Y.dtype, loss.__name__)
