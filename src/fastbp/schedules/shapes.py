"""Schedules: learning rates as a function of the step, or of the epoch. They go where `lr` goes.

Names, settings and numbers are those of `torch.optim.lr_scheduler` where PyTorch has them. A schedule is a function of
a count and has no state, but for `OnPlateau`; so a run of the engine takes the rates of all its batches as one array,
and going on from a file needs no more than the number of steps.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from fastbp.inputs import checks
from fastbp.schedules.on_plateau import OnPlateau
from fastbp.schedules.schedule import Schedule, rate

__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Function",
    "InverseSqrt",
    "Linear",
    "MultiStep",
    "OnPlateau",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "Schedule",
    "Step",
    "WarmUp",
]


class Constant(Schedule):
    """The same rate all the time.

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
    """From start_factor * lr to end_factor * lr on a straight line, in total_iters steps; then as it is. LinearLR.

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
    """Times gamma after each step_size steps. StepLR.

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
    """Times gamma at each of the milestones. MultiStepLR.

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
    """The first of the rates before the first milestone, the next from it on, and so forth.

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
    """lr * gamma ** t. ExponentialLR.

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
    """lr * (1 - t / total_iters) ** power, then 0. PolynomialLR.

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


class Cosine(Schedule):
    """From lr to eta_min on half a wave of T_max steps, and back after it. CosineAnnealingLR.

    Examples
    --------
    >>> Cosine(1.0, T_max=10)(5)
    0.5
    """

    def __init__(self, lr: float, T_max: int, eta_min: float = 0.0, *, per: str = "step"):
        super().__init__(per, lr=rate(lr), T_max=checks.positive_int(T_max, "T_max"), eta_min=rate(eta_min, "eta_min"))

    def at(self, t):
        lr, period, low = self.settings.values()
        return low + (lr - low) * (1 + np.cos(np.pi * t / period)) / 2


class CosineRestarts(Schedule):
    """From lr to eta_min on half waves of T_0, T_0 * T_mult, ... steps, each from lr on. CosineAnnealingWarmRestarts.

    Examples
    --------
    >>> [CosineRestarts(1.0, T_0=2, T_mult=2)(t) for t in (0, 1, 2, 4, 6)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    def __init__(self, lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0, *, per: str = "step"):
        first, factor = checks.positive_int(T_0, "T_0"), checks.positive_int(T_mult, "T_mult")
        super().__init__(per, lr=rate(lr), T_0=first, T_mult=factor, eta_min=rate(eta_min, "eta_min"))

    def at(self, t):
        lr, first, factor, low = self.settings.values()
        if factor == 1:
            done, length = t % first, first
        else:
            starts = [0]
            while starts[-1] <= t.max(initial=0):
                starts.append(starts[-1] + first * factor ** (len(starts) - 1))
            wave = np.searchsorted(starts, t, side="right") - 1
            done, length = t - np.array(starts)[wave], np.diff(starts)[wave]
        return low + (lr - low) * (1 + np.cos(np.pi * done / length)) / 2


class OneCycle(Schedule):
    """Up from max_lr / div_factor to max_lr, and down to a final_div_factor-th of the start. OneCycleLR.

    Parameters
    ----------
    max_lr : float
    total_steps : int
        After them the rate stays as it is.
    pct_start : float
        The share of the steps that go up.
    anneal_strategy : {"cos", "linear"}
        The shape of the slopes.
    div_factor, final_div_factor : float
    three_phase : bool
        Whether it first goes down as it went up, and to the end then.
    per : {"step", "epoch"}

    Examples
    --------
    >>> OneCycle(1.0, total_steps=11, pct_start=0.5, anneal_strategy="linear", div_factor=4.0)(0)
    0.25
    """

    STRATEGIES = ("cos", "linear")

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        *,
        per: str = "step",
    ):
        super().__init__(
            per,
            max_lr=rate(max_lr, "max_lr"),
            total_steps=checks.positive_int(total_steps, "total_steps", low=2),
            pct_start=checks.in_range(pct_start, "pct_start", 0.0, 1.0),
            anneal_strategy=checks.one_of(anneal_strategy, "anneal_strategy", self.STRATEGIES),
            div_factor=checks.above_zero(div_factor, "div_factor"),
            final_div_factor=checks.above_zero(final_div_factor, "final_div_factor"),
            three_phase=bool(three_phase),
        )

    def at(self, t):
        high, total, share, strategy, div, final_div, three = self.settings.values()
        start, turn = high / div, share * total - 1
        ends, levels = [turn, total - 1], [start, high, start / final_div]
        if three:
            ends, levels = [turn, 2 * turn, total - 1], [start, high, start, start / final_div]
        t = np.minimum(t, total - 1)
        phase = np.minimum(np.searchsorted(ends, t), len(ends) - 1)
        begins, ends, levels = np.array([0.0, *ends[:-1]]), np.array(ends), np.array(levels)
        share = (t - begins[phase]) / (ends - begins)[phase]
        if strategy == "cos":
            share = (1 - np.cos(np.pi * share)) / 2
        return levels[phase] + (levels[phase + 1] - levels[phase]) * share


class WarmUp(Schedule):
    """Up on a straight line to another schedule's first rate, in so many steps; then that schedule, from its start.

    As LinearLR and SequentialLR make it.

    Parameters
    ----------
    after : Schedule or float
    steps : int
    start_factor : float
        Where it begins, as a share of the first rate.
    per : {"step", "epoch"}

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
    """Up on a straight line to lr, and down with 1 / sqrt(t): lr * min((t + 1) / w, sqrt(w / (t + 1))).

    w are the warmup_steps. Vaswani et al. 2017.

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
    """Any function from the count to a rate. A function where `lr` goes becomes one.

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
    """The schedule that is given in the place of a number, or described by what `config()` gave; None for a number."""
    if isinstance(lr, (Schedule, Mapping)):
        return Schedule.classes.resolve(lr)
    return Function(lr) if callable(lr) else None
