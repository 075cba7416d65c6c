"""Models of layers that belong to a model already: one vector of parameters, whoever trains."""

import gc
import weakref

import numpy as np
import pytest

import fastbp as fb

N, I, H, O = 7, 4, 3, 5


def autoencoder(dtype: str) -> fb.Model:
    x = fb.Input(I)
    return fb.Model(x, fb.Dense(O)(fb.Dense(H, "tanh", name="code")(x)), dtype=dtype, seed=0)


def by_hand(net: fb.Model, X: np.ndarray) -> np.ndarray:
    return np.tanh(X @ net["code"].W + net["code"].b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_part_follows_the_training_of_the_whole(dtype: str, rng: np.random.Generator) -> None:
    net = autoencoder(dtype)
    encoder = fb.Model(net.inputs, net["code"].output)
    z = fb.Input(H)
    decoder = fb.Model(z, net["dense_1"](z))
    X, T = rng.normal(size=(N, I)), rng.normal(size=(N, O))
    before = encoder.predict(X)
    net.fit(X, T, epochs=3, optimizer=fb.Adam(lr=0.1), batch_size=2)
    assert encoder.dtype == decoder.dtype == net.dtype
    assert np.abs(encoder.predict(X) - before).max() > 0.01
    np.testing.assert_allclose(encoder.predict(X), by_hand(net, X), rtol=1e-5)
    np.testing.assert_allclose(decoder.predict(encoder.predict(X)), net.predict(X), rtol=1e-5)
    np.testing.assert_allclose(
        fb.jacobian(net, X), fb.jacobian(decoder, encoder.predict(X)) @ fb.jacobian(encoder, X), rtol=1e-3, atol=1e-6
    )
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(1.001 * encoder.predict(X), by_hand(net, X), rtol=1e-5)


def test_a_part_is_not_trained(rng: np.random.Generator) -> None:
    net = autoencoder("float64")
    encoder = fb.Model(net.inputs, net["code"].output)
    X, T = rng.normal(size=(N, I)), rng.normal(size=(N, H))
    before = net.params.copy()
    for refused in (
        lambda: encoder.fit(X, T),
        lambda: fb.Trainer(encoder, loss="mse").step(X, T),
        lambda: fb.minimize(encoder, X, T),
        lambda: encoder.value_and_grad(encoder.params, X, T),
        lambda: fb.per_sample_gradients(encoder, X, T),
        lambda: fb.hessian(encoder, X, T, loss="mse", wrt="params"),
    ):
        with pytest.raises(ValueError, match="train that one"):
            refused()
    encoder.forward(X)
    encoder.backward(T)
    with pytest.raises(ValueError, match="train that one"):
        fb.SGD(lr=0.1).step(encoder)
    np.testing.assert_array_equal(net.params, before)
    alone = encoder.copy()
    assert alone.params.size == H * (I + 1)
    alone.fit(X, T)
    np.testing.assert_array_equal(net.params, before)
    assert encoder.evaluate(X, T)["loss"] > 0


def test_a_model_of_all_layers_trains_them(rng: np.random.Generator) -> None:
    body = fb.Sequential(fb.Input(I), fb.Dense(H, "tanh"), fb.Dense(O), dtype="float64", seed=0)
    twin = fb.Sequential(fb.Input(I), fb.Dense(H, "tanh"), fb.Dense(O), dtype="float64", seed=0)
    x = fb.Input(I)
    same = fb.Model(x, body(x))
    X, T = rng.normal(size=(N, I)), rng.normal(size=(N, O))
    for net in (same, twin):
        fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=0.1)).fit(X, T, epochs=2, batch_size=3, seed=1)
    np.testing.assert_array_equal(body.params, twin.params)
    body["dense_1"].trainable = False
    W = body["dense_1"].W.copy()
    same.fit(X, T)
    np.testing.assert_array_equal(body["dense_1"].W, W)
    assert (body["dense_2"].W != twin["dense_2"].W).any()


def test_new_layers_on_old_ones_are_refused_with_the_remedy() -> None:
    net = autoencoder("float32")
    with pytest.raises(ValueError, match=r"<Dense tanh code> belongs to a model already.*copy=True"):
        fb.Model(net.inputs, fb.Dense(2)(net["code"].output))
    other = autoencoder("float32")
    with pytest.raises(ValueError, match="belongs to a model already"):
        fb.Model([*net.inputs, *other.inputs], [net["code"].output, other["code"].output])
    with pytest.raises(ValueError, match="float32"):
        fb.Model(net.inputs, net["code"].output, dtype="float64")
    with pytest.raises(AttributeError, match="0 times"):
        fb.Dense(3).output  # noqa: B018


def test_activations_are_those_of_every_layer(rng: np.random.Generator) -> None:
    x = fb.Input(I)
    shared = fb.Dense(I, "tanh", name="twice")
    net = fb.Model(x, fb.Dense(O)(shared(shared(x)) * x), dtype="float64", seed=1)
    X = rng.normal(size=(N, I))
    found = net.activations(X)
    once = np.tanh(X @ shared.W + shared.b)
    assert list(found) == ["twice", "twice:2", "multiply_1", "dense_1"]
    np.testing.assert_allclose(found["twice"], once)
    np.testing.assert_allclose(found["twice:2"], np.tanh(once @ shared.W + shared.b))
    np.testing.assert_allclose(found["multiply_1"], found["twice:2"] * X)
    np.testing.assert_array_equal(found["dense_1"], net.predict(X))
    net.fit(X, rng.normal(size=(N, O)))
    np.testing.assert_array_equal(net.activations(X)["dense_1"], net.predict(X))
    with pytest.raises(ValueError, match="NaN"):
        net.activations(np.full((N, I), np.nan))


def test_files_and_memory(tmp_path, rng: np.random.Generator) -> None:
    net = autoencoder("float64")
    encoder = fb.Model(net.inputs, net["code"].output)
    X = rng.normal(size=(N, I))
    encoder.save(tmp_path / "encoder.safetensors")
    np.testing.assert_array_equal(fb.load(tmp_path / "encoder.safetensors").predict(X), encoder.predict(X))
    gone, expected = weakref.ref(net), encoder.predict(X)
    gc.disable()
    try:
        del net
        assert gone() is None  # no cycle keeps a network
    finally:
        gc.enable()
    np.testing.assert_array_equal(encoder.predict(X), expected)
