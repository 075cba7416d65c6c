"""Losses against scikit-learn's deviances and scores, with and without weights of the rows.

A deviance is twice a loss less what the loss has left where the mean meets the target; so the constants that our losses
leave out do not count, and a wrong scale or power does.
"""

from collections.abc import Callable

import numpy as np
import pytest

import fastbp as fb

metrics = pytest.importorskip("sklearn.metrics")

ROWS = 203
AMOUNTS = {
    "poisson": ({}, metrics.mean_poisson_deviance, {}),
    "gamma": ({}, metrics.mean_gamma_deviance, {}),
    "tweedie": ({"power": 1.5}, metrics.mean_tweedie_deviance, {"power": 1.5}),
    "tweedie, nearly poisson": ({"power": 1.01}, metrics.mean_tweedie_deviance, {"power": 1.01}),
    "tweedie, nearly gamma": ({"power": 1.9}, metrics.mean_tweedie_deviance, {"power": 1.9}),
}


@pytest.fixture(params=[False, True], ids=["plain", "weighted"])
def weights(request: pytest.FixtureRequest, rng: np.random.Generator) -> np.ndarray | None:
    return rng.uniform(0.1, 3, size=ROWS) if request.param else None


@pytest.mark.parametrize("log_input", [True, False])
@pytest.mark.parametrize("case", AMOUNTS)
def test_deviances(case: str, log_input: bool, weights: np.ndarray | None) -> None:
    settings, deviance, theirs = AMOUNTS[case]
    loss = getattr(fb.losses, case.split(",")[0]).configured(log_input=log_input, eps=0, **settings)
    rng = np.random.default_rng(1)
    t, mean = rng.gamma(2.0, size=(2, ROWS, 1))
    t = np.ceil(t) if case == "poisson" else t

    def of(means: np.ndarray) -> float:
        return weighted_mean(loss(np.log(means) if log_input else means, t, weights)[0], weights)

    wanted = deviance(t, mean, sample_weight=weights, **theirs)
    assert 2 * (of(mean) - of(t)) == pytest.approx(wanted, rel=1e-11)


def weighted_mean(value: float, weights: np.ndarray | None) -> float:
    """Of a loss, which is the weighted sum over the number of rows."""
    return value if weights is None else value / weights.mean()


def logistic(Y: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-Y))


def softmax(Y: np.ndarray) -> np.ndarray:
    return np.exp(Y) / np.exp(Y).sum(axis=1, keepdims=True)


# name of a loss: (outputs, its settings, scikit-learn's number of targets, outputs and weights); targets are 0 and 1
# for one output, labels for several, numbers where `values` is in the name of the case
SCORES: dict[str, tuple[int, dict, Callable]] = {
    "mse values": (3, {}, lambda t, Y, w: metrics.mean_squared_error(t, Y, sample_weight=w)),
    "mae values": (3, {}, lambda t, Y, w: metrics.mean_absolute_error(t, Y, sample_weight=w)),
    "quantile values": (
        3,
        {"quantiles": 0.8},
        lambda t, Y, w: metrics.mean_pinball_loss(t, Y, alpha=0.8, sample_weight=w),
    ),
    "hinge": (1, {}, lambda t, Y, w: metrics.hinge_loss(2 * t[:, 0] - 1, Y[:, 0], sample_weight=w)),
    "binary_cross_entropy": (1, {}, lambda t, Y, w: metrics.log_loss(t, logistic(Y[:, 0]), sample_weight=w)),
    "cross_entropy": (4, {}, lambda t, Y, w: metrics.log_loss(t, softmax(Y), sample_weight=w)),
    "focal_cross_entropy": (4, {"gamma": 0}, lambda t, Y, w: metrics.log_loss(t, softmax(Y), sample_weight=w)),
}


@pytest.mark.parametrize("case", SCORES)
def test_scores(case: str, weights: np.ndarray | None) -> None:
    width, settings, score = SCORES[case]
    rng = np.random.default_rng(2)
    Y = rng.normal(size=(ROWS, width))
    t = rng.normal(size=Y.shape) if "values" in case else rng.integers(max(width, 2), size=(ROWS, 1))
    t = t[:, 0] if "values" not in case and width > 1 else t
    value, _ = getattr(fb.losses, case.split()[0])(Y, t, weights, **settings)
    assert weighted_mean(value, weights) == pytest.approx(score(t, Y, weights), rel=1e-12)


def test_every_quantile_of_several(weights: np.ndarray | None) -> None:
    rng = np.random.default_rng(3)
    levels, t = (0.1, 0.5, 0.9), rng.normal(size=(ROWS, 1))
    Y = rng.normal(size=(ROWS, 3))
    each = [metrics.mean_pinball_loss(t[:, 0], Y[:, k], alpha=q, sample_weight=weights) for k, q in enumerate(levels)]
    value = weighted_mean(fb.losses.quantile(Y, t, weights, quantiles=levels)[0], weights)
    assert value == pytest.approx(np.mean(each), rel=1e-12)
