"""Types of fast_path.pyx."""

import numpy as np

from fastbp._engine.batches import Batches
from fastbp._engine.chain import Chain
from fastbp._engine.loss_term import Term
from fastbp._engine.program import Program
from fastbp._engine.threads import Lock

class FastPath:
    def __init__(
        self, program: Program, lock: Lock, dtype: np.dtype, term: Term | None = None, chain: Chain | None = None
    ) -> None: ...
    def step(self, X: object, y: object, lr: float, threads: int | None = None) -> float | tuple[float, int] | None: ...
    def gradient(self, theta: object, X: object, y: object, threads: int | None = None) -> float | None: ...
    def predict(self, X: object, threads: int | None = None, out: object = None) -> np.ndarray | None: ...

def step_each(
    paths: list[FastPath | None],
    xs: list[np.ndarray],
    ts: list[np.ndarray],
    rates: list[float],
    losses: np.ndarray,
    threads: int | None = None,
) -> list[tuple[int, tuple[float, int] | None]]: ...

class LaneNets:
    lanes: int
    most_rows: int
    gain: float

class Lanes(LaneNets):
    def step(self, X: np.ndarray, y: np.ndarray, numbers: np.ndarray) -> list[tuple[int, tuple[float, int] | None]]: ...
    def run(self, which: list[int], batches: list[Batches]) -> list[tuple[int, int]] | None: ...

def lanes_of(paths: list[FastPath | None]) -> Lanes | None: ...
