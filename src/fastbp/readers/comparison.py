"""Comparison of a converted network with its original, on a few random rows.

The tolerance is measured: it is how much the net's own outputs change if X changes by some units in the last place.
Rejected: a fixed tolerance, which is too wide for a layer and too narrow for the exponential of a layer.
"""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastbp.layers.embedding import limits_of, tables_of
from fastbp.model import Model

SIZES = (0.1, 0.3, 1.0, 1.0, 1.0, 3.0, 3.0, 10.0)  # scale of the numbers in each row
NUDGES = 4
FACTOR = 64.0  # times the effect of the perturbation: the original may round in another order in each operation
FLOORS = {"float16": 0.02, "float32": 1e-4, "float64": 1e-8}  # relative to the largest output of a column
UNITS = {"float16": 2.0**-8, "float32": 2.0**-23, "float64": 2.0**-52}  # 16 bits: the unit of bfloat16


def rows(net: Model) -> list[np.ndarray]:
    """Some rows for each input: normally distributed, and whole numbers where they index a table."""
    rng = np.random.default_rng(0)
    made = []
    for source, tables in zip(net.inputs, tables_of(net.inputs, net.nodes, net.dtype), strict=True):
        X = rng.normal(size=(len(SIZES), source.width)) * np.array(SIZES)[:, None]
        limits = limits_of(tables, source.width).astype(np.int64)
        whole = np.flatnonzero(limits)
        X[:, whole] = rng.integers(limits[whole], size=(len(SIZES), len(whole)))
        made.append(X.astype(net.dtype))
    return made


def compare(
    net: Model, evaluate: Callable[..., Any], form: str, precision: str = "float64", xs: list[np.ndarray] | None = None
) -> None:
    """Raise if `evaluate`, the original's function from inputs to outputs, and the net have different outputs.

    If the original raises on the rows, only the rows that it accepts one by one are compared, or else rows within
    0 ... 1. If it accepts none, for example because its device is not available, there is a warning.
    """
    xs = rows(net) if xs is None else [x.astype(net.dtype) for x in xs]
    try:
        wanted, again = _twice(evaluate, xs)
    except Exception as error:  # runs code of the original
        taken = _taken(evaluate, xs)
        if taken is None:
            fault = f"{type(error).__name__}: {' '.join(str(error).split())!s:.200}"
            warnings.warn(
                "the net that was read was not compared with the original, which cannot be run on random rows"
                f" ({fault}); compare their outputs on rows of yours (check=False reads from {form} without it)",
                stacklevel=4,
            )
            return
        xs, wanted, again = taken
    got = _listed(net.predict(tuple(xs) if len(xs) > 1 else xs[0], check_finite=False))
    if len(got) != len(wanted):
        raise ValueError(f"the net that was read has {len(got)} outputs, the original of {form} gives {len(wanted)}")
    coarse = min(precision, net.dtype.name)  # the names sort by the number of bits
    reach = _reach(net, xs, got, UNITS[coarse])
    for k, (Y, original, second) in enumerate(zip(got, wanted, again, strict=True)):
        where = f"output {k + 1}" if len(got) > 1 else "the output"
        original, second = (np.reshape(np.asarray(each, np.float64), (len(Y), -1)) for each in (original, second))
        if original.shape != Y.shape:
            raise ValueError(
                f"{where} of the net that was read has {Y.shape[1]} columns, {original.shape[1]} in {form}"
            )
        allowed = FACTOR * reach[k] + FLOORS[coarse] * _scale(original)
        changes = f"{where} of the original changes from call to call, and a net's does not"
        _refuse_apart(original, second, allowed, changes, form, xs)
        _refuse_apart(Y, original, allowed, f"{where} of the net that was read differs from the original's", form, xs)


def _twice(evaluate, xs):
    """The outputs of the original, computed twice, which differ if it draws random numbers."""
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        return [_listed(evaluate(*(x.copy() for x in xs))) for _ in range(2)]


def _taken(evaluate, xs):
    """The rows that the original accepts one by one, and its outputs for them; None if it accepts none."""
    within = [x if (x == np.rint(x)).all() else np.abs(x) / np.abs(x).max() for x in xs]
    for tried in (xs, within):
        kept, outputs = [], []
        for row in range(len(SIZES)):
            one = [x[row : row + 1] for x in tried]
            with contextlib.suppress(Exception):  # runs code of the original
                outputs.append([[np.asarray(Y, np.float64) for Y in each] for each in _twice(evaluate, one)])
                kept.append(row)
        if kept:
            joined = (
                [np.concatenate(parts) for parts in zip(*each, strict=True)] for each in zip(*outputs, strict=True)
            )
            return [x[kept] for x in tried], *joined
    return None


def _listed(outputs: Any) -> list:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _scale(Y: np.ndarray) -> np.ndarray:
    """The largest finite size in each column."""
    return np.where(np.isfinite(Y), np.abs(Y), 0.0).max(axis=0)


def _reach(net: Model, xs: Sequence[np.ndarray], base: list, eps: float) -> list[np.ndarray]:
    """The change of each output if the inputs change by a unit in the last place."""
    rng = np.random.default_rng(1)
    tables = tables_of(net.inputs, net.nodes, net.dtype)
    fixed = [limits_of(each, x.shape[1]) > 0 for each, x in zip(tables, xs, strict=True)]
    reach = [np.zeros(Y.shape) for Y in base]
    for _ in range(NUDGES):
        moved = [
            np.where(still, x, x * (1 + 2 * eps * rng.choice([-1, 1], x.shape))).astype(net.dtype)
            for x, still in zip(xs, fixed, strict=True)
        ]
        for k, Y in enumerate(_listed(net.predict(tuple(moved) if len(moved) > 1 else moved[0], check_finite=False))):
            with np.errstate(invalid="ignore"):
                step = np.abs(np.asarray(Y, np.float64) - base[k])
            reach[k] = np.maximum(reach[k], np.where(np.isfinite(step), step, np.inf))
    return reach


def _refuse_apart(Y: Any, original: np.ndarray, allowed: np.ndarray, what: str, form: str, xs: list) -> None:
    Y = np.asarray(Y, np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(Y - original)
    # An overflow only in the original is a weakness of its formula; an overflow here is a difference.
    apart = np.where(np.isfinite(original), np.where(np.isfinite(Y), apart, np.inf), 0.0)
    excess = np.where(np.isfinite(allowed), apart - allowed, -np.inf)
    if (excess <= 0).all():
        return
    row, column = map(int, np.unravel_index(int(np.argmax(excess)), excess.shape))
    size = ", ".join(f"{x[row].tolist()!s:.200}" for x in xs)
    raise ValueError(
        f"{what}: by {apart[row, column]:.3g} in column {column}, {Y[row, column]:.6g} and {original[row, column]:.6g} "
        f"for the row {size}; it cannot be read from {form} exactly (check=False reads it all the same)"
    )
