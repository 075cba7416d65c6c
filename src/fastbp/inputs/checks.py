"""Input validation: one function per kind of argument, one clear error per fault.

A check returns its argument in the form that the engine needs, without a copy if it already has that form. An error
names the argument, what it got and what it expected. The engine below checks nothing; the folders above do not repeat
a check. Rejected: checks next to their use, which drift apart in wording and strictness; a schema library, a dependency
that would cost more than a training step of one row.
"""

import math
import numbers
import operator
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from fastbp._engine import Source, first_nonfinite, first_outside
from fastbp.inputs import other_packages

MOST_THREADS = 1024  # more than the pool has
FLOATS = {name: np.dtype(name) for name in ("float32", "float64")}
LABEL = np.dtype(np.int64)
MOST = 2**63  # the engine keeps integers in 64 bits; other JSON readers keep seeds in signed 64 bits


# Names and numbers


def one_of(name, what: str, known: Collection[str], error=ValueError) -> str:
    """The name, if it is known."""
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a name, got {_kind(name)}; known: {', '.join(sorted(known))}")
    if name not in known:
        raise error(f"unknown {what} {name!r}; known: {', '.join(sorted(known))}")
    return name


def integer(value, name: str) -> int:
    """The value as an int."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return number


def positive_int(value, name: str, low: int = 1) -> int:
    """The value as an int of at least `low` that fits the engine's 64 bits."""
    number = integer(value, name)
    if number < low:
        raise ValueError(f"{name} must be at least {low}, got {number}")
    if number >= MOST:
        raise ValueError(f"{name} must be below 2**63, got {number}")
    return number


def in_range(value, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    """The value as a float with low <= value < high."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if not low <= number < high:
        raise ValueError(f"{name} must be in [{low:g}, {high:g}), got {number}")
    return number


def as_bool(value, name: str) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def above_zero(value, name: str) -> float:
    """The value as a finite float above 0."""
    number = in_range(value, name, 0.0)
    if not number:
        raise ValueError(f"{name} must be above 0, got {number}")
    return number


def as_seed(seed, name: str = "seed") -> int:
    """A seed as an int; None draws one."""
    if seed is None:
        return int(np.random.default_rng().integers(MOST))
    return as_count(seed, name)


def as_count(value, name: str) -> int:
    """A whole number from 0 that fits the engine's 64 bits."""
    return positive_int(value, name, low=0)


def as_threads(threads) -> int | None:
    """A number of threads; None leaves the choice to the engine."""
    return None if threads is None else thread_count(threads)


def thread_count(threads) -> int:
    """A number of threads, limited to the maximum of the engine."""
    return min(positive_int(threads, "threads"), MOST_THREADS)


def as_dtype(dtype) -> np.dtype:
    """float32 or float64, in any spelling that NumPy takes."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    return FLOATS[one_of(name, "dtype", FLOATS)]


# Objects


def as_name(name, what: str) -> str | None:
    """A name that a user gives, or None."""
    if name is None or (isinstance(name, str) and name):
        return name
    raise TypeError(f"the name of {what} must be a string with something in it, got {name!r}")


def instance(value, cls: type, name: str):
    """The value, if it is of the class."""
    if not isinstance(value, cls):
        raise TypeError(f"{name} must be {article(cls.__name__)}, got {_kind(value)}")
    return value


def instances(values, cls: type, name: str) -> tuple:
    """One object of the class, or several, as a tuple."""
    if isinstance(values, cls):
        return (values,)
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be {article(cls.__name__)} or a list of them, got {_kind(values)}")
    return tuple(instance(value, cls, f"{name}[{k}]") for k, value in enumerate(values))


def distinct(values: Collection, what: str) -> None:
    """Raise if a value occurs twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what} {value!r} is used twice")
        seen.add(value)


def one_each(values, count: int, name: str) -> tuple:
    """A tuple of `count` values: from the value itself if `count` is 1, else from a list or tuple."""
    if count == 1:
        return (values,)
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be a tuple of {count}, got {_kind(values)}")
    if len(values) != count:
        raise ValueError(f"{name} must be a tuple of {count}, got {len(values)}")
    return tuple(values)


def fractions(values, count: int, name: str) -> tuple[float, ...]:
    """A tuple of `count` numbers from 0 to below 1."""
    return tuple(in_range(value, f"each of {name}", 0.0, 1.0) for value in one_each(values, count, name))


def alone(values: tuple) -> Any:
    """The inverse of `one_each`: the value of a tuple of length one, else the tuple."""
    return values[0] if len(values) == 1 else values


def by_name(values: Mapping, names: Sequence[str], what: str) -> list:
    """The values of a dict in the order of the names; the dict must have every name."""
    for name in values:
        one_of(name, f"output in {what}", names)
    for name in names:
        if name not in values:
            raise ValueError(f"{what} has nothing for the output {name!r}")
    return [values[name] for name in names]


def each_name(name: str, nodes: tuple) -> tuple[str, ...]:
    """What errors call the part of an argument that belongs to each node."""
    return (name,) if len(nodes) == 1 else tuple(f"{name} ({node.name})" for node in nodes)


