"""Types of chain.pyx."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

_Rules: TypeAlias = Sequence[tuple[str, Sequence[float]]]

class Chain:
    states: np.ndarray
    t: int
    def __init__(
        self,
        dtype: str,
        groups: Sequence[tuple[float, _Rules]],
        n: int,
        segments: Sequence[tuple[int, int]] | None = None,
    ) -> None: ...
    def penalise(self, penalties: Sequence[float]) -> None: ...
    def step(
        self, params: np.ndarray, grads: np.ndarray, lr: float, spans: Iterable[tuple[int, int]] | None = None
    ) -> bool: ...
