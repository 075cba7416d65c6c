"""Checks of the arguments of losses: parameters, targets and sample weights.

The counterpart of `inputs/checks.py`, written in the same way. Ranges come from the table of losses, in which an open
end is given by the adjacent floating-point number.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from fastbp._engine import Loss, Parameter, first_outside
from fastbp.inputs import checks

LABEL = np.dtype(np.int64)
MISSING = -1  # as a class label


# Parameters


def as_parameters(loss: Loss, values: Sequence, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a loss by name, with defaults for those not given."""
    known = {parameter.name: parameter for parameter in loss.parameters}
    if len(values) > len(known):
        raise TypeError(f"{loss.name} has {len(known)} parameters, got {len(values)}")
    given = dict(zip(known, values, strict=False))
    for name, value in settings.items():
        checks.one_of(name, f"parameter of {loss.name}", [*known, "mask_nan"], TypeError)
        if name in given:
            raise TypeError(f"{loss.name} is given {name} twice")
        given[name] = value
    return {name: _parameter(given.get(name, one.standard), one) for name, one in known.items()}


def _parameter(value, parameter):
    if parameter.kind == "flag":
        if not isinstance(value, (bool, np.bool_, float)):
            raise TypeError(f"{parameter.name} must be True or False, got {value!r}")
        return bool(value)
    if parameter.kind == "number" or not np.ndim(value):
        return _number(value, parameter)
    array = checks.as_numbers(value, parameter.name)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{parameter.name} must be a number or a list of them, got shape {array.shape}")
    return tuple(_number(one, parameter) for one in array.tolist())


def _number(value, parameter: Parameter):
    number = checks.in_range(value, parameter.name)
    if not parameter.low <= number <= parameter.high:
        raise ValueError(f"{parameter.name} must be {_within(parameter.low, parameter.high)}, got {value!r}")
    return number


def _within(low, high):
    """A range in words."""
    if (low, high) == (round(low, 12), round(high, 12)) and np.isfinite([low, high]).all():
        return f"in {low:g} ... {high:g}"
    words = []
    if low > -np.inf:
        words.append(f"{'at least' if low == round(low, 12) else 'above'} {round(low, 12):g}")
    if high < np.inf:
        words.append(f"{'at most' if high == round(high, 12) else 'below'} {round(high, 12):g}")
    return " and ".join(words)


def outputs_a_target(loss: Loss, settings: Mapping[str, Any], width: int) -> int:
    """Number of outputs per target; raises if the width is not a multiple of it."""
    lists = [settings[one.name] for one in loss.parameters if one.kind == "heads"]
    heads = loss.heads * math.prod(np.size(one) for one in lists)
    if width % heads:
        raise ValueError(f"{loss.name} wants {heads} outputs for each target, got an output of width {width}")
    return heads


def as_column(value: Any, width: int, parameter: Parameter, name: str) -> ndarray:
    """One number per output."""
    if parameter.kind == "heads":
        return np.tile(value, width // np.size(value))
    if np.ndim(value) and len(value) != width:
        raise ValueError(f"{parameter.name} of {name} must have a number for each of {width} outputs, got {len(value)}")
    return np.full(width, value)


# Targets and weights


def as_targets(t, rows: int, width: int, loss: Loss, mask_nan: bool, dtype: np.dtype, name: str = "y") -> ndarray:
    """Targets checked for a loss.

    Class labels are returned as int64 (rows,), missing ones as -1; values as (rows, width) of the dtype.
    """
    array = checks.as_numbers(t, name)
    checks.same_rows(array, rows, name)
    if loss.labels and width > 1 and array.shape == (rows, 1) and (mask_nan or array.dtype.kind != "f"):
        array = array[:, 0]
    if array.ndim == 1:
        if loss.labels:
            return _labels(array, width, loss, mask_nan, name)
        if width == 1:
            array = array[:, None]
    if array.shape != (rows, width):
        raise ValueError(f"{name} has shape {array.shape}; {_wanted(loss, rows, width)}")
    return _values(array, loss, mask_nan, dtype, name)


def as_weights(
    weights, t: ndarray, dtype: np.dtype, name: str = "sample_weight", part: bool = False, negative: bool = False
) -> ndarray:
    """Weights per row or per value of the targets t, checked by `checks.as_weights`."""
    array = checks.as_numbers(weights, name)
    shape = t.shape if array.shape == t.shape else t.shape[:1]
    return checks.as_weights(array, shape, dtype, name, part=part, negative=negative)


def _labels(array, width, loss, mask_nan, name):
    if array.dtype.kind == "f":
        if not mask_nan:
            raise TypeError(f"{name} has dtype {array.dtype}; {_wanted(loss, len(array), width)}")
        array = np.where(np.isnan(array), MISSING, array)
        if (array != np.floor(array)).any():
            raise ValueError(f"{name} has labels that are not whole; {_wanted(loss, len(array), width)}")
    labels = np.array(array, LABEL, order="C")  # a copy: the engine indexes with what was checked here
    at = first_outside(labels, MISSING if mask_nan else 0, width - 1)
    if at >= 0:
        raise ValueError(f"label {array[at]} at row {at} is outside 0 ... {width - 1} (the output has {width} classes)")
    return labels


def _values(array, loss, mask_nan, dtype, name):
    values = checks.plain(array, dtype)
    known = np.where(np.isnan(values), dtype.type(1), values) if mask_nan else values  # 1 is in every range
    checks.finite(known, name)
    outside = -1
    if loss.low > -np.inf or loss.high < np.inf:
        outside = first_outside(known, loss.low, loss.high)
    if outside < 0 and loss.whole:
        outside = int(np.argmax(known.ravel() % 1 != 0)) if (known % 1 != 0).any() else -1
    if outside >= 0:
        wanted = f"{'whole numbers ' if loss.whole else ''}{_within(loss.low, loss.high)}"
        where = checks.where(outside, array.shape)
        raise ValueError(f"{name} has {array.flat[outside]} at {where}; {loss.name} wants {wanted}")
    return values


def _wanted(loss, rows, width):
    unit = (loss.low, loss.high) == (0, 1)
    forms = [f"class labels of an integer dtype and shape ({rows},)"] if loss.labels else []
    forms.append(f"{'probabilities' if unit else 'values'} of shape ({rows}, {width})")
    return f"{loss.name} wants " + " or ".join(forms)
