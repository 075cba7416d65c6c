"""RMSprop, Adagrad and Adadelta: optimizers that scale the step of each parameter by its squared gradients.

Names, defaults and formulas are those of PyTorch.
"""

from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate


class RMSprop(Optimizer):
    """The gradient over the root of its running mean square: p -= lr * g / (sqrt(v) + eps). Tieleman and Hinton 2012.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-2
        The learning rate: a number, a schedule, or a function of the step.
    alpha : float, default=0.99
        Decay rate of the running mean of g**2.
    eps : float, default=1e-8
        Added to the root in the denominator.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    momentum : float, default=0.0
        Momentum of the scaled gradients.
    centered : bool, default=False
        Whether to scale by the variance of g instead of its mean square (Graves 2013).
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adagrad : With the sum of all squares.
    Adam : With a running mean of the gradients too.

    Examples
    --------
    >>> RMSprop(momentum=0.9).rules()
    [('rms', (0.99, 1e-08)), ('momentum', (0.9, 0.0))]
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(
            lr,
            weight_decay,
            common,
            alpha=checks.in_range(alpha, "alpha", 0.0, 1.0),
            eps=checks.in_range(eps, "eps", 0.0),
            momentum=checks.in_range(momentum, "momentum", 0.0, 1.0),
            centered=bool(centered),
        )

    def rules(self):
        settings = self.settings
        scaling = ("rms_centered" if settings["centered"] else "rms", (settings["alpha"], settings["eps"]))
        return [scaling, ("momentum", (settings["momentum"], 0.0)) if settings["momentum"] else ("sgd", ())]


class Adagrad(Optimizer):
    """The gradient over the root of the sum of all its squares: p -= lr * g / (sqrt(v) + eps). Duchi et al. 2011.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-2
        The learning rate: a number, a schedule, or a function of the step.
    lr_decay : float, default=0.0
        The rate of step t is lr / (1 + (t - 1) * lr_decay).
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    initial_accumulator_value : float, default=0.0
        Initial value of the sums.
    eps : float, default=1e-10
        Added to the root in the denominator.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    RMSprop, Adadelta : With running means, which forget old gradients.

    Examples
    --------
    >>> Adagrad(lr=0.1).settings["eps"]
    1e-10
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **common: Unpack[Common],
    ):
        super().__init__(
            lr,
            weight_decay,
            common,
            lr_decay=checks.in_range(lr_decay, "lr_decay", 0.0),
            initial_accumulator_value=checks.in_range(initial_accumulator_value, "initial_accumulator_value", 0.0),
            eps=checks.in_range(eps, "eps", 0.0),
        )

    def rules(self):
        names = ("lr_decay", "initial_accumulator_value", "eps")
        return [("adagrad", tuple(self.settings[name] for name in names))]


class Adadelta(Optimizer):
    """Steps as long as the last steps were: d = g * rms(steps) / rms(gradients), p -= lr * d. Zeiler 2012.

    Parameters
    ----------
    lr : float, Schedule or function, default=1.0
        The learning rate: a number, a schedule, or a function of the step.
    rho : float, default=0.9
        Decay rate of the running means of g**2 and of d**2.
    eps : float, default=1e-6
        Added to both means.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    See Also
    --------
    Adagrad, RMSprop : Other rules that divide by the size of past gradients.

    Examples
    --------
    >>> Adadelta()
    Adadelta(lr=1.0, rho=0.9, eps=1e-06, weight_decay=0.0)
    """

    def __init__(
        self, lr: Rate = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, **common: Unpack[Common]
    ):
        super().__init__(
            lr,
            weight_decay,
            common,
            rho=checks.in_range(rho, "rho", 0.0, 1.0),
            eps=checks.in_range(eps, "eps", 0.0),
        )

    def rules(self):
        return [("adadelta", (self.settings["rho"], self.settings["eps"]))]
