"""Helpers of the plots: new Axes, colours, checks of columns and labels."""

import numpy as np

from fastbp._optional import package
from fastbp.inputs import checks
from fastbp.plotting.svg import COLORS

FILLS = (*COLORS, "#e69f00", "#56b4e9", "#f0e442", "#777777")  # the other colours of Okabe and Ito, for areas


def axes_or_new(ax, who, size=(6.4, 3.8)):
    if ax is not None:
        return ax
    return package("matplotlib.pyplot", who).subplots(figsize=size, layout="constrained")[1]


def open_frame(ax):
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def column_of(A, name):
    array = checks.as_numbers(A, name)
    if array.ndim != 1 and array.shape[1:] != (1,):
        raise ValueError(f"{name} must have shape (rows,) or (rows, 1), got {array.shape}")
    return checks.as_floats(array.reshape(-1), name, 1)


def labels_of(y, rows, name="y"):
    labels = checks.as_numbers(y, name).reshape(-1)
    if rows is not None:
        checks.same_rows(labels, rows, name)
    checks.with_rows(labels, name)
    whole = labels.astype(np.int64)
    if (whole != labels).any() or whole.min() < 0:
        raise ValueError(f"{name} must hold class numbers from 0 on")
    return whole
