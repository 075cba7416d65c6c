"""How metrics read outputs: as the loss does, whose targets may be missing, whichever way they are called."""

import math
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine

sk = pytest.importorskip("sklearn.metrics")

ROWS = 60
VALUES = {
    "mae": sk.mean_absolute_error,
    "mse": sk.mean_squared_error,
    "rmse": lambda y, p, **given: np.sqrt(sk.mean_squared_error(y, p, multioutput="raw_values", **given)).mean(),
    "mape": sk.mean_absolute_percentage_error,
    "r2": sk.r2_score,
}


def identity_net(width: int) -> fb.Model:
    """Its outputs are its inputs."""
    return fb.Sequential(fb.Input(width), fb.Dense(width, weights=np.eye(width), bias=False), dtype="float64")


def sigmoid(Z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-Z))


def softmax(Z: np.ndarray) -> np.ndarray:
    return np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)


# loss: (outputs, targets, what the outputs predict)
READINGS: dict[str, tuple[Any, int, int, Any]] = {
    "mse": ("mse", 3, 3, lambda Z: Z),
    "mae": ("mae", 3, 3, lambda Z: Z),
    "huber": ("huber", 3, 3, lambda Z: Z),
    "log_cosh": ("log_cosh", 1, 1, lambda Z: Z),
    "cosine": ("cosine", 3, 3, lambda Z: Z),
    "hinge": ("hinge", 2, 2, lambda Z: Z),
    "squared_hinge": ("squared_hinge", 1, 1, lambda Z: Z),
    "poisson": ("poisson", 2, 2, np.exp),
    "poisson of means": (fb.losses.Poisson(log_input=False), 2, 2, lambda Z: Z),
    "gamma": ("gamma", 2, 2, np.exp),
    "tweedie": ("tweedie", 1, 1, np.exp),
    "weighted poisson": (2.0 * fb.losses.Poisson(), 1, 1, np.exp),
    "quantile": ("quantile", 2, 2, lambda Z: Z),
    "quantiles": (fb.losses.Quantile((0.1, 0.4, 0.9)), 6, 2, lambda Z: Z[:, 1::3]),
    "outer quantiles": (fb.losses.Quantile((0.1, 0.9)), 2, 1, lambda Z: Z[:, :1]),
    "expectiles": (fb.losses.Expectile((0.9, 0.5)), 4, 2, lambda Z: Z[:, 1::2]),
    "gaussian_nll": ("gaussian_nll", 4, 2, lambda Z: Z[:, :2]),
    "binary_cross_entropy": ("binary_cross_entropy", 3, 3, sigmoid),
    "focal": ("focal", 1, 1, sigmoid),
    "cross_entropy": ("cross_entropy", 3, 3, softmax),
    "kl_divergence": ("kl_divergence", 3, 3, softmax),
    "focal_cross_entropy": ("focal_cross_entropy", 3, 3, softmax),
}


def drawn(case: str, rng: np.random.Generator) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    loss, outputs, targets, predicted = READINGS[case]
    Z = rng.normal(size=(ROWS, outputs))
    Z = np.abs(Z) + 0.1 if case == "poisson of means" else Z
    y = rng.gamma(2.0, size=(ROWS, targets)) + 0.1
    if "hinge" in case:
        y = rng.choice([-1.0, 1.0], size=y.shape)
    elif "entropy" in case or case in ("focal", "kl_divergence"):
        y = y / y.sum(axis=1, keepdims=True) if "cross" in case and "binary" not in case else rng.random(y.shape)
        y = y / y.sum(axis=1, keepdims=True) if case == "kl_divergence" else y
    elif "poisson" in case:
        y = np.ceil(y)
    return loss, Z, y, predicted(Z)


def test_every_loss_is_here() -> None:
    names = {loss if isinstance(loss, str) else loss.row.name for loss, *_ in READINGS.values()}
    assert names == set(_engine.LOSSES)


@pytest.mark.parametrize("way", ["name", "metric", "validation", "stream"])
@pytest.mark.parametrize("metric", VALUES)
@pytest.mark.parametrize("case", READINGS)
def test_values_are_those_of_predictions(case: str, metric: str, way: str) -> None:
    loss, Z, y, predicted = drawn(case, np.random.default_rng(0))
    net = identity_net(Z.shape[1])
    wanted = VALUES[metric](y, predicted)
    metrics: list = [getattr(fb.metrics, metric)(name="it") if way == "metric" else metric]
    name = "it" if way == "metric" else metric
    if way == "validation":
        settings = {"optimizer": fb.SGD(0.0), "validation_data": (Z, y), "batch_size": 16}
        history = net.fit(Z, y, loss=loss, metrics=metrics, **settings).history
        assert history[name][0] == pytest.approx(wanted, rel=1e-12)
        got = history[f"val_{name}"][0]
    elif way == "stream":
        got = net.evaluate([(Z[:7], y[:7]), (Z[7:], y[7:])], loss=loss, metrics=metrics)[name]
    else:
        got = net.evaluate(Z, y, loss=loss, metrics=metrics)[name]
    assert got == pytest.approx(wanted, rel=1e-12)


