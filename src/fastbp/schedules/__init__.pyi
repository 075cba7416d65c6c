"""The public names of this folder: the one list of them."""

from fastbp.schedules.on_plateau import OnPlateau as OnPlateau
from fastbp.schedules.schedule import Schedule as Schedule
from fastbp.schedules.shapes import (
    Constant as Constant,
    Cosine as Cosine,
    CosineRestarts as CosineRestarts,
    Exponential as Exponential,
    Function as Function,
    InverseSqrt as InverseSqrt,
    Linear as Linear,
    MultiStep as MultiStep,
    OneCycle as OneCycle,
    Piecewise as Piecewise,
    Polynomial as Polynomial,
    Step as Step,
    WarmUp as WarmUp,
)
