"""The fast path of `step` and `predict`: the same bits and the same errors as the way through the checks."""

import numpy as np
import pytest

import fastbp as fb

LOSSES = ["mse", "cross_entropy", "binary_cross_entropy"]


def net(dtype: np.dtype, width: int = 3) -> fb.Sequential:
    return fb.Sequential(fb.Input(7), fb.Dense(33, activation="tanh"), fb.Dense(width), dtype=dtype, seed=2)


def data(loss: str, rows: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    X = rng.normal(size=(rows, 7)).astype(dtype)
    y = rng.integers(0, 3, rows) if loss == "cross_entropy" else rng.uniform(size=(rows, 3)).astype(dtype)
    return X, y


@pytest.mark.parametrize("rows", [1, 2, 29])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_same_bits(loss: str, optimizer: str, rows: int, dtype: np.dtype) -> None:
    X, y = data(loss, rows, dtype)
    fast, slow = (fb.Trainer(net(dtype), loss, optimizer) for _ in range(2))
    assert fast._fast_path is not None
    slow._fast_path = None
    for _ in range(4):
        assert fast.step(X, y) == slow.step(X, y)
    np.testing.assert_array_equal(fast.net.params, slow.net.params)
    np.testing.assert_array_equal(fast.net.grads, slow.net.grads)
    assert fast.net.draws == slow.net.draws == 4
    np.testing.assert_array_equal(fast.net.predict(X), slow.net.programs.predict((X,))[0])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_gradient(loss: str, dtype: np.dtype) -> None:
    X, y = data(loss, 29, dtype)
    fast, slow = net(dtype), net(dtype)
    theta = np.random.default_rng(1).normal(size=fast.params.size).astype(dtype)
    value, gradient = fast.value_and_grad(theta, X, y, loss)
    expected, wanted = slow.value_and_grad(theta.tolist(), X.tolist(), y.tolist(), loss)
    assert value == expected
    np.testing.assert_array_equal(gradient, wanted)
    np.testing.assert_array_equal(fast.params, theta)


def test_a_bad_batch_leaves_the_parameters_of_a_gradient_alone(dtype: np.dtype) -> None:
    X, y = data("mse", 5, dtype)
    own = net(dtype)
    before = own.params.copy()
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN at row 3, column 2"):
        own.value_and_grad(before + 1, X, y)
    np.testing.assert_array_equal(own.params, before)


def variants(X: np.ndarray) -> list:
    """The same numbers in every other form."""
    swapped = X.astype(X.dtype.newbyteorder())
    padded = np.zeros((len(X), X.shape[1] + 1), X.dtype)
    padded[:, 1:] = X
    raw = np.zeros(X.nbytes + 1, np.uint8)
    odd = raw[1:].view(X.dtype).reshape(X.shape)
    odd[...] = X
    other = X.astype("float64" if X.dtype == np.float32 else "float32").astype(X.dtype)
    return [X.tolist(), np.asfortranarray(X), swapped, padded[:, 1:], odd, other, X.view(np.ndarray), memoryview(X)]


def test_whatever_needs_conversion_goes_the_other_way(dtype: np.dtype) -> None:
    X = np.random.default_rng(0).integers(-3, 4, (5, 7)).astype(dtype)
    y = np.arange(5) % 3
    wanted_net = net(dtype)
    wanted = wanted_net.predict(X)
    loss = fb.Trainer(wanted_net, "cross_entropy", "sgd").step(X, y)
    for other in variants(X):
        np.testing.assert_array_equal(net(dtype).predict(other), wanted)
        assert fb.Trainer(net(dtype), "cross_entropy", "sgd").step(other, y) == loss
    for labels in (y.tolist(), y.astype(np.int32), y.astype(np.uint8), np.repeat(y, 2)[::2]):
        assert fb.Trainer(net(dtype), "cross_entropy", "sgd").step(X, labels) == loss


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((2, 6)), [0, 1], r"X must have shape \(rows, 7\)"),
        (np.zeros((0, 7)), [], "X has no rows"),
        (np.full((2, 7), np.nan), [0, 1], "X has a NaN at row 0, column 0"),
        (np.zeros((2, 7)), [0, 3], "label 3 at row 1"),
        (np.zeros((2, 7)), [-1, 0], "label -1 at row 0"),
        (np.zeros((2, 7)), [0, 1, 2], "y has 3 rows"),
        (np.zeros((2, 7)), [[0.0, 0.5, np.inf]] * 2, "inf"),
        (np.zeros((2, 7)), [[0.0, 0.5, 1.5]] * 2, "1.5"),
        (np.zeros((2, 7)), 0.5, "y has 0 rows"),
        (np.zeros((2, 7)), 1, "y has 0 rows"),
        (np.zeros((2, 7)), np.zeros((2, 3, 1)), r"shape \(2, 3, 1\)"),
        (np.zeros(()), [0, 1], r"X must have shape \(rows, 7\), got \(\)"),
    ],
)
def test_errors_come_before_anything_has_changed(X, y, message: str, dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "cross_entropy", "adam")
    before = trainer.net.params.copy()
    trainer.net.predict([[0.0] * 7])  # from the first call on the fast path is open
    y = np.asarray(y, None if np.asarray(y).dtype.kind == "i" else dtype)
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.step(X.astype(dtype), y if y.size else y.astype(int))
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.net.value_and_grad(before, X.astype(dtype), y if y.size else y.astype(int), "cross_entropy")
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == trainer.net.draws == 0


def test_divergence_is_told_alike(dtype: np.dtype) -> None:
    X, y = data("mse", 4, dtype)
    told = []
    for fast in (True, False):
        trainer = fb.Trainer(net(dtype), "mse", fb.SGD(1e30 if dtype == np.float32 else 1e200))
        trainer._fast_path = trainer._fast_path if fast else None
        try:
            for _ in range(9):
                trainer.step(X, y)
        except fb.DivergenceError as error:
            told.append(str(error))
    assert len(told) == 2
    assert told[0] == told[1]
