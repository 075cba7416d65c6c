"""Inputs that `predict` takes besides (rows, inputs): one row of shape (inputs,), and no rows at all."""

from typing import Any

import numpy as np


def is_row(X: Any, width: int) -> bool:
    """Whether X is one row of this width: an array of one dimension, or a list of numbers."""
    if isinstance(X, list):
        return len(X) == width and all(np.ndim(value) == 0 for value in X)
    return isinstance(X, np.ndarray) and X.shape == (width,)


def is_empty(X: Any, width: int) -> bool:
    """Whether X is an array of this width without rows."""
    return getattr(X, "shape", None) == (0, width)