def as_path(path) -> str:
    """A path as text."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a path, got {path!r}")
    return os.fspath(path)


def as_callable(value, what: str):
    """The value, if it can be called and has a name for messages."""
    if not callable(value) or not hasattr(value, "__name__"):
        raise TypeError(f"{what} must be a name or a function, got {_kind(value)}")
    return value


# Arrays


def as_numbers(A, name: str) -> ndarray:
    """Anything that NumPy converts to booleans, integers or floats, as an array; an array is not copied."""
    if type(A) is ndarray and A.dtype.kind in "biuf":
        return A
    if isinstance(A, np.ma.MaskedArray) and np.ma.is_masked(A):
        raise ValueError(f"{name} has masked values; fill them or leave their rows out")
    array = other_packages.in_numpy(A, name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got {_kind(A)} of dtype {array.dtype}")
    return array


def as_shaped(A, shape: tuple[int, ...], dtype: np.dtype, name: str) -> ndarray:
    """A C-contiguous array of the shape and dtype; a contiguous array of the dtype is not copied."""
    array = as_numbers(A, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return plain(array, dtype)


def as_stored(array: ndarray, like: ndarray, name: str) -> ndarray:
    """An array from a file, checked for the shape and dtype of `like`."""
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"{name} must be {like.dtype} {like.shape}, got {array.dtype} {array.shape}")
    return array


def as_rows(X, width: int, dtype: np.dtype, name: str = "X", check_finite: bool = True) -> ndarray:
    """A C-contiguous (rows, width) array of the dtype with at least one row."""
    fits = type(X) is ndarray and X.dtype is dtype and X.ndim == 2 and X.shape[1] == width and len(X)
    if not (fits and _in_order(X.flags)):
        X = plain(of_width(X, width, name), dtype)
    if check_finite:
        finite(X, name, "check_finite=False lets it pass")
    return X


def as_batch(arrays, nodes: tuple, dtype: np.dtype, name: str, check_finite: bool = True, check=as_rows) -> tuple:
    """One array of rows for each node, checked by `check`, all with the same number of rows."""
    arrays = one_each(arrays, len(nodes), name)
    names = each_name(name, nodes)
    arrays = tuple(
        check(array, node.width, dtype, name, check_finite)
        for array, node, name in zip(arrays, nodes, names, strict=True)
    )
    for array, name in zip(arrays, names, strict=True):
        same_rows(array, len(arrays[0]), name, names[0])
    return arrays


def same_rows(A: ndarray | Source, rows: int, name: str, other: str = "X") -> None:
    """Raise unless A has as many rows as another array."""
    found = A.shape[0] if A.shape else 0
    if found != rows:
        raise ValueError(f"{name} has {found} rows, {other} has {rows}")


def with_rows(A: ndarray, name: str) -> ndarray:
    """The array, if it has rows."""
    if not A.ndim or not len(A):
        raise ValueError(f"{name} has no rows")
    return A


def as_floats(A, name: str, ndim: int = 2) -> ndarray:
    """A C-contiguous float array: float32 stays float32, all else becomes float64."""
    array = as_numbers(A, name)
    if array.ndim != ndim or not array.size:
        raise ValueError(f"{name} must have {ndim} dimensions and not be empty, got shape {array.shape}")
    return plain(array, array.dtype if array.dtype in FLOATS.values() else FLOATS["float64"])


def into(out: ndarray | None, result: ndarray, name: str = "out") -> ndarray:
    """The result, copied into `out` if a user passed one."""
    if out is None:
        return result
    if type(out) is not ndarray or out.shape != result.shape or out.dtype != result.dtype or not out.flags.writeable:
        raise ValueError(f"{name} must be an array of {result.dtype} {result.shape} to write to, got {_kind(out)}")
    out[...] = result
    return out


def as_parameter(value, shape: tuple[int, ...], name: str) -> ndarray:
    """An initial value: float64, finite, of the parameter's shape."""
    array = as_shaped(value, shape, FLOATS["float64"], name)
    finite(array, name)
    return array


def finite(A: ndarray, name: str, *notes: str, rows: Sequence[int] | None = None) -> None:
    """Raise at the first NaN or infinity of a C-contiguous float array; errors number its rows by `rows`."""
    at = first_nonfinite(A)
    if at < 0:
        return
    refuse_nonfinite(A.flat[at], where(at, A.shape, rows), name, *notes)


def refuse_nonfinite(number: np.floating, where: str, name: str, *notes: str) -> NoReturn:
    """Raise for a number that is not finite."""
    what = "a NaN" if np.isnan(number) else "an infinity"
    if what == "an infinity":
        notes = (f"as {number.dtype}", *notes)
    remarks = f" ({'; '.join(notes)})" if notes else ""
    raise ValueError(f"{name} has {what} at {where}{remarks}")


# Targets and weights


def as_plain_targets(t, rows: int, name: str = "y") -> ndarray:
    """Targets for a loss written in Python: finite numbers, one row for each of X."""
    array = as_numbers(t, name)
    same_rows(array, rows, name)
    if array.dtype.kind == "f":
        finite(as_floats(array, name, array.ndim), name)
    return array


