"""A net whose loss is not below that of the best constant is never healthy, and the diagnosis names the cause."""

import warnings

import numpy as np
import pytest

import fastbp as fb
from fastbp.insight import learning
from fastbp.training.objective import Objective

X, digits = fb.datasets.digits()
above = (digits > 4).astype(np.float64)[:, None]
ink = X.sum(axis=1, keepdims=True) / 10
S, R = "sigmoid", "relu"


def net(*layers: fb.Dense, inputs: int = 64) -> fb.Sequential:
    return fb.Sequential(fb.Input(inputs), *layers, seed=0)


def noise(rows: int = 400) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 64))


D = fb.Dense
CASES = [
    ("depth", "dense_4", lambda: net(*(D(32, S) for _ in range(4)), D(10)), X, digits, "cross_entropy", fb.SGD(0.01)),
    ("rate", "steps of Adam", lambda: net(D(32, R), D(10)), X, digits, "cross_entropy", fb.SGD(1e-9)),
    ("data", "inputs are of size 8", lambda: net(D(32, R), D(10)), 1000 * X, digits, "cross_entropy", fb.SGD(1e-9)),
    ("data", "inputs are of size 5", lambda: net(D(32, "tanh"), D(10)), 1000 * X - 500, digits, "cross_entropy", None),
    ("data", "targets are of size", lambda: net(D(32, R), D(1)), X, 1e5 + 1e4 * ink, "mse", fb.Adam()),
    ("data", "a linear model explains", lambda: net(D(8, R), D(10)), noise(), digits[:400], "cross_entropy", None),
    ("data", "the targets are the same", lambda: net(D(8, R), D(1)), X, 0 * ink, "mse", fb.Adam()),
    ("data", "the inputs are the same", lambda: net(D(8, R), D(1)), 0 * X + 1, ink, "mse", fb.Adam()),
    ("output", "takes logits", lambda: net(D(32, R), D(1, S)), X, above, "binary_cross_entropy", None),
    ("output", "takes logits", lambda: net(D(32, R), D(10, "softmax")), X, digits, "cross_entropy", None),
    ("output", "-1 to 1", lambda: net(D(32, R), D(1, "tanh")), X, 10 * ink, "mse", fb.Adam()),
    ("output", "0 to no limit", lambda: net(D(32, R), D(1, R)), X, -ink, "mse", fb.Adam()),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "words", "build", "X", "y", "loss", "optimizer"), CASES)
def test_the_cause_is_named(cause, words, build, X, y, loss, optimizer) -> None:
    trained = build()
    if optimizer is not None:
        trained.fit(X, y, loss=loss, optimizer=optimizer, epochs=2, batch_size=64)
    before = trained.params.copy()
    report = fb.diagnose(trained, X, y, loss)
    assert report.cause == cause, report
    assert report.verdict != "healthy"
    assert words in report.reason
    assert report.remedies
    np.testing.assert_array_equal(trained.params, before)
    if cause != "output":
        assert report.loss > 0.98 * report.constant


def test_a_loss_without_a_slope() -> None:
    flat = fb.Sequential(fb.Input(2), fb.Dense(1, weights="zeros"), seed=0)

    def nothing(Y, t):
        return 1.0 + float(np.mean(t)), np.zeros_like(Y)

    report = fb.diagnose(flat, np.eye(2), np.array([[0.0], [1.0]]), nothing)
    assert (report.verdict, report.cause) == ("not learning", "loss")


def test_a_step_that_is_too_small_is_measured() -> None:
    report = fb.diagnose(net(D(32, R), D(10)), X, digits, "cross_entropy", lr=1e-9)
    assert report.cause == "rate"
    assert "of their norm" in report.reason


@pytest.mark.parametrize(
    ("loss", "y", "width"),
    [
        ("cross_entropy", digits, 10),
        ("binary_cross_entropy", above, 1),
        ("hinge", above, 1),
        ("mse", ink, 1),
        ("mae", ink, 1),
        (fb.losses.Quantile([0.1, 0.5, 0.9]), ink, 3),
        ("gaussian_nll", ink, 2),
        ("gamma", 1 + ink, 1),
        ("poisson", np.random.default_rng(0).poisson(np.exp(6.9 + 0.1 * X[:, 20:21])), 1),
    ],
)
def test_nets_that_learn_are_healthy(loss, y, width) -> None:
    """Also where the best constant is far from 0: a share of what can be won counts, not of the loss."""
    trained = net(fb.Dense(16, R if loss == "poisson" else "tanh"), fb.Dense(width))
    lr = 0.003 if loss == "gaussian_nll" else 0.01  # whose loss leaps up where a variance becomes small
    trained.fit(X, y, loss=loss, optimizer=fb.Adam(lr), epochs=60 if loss == "poisson" else 30, batch_size=64)
    report = fb.diagnose(trained, X, y, loss)
    assert (report.verdict, report.cause) == ("healthy", ""), report
    assert report.loss < report.constant


@pytest.mark.parametrize(
    ("loss", "y", "width", "best"),
    [
        ("mse", ink, 1, ink.var()),
        ("mae", ink, 1, np.abs(ink - np.median(ink)).mean()),
        ("cross_entropy", digits, 10, -np.sum(np.bincount(digits) / 1797 * np.log(np.bincount(digits) / 1797))),
        ("binary_cross_entropy", above, 1,
         -above.mean() * np.log(above.mean()) - (1 - above.mean()) * np.log(1 - above.mean())),
        ("gaussian_nll", ink, 2, 0.5 * np.log(ink.var()) + 0.5),
        ("poisson", ink, 1, ink.mean() - ink.mean() * np.log(ink.mean())),
        ("log_cosh", 100 * ink, 1, None),
        ("expectile", ink, 1, ink.var() / 2),
    ],
)  # fmt: skip
def test_the_best_constant(loss, y, width, best) -> None:
    """By its formula; where there is none, SciPy finds no lower one."""
    any_net = fb.Sequential(fb.Input(64), fb.Dense(width), dtype="float64", seed=0)
    objective = Objective(loss, any_net)
    found = learning.baseline(objective, objective.targets(y, len(y)), np.dtype(np.float64)).loss
    if best is None:
        optimize = pytest.importorskip("scipy.optimize")
        best = optimize.minimize_scalar(lambda c: fb.losses.log_cosh(np.full(y.shape, c), y)[0]).fun
    assert found == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("size", [0.0, 1e-320, 1e-30, 1.0, 1e30, 1e300, 1e308])
def test_numbers_of_any_size_and_nearly_equal_ones_are_drawn(dtype, size) -> None:
    """A histogram over values closer than their rounding, or farther than the range of floats, is no crash."""
    size = min(size, 1e38) if dtype == np.float32 else size
    for rows in ([[1.0], [1.0000001]], [[1.0], [-1.0]], [[1.0], [1.0]]):
        for activation in ("linear", "sigmoid", "tanh"):
            layers = fb.Dense(1, activation, weights="ones"), fb.Dense(1, weights="ones")
            small = fb.Sequential(fb.Input(1), *layers, dtype=dtype.name, seed=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                report = fb.diagnose(small, np.array(rows) * size, [0.0, 0.0])
            assert str(report)
            assert report.chart()
            assert all(counts.sum() == 2 for counts, _ in report.histograms)
            pytest.importorskip("matplotlib.pyplot").close(report.plot()[0].figure)
