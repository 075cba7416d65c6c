"""Type aliases for annotations: arguments that are arrays, losses or metrics, and results.

They are for type checkers only. At run time each is Any, because `numpy.typing` costs a fifth of `import fastbp`
and matplotlib and pandas are optional.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, DTypeLike
    from pandas import DataFrame

    Arrays: TypeAlias = ArrayLike | tuple[ArrayLike, ...]
    Operand: TypeAlias = float | Sequence[float] | np.ndarray  # a string is no ArrayLike here
    OneLoss: TypeAlias = str | Callable[..., Any]
    LossLike: TypeAlias = OneLoss | Sequence[OneLoss] | Mapping[str, OneLoss]
    WeightsOf: TypeAlias = ArrayLike | tuple[ArrayLike | None, ...] | Mapping[str, ArrayLike | None] | None
    WeightsLike: TypeAlias = float | Sequence[float] | Mapping[str, float] | None
    MetricsLike: TypeAlias = Iterable[str | Callable[..., Any] | Iterable[str | Callable[..., Any]]]
else:
    ArrayLike = Arrays = Axes = DataFrame = DTypeLike = LossLike = MetricsLike = Operand = WeightsLike = WeightsOf = Any

# One array, or a tuple of them for several inputs or outputs; a union would force every caller to distinguish them.
OneOrMore: TypeAlias = Any

__all__ = [
    "ArrayLike",
    "Arrays",
    "Axes",
    "DTypeLike",
    "DataFrame",
    "LossLike",
    "MetricsLike",
    "OneOrMore",
    "Operand",
    "WeightsLike",
    "WeightsOf",
]
