"""Training: fit, Trainer and the loop by hand are the same bits; history, callbacks, weights, seeds, interruption.

The loop by hand is the specification: everything faster is compared with it for equality, not for closeness.
"""

import json
import pickle
import sys
import threading
import types

import numpy as np
import pytest
import reference

import fastbp as fb
from fastbp import _engine

OPTIMIZERS = {
    "sgd": lambda: fb.SGD(lr=0.05),
    "momentum": lambda: fb.SGD(lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda: fb.SGD(lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda: fb.Adam(lr=0.01, weight_decay=0.01),
    "adamw": lambda: fb.AdamW(lr=0.01),
}
TARGETS = [
    (name, kind)
    for name in sorted(_engine.LOSSES)
    for kind in ("indices", "values")
    if getattr(_engine.LOSSES[name], kind)
]


def small_net(dtype: str = "float64", dropout: float = 0.0, seed: int = 5) -> fb.Sequential:
    layers = [fb.Dense(7, activation="tanh"), fb.Dense(5, activation="relu"), fb.Dense(3)]
    if dropout:
        layers.insert(1, fb.Dropout(dropout))
    return fb.Sequential(fb.Input(4), *layers, dtype=dtype, seed=seed)


def small_data(kind: str = "values", rows: int = 53) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(rows, 4))
    return X, rng.integers(3, size=rows) if kind == "indices" else reference.softmax(
        rng.normal(size=(rows, 3))
    )


def by_hand(
    net, X, y, loss: str, optimizer, epochs: int, batch_size: int, seed: int, weights=None
) -> list[float]:
    """The specification of fit; the mean loss of each epoch."""
    rng, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        total = 0.0
        for xb, index in fb.batches(X, np.arange(len(X)), batch_size, seed=rng):
            out = net.forward(xb)
            w = None if weights is None else weights[index]
            value, dout = getattr(fb.losses, loss)(out, y[index], sample_weight=w)
            net.backward(dout)
            optimizer.step(net)
            total += value * len(xb)
        losses.append(total / len(X))
    return losses


class Recorder(fb.Callback):
    """Writes down every call, and what the parameters were after each epoch."""

    def __init__(self) -> None:
        self.calls, self.params = [], []

    def on_train_begin(self, trainer, history) -> None:
        self.calls.append("train begin")

    def on_train_end(self, trainer, history) -> None:
        self.calls.append("train end")

    def on_epoch_begin(self, trainer, epoch) -> None:
        self.calls.append(f"epoch {epoch} begin")

    def on_epoch_end(self, trainer, epoch, logs) -> None:
        self.calls.append(f"epoch {epoch} end")
        self.params.append(trainer.net.params.copy())


class BatchRecorder(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.losses = []

    def on_batch_end(self, trainer, batch, logs) -> None:
        self.calls.append(f"batch {batch}")
        self.losses.append(logs["loss"])


# fit, Trainer and the loop by hand


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("loss", "kind"), TARGETS)
def test_fit_is_the_loop_by_hand(optimizer: str, loss: str, kind: str, dtype: np.dtype) -> None:
    X, y = small_data(kind)
    hand, fitted = small_net(str(dtype)), small_net(str(dtype))
    losses = by_hand(hand, X, y, loss, OPTIMIZERS[optimizer](), epochs=3, batch_size=10, seed=4)
    history = fitted.fit(X, y, loss=loss, optimizer=OPTIMIZERS[optimizer](), epochs=3, batch_size=10, seed=4)
    np.testing.assert_array_equal(fitted.params, hand.params)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16, 52, 53, 54, 1000])
def test_every_batch_size(batch_size: int, dtype: np.dtype) -> None:
    X, y = small_data()
    hand, fitted = small_net(str(dtype)), small_net(str(dtype))
    by_hand(hand, X, y, "mse", fb.Adam(), epochs=2, batch_size=batch_size, seed=4)
    fitted.fit(X, y, loss="mse", optimizer=fb.Adam(), epochs=2, batch_size=batch_size, seed=4)
    np.testing.assert_array_equal(fitted.params, hand.params)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_batches_beyond_any_block_of_rows(dropout: float, dtype: np.dtype) -> None:
    X, y = small_data(rows=2700)
    hand, fitted = small_net(str(dtype), dropout), small_net(str(dtype), dropout)
    by_hand(hand, X, y, "mse", fb.Adam(), epochs=2, batch_size=1300, seed=4)
    fitted.fit(X, y, loss="mse", optimizer=fb.Adam(), epochs=2, batch_size=1300, seed=4)
    np.testing.assert_array_equal(fitted.params, hand.params)


