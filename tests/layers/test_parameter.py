"""Parameters: numbers and vectors that are trained and are nodes. The oracles are NumPy's sums and differences."""

import pickle

import numpy as np
import pytest

import fastbp as fb


def line(dtype: str = "float64", **settings) -> fb.Model:
    """Y = k X + v."""
    x = fb.Input(3)
    return fb.Model(
        x, fb.Parameter(0.5, name="k", **settings) * x + fb.Parameter([1.0, 2.0, 3.0], name="v"), dtype=dtype
    )


def test_it_is_live() -> None:
    k = fb.Parameter(2)
    with pytest.raises(AttributeError, match="before a model"):
        k.value  # noqa: B018
    x = fb.Input(3)
    net = fb.Model(x, x * k, dtype="float64")
    assert k.value.shape == ()
    assert float(k.value) == 2
    assert net.layers[0].name == k.name == "parameter_1"
    k.value = 4.0
    assert net.params.tolist() == [4.0]
    assert net["parameter_1"].value == 4
    net.params[0] = 5.0
    assert k.value == 5
    np.testing.assert_array_equal(net.predict(np.ones((2, 3))), np.full((2, 3), 5.0))
    with pytest.raises(ValueError, match=r"value must have shape \(\), got \(2,\)"):
        k.value = [1.0, 2.0]


def test_the_gradient_is_the_sum_over_the_rows(dtype: np.dtype, rng: np.random.Generator) -> None:
    for rows in (1, 5, 700):
        X, dY = (rng.normal(size=(rows, 3)).astype(dtype) for _ in range(2))
        net = line(dtype.name)
        net.forward(X)
        dX = net.backward(dY)
        limit = {"rtol": 0, "atol": 200 * np.finfo(dtype).eps * rows**0.5}
        np.testing.assert_allclose(net["k"].dvalue, (dY * X).sum(), **limit)
        np.testing.assert_allclose(net["v"].dvalue, dY.sum(axis=0), **limit)
        np.testing.assert_allclose(dX, dY * dtype.type(0.5), rtol=1e-6)
        net.backward(dY, accumulate=True)
        np.testing.assert_allclose(net["v"].dvalue, 2 * dY.sum(axis=0), **limit)


def test_a_planted_error_is_caught(rng: np.random.Generator) -> None:
    net = line()
    X, y = rng.normal(size=(2, 5, 3))
    fb.check_gradients(net, X, y, loss="mse")
    one = net.value_and_grad
    theta = net.params.copy()
    value, gradient = one(theta, X, y)
    step = 1e-6 * np.eye(len(theta))
    numeric = np.array([(one(theta + e, X, y)[0] - one(theta - e, X, y)[0]) / 2e-6 for e in step])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-7)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(1.001 * gradient, numeric, rtol=1e-7)
    assert value > 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "lion", "rprop", "muon", "adagrad"])
def test_every_optimizer_trains_it_with_the_same_bits(optimizer: str, rng: np.random.Generator) -> None:
    X = rng.normal(size=(64, 3))
    y, found = 2 * X + [3.0, 1.0, -1.0], []
    for threads in (1, 2):
        net = line()
        net.fit(X, y, optimizer=optimizer, epochs=3, batch_size=16, threads=threads, seed=0)
        assert (net.params != line().params).all()
        found.append(net.params.tobytes())
    assert found[0] == found[1]


def test_it_finds_what_the_data_hold(rng: np.random.Generator) -> None:
    X = rng.normal(size=(40, 3))
    net = line()
    assert fb.minimize(net, X, 2.5 * X + [3.0, 1.0, -1.0], method="lm").converged
    np.testing.assert_allclose(net.params, [2.5, 3.0, 1.0, -1.0], rtol=1e-7)


def test_it_is_frozen_grouped_and_decayed_as_layers_are(rng: np.random.Generator) -> None:
    X = rng.normal(size=(8, 3))
    net = line(trainable=False)
    net.fit(X, 2 * X, epochs=2)
    assert net["k"].value == 0.5
    assert (net["v"].value != [1.0, 2.0, 3.0]).all()
    net["k"].trainable, net["v"].trainable = True, False
    before = net["v"].value.copy()
    net.fit(X, 2 * X, epochs=1)
    assert net["k"].value != 0.5
    assert (net["v"].value == before).all()
    net = line()
    net.fit(X, X, optimizer=fb.SGD(lr=1.0, groups={"k": {"lr_scale": 0.0}}), epochs=1)
    assert net["k"].value == 0.5
    assert (net["v"].value != [1.0, 2.0, 3.0]).all()


def test_it_is_saved_copied_and_pickled(tmp_path, dtype: np.dtype) -> None:
    net = line(dtype.name, trainable=False)
    net.params[...] += dtype.type(0.25)
    net.save(tmp_path / "net.safetensors")
    for same in (fb.load(tmp_path / "net.safetensors"), net.copy(), pickle.loads(pickle.dumps(net))):
        assert same["k"].value.shape == ()
        assert not same["k"].trainable
        assert same["v"].trainable
        np.testing.assert_array_equal(same.params, net.params)
        np.testing.assert_array_equal(same.predict(np.eye(3)), net.predict(np.eye(3)))
        assert same.config() == net.config()
    assert fb.Model.from_config(net.config())["k"].value == 0.5  # without arrays, the initial values


def test_it_is_shared_where_a_model_is_a_layer() -> None:
    body, a, b = line(), fb.Input(3), fb.Input(3)
    body["k"].value = 3.0
    twice = fb.Model([a, b], body(a) + body(b), dtype="float64")
    assert twice.params.size == 4
    twice.forward((np.ones((2, 3)), np.ones((2, 3))))
    twice.backward(np.ones((2, 3)))
    assert sorted(twice.grads) == [4.0, 4.0, 4.0, 12.0]


def test_summary_explanation_and_diagnosis(rng: np.random.Generator) -> None:
    net, X = line(), rng.normal(size=(6, 3))
    assert "Parameter" in str(net)
    assert "Parameter" in net.to_dot()
    assert "k (Parameter)" in str(fb.explain(net, X[:1], X[:1]))
    assert "k" in str(fb.diagnose(net, X, X, loss="mse"))