def as_weights(
    weights,
    shape: tuple[int, ...],
    dtype: np.dtype,
    name: str = "sample_weight",
    *,
    part: bool = False,
    negative: bool = False,
) -> ndarray:
    """One weight per row, or per value of a row: finite, not negative; not all zero, unless they are part of more."""
    array = as_numbers(weights, name)
    same_rows(array, shape[0], name)
    array = as_shaped(array, shape, dtype, name)
    finite(array, name)
    at = -1 if negative else first_outside(array, 0.0, np.inf)
    if at >= 0:
        raise ValueError(f"{name} must not be negative, got {array.flat[at]} at {where(at, shape)}")
    if part and not array.any():
        return array
    if not array.any():
        raise ValueError(f"{name} is zero in every row")
    most = np.abs(array).max()
    if most < np.finfo(dtype).tiny:  # subnormal weights count as 0 in the engine
        raise ValueError(f"{name} is nowhere above {most:g}, too small for {dtype}; pass weights near 1")
    return array


def as_class_weight(class_weight, classes: int) -> ndarray:
    """The weight of each class from a dict label -> weight; a class that is not in it weighs 1."""
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict from label to weight or 'balanced', got {class_weight!r}")
    weights = np.ones(classes)
    for label, weight in class_weight.items():
        if positive_int(label, "a label in class_weight", low=0) >= classes:
            raise ValueError(
                f"label {label} in class_weight is outside 0 ... {classes - 1} (there are {classes} classes)"
            )
        weights[label] = in_range(weight, f"class_weight[{label}]", 0.0)
    return weights


def as_validation(data, name: str = "validation_data") -> tuple:
    """(X, y, weights or None) from (X, y) or (X, y, weights)."""
    if not isinstance(data, (list, tuple)) or len(data) not in (2, 3):
        raise TypeError(f"{name} must be (X, y) or (X, y, sample_weight), got {_kind(data)}")
    return (*data, None)[:3]


def as_loss_result(result, shape: tuple[int, ...], dtype: np.dtype, name: str) -> tuple[float, ndarray]:
    """The result of a loss in Python, checked: its value and the gradient of the output."""
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        raise TypeError(f"loss {name} must return (value, dY), got {_kind(result)}")
    value, dY = result
    return float(value), as_shaped(dY, shape, dtype, f"dY of loss {name}")


def as_scores(y, Y) -> tuple[ndarray, ndarray]:
    """Targets and outputs for a metric: y is (rows,) or has the shape of Y; a Y of (rows,) becomes a column."""
    Y = as_numbers(Y, "output")
    Y = as_floats(Y[:, None] if Y.ndim == 1 else Y, "output")
    y = as_numbers(y, "y")
    same_rows(y, len(Y), "y", "output")
    if y.ndim != 1 and y.shape != Y.shape:
        raise ValueError(f"y must have shape {Y.shape[:1]} or {Y.shape}, got {y.shape}")
    return y, Y


def as_classes(y: ndarray, classes: int, name: str = "y") -> ndarray:
    """Class labels for a metric, as int64."""
    labels = plain(y, LABEL)
    at = first_outside(labels, 0, classes - 1)
    if at >= 0:
        raise ValueError(f"{name} has label {labels[at]} at row {at}; there are outputs for 0 ... {classes - 1}")
    return labels


def of_width(X, width: int, name: str) -> ndarray:
    """Numbers of shape (rows, width)."""
    array = as_numbers(X, name)
    if array.ndim == 2 and array.shape[1] == width:
        return with_rows(array, name)
    message = f"{name} must have shape (rows, {width}), got {array.shape}"
    if array.ndim == 1 and array.size == width:
        message += f"; one row is {name}.reshape(1, -1)"
    elif array.ndim > 2 and array[0].size == width:
        message += f"; {name}.reshape(len({name}), -1) makes rows of it"
    raise ValueError(message)


def plain(array: ndarray, dtype: np.dtype) -> ndarray:
    """The array as the engine needs it; not copied if it already has that form."""
    if array.dtype is dtype and _in_order(array.flags) and type(array) is ndarray:
        return array
    return as_numbers_of(array, dtype)


def _in_order(flags):
    return flags.c_contiguous and flags.aligned


def as_numbers_of(array: ndarray, dtype: np.dtype) -> ndarray:
    """The numbers cast to the dtype, C-contiguous and aligned."""
    with np.errstate(over="ignore"):  # an overflow is reported later as an infinity, with its row and column
        return np.asarray(np.require(array, dtype, ["C", "A"]))


def where(at: int, shape: tuple[int, ...], rows=None) -> str:
    """A flat index in words."""
    row, column = (at, None) if len(shape) != 2 else divmod(at, shape[1])
    words = f"row {row if rows is None else rows[row]}"
    return words if column is None else f"{words}, column {column}"


def _kind(value):
    if value is None:
        return "None"
    return "an array" if type(value) is ndarray else article(type(value).__name__)


def article(noun: str) -> str:
    """The noun with "a" or "an" before it."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