def test_dropout_draws_the_same_masks(dtype: np.dtype) -> None:
    X, y = small_data()
    hand, fitted, stepped = (small_net(str(dtype), dropout=0.4) for _ in range(3))
    by_hand(hand, X, y, "mse", fb.Adam(), epochs=3, batch_size=10, seed=4)
    fitted.fit(X, y, optimizer=fb.Adam(), epochs=3, batch_size=10, seed=4)
    np.testing.assert_array_equal(fitted.params, hand.params)
    trainer, rng = fb.Trainer(stepped, optimizer=fb.Adam()), np.random.default_rng(4)
    for _ in range(3):
        for xb, yb in fb.batches(X, y, 10, seed=rng):
            trainer.step(xb, yb)
    np.testing.assert_array_equal(stepped.params, hand.params)
    assert hand.draws == fitted.draws == stepped.draws == 18


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trainer_steps_are_the_loop_by_hand(optimizer: str, dtype: np.dtype) -> None:
    X, y = small_data("indices")
    hand, stepped = small_net(str(dtype)), small_net(str(dtype))
    opt, trainer = (
        OPTIMIZERS[optimizer](),
        fb.Trainer(stepped, loss="cross_entropy", optimizer=OPTIMIZERS[optimizer]()),
    )
    for xb, yb in fb.batches(X, y, 9, seed=1):
        value, dout = fb.losses.cross_entropy(hand.forward(xb), yb)
        hand.backward(dout)
        opt.step(hand)
        loss = trainer.step(xb, yb)
        assert isinstance(loss, float)
        assert loss == value
        np.testing.assert_array_equal(stepped.params, hand.params)


def test_steps_with_weights(dtype: np.dtype, rng: np.random.Generator) -> None:
    X, y = small_data()
    w = rng.uniform(0, 2, size=len(X)).astype(dtype)
    hand, stepped = small_net(str(dtype)), small_net(str(dtype))
    trainer, opt = fb.Trainer(stepped, loss="mse", optimizer="sgd"), fb.SGD()
    for _ in range(3):
        value, dout = fb.losses.mse(hand.forward(X), y, sample_weight=w)
        hand.backward(dout)
        opt.step(hand)
        assert trainer.step(X, y, sample_weight=w) == value
    np.testing.assert_array_equal(stepped.params, hand.params)


def test_the_fit_follows_the_reference(rng: np.random.Generator) -> None:
    """Not our own loop this time: the plain-NumPy net, loss and rule."""
    X, y = small_data("indices")
    net = small_net()
    mirror, layers = reference.mirror(net)
    p = net.params.copy()
    chain = reference.Chain([("adam", (0.9, 0.999, 1e-8))], [2], len(p))
    order = np.random.default_rng(4)
    for _ in range(3):
        permutation = order.permutation(len(X))
        for first in range(0, len(X), 10):
            index = permutation[first : first + 10]
            (Y,) = mirror.forward(X[index])
            _, gradients = mirror.backward(reference.loss("cross_entropy", Y, y[index])[1])
            g = np.concatenate([part.ravel() for key in range(len(layers)) for part in gradients[key]])
            p = chain.step(p, g, 0.01)
            offset = 0
            for op in mirror.ops:
                for A in (op.W, op.b):
                    A[...] = p[offset : offset + A.size].reshape(A.shape)
                    offset += A.size
    net.fit(X, y, loss="cross_entropy", optimizer=fb.Adam(lr=0.01), epochs=3, batch_size=10, seed=4)
    np.testing.assert_allclose(net.params, p, rtol=0, atol=1e-11)


def test_no_shuffle_is_the_order_of_the_rows(dtype: np.dtype) -> None:
    X, y = small_data()
    fitted, stepped = small_net(str(dtype)), small_net(str(dtype))
    fitted.fit(X, y, optimizer="sgd", epochs=2, batch_size=10, shuffle=False)
    trainer = fb.Trainer(stepped, optimizer="sgd")
    for _ in range(2):
        for first in range(0, len(X), 10):
            trainer.step(X[first : first + 10], y[first : first + 10])
    np.testing.assert_array_equal(fitted.params, stepped.params)


def test_a_trainer_goes_on_where_it_was(dtype: np.dtype) -> None:
    X, y = small_data()
    once, twice = small_net(str(dtype), dropout=0.3), small_net(str(dtype), dropout=0.3)
    fb.Trainer(once, optimizer="adam").fit(X, y, epochs=5, batch_size=10)
    trainer = fb.Trainer(twice, optimizer="adam")
    trainer.fit(X, y, epochs=2, batch_size=10)
    trainer.fit(X, y, epochs=3, batch_size=10)
    np.testing.assert_array_equal(once.params, twice.params)


def test_seeds_reproduce(dtype: np.dtype) -> None:
    X, y = small_data()

    def fitted(net_seed: int, seed: int | None) -> np.ndarray:
        net = small_net(str(dtype), dropout=0.3, seed=net_seed)
        net.fit(X, y, epochs=2, batch_size=10, seed=seed)
        return net.params

    np.testing.assert_array_equal(fitted(1, 2), fitted(1, 2))
    np.testing.assert_array_equal(fitted(1, None), fitted(1, None))
    assert not np.array_equal(fitted(1, 2), fitted(1, 3))
    assert not np.array_equal(fitted(1, None), fitted(2, None))


