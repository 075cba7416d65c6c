"""Weights of rows and of single targets, missing targets, and sums of losses over several outputs."""

import numpy as np
import pytest

import fastbp as fb
import reference
from loss_cases import NAMES, ROWS, assert_loss, outputs, targets
from nets import two_heads

# Weights, missing targets


@pytest.mark.parametrize("name", NAMES)
def test_equal_weights_of_values_are_those_of_rows(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 21, 4, dtype, rng), targets(name, "values", 21, 4, dtype, rng)
    w = rng.uniform(0.1, 3.0, size=21).astype(dtype)
    wanted = getattr(fb.losses, name)(Y, t, w)
    assert_loss(getattr(fb.losses, name)(Y, t, np.repeat(w[:, None], t.shape[1], axis=1)), wanted, dtype)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_values_are_differentiated(name: str, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 5, 6, np.float64, rng), targets(name, "values", 5, 6, np.float64, rng)
    w, loss = rng.uniform(0, 3.0, size=t.shape), getattr(fb.losses, name)
    reference.assert_gradient(lambda A: loss(A, t, w)[0], Y.copy(), loss(Y, t, w)[1], name)


@pytest.mark.parametrize("name", [name for name in NAMES if not ROWS[name].by_rows])
def test_weights_of_values_are_those_of_single_outputs(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = outputs(name, 23, 6, dtype, rng), targets(name, "values", 23, 6, dtype, rng)
    w = rng.uniform(0, 3.0, size=t.shape).astype(dtype)
    column = reference.loss(name, Y.reshape(-1, 1), t.reshape(-1, 1), w.ravel())
    got = getattr(fb.losses, name)(Y, t, w)
    assert_loss(got, (column[0], column[1].reshape(Y.shape)), dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [None, "rows", "values"])
def test_a_missing_value_has_no_weight(
    name: str, weighted: str | None, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Y, t = outputs(name, 39, 6, dtype, rng), targets(name, "values", 39, 6, dtype, rng)
    missing = rng.random(t.shape) < 0.4
    missing[5] = True
    w = np.ones(t.shape, dtype)
    if weighted is not None:
        w = w * rng.uniform(0.1, 3, size=(39, 1) if weighted == "rows" else t.shape).astype(dtype)
    loss = getattr(fb.losses, name)
    given = None if weighted is None else w[:, 0].copy() if weighted == "rows" else w
    got = loss(Y, np.where(missing, np.nan, t), given, mask_nan=True)
    value, dY = loss(Y, t, np.where(missing, 0, w))
    known = 1 - missing.mean()  # what is missing is no target, what has the weight 0 is one
    assert_loss(got, (value / known, dY / dtype.type(known)), dtype)
    assert (got[1][5] == 0).all()
    assert_loss(loss(Y, t, given, mask_nan=True), loss(Y, t, given), dtype)
    if not ROWS[name].by_rows:
        assert (got[1][missing] == 0).all()


def test_a_missing_label_counts_nothing(dtype: np.dtype, rng: np.random.Generator) -> None:
    Y, t = rng.normal(size=(35, 4)).astype(dtype), rng.integers(4, size=35)
    known = rng.random(35) < 0.6
    floats = np.where(known, t, np.nan)
    for name, settings in (("cross_entropy", {"label_smoothing": 0.2}), ("kl_divergence", {})):
        value, dY = getattr(fb.losses, name)(Y, floats, mask_nan=True, **settings)
        wanted, gradient = getattr(fb.losses, name)(Y[known], t[known], **settings)
        assert value == pytest.approx(wanted, rel=1e-6)
        np.testing.assert_allclose(dY[known], gradient, rtol=1e-6, atol=1e-8)
        assert (dY[~known] == 0).all()


def test_nothing_known_is_no_loss(dtype: np.dtype) -> None:
    value, dY = fb.losses.mse(np.ones((3, 2), dtype), np.full((3, 2), np.nan), mask_nan=True)
    assert value == 0
    assert (dY == 0).all()


@pytest.mark.parametrize("loss", [fb.losses.Huber(mask_nan=True), fb.losses.GaussianNLL(mask_nan=True)], ids=str)
def test_training_with_gaps_is_the_loop_by_hand(
    loss: fb.losses.Loss, dtype: np.dtype, rng: np.random.Generator
) -> None:
    X, t = rng.normal(size=(53, 4)), reference.targets(loss.row.name, 53, 6, rng)
    t[rng.random(t.shape) < 0.3] = np.nan
    w = rng.uniform(0.1, 2, size=t.shape)
    nets = [fb.Sequential(fb.Input(4), fb.Dense(9, "tanh"), fb.Dense(6), dtype=dtype, seed=2) for _ in range(2)]
    history = nets[0].fit(X, t, loss=loss, optimizer=fb.Adam(), sample_weight=w, epochs=3, batch_size=11, seed=4)
    optimizer, order = fb.Adam(), np.random.default_rng(4)
    for _ in range(3):
        total = 0
        for xb, rows in fb.batches(X, np.arange(53), 11, seed=order):
            value, dY = loss(nets[1].forward(xb), t[rows].astype(dtype), w[rows].astype(dtype))
            nets[1].backward(dY)
            optimizer.step(nets[1])
            known = ~np.isnan(t[rows])
            total += value * known.sum() / w[~np.isnan(t)].sum()
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert history.history["loss"][-1] == pytest.approx(total, rel=1e-6)
    rows = fb.per_sample_gradients(nets[0], X, t, loss)
    _, g = nets[0].value_and_grad(nets[0].params.copy(), X, t, loss=loss)
    np.testing.assert_allclose(rows.mean(axis=0), g, rtol=0, atol=2e-6 * max(1, np.abs(g).max()))


# Several outputs


def test_weighted_sums_of_losses(rng: np.random.Generator) -> None:
    net, X = two_heads(), rng.normal(size=(9, 4))
    y = rng.integers(3, size=9), rng.normal(size=(9, 2))
    theta, losses = net.params.copy(), ("cross_entropy", fb.losses.Huber(delta=0.5))
    parts = [net.value_and_grad(theta, X, y, losses, share) for share in ((1, 0), (0, 1))]
    wanted = 2.0 * parts[0][0] + 0.25 * parts[1][0]
    for loss, shares in (
        (losses, (2.0, 0.25)),
        ({"size": losses[1], "kind": losses[0]}, {"size": 0.25, "kind": 2.0}),
        ((2.0 * fb.losses.cross_entropy, 0.25 * losses[1]), None),
        ((fb.losses.cross_entropy, lambda_of(losses[1])), (2.0, 0.25)),
    ):
        value, g = net.value_and_grad(theta, X, y, loss, shares)
        assert value == pytest.approx(wanted, rel=1e-13)
        np.testing.assert_allclose(g, 2.0 * parts[0][1] + 0.25 * parts[1][1], rtol=0, atol=1e-14)
        assert net.evaluate(X, y, loss=loss, loss_weights=shares)["loss"] == pytest.approx(wanted, rel=1e-13)
        assert fb.Trainer(net, loss, "sgd", loss_weights=shares).step(X, y) == pytest.approx(wanted, rel=1e-13)
        net.params = theta
    shared = {"size": y[1], "kind": y[0]}
    assert net.evaluate(X, shared, loss=losses, loss_weights=(2.0, 0.25))["loss"] == pytest.approx(wanted, rel=1e-13)


def lambda_of(loss: fb.losses.Loss):
    def own(Y, t, w=None):
        return loss(Y, t, w)

    return own


def entropies(Y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Of each row."""
    return np.log(np.exp(Y).sum(axis=1)) - Y[np.arange(len(Y)), t]


def test_weights_for_each_output(rng: np.random.Generator) -> None:
    net, X = two_heads(), rng.normal(size=(9, 4))
    y = rng.integers(3, size=9), rng.normal(size=(9, 2))
    w = rng.uniform(0.1, 2, size=9), rng.uniform(0.1, 2, size=(9, 2))
    Y, losses = net.predict(X), ("cross_entropy", "mse")
    wanted = np.average(entropies(Y[0], y[0]), weights=w[0]) + np.average((Y[1] - y[1]) ** 2, weights=w[1])
    assert net.evaluate(X, y, loss=losses, sample_weight=w)["loss"] == pytest.approx(wanted, rel=1e-13)
    named = {"size": w[1], "kind": w[0]}
    assert net.evaluate(X, y, loss=losses, sample_weight=named)["loss"] == pytest.approx(wanted, rel=1e-13)
    one = np.average(entropies(Y[0], y[0]) + ((Y[1] - y[1]) ** 2).mean(axis=1), weights=w[0])
    assert net.evaluate(X, y, loss=losses, sample_weight=w[0])["loss"] == pytest.approx(one, rel=1e-13)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_an_evaluation_without_a_known_target_is_nan(loss: str) -> None:
    """0 would be the best that there can be."""
    net = fb.Sequential(fb.Input(3), fb.Dense(2), seed=0)
    masked = {"mse": fb.losses.MSE, "cross_entropy": fb.losses.CrossEntropy}[loss](mask_nan=True)
    y = np.full((5, 2) if loss == "mse" else 5, np.nan)
    assert np.isnan(net.evaluate(np.ones((5, 3)), y, loss=masked)["loss"])
    y[0] = 1
    assert net.evaluate(np.ones((5, 3)), y, loss=masked)["loss"] > 0
