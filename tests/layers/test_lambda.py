"""Lambda: layers in NumPy, which train as the engine's own, and whose errors change nothing."""

import gc
import pickle
import weakref

import numpy as np
import pytest

import fastbp as fb
import reference
from nets import batch


def square(X: np.ndarray) -> np.ndarray:
    return X**2


def square_backward(dY: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return 2 * X * dY


def with_lambda(forward=square, backward=square_backward) -> fb.Model:
    layer = fb.Lambda(forward, backward)
    return fb.Sequential(fb.Input(4), fb.Dense(6), layer, fb.Dense(3), dtype="float64", seed=2)


def test_a_lambda_trains_as_the_gate_does(rng: np.random.Generator) -> None:
    x = fb.Input(4)
    h = fb.Dense(6)(x)
    wanted = fb.Model(x, fb.Dense(3)(h * h), dtype="float64", seed=2)
    net = with_lambda()
    X, T = rng.normal(size=(700, 4)), rng.normal(size=(700, 3))
    for one, threads in ((wanted, 1), (net, 2)):
        one.fit(X, T, epochs=2, batch_size=600, threads=threads)
    np.testing.assert_allclose(net.params, wanted.params, rtol=1e-12)
    np.testing.assert_allclose(net.predict(X, threads=3), wanted.predict(X), rtol=1e-10)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict(X), net.predict(X))
    np.testing.assert_array_equal(net.copy().predict(X[:1]), net.predict(X[:1]))


def test_a_lambda_in_a_small_net_runs_on_several_threads(rng: np.random.Generator) -> None:
    net, X, T = with_lambda(), rng.normal(size=(60, 4)), rng.normal(size=(60, 3))
    twin = net.copy()
    np.testing.assert_array_equal(net.predict(X, threads=2), twin.predict(X, threads=1))
    assert fb.Trainer(net, "mse").step(X, T, threads=2) == fb.Trainer(twin, "mse").step(X, T, threads=1)
    np.testing.assert_array_equal(net.params, twin.params)


def test_a_lambda_with_a_jvp_has_derivatives_in_forward_mode(rng: np.random.Generator) -> None:
    layer = fb.Lambda(square, square_backward, jvp=lambda dX, X, Y: 2 * X * dX)
    net = fb.Sequential(fb.Input(4), fb.Dense(6), layer, fb.Dense(3), dtype="float64", seed=2)
    X = rng.normal(size=(5, 4))
    np.testing.assert_allclose(fb.jacobian(net, X, mode="forward"), fb.jacobian(net, X), rtol=1e-12)
    with pytest.raises(ValueError, match=r"lambda_1.*reverse mode only"):
        fb.jvp(with_lambda(), X, X)


def test_a_lambda_of_two_inputs(rng: np.random.Generator) -> None:
    a, b = fb.Input(3), fb.Input(2)
    outer = fb.Lambda(
        lambda A, B: (A[:, :, None] * B[:, None, :]).reshape(len(A), -1),
        lambda dY, A, B, Y: (
            (dY.reshape(len(A), 3, 2) * B[:, None, :]).sum(2), (dY.reshape(len(A), 3, 2) * A[:, :, None]).sum(1),
        ),
        units=6,
    )  # fmt: skip
    net = fb.Model([a, b], fb.Dense(2)(outer(fb.Dense(3)(a), b)), dtype="float64", seed=0)
    xs, dys = batch(net, 5, rng)
    net.forward(tuple(xs))
    dxs = net.backward(dys[0])
    for x, dx in zip(xs, dxs, strict=True):
        reference.assert_gradient(lambda _: float((dys[0] * net.predict(tuple(xs))).sum()), x, dx)


@pytest.mark.parametrize(
    ("forward", "backward", "error", "words"),
    [
        (square, lambda dY, X, Y: dY[:, :2], ValueError, ["lambda_1", "backward", "(8, 6)", "(8, 2)"]),
        (square, lambda dY, X, Y: (dY, dY), ValueError, ["lambda_1", "tuple of 1"]),
        (lambda X: X[:, :1], square_backward, ValueError, ["lambda_1", "forward", "(8, 6)", "(8, 1)"]),
        (lambda X: "no", square_backward, TypeError, ["lambda_1", "numbers"]),
        (lambda X: 1 / 0, square_backward, ZeroDivisionError, ["division by zero"]),
    ],
)
def test_a_lambda_that_fails_changes_nothing(forward, backward, error, words, rng: np.random.Generator) -> None:
    net = with_lambda(forward, backward)
    X, T = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    before = net.params.copy()
    trainer = fb.Trainer(net, "mse")
    for work in (lambda: trainer.step(X, T, threads=1), lambda: trainer.fit(X, T, threads=1)):
        with pytest.raises(error) as caught:
            work()
        for word in words:
            assert word in str(caught.value), str(caught.value)
    np.testing.assert_array_equal(net.params, before)
    assert trainer.chain.t == 0
    if backward is square_backward:
        with pytest.raises(error):
            net.predict(X)


def test_an_error_of_a_lambda_is_forgotten_when_it_is_handled(rng: np.random.Generator) -> None:
    seen = []

    def breaks(X):
        seen.append(weakref.ref(X))
        raise KeyboardInterrupt

    net = with_lambda(breaks)
    with pytest.raises(KeyboardInterrupt):
        net.predict(rng.normal(size=(8, 4)))
    gc.collect()
    assert seen
    assert all(ref() is None for ref in seen)


def test_a_lambda_is_not_written_to_a_file(tmp_path) -> None:
    with pytest.raises(TypeError, match=r"lambda_1.*Python functions"):
        with_lambda().save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())
