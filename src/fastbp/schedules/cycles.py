"""Learning rate schedules in cycles: cosine annealing, with warm restarts, and one cycle.

Names, settings and values are those of `torch.optim.lr_scheduler`.
"""

import numpy as np

from fastbp.inputs import checks
from fastbp.schedules.schedule import Schedule, rate

__all__ = ["Cosine", "CosineRestarts", "OneCycle"]


class Cosine(Schedule):
    """Cosine annealing from lr to eta_min over T_max steps, then up again. PyTorch's CosineAnnealingLR.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    T_max : int
        Number of steps from lr to eta_min.
    eta_min : float, default=0.0
        The lowest rate.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    CosineRestarts : With restarts.
    OneCycle : With a warm-up.

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
    """Cosine annealing with warm restarts, in cycles of T_0, T_0 * T_mult ... steps.

    PyTorch's CosineAnnealingWarmRestarts; Loshchilov and Hutter 2017.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    T_0 : int
        Number of steps of the first cycle.
    T_mult : int, default=1
        The length of each cycle, as a multiple of the one before.
    eta_min : float, default=0.0
        The rate at the end of a cycle.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    Cosine : Without restarts.

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
    """One cycle: up from max_lr / div_factor to max_lr, then down to the initial rate / final_div_factor.

    PyTorch's OneCycleLR; Smith and Topin 2018.

    Parameters
    ----------
    max_lr : float
        The highest rate.
    total_steps : int
        Number of steps of the cycle; afterwards the rate stays constant.
    pct_start : float, default=0.3
        Fraction of the steps spent rising.
    anneal_strategy : {"cos", "linear"}, default="cos"
        Shape of the rise and the fall.
    div_factor : float, default=25.0
        The quotient of max_lr and the initial rate.
    final_div_factor : float, default=1e4
        The quotient of the initial rate and the final one.
    three_phase : bool, default=False
        Whether to fall to the initial rate symmetrically first, and to the final one in a third phase.
    per : {"step", "epoch"}, default="step"
        What t counts, from 0: optimizer steps, or epochs of `fit`.

    See Also
    --------
    Cosine : Without the way up.
    fastbp.LearningRateFinder : Finds max_lr.

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
