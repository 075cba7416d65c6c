"""Types of functional.pyx."""

from collections.abc import Callable, Iterable

import numpy as np

from fastbp._engine.chain import Chain
from fastbp._engine.loss_term import Term

def dense_forward(
    X: np.ndarray, W: np.ndarray, b: np.ndarray | None, activation: str, alpha: float = ..., beta: float = ...
) -> np.ndarray: ...
def dense_backward(
    dY: np.ndarray,
    X: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    Y: np.ndarray,
    activation: str,
    alpha: float = ...,
    beta: float = ...,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def add_gram(J: np.ndarray, out: np.ndarray) -> None: ...
def activation_forward(Z: np.ndarray, activation: str, alpha: float = ..., beta: float = ...) -> np.ndarray: ...
def activation_backward(
    dY: np.ndarray, Z: np.ndarray, Y: np.ndarray, activation: str, alpha: float = ..., beta: float = ...
) -> np.ndarray: ...
def loss(term: Term, Y: np.ndarray, t: np.ndarray, weights: np.ndarray | None) -> tuple[float, np.ndarray]: ...
def update(
    chain: Chain,
    P: np.ndarray,
    G: np.ndarray,
    lr: float,
    spans: Iterable[tuple[int, int]] | None = None,
    loss: float = ...,
    scale: float = ...,
    constrain: Callable[[], None] | None = None,
) -> bool: ...

UPDATES: dict[np.dtype, Callable[..., bool]]

def first_nonfinite(A: np.ndarray) -> int: ...
def first_outside(A: np.ndarray, low: float, high: float) -> int: ...
