"""Gradient clipping by the global norm, for custom training loops."""

import math
from collections.abc import Sequence

import numpy as np

from fastbp.inputs import checks


def clip_by_global_norm(grads: np.ndarray | Sequence[np.ndarray], max_norm: float) -> float:
    """Scale gradients in place so that their Euclidean norm is at most `max_norm`.

    Gradients with a NaN or infinity are left as they are; a step with them raises.

    Parameters
    ----------
    grads : ndarray, or a sequence of them
        The gradients, such as `net.grads`.
    max_norm : float
        The largest norm of all gradients together.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    TypeError
        If a dtype is not floating-point.

    See Also
    --------
    Adam : Its `clip_norm`, like that of every optimizer, clips in each step.

    Examples
    --------
    >>> grads = np.array([3.0, 4.0])
    >>> clip_by_global_norm(grads, 1.0)
    5.0
    >>> grads
    array([0.6, 0.8])
    """
    parts = checks.instances(grads, np.ndarray, "grads")
    for part in parts:
        if part.dtype.kind != "f":
            raise TypeError(f"grads must hold floats, got dtype {part.dtype}")
    max_norm = checks.in_range(max_norm, "max_norm", 0.0)
    # einsum, not dot: in a BLAS the order of the sum depends on its number of threads
    norm = math.sqrt(sum(float(np.einsum("i,i", *[g.reshape(-1)] * 2, dtype=np.float64)) for g in parts))
    if max_norm < norm < math.inf:
        for part in parts:
            part *= max_norm / norm
    return norm
