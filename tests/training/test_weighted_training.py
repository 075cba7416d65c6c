"""What sample weights, class weights and missing targets do to gradients, and to the loss in the history."""

import math
from collections.abc import Callable

import numpy as np
import pytest

import fastbp as fb

ROWS, POSITIVE = 400, 0.1
BY_CLASS = {0: 1.0, 1: 9.0}


# A row's share in the gradient


def constant_input() -> tuple[np.ndarray, np.ndarray]:
    """One input that says nothing, and one positive row in ten: with BY_CLASS both classes weigh the same."""
    return np.ones((ROWS, 1)), (np.arange(ROWS) % 10 == 0).astype(int)


def learned_probability(train: Callable[[fb.Model, fb.SGD], None], batches: int) -> float:
    """What a bias learns, averaged over the last epochs."""
    net = fb.Sequential(fb.Input(1), fb.Dense(1, weights="zeros", bias=False), seed=0, dtype="float64")
    optimizer = fb.SGD(0.02, swa_start=batches * 40)
    train(net, optimizer)
    with optimizer.averaged(net):
        return 1 / (1 + math.exp(-net["dense_1"].W[0, 0]))


@pytest.mark.parametrize("batch_size", [1, 4, 32, ROWS])
@pytest.mark.parametrize("way", ["class_weight", "sample_weight", "stream", "steps", "by hand"])
def test_the_size_of_the_batch_does_not_change_what_is_learned(way: str, batch_size: int) -> None:
    X, y = constant_input()
    w = np.where(y == 1, 9.0, 1.0)
    epochs, loss = 60, "binary_cross_entropy"
    epochs *= 10 if batch_size == ROWS else 1  # a step an epoch
    rng = np.random.default_rng(0)
    orders = [rng.permutation(ROWS) for _ in range(epochs)]
    batches = [np.array_split(order, ROWS // batch_size) for order in orders]

    def train(net: fb.Model, optimizer: fb.SGD) -> None:
        if way == "class_weight":
            net.fit(X, y, loss=loss, class_weight=BY_CLASS, optimizer=optimizer, epochs=epochs, batch_size=batch_size)
        elif way == "sample_weight":
            net.fit(X, y, loss=loss, sample_weight=w, optimizer=optimizer, epochs=epochs, batch_size=batch_size)
        elif way == "stream":
            for epoch in batches:
                net.fit(((X[rows], y[rows], w[rows]) for rows in epoch), loss=loss, optimizer=optimizer)
        elif way == "steps":
            trainer = fb.Trainer(net, loss, optimizer)
            for epoch in batches:
                for rows in epoch:
                    trainer.step(X[rows], y[rows], w[rows])
        else:
            for epoch in batches:
                for rows in epoch:
                    _, dout = fb.losses.binary_cross_entropy(net.forward(X[rows]), y[rows], w[rows])
                    net.backward(dout)
                    optimizer.step(net)

    assert learned_probability(train, ROWS // batch_size) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("loss", ["mse", "huber", "cross_entropy", "binary_cross_entropy", "gaussian_nll"])
@pytest.mark.parametrize("form", ["rows", "values"])
def test_a_gradient_is_the_mean_of_its_rows_alone(loss: str, form: str, dtype: np.dtype) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(7, 5)), rng.random((7, 2 if loss == "gaussian_nll" else 4))
    y = y / y.sum(axis=1, keepdims=True)
    w = rng.uniform(0, 5, size=7 if form == "rows" else y.shape)
    net = fb.Sequential(fb.Input(5), fb.Dense(4), seed=0, dtype=dtype)

    def gradient(rows: slice) -> tuple[float, np.ndarray]:
        value, dout = getattr(fb.losses, loss)(net.forward(X[rows]), y[rows].astype(dtype), w[rows])
        net.backward(dout)
        return value, net.grads.copy()

    value, whole = gradient(slice(None))
    singles = [gradient(slice(n, n + 1)) for n in range(7)]
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert value == pytest.approx(np.mean([value for value, _ in singles]), rel=tolerance)
    np.testing.assert_allclose(
        whole, np.mean([g for _, g in singles], axis=0), rtol=0, atol=tolerance * np.abs(whole).max()
    )


def test_a_row_without_weight_is_a_row() -> None:
    X, y = np.eye(3), np.array([1.0, 2.0, 3.0])
    losses = []
    for rows, weights in (([0, 1, 2], [1.0, 0.0, 0.0]), ([0], [1.0])):
        net = fb.Sequential(fb.Input(3), fb.Dense(1, weights="zeros"), dtype="float64")
        losses.append(fb.Trainer(net, "mse", "sgd").step(X[rows], y[rows], weights))
    assert losses == [1 / 3, 1.0]


# The history


def masked(rng: np.random.Generator, shape: tuple[int, ...], missing: float) -> np.ndarray:
    y = rng.normal(size=shape)
    y[rng.random(shape) < missing] = np.nan
    return y


def heads(dtype: np.dtype) -> fb.Model:
    x = fb.Input(5)
    h = fb.Dense(6, "tanh")(x)
    return fb.Model(x, [fb.Dense(3, name="a")(h), fb.Dense(2, name="b")(h)], dtype=dtype, seed=0)


def own(Y: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    return fb.losses.mse(Y, t)


@pytest.mark.parametrize("batch_size", [1, 8, 50, 200])
@pytest.mark.parametrize("kind", ["array", "stream", "augment"])
@pytest.mark.parametrize("case", ["plain", "rows", "few rows", "values", "masked", "masked rows", "some rows without"])
def test_the_history_has_the_loss_of_an_evaluation(case: str, kind: str, batch_size: int, dtype: np.dtype) -> None:
    """At a learning rate of 0, whatever the batches are."""
    rng = np.random.default_rng(2)
    X, ys = rng.normal(size=(200, 5)), (rng.normal(size=(200, 3)), rng.normal(size=(200, 2)))
    weights, losses = None, ("mse", "huber")
    if case in ("rows", "masked rows"):
        weights = rng.uniform(0, 3, size=200)
    elif case == "few rows":
        weights = (rng.random(200) < 0.03) * 1.0
    elif case == "values":
        weights = (rng.uniform(0, 3, size=(200, 3)), rng.uniform(0, 3, size=200))
    if case.startswith("masked"):
        ys = masked(rng, (200, 3), 0.9), masked(rng, (200, 2), 0.2)
        losses = (fb.losses.MSE(mask_nan=True), fb.losses.Huber(mask_nan=True))
    if case == "some rows without":
        ys[0][:150] = np.nan
        losses = (fb.losses.MSE(mask_nan=True), "huber")
    net = heads(dtype)
    wanted = net.evaluate(X, ys, loss=losses, sample_weight=weights)["loss"]
    data, settings = (X, ys), {"sample_weight": weights, "batch_size": batch_size}
    if kind == "stream":
        parts = [slice(n, n + batch_size) for n in range(0, 200, batch_size)]
        each = weights if isinstance(weights, tuple) else (weights,) * 2
        if weights is None:
            batches = [(X[part], (ys[0][part], ys[1][part])) for part in parts]
        else:
            batches = [(X[p], (ys[0][p], ys[1][p]), (each[0][p], each[1][p])) for p in parts]
        assert net.evaluate(batches, loss=losses)["loss"] == pytest.approx(wanted, rel=1e-6)
        data, settings = (batches,), {}
    if kind == "augment":
        settings["augment"] = lambda X, y, rng: (X, y)
    history = net.fit(*data, loss=losses, optimizer=fb.SGD(0.0), **settings).history
    assert history["loss"][0] == pytest.approx(wanted, rel=3e-6 if dtype == np.float32 else 1e-12)


def test_batches_of_a_stream_may_weigh_nothing_but_not_all_of_them() -> None:
    rng = np.random.default_rng(8)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    net = fb.Sequential(fb.Input(3), fb.Dense(1), dtype="float64", seed=0)
    light = [(X[:5], y[:5], np.zeros(5)), (X[5:], y[5:], np.ones(15))]
    wanted = net.evaluate(X[5:], y[5:])["loss"]
    assert net.evaluate(light)["loss"] == pytest.approx(wanted, rel=1e-14)
    history = net.fit(light, optimizer=fb.SGD(0.0), validation_data=light).history
    assert [history["loss"][0], history["val_loss"][0]] == pytest.approx([wanted] * 2, rel=1e-14)
    nothing = [(X, y, np.zeros(20))]
    assert math.isnan(net.evaluate(nothing)["loss"])
    assert math.isnan(net.fit(nothing, optimizer=fb.SGD(0.0)).history["loss"][0])
    with pytest.raises(ValueError, match="sample_weight is zero in every row"):
        net.evaluate(X, y, sample_weight=np.zeros(20))


def test_a_loss_in_python_is_the_mean_over_the_rows(dtype: np.dtype) -> None:
    rng = np.random.default_rng(3)
    X, ys = rng.normal(size=(50, 5)), (rng.normal(size=(50, 3)), rng.normal(size=(50, 2)))
    net = heads(dtype)
    for losses in ((own, own), ("mse", own)):
        wanted = net.evaluate(X, ys, loss=losses)["loss"]
        history = net.fit(X, ys, loss=losses, optimizer=fb.SGD(0.0), batch_size=8).history
        assert history["loss"][0] == pytest.approx(wanted, rel=3e-6 if dtype == np.float32 else 1e-12)


def test_an_epoch_without_a_known_target_has_no_loss() -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(1), seed=0)
    loss = fb.losses.MSE(mask_nan=True)
    assert math.isnan(net.fit(np.ones((4, 2)), np.full(4, np.nan), loss=loss).history["loss"][0])


def test_an_output_of_which_nothing_is_known_adds_nothing() -> None:
    rng = np.random.default_rng(9)
    X, ys = rng.normal(size=(20, 5)), (np.full((20, 3), np.nan), rng.normal(size=(20, 2)))
    net, losses = heads(np.dtype(np.float64)), (fb.losses.MSE(mask_nan=True), "mse")
    wanted = ((net.predict(X)[1] - ys[1]) ** 2).mean()
    assert net.evaluate(X, ys, loss=losses)["loss"] == pytest.approx(wanted, rel=1e-14)
    history = net.fit(X, ys, loss=losses, optimizer=fb.SGD(0.0), batch_size=7).history
    assert history["loss"][0] == pytest.approx(wanted, rel=1e-14)


def test_a_fit_that_is_resumed_within_an_epoch_has_the_same_mean(tmp_path) -> None:
    rng = np.random.default_rng(4)
    X, y, w = rng.normal(size=(60, 3)), rng.normal(size=60), rng.uniform(0, 2, size=60)
    path = tmp_path / "run.safetensors"
    found = []
    for stops in (False, True):
        trainer = fb.Trainer(fb.Sequential(fb.Input(3), fb.Dense(1), seed=0), "mse", "adam", seed=1)
        saved = fb.ModelCheckpoint(path, "loss", every=3, unit="batches") if stops else None
        if stops:
            stop = fb.LambdaCallback(on_batch_end=lambda trainer, batch, loss: batch == 3)
            trainer.fit(X, y, sample_weight=w, batch_size=10, callbacks=[saved, stop])
            trainer = fb.Trainer.load(path)
        resume = path if stops else False
        found.append(trainer.fit(X, y, sample_weight=w, batch_size=10, epochs=2, resume=resume).history["loss"])
    assert found[0] == found[1]


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "kl_divergence", "binary_cross_entropy"])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_bit_of_the_history_depends_on_threads(loss: str, weighted: bool, dtype: np.dtype) -> None:
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(517, 7)), rng.integers(3, size=517)
    y = y if loss in ("cross_entropy", "kl_divergence") else np.eye(3)[y]
    w = rng.uniform(0.1, 2, size=517) if weighted else None
    found = []
    for threads in (1, 2, 3, 5):
        net = fb.Sequential(fb.Input(7), fb.Dense(11, "tanh"), fb.Dense(3), dtype=dtype, seed=0)
        settings = {"loss": loss, "sample_weight": w, "epochs": 2, "batch_size": 259, "seed": 1}
        found.append(net.fit(X, y, threads=threads, **settings).history["loss"])
    assert found[1:] == found[:1] * 3


