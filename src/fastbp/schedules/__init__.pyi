"""The public names of this folder: the one list of them."""

from fastbp.schedules.cycles import (
    Cosine as Cosine,
    CosineRestarts as CosineRestarts,
    OneCycle as OneCycle,
)
from fastbp.schedules.on_plateau import (
    OnPlateau as OnPlateau,
)
from fastbp.schedules.schedule import (
    Schedule as Schedule,
)
from fastbp.schedules.shapes import (
    Constant as Constant,
    Exponential as Exponential,
    Function as Function,
    InverseSqrt as InverseSqrt,
    Linear as Linear,
    MultiStep as MultiStep,
    Piecewise as Piecewise,
    Polynomial as Polynomial,
    Step as Step,
    WarmUp as WarmUp,
)
