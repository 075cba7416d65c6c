"""Stochastic gradient descent with momentum, in PyTorch's form, Nesterov's and scikit-learn's."""

from typing import Unpack

from fastbp.inputs import checks
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.settings import Common, Rate


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * v, with v = momentum * v + (1 - dampening) * g, initially g.

    Nesterov's variant moves by g + momentum * v.

    Parameters
    ----------
    lr : float, Schedule or function, default=1e-2
        The learning rate: a number, a schedule, or a function of the step.
    momentum : float, default=0.0
        Decay rate of the velocity v.
    nesterov : bool, default=False
        Whether to use Nesterov momentum.
    weight_decay : float, default=0.0
        Coupled weight decay, g + weight_decay * p.
    dampening : float, default=0.0
        Fraction of the gradient that does not enter v.
    lr_in_velocity : bool, default=False
        Whether v contains the learning rate, v = momentum * v - lr * g and p += v, as in Keras and scikit-learn: a
        change of lr then affects new gradients only.
    **common
        Settings that every optimizer takes; see `Optimizer`.

    Raises
    ------
    ValueError
        If `nesterov` or `lr_in_velocity` cannot be combined with `momentum` and `dampening`.

    See Also
    --------
    Adam : With a step size for each parameter.
    Muon : With orthogonalized momentum.

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