# Weights that are too small


@pytest.mark.parametrize("weight", [1e-39, 1e-44])
def test_weights_that_the_dtype_cannot_hold_are_refused(weight: float) -> None:
    X, y = np.ones((4, 2)), np.ones(4)
    net = fb.Sequential(fb.Input(2), fb.Dense(1), seed=0)
    before = net.params.copy()
    with pytest.raises(ValueError, match=r"sample_weight is nowhere above .* too small for float32"):
        net.fit(X, y, sample_weight=np.full(4, weight))
    with pytest.raises(ValueError, match="too small for float32"):
        fb.Trainer(net).step(X, y, np.full(4, weight))
    np.testing.assert_array_equal(net.params, before)
    net.fit(X, y, sample_weight=[weight, 1, 1, 1])
    fb.Sequential(fb.Input(2), fb.Dense(1), dtype="float64").fit(X, y, sample_weight=np.full(4, weight))


# Fits that go on


def noise_of(net: fb.Model, fits: int, **settings) -> list[float]:
    drawn: list[float] = []

    def augment(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        drawn.append(rng.normal())
        return X, y

    for _ in range(fits):
        net.fit(np.ones((4, 2)), np.ones(4), augment=augment, **settings)
    return drawn


def test_a_second_fit_does_not_repeat_the_draws_of_the_first() -> None:
    def net() -> fb.Model:
        return fb.Sequential(fb.Input(2), fb.Dense(1), seed=3)

    drawn = noise_of(net(), 3)
    assert len(set(drawn)) == 3
    assert noise_of(net(), 3) == drawn
    assert noise_of(net(), 1, seed=3) == drawn[:1]
    assert len(set(noise_of(net(), 3, seed=3))) == 1
    orders = []
    again = net()
    for _ in range(2):
        trainer = fb.Trainer(again)
        trainer.fit(np.ones((50, 2)), np.ones(50))
        orders.append(trainer.rng.random())
    assert orders[0] != orders[1]


# Penalties by rows, and batches that are put together


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_steps_by_hand_are_those_of_a_trainer(accumulate: int, dtype: np.dtype) -> None:
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    nets = [fb.Sequential(fb.Input(4), fb.Dense(5, "tanh"), fb.Dense(2), dtype=dtype, seed=0) for _ in range(2)]
    optimizers = [fb.SGD(0.1, momentum=0.9, l2_by_rows=2.0, accumulate=accumulate) for _ in range(2)]
    trainer = fb.Trainer(nets[0], "mse", optimizers[0])
    for n in range(0, 30, 5):
        trainer.step(X[n : n + 5], y[n : n + 5])
        _, dout = fb.losses.mse(nets[1].forward(X[n : n + 5]), y[n : n + 5].astype(dtype))
        nets[1].backward(dout)
        optimizers[1].step(nets[1])
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_gradients_put_together_are_those_of_the_whole_batch() -> None:
    """By the optimizer, and by `backward(accumulate=True)`; with a penalty that counts rows."""
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 1))
    nets = [fb.Sequential(fb.Input(4), fb.Dense(1), dtype="float64", seed=0) for _ in range(3)]
    fb.Trainer(nets[0], "mse", fb.SGD(0.1, l2_by_rows=3.0)).step(X, y)
    parts = fb.Trainer(nets[1], "mse", fb.SGD(0.1, l2_by_rows=3.0, accumulate=3))
    for n in range(0, 12, 4):
        parts.step(X[n : n + 4], y[n : n + 4])
        _, dout = fb.losses.mse(nets[2].forward(X[n : n + 4]), y[n : n + 4])
        nets[2].backward(dout / 3, accumulate=n > 0)
    fb.SGD(0.1, l2_by_rows=3.0).step(nets[2])
    for net in nets[1:]:
        np.testing.assert_allclose(net.params, nets[0].params, rtol=0, atol=1e-15)
