"""The measures of the suite: finite differences, and errors in units of the last place."""

from collections.abc import Callable

import numpy as np


def differences(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Central finite differences of f at x in float64; x is put back."""
    g = np.empty(x.shape)
    for k in np.ndindex(x.shape):
        old = x[k]
        h = 6e-6 * max(1.0, abs(float(old)))
        x[k] = old + h
        up, above = f(x), float(x[k])
        x[k] = old - h
        g[k] = (up - f(x)) / (above - float(x[k]))
        x[k] = old
    return g


def assert_gradient(f: Callable[[np.ndarray], float], x: np.ndarray, g: np.ndarray, name: str = "gradient") -> None:
    """The gradient check of the whole suite: g is df/dx to one part in 100,000 of its largest element."""
    assert g.shape == x.shape, f"{name} has shape {g.shape}, its variable {x.shape}"
    wanted = differences(f, x)
    error, scale = np.abs(g - wanted).max(), np.abs(wanted).max()
    assert error <= 1e-5 * scale + 1e-10, f"{name} is off by {error:.3g} where the largest slope is {scale:.3g}"


def ulps(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """|got - wanted| in units of the last place of got's dtype; one smallest normal number is forgiven."""
    info = np.finfo(got.dtype)
    wanted = np.asarray(wanted, dtype=np.longdouble)
    with np.errstate(over="ignore", invalid="ignore"):
        same = (got == wanted.astype(got.dtype)) | (np.isnan(got) & np.isnan(wanted))
    largest = np.nextafter(info.max, got.dtype.type(0))
    unit = np.spacing(np.clip(np.abs(wanted), info.tiny, largest).astype(got.dtype)).astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        error = np.maximum(np.abs(got.astype(np.longdouble) - wanted) - info.tiny, 0) / unit
    return np.where(same, 0, error).astype(np.float64)


def magnitudes(dtype: np.dtype, count: int) -> np.ndarray:
    """About count positive normal numbers, as many in each power of two, the same with every NumPy: no logspace."""
    least, largest = np.array([np.finfo(dtype).tiny, np.finfo(dtype).max], dtype).view(f"u{dtype.itemsize}")
    return np.arange(least + 1, largest, (largest - least) // count, least.dtype).view(dtype)