def test_the_dtype_of_the_data_does_not_matter(dtype: np.dtype) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(-3, 4, size=(30, 4)), rng.integers(3, size=30)
    nets = []
    for source, labels in (
        (X, y),
        (X.astype(np.float32), y.astype(np.uint8)),
        (np.asfortranarray(X), y.tolist()),
    ):
        nets.append(small_net(str(dtype)))
        nets[-1].fit(source, labels, loss="cross_entropy", epochs=2, batch_size=8, seed=3)
    for net in nets[1:]:
        np.testing.assert_array_equal(net.params, nets[0].params)


def test_pandas_data(rng: np.random.Generator) -> None:
    import pandas

    X, y = small_data("indices")
    plain, framed = small_net(), small_net()
    plain.fit(X, y, loss="cross_entropy", epochs=2, seed=3)
    framed.fit(
        pandas.DataFrame(X),
        pandas.Series(y, index=np.arange(53)[::-1]),
        loss="cross_entropy",
        epochs=2,
        seed=3,
    )
    np.testing.assert_array_equal(plain.params, framed.params)


def test_threads_may_be_named(dtype: np.dtype) -> None:
    X, y = small_data()
    nets = [small_net(str(dtype)) for _ in range(3)]
    for net, threads in zip(nets, (None, 1, 2), strict=True):
        net.fit(X, y, epochs=2, seed=3, threads=threads)
        np.testing.assert_array_equal(net.params, nets[0].params)


def test_it_learns() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    net = fb.Sequential(fb.Input(2), fb.Dense(16, activation="tanh"), fb.Dense(2), seed=0)
    history = net.fit(
        X, y, loss="cross_entropy", optimizer=fb.Adam(lr=0.02), epochs=60, metrics=["accuracy"], seed=0
    )
    assert history.history["accuracy"][0] < 0.8
    assert history.history["accuracy"][-1] > 0.97
    assert net.evaluate(X, y, loss="cross_entropy", metrics=["accuracy"])["accuracy"] > 0.97


# Losses in Python, several outputs


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_callable_loss_is_the_same_bits(optimizer: str, dtype: np.dtype) -> None:
    X, y = small_data("indices")

    def own(Y: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
        return fb.losses.cross_entropy(Y, t)

    native, slow = (small_net(str(dtype), dropout=0.3) for _ in range(2))
    settings = {"optimizer": optimizer, "epochs": 3, "batch_size": 10, "seed": 4, "metrics": ["accuracy"]}
    first = native.fit(X, y, loss="cross_entropy", validation_data=(X[:9], y[:9]), **settings)
    second = slow.fit(X, y, loss=own, validation_data=(X[:9], y[:9]), **settings)
    np.testing.assert_array_equal(native.params, slow.params)
    assert first.history == second.history


def test_a_callable_loss_in_plain_numpy() -> None:
    X, y = small_data()
    native, slow = small_net(), small_net()

    def half(Y: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((Y - t) ** 2).sum() / 2), Y - t

    slow.fit(X, y, loss=half, optimizer="sgd", epochs=2, batch_size=53, shuffle=False)
    native.fit(
        X, y, loss="mse", optimizer=fb.SGD(lr=1e-2 * 53 * 3 / 2), epochs=2, batch_size=53, shuffle=False
    )
    np.testing.assert_allclose(slow.params, native.params, rtol=0, atol=1e-11)
    value, g = slow.value_and_grad(slow.params.copy(), X, y, loss=half)
    assert value == pytest.approx(((slow.predict(X) - y) ** 2).sum() / 2)
    reference.assert_gradient(lambda p: slow.value_and_grad(p, X, y, loss=half)[0], slow.params.copy(), g)


def test_several_outputs_are_trained_on_the_sum(
    dtype: np.dtype, tolerance: float, rng: np.random.Generator
) -> None:
    def build() -> fb.Model:
        x = fb.Input(4)
        h = fb.Dense(7, activation="tanh")(x)
        return fb.Model(x, [fb.Dense(3)(h), fb.Dense(2)(h)], dtype=str(dtype), seed=1)

    X, labels, values = rng.normal(size=(30, 4)), rng.integers(3, size=30), rng.normal(size=(30, 2))
    fused, hand = build(), build()
    trainer, opt = fb.Trainer(fused, loss=("cross_entropy", "mse"), optimizer="sgd"), fb.SGD()
    for _ in range(3):
        one, two = hand.forward(X)
        (a, da), (b, db) = fb.losses.cross_entropy(one, labels), fb.losses.mse(two, values)
        hand.backward((da, db))
        opt.step(hand)
        assert trainer.step(X, (labels, values)) == pytest.approx(a + b, rel=1e-6)
        np.testing.assert_allclose(fused.params, hand.params, rtol=0, atol=tolerance)
    history = fused.fit(X, (labels, values), loss=("cross_entropy", "mse"), epochs=2, batch_size=8, seed=1)
    assert len(history.history["loss"]) == 2
    assert trainer.evaluate(X, (labels, values))["loss"] > 0


def test_several_inputs(dtype: np.dtype, rng: np.random.Generator) -> None:
    def build() -> fb.Model:
        a, b = fb.Input(4), fb.Input(6)
        return fb.Model([a, b], [fb.Dense(3)(a), fb.Dense(2, activation="tanh")(b)], dtype=str(dtype), seed=1)

    A, B, s, t = (rng.normal(size=(25, width)) for width in (4, 6, 3, 2))
    fitted, stepped = build(), build()
    fitted.fit((A, B), (s, t), loss=("mse", "mse"), optimizer="sgd", epochs=2, batch_size=8, seed=3)
    trainer, order = fb.Trainer(stepped, loss=("mse", "mse"), optimizer="sgd"), np.random.default_rng(3)
    for _ in range(2):
        for xb, yb in fb.batches((A, B), (s, t), 8, seed=order):
            trainer.step(xb, yb)
    np.testing.assert_array_equal(fitted.params, stepped.params)


# Weights


@pytest.mark.parametrize(("loss", "kind"), TARGETS)
def test_sample_weight_is_the_loop_by_hand(
    loss: str, kind: str, dtype: np.dtype, rng: np.random.Generator
) -> None:
    X, y = small_data(kind)
    w = rng.uniform(0, 2, size=len(X)).astype(dtype)
    hand, fitted = small_net(str(dtype)), small_net(str(dtype))
    by_hand(hand, X, y, loss, fb.Adam(), epochs=2, batch_size=10, seed=4, weights=w)
    fitted.fit(X, y, loss=loss, optimizer=fb.Adam(), epochs=2, batch_size=10, seed=4, sample_weight=w)
    np.testing.assert_array_equal(fitted.params, hand.params)


def test_a_weight_counts_as_so_many_rows(rng: np.random.Generator) -> None:
    X, y = small_data("indices", rows=12)
    counts = np.array([1, 2, 0, 3] * 3)
    weighted, repeated = small_net(), small_net()
    settings = {"loss": "cross_entropy", "optimizer": "sgd", "epochs": 3, "batch_size": 100, "shuffle": False}
    weighted.fit(X, y, sample_weight=counts, **settings)
    repeated.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), **settings)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_batches_without_any_weight_do_no_harm(batch_size: int, dtype: np.dtype) -> None:
    X, y = small_data("indices", rows=12)
    weights = np.where(np.arange(12) < 8, 0.0, 1.0)
    net, rest = small_net(str(dtype)), small_net(str(dtype))
    settings = {
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "epochs": 2,
        "batch_size": batch_size,
        "shuffle": False,
    }
    net.fit(X, y, sample_weight=weights, **settings)
    rest.fit(X[8:], y[8:], **settings)
    np.testing.assert_allclose(net.params, rest.params, rtol=1e-6, atol=1e-6)


