"""The optimizers: a class for each, with the names, defaults and forms of PyTorch where PyTorch has it.

What all of them can do besides, weight decay by layer and more, is told by their base, `Optimizer`. Those of Adam's
family but Adam stand in `adaptive.py`.
"""

import math
from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.adaptive import Adadelta, Adagrad, Adamax, Adan, NAdam, RAdam, RMSprop
from fastbp.optimizers.optimizer import Optimizer, clip_by_global_norm, from_config, resolve, stored_rate
from fastbp.optimizers.settings import Common, Rate, of_means

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "clip_by_global_norm",
    "from_config",
    "resolve",
    "stored_rate",
]


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * v, with v = momentum * v + (1 - dampening) * g, at first g.

    Nesterov's variant moves by g + momentum * v.

    Parameters
    ----------
    lr, momentum : float
    nesterov : bool
    weight_decay : float
        Coupled (g + weight_decay * p).
    dampening : float
    lr_in_velocity : bool
        Whether v holds steps, v = momentum * v - lr * g and p += v, as in Keras and scikit-learn: a new lr then
        counts for new gradients only.
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> SGD(lr=0.1, momentum=0.9).rules()
    [('momentum', (0.9, 0.0))]
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        lr_in_velocity: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(
            lr,
            weight_decay,
            common,
            momentum=checks.in_range(momentum, "momentum", 0.0, 1.0),
            nesterov=bool(nesterov),
            dampening=checks.in_range(dampening, "dampening", 0.0, 1.0),
            lr_in_velocity=bool(lr_in_velocity),
        )
        if nesterov and (not momentum or dampening):
            got = f"momentum={self.settings['momentum']}, dampening={self.settings['dampening']}"
            raise ValueError(f"nesterov wants a momentum above 0 and no dampening, got {got}")
        if lr_in_velocity and dampening:
            raise ValueError(f"lr_in_velocity wants no dampening, got {self.settings['dampening']}")

    def rules(self):
        momentum, dampening = self.settings["momentum"], self.settings["dampening"]
        if self.settings["lr_in_velocity"] and momentum:
            return [("nesterov_velocity" if self.settings["nesterov"] else "velocity", (momentum,))]
        if self.settings["nesterov"]:
            return [("nesterov", (momentum,))]
        return [("momentum", (momentum, dampening))] if momentum else [("sgd", ())]


class Adam(Optimizer):
    """Adam: steps of about lr, scaled by running means of g and g**2. Kingma and Ba 2015, algorithm 1.

    Parameters
    ----------
    lr, eps : float
    betas : tuple of two floats
        How much of the means of g and g**2 a step keeps.
    weight_decay : float
        Coupled (g + weight_decay * p); AdamW has it decoupled.
    amsgrad : bool
        Whether the largest mean of g**2 so far stands in the place of the present one (Reddi et al. 2018).
    eps_hat : bool
        Whether eps is what their section 2 calls epsilon hat: added to the root of the mean of g**2 before the
        bias of its start is corrected, as scikit-learn and Keras do. With b1, b2 the betas and m, v the means:
        p -= lr * sqrt(1 - b2**t) / (1 - b1**t) * m / (sqrt(v) + eps).
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> Adam(lr=0.01).settings["betas"]
    (0.9, 0.999)
    """

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        eps_hat: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(
            lr,
            weight_decay,
            common,
            **of_means(betas, eps),
            amsgrad=bool(amsgrad),
            eps_hat=bool(eps_hat),
        )
        if amsgrad and eps_hat:
            raise ValueError("amsgrad and eps_hat do not go together")

    def rules(self):
        name = "amsgrad" if self.settings["amsgrad"] else "adam_eps_hat" if self.settings["eps_hat"] else "adam"
        return [(name, (*self.settings["betas"], self.settings["eps"]))]


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr * weight_decay first. Loshchilov and Hutter 2019.

    Parameters
    ----------
    lr, eps, weight_decay : float
    betas : tuple of two floats
        How much of the means of g and g**2 a step keeps.
    amsgrad, eps_hat : bool
        As for `Adam`.
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> AdamW().settings["weight_decay"]
    0.01
    """

    decay = "decoupled_decay"

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        eps_hat: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(lr, betas, eps, weight_decay, amsgrad, eps_hat, **common)


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


class Muon(Optimizer):
    """Momentum made orthogonal, for matrices; Adam for the other parameters. Jordan et al. 2024.

    The direction of a matrix is u = momentum * v + (1 - momentum) * g with v = momentum * v + (1 - momentum) * g, or v
    itself without `nesterov`. Some steps of Newton and Schulz bring its singular values near 1, and p -= lr * u, times
    what `adjust_lr_fn` says. A step costs about 10 products of the size of W for each of `ns_steps`.

    Parameters
    ----------
    lr : float
    weight_decay : float
        Decoupled: p *= 1 - lr * weight_decay first.
    momentum : float
    nesterov : bool
    ns_coefficients : tuple of three floats
        a, b, c of x = a * x + (b * s + c * s @ s) @ x with s = x @ x.T.
    eps : float
        The least norm by which u is divided.
    ns_steps : int
    adjust_lr_fn : {"original", "match_rms_adamw"}
        A factor of max(1, outputs / inputs) ** 0.5, or of 0.2 * max(inputs, outputs) ** 0.5, with which steps are as
        long as those of AdamW.
    aux_lr_scale : float
        A factor of lr for the parameters that are no matrices.
    aux_betas : tuple of two floats
    aux_eps : float
        Adam's for these.
    **common
        As for `Optimizer`.

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
            ns_steps=checks.positive_int(ns_steps, "ns_steps"),
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
