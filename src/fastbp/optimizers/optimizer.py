"""Optimizer: the base class; its settings become a chain of the engine's update rules, which do the arithmetic.

Decay is a rule of its own in the chain, before the rules that move the parameters, never a flag inside a rule; the same
holds for every setting that all optimizers share (`settings.py`, `compiling.py`). An optimizer keeps its state for each
network it has stepped, and releases it with the network. All settings except `lr` are fixed at construction, because
the compiled chains hold copies of them.
"""

import math
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from fastbp import _engine
from fastbp._configured import Registered, Registry, called, made
from fastbp.errors import DivergenceError
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.optimizers.compiling import compiled
from fastbp.optimizers.settings import COMMON, Common, Rate, Rule, checked
from fastbp.schedules import shapes
from fastbp.schedules.on_plateau import OnPlateau
from fastbp.schedules.schedule import Schedule


class Optimizer(Registered):
    """Base of the optimizers: a subclass names its settings and gives its `rules`.

    `lr` may be a number, a schedule (`fastbp.schedules`) or a function of the step. All optimizers also take the
    following settings.

    Parameters
    ----------
    weight_decay : float
        L2 regularization, added to the gradient as weight_decay * p (coupled, as in PyTorch); decoupled,
        p *= 1 - lr * weight_decay, in AdamW and others that say so. Each optimizer has its own default.
    decoupled_weight_decay : bool, optional
        Overrides which of the two forms is used; the optimizer's own form if not given.
    decay_biases : bool, default=True
        Whether weight_decay, l1 and proximal_l1 apply to all parameters; if False only to matrices, not to biases and
        the factors of normalizations.
    l2_by_rows : float, default=0.0
        Penalty l2_by_rows / 2 * |W|**2 on the sum of the samples' losses, as in scikit-learn, instead of their mean:
        adds l2_by_rows * W, over the number of rows of the step, to the gradient of matrices.
    l1 : float, default=0.0
        L1 regularization by its subgradient, l1 * sign(p), which brings parameters near 0 but not to it.
    proximal_l1 : float, default=0.0
        L1 regularization by its proximal step (soft thresholding), decoupled: after the step each parameter moves
        towards 0 by lr * proximal_l1, and becomes exactly 0 where it would pass it.
    clip_norm : float, optional
        Scales the whole gradient down to this Euclidean norm if it is larger; no limit if not given.
    clip_value : float, optional
        Clips each number of the gradient to -clip_value ... clip_value, after clip_norm; no limit if not given.
    accumulate : int, default=1
        Number of batches whose mean gradient makes one step.
    ema : float, optional
        Decay rate of an exponential moving average of the parameters (see `average`); none if not given.
    swa_start : int, optional
        First step of a plain average of the parameters (stochastic weight averaging); none if not given.
    swa_every : int, default=1
        Number of steps between two whose parameters enter that average.
    groups : dict from str to dict, default={}
        Settings for some of the parameters, by the name of a layer, "dense_1", or of a single parameter,
        "dense_1.b": any of `lr_scale` (a factor of lr), `weight_decay`, `l1` and `proximal_l1`.

    Attributes
    ----------
    lr : float
        The learning rate of the last step. A number, a schedule or a function of the step can be assigned at any time.
    schedule : Schedule or None
        The schedule, if lr is not a number.
    epoch : int
        Number of epochs done, for schedules per epoch: `fit` counts; a custom training loop adds 1 itself.
    settings : mapping
        All other settings, read-only.

    See Also
    --------
    fastbp.Trainer : Makes steps with an optimizer.

    Examples
    --------
    >>> from fastbp import Adam
    >>> Adam(lr=0.01, weight_decay=1e-4, decay_biases=False, groups={"dense_1": {"lr_scale": 0.1}}).settings["groups"]
    {'dense_1': {'lr_scale': 0.1}}
    """

    classes = Registry("optimizer", "name")
    decay: ClassVar[str] = "l2"  # the rule that applies `weight_decay`

    def __init__(self, lr: Rate, weight_decay: float, common: Common, **settings: object):
        self.schedule: Schedule | None = None
        self.epoch = 0
        self.lr = lr
        settings["weight_decay"] = checks.in_range(weight_decay, "weight_decay", 0.0)
        for name in common:
            checks.one_of(name, f"setting of {type(self).__name__}", {"lr", *settings, *COMMON}, TypeError)
        self.settings: Mapping = MappingProxyType(settings | checked(common))
        self._chains: WeakKeyDictionary[Network, _engine.Chain] = WeakKeyDictionary()

    @property
    def lr(self) -> float:
        """The learning rate of the last step; before any step, the rate of the first."""
        return self._lr

    @lr.setter
    def lr(self, lr: float | Schedule | Callable[[int], float]) -> None:
        schedule = shapes.as_schedule(lr)
        self._lr = schedule(0) if schedule else checks.in_range(lr, "lr", 0.0)
        self.schedule = schedule
        self._count = 0  # the step or epoch for which the schedule gave `_lr`

    def rates(self, done: int, first: int, last: int) -> np.ndarray:
        """An array with the learning rates of batches first ... last - 1, after `done` batches; `lr` is the first."""
        rates, schedule = np.full(last, self.next_rate(done)), self.schedule
        if schedule is not None and self.by_steps:
            size = self.settings["accumulate"]
            steps = (done + np.arange(last - first)) // size - done // size
            if steps[-1]:
                later = schedule.at(done // size + np.arange(1, steps[-1] + 1))
                rates[first:] = np.append(self._lr, later)[steps]
        return rates

    @property
    def by_steps(self) -> bool:
        """Whether the learning rate changes within an epoch."""
        return self.schedule is not None and self.schedule.per == "step"

    def next_rate(self, done: int) -> float:
        """The rate of the batch after `done` others, which becomes `lr`; a schedule is called once per count."""
        schedule = self.schedule
        if schedule is not None:
            count = done // self.settings["accumulate"] if self.by_steps else self.epoch
            if count != self._count or not schedule.by_count:
                self.take_rate(done, schedule(count))
        return self._lr

    def take_rate(self, done: int, rate: float) -> None:
        """Set `lr` to the learning rate that the batch after `done` others had."""
        self._lr = float(rate)
        self._count = done // self.settings["accumulate"] if self.by_steps else self.epoch

    def end_epoch(self, logs: Mapping[str, float], known: Container[str] | None = None) -> None:
        """Count an epoch, for schedules per epoch; `fit` calls it.

        Parameters
        ----------
        logs : dict from str to float
            The results of the epoch, for an OnPlateau.
        known : set of str, optional
            Names in the logs of other epochs; the names of `logs` if not given.
        """
        self.epoch += 1
        if isinstance(self.schedule, OnPlateau):
            self.schedule.see_logs(logs, known)

    def rules(self) -> list[Rule]:
        """The engine's update rules that move the parameters, with their scalars, in order."""
        raise NotImplementedError

    def rules_for(self, is_matrix: bool) -> tuple[float, list[Rule]]:
        """A factor of lr and the update rules, for matrices or for other parameters."""
        return 1.0, self.rules()

    def chain_for(self, net: Network) -> "_engine.Chain":
        """The compiled update rules and their state for a network."""
        chain = self._chains.get(net)
        if chain is None:
            chain = self._chains[net] = compiled(self, net)
        return chain

    def step(self, net: Network, loss: float = math.nan) -> None:
        """Update `net.params` in place by `net.grads`.

        Parameters
        ----------
        net : Network
            The network whose gradients are used.
        loss : float, optional
            The loss at the current parameters; only `Rprop` with `backtrack` needs it.

        Raises
        ------
        DivergenceError
            If a parameter would not be finite; its old value is kept.
        """
        chain = self.chain_for(checks.instance(net, Network, "net"))
        if not net.programs.update(chain, self.next_rate(chain.t), loss):
            raise self.diverged("the update is not finite")

    def average(self, net: Network) -> np.ndarray:
        """The average of a network's parameters that `ema` or `swa_start` maintains.

        Parameters that are not trained (frozen ones, running averages of normalizations) have their current values.

        Parameters
        ----------
        net : Network
            A network that the optimizer has updated.

        Returns
        -------
        ndarray of shape (n,)
            As `net.params`.
        ndarray of shape (n,)
            The average, in the order of `net.params`.

        Raises
        ------
        RuntimeError
            If there is no average yet.

        Examples
        --------
        >>> from fastbp import SGD, Dense, Input, Sequential
        >>> net, optimizer = Sequential(Input(1), Dense(1, weights="zeros"), seed=0), SGD(lr=1.0, swa_start=1)
        >>> net.grads[...] = -1.0
        >>> for _ in range(3):
        ...     optimizer.step(net)
        >>> net.params, optimizer.average(net)
        (array([3., 3.], dtype=float32), array([2., 2.], dtype=float32))
        """
        ema, start = self.settings["ema"], self.settings["swa_start"]
        if ema is None and start is None:
            raise RuntimeError(f"{type(self).__name__} keeps no average; make it with ema=0.999 or swa_start=1000")
        chain = self.chain_for(checks.instance(net, Network, "net"))
        wanted, done = start or 1, chain.t // self.settings["accumulate"]
        if done < wanted:
            raise RuntimeError(f"there is an average from step {wanted} on, {done} are done")
        return np.where(net.programs.trained(), chain.states[-1], net.params)

    @contextmanager
    def averaged(self, net: Network) -> Iterator[None]:
        """Context in which `net.params` holds the average, for evaluation or saving.

        Parameters
        ----------
        net : Network
            A network that the optimizer has updated.

        Yields
        ------
        None

        Examples
        --------
        >>> from fastbp import SGD, Dense, Input, Sequential
        >>> net, optimizer = Sequential(Input(1), Dense(1, weights="zeros"), seed=0), SGD(lr=1.0, ema=0.5)
        >>> net.grads[...] = -1.0
        >>> for _ in range(2):
        ...     optimizer.step(net)
        >>> with optimizer.averaged(net):
        ...     print(net.params)
        [1.5 1.5]
        """
        kept = net.params.copy()
        net.params = self.average(net)
        try:
            yield
        finally:
            net.params = kept

    def diverged(self, what: str) -> DivergenceError:
        """The error for a loss or an update that is not finite."""
        return DivergenceError(
            f"{what}; the parameters are the last finite ones. Try a smaller learning rate than {self.lr}, "
            "or inputs and targets of a scale near 1"
        )

    def arguments(self) -> dict[str, Any]:
        """The rate, the optimizer's own settings, and the shared settings that differ from their defaults."""
        hidden = {name for name, (default, _) in COMMON.items() if self.settings[name] == default}
        return {
            "lr": self.schedule or self._lr,
            **{name: value for name, value in self.settings.items() if name not in hidden},
        }

    def __reduce__(self):
        return made, (type(self), self.arguments())

    def __repr__(self):
        return called(type(self).__name__, self.arguments())


from_config = Optimizer.from_config
