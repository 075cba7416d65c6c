"""Optimizer: settings, and the chain of the engine's rules that they stand for; the rules hold the arithmetic.

Decay is a rule of its own in the chain, before the rules that move the parameters, never a flag inside one; so is
all that every optimizer can do (COMMON). An optimizer keeps its state for each network it has stepped, and lets go
of it with the network. Settings but `lr` are fixed when it is made, because the compiled chains hold copies of them.
Rejected: a list of transformations that the user chains, as optax has it. Their order matters, and only one is right.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, TypedDict
from weakref import WeakKeyDictionary

import numpy as np

from fastbp import _engine, checks
from fastbp.errors import DivergenceError
from fastbp.network import Network

Rule = tuple[str, tuple[float, ...]]

# What `groups` may set for some of the parameters, with what holds for the others.
OF_GROUPS = {"lr_scale": 1.0, "weight_decay": None, "l1": None}


def _groups(groups) -> dict[str, dict[str, float]]:
    groups = checks.instance(groups, Mapping, "groups")
    return {
        name: {
            checks.one_of(key, f"setting in groups[{name!r}]", OF_GROUPS): checks.in_range(
                value, f"{key} in groups[{name!r}]", 0.0
            )
            for key, value in checks.instance(settings, Mapping, f"groups[{name!r}]").items()
        }
        for name, settings in groups.items()
    }


class Common(TypedDict, total=False):
    """The settings that every optimizer takes, for type checkers; COMMON has their defaults and checks."""

    decay_biases: bool
    l1: float
    groups: Mapping[str, Mapping[str, float]]


COMMON: dict[str, tuple[object, Callable]] = {
    "decay_biases": (True, bool),
    "l1": (0.0, lambda value: checks.in_range(value, "l1", 0.0)),
    "groups": ({}, _groups),
}


class Optimizer:
    """Base of the optimizers: a subclass names its settings and gives its `rules`.

    All optimizers take these settings too.

    Parameters
    ----------
    weight_decay : float
        Added to the gradient as weight_decay * p (coupled, as in PyTorch); AdamW and others that say so have it
        decoupled: p *= 1 - lr * weight_decay.
    decay_biases : bool
        Whether weight_decay and l1 are for all parameters; False: for the matrices only, not for biases or the
        factors of normalizations.
    l1 : float
        Adds l1 * sign(p) to the gradient: the subgradient of an L1 penalty.
    groups : dict from str to dict
        Other settings for some of the parameters, by the name of a layer, "dense_1", or of one parameter of it,
        "dense_1.b": any of `lr_scale` (a factor of lr), `weight_decay` and `l1`.

    Attributes
    ----------
    lr : float
        The learning rate; may be changed at any time.
    settings : mapping
        All others, read-only.

    Examples
    --------
    >>> from fastbp import Adam
    >>> Adam(lr=0.01, weight_decay=1e-4, decay_biases=False, groups={"dense_1": {"lr_scale": 0.1}}).settings["groups"]
    {'dense_1': {'lr_scale': 0.1}}
    """

    classes: ClassVar[dict[str, Callable[..., "Optimizer"]]] = {}
    decay: ClassVar[str] = "l2"  # the rule that `weight_decay` goes to

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Optimizer.classes[cls.__name__.lower()] = cls

    def __init__(self, lr: float, weight_decay: float, common: Common, **settings: object):
        self.lr = lr
        settings["weight_decay"] = checks.in_range(weight_decay, "weight_decay", 0.0)
        for name in common:
            checks.one_of(name, f"setting of {type(self).__name__}", {"lr", *settings, *COMMON}, TypeError)
        checked = {name: check(common.get(name, default)) for name, (default, check) in COMMON.items()}
        self.settings: Mapping = MappingProxyType(settings | checked)
        self._chains: WeakKeyDictionary[Network, _engine.Chain] = WeakKeyDictionary()

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, lr):
        self._lr = checks.in_range(lr, "lr", 0.0)

    def rules(self) -> list[Rule]:
        """The engine's rules that move the parameters, and their scalars, in the order in which they are applied."""
        raise NotImplementedError

    def chain_for(self, net: Network) -> "_engine.Chain":
        """The compiled rules and their state for a network."""
        chain = self._chains.get(net)
        if chain is None:
            chain = _engine.Chain(net.dtype.name, *self._compiled(net))
            self._chains[net] = chain
        return chain

    def _compiled(self, net):
        """The groups of the engine's chain, the number of parameters, and which of them a group has."""
        slices = net.slices
        known = {*slices, *(name.rpartition(".")[0] for name in slices)}
        for name in self.settings["groups"]:
            checks.one_of(name, "layer in groups", known)
        numbers, groups, segments = {}, [], []
        for name, (part, shape) in slices.items():
            lr_scale, *decays = self._of_parameter(name, len(shape) == 2)
            key = (lr_scale, *decays)
            if key not in numbers:
                numbers[key] = len(groups)
                groups.append((lr_scale, self._chain(*decays)))
            if segments and segments[-1][1] == numbers[key]:
                segments.pop()
            segments.append((part.stop, numbers[key]))
        return groups or [(1.0, self.rules())], net.params.size, segments or None

    def _of_parameter(self, name, is_matrix):
        """What OF_GROUPS has, for one parameter."""
        decays = is_matrix or self.settings["decay_biases"]
        own = {key: value if value is not None else self.settings[key] for key, value in OF_GROUPS.items()}
        own |= self.settings["groups"].get(name.rpartition(".")[0], {})
        if not decays:
            own |= {"weight_decay": 0.0, "l1": 0.0}
        own |= self.settings["groups"].get(name, {})
        return own.values()

    def _chain(self, weight_decay, l1):
        """All rules for parameters with these decays."""
        decay = [(self.decay, (weight_decay,))] if weight_decay else []
        before, after = ([], decay) if self.decay == "proximal_decay" else (decay, [])
        return [*before, *([("l1", (l1,))] if l1 else []), *self.rules(), *after]

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
        return {"name": type(self).__name__.lower(), **self._shown()}

    def _shown(self):
        """lr, the settings of its own, and those of all optimizers that are not the defaults."""
        hidden = {name for name, (default, _) in COMMON.items() if self.settings[name] == default}
        return {"lr": self.lr, **{name: value for name, value in self.settings.items() if name not in hidden}}

    def __reduce__(self):
        return _made, (type(self), self._shown())

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._shown().items())})"


def resolve(optimizer) -> Optimizer:
    """A new optimizer with its defaults for a name, or the optimizer itself."""
    if isinstance(optimizer, str):
        return Optimizer.classes[checks.one_of(optimizer, "optimizer", Optimizer.classes)]()
    return checks.instance(optimizer, Optimizer, "optimizer")


def from_config(config: dict) -> Optimizer:
    """The optimizer that `config()` describes."""
    config = dict(config)
    return _made(Optimizer.classes[checks.one_of(config.pop("name"), "optimizer", Optimizer.classes)], config)


def _made(cls, settings):
    return cls(**settings)


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
