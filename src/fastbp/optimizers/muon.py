"""Muon: orthogonalized momentum for weight matrices."""

from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate

MOST_STEPS = 100  # 5 are usual, and 20 bring every singular value as near to 1 as float32 allows


class Muon(Optimizer):
    """Orthogonalized momentum for matrices, Adam for the other parameters. Jordan et al. 2024.

    The direction of a matrix is u = momentum * v + (1 - momentum) * g with v = momentum * v + (1 - momentum) * g, or v
    itself without `nesterov`. Newton-Schulz iterations bring the singular values of u near 1, and p -= lr * u, times
    the factor of `adjust_lr_fn`. Each of the `ns_steps` costs about 10 matrix products of the size of W.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-3
        The learning rate: a number, a schedule, or a function of the step.
    weight_decay : float, default=0.1
        Decoupled weight decay: p *= 1 - lr * weight_decay before the step.
    momentum : float, default=0.95
        Decay rate of the running mean v of g.
    nesterov : bool, default=True
        Whether to use Nesterov momentum.
    ns_coefficients : tuple of three floats, default=(3.4445, -4.775, 2.0315)
        The numbers a, b, c of an iteration x = a * x + (b * s + c * s @ s) @ x with s = x @ x.T.
    eps : float, default=1e-7
        Lower bound of the norm by which u is divided.
    ns_steps : int, default=5
        Number of Newton-Schulz iterations, at most 100.
    adjust_lr_fn : {"original", "match_rms_adamw"}, default="original"
        A factor of lr: max(1, outputs / inputs) ** 0.5, or 0.2 * max(inputs, outputs) ** 0.5, which makes steps as
        long as AdamW's.
    aux_lr_scale : float, default=1.0
        Factor of lr for the parameters that are not matrices.
    aux_betas : tuple of two floats, default=(0.9, 0.95)
        The betas of Adam for these parameters.
    aux_eps : float, default=1e-10
        The eps of Adam for these parameters.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    Raises
    ------
    ValueError
        If `ns_steps` is too large.

    See Also
    --------
    SGD : Momentum alone.
    AdamW : The rule of the other parameters, for all.

    Examples
    --------
    >>> Muon(lr=0.02).settings["ns_steps"]
    5
    """

    decay = "decoupled_decay"
    ADJUSTMENTS = ("original", "match_rms_adamw")

    def __init__(
        self,
        lr: Rate = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str = "original",
        aux_lr_scale: float = 1.0,
        aux_betas: tuple[float, float] = (0.9, 0.95),
        aux_eps: float = 1e-10,
        **common: Unpack[Common],
    ):
        coefficients = checks.one_each(ns_coefficients, 3, "ns_coefficients")
        super().__init__(
            lr,
            weight_decay,
            common,
            momentum=checks.in_range(momentum, "momentum", 0.0, 1.0),
            nesterov=bool(nesterov),
            ns_coefficients=tuple(checks.in_range(number, "each of ns_coefficients") for number in coefficients),
            eps=checks.above_zero(eps, "eps"),
            ns_steps=_steps(ns_steps),
            adjust_lr_fn=checks.one_of(adjust_lr_fn, "adjust_lr_fn", self.ADJUSTMENTS),
            aux_lr_scale=checks.in_range(aux_lr_scale, "aux_lr_scale", 0.0),
            aux_betas=checks.fractions(aux_betas, 2, "aux_betas"),
            aux_eps=checks.in_range(aux_eps, "aux_eps", 0.0),
        )

    def rules(self):
        settings = self.settings
        numbers = (settings["momentum"], settings["nesterov"], settings["eps"], settings["ns_steps"])
        adjustment = self.ADJUSTMENTS.index(settings["adjust_lr_fn"])
        return [("muon", (*numbers, *settings["ns_coefficients"], adjustment)), ("sgd", ())]

    def rules_for(self, is_matrix):
        if is_matrix:
            return 1.0, self.rules()
        return self.settings["aux_lr_scale"], [("adam", (*self.settings["aux_betas"], self.settings["aux_eps"]))]


def _steps(value):
    """Check `ns_steps`: with a huge number from a file a training step would never return."""
    number = checks.positive_int(value, "ns_steps")
    if number > MOST_STEPS:
        raise ValueError(f"ns_steps must be at most {MOST_STEPS}, got {number}")
    return number
