"""Metrics of streams: sums over batches give what all rows at once do."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.losses.loss import Loss
from fastbp.metrics.metric import METRICS

ROWS, INPUTS, OUTPUTS = 53, 4, 3
SIZES = (1, 20, 2, 30)
AVERAGES = [METRICS[name](average=a) for name in ("precision", "recall", "f1") for a in ("micro", "weighted")]
LABELS = ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "log_loss", fb.metrics.top_k_accuracy(k=2)]
VALUES = ["mae", "mse", "rmse", "mape", "r2"]
KINDS = {
    "cross_entropy": [*LABELS, *AVERAGES],
    "binary_cross_entropy": ["binary_accuracy", *LABELS[:1], *LABELS[2:6]],
    "mse": VALUES,
}


def cut(*arrays: np.ndarray) -> list[tuple]:
    ends = np.cumsum(SIZES)
    return [tuple(A[end - size : end] for A in arrays) for size, end in zip(SIZES, ends, strict=True)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss", KINDS)
def test_sums_are_the_metric(loss: str, masked: bool, weighted: bool, dtype: np.dtype) -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(ROWS, INPUTS)), rng.normal(1e3, 1, size=(ROWS, OUTPUTS))
    if loss == "binary_cross_entropy":
        y = (y > 1e3).astype(np.float64)
    if loss == "cross_entropy":
        y = rng.integers(0, OUTPUTS - 1, ROWS)  # a class that never is
        y[20:22] = -1 if masked else 0
    elif masked:
        y[3:30:4, 1] = np.nan
        y[20:24] = np.nan  # a batch of which nothing is known
    w = rng.uniform(0.5, 2, ROWS) if weighted else None
    batches = cut(X, y) if w is None else cut(X, y, w)
    metrics = [METRICS[m] if isinstance(m, str) else m for m in KINDS[loss]]
    metrics = [metric(weighted=weighted) for metric in metrics]
    net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), dtype=dtype, seed=0)
    function = Loss.classes[loss](mask_nan=masked)
    how: dict = {"loss": function, "metrics": metrics}
    wanted = net.evaluate(X, y, sample_weight=w, **how)
    got = net.evaluate(iter(batches), **how)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name] == pytest.approx(value, rel=1e-9 if name.startswith("r2") else 1e-12, nan_ok=True), name
    assert np.isfinite(wanted["loss"])


def test_an_output_that_is_constant() -> None:
    X, y = np.ones((ROWS, 2)), np.full((ROWS, 1), 0.1)
    net = fb.Sequential(fb.Input(2), fb.Dense(1), dtype="float64", seed=0)
    assert net.evaluate(cut(X, y), metrics=["r2"])["r2"] == net.evaluate(X, y, metrics=["r2"])["r2"] == 0
    assert np.isnan(net.evaluate([(X[:1], y[:1])], metrics=["r2"])["r2"])


def test_all_but_the_area_add_up() -> None:
    assert {name for name, metric in METRICS.items() if not metric.adds_up} == {"roc_auc"}
