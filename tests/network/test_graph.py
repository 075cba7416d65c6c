"""Graphs: fan-out, several ends, shared layers; forward, backward, accumulation and fit on each.

Each graph is compared with the reference net that is read off it, and gradient-checked inside a graph
rather than alone.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from nets import GRAPHS, as_list, assert_gradients, batch, chain, fan_out, one_or_all, shared


@pytest.mark.parametrize("build", GRAPHS)
def test_forward_and_backward(build, dtype: np.dtype, tolerance: float, rng: np.random.Generator) -> None:
    net = build(str(dtype))
    net.params[...] = rng.normal(size=len(net.params)) * 0.5
    for rows in (9, 1, 23):
        xs, dys = batch(net, rows, rng)
        mirror, layers = reference.mirror(net)
        ys = as_list(net.forward(one_or_all(xs)))
        dxs = as_list(net.backward(one_or_all(dys)))
        wanted_dxs, gradients = None, None
        for got, wanted in zip(ys, mirror.forward(*xs), strict=True):
            assert got.dtype == dtype
            assert got.flags.c_contiguous
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)
        wanted_dxs, gradients = mirror.backward(*dys)
        for got, wanted in zip(dxs, wanted_dxs, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1, np.abs(wanted).max()))
        for key, layer in enumerate(layers):
            dW, db = gradients[key]
            np.testing.assert_allclose(layer.dW, dW, rtol=0, atol=tolerance * max(1, np.abs(dW).max()))
            if layer.b is not None:
                np.testing.assert_allclose(layer.db, db, rtol=0, atol=tolerance * max(1, np.abs(db).max()))


@pytest.mark.parametrize("build", GRAPHS)
def test_gradients_against_finite_differences(build, rng: np.random.Generator) -> None:
    net = build()
    xs, dys = batch(net, 5, rng)
    net.forward(one_or_all(xs))
    dxs = as_list(net.backward(one_or_all(dys)))

    def objective(*_: np.ndarray) -> float:
        ys = as_list(net.predict(one_or_all(xs)))
        return float(sum((dy * y).sum() for dy, y in zip(dys, ys, strict=True)))

    assert_gradients(net, objective, net.grads.copy())
    for x, dx in zip(xs, dxs, strict=True):
        reference.assert_gradient(objective, x, dx, "dX")


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
@pytest.mark.parametrize("fused", [True, False])
def test_every_activation_inside_a_graph(name: str, fused: bool, rng: np.random.Generator) -> None:
    x = fb.Input(4)
    h = fb.Dense(6, activation=name)(x) if fused else fb.Activation(name)(fb.Dense(6)(x))
    net = fb.Model(x, [fb.Dense(3, activation=name)(h), fb.Dense(2)(h)], dtype="float64", seed=5)
    (X,), dys = batch(net, 7, rng)
    net.forward(X, training=False)
    dX = net.backward(dys)

    def objective(*_: np.ndarray) -> float:
        return float(sum((dy * y).sum() for dy, y in zip(dys, net.predict(X), strict=True)))

    assert_gradients(net, objective, net.grads.copy())
    reference.assert_gradient(objective, X, dX, f"dX behind {name}")


@pytest.mark.parametrize("loss", sorted(_engine.LOSSES))
def test_value_and_grad_against_finite_differences(loss: str, rng: np.random.Generator) -> None:
    net = chain()
    if _engine.LOSSES[loss].heads == 2:
        net = fb.Sequential(fb.Input(4), fb.Dense(7, activation="tanh"), fb.Dense(6), dtype="float64", seed=1)
    X, y = rng.normal(size=(6, 4)), reference.targets(loss, 6, net.outputs[0].width, rng)
    theta = net.params.copy()
    value, g = net.value_and_grad(theta, X, y, loss=loss)
    assert value == pytest.approx(reference.loss(loss, net.predict(X), y)[0], rel=1e-12)
    assert_gradients(net, lambda: net.value_and_grad(net.params.copy(), X, y, loss=loss)[0], g)


def test_value_and_grad_gives_a_gradient_of_its_own(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = chain(str(dtype))
    X, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    first = net.value_and_grad(np.zeros(len(net.params)), X, y)[1]
    kept = first.copy()
    assert not np.shares_memory(first, net.grads)
    assert (net.params == 0).all()
    net.value_and_grad(np.ones(len(net.params)), X, y)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.parametrize("optimizer", [fb.SGD, fb.AdamW])
def test_fit_is_the_loop_by_hand(build, optimizer, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Shared parameters are updated once, after the last of their gradients; every output has its loss."""
    fitted, hand = build(dtype.name), build(dtype.name)
    xs, ts = batch(fitted, 23, rng)
    opt, order = optimizer(lr=0.02), np.random.default_rng(3)
    settings = {
        "loss": one_or_all(["mse"] * len(ts)),
        "optimizer": optimizer(lr=0.02),
        "epochs": 2,
        "batch_size": 9,
    }
    fitted.fit(one_or_all(xs), one_or_all(ts), seed=3, **settings)
    for _ in range(2):
        for xb, tb in fb.batches(tuple(xs), tuple(ts), 9, seed=order):
            ys = as_list(hand.forward(one_or_all(xb)))
            hand.backward(one_or_all([fb.losses.mse(y, t)[1] for y, t in zip(ys, tb, strict=True)]))
            opt.step(hand)
    np.testing.assert_array_equal(fitted.params, hand.params)


