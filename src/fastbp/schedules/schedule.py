"""Schedule: the base class of the learning rate schedules."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastbp.inputs import checks

PER = ("step", "epoch")


class Schedule:
    """Base of the schedules: a subclass passes its settings on and implements `at`, a formula over an array of counts.

    Parameters
    ----------
    per : {"step", "epoch"}
        What is counted, from 0: steps of the optimizer, or epochs of `fit`.
    **settings
        The settings of the subclass, by name.

    Examples
    --------
    >>> from fastbp import Adam, schedules
    >>> Adam(lr=schedules.Cosine(0.1, T_max=100)).lr
    0.1
    """

    classes: ClassVar[dict[str, Callable[..., "Schedule"]]] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Schedule.classes[cls.__name__.lower()] = cls

    def __init__(self, per: str, **settings: object):
        self.per = checks.one_of(per, "per", PER)
        self.settings: dict[str, Any] = settings

    def at(self, t: np.ndarray) -> np.ndarray:
        """The rates at counts t."""
        raise NotImplementedError

    def __call__(self, t: int) -> float:
        """The rate at a count."""
        return float(self.at(np.array([t]))[0])

    def config(self) -> dict:
        """Name and settings, JSON-serializable."""
        stored = {name: v.config() if isinstance(v, Schedule) else v for name, v in self.settings.items()}
        return {"schedule": type(self).__name__.lower(), "per": self.per, **stored}

    def __repr__(self) -> str:
        settings = self.settings | ({} if self.per == "step" else {"per": self.per})
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"


def rate(lr, name: str = "lr") -> float:
    """A learning rate, or a factor of one."""
    return checks.in_range(lr, name, 0.0)
