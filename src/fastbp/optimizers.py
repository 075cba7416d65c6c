"""Optimizers: defaults and a chain of the engine's rules; the rules hold the arithmetic.

Decay is a rule of its own in the chain, before the rule that moves the parameters, never a flag inside one.
An optimizer keeps its state for each network it has stepped, and lets go of it with the network. Settings
but `lr` are fixed when it is made, because the compiled chains hold copies of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from fastbp import _engine, checks
from fastbp.errors import DivergenceError
from fastbp.network import Network


class Optimizer:
    """Base of the optimizers: a subclass names its settings and gives its `rules`.

    Attributes
    ----------
    lr : float
        The learning rate; may be changed at any time.
    settings : mapping
        All others, read-only.
    """

    classes: ClassVar[dict[str, Callable[..., "Optimizer"]]] = {}
    decay: ClassVar[str] = "l2"  # the rule that `weight_decay` goes to

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Optimizer.classes[cls.__name__.lower()] = cls

    def __init__(self, lr: float, **settings):
        self.lr = lr
        self.settings: Mapping = MappingProxyType(settings)
        self._chains: WeakKeyDictionary[Network, _engine.Chain] = WeakKeyDictionary()

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr):
        self._lr = checks.in_range(lr, "lr", 0.0)

    def rules(self) -> list[tuple[str, tuple[float, ...]]]:
        """The engine's rules and their scalars, in the order in which they are applied."""
        raise NotImplementedError

    def decay_rules(self) -> list[tuple[str, tuple[float, ...]]]:
        """The rule for `weight_decay`, if there is any."""
        weight_decay = self.settings["weight_decay"]
        return [(self.decay, (weight_decay,))] if weight_decay else []

    def chain_for(self, net: Network) -> "_engine.Chain":
        """The compiled rules and their state for a network."""
        chain = self._chains.get(net)
        if chain is None:
            chain = _engine.Chain(net.dtype.name, self.rules(), net.params.size)
            self._chains[net] = chain
        return chain

    def step(self, net: Network) -> None:
        """Move `net.params` by `net.grads`.

        Raises
        ------
        DivergenceError
            If a parameter would not be finite; it stays as it was.
        """
        chain = self.chain_for(checks.instance(net, Network, "net"))
        if not net.programs.update(chain, self.lr):
            raise self.diverged("the update is not finite")

    def diverged(self, what: str) -> DivergenceError:
        """The error for a loss or an update that is not finite."""
        return DivergenceError(
            f"{what}; the parameters are the last finite ones. Try a smaller learning rate than {self.lr}, "
            "or inputs and targets of a scale near 1"
        )

    def config(self) -> dict:
        """Name and settings, as JSON has them."""
        return {"name": type(self).__name__.lower(), "lr": self.lr, **self.settings}

    def __reduce__(self):
        return _from_config, (type(self), {"lr": self.lr, **self.settings})

    def __repr__(self):
        settings = {"lr": self.lr, **self.settings}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


class SGD(Optimizer):
    """Stochastic gradient descent: p -= lr * v, with v = momentum * v + g.

    Nesterov's variant moves by g + momentum * v. Weight decay is coupled (g + weight_decay * p), as in
    PyTorch.

    Parameters
    ----------
    lr, momentum, weight_decay : float
    nesterov : bool

    Examples
    --------
    >>> SGD(lr=0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    """

    def __init__(
        self, lr: float = 1e-2, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
    ):
        super().__init__(
            lr,
            momentum=checks.in_range(momentum, "momentum", 0.0, 1.0),
            nesterov=bool(nesterov),
            weight_decay=checks.in_range(weight_decay, "weight_decay", 0.0),
        )
        if nesterov and not momentum:
            raise ValueError("nesterov wants a momentum above 0, got 0.0")

    def rules(self):
        momentum, nesterov = self.settings["momentum"], self.settings["nesterov"]
        if not momentum:
            return [*self.decay_rules(), ("sgd", ())]
        return [*self.decay_rules(), ("nesterov" if nesterov else "momentum", (momentum,))]


class Adam(Optimizer):
    """Adam: steps of about lr, scaled by running means of g and g**2. Kingma and Ba 2015, algorithm 1.

    Weight decay is coupled (g + weight_decay * p), as in PyTorch; AdamW has it decoupled.

    Parameters
    ----------
    lr, eps, weight_decay : float
    betas : tuple of two floats
        How much of the means of g and g**2 a step keeps.

    Examples
    --------
    >>> Adam(lr=0.01).settings["betas"]
    (0.9, 0.999)
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        betas = checks.one_each(betas, 2, "betas")
        super().__init__(
            lr,
            betas=tuple(checks.in_range(beta, "each of betas", 0.0, 1.0) for beta in betas),
            eps=checks.in_range(eps, "eps", 0.0),
            weight_decay=checks.in_range(weight_decay, "weight_decay", 0.0),
        )

    def rules(self):
        return [*self.decay_rules(), ("adam", (*self.settings["betas"], self.settings["eps"]))]


class AdamW(Adam):
    """Adam with decoupled weight decay: p *= 1 - lr * weight_decay first. Loshchilov and Hutter 2019.

    Parameters
    ----------
    lr, eps, weight_decay : float
    betas : tuple of two floats
        How much of the means of g and g**2 a step keeps.

    Examples
    --------
    >>> AdamW().settings["weight_decay"]
    0.01
    """

    decay = "weight_decay"

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(lr, betas, eps, weight_decay)


def resolve(optimizer) -> Optimizer:
    """A new optimizer with its defaults for a name, or the optimizer itself."""
    if isinstance(optimizer, str):
        return Optimizer.classes[checks.one_of(optimizer, "optimizer", Optimizer.classes)]()
    return checks.instance(optimizer, Optimizer, "optimizer")


def from_config(config: dict) -> Optimizer:
    """The optimizer that `config()` describes."""
    config = dict(config)
    cls = Optimizer.classes[checks.one_of(config.pop("name"), "optimizer", Optimizer.classes)]
    return _from_config(cls, config)


def clip_by_global_norm(grads: np.ndarray | Sequence[np.ndarray], max_norm: float) -> float:
    """Scale gradients in place so that their Euclidean norm is at most `max_norm`.

    Gradients with a NaN or infinity are left alone; a step with them raises.

    Parameters
    ----------
    grads : ndarray, or a sequence of them
        Such as `net.grads`.
    max_norm : float

    Returns
    -------
    float
        The norm before.

    Examples
    --------
    >>> grads = np.array([3.0, 4.0])
    >>> clip_by_global_norm(grads, 1.0)
    5.0
    >>> grads
    array([0.6, 0.8])
    """
    parts = checks.instances(grads, np.ndarray, "grads")
    max_norm = checks.in_range(max_norm, "max_norm", 0.0)
    # einsum, not dot: a BLAS would let its number of threads choose the order of the sum
    norm = math.sqrt(sum(float(np.einsum("i,i", *[g.reshape(-1)] * 2, dtype=np.float64)) for g in parts))
    if max_norm < norm < math.inf:
        for part in parts:
            part *= max_norm / norm
    return norm


def _from_config(cls, settings):
    return cls(**settings)
