"""Training: fit, Trainer and the loop by hand are the same bits, whatever the loss, weights and seeds.

The loop by hand is the specification: everything faster is compared with it for equality, not for
closeness.
"""

import inspect

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp.training.fit_settings import FitSettings
from nets import OPTIMIZERS, TARGETS, by_hand, small_data, small_net


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("loss", "kind"), TARGETS)
def test_fit_is_the_loop_by_hand(optimizer: str, loss: str, kind: str, dtype: np.dtype) -> None:
    X, y = small_data(kind, loss=loss)
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
    history = net.fit(X, y, loss="cross_entropy", optimizer=fb.Adam(lr=0.02), epochs=60, metrics=["accuracy"], seed=0)
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
    native.fit(X, y, loss="mse", optimizer=fb.SGD(lr=1e-2 * 53 * 3 / 2), epochs=2, batch_size=53, shuffle=False)
    np.testing.assert_allclose(slow.params, native.params, rtol=0, atol=1e-11)
    value, g = slow.value_and_grad(slow.params.copy(), X, y, loss=half)
    assert value == pytest.approx(((slow.predict(X) - y) ** 2).sum() / 2)
    reference.assert_gradient(lambda p: slow.value_and_grad(p, X, y, loss=half)[0], slow.params.copy(), g)


def test_several_outputs_are_trained_on_the_sum(dtype: np.dtype, tolerance: float, rng: np.random.Generator) -> None:
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
def test_sample_weight_is_the_loop_by_hand(loss: str, kind: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    X, y = small_data(kind, loss=loss)
    w = rng.uniform(0, 2, size=len(X)).astype(dtype)
    hand, fitted = small_net(str(dtype)), small_net(str(dtype))
    by_hand(hand, X, y, loss, fb.Adam(), epochs=2, batch_size=10, seed=4, weights=w)
    fitted.fit(X, y, loss=loss, optimizer=fb.Adam(), epochs=2, batch_size=10, seed=4, sample_weight=w)
    np.testing.assert_array_equal(fitted.params, hand.params)


def test_a_weight_counts_as_so_many_rows(rng: np.random.Generator) -> None:
    X, y = small_data("indices", rows=12)
    counts = np.array([1, 1, 0, 2] * 3)  # 1 on average
    weighted, repeated = small_net(), small_net()
    settings = {"loss": "cross_entropy", "optimizer": "sgd", "epochs": 3, "batch_size": 100, "shuffle": False}
    weighted.fit(X, y, sample_weight=counts, **settings)
    repeated.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), **settings)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_batches_without_any_weight_do_no_harm(batch_size: int, dtype: np.dtype) -> None:
    X, y = small_data("indices", rows=12)
    weights = np.where(np.arange(12) < 8, 0.0, 1.0)  # the last 4 rows make a batch of their own
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


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0, 2: 0.0}])
def test_rows_without_a_label_have_no_class(class_weight, dtype: np.dtype) -> None:
    X, _ = small_data()
    y = np.array([0.0] * 40 + [1.0] * 10 + [np.nan] * 3)
    settings = {"optimizer": "sgd", "epochs": 2, "batch_size": 10, "shuffle": False, "class_weight": class_weight}
    net, known = small_net(str(dtype)), small_net(str(dtype))
    net.fit(X, y, loss=fb.losses.CrossEntropy(mask_nan=True), **settings)
    known.fit(X[:50], y[:50].astype(int), loss="cross_entropy", **settings)
    np.testing.assert_array_equal(net.params, known.params)


def test_rows_without_a_label_have_no_class_of_one_logit(dtype: np.dtype) -> None:
    X, _ = small_data()
    y = np.array([0.0] * 40 + [1.0] * 10 + [np.nan] * 3)
    nets = [fb.Sequential(fb.Input(X.shape[1]), fb.Dense(1), dtype=str(dtype), seed=0) for _ in range(2)]
    settings = {"optimizer": "sgd", "epochs": 2, "batch_size": 10, "shuffle": False, "class_weight": "balanced"}
    nets[0].fit(X, y, loss=fb.losses.BinaryCrossEntropy(mask_nan=True), **settings)
    nets[1].fit(X[:50], y[:50], loss="binary_cross_entropy", **settings)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


@pytest.mark.parametrize("fit", [fb.Trainer.fit, fb.Sequential.fit])
def test_fits_have_one_set_of_arguments(fit) -> None:
    """The settings of a fit have the names and defaults of the arguments that users see."""
    arguments = {name: it.default for name, it in inspect.signature(fit).parameters.items()}
    assert FitSettings._field_defaults == {name: arguments.get(name, "missing") for name in FitSettings._fields}
