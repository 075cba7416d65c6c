"""Types of lane.pyx."""

import numpy as np

from fastbp._engine.chain import Chain
from fastbp._engine.program import Program

class Lane:
    def __init__(
        self, program: Program, dtype: np.dtype, loss: str | None = None, chain: Chain | None = None
    ) -> None: ...
    def step(
        self, X: object, y: object, lr: float, seed: int, step: int, threads: int
    ) -> tuple[float, int] | None: ...
    def predict(self, X: object, threads: int) -> np.ndarray | None: ...
