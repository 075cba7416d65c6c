"""Trainers whose nets go side by side, one a lane of a vector: the bits of the nets alone, and who goes that way."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine

RNG = np.random.default_rng(7)
NETS = 16 + 3  # nets: some more than the most that a vector has
FEW = 8  # that may be left over: less than half of a vector
SHAPES = [(2, 8, 1), (3, 2), (6, 3), (4, 16, 2), (3, 9, 7, 5, 2), (2, 5, 4), (12, 20, 3)]
BY_ROWS = {"softmax", "softmin", "log_softmax", "rrelu"}


def population(widths: tuple[int, ...], dtype: str, activation: str = "tanh", count: int = NETS) -> list[fb.Sequential]:
    first, *hidden, last = widths
    layers = [fb.Dense(width, activation, bias=k != 1) for k, width in enumerate(hidden)]
    return [
        fb.Sequential(fb.Input(first), *(deepcopy(it) for it in layers), fb.Dense(last), seed=seed, dtype=dtype)
        for seed in range(count)
    ]


def batch(widths: tuple[int, ...], dtype: str, rows: int, loss: Any = "mse") -> tuple[np.ndarray, np.ndarray]:
    """Rows for each net."""
    X = RNG.normal(size=(NETS, rows, widths[0])).astype(dtype)
    if loss == "cross_entropy":
        return X, RNG.integers(0, widths[-1], (NETS, rows))
    y = RNG.uniform(0.1, 0.9, size=(NETS, rows, widths[-1]))
    return X, (y > 0.5 if loss == "binary_cross_entropy" else y).astype(dtype)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nets went one by one, in each call of the engine."""
    calls: list[int] = []
    step_each: Callable = _engine.step_each

    def counted(paths: list, *rest: Any) -> Any:
        calls.append(len(paths))
        return step_each(paths, *rest)

    monkeypatch.setattr(_engine, "step_each", counted)
    return calls


def assert_bits(many: fb.Trainers, single: list[fb.Trainer]) -> None:
    for k, one in enumerate(single):
        np.testing.assert_array_equal(many.params[k], one.net.params)
        np.testing.assert_array_equal(many.nets[k].grads, one.net.grads)
        np.testing.assert_array_equal(many.trainers[k].chain.states, one.chain.states)
        np.testing.assert_equal([many.trainers[k].chain.t, many.trainers[k].chain.loss], [one.chain.t, one.chain.loss])


def compare(
    nets: Callable, X: np.ndarray, y: np.ndarray, loss: Any, optimizer: Any, steps: int = 3, **given: Any
) -> None:
    """Steps with a batch for each net and with one for all, beside those of single trainers."""
    many = fb.Trainers(nets(), loss, optimizer, **given)
    single = [fb.Trainer(net, loss, deepcopy(optimizer)) for net in nets()]
    for _ in range(steps):
        assert many.step(X, y).tolist() == [one.step(x, t) for one, x, t in zip(single, X, y, strict=True)]
        assert many.step(X[0], y[0]).tolist() == [one.step(X[0], y[0]) for one in single]
    assert_bits(many, single)


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 64])
@pytest.mark.parametrize("widths", SHAPES)
def test_shapes(widths: tuple[int, ...], rows: int, dtype: np.dtype, alone: list[int]) -> None:
    X, y = batch(widths, dtype.name, rows)
    compare(lambda: population(widths, dtype.name), X, y, "mse", fb.Adam(0.01))
    assert all(count <= FEW for count in alone)


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_activations(name: str, dtype: np.dtype, alone: list[int]) -> None:
    X, y = batch((3, 6, 2), dtype.name, 5)
    compare(lambda: population((3, 6, 2), dtype.name, name), X, y, "mse", fb.SGD(0.01))
    assert all((count > FEW) == (name in BY_ROWS) for count in alone)


