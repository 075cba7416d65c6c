"""What `predict` takes beside (rows, inputs): one row without its dimension, and no rows at all."""

from typing import Any

import numpy as np


def is_row(X: Any, width: int) -> bool:
    """Whether it is one row of this width: an array of one dimension, or a list of numbers."""
    if isinstance(X, list):
        return len(X) == width and all(np.ndim(value) == 0 for value in X)
    return isinstance(X, np.ndarray) and X.shape == (width,)


def is_empty(X: Any, width: int) -> bool:
    """Whether it is an array of no rows, of this width."""
    return getattr(X, "shape", None) == (0, width)
