"""Types of chain.pyx."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from fastbp._engine.tables import RULES as RULES

_Rules: TypeAlias = Sequence[tuple[str, Sequence[float]]]

class Chain:
    states: np.ndarray
    t: int
    shown_penalty: float
    loss: float
    def __init__(
        self,
        dtype: str,
        groups: Sequence[tuple[float, _Rules]],
        n: int,
        segments: Sequence[tuple[int, int]] | None = None,
        matrices: Sequence[tuple[int, int, int, int]] = (),
    ) -> None: ...
    def cut(self) -> None: ...
    def begin_stage(self, g: int, stage: int, first: int) -> None: ...
    def place(self, matrices: Sequence[tuple[int, int, int, int]]) -> None: ...
