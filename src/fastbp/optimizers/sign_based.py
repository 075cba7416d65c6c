"""Rprop and Lion: optimizers that step by the sign of the gradient or of its mean."""

import math
from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate


class Rprop(Optimizer):
    """Resilient propagation, for full batches: each parameter's step grows while its gradient keeps its sign.

    After a change of sign the step shrinks, and the parameter either does not move (iRprop-, as in PyTorch) or returns
    to its previous value if the loss has grown (iRprop+). Igel and Huesken 2003.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-2
        The initial step of each parameter.
    etas : tuple of two floats, default=(0.5, 1.2)
        The factors by which a step shrinks and grows.
    step_sizes : tuple of two floats, default=(1e-06, 50.0)
        The smallest and the largest step.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    backtrack : bool, default=False
        Whether to use iRprop+. A custom training loop then passes the loss, `step(net, loss)`.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    Raises
    ------
    ValueError
        If `etas` do not enclose 1, or `step_sizes` do not ascend.

    See Also
    --------
    Lion : Signs for mini-batches.
    minimize : Other methods for full batches.

    Examples
    --------
    >>> Rprop()
    Rprop(lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-06, 50.0), backtrack=False, weight_decay=0.0)
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        weight_decay: float = 0.0,
        backtrack: bool = False,
        **common: Unpack[Common],
    ):
        down, up = (checks.in_range(eta, "each of etas", 0.0) for eta in checks.one_each(etas, 2, "etas"))
        if not 0 < down < 1 < up:
            raise ValueError(f"etas must be a factor between 0 and 1 and one above 1, got ({down}, {up})")
        sizes = checks.one_each(step_sizes, 2, "step_sizes")
        low, high = (checks.in_range(size, "each of step_sizes", 0.0) for size in sizes)
        if low > high:
            raise ValueError(f"step_sizes must be the smallest and the largest step, got ({low}, {high})")
        super().__init__(lr, weight_decay, common, etas=(down, up), step_sizes=(low, high), backtrack=bool(backtrack))

    def rules(self):
        return [
            (
                "rprop_plus" if self.settings["backtrack"] else "rprop",
                (*self.settings["etas"], *self.settings["step_sizes"]),
            )
        ]

    def step(self, net, loss=math.nan):
        if self.settings["backtrack"] and math.isnan(loss):
            raise ValueError("Rprop with backtrack asks for the loss too: step(net, loss)")
        super().step(net, loss)


class Lion(Optimizer):
    """Steps of lr against the sign of a running mean of g: p -= lr * sign(b1 * m + (1 - b1) * g). Chen et al. 2023.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-4
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of two floats, default=(0.9, 0.99)
        Weight of the running mean in the step, and its decay rate.
    weight_decay : float, default=0.0
        Decoupled weight decay: p *= 1 - lr * weight_decay before the step.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    AdamW : With steps of the size of the gradients.
    Rprop : Signs for full batches.

    Examples
    --------
    >>> Lion()
    Lion(lr=0.0001, betas=(0.9, 0.99), weight_decay=0.0)
    """

    decay = "decoupled_decay"

    def __init__(
        self,
        lr: Rate = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        **common: Unpack[Common],
    ):
        super().__init__(lr, weight_decay, common, betas=checks.fractions(betas, 2, "betas"))

    def rules(self):
        return [("lion", self.settings["betas"])]
