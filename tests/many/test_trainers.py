"""Trainers: the bits of single trainers, parameters in one live block."""

from typing import Any

import numpy as np
import pytest

import fastbp as fb
from nets import small_net

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(3, 6, 4)), RNG.normal(size=(3, 6, 3))


def population(dtype: str = "float64", dropout: float = 0.0) -> list[fb.Sequential]:
    return [small_net(dtype, dropout, seed=seed) for seed in (1, 2, 3)]


@pytest.mark.parametrize("threads", [None, 2, 3])
def test_the_bits_of_single_trainers(threads: int | None, dtype: np.dtype) -> None:
    rates = [fb.Adam(0.01), fb.SGD(0.1), fb.Adam(0.003)]
    many = fb.Trainers(population(dtype.name, 0.2), "mse", rates, threads=threads)
    single = [fb.Trainer(net, "mse", rate) for net, rate in zip(population(dtype.name, 0.2), rates, strict=True)]
    for _ in range(4):
        losses = many.step(X, Y)
        assert losses.tolist() == [one.step(x, y) for one, x, y in zip(single, X, Y, strict=True)]
        assert many.step(X[0], Y[0]).tolist() == [one.step(X[0], Y[0]) for one in single]
    for k, one in enumerate(single):
        np.testing.assert_array_equal(many.params[k], one.net.params)
        np.testing.assert_array_equal(many.predict(X)[k], one.net.predict(X[k]))
        np.testing.assert_array_equal(many.predict(X[1])[k], one.net.predict(X[1]))


def squares(Y: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    return ((Y - t) ** 2).mean(), 2 * (Y - t) / Y.size


@pytest.mark.parametrize("loss", ["mse", squares, ["mse", squares, fb.losses.Huber(delta=0.5)]])
def test_what_the_engine_does_not_take_as_it_is(loss: Any) -> None:
    many = fb.Trainers(population("float32"), loss, fb.Adam(0.01))
    losses = loss if isinstance(loss, list) else [loss] * 3
    single = [fb.Trainer(net, one, fb.Adam(0.01)) for net, one in zip(population("float32"), losses, strict=True)]
    for _ in range(3):  # float64 to float32, and not contiguous
        assert many.step(X[..., ::-1], Y).tolist() == [
            one.step(x[:, ::-1], y) for one, x, y in zip(single, X, Y, strict=True)
        ]
        assert many.step(X[0], Y[0]).tolist() == [one.step(X[0], Y[0]) for one in single]
    labels = RNG.integers(0, 3, (3, 6))
    many = fb.Trainers(population(), "cross_entropy", fb.SGD(0.1))
    single = [fb.Trainer(net, "cross_entropy", fb.SGD(0.1)) for net in population()]
    for given in (labels, labels.astype(np.int8)):
        assert many.step(X, given).tolist() == [one.step(x, t) for one, x, t in zip(single, X, given, strict=True)]
    labels[2, 1] = 3
    before = many.params.copy()
    with pytest.raises(ValueError, match="3"):
        many.step(X, labels)
    np.testing.assert_array_equal(many.params, before)


def test_the_block_is_live() -> None:
    nets = population()
    many = fb.Trainers(nets)
    assert many.params.shape == (3, nets[0].params.size)
    many.params[2] = many.params[0]
    np.testing.assert_array_equal(many.predict(X[0])[2], many.predict(X[0])[0])
    nets[1]["dense_1"].W[0, 0] = 7.0
    assert 7.0 in many.params[1]
    before = many.params.copy()
    many.step(X, Y)
    assert (many.params != before).any(axis=1).all()
    frozen = population()
    frozen[0]["dense_1"].trainable = False
    many = fb.Trainers(frozen)
    W = frozen[0]["dense_1"].W.copy()
    many.step(X, Y)
    np.testing.assert_array_equal(frozen[0]["dense_1"].W, W)


def test_a_net_that_diverges_is_named() -> None:
    many = fb.Trainers(population(), "mse", [fb.SGD(0.1), fb.SGD(1e200), fb.SGD(0.1)])
    single = fb.Trainer(small_net(seed=3), "mse", fb.SGD(0.1))

    def steps() -> None:
        for _ in range(9):
            single.step(X[2], Y[2])
            many.step(X, Y)

    with pytest.raises(fb.DivergenceError) as caught:
        steps()
    assert "nets[1]" in caught.value.__notes__[0]
    np.testing.assert_array_equal(many.params[2], single.net.params)
    assert np.isfinite(many.params).all()


def test_clear_errors_before_anything_changes() -> None:
    nets = population()
    with pytest.raises(ValueError, match=r"nets\[1\]"):
        fb.Trainers([nets[0], fb.Sequential(fb.Input(4), fb.Dense(3), dtype="float64")])
    with pytest.raises(ValueError, match=r"optimizer .* 3 .* 1"):
        fb.Trainers(nets, "mse", [fb.SGD()])
    many = fb.Trainers(nets)
    before = many.params.copy()
    bad = X.copy()
    bad[2, 1, 3] = np.nan
    for x, y in ((X[:2], Y), (X, Y[:2]), (bad, Y), (X, Y[:, :5]), (X[..., :3], Y)):
        with pytest.raises(ValueError):  # noqa: PT011
            many.step(x, y)
    np.testing.assert_array_equal(many.params, before)
