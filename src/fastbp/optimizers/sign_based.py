"""Optimizers that step by the sign of a gradient or of its mean."""

import math
from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate


class Rprop(Optimizer):
    """Resilient propagation, for full batches: each parameter's step grows while its gradient keeps its sign.

    After a change of sign the step shrinks and the parameter stays where it is: iRprop-, as in PyTorch; or goes back
    to where it was if the loss has grown, iRprop+. Igel and Huesken 2003.

    Parameters
    ----------
    lr : float
        The steps at the start.
    etas : tuple of two floats
        The factors by which a step shrinks and grows.
    step_sizes : tuple of two floats
        The smallest and the largest step.
    weight_decay : float
        Coupled (g + weight_decay * p).
    backtrack : bool
        Whether to go back after a step too far: iRprop+. A loop by hand then tells the loss, `step(net, loss)`.
    **common
        As for `Optimizer`.

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
    """Steps of lr against the sign of a mean of g: p -= lr * sign(b1 * m + (1 - b1) * g). Chen et al. 2023.

    Parameters
    ----------
    lr : float
    betas : tuple of two floats
        How much of the mean counts in the step, and how much of it a step keeps.
    weight_decay : float
        Decoupled: p *= 1 - lr * weight_decay first.
    **common
        As for `Optimizer`.

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
