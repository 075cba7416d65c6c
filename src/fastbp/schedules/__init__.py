"""Schedules: learning rates as a function of the step or of the epoch. They go where `lr` goes."""

from fastbp.schedules.on_plateau import OnPlateau
from fastbp.schedules.schedule import Schedule
from fastbp.schedules.shapes import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Function,
    InverseSqrt,
    Linear,
    MultiStep,
    OneCycle,
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