def test_class_weight_is_a_sample_weight(dtype: np.dtype) -> None:
    X, y = small_data("indices")
    nets = [small_net(str(dtype)) for _ in range(4)]
    settings = {"loss": "cross_entropy", "epochs": 2, "batch_size": 10, "seed": 4}
    nets[0].fit(X, y, class_weight={0: 2.0, 1: 0.5, 2: 3.0}, **settings)
    nets[1].fit(X, y, sample_weight=np.array([2.0, 0.5, 3.0])[y], **settings)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    nets[2].fit(X, y, class_weight={2: 4.0}, sample_weight=np.arange(53), **settings)
    nets[3].fit(X, y, sample_weight=np.array([1.0, 1.0, 4.0])[y] * np.arange(53), **settings)
    np.testing.assert_array_equal(nets[2].params, nets[3].params)


def test_balanced_classes_weigh_the_same() -> None:
    X, _ = small_data()
    y = np.array([0] * 40 + [1] * 10 + [2] * 3)
    balanced, by_hand_ = small_net(), small_net()
    settings = {"loss": "cross_entropy", "epochs": 2, "batch_size": 10, "seed": 4}
    balanced.fit(X, y, class_weight="balanced", **settings)
    by_hand_.fit(X, y, sample_weight=(53 / (3 * np.bincount(y)))[y], **settings)
    np.testing.assert_allclose(balanced.params, by_hand_.params, rtol=0, atol=1e-13)


# What comes back


def test_the_history_is_that_of_keras() -> None:
    X, y = small_data("indices")
    net, Xv, yv = small_net(), X[:11] + 1, y[:11]
    recorder = Recorder()
    settings = {"loss": "cross_entropy", "metrics": ["accuracy"]}
    history = net.fit(
        X, y, epochs=4, batch_size=10, validation_data=(Xv, yv), callbacks=[recorder], seed=1, **settings
    )
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1, 2, 3]
    assert all(
        len(values) == 4 and all(type(v) is float for v in values) for values in history.history.values()
    )
    for epoch, params in enumerate(recorder.params):
        net.params[...] = params
        wanted = net.evaluate(Xv, yv, **settings)
        assert history.history["val_loss"][epoch] == wanted["loss"]
        assert history.history["val_accuracy"][epoch] == wanted["accuracy"]
    assert history.seconds > 0
    assert history.samples_per_second > 0
    frame = history.to_frame()
    assert list(frame.columns) == list(history.history)
    assert frame.shape == (4, 4)


