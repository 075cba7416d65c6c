"""Frames of pandas' and polars' kind as arrays of numbers, known by what they have: columns with names and types.

Neither package is imported: who has a frame has its package. Columns keep their order; their names are lost.
"""

import numpy as np


def is_frame(A) -> bool:
    """Whether it is a table of named columns."""
    return hasattr(A, "columns") and hasattr(A, "dtypes")


def as_array(frame, name: str) -> np.ndarray:
    """The numbers of a frame; an error names the column that holds anything else."""
    array = np.asarray(frame)
    if array.dtype.kind in "biuf":
        return array
    columns = frame.items() if hasattr(frame, "items") else zip(frame.columns, frame.iter_columns(), strict=True)
    arrays = [_numbers(column, f"column {label!r} of {name}") for label, column in columns]
    return np.column_stack(arrays) if arrays else np.empty((len(frame), 0))


def _numbers(column, name):
    array = np.asarray(column)
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind != "O" or any(isinstance(value, (str, bytes)) for value in array):
        raise TypeError(f"{name} must hold numbers, got dtype {column.dtype}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers, got dtype {column.dtype}: {error}") from None
