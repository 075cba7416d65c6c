"""Numbers and tables as text: what terminals, tables in notebooks and reports show people."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

MOST_NUMBERS = 4  # of an array that is shown in full


def columns(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """The lines of a table; `align` has "<" or ">" for the alignment of each column."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_cells(row, align, sizes)).rstrip() for row in rows]


def _cells(row: Sequence[str], align: str, sizes: list[int]) -> Iterable[str]:
    return (f"{cell:{side}{size}}" for cell, side, size in zip(row, align, sizes, strict=True))


def number(value: float, digits: int = 3) -> str:
    """A number with this many significant digits; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share as a percentage; nothing for NaN."""
    return "" if math.isnan(share) else f"{share:.0%}"


def numbers(array: np.ndarray, digits: int = 4) -> str:
    """The numbers of a small array; the norm and the size of a larger one."""
    array = np.asarray(array).reshape(-1)
    if array.size <= MOST_NUMBERS:
        return ", ".join(f"{each + 0.0:.{digits}g}" for each in array)  # no -0
    return f"norm {np.linalg.norm(array):.{digits}g} over {array.size}"


def mean(array: np.ndarray, digits: int = 4) -> str:
    """The numbers of a small array; mean and size of a larger one."""
    if array.size <= MOST_NUMBERS:
        return numbers(array, digits)
    return f"mean {array.mean():.{digits}g} over {array.size}"


def logs(values: Mapping[str, float], width: int | None = None) -> str:
    """The numbers of an epoch by name; as many of the first as fit into `width` characters without a cut."""
    parts = [f"{name} {value:.4f}" for name, value in values.items()]
    while width is not None and len(parts) > 1 and len("  ".join(parts)) > width:
        parts.pop()
    return "  ".join(parts)
