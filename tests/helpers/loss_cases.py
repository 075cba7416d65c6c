"""What the tests of losses share: the table's names, parameters that are not the standard ones, outputs and targets."""

import numpy as np

import reference
from fastbp import _engine

ROWS = _engine.LOSSES
NAMES = sorted(ROWS)
KINDS = [(name, kind) for name in NAMES for kind in ["values"] + ["indices"] * ROWS[name].labels]
SHAPES = [(1, 2), (3, 2), (2, 6), (7, 4), (5, 16), (6, 18), (33, 10), (3, 130), (64, 2), (257, 4)]
# Parameters that are not the standard ones; outputs come in multiples of 4.
SETTINGS = [
    ("huber", {"delta": 0.3}),
    ("quantile", {"quantiles": 0.9}),
    ("quantile", {"quantiles": [0.1, 0.5, 0.8, 0.95]}),
    ("expectile", {"expectiles": [0.2, 0.7]}),
    ("binary_cross_entropy", {"pos_weight": [0.5, 1.0, 2.0, 7.0], "label_smoothing": 0.2}),
    ("focal", {"gamma": 0.0, "alpha": 0.5}),
    ("focal", {"gamma": 1.3, "alpha": 0.9}),
    ("poisson", {"log_input": False, "eps": 1e-3}),
    ("gamma", {"log_input": False}),
    ("tweedie", {"power": 1.2}),
    ("tweedie", {"power": 1.9, "log_input": False}),
    ("cross_entropy", {"label_smoothing": 0.1, "class_weight": [0.5, 1.0, 3.0, 0.0]}),
    ("focal_cross_entropy", {"gamma": 1.3, "alpha": [0.5, 1.0, 3.0, 0.0], "label_smoothing": 0.1}),
    ("focal_cross_entropy", {"gamma": 0.0}),
    ("gaussian_nll", {"log_variance": False, "eps": 1e-4}),
]


def targets(name: str, kind: str, rows: int, outputs: int, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    t = reference.targets(name, rows, outputs, rng, kind)
    return t if kind == "indices" else t.astype(dtype)


def outputs(name: str, rows: int, width: int, dtype: np.dtype, rng: np.random.Generator, **settings) -> np.ndarray:
    """Of both signs and of size 3, but above 0 where they stand for means or variances."""
    Y = rng.normal(size=(rows, width)) * (1 if name in ("poisson", "gamma", "tweedie") else 3)
    if False in settings.values():
        Y = np.abs(Y) + 0.1
    return Y.astype(dtype)


def settings_and_targets(name: str, settings: dict, dtype: np.dtype, rng: np.random.Generator, rows: int = 37) -> tuple:
    heads = max(np.size(settings.get("quantiles", 0.5)), np.size(settings.get("expectiles", 0.5)))
    t = targets(name, "values", rows, 4, dtype, rng)[:, : 4 // heads]
    return outputs(name, rows, 4, dtype, rng, **settings), np.ascontiguousarray(t)


def assert_loss(got: tuple, wanted: tuple, dtype: np.dtype) -> None:
    limit = 4e-6 if dtype == np.float32 else 1e-13
    assert isinstance(got[0], float)
    assert got[1].dtype == dtype
    assert got[1].shape == wanted[1].shape
    assert abs(got[0] - wanted[0]) <= limit * (1 + abs(wanted[0]))
    np.testing.assert_allclose(got[1], wanted[1], rtol=0, atol=limit * max(np.abs(wanted[1]).max(), 1 / len(wanted[1])))
