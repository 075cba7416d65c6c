"""Types of chain.pyx."""

from collections.abc import Iterable, Sequence

import numpy as np

class Chain:
    states: np.ndarray
    t: int
    def __init__(self, dtype: str, rules: Sequence[tuple[str, Sequence[float]]], n: int) -> None: ...
    def step(
        self, params: np.ndarray, grads: np.ndarray, lr: float, spans: Iterable[tuple[int, int]] | None = None
    ) -> bool: ...