def test_what_outputs_are_can_be_said_otherwise() -> None:
    rng = np.random.default_rng(1)
    P, y = rng.random((ROWS, 1)), rng.integers(2, size=(ROWS, 1))
    got = identity_net(1).evaluate(P, y, loss="binary_cross_entropy", metrics=[fb.metrics.mse(logits=False)])
    assert got["mse"] == pytest.approx(np.mean((P - y) ** 2), rel=1e-14)


def test_margins_are_no_probabilities() -> None:
    Z, y = np.ones((5, 1)), np.ones((5, 1))
    with pytest.raises(ValueError, match="log_loss wants probabilities, and the outputs of this loss are margins"):
        identity_net(1).evaluate(Z, y, loss="hinge", metrics=["log_loss"])
    assert identity_net(1).evaluate(Z, -y, loss="hinge", metrics=["accuracy"])["accuracy"] == 0


@pytest.mark.parametrize("case", ["gaussian_nll", "quantiles"])
def test_heads_can_tell_classes(case: str) -> None:
    loss, Z, y, predicted = drawn(case, np.random.default_rng(2))
    y = (y > 2) * 1.0
    got = identity_net(Z.shape[1]).evaluate(Z, y, loss=loss, metrics=["binary_accuracy"])
    assert got["binary_accuracy"] == np.mean((predicted > 0.5) == (y > 0.5))


# Several labels


@pytest.mark.parametrize("weighted", [False, True])
def test_labels_of_their_own(weighted: bool) -> None:
    """By hand and under a loss, against scikit-learn."""
    rng = np.random.default_rng(3)
    y, Z = (rng.random((ROWS, 4)) > 0.5).astype(int), rng.normal(size=(ROWS, 4))
    w = rng.uniform(0.1, 2, size=ROWS) if weighted else None
    P = sigmoid(Z)
    losses = [sk.log_loss(y[:, k], P[:, k], sample_weight=w) for k in range(4)]
    wanted = {
        "accuracy": np.average((y == (Z > 0)).mean(axis=1), weights=w),
        "roc_auc": sk.roc_auc_score(y, Z, sample_weight=w),
        "log_loss": np.mean(losses),
        "precision": sk.precision_score(y, Z > 0, average="macro", sample_weight=w),
        "recall": sk.recall_score(y, Z > 0, average="macro", sample_weight=w),
        "f1": sk.f1_score(y, Z > 0, average="macro", sample_weight=w),
    }
    for name, value in wanted.items():
        assert getattr(fb.metrics, name)(y, Z, w) == pytest.approx(value, rel=1e-12)
        metric = getattr(fb.metrics, name)(weighted=True, name=name)
        got = identity_net(4).evaluate(Z, y, sample_weight=w, loss="binary_cross_entropy", metrics=[metric])
        assert got[name] == pytest.approx(value, rel=1e-12)
    one_hot = np.eye(4)[rng.integers(4, size=ROWS)]
    assert fb.metrics.accuracy(one_hot, Z) == np.mean(one_hot.argmax(axis=1) == Z.argmax(axis=1))
    of_their_own = fb.metrics.accuracy(one_hot, Z, multilabel=True)
    assert of_their_own == pytest.approx(np.mean((one_hot > 0) == (Z > 0)), rel=1e-14)
    for name in ("balanced_accuracy", "top_k_accuracy"):
        with pytest.raises(ValueError, match=f"{name} wants"):
            getattr(fb.metrics, name)(y, Z)


# Missing targets


