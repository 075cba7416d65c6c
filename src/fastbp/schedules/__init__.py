"""Learning rate schedules: functions of the step or the epoch, passed as `lr`."""

from fastbp.schedules.cycles import Cosine, CosineRestarts, OneCycle
from fastbp.schedules.on_plateau import OnPlateau
from fastbp.schedules.schedule import Schedule
from fastbp.schedules.shapes import (
    Constant,
    Exponential,
    Function,
    InverseSqrt,
    Linear,
    MultiStep,
    Piecewise,
    Polynomial,
    Step,
    WarmUp,
)

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


def __dir__():
    return __all__
