"""Conversion of other packages' containers to arrays: tensors, pandas and polars data frames, sparse matrices.

They are recognized by a protocol or a method, so no package is imported here: a caller with a tensor has imported it.
"""

import numpy as np


def is_sparse(A) -> bool:
    """Whether A is a matrix or array of scipy.sparse."""
    return hasattr(A, "tocsr")


def in_numpy(A, name: str) -> np.ndarray:
    """A as a NumPy array, of any dtype."""
    if is_sparse(A):
        taken = "it" if name.startswith("X") else "a sparse X and no other"
        where = f"fit, step, predict and evaluate take {taken}"
        raise TypeError(f"{name} is sparse: {where}, elsewhere pass {name}.toarray()")
    if hasattr(A, "collect_schema") and not hasattr(A, "__array__"):  # a LazyFrame of polars has no rows yet
        raise TypeError(f"{name} is a {type(A).__name__}: pass {name}.collect()")
    if hasattr(A, "columns") and hasattr(A, "dtypes"):
        return _frame_as_array(A, name)
    if hasattr(A, "to_numpy") and hasattr(A, "dtype"):
        return _column_as_array(A, name)
    try:
        return np.from_dlpack(A) if hasattr(A, "__dlpack__") and not hasattr(A, "__array__") else np.asarray(A)
    except (BufferError, RuntimeError, ValueError) as error:  # PyTorch refuses a tensor that requires a gradient
        raise ValueError(f"{name} is not an array: {error}") from None
    except TypeError as error:
        raise TypeError(f"{name} is not an array of numbers: {error}") from None


def _frame_as_array(frame, name):
    """The numbers of a frame; an error names the column that holds anything else."""
    if hasattr(frame, "iter_columns"):
        for label, column in zip(frame.columns, frame.iter_columns(), strict=True):
            _refuse_other_kinds(column, f"column {label!r} of {name}")
    array = np.asarray(frame)
    if array.dtype.kind in "biuf":
        return array
    columns = frame.items() if hasattr(frame, "items") else zip(frame.columns, frame.iter_columns(), strict=True)
    arrays = [_column_as_array(column, f"column {label!r} of {name}") for label, column in columns]
    return np.column_stack(arrays) if arrays else np.empty((len(frame), 0))


def _refuse_other_kinds(column, name):
    """Raise for a polars column that holds no numbers: NumPy would read dates, durations and fields as numbers."""
    dtype = getattr(column, "dtype", None)
    if hasattr(dtype, "is_numeric"):
        held = getattr(dtype, "inner", dtype) if str(dtype).startswith("Array") else dtype
        if not (held.is_numeric() or str(held) == "Boolean"):
            raise TypeError(f"{name} must hold numbers, got dtype {dtype}")


def _column_as_array(column, name):
    _refuse_other_kinds(column, name)
    try:
        array = np.asarray(column)
    except Exception as error:  # an error of the package, such as for integers of 128 bits
        raise TypeError(f"{name} must hold numbers, got dtype {column.dtype}: {error}") from None
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind != "O" or any(isinstance(value, (str, bytes)) for value in array):
        raise TypeError(f"{name} must hold numbers, got dtype {column.dtype}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold numbers, got dtype {column.dtype}: {error}") from None