def test_training_metrics_are_of_the_passes_of_the_epoch() -> None:
    """One batch an epoch and a small step: the outputs before the update are those that are measured."""
    X, y = small_data("indices")
    net = small_net()
    before = net.evaluate(X, y, loss="cross_entropy", metrics=["accuracy"])
    history = net.fit(X, y, loss="cross_entropy", epochs=1, batch_size=53, metrics=["accuracy"], seed=1)
    assert history.history["accuracy"] == [before["accuracy"]]
    assert history.history["loss"][0] == pytest.approx(before["loss"], rel=1e-12)


def test_evaluation_and_validation_with_weights(rng: np.random.Generator) -> None:
    X, y = small_data()
    w = rng.uniform(0, 2, size=53)
    net = small_net()
    wanted = reference.loss("mse", net.predict(X), y, w)[0]
    assert net.evaluate(X, y, loss="mse", sample_weight=w)["loss"] == pytest.approx(wanted, rel=1e-12)
    history = net.fit(X, y, loss="mse", optimizer=fb.SGD(lr=0.0), validation_data=(X, y, w))
    assert history.history["val_loss"][0] == pytest.approx(wanted, rel=1e-12)


def test_evaluation_is_without_dropout() -> None:
    X, y = small_data()
    net, plain = small_net(dropout=0.5), small_net()
    plain.params[...] = net.params
    assert net.evaluate(X, y, loss="mse") == plain.evaluate(X, y, loss="mse")
    assert net.draws == 0


def test_training_leaves_its_arguments_alone() -> None:
    X, y = small_data()
    kept_X, kept_y = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    net = small_net()
    net.fit(X, y, epochs=2, seed=1)
    fb.Trainer(net).step(X, y)
    np.testing.assert_array_equal(X, kept_X)
    np.testing.assert_array_equal(y, kept_y)