def test_gradients_accumulate_on_request(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fan_out(str(dtype))
    (X,), dys = batch(net, 6, rng)
    net.forward(X)
    net.backward(dys)
    once = net.grads.copy()
    net.backward(dys)
    np.testing.assert_array_equal(net.grads, once)
    net.backward(dys, accumulate=True)
    # The second pass adds row by row to the first, so an entry that nearly cancels is off by the rows' rounding.
    np.testing.assert_allclose(net.grads, 2 * once, rtol=1e-6, atol=1e-6 * abs(once).max())


def test_accumulation_with_a_shared_layer(rng: np.random.Generator) -> None:
    net = shared()
    xs, dys = batch(net, 6, rng)
    net.forward(tuple(xs))
    net.backward(tuple(dys))
    once = net.grads.copy()
    net.backward(tuple(dys), accumulate=True)
    np.testing.assert_allclose(net.grads, 2 * once, rtol=1e-12)


def test_a_predict_between_does_no_harm(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = chain(str(dtype))
    X, dY = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    net.forward(X)
    dX = net.backward(dY)
    grads = net.grads.copy()
    net.forward(X)
    net.predict(rng.normal(size=(50, 4)))
    np.testing.assert_array_equal(net.backward(dY), dX)
    np.testing.assert_array_equal(net.grads, grads)


def test_what_is_given_out_belongs_to_the_caller(dtype: np.dtype, rng: np.random.Generator) -> None:
    """Nor does backward read the arrays again that forward was given."""
    net = chain(dtype.name)
    X, dY = rng.normal(size=(6, 4)).astype(dtype), np.ones((6, 3), dtype=dtype)
    Y = net.forward(X)
    dX = net.backward(dY)
    kept_Y, kept_dX, grads = Y.copy(), dX.copy(), net.grads.copy()
    Y[...], X[...] = 7, 9
    np.testing.assert_array_equal(net.backward(dY), kept_dX)
    np.testing.assert_array_equal(net.grads, grads)
    net.forward(X)
    net.backward(dY)
    np.testing.assert_array_equal(dX, kept_dX)
    assert not np.array_equal(net.predict(X), kept_Y)


def test_an_input_may_be_given_out(rng: np.random.Generator) -> None:
    x = fb.Input(4)
    net = fb.Model(x, [x, fb.Dense(3)(x)], dtype="float64", seed=1)
    X, dx, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    np.testing.assert_array_equal(net.forward(X)[0], X)
    np.testing.assert_allclose(net.backward((dx, dy)), dx + dy @ net["dense_1"].W.T, rtol=1e-12)


def test_a_net_without_parameters_trains_nothing(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Activation("tanh"), dtype=dtype)
    X = rng.normal(size=(9, 4))
    assert net.params.size == net.grads.size == 0
    for optimizer in ("sgd", "adam", "adamw"):
        history = net.fit(X, X, optimizer=optimizer, epochs=2, batch_size=4)
        assert history.history["loss"][0] == pytest.approx(((np.tanh(X) - X) ** 2).mean(), rel=1e-5)
    np.testing.assert_allclose(net.predict(X), np.tanh(X), rtol=1e-5)
