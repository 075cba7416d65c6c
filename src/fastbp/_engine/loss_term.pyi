"""Types of loss_term.pyx."""

from collections.abc import Sequence

import numpy as np

class Term:
    column: np.ndarray | None
    ceiling: float
    weighted_mean: bool
    def __init__(
        self,
        dtype: np.dtype | str,
        name: str,
        numbers: Sequence[float] = (),
        column: np.ndarray | None = None,
        heads: int = 1,
        share: float = 1.0,
        skips_nan: bool = False,
    ) -> None: ...
