"""Types of native.pyx."""

from collections.abc import Callable

import numpy as np

from fastbp._engine.chain import Chain
from fastbp._engine.loss_term import Term
from fastbp._engine.program import Program
from fastbp._engine.threads import Lock

class Native:
    def __init__(self, lock: Lock, rows: int, values: Program, tangents: Program | None = None) -> None: ...
    def train_with(
        self,
        training: Program,
        counts: Program,
        chain: Chain,
        term: Term,
        next_rate: Callable[[int], float],
        diverged: Callable[[int, float, int], Exception],
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def address(self) -> int: ...
    def addresses(self) -> dict[str, int]: ...
    def call(self, x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray: ...
    def call_step(self, x: np.ndarray, t: np.ndarray) -> float: ...

def capsule(native: Native, name: str, signature: bytes) -> object: ...
