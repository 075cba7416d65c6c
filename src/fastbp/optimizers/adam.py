"""Adam and its kin: steps by the first and second moment of the gradient."""

from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate, of_means


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


class Adamax(Optimizer):
    """Adam with a running maximum of abs(g) in the place of the mean of g**2. Kingma and Ba 2015, algorithm 2.

    Parameters
    ----------
    lr, eps : float
    betas : tuple of two floats
        How much of the mean of g and of the maximum a step keeps.
    weight_decay : float
        Coupled (g + weight_decay * p).
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> Adamax()
    Adamax(lr=0.002, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)
    """

    def __init__(
        self,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Unpack[Common],
    ):
        super().__init__(lr, weight_decay, common, **of_means(betas, eps))

    def rules(self):
        return [("adamax", (*self.settings["betas"], self.settings["eps"]))]


class NAdam(Optimizer):
    """Adam with Nesterov's look ahead, and a momentum that grows from half of the first beta to it. Dozat 2016.

    Parameters
    ----------
    lr, eps : float
    betas : tuple of two floats
        As for `Adam`.
    weight_decay : float
    momentum_decay : float
        How fast the momentum grows: 1 - 0.96**(t * momentum_decay) / 2 of the first beta at step t.
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> NAdam().settings["momentum_decay"]
    0.004
    """

    def __init__(
        self,
        lr: Rate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        **common: Unpack[Common],
    ):
        super().__init__(
            lr,
            weight_decay,
            common,
            **of_means(betas, eps),
            momentum_decay=checks.in_range(momentum_decay, "momentum_decay", 0.0),
        )

    def rules(self):
        settings = self.settings
        return [("nadam", (*settings["betas"], settings["eps"], settings["momentum_decay"]))]


class RAdam(Optimizer):
    """Adam that moves by momentum alone until the mean of g**2 is of enough steps to be trusted. Liu et al. 2020.

    Parameters
    ----------
    lr, eps : float
    betas : tuple of two floats
        As for `Adam`.
    weight_decay : float
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> RAdam().settings["betas"]
    (0.9, 0.999)
    """

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Unpack[Common],
    ):
        super().__init__(lr, weight_decay, common, **of_means(betas, eps))

    def rules(self):
        return [("radam", (*self.settings["betas"], self.settings["eps"]))]


class Adan(Optimizer):
    """Adam with Nesterov's look ahead, from the differences of gradients. Xie et al. 2022, as in the authors' code.

    Parameters
    ----------
    lr, eps : float
    betas : tuple of three floats
        How much of the means of g, of its differences d, and of (g + b2 * d)**2 a step keeps.
    weight_decay : float
        Decoupled, and proximal: p /= 1 + lr * weight_decay last.
    **common
        As for `Optimizer`.

    Examples
    --------
    >>> Adan().settings["betas"]
    (0.98, 0.92, 0.99)
    """

    decay = "proximal_decay"

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Unpack[Common],
    ):
        super().__init__(lr, weight_decay, common, **of_means(betas, eps, 3))

    def rules(self):
        return [("adan", (*self.settings["betas"], self.settings["eps"]))]
