"""Types of locked_passes.pyx."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp._engine.batches import Batches
from fastbp._engine.loss_term import Term
from fastbp._engine.program import Program, _Arrays, _Sources

def forward_kept(program: Program, xs: _Sources, training: bool, threads: int) -> tuple[np.ndarray, ...]: ...
def forward_taped(
    program: Program, owner: Program, xs: _Sources, training: bool, threads: int
) -> tuple[np.ndarray, ...]: ...
def backward_taped(
    program: Program, owner: Program, dys: _Arrays, accumulate: bool, adds_rows: bool, threads: int
) -> tuple[np.ndarray, ...]: ...
def predict_fit(program: Program, xs: _Sources, threads: int) -> tuple[tuple[np.ndarray, ...], bool]: ...
def train(program: Program, batches: Batches, threads: int) -> tuple[int, int]: ...
def gradient_of(
    program: Program, xs: _Sources, ts: _Arrays, weights: np.ndarray | None, terms: Sequence[Term], threads: int
) -> float: ...
def updated(program: Program, update: Callable[..., bool], arguments: tuple[Any, ...], rows: float = 0.0) -> bool: ...
