"""Types of program.pyx and the files it includes; README.md describes the arguments."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from fastbp._engine.batches import Batches
from fastbp._engine.loss_term import Term
from fastbp._engine.sources import Source
from fastbp._engine.threads import Lock

_Arrays: TypeAlias = Sequence[np.ndarray]
_Sources: TypeAlias = Sequence[np.ndarray | Source]
_Op: TypeAlias = tuple[str, tuple[int, ...], int, tuple[int, ...], dict]

class InPython:
    error: BaseException | None

class TensorHolder: ...

class Program:
    @property
    def unfit(self) -> bool: ...
    keeps_rows: bool
    def rows_at_once(self, rows: int) -> int: ...
    seed: int
    draws: int
    row: int
    meeting: Callable[..., Any] | None
    pending: int
    def __init__(
        self,
        dtype: str,
        widths: Sequence[int],
        ops: Sequence[_Op],
        inputs: Sequence[int],
        outputs: Sequence[int],
        params: np.ndarray,
        grads: np.ndarray,
    ) -> None: ...
    def freeze(self, frozen: frozenset[int]) -> None: ...
    def forward(
        self, xs: _Sources, training: bool, seed: int, step: int, threads: int = 1
    ) -> tuple[np.ndarray, ...]: ...
    def backward(
        self, dys: _Arrays, accumulate: bool, input_gradients: bool, threads: int = 1
    ) -> tuple[np.ndarray, ...] | None: ...
    def guard(self, lock: Lock) -> None: ...
    @property
    def losses(self) -> list[float]: ...
    def constrain(self) -> None: ...
    def predict(self, xs: _Sources, threads: int = 1) -> tuple[np.ndarray, ...]: ...
    def loss_and_gradient(
        self,
        xs: _Sources,
        ts: _Arrays,
        weights: np.ndarray | None,
        terms: Sequence[Term],
        seed: int,
        step: int,
        training: bool,
        threads: int = 1,
        adds: bool = False,
    ) -> float: ...
    def run(self, batches: Batches, seed: int, step: int, threads: int = 1) -> tuple[int, int]: ...