@pytest.mark.parametrize("outputs", [2, 3, 17])
@pytest.mark.parametrize("loss", ["mse", "mae", fb.losses.Huber(delta=0.3), "binary_cross_entropy", "cross_entropy"])
def test_losses(loss: Any, outputs: int, dtype: np.dtype, alone: list[int]) -> None:
    X, y = batch((4, 8, outputs), dtype.name, 11, loss)
    compare(lambda: population((4, 8, outputs), dtype.name), X, y, loss, fb.Adam(0.01))
    if outputs < 4:
        assert all(count <= FEW for count in alone)


def test_a_loss_with_a_number_for_each_output(dtype: np.dtype, alone: list[int]) -> None:
    X, y = batch((4, 8, 2), dtype.name, 11, "binary_cross_entropy")
    loss = fb.losses.BinaryCrossEntropy(pos_weight=3.0)
    compare(lambda: population((4, 8, 2), dtype.name), X, y, loss, fb.Adam(0.01))
    assert set(alone) == {NETS}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "optimizer",
    [
        fb.SGD(0.05),
        fb.SGD(0.05, momentum=0.9),
        fb.SGD(0.05, momentum=0.9, nesterov=True),
        fb.Adam(0.01),
        fb.AdamW(0.01),
        fb.NAdam(0.01),
        fb.RMSprop(0.01),
        fb.Adam(lambda step: 0.01 / (1 + step)),
        fb.Lion(0.001, clip_value=0.01, ema=0.9),
    ],
    ids=repr,
)
def test_optimizers(
    optimizer: Any, threads: int, dtype: np.dtype, alone: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastbp.many.trainers.get_num_threads", lambda: threads)
    X, y = batch((3, 7, 2), dtype.name, 6)
    compare(lambda: population((3, 7, 2), dtype.name), X, y, "mse", optimizer, 10, threads=threads)
    assert all(count <= FEW for count in alone)


def test_a_net_that_diverges_and_the_others(dtype: np.dtype) -> None:
    X, y = batch((2, 8, 1), dtype.name, 8)
    many = fb.Trainers(population((2, 8, 1), dtype.name, "relu"), "mse", fb.SGD(0.1))
    single = [fb.Trainer(net, "mse", fb.SGD(0.1)) for net in population((2, 8, 1), dtype.name, "relu")]
    for net in (many.nets[3], single[3].net):
        net.params[:] = np.finfo(dtype).max / 4
    for _ in range(5):
        with pytest.raises(fb.DivergenceError) as caught:
            many.step(X, y)
        assert "nets[3]" in caught.value.__notes__[0]
        for k, one in enumerate(single):
            if k == 3:
                with pytest.raises(fb.DivergenceError):
                    one.step(X[k], y[k])
            else:
                one.step(X[k], y[k])
    assert_bits(many, single)


@pytest.mark.parametrize("each", [False, True])
def test_an_update_that_is_not_finite(each: bool, dtype: np.dtype) -> None:
    """Of all nets with one rate, or of two nets whose rates are others."""
    X, y = batch((2, 8, 1), dtype.name, 8)
    rates = [float(np.finfo(dtype).max)] * NETS
    if each:
        rates = [rate if k in (3, 5) else 0.01 for k, rate in enumerate(rates)]
    many = fb.Trainers(population((2, 8, 1), dtype.name), "mse", [fb.SGD(rate) for rate in rates])
    single = [fb.Trainer(net.copy(), "mse", fb.SGD(rate)) for net, rate in zip(many.nets, rates, strict=True)]
    y *= 100
    for _ in range(2):
        with pytest.raises(fb.DivergenceError, match="the update was not finite") as caught:
            many.step(X, y)
        assert f"nets[{3 if each else 0}]" in caught.value.__notes__[0]
        for one, x, t in zip(single, X, y, strict=True):
            with suppress(fb.DivergenceError):
                one.step(x, t)
        assert_bits(many, single)


def mixed_rates(nets: list[fb.Sequential]) -> fb.Trainers:
    return fb.Trainers(nets, "mse", [fb.Adam(0.01 / (k + 1)) for k in range(len(nets))])


def mixed_steps(nets: list[fb.Sequential], optimizer: Any = fb.Adam(0.01)) -> fb.Trainers:  # noqa: B008
    many = fb.Trainers(nets, "mse", optimizer)
    for k, trainer in enumerate(many.trainers):
        for _ in range(k % 2):
            trainer.step(*FIRST)
    return many


def mixed_averages(nets: list[fb.Sequential]) -> fb.Trainers:
    """Averages that begin with the fourth step, which half of the nets make one call before the others."""
    return mixed_steps(nets, fb.SGD(0.01, swa_start=3))


def mixed_kinds(nets: list[fb.Sequential]) -> fb.Trainers:
    return fb.Trainers(nets, "mse", [(fb.Adam if k % 2 else fb.SGD)(0.01) for k in range(len(nets))])


def mixed_losses(nets: list[fb.Sequential]) -> fb.Trainers:
    return fb.Trainers(nets, ["mse", "mae"] * (len(nets) // 2) + ["mse"] * (len(nets) % 2), fb.Adam(0.01))


def frozen(nets: list[fb.Sequential]) -> fb.Trainers:
    many = fb.Trainers(nets, "mse", fb.Adam(0.01))
    for net in nets:
        net["dense_1"].trainable = False
    return many


def clipped(nets: list[fb.Sequential]) -> fb.Trainers:
    return fb.Trainers(nets, "mse", fb.Adam(0.01, clip_norm=0.1))


def collected(nets: list[fb.Sequential]) -> fb.Trainers:
    return fb.Trainers(nets, "mse", fb.Adam(0.01, accumulate=2))


FIRST = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 3))


@pytest.mark.parametrize("make", [mixed_rates, mixed_steps, mixed_averages])
def test_each_net_may_have_updates_of_its_own(make: Callable[[list], fb.Trainers], alone: list[int]) -> None:
    many, single = make(population((4, 7, 3), "float64")), make(population((4, 7, 3), "float64"))
    for _ in range(8):
        assert many.step(*FIRST).tolist() == [one.step(*FIRST) for one in single.trainers]
    assert all(count <= FEW for count in alone)
    assert_bits(many, list(single.trainers))


@pytest.mark.parametrize("make", [mixed_kinds, mixed_losses, frozen, clipped, collected])
def test_populations_that_go_one_by_one(make: Callable[[list], fb.Trainers], alone: list[int]) -> None:
    many, single = make(population((4, 7, 3), "float64")), make(population((4, 7, 3), "float64"))
    for _ in range(4):
        losses = many.step(*FIRST)
        assert alone.pop() == NETS
        assert losses.tolist() == [one.step(*FIRST) for one in single.trainers]
    np.testing.assert_array_equal(many.params, single.params)


def test_a_step_alone_between_others(dtype: np.dtype, alone: list[int]) -> None:
    """States and counts are where a trainer alone finds them, and it goes on side by side when all are level again."""
    X, y = (A[0] for A in batch((3, 5, 2), dtype.name, 4))
    many = fb.Trainers(population((3, 5, 2), dtype.name), "mse", fb.NAdam(0.01))
    single = [fb.Trainer(net, "mse", fb.NAdam(0.01)) for net in population((3, 5, 2), dtype.name)]
    for _ in range(3):
        assert many.step(X, y).tolist() == [one.step(X, y) for one in single]
        assert [one.step(X, y) for one in many.trainers] == [one.step(X, y) for one in single]
    assert max(alone, default=0) <= FEW
    assert_bits(many, single)


def test_few_nets_and_large_ones_go_one_by_one(alone: list[int]) -> None:
    for widths, count, rows in (((3, 5, 2), 1, 4), ((4, 64, 64, 3), NETS, 4), ((3, 5, 2), NETS, 65)):
        X, y = (A[0] for A in batch(widths, "float32", rows))
        many = fb.Trainers(population(widths, "float32", count=count), "mse", fb.Adam(0.01))
        single = [fb.Trainer(net, "mse", fb.Adam(0.01)) for net in population(widths, "float32", count=count)]
        losses = many.step(X, y)
        assert alone.pop() == count
        assert losses.tolist() == [one.step(X, y) for one in single]
        assert_bits(many, single)
