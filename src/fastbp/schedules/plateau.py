"""Plateau: detects when a quantity stops improving, for early stopping, schedules and checkpoints.

An improvement is larger than `min_delta`, as in Keras. NaN is never an improvement.
"""

import math
from collections.abc import Container

from fastbp.inputs import checks

MODES = {"min": 1.0, "max": -1.0}


def monitored(name: str, known: Container[str]) -> str:
    """The quantity that a name stands for: "val_loss" means "loss" without validation data."""
    return "loss" if name == "val_loss" and name not in known else name


class Plateau:
    """Counts the values without improvement.

    Parameters
    ----------
    patience : int, default=10
        Number of values without improvement that make a plateau; 0 counts as 1.
    min_delta : float, default=0.0
        The smallest change that counts as an improvement.
    mode : {"min", "max"}, default="min"
        Whether lower or higher values are better.
    cooldown : int, default=0
        Number of values after a plateau that are not counted.
    baseline : float, optional
        If given, only an improvement on this value resets the count.

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
        """Reset all values and counts."""
        self._sign = MODES[checks.one_of(mode, "mode", MODES)]
        self.best = self._sign * math.inf
        self.improved = False
        self.waited = 0
        self.cooling = 0

    def see(self, value: float) -> bool:
        """Record a value; return whether a plateau is reached."""
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
        """The state that a checkpoint stores."""
        return {"best": self.best, "waited": self.waited, "cooling": self.cooling}

    def restore(self, state: dict) -> None:
        """Restore what `state` returned."""
        self.best = float(state["best"])
        self.waited = checks.as_count(state["waited"], "waited")
        self.cooling = checks.as_count(state["cooling"], "cooling")

    def _better(self, value, than):
        return self._sign * (than - value) > self.min_delta


class FallingRate(Plateau):
    """A learning rate that is multiplied by a factor at each plateau and does not fall below `min_lr`.

    Parameters
    ----------
    factor : float
    min_lr : float
    relative : bool
        Whether `min_delta` is a fraction of the best value, as in PyTorch, or a difference.
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
