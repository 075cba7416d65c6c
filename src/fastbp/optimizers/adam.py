"""Adam and its variants: steps by the first and second moments of the gradient."""

from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate, of_means


class Adam(Optimizer):
    """Adam: the gradient's running mean over the root of its square's running mean. Kingma and Ba 2015, algorithm 1.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-3
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the running means of g and g**2.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p; AdamW decouples it.
    amsgrad : bool, default=False
        Whether to use the largest mean of g**2 so far instead of the current one (Reddi et al. 2018).
    eps_hat : bool, default=False
        Whether eps is the epsilon hat of their section 2, added to the root of the mean of g**2 before the bias
        correction, as in scikit-learn and Keras. With b1, b2 the betas and m, v the means:
        p -= lr * sqrt(1 - b2**t) / (1 - b1**t) * m / (sqrt(v) + eps).
    **common
        Settings that every optimizer takes; see `Optimizer`.

    Raises
    ------
    ValueError
        If `amsgrad` and `eps_hat` are both set.

    See Also
    --------
    AdamW : With decoupled weight decay.
    Adamax, Adan, NAdam, RAdam : Variants.

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
    lr : float, Schedule or function, default=1e-3
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the running means of g and g**2.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.01
        Decoupled weight decay.
    amsgrad, eps_hat : bool, default=False
        As for `Adam`.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adam : With coupled weight decay.

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
    """Adam with a running maximum of abs(g) instead of the mean of g**2. Kingma and Ba 2015, algorithm 2.

    Parameters
    ----------
    lr : float, Schedule or function, default=2e-3
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the running mean of g and of the running maximum.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adam : With the mean of the squares.

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
    """Adam with Nesterov momentum, which grows from half of the first beta to all of it. Dozat 2016.

    Parameters
    ----------
    lr : float, Schedule or function, default=2e-3
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the running means of g and g**2.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    momentum_decay : float, default=0.004
        How fast the momentum grows: at step t it is the first beta times 1 - 0.96**(t * momentum_decay) / 2.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adam : With classical momentum.

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
    """Rectified Adam: steps by momentum alone while the variance of the mean of g**2 is too large. Liu et al. 2020.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-3
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the running means of g and g**2.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adam : Without the rectification.

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
    """Adaptive Nesterov momentum, from the differences of gradients. Xie et al. 2022, as in the authors' code.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-3
        The learning rate: a number, a schedule, or a function of the step.
    betas : tuple of three floats, default=(0.98, 0.92, 0.99)
        Decay rates of the running means of g, of its differences d, and of (g + b2 * d)**2.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.0
        Decoupled and proximal weight decay: p /= 1 + lr * weight_decay after the step.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adam, NAdam : Without the differences of gradients.

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