def gaps(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Each row lacks one of its targets, and the last two rows lack all."""
    missing = np.zeros(shape, bool)
    missing[np.arange(shape[0]), rng.integers(shape[1], size=shape[0])] = True
    missing[-2:] = True
    return missing


@pytest.mark.parametrize("weighted", [None, "rows", "values"])
@pytest.mark.parametrize("way", ["evaluate", "stream", "fit"])
@pytest.mark.parametrize("metric", VALUES)
def test_values_count_what_is_known(metric: str, way: str, weighted: str | None) -> None:
    rng = np.random.default_rng(4)
    Z, y = rng.normal(size=(ROWS, 3)), rng.normal(size=(ROWS, 3))
    missing = gaps(rng, y.shape)
    w = None if weighted is None else rng.uniform(0.1, 2, size=ROWS if weighted == "rows" else y.shape)
    W = np.ones(y.shape) if w is None else np.broadcast_to(w.T, y.T.shape).T
    if metric in ("rmse", "r2"):  # a mean over the columns
        of = sk.r2_score if metric == "r2" else sk.mean_squared_error
        parts = [~missing[:, k] for k in range(3)]
        each = [of(y[known, k], Z[known, k], sample_weight=W[known, k]) for k, known in enumerate(parts)]
        wanted = np.mean(each if metric == "r2" else np.sqrt(each))
    else:
        wanted = VALUES[metric](y[~missing], Z[~missing], sample_weight=W[~missing])
    y[missing] = np.nan
    it = getattr(fb.metrics, metric)(weighted=weighted is not None, name="it")
    loss, net = fb.losses.Huber(mask_nan=True), identity_net(3)
    if way == "fit":
        settings = {"optimizer": fb.SGD(0.0), "sample_weight": w, "batch_size": 7}
        got = net.fit(Z, y, loss=loss, metrics=[it], **settings).history["it"][0]
    elif way == "evaluate":
        got = net.evaluate(Z, y, loss=loss, metrics=[it], sample_weight=w)["it"]
    else:
        batches = [(Z[p], y[p]) if w is None else (Z[p], y[p], w[p]) for p in (slice(0, 9), slice(9, ROWS))]
        got = net.evaluate(batches, loss=loss, metrics=[it])["it"]
    assert got == pytest.approx(wanted, rel=1e-12)


def test_labels_count_what_is_known() -> None:
    rng = np.random.default_rng(5)
    y, Z = (rng.random((ROWS, 3)) > 0.5) * 1.0, rng.normal(size=(ROWS, 3))
    missing = gaps(rng, y.shape)
    known = [~missing[:, k] for k in range(3)]
    P = sigmoid(Z)

    def each(of: Any, scores: np.ndarray) -> float:
        return float(np.mean([of(y[rows, k], scores[rows, k]) for k, rows in enumerate(known)]))

    true, positive = np.concatenate([y[r, k] for k, r in enumerate(known)]), (Z > 0).astype(float)
    wanted = {
        "accuracy": np.mean((y == (Z > 0))[~missing]),
        "binary_accuracy": np.mean((y == (Z > 0))[~missing]),
        "roc_auc": each(sk.roc_auc_score, Z),
        "log_loss": sk.log_loss(true, np.concatenate([P[r, k] for k, r in enumerate(known)])),
        "precision": each(sk.precision_score, positive),
        "recall": each(sk.recall_score, positive),
        "f1": each(sk.f1_score, positive),
        "mse": np.mean(((P - y) ** 2)[~missing]),
    }
    y[missing] = np.nan
    loss = fb.losses.BinaryCrossEntropy(mask_nan=True)
    got = identity_net(3).evaluate(Z, y, loss=loss, metrics=list(wanted))
    for name, value in wanted.items():
        assert got[name] == pytest.approx(value, rel=1e-12), name


def test_classes_count_known_rows() -> None:
    rng = np.random.default_rng(6)
    y, Z = rng.integers(3, size=ROWS).astype(float), rng.normal(size=(ROWS, 3))
    known = rng.random(ROWS) < 0.6
    loss, names = fb.losses.CrossEntropy(mask_nan=True), ["accuracy", "f1", "roc_auc", "log_loss", "balanced_accuracy"]
    wanted = identity_net(3).evaluate(Z[known], y[known].astype(int), loss="cross_entropy", metrics=names)
    got = identity_net(3).evaluate(Z, np.where(known, y, np.nan), loss=loss, metrics=names)
    assert got == pytest.approx(wanted, rel=1e-14)


def test_without_a_known_target_there_is_no_value() -> None:
    Z = np.ones((4, 2))
    for y in (np.full((4, 2), np.nan), np.full(4, np.nan)):
        loss = fb.losses.MSE(mask_nan=True) if y.ndim == 2 else fb.losses.CrossEntropy(mask_nan=True)
        got = identity_net(2).evaluate(
            Z, y, loss=loss, metrics=["mse", "r2"] if y.ndim == 2 else ["accuracy", "log_loss"]
        )
        assert all(map(math.isnan, got.values()))


def test_a_function_sees_the_rows_that_have_a_target() -> None:
    seen = []

    def count(y: np.ndarray, Y: np.ndarray) -> float:
        seen.append((len(y), np.isnan(y).sum()))
        return 0.0

    y = np.array([[1.0, np.nan], [np.nan, np.nan], [2.0, 3.0]])
    identity_net(2).evaluate(np.ones((3, 2)), y, loss=fb.losses.MSE(mask_nan=True), metrics=[count])
    assert seen == [(2, 1)]
