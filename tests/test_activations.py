"""Every activation of the engine's table, value and slope, over its whole domain, both sides of each kink.

The tests are parametrised from the table; the truth is tests/reference.py in long double. Probing near zero
only was rejected: a slope that is wrong where the curve is flat stays unseen for years.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine

NAMES = sorted(_engine.ACTIVATIONS)
KINKS = np.array(
    [-6.0, -4.0, -3.0, -2.5, -2.0, -1.0, -0.625, -0.5, 0.0, 0.5, 0.625, 1.0, 2.0, 2.5, 3.0, 4.0, 6.0]
)


def alphas(name: str) -> list[float]:
    default = _engine.ACTIVATIONS[name].alpha
    return [default, 0.3] if default else [default]


CASES = [(name, alpha) for name in NAMES for alpha in alphas(name)]


def value(name: str, Z: np.ndarray, alpha: float) -> np.ndarray:
    return _engine.functional.activation_forward(Z, name, alpha)


def slope(name: str, dY: np.ndarray, Z: np.ndarray, Y: np.ndarray, alpha: float) -> np.ndarray:
    return _engine.functional.activation_backward(dY, Z, Y, name, alpha)


def truth(name: str, Z: np.ndarray, alpha: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return reference.ACTIVATIONS[name][0](Z.astype(np.longdouble), np.longdouble(Z.dtype.type(alpha)))


def true_slope(name: str, dY: np.ndarray, Z: np.ndarray, alpha: float) -> np.ndarray:
    long = np.longdouble
    with np.errstate(all="ignore"):
        return reference.ACTIVATIONS[name][1](
            dY.astype(long), Z.astype(long), truth(name, Z, alpha), long(Z.dtype.type(alpha))
        )


def elementwise(name: str) -> bool:
    return np.array_equal(
        value(name, np.array([[3.0, 1.0]]), 0.3)[:, :1], value(name, np.array([[3.0]]), 0.3)
    )


def sweep(dtype: np.dtype) -> np.ndarray:
    """-50 ... 50 densely, all magnitudes up to 1e30, and the neighbours of every possible kink.

    The neighbours of 0 are the smallest normal numbers: the engine takes subnormal ones for 0.
    """
    magnitudes = np.logspace(-30, 30, 6007)
    z = np.concatenate(
        [np.linspace(-50, 50, 120011), -magnitudes, magnitudes, [1e4, -1e4, 1e30, -1e30]]
    ).astype(dtype)
    kinks = KINKS.astype(dtype)
    tiny = np.finfo(dtype).tiny
    above = np.maximum(np.nextafter(kinks, dtype.type(99)), kinks + tiny)
    below = np.minimum(np.nextafter(kinks, dtype.type(-99)), kinks - tiny)
    return np.concatenate([z, kinks, above, below])


def test_every_row_of_the_table_has_a_reference_line() -> None:
    assert set(_engine.ACTIVATIONS) == set(reference.ACTIVATIONS)


def test_the_table_knows_its_names() -> None:
    assert all(row.name == name for name, row in _engine.ACTIVATIONS.items())
    assert {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "softmax"} <= set(NAMES)


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_values_are_right_to_four_units_in_the_last_place(name: str, alpha: float, dtype: np.dtype) -> None:
    z = sweep(dtype)
    Z = z[:, None] if elementwise(name) else z[: len(z) // 3 * 3].reshape(-1, 3)
    if not elementwise(name):  # differences that round would cost a row function more than its own error
        Z = np.round(Z[(np.abs(Z) <= 50).all(axis=1)] * 64) / 64
    error = reference.ulps(value(name, Z, alpha), truth(name, Z, alpha))
    worst = np.unravel_index(error.argmax(), error.shape)
    assert error.max() <= 4, f"{name}({Z[worst]!r}) is off by {error.max():.3g} units in the last place"


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_slopes_are_right_everywhere(name: str, alpha: float, dtype: np.dtype) -> None:
    z = sweep(dtype)
    Z = z[:, None] if elementwise(name) else z[: len(z) // 3 * 3].reshape(-1, 3)
    dY = np.random.default_rng(1).uniform(0.5, 2.0, size=Z.shape).astype(dtype)
    wanted = true_slope(name, dY, Z, alpha)
    error = np.abs(slope(name, dY, Z, value(name, Z, alpha), alpha) - wanted)
    limit = (8 if elementwise(name) else 32) * np.finfo(dtype).eps * (1 + np.abs(wanted))
    worst = np.unravel_index((error - limit).argmax(), error.shape)
    assert (error <= limit).all(), f"slope of {name} at {Z[worst]!r} is off by {float(error[worst]):.3g}"


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_value_and_slope_belong_together(name: str, alpha: float) -> None:
    Z = np.linspace(-7.03, 7.01, 3 * 41).reshape(41, 3)
    dY = np.random.default_rng(2).uniform(0.5, 2.0, size=Z.shape)
    got = slope(name, dY, Z, value(name, Z, alpha), alpha)
    reference.assert_gradient(lambda A: float((dY * value(name, A, alpha)).sum()), Z.copy(), got, name)


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_the_reference_itself_is_right(name: str, alpha: float) -> None:
    f, f_vjp = reference.ACTIVATIONS[name]
    Z = np.linspace(-7.03, 7.01, 3 * 41).reshape(41, 3)
    dY = np.random.default_rng(2).uniform(0.5, 2.0, size=Z.shape)
    reference.assert_gradient(
        lambda A: float((dY * f(A, alpha)).sum()), Z.copy(), f_vjp(dY, Z, f(Z, alpha), alpha)
    )


@pytest.mark.parametrize(("name", "alpha"), CASES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 1), (1, 5), (2, 7), (5, 13), (7, 16), (6, 17), (3, 33), (4, 130), (67, 9)]
)
def test_every_length_is_done_to_its_end(
    name: str, alpha: float, shape: tuple[int, int], dtype: np.dtype
) -> None:
    rng = np.random.default_rng(shape)
    Z, dY = rng.normal(size=(2, *shape)).astype(dtype) * 3
    Y = value(name, Z, alpha)
    dZ = slope(name, dY, Z, Y, alpha)
    assert Y.shape == dZ.shape == shape
    assert Y.dtype == dZ.dtype == dtype
    np.testing.assert_allclose(
        Y, truth(name, Z, alpha), rtol=40 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny
    )
    np.testing.assert_allclose(dZ, true_slope(name, dY, Z, alpha), rtol=0, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", NAMES)
def test_nan_in_is_nan_out(name: str, dtype: np.dtype) -> None:
    for width in (1, 3, 16, 37):
        Z = np.ones((5, width), dtype=dtype)
        Z[2, width // 2] = np.nan
        Y = value(name, Z, 0.3)
        assert np.isnan(Y[2, width // 2])
        assert np.isfinite(np.delete(Y, 2, axis=0)).all()


@pytest.mark.parametrize("name", NAMES)
def test_infinity_has_its_limit(name: str, dtype: np.dtype) -> None:
    if not elementwise(name):
        return
    Z = np.array([[np.inf, -np.inf]], dtype=dtype)
    np.testing.assert_array_equal(value(name, Z, 0.3), truth(name, Z, 0.3).astype(dtype))


def test_conventions_at_the_kink(dtype: np.dtype) -> None:
    zero, one = np.zeros((1, 1), dtype=dtype), np.ones((1, 1), dtype=dtype)
    for Z in (zero, -zero):
        assert slope("relu", one, Z, value("relu", Z, 0.0), 0.0) == 0
        assert slope("leaky_relu", one, Z, value("leaky_relu", Z, 0.25), 0.25) == 0.25


def test_softmax_rows_are_probabilities(dtype: np.dtype, rng: np.random.Generator) -> None:
    for width in (1, 2, 5, 16, 33, 257):
        for scale in (1, 50, 1e4, 1e30):
            Y = value("softmax", (rng.normal(size=(7, width)) * scale).astype(dtype), 0.0)
            assert (Y >= 0).all()
            np.testing.assert_allclose(Y.sum(axis=1), 1, rtol=width * np.finfo(dtype).eps)


def test_softmax_does_not_move_when_all_logits_do(dtype: np.dtype, rng: np.random.Generator) -> None:
    Z = np.round(rng.normal(size=(5, 7)) * 8).astype(dtype)
    np.testing.assert_array_equal(value("softmax", Z, 0.0), value("softmax", Z + 1024, 0.0))


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_rows_do_not_depend_on_their_neighbours(name: str, alpha: float, dtype: np.dtype) -> None:
    rng = np.random.default_rng(3)
    Z, dY = rng.normal(size=(2, 37, 19)).astype(dtype) * 4
    Y = value(name, Z, alpha)
    dZ = slope(name, dY, Z, Y, alpha)
    order = rng.permutation(37)
    np.testing.assert_array_equal(value(name, Z[order], alpha), Y[order])
    np.testing.assert_array_equal(slope(name, dY[order], Z[order], Y[order], alpha), dZ[order])
    np.testing.assert_array_equal(value(name, Z[5:6], alpha), Y[5:6])
    np.testing.assert_array_equal(slope(name, dY[5:8].copy(), Z[5:8].copy(), Y[5:8].copy(), alpha), dZ[5:8])


@pytest.mark.parametrize("name", NAMES)
def test_the_public_functions_are_the_same_kernels(
    name: str, dtype: np.dtype, rng: np.random.Generator
) -> None:
    Z, dY = rng.normal(size=(2, 4, 6)).astype(dtype)
    alpha = _engine.ACTIVATIONS[name].alpha
    Y = fb.functional.activation_forward(Z, name)
    np.testing.assert_array_equal(Y, value(name, Z, alpha))
    np.testing.assert_array_equal(
        fb.functional.activation_backward(dY, Z, Y, name), slope(name, dY, Z, Y, alpha)
    )


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_left_alone(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    Z, dY = rng.normal(size=(2, 4, 6)).astype(dtype)
    Z.flags.writeable = dY.flags.writeable = False
    Y = fb.functional.activation_forward(Z, name)
    before = [Z.copy(), dY.copy(), Y.copy()]
    fb.functional.activation_backward(dY, Z, Y, name)
    for array, old in zip([Z, dY, Y], before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize(("name", "alpha"), CASES)
def test_the_fused_epilogue_is_the_activation(name: str, alpha: float, dtype: np.dtype) -> None:
    rng = np.random.default_rng(4)
    X, W, b = rng.normal(size=(9, 5)), rng.normal(size=(5, 23)), rng.normal(size=23)
    X, W, b, dY = (A.astype(dtype) for A in (X, W, b, rng.normal(size=(9, 23))))
    engine = _engine.functional
    Z = engine.dense_forward(X, W, b, "linear", 0.0)
    Y = engine.dense_forward(X, W, b, name, alpha)
    np.testing.assert_array_equal(Y, value(name, Z, alpha))
    dZ = slope(name, dY, Z, Y, alpha)
    fused = engine.dense_backward(dY, X, W, b, Y, name, alpha)
    apart = engine.dense_backward(dZ, X, W, b, Z, "linear", 0.0)
    for got, wanted in zip(fused, apart, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6)
