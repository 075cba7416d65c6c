"""Plateau: says when a number has stopped getting better. Early stopping, schedules and checkpoints ask it.

A value counts as better by more than `min_delta`, as in Keras. NaN is never better.
"""

import math
from collections.abc import Container

from fastbp.inputs import checks

MODES = {"min": 1.0, "max": -1.0}


def monitored(name: str, known: Container[str]) -> str:
    """The number that a name stands for: "val_loss" means "loss" where there is no validation data."""
    return "loss" if name == "val_loss" and name not in known else name


class Plateau:
    """Counts how long a number has not got better.

    Parameters
    ----------
    patience : int
        How many values that are not better make a plateau; 0 counts as 1.
    min_delta : float
        How much better counts as better.
    mode : {"min", "max"}
        What better is.
    cooldown : int
        How many values are not counted after a plateau.
    baseline : float, optional
        Only values better than this, too, start the counting anew.

    Attributes
    ----------
    best : float
        The best value; infinite before there is one.
    improved : bool
        Whether the last value was the best.

    Examples
    --------
    >>> plateau = Plateau(patience=2)
    >>> [plateau.see(value) for value in (3.0, 2.0, 2.5, 2.0, 1.0)]
    [False, False, False, True, False]
    """

    def __init__(
        self,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: str = "min",
        cooldown: int = 0,
        baseline: float | None = None,
    ):
        self.patience = checks.positive_int(patience, "patience", low=0)
        self.min_delta = checks.in_range(min_delta, "min_delta", 0.0)
        self.cooldown = checks.positive_int(cooldown, "cooldown", low=0)
        self.baseline = None if baseline is None else checks.in_range(baseline, "baseline")
        self.start(mode)

    def start(self, mode: str) -> None:
        """Forget all values."""
        self._sign = MODES[checks.one_of(mode, "mode", MODES)]
        self.best = self._sign * math.inf
        self.improved = False
        self.waited = 0
        self.cooling = 0

    def see(self, value: float) -> bool:
        """Take a value; whether it makes a plateau."""
        self.improved = self._better(value, self.best)
        self.waited += 1
        if self.improved:
            self.best = value
            if self.baseline is None or self._better(value, self.baseline):
                self.waited = 0
        if self.cooling:
            self.cooling -= 1
            self.waited = 0
        if self.waited < max(self.patience, 1):
            return False
        self.waited, self.cooling = 0, self.cooldown
        return True

    def state(self) -> dict:
        """What goes on after a resume."""
        return {"best": self.best, "waited": self.waited, "cooling": self.cooling}

    def restore(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.best = float(state["best"])
        self.waited = checks.as_count(state["waited"], "waited")
        self.cooling = checks.as_count(state["cooling"], "cooling")

    def _better(self, value, than):
        return self._sign * (than - value) > self.min_delta


class FallingRate(Plateau):
    """A learning rate that is multiplied by a factor at each plateau, and does not fall below a smallest one.

    Parameters
    ----------
    factor : float
    min_lr : float
    relative : bool
        Whether `min_delta` is a share of the best value, as in PyTorch, or a difference.
    """

    def __init__(
        self,
        factor: float,
        patience: int,
        min_delta: float,
        mode: str = "min",
        *,
        cooldown: int = 0,
        min_lr: float = 0.0,
        relative: bool = False,
    ):
        super().__init__(patience, min_delta, mode, cooldown)
        self.factor = checks.in_range(factor, "factor", 0.0, 1.0)
        self.min_lr = checks.in_range(min_lr, "min_lr", 0.0)
        self.relative = relative

    def lowered(self, lr: float) -> float:
        """The rate after a plateau."""
        return min(lr, max(lr * self.factor, self.min_lr))

    def _better(self, value, than):
        if not self.relative:
            return super()._better(value, than)
        return self._sign * (than - value) > (0 if math.isinf(than) else self.min_delta * abs(than))
