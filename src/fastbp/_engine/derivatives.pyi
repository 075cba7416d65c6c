"""Types of derivatives.pyx."""

from collections.abc import Sequence

import numpy as np

from fastbp._engine.loss_term import Term
from fastbp._engine.program import Program, _Arrays, _Sources

def pull(program: Program, xs: _Sources, outs: _Arrays, threads: int = 1) -> None: ...
def push(program: Program, moving: Sequence[bool], xs: _Sources, outs: _Arrays, threads: int = 1) -> None: ...
def second(
    program: Program,
    moving: Sequence[bool],
    xs: _Sources,
    out: np.ndarray,
    feature: int,
    ts: _Arrays | None,
    terms: Sequence[Term] | None,
    threads: int = 1,
) -> None: ...
def parameter_second(program: Program, xs: _Sources, ts: _Arrays, terms: Sequence[Term]) -> None: ...
def rows_gradients(
    program: Program,
    xs: _Sources,
    ts: _Arrays,
    terms: Sequence[Term] | None,
    out: np.ndarray | None,
    norms: np.ndarray | None,
    size: int,
    threads: int = 1,
) -> None: ...
def vjp(program: Program, xs: _Sources, dys: _Arrays, threads: int = 1) -> tuple[np.ndarray, ...]: ...
def weight_products(W: np.ndarray, V: np.ndarray, out: np.ndarray) -> None: ...
