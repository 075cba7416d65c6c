"""Steps of a single row: losses, gradients and updates against formulas, and the same bits as among several threads."""

import numpy as np
import pytest

import fastbp as fb
import reference
from loss_cases import NAMES, SETTINGS, assert_loss, outputs, settings_and_targets, targets

WIDTHS = (2, 4, 8, 16, 18, 34)


def assert_step(name: str, settings: dict, Y: np.ndarray, t: np.ndarray) -> None:
    """The loss and the gradients of a step on one row of a net whose outputs are its biases."""
    dtype, x = Y.dtype, np.random.default_rng(7).normal(size=(1, 5)).astype(Y.dtype)
    net = fb.Sequential(fb.Input(5), fb.Dense(Y.shape[1]), dtype=dtype.name)
    (layer,) = net.layers
    layer.W[...], layer.b[...] = 0, Y[0]
    loss = next(cls for cls in fb.losses.Loss.classes.values() if cls.row.name == name)(**settings)
    value = fb.Trainer(net, loss, fb.SGD(0.5)).step(x, t)
    given = {key: np.array(value) if isinstance(value, list) else value for key, value in settings.items()}
    wanted = reference.loss(name, Y, t, **given)
    assert_loss((value, layer.db[None].copy()), wanted, dtype)
    np.testing.assert_array_equal(layer.dW, np.outer(x[0], layer.db))
    np.testing.assert_allclose(layer.b, Y[0] - dtype.type(0.5) * layer.db, rtol=1e-6)
    np.testing.assert_allclose(layer.W, -dtype.type(0.5) * layer.dW, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_losses(name: str, width: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    assert_step(
        name,
        {},
        outputs(name, 1, width, dtype, rng),
        np.ascontiguousarray(targets(name, "values", 1, width, dtype, rng)),
    )


@pytest.mark.parametrize(("name", "settings"), SETTINGS, ids=str)
def test_parameters_of_losses(name: str, settings: dict, dtype: np.dtype, rng: np.random.Generator) -> None:
    assert_step(name, settings, *settings_and_targets(name, settings, dtype, rng, 1))


@pytest.mark.parametrize("rows", [1, 33, 64, 65])
@pytest.mark.parametrize("shared", [False, True])
def test_short_steps_have_the_bits_of_those_that_threads_share(rows: int, shared: bool, dtype: np.dtype) -> None:
    """Two threads go the long way; a single row does where a node in Python is in the net."""

    def trained(threads: int, python: bool) -> np.ndarray:
        x = fb.Input(6)
        layer = fb.Dense(19, "tanh")
        h = layer(x)
        h = fb.Dense(6, "silu")(fb.LayerNorm()(h))
        h = layer(h) if shared else fb.Dense(19)(h)
        y = fb.Dense(3)(h)
        if python:
            y = fb.Lambda(lambda X: X, lambda dY, X, Y: dY)(y)
        net = fb.Model(x, y, dtype=dtype.name, seed=1)
        trainer = fb.Trainer(net, "mse", fb.Adam(0.01, weight_decay=0.1))
        rng = np.random.default_rng(rows)
        for _ in range(4):
            X, t = rng.normal(size=(rows, 6)).astype(dtype), rng.normal(size=(rows, 3)).astype(dtype)
            trainer.step(X, t, threads=threads)
        return net.params

    np.testing.assert_array_equal(trained(1, False), trained(2, rows == 1))


def test_an_update_of_less_than_a_vector_leaves_what_follows(dtype: np.dtype) -> None:
    """Parameters of frozen layers lie side by side with those of others."""
    layers = [fb.Dense(3), fb.Dense(1), fb.Dense(2)]
    net = fb.Sequential(fb.Input(1), *layers, dtype=dtype.name, seed=3)
    layers[1].trainable = False
    trainer, before = fb.Trainer(net, "mse", fb.Adam(0.1)), [layer.W.copy() for layer in layers]
    kept = layers[1].b.copy()
    for _ in range(3):
        trainer.step(np.ones((1, 1), dtype), np.ones((1, 2), dtype))
    moved = [not np.array_equal(layer.W, W) for layer, W in zip(layers, before, strict=True)]
    assert moved == [True, False, True]
    np.testing.assert_array_equal(layers[1].b, kept)
