"""Dropout: its rate, its masks, their gradients, and that they follow the seed."""

import numpy as np
import pytest

import fastbp as fb
import reference
from nets import assert_gradients


def test_dropout_is_off_outside_training(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(30), fb.Dropout(0.5), dtype=str(dtype), seed=3)
    X = rng.normal(size=(20, 30)).astype(dtype)
    np.testing.assert_array_equal(net.predict(X), X)
    np.testing.assert_array_equal(net.forward(X, training=False), X)
    assert not np.array_equal(net.forward(X), X)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate: float, dtype: np.dtype) -> None:
    net = fb.Sequential(fb.Input(203), fb.Dropout(rate), dtype=str(dtype), seed=3)
    X = np.ones((501, 203), dtype=dtype)
    Y = net.forward(X)
    np.testing.assert_allclose(Y[Y != 0], 1 / (1 - rate), rtol=1e-6)
    assert abs((Y == 0).mean() - rate) < 0.005
    spread = 4 * np.sqrt(rate * (1 - rate) / 203) + 1e-12
    assert (np.abs((Y == 0).mean(axis=1) - rate) <= 1.3 * spread).all(), "rows are not dropped alike"
    assert (np.abs((Y == 0).mean(axis=0) - rate) <= spread).all(), "columns are not dropped alike"
    np.testing.assert_array_equal(net.backward(X), Y)


def test_dropout_masks_are_new_each_step_and_follow_the_seed(rng: np.random.Generator) -> None:
    X = np.ones((40, 50))
    one, same, other = (fb.Sequential(fb.Input(50), fb.Dropout(0.5), dtype="float64", seed=s) for s in (3, 3, 4))
    first, second = one.forward(X), one.forward(X)
    assert (first != second).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(same.forward(X), first)
    np.testing.assert_array_equal(same.forward(X), second)
    assert (other.forward(X) != first).mean() == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_two_dropouts_draw_apart() -> None:
    x = fb.Input(50)
    net = fb.Model(x, [fb.Dropout(0.5)(x), fb.Dropout(0.5)(x)], seed=3)
    one, two = net.forward(np.ones((40, 50)))
    assert (one != two).mean() == pytest.approx(0.5, abs=0.05)


def test_gradients_flow_through_the_mask_that_was_drawn(rng: np.random.Generator) -> None:
    net = fb.Sequential(
        fb.Input(7), fb.Dense(9, activation="tanh"), fb.Dropout(0.4), fb.Dense(3), dtype="float64", seed=3
    )
    X, dY = rng.normal(size=(5, 7)), rng.normal(size=(5, 3))
    start = net.copy()
    net.forward(X)
    dX = net.backward(dY)

    def objective(*_: np.ndarray) -> float:
        twin = start.copy()
        twin.params[...] = net.params
        return float((twin.forward(X) * dY).sum())

    assert_gradients(net, objective, net.grads.copy())
    reference.assert_gradient(objective, X, dX, "dX")
