"""Learning rate schedules: functions of the step or the epoch, passed as `lr`. Cosine schedules are in `cycles.py`.

Names, settings and values are those of `torch.optim.lr_scheduler` where PyTorch has them. Except for `OnPlateau`, a
schedule is a stateless function of a count. So a run of the engine gets the rates of all its batches as one array, and
resuming from a checkpoint needs only the number of steps.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from inspect import signature
from itertools import pairwise

import numpy as np

from fastbp.inputs import checks
from fastbp.schedules.on_plateau import OnPlateau
from fastbp.schedules.schedule import Schedule, rate

__all__ = [
    "Constant",
    "Exponential",
    "Function",
    "InverseSqrt",
    "Linear",
    "MultiStep",
    "OnPlateau",
    "Piecewise",
    "Polynomial",
    "Schedule",
    "Step",
    "WarmUp",
]


class Constant(Schedule):
    """A constant learning rate.

    Parameters
    ----------
    lr : float
        The learning rate.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    WarmUp : Starts slowly.

    Examples
    --------
    >>> Constant(0.1)(7)
    0.1
    """

    def __init__(self, lr: float, *, per: str = "step"):
        super().__init__(per, lr=rate(lr))

    def at(self, t):
        return np.full(len(t), self.settings["lr"])


class Linear(Schedule):
    """Linear from start_factor * lr to end_factor * lr over total_iters steps, then constant. PyTorch's LinearLR.

    Parameters
    ----------
    lr : float
        The base learning rate.
    start_factor : float, default=1/3
        Factor of lr at the first step.
    end_factor : float, default=1.0
        Factor of lr from step total_iters on.
    total_iters : int, default=5
        Number of steps of the ramp.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    Polynomial : To 0, as a power.
    WarmUp : Up to another schedule.

    Examples
    --------
    >>> Linear(1.0, start_factor=0.5, total_iters=2)(1)
    0.75
    """

    def __init__(
        self,
        lr: float,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        *,
        per: str = "step",
    ):
        start, end = rate(start_factor, "start_factor"), rate(end_factor, "end_factor")
        total = checks.positive_int(total_iters, "total_iters")
        super().__init__(per, lr=rate(lr), start_factor=start, end_factor=end, total_iters=total)

    def at(self, t):
        lr, start, end, total = self.settings.values()
        return lr * (start + (end - start) * np.minimum(t, total) / total)


class Step(Schedule):
    """Multiplies the rate by gamma every step_size steps. PyTorch's StepLR.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    step_size : int
        Number of steps between two changes.
    gamma : float, default=0.1
        Factor of each change.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    MultiStep : At any steps.
    Exponential : At each step.

    Examples
    --------
    >>> [Step(1.0, step_size=2, gamma=0.5)(t) for t in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1, *, per: str = "step"):
        super().__init__(
            per, lr=rate(lr), step_size=checks.positive_int(step_size, "step_size"), gamma=rate(gamma, "gamma")
        )

    def at(self, t):
        lr, size, gamma = self.settings.values()
        return lr * gamma ** (t // size)


class MultiStep(Schedule):
    """Multiplies the rate by gamma at each milestone. PyTorch's MultiStepLR.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    milestones : sequence of int
        Ascending counts at which the rate changes.
    gamma : float, default=0.1
        Factor of each change.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    Raises
    ------
    ValueError
        If `milestones` do not ascend.

    See Also
    --------
    Step : At regular steps.
    Piecewise : Any rate after each milestone.

    Examples
    --------
    >>> [MultiStep(1.0, milestones=[1, 3], gamma=0.5)(t) for t in range(4)]
    [1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, lr: float, milestones: Sequence[int], gamma: float = 0.1, *, per: str = "step"):
        super().__init__(per, lr=rate(lr), milestones=_ascending(milestones), gamma=rate(gamma, "gamma"))

    def at(self, t):
        lr, milestones, gamma = self.settings.values()
        return lr * gamma ** np.searchsorted(milestones, t, side="right")


class Piecewise(Schedule):
    """Piecewise constant: the first rate before the first milestone, the next one from there on, and so on.

    Parameters
    ----------
    rates : sequence of float
        One rate more than there are milestones.
    milestones : sequence of int
        Ascending counts at which the rate changes.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    Raises
    ------
    ValueError
        If `milestones` do not ascend.

    See Also
    --------
    MultiStep : By one factor.

    Examples
    --------
    >>> [Piecewise([1.0, 0.3, 0.1], milestones=[1, 3])(t) for t in range(4)]
    [1.0, 0.3, 0.3, 0.1]
    """

    def __init__(self, rates: Sequence[float], milestones: Sequence[int], *, per: str = "step"):
        times = _ascending(milestones)
        rates = [rate(one, "each of rates") for one in checks.one_each(rates, len(times) + 1, "rates")]
        super().__init__(per, rates=rates, milestones=times)

    def at(self, t):
        rates, milestones = self.settings.values()
        return np.array(rates)[np.searchsorted(milestones, t, side="right")]


class Exponential(Schedule):
    """Exponential decay, lr * gamma ** t. PyTorch's ExponentialLR.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    gamma : float
        Factor of each step.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    Step, MultiStep : Decay at intervals.
    InverseSqrt, Polynomial : Other decays.

    Examples
    --------
    >>> Exponential(1.0, gamma=0.5)(3)
    0.125
    """

    def __init__(self, lr: float, gamma: float, *, per: str = "step"):
        super().__init__(per, lr=rate(lr), gamma=rate(gamma, "gamma"))

    def at(self, t):
        return self.settings["lr"] * self.settings["gamma"] ** t.astype(np.float64)


class Polynomial(Schedule):
    """Polynomial decay, lr * (1 - t / total_iters) ** power, then 0. PyTorch's PolynomialLR.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    total_iters : int
        Number of steps until the rate is 0.
    power : float, default=1.0
        Exponent; 1 is linear.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    Linear : Between any two rates.
    Cosine : Another decay in a fixed number of steps.

    Examples
    --------
    >>> Polynomial(1.0, total_iters=4, power=2.0)(2)
    0.25
    """

    def __init__(self, lr: float, total_iters: int, power: float = 1.0, *, per: str = "step"):
        total = checks.positive_int(total_iters, "total_iters")
        super().__init__(per, lr=rate(lr), total_iters=total, power=rate(power, "power"))

    def at(self, t):
        lr, total, power = self.settings.values()
        return lr * (1 - np.minimum(t, total) / total) ** power


class WarmUp(Schedule):
    """Linear warm-up to the first rate of another schedule, which then starts. PyTorch's LinearLR and SequentialLR.

    Parameters
    ----------
    after : Schedule or float
        The schedule after the warm-up, or a constant rate.
    steps : int
        Number of steps of the warm-up.
    start_factor : float, default=1/3
        The first rate, as a fraction of the first rate of `after`.
    per : {"step", "epoch"}, optional
        What t counts; the same as in `after` if not given.

    Raises
    ------
    ValueError
        If the other schedule counts something else, or is an OnPlateau.

    See Also
    --------
    InverseSqrt, OneCycle : Have a warm-up of their own.

    Examples
    --------
    >>> [WarmUp(Step(1.0, step_size=1, gamma=0.5), steps=2, start_factor=0.5)(t) for t in range(4)]
    [0.5, 0.75, 1.0, 0.5]
    """

    def __init__(self, after: Schedule | float, steps: int, start_factor: float = 1 / 3, *, per: str | None = None):
        if isinstance(after, (Schedule, Mapping)):
            schedule = Schedule.classes.resolve(after)
        else:
            schedule = Constant(after, per=per or "step")
        if per is not None and per != schedule.per:
            raise ValueError(f"WarmUp counts per {per}, the schedule after it per {schedule.per}")
        if isinstance(schedule, OnPlateau):
            raise ValueError("WarmUp wants a schedule that is a function of the count after it, got OnPlateau")
        start = rate(start_factor, "start_factor")
        super().__init__(schedule.per, after=schedule, steps=checks.positive_int(steps, "steps"), start_factor=start)

    def at(self, t):
        after, steps, start = self.settings.values()
        rising = after(0) * (start + (1 - start) * np.minimum(t, steps) / steps)
        return np.where(t < steps, rising, after.at(np.maximum(t - steps, 0)))


class InverseSqrt(Schedule):
    """Linear warm-up, then decay with 1 / sqrt(t): lr * min((t + 1) / w, sqrt(w / (t + 1))). Vaswani et al. 2017.

    w is `warmup_steps`.

    Parameters
    ----------
    lr : float
        The highest rate, reached at step warmup_steps - 1.
    warmup_steps : int
        Number of steps of the warm-up.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    WarmUp : Before any schedule.
    Exponential, Polynomial : Other decays.

    Examples
    --------
    >>> [InverseSqrt(1.0, warmup_steps=4)(t) for t in (0, 3, 15)]
    [0.25, 1.0, 0.5]
    """

    def __init__(self, lr: float, warmup_steps: int, *, per: str = "step"):
        super().__init__(per, lr=rate(lr), warmup_steps=checks.positive_int(warmup_steps, "warmup_steps"))

    def at(self, t):
        lr, steps = self.settings.values()
        return lr * np.minimum((t + 1) / steps, np.sqrt(steps / (t + 1)))


class Function(Schedule):
    """Any function of the count. A function passed as `lr` becomes one.

    Parameters
    ----------
    function : function (t) -> float
        Returns the rate at the count t.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    Raises
    ------
    ValueError
        If `function` is the name by which a file refers to a function.

    See Also
    --------
    Schedule : The base class.

    Examples
    --------
    >>> Function(lambda t: 1 / (1 + t))(1)
    0.5
    """

    def __init__(self, function: Callable[[int], float], *, per: str = "step"):
        if isinstance(function, str):
            raise ValueError(f"the schedule {function} is a Python function, which a file only names")
        super().__init__(per, function=checks.as_callable(function, "a schedule"))

    def at(self, t):
        function = self.settings["function"]
        return np.array([rate(function(int(one)), "the rate of a schedule") for one in t], np.float64)

    def config(self):
        return {**super().config(), "function": self.settings["function"].__name__}


def _ascending(milestones):
    times = [checks.positive_int(time, "each of milestones", low=0) for time in milestones]
    if any(a >= b for a, b in pairwise(times)):
        raise ValueError(f"milestones must ascend, got {times}")
    return times


def as_schedule(lr: "float | Mapping | Schedule | Callable[[int], float]") -> Schedule | None:
    """The schedule that is passed instead of a number, or that `config()` described; None for a number."""
    if isinstance(lr, str):
        kind = None
        with suppress(ValueError):
            kind = Schedule.classes.named(lr)
        if kind is not None:
            call = f"{kind.__name__}{str(signature(kind)).partition(' -> ')[0]}"
            raise TypeError(
                f"lr must be a number or a schedule, got the name {lr!r}: fastbp.schedules.{call} makes one"
            )
    if isinstance(lr, (Schedule, Mapping)):
        return Schedule.classes.resolve(lr)
    return Function(lr) if callable(lr) else None
