"""Every activation of the engine's table, value and slope, over its whole domain, both sides of each kink.

The tests are parametrised from the table; the truth is tests/reference.py in long double. Probing near zero
only was rejected: a slope that is wrong where the curve is flat stays unseen for years.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from fastbp.activations import ActivationFunction
from nets import other_parameters

NAMES = sorted(_engine.ACTIVATIONS)
KINKS = np.array([-6, -4, -3, -2.5, -2, -1, -0.625, -0.5, 0, 0.5, 0.625, 1, 2, 2.5, 3, 4, 6])
CASES = [ActivationFunction(name) for name in NAMES] + [
    ActivationFunction(name, *other_parameters(name)) for name in NAMES if _engine.ACTIVATIONS[name].parameters
]
BY_ROWS = [f for f in CASES if _engine.ACTIVATIONS[f.name].by_rows]
ELEMENTWISE = [f for f in CASES if f not in BY_ROWS]
ROUNDING = {"float32": 2e-7, "float64": 4e-16}


def value(f: ActivationFunction, Z: np.ndarray) -> np.ndarray:
    return fb.functional.activation_forward(Z, f)


def slope(f: ActivationFunction, dY: np.ndarray, Z: np.ndarray) -> np.ndarray:
    return fb.functional.activation_backward(dY, Z, value(f, Z), f)


def as_rounded(f: ActivationFunction, dtype: np.dtype) -> list[np.longdouble]:
    return [np.longdouble(dtype.type(parameter)) for parameter in f.parameters]


def truth(f: ActivationFunction, Z: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return reference.activation(f.name, Z.astype(np.longdouble), *as_rounded(f, Z.dtype))


def true_slope(f: ActivationFunction, dY: np.ndarray, Z: np.ndarray) -> np.ndarray:
    long = np.longdouble
    with np.errstate(all="ignore"):
        return reference.activation_vjp(f.name, dY.astype(long), Z.astype(long), *as_rounded(f, Z.dtype))


def sweep(f: ActivationFunction, dtype: np.dtype) -> np.ndarray:
    """-50 ... 50 densely, all magnitudes, and the neighbours of every possible kink; of rows, what does not round.

    The neighbours of 0 are the smallest normal numbers: the engine takes subnormal ones for 0.
    """
    info = np.finfo(dtype)
    sizes = reference.magnitudes(dtype, 8009)
    z = np.concatenate([np.linspace(-50, 50, 60007).astype(dtype), -sizes, sizes])
    kinks = np.concatenate([KINKS, f.parameters, -np.array(f.parameters)]).astype(dtype)
    above = np.maximum(np.nextafter(kinks, dtype.type(99)), kinks + info.tiny)
    below = np.minimum(np.nextafter(kinks, dtype.type(-99)), kinks - info.tiny)
    z = np.concatenate([z, kinks, above, below])
    if f in ELEMENTWISE:
        return z[:, None]
    z = np.round(z[np.abs(z) <= 50] * 64) / 64
    return z[: len(z) // 3 * 3].reshape(-1, 3)


def test_every_row_of_the_table_has_a_reference_line() -> None:
    assert set(_engine.ACTIVATIONS) == set(reference.ACTIVATIONS)


def test_the_table_knows_its_names() -> None:
    assert all(row.name == name for name, row in _engine.ACTIVATIONS.items())
    wanted = (
        "linear sigmoid log_sigmoid tanh relu relu6 leaky_relu rrelu elu selu celu gelu gelu_tanh quick_gelu silu mish "
        "softplus softsign hard_sigmoid hard_tanh hard_swish tanh_shrink soft_shrink hard_shrink threshold squareplus "
        "exp gaussian elliot sin cos abs square softmax log_softmax softmin"
    )
    assert set(wanted.split()) <= set(NAMES)


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_values_are_right_to_four_units_in_the_last_place(f: ActivationFunction, dtype: np.dtype) -> None:
    Z = sweep(f, dtype)
    Y, wanted = value(f, Z), truth(f, Z)
    error = reference.ulps(Y, wanted)
    if f.name in reference.TERMS:
        with np.errstate(invalid="ignore"):
            near = np.abs(Y - wanted) <= ROUNDING[dtype.name] * reference.TERMS[f.name](Z)
        error[near] = 0
    worst = np.unravel_index(error.argmax(), error.shape)
    assert error.max() <= 4, f"{f!r} of {Z[worst]!r} is off by {error.max():.3g} units in the last place"


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_slopes_are_right_everywhere(f: ActivationFunction, dtype: np.dtype) -> None:
    Z = sweep(f, dtype)
    dY = np.random.default_rng(1).uniform(0.5, 2.0, size=Z.shape).astype(dtype)
    Z = Z[np.abs(Z).max(axis=1) < np.sqrt(np.finfo(dtype).max)]  # as far as slopes are numbers themselves
    dY = dY[: len(Z)]
    wanted, got = true_slope(f, dY, Z), slope(f, dY, Z)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(got == wanted.astype(dtype), 0, np.abs(got - wanted))
    limit = (8 if f in ELEMENTWISE else 32) * np.finfo(dtype).eps * (1 + np.abs(wanted))
    worst = np.unravel_index((error - limit).argmax(), error.shape)
    assert (error <= limit).all(), f"slope of {f!r} at {Z[worst]!r} is off by {float(error[worst]):.3g}"


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_value_and_slope_belong_together(f: ActivationFunction) -> None:
    Z = np.linspace(-7.03, 7.01, 3 * 41).reshape(41, 3)
    dY = np.random.default_rng(2).uniform(0.5, 2.0, size=Z.shape)
    reference.assert_gradient(lambda A: float((dY * value(f, A)).sum()), Z.copy(), slope(f, dY, Z), f.name)


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_the_reference_itself_is_right(f: ActivationFunction) -> None:
    Z = np.linspace(-7.03, 7.01, 3 * 41).reshape(41, 3)
    dY = np.random.default_rng(2).uniform(0.5, 2.0, size=Z.shape)
    dZ = reference.activation_vjp(f.name, dY, Z, *f.parameters)
    reference.assert_gradient(
        lambda A: float((dY * reference.activation(f.name, A, *f.parameters)).sum()), Z.copy(), dZ
    )


@pytest.mark.parametrize("f", ELEMENTWISE, ids=repr)
def test_the_slope_at_a_kink_is_the_left_one(f: ActivationFunction) -> None:
    """At each place where a row could have one, and at its parameters; |z| alone has the mean of both sides."""
    Z = np.concatenate([KINKS, f.parameters, -np.array(f.parameters)])[:, None]
    left = Z - 1e-9
    if f.name == "abs":
        left[Z == 0] = 0
        assert slope(f, np.ones((1, 1)), np.zeros((1, 1))) == 0
    one = np.ones_like(Z)
    np.testing.assert_allclose(slope(f, one, Z), slope(f, one, left), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(curvature(f, Z), curvature(f, left), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(slope(f, one, np.array([[-0.0]] * len(Z))), slope(f, one, 0 * one))


def curvature(f: ActivationFunction, Z: np.ndarray) -> np.ndarray:
    """f''(Z) of a column."""
    net = fb.Sequential(fb.Input(1), fb.Activation(f), dtype=Z.dtype, seed=0)
    return fb.hessian(net, Z)[:, 0]


@pytest.mark.parametrize("f", ELEMENTWISE, ids=repr)
def test_the_second_derivative_is_that_of_the_slope(f: ActivationFunction, dtype: np.dtype) -> None:
    """By differences of the slope in float64, away from kinks; a row without one is made of straight lines."""
    Z = np.linspace(-7.03, 7.01, 997)[:, None]
    h = 1e-5
    one = np.ones_like(Z)
    wanted = (slope(f, one, Z + h) - slope(f, one, Z - h)) / (2 * h)
    smooth = np.abs(slope(f, one, Z + 2 * h) - 2 * slope(f, one, Z) + slope(f, one, Z - 2 * h)) < 1e-4
    got = curvature(f, Z.astype(dtype))
    limit = (1e-4 if dtype == np.float32 else 1e-6) * (1 + np.abs(wanted))
    assert smooth.mean() > 0.99
    assert (np.abs(got - wanted) <= limit)[smooth].all()
    assert _engine.ACTIVATIONS[f.name].curved or not got.any()


@pytest.mark.parametrize("f", ELEMENTWISE, ids=repr)
def test_slopes_at_the_ends_are_numbers(f: ActivationFunction, dtype: np.dtype) -> None:
    """At infinity, at the largest number and its root, where a formula can take infinity times 0: the limits."""
    info = np.finfo(dtype)
    ends = np.array([[np.inf, info.max / 4, np.sqrt(info.max)]], dtype=dtype)
    for Z in (ends, -ends):
        first = slope(f, np.ones_like(Z), Z)
        if f.name not in ("sin", "cos"):  # which have none at infinity
            assert not np.isnan(first).any(), f"slope of {f!r} at {Z}: {first}"
            finite = Z[:, np.isfinite(Z[0]) & np.isfinite(value(f, Z))[0]]
            assert not finite.size or not np.isnan(curvature(f, finite.T)).any()


@pytest.mark.parametrize("f", CASES, ids=repr)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 1), (1, 5), (2, 7), (5, 13), (7, 16), (6, 17), (3, 33), (4, 130), (67, 9)]
)
def test_every_length_is_done_to_its_end(f: ActivationFunction, shape: tuple[int, int], dtype: np.dtype) -> None:
    rng = np.random.default_rng(shape)
    Z, dY = rng.normal(size=(2, *shape)).astype(dtype) * 3
    Y, dZ = value(f, Z), slope(f, dY, Z)
    assert Y.shape == dZ.shape == shape
    assert Y.dtype == dZ.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        Y, truth(f, Z), rtol=40 * eps, atol=eps if f.name in reference.TERMS else np.finfo(dtype).tiny
    )
    wanted = true_slope(f, dY, Z)
    np.testing.assert_allclose(dZ, wanted, rtol=0, atol=100 * eps * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_nan_in_is_nan_out(f: ActivationFunction, dtype: np.dtype) -> None:
    for width in (1, 3, 16, 37):
        Z = np.ones((5, width), dtype=dtype)
        Z[2, width // 2] = np.nan
        Y = value(f, Z)
        assert np.isnan(Y[2, width // 2])
        assert np.isfinite(np.delete(Y, 2, axis=0)).all()


@pytest.mark.parametrize("f", ELEMENTWISE, ids=repr)
def test_infinity_has_its_limit(f: ActivationFunction, dtype: np.dtype) -> None:
    Z = np.array([[np.inf, -np.inf]], dtype=dtype)
    with np.errstate(invalid="ignore"):
        wanted = truth(f, Z).astype(dtype)
    info = np.finfo(dtype)
    np.testing.assert_allclose(value(f, Z), wanted, rtol=4 * info.eps, atol=info.tiny)


def test_conventions_at_the_kink(dtype: np.dtype) -> None:
    zero, one = np.zeros((1, 1), dtype=dtype), np.ones((1, 1), dtype=dtype)
    for Z in (zero, -zero):
        assert slope(fb.activations.relu(), one, Z) == 0
        assert slope(fb.leaky_relu(0.25), one, Z) == 0.25


@pytest.mark.parametrize("f", BY_ROWS, ids=repr)
def test_probabilities_of_rows(f: ActivationFunction, dtype: np.dtype, rng: np.random.Generator) -> None:
    for width in (1, 2, 5, 16, 33, 257):
        for scale in (1, 50, 1e4, 1e30):
            Y = value(f, (rng.normal(size=(7, width)) * scale).astype(dtype))
            P = np.exp(Y) if f.name.startswith("log") else Y
            assert (P >= 0).all()
            np.testing.assert_allclose(P.sum(axis=1), 1, rtol=4 * width * np.finfo(dtype).eps)


@pytest.mark.parametrize("f", BY_ROWS, ids=repr)
def test_rows_do_not_move_when_all_logits_do(f: ActivationFunction, dtype: np.dtype, rng: np.random.Generator) -> None:
    Z = np.round(rng.normal(size=(5, 7)) * 8).astype(dtype)
    np.testing.assert_array_equal(value(f, Z), value(f, Z + 1024))


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_rows_do_not_depend_on_their_neighbours(f: ActivationFunction, dtype: np.dtype) -> None:
    rng = np.random.default_rng(3)
    Z, dY = rng.normal(size=(2, 37, 19)).astype(dtype) * 4
    Y, dZ = value(f, Z), slope(f, dY, Z)
    order = rng.permutation(37)
    np.testing.assert_array_equal(value(f, Z[order]), Y[order])
    np.testing.assert_array_equal(slope(f, dY[order], Z[order]), dZ[order])
    np.testing.assert_array_equal(value(f, Z[5:6]), Y[5:6])
    np.testing.assert_array_equal(slope(f, dY[5:8].copy(), Z[5:8].copy()), dZ[5:8])


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_arguments_are_left_alone(f: ActivationFunction, dtype: np.dtype, rng: np.random.Generator) -> None:
    Z, dY = rng.normal(size=(2, 4, 6)).astype(dtype)
    Z.flags.writeable = dY.flags.writeable = False
    Y = value(f, Z)
    before = [Z.copy(), dY.copy(), Y.copy()]
    fb.functional.activation_backward(dY, Z, Y, f)
    for array, old in zip([Z, dY, Y], before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("f", CASES, ids=repr)
def test_the_fused_epilogue_is_the_activation(f: ActivationFunction, dtype: np.dtype) -> None:
    rng = np.random.default_rng(4)
    X, W, b = rng.normal(size=(9, 5)), rng.normal(size=(5, 23)), rng.normal(size=23)
    X, W, b, dY = (A.astype(dtype) for A in (X, W, b, rng.normal(size=(9, 23))))
    F = fb.functional
    Z = F.dense_forward(X, W, b)
    Y = F.dense_forward(X, W, b, f)
    np.testing.assert_array_equal(Y, value(f, Z))
    fused = F.dense_backward(dY, X, W, b, Y, f)
    apart = F.dense_backward(slope(f, dY, Z), X, W, b, Z)
    for got, wanted in zip(fused, apart, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6)


# Sine and cosine


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_waves_over_the_whole_range(name: str, dtype: np.dtype) -> None:
    """Multiples of pi / 2, where almost all digits cancel; both sides of where the reduction changes; every exponent.

    They are mixed, so that both reductions serve one call.
    """
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    multiples = np.concatenate([np.arange(1, 20000), rng.integers(1, 2**40, 2000)]) * (np.longdouble(np.pi) / 2)
    exponents = rng.uniform(0.5, 1, 4096) * 2.0 ** rng.integers(-30, info.maxexp, 4096)
    edge = {4: 1e4, 8: 1e6}[dtype.itemsize]
    z = np.concatenate([multiples, exponents, [edge], np.linspace(-1.001, 1.001, 999) * edge]).astype(dtype)
    z = np.concatenate([z, np.nextafter(z, dtype.type(0)), -z])
    Z = rng.permutation(np.concatenate([z, [np.inf, -np.inf, np.nan]])).astype(dtype)[:, None]
    f = ActivationFunction(name)
    Y = value(f, Z)
    with np.errstate(invalid="ignore"):
        assert reference.ulps(Y, truth(f, Z)).max() <= 4
    assert (np.isnan(Y) == ~np.isfinite(Z)).all()