def test_metrics_are_what_they_say(dtype: np.dtype, rng: np.random.Generator) -> None:
    labels, Y, y = rng.integers(3, size=20), rng.normal(size=(20, 3)).astype(dtype), rng.normal(size=(20, 3))
    assert fb.metrics.accuracy(labels, Y) == (Y.argmax(axis=1) == labels).mean()
    assert fb.metrics.accuracy(np.eye(3)[labels], Y) == fb.metrics.accuracy(labels, Y)
    assert fb.metrics.mae(y, Y) == pytest.approx(np.abs(y - Y).mean(), rel=1e-6)
    bits = rng.integers(2, size=(20, 3))
    assert fb.metrics.binary_accuracy(bits, Y) == ((Y > 0) == bits).mean()
    r2 = 1 - ((y - Y) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert fb.metrics.r2(y, Y) == pytest.approx(r2.mean(), rel=1e-5)
    assert fb.metrics.r2(y, y) == 1


def test_metrics_by_name_and_by_function() -> None:
    X, y = small_data()
    net = small_net()

    def worst(y: np.ndarray, output: np.ndarray) -> float:
        return float(np.abs(y - output).max())

    result = net.evaluate(X, y, loss="mse", metrics=["mae", "r2", worst])
    assert list(result) == ["loss", "mae", "r2", "worst"]
    assert result["worst"] == pytest.approx(np.abs(net.predict(X) - y).max())
    assert result["mae"] == pytest.approx(np.abs(net.predict(X) - y).mean())


def test_accuracy_of_logits_of_two_classes() -> None:
    X, _ = small_data()
    net = fb.Sequential(fb.Input(4), fb.Dense(1), dtype="float64", seed=1)
    y = (net.predict(X)[:, 0] > 0).astype(float)
    y[:13] = 1 - y[:13]
    result = net.evaluate(X, y, loss="binary_cross_entropy", metrics=["accuracy"])
    assert result["accuracy"] == pytest.approx(40 / 53)


# Batches


def test_batches_cover_the_rows_once() -> None:
    X, y = np.arange(46).reshape(23, 2), np.arange(23)
    seen = list(fb.batches(X, y, 5, seed=3))
    assert [len(xb) for xb, _ in seen] == [5, 5, 5, 5, 3]
    assert all((xb[:, 0] == 2 * yb).all() for xb, yb in seen)
    np.testing.assert_array_equal(
        np.concatenate([yb for _, yb in seen]), np.random.default_rng(3).permutation(23)
    )
    assert [len(xb) for xb, _ in fb.batches(X, y, 5, seed=3, drop_last=True)] == [5, 5, 5, 5]
    in_order = np.concatenate([yb for _, yb in fb.batches(X, y, 5, shuffle=False)])
    np.testing.assert_array_equal(in_order, y)


def test_batches_take_a_generator_on() -> None:
    X, rng = np.arange(23).reshape(23, 1), np.random.default_rng(3)
    orders = [np.concatenate([yb for _, yb in fb.batches(X, X[:, 0], 5, seed=rng)]) for _ in range(2)]
    again = np.random.default_rng(3)
    np.testing.assert_array_equal(orders[0], again.permutation(23))
    np.testing.assert_array_equal(orders[1], again.permutation(23))


# Callbacks


def test_hooks_are_called_in_order() -> None:
    X, y = small_data(rows=25)
    recorder = BatchRecorder()
    history = small_net().fit(X, y, epochs=2, batch_size=10, callbacks=[recorder])
    one = ["batch 0", "batch 1", "batch 2"]
    wanted = [
        "train begin",
        "epoch 0 begin",
        *one,
        "epoch 0 end",
        "epoch 1 begin",
        *one,
        "epoch 1 end",
        "train end",
    ]
    assert recorder.calls == wanted
    means = [np.dot(recorder.losses[k : k + 3], [10, 10, 5]) / 25 for k in (0, 3)]
    np.testing.assert_allclose(history.history["loss"], means, rtol=1e-12)


def test_a_callback_changes_no_bit(dtype: np.dtype) -> None:
    X, y = small_data()
    nets = [small_net(str(dtype), dropout=0.3) for _ in range(3)]
    for net, callbacks in zip(nets, ([], [Recorder()], [BatchRecorder(), Recorder()]), strict=True):
        net.fit(X, y, epochs=3, batch_size=10, seed=3, callbacks=callbacks, metrics=["mae"])
        np.testing.assert_array_equal(net.params, nets[0].params)


@pytest.mark.parametrize(
    ("hook", "epochs"),
    [("on_train_begin", 0), ("on_epoch_begin", 2), ("on_epoch_end", 3), ("on_batch_end", 3)],
)
def test_true_from_a_hook_stops(hook: str, epochs: int) -> None:
    X, y = small_data()

    class Stop(Recorder):
        pass

    def stop(self, trainer, position, logs=None) -> bool:
        return hook == "on_train_begin" or len(self.params) == 2

    setattr(Stop, hook, stop)
    recorder = Stop()
    if hook == "on_epoch_end":
        calls = iter([False, False, True, True])
        setattr(Stop, hook, lambda self, trainer, epoch, logs: next(calls))
    history = small_net().fit(X, y, epochs=9, batch_size=10, callbacks=[recorder])
    assert len(history.epoch) == epochs
    assert recorder.calls[-1] == "train end"


def test_a_hook_may_change_the_learning_rate() -> None:
    X, y = small_data()

    class Off(fb.Callback):
        def on_epoch_end(self, trainer, epoch, logs) -> None:
            trainer.optimizer.lr = 0.0

    once, more = small_net(), small_net()
    once.fit(X, y, optimizer=fb.SGD(lr=0.1), epochs=1, seed=3)
    more.fit(X, y, optimizer=fb.SGD(lr=0.1), epochs=4, seed=3, callbacks=[Off()])
    np.testing.assert_array_equal(once.params, more.params)


def test_an_error_in_a_hook_comes_out() -> None:
    X, y = small_data()

    class Fails(fb.Callback):
        def on_epoch_end(self, trainer, epoch, logs) -> None:
            raise LookupError("mine")

    net = small_net()
    with pytest.raises(LookupError, match="mine"):
        net.fit(X, y, callbacks=[Fails()])
    net.fit(X, y)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_early_stopping_waits_its_patience(patience: int) -> None:
    X, y = small_data()
    stopping = fb.EarlyStopping(patience=patience)
    history = small_net().fit(
        X, y, optimizer=fb.SGD(lr=0.0), epochs=50, validation_data=(X, y), callbacks=[stopping], seed=3
    )
    assert len(history.epoch) == 1 + patience


@pytest.mark.parametrize("restore_best", [False, True])
def test_early_stopping_restores_the_best(restore_best: bool, dtype: np.dtype) -> None:
    """The validation targets are turned round, so the better the fit, the worse they are met."""
    X, y = small_data()
    recorder = Recorder()
    net = small_net(str(dtype))
    history = net.fit(
        X,
        y + 2,
        optimizer=fb.SGD(lr=0.005),
        epochs=60,
        validation_data=(X, y + 0.5),
        callbacks=[recorder, fb.EarlyStopping(patience=3, restore_best=restore_best)],
        seed=3,
    )
    best = int(np.argmin(history.history["val_loss"]))
    assert 0 < best == len(history.epoch) - 4 < 50
    np.testing.assert_array_equal(net.params, recorder.params[best if restore_best else -1])


def test_early_stopping_watches_the_loss_without_validation() -> None:
    X, y = small_data()
    history = small_net().fit(
        X,
        y,
        optimizer=fb.SGD(lr=0.0),
        epochs=50,
        batch_size=53,
        callbacks=[fb.EarlyStopping(patience=2)],
        shuffle=False,
    )
    assert len(history.epoch) == 3


@pytest.mark.parametrize("mode", ["auto", "max"])
def test_early_stopping_wants_more_accuracy(mode: str) -> None:
    X, _ = small_data()
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    recorder = Recorder()
    net = small_net()
    history = net.fit(
        X,
        y,
        loss="cross_entropy",
        optimizer=fb.Adam(lr=0.02),
        epochs=200,
        validation_data=(X, y),
        metrics=["accuracy"],
        callbacks=[recorder, fb.EarlyStopping("val_accuracy", patience=4, mode=mode, restore_best=True)],
        seed=3,
    )
    values = history.history["val_accuracy"]
    best = int(np.argmax(values))
    assert 0 < best == len(values) - 5
    np.testing.assert_array_equal(net.params, recorder.params[best])


def test_early_stopping_wants_min_delta() -> None:
    X, y = small_data()
    history = small_net().fit(
        X,
        y,
        optimizer=fb.SGD(lr=1e-5),
        epochs=50,
        validation_data=(X, y),
        callbacks=[fb.EarlyStopping(patience=3, min_delta=0.1)],
        seed=3,
    )
    values = history.history["val_loss"]
    assert values[-1] < values[0]
    assert len(values) == 4


def test_early_stopping_may_be_used_twice() -> None:
    X, y = small_data()
    stopping = fb.EarlyStopping(patience=2, restore_best=True)
    for _ in range(2):
        history = small_net().fit(
            X, y, optimizer=fb.SGD(lr=0.0), epochs=9, validation_data=(X, y), callbacks=[stopping]
        )
        assert len(history.epoch) == 3


# Progress


def test_progress_is_a_line_an_epoch_on_standard_error(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    X, y = small_data("indices")
    small_net().fit(X, y, loss="cross_entropy", epochs=3, metrics=["accuracy"], progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 3
    assert all("loss" in line and "accuracy" in line and f"{k}/3" in line for k, line in enumerate(lines, 1))


def test_progress_is_one_refreshing_line_on_a_terminal(capsys, monkeypatch) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    X, y = small_data()
    small_net().fit(X, y, epochs=3, progress=True)
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert err.startswith("\r")
    assert "3/3" in err.rsplit("\r", 1)[1]


def test_progress_is_a_bar_where_tqdm_is_installed(monkeypatch) -> None:
    class Bar:
        made = []

        def __init__(self, **settings) -> None:
            self.total, self.n, self.closed = settings["total"], 0, False
            Bar.made.append(self)

        def update(self, count: int) -> None:
            self.n += count

        def close(self) -> None:
            self.closed = True

        def set_description(self, *_, **__) -> None: ...
        def set_postfix_str(self, *_, **__) -> None: ...

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    X, y = small_data()
    small_net().fit(X, y, epochs=3, batch_size=10, progress=True)
    (bar,) = Bar.made
    assert bar.n == bar.total == 3 * 53
    assert bar.closed


def test_a_frame_without_pandas_is_a_clear_error(monkeypatch) -> None:
    X, y = small_data()
    history = small_net().fit(X, y)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        history.to_frame()


@pytest.mark.parametrize(
    "thing", [*(make() for make in OPTIMIZERS.values()), fb.losses.mse, fb.EarlyStopping()]
)
def test_what_configures_training_can_be_pickled(thing) -> None:
    again = pickle.loads(pickle.dumps(thing))
    assert type(again) is type(thing)
    assert getattr(again, "settings", None) == getattr(thing, "settings", None)


def test_no_progress_is_silence(capsys) -> None:
    X, y = small_data()
    small_net().fit(X, y, epochs=3)
    assert capsys.readouterr() == ("", "")


def test_progress_changes_no_bit(capsys, dtype: np.dtype) -> None:
    X, y = small_data()
    shown, silent = small_net(str(dtype)), small_net(str(dtype))
    shown.fit(X, y, epochs=2, seed=1, progress=True)
    silent.fit(X, y, epochs=2, seed=1, progress=False)
    np.testing.assert_array_equal(shown.params, silent.params)


# When things go wrong


@pytest.mark.parametrize(
    "optimizer", [fb.SGD(lr=1e30), fb.SGD(lr=1e8, momentum=0.9), fb.Adam(lr=1e120), fb.AdamW(lr=1e120)]
)
def test_divergence_leaves_finite_parameters(optimizer, dtype: np.dtype) -> None:
    X, y = small_data()
    net = fb.Sequential(fb.Input(4), fb.Dense(7), fb.Dense(5), fb.Dense(3), dtype=str(dtype), seed=1)
    with pytest.raises(
        fb.DivergenceError, match=r"step \d+ \(epoch \d+, batch \d+\).*learning rate"
    ) as caught:
        net.fit(X * 10, y, loss="mse", optimizer=optimizer, epochs=500, batch_size=10, seed=1)
    assert isinstance(caught.value, FloatingPointError)
    assert isinstance(caught.value, ValueError)
    assert np.isfinite(net.params).all()
    assert net.predict(X).shape == (53, 3)


def test_a_nan_loss_changes_nothing(dtype: np.dtype) -> None:
    X, y = small_data()
    X[17, 2] = np.nan
    net, clean = small_net(str(dtype)), small_net(str(dtype))
    clean.fit(X[:10], y[:10], optimizer=fb.SGD(), epochs=1, batch_size=10, shuffle=False)
    with pytest.raises(fb.DivergenceError, match=r"nan at step 2 \(epoch 1, batch 2\)"):
        net.fit(X, y, optimizer=fb.SGD(), epochs=3, batch_size=10, shuffle=False, check_finite=False)
    np.testing.assert_array_equal(net.params, clean.params)


def test_a_callable_loss_that_is_nan_changes_nothing() -> None:
    X, y = small_data()
    net = small_net()
    before = net.params.copy()
    trainer = fb.Trainer(net, loss=lambda Y, t: (float("nan"), Y - t), optimizer="sgd")
    with pytest.raises(fb.DivergenceError):
        trainer.step(X, y)
    np.testing.assert_array_equal(net.params, before)


def test_a_step_that_diverges_raises() -> None:
    X, y = small_data()
    net = small_net()
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(lr=1e200))
    with pytest.raises(fb.DivergenceError, match="step"):
        for _ in range(10):
            trainer.step(X, y)
    assert np.isfinite(net.params).all()


def test_an_optimizer_step_by_hand_that_diverges_raises() -> None:
    net = small_net()
    before = net.params.copy()
    net.grads[...] = np.nan
    with pytest.raises(fb.DivergenceError):
        fb.SGD().step(net)
    np.testing.assert_array_equal(net.params, before)


INTERRUPTED = """
import json, os, signal, threading, time
import numpy as np, fastbp as fb

X = np.random.default_rng(0).normal(size=(200_000, 8)).astype("float32")
net = fb.Sequential(fb.Input(8), fb.Dense(16, activation="tanh"), fb.Dense(3), seed=0)
start = net.params.copy()
sent = []

def interrupt():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.5, interrupt).start()
try:
    net.fit(X, X[:, :3], optimizer=fb.SGD(lr=1e-3), epochs=10_000, batch_size=BATCH)
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    waited = time.perf_counter() - sent[0]
moved = bool((net.params != start).any())
finite = bool(np.isfinite(net.params).all() and np.isfinite(net.predict(X[:5])).all())
again = net.fit(X[:100], X[:100, :3], epochs=2).history["loss"]
print(json.dumps({"waited": waited, "moved": moved, "finite": finite, "epochs": len(again)}))
"""


@pytest.mark.parametrize("batch_size", [1, 100_000])
def test_control_c_works(batch_size: int, python) -> None:
    done = python("-c", INTERRUPTED.replace("BATCH", str(batch_size)), timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["waited"] < 1.0
    assert result["moved"]
    assert result["finite"]
    assert result["epochs"] == 2


FORKED = """
import os, sys
import numpy as np, fastbp as fb

rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 4)), rng.normal(size=(60, 3))
net = fb.Sequential(fb.Input(4), fb.Dense(7, activation="tanh"), fb.Dense(3), dtype="float64", seed=0)
trainer = fb.Trainer(net, optimizer="adam")
trainer.fit(X, y, epochs=2)
reader, writer = os.pipe()
child = os.fork()
trainer.fit(X, y, epochs=3)
if child == 0:
    os.write(writer, net.params.tobytes())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert os.read(reader, 1 << 16) == net.params.tobytes()
"""


@pytest.mark.skipif("not hasattr(__import__('os'), 'fork')", reason="no fork on this platform")
def test_fork_works_after_training(python) -> None:
    done = python("-c", FORKED, timeout=30)
    assert done.returncode == 0, done.stderr


def test_threads_train_different_nets_at_once(dtype: np.dtype) -> None:
    X, y = small_data()
    together, alone = ([small_net(str(dtype), 0.2, seed) for seed in range(4)] for _ in range(2))
    threads = [
        threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 40, "seed": 1}) for net in together
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(together, alone, strict=True):
        other.fit(X, y, epochs=40, seed=1)
        np.testing.assert_array_equal(one.params, other.params)


def test_threads_on_one_net_wait_for_each_other() -> None:
    X, y = small_data(rows=500)
    net = small_net()
    wanted = {len(part): net.predict(part) for part in (X[:3], X[:500], X[:70])}
    failures = []

    def work(part: np.ndarray) -> None:
        for _ in range(100):
            if not np.array_equal(net.predict(part), wanted[len(part)]):
                failures.append(len(part))

    threads = [threading.Thread(target=work, args=(part,)) for part in (X[:3], X, X[:70])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_subnormal_numbers_work_outside_of_ours(dtype: np.dtype) -> None:
    """The engine flushes them inside its loops and must put the processor's mode back."""
    X, y = small_data()
    net = small_net(str(dtype))
    net.fit(X, y, epochs=1)
    net.backward(net.forward(X))
    fb.Adam().step(net)
    fb.functional.activation_forward(X, "tanh")
    fb.losses.mse(X, X)
    tiny = np.array([np.finfo(dtype).smallest_subnormal * 3] * 5)
    assert (tiny * np.array(1, dtype) != 0).all()
    assert float(tiny[0]) / 1 != 0
