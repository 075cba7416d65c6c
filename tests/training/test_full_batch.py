"""Methods on the whole batch against what is known of the minimum, and J'J against a Jacobian by differences.

Levenberg and Marquardt's is compared with `scipy.optimize.least_squares` on the same residuals.
"""

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.training import least_squares
from whole_batch import (
    METHODS,
    assert_derivatives,
    assert_exact,
    assert_normal_equations,
    curve,
    given_to_scipy,
    net_of,
    optimize,
    two_headed,
)


def residuals(net: fb.Model, theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    net.params = theta
    return (net.predict(X) - y).ravel()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lm_finds_what_scipy_finds(seed: int) -> None:
    """MINPACK's, with the Jacobian by differences of the same residuals, from the same start near a teacher."""
    rng = np.random.default_rng(seed)
    net = net_of(inputs=3, hidden=4, seed=seed)
    X = rng.normal(size=(80, 3))
    y = net.predict(X) + 1e-3 * rng.normal(size=(80, 2))
    start = net.params * rng.uniform(0.8, 1.2, size=net.params.size)
    net.params = start
    found = fb.minimize(net, X, y, method="lm", tol=1e-10)
    other = net_of(inputs=3, hidden=4)
    tight = {"xtol": 1e-13, "ftol": 1e-13, "gtol": 1e-13}
    theirs = optimize.least_squares(lambda theta: residuals(other, theta, X, y), start, method="lm", **tight)
    assert found.converged
    assert found.loss == pytest.approx(fb.losses.mse(net.predict(X), y)[0], rel=1e-12)
    assert found.loss == pytest.approx((theirs.fun**2).mean(), rel=1e-9)
    np.testing.assert_allclose(net.params, theirs.x, rtol=1e-4, atol=1e-5)
    _, slope = net.value_and_grad(net.params, X, y)
    assert np.abs(slope).max() <= 1e-10
    assert found.iterations <= theirs.nfev + 2


def test_lm_needs_a_hundredth_of_adams_passes() -> None:
    X, y = curve()
    found = fb.minimize(net_of(), X, y, method="lm", max_iter=60)
    assert found.loss < 1e-6
    for lr in (0.003, 0.01, 0.03):
        history = net_of().fit(X, y, optimizer=fb.Adam(lr=lr), epochs=100 * found.evaluations, batch_size=len(X))
        assert min(history.history["loss"]) > 3 * found.loss


@pytest.mark.parametrize("case", ["plain", "weighted", "gaps"])
def test_the_normal_equations_are_those_of_the_jacobian(case: str) -> None:
    problem, J, value = two_headed(case)
    assert_normal_equations(problem, J, value)


@pytest.mark.parametrize("case", ["plain", "weighted", "gaps"])
def test_the_acceleration_is_that_of_the_residuals(case: str, rng: np.random.Generator) -> None:
    """J' times the second difference of the residuals along a step, which it comes near as the step gets short."""
    problem, J, _ = two_headed(case)
    theta, step = problem.net.params.copy(), 1e-4 * rng.normal(size=J.shape[1])
    got = problem.acceleration(theta, step, problem.residuals(), J.T @ J)
    np.testing.assert_array_equal(problem.net.params, theta)
    values = []
    for k in (-10, 0, 10):
        problem.net.params = theta + k * step
        values.append(np.concatenate([part.ravel() for part in problem.residuals()]))
    wanted = J.T @ (values[0] - 2 * values[1] + values[2]) / 100
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


def test_acceleration_saves_iterations_where_residuals_hold_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    X, x = np.linspace(0, 1, 40)[:, None], fb.Input(1)
    u = x * (1 - x) * fb.Dense(1)(fb.Dense(16, "tanh")(x))
    start = fb.Model(x, -fb.diff(fb.diff(u, x), x), dtype="float64", seed=0)
    losses = []
    for bend in (least_squares.BEND, 0.0):
        monkeypatch.setattr(least_squares, "BEND", bend)
        losses.append(fb.minimize(start.copy(), X, np.pi**2 * np.sin(np.pi * X), method="lm", max_iter=50).loss)
    assert losses[0] < losses[1] / 100


@pytest.mark.parametrize("size", [5, 63, 64, 200, 300])
def test_a_step_solves_the_damped_equations(size: int, rng: np.random.Generator) -> None:
    """With Cholesky's factor, and without: the matrix is symmetric, and singular without the damping."""
    A = rng.normal(size=(size // 2, size))
    square, gradient = A.T @ A, rng.normal(size=size)
    wanted = np.linalg.solve(square + 0.1 * np.eye(size), -gradient)
    upper = np.triu(square) + np.tril(rng.normal(size=(size, size)), -least_squares.SQUARE)
    least_squares._mirror(upper)
    np.testing.assert_array_equal(upper, square)
    for factor in (least_squares._solver(size), least_squares._by_elimination):
        solve = factor(square, 0.1)
        for scale in (1, 3):
            np.testing.assert_allclose(solve(-scale * gradient), scale * wanted, rtol=1e-8, atol=1e-10)


def test_rows_that_are_not_wanted_take_no_part(rng: np.random.Generator) -> None:
    """Two kinds of rows, each with a target of its own: as two problems in one, whatever stands in the other rows."""
    X, y = curve()
    losses = (2 * fb.losses.MSE(mask_nan=True), fb.losses.MSE(mask_nan=True))

    def net() -> fb.Model:
        x = fb.Input(1)
        h = fb.Dense(6, "tanh")(x)
        return fb.Model(x, [fb.Dense(1)(h), fb.Dense(1)(h)], dtype="float64", seed=0)

    gaps = y.copy()
    gaps[::2, 0] = gaps[1::2, 1] = np.nan
    one, two = net(), net()
    found = fb.minimize(one, X, (gaps[:, :1], gaps[:, 1:]), loss=losses, method="lm", max_iter=20)
    whole = {"loss": ("mse", "mse"), "loss_weights": (2.0, 1.0), "method": "lm", "max_iter": 20}
    weights = tuple((~np.isnan(gaps[:, [k]])).astype(float) for k in range(2))
    same = fb.minimize(two, X, (y[:, :1], y[:, 1:]), sample_weight=weights, **whole)
    assert found.loss == pytest.approx(same.loss, rel=1e-8)
    np.testing.assert_allclose(one.params, two.params, rtol=1e-6, atol=1e-8)


def test_why_it_stopped(rng: np.random.Generator) -> None:
    X, y = curve()
    assert "max_iter, 3 iterations" in fb.minimize(net_of(), X, y, method="lm", max_iter=3).message
    x = fb.Input(1)
    line = fb.Model(x, fb.Parameter(0.3) * x, dtype="float64")
    assert "no derivative" in fb.minimize(line, X, 2 * X, method="lm").message
    net = fb.Model(x := fb.Input(1), fb.log(x) * fb.Parameter(1.0), dtype="float64")
    with pytest.raises(fb.DivergenceError, match="at the start"):
        fb.minimize(net, -np.ones((4, 1)), np.ones((4, 1)), method="lm")
    assert net.params == 1


@pytest.mark.parametrize("method", METHODS[1:])
def test_scipy_is_given_the_derivatives_of_what_it_minimises(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, product, theta = given_to_scipy(method, monkeypatch)
    assert (product is None) == (method != "newton-cg")
    assert_derivatives(function, product, theta)


@pytest.mark.parametrize(("rows", "size"), [(1, 5), (3, 1), (9, 33), (600, 70), (20, 200)])
def test_the_square_of_a_matrix(rows: int, size: int, dtype, rng: np.random.Generator) -> None:
    J, out = rng.normal(size=(rows, size)).astype(dtype), rng.normal(size=(size, size)).astype(dtype)
    wanted = out + J.astype(np.float64).T @ J
    _engine.functional.add_gram(J, out)
    tolerance = 1e-11 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(np.triu(out), np.triu(wanted), rtol=tolerance, atol=tolerance * rows)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_linear_net_comes_to_the_exact_solution(method: str, dtype: str) -> None:
    assert_exact(method, dtype)


@pytest.mark.parametrize("method", METHODS)
def test_a_curve_is_learnt(method: str) -> None:
    X, y = curve()
    net = net_of()
    seen = []
    found = fb.minimize(net, X, y, method=method, max_iter=150, callback=lambda k, loss: seen.append((k, loss)))
    assert found.loss < (1e-6 if method == "lm" else 3e-2)
    assert found.loss == pytest.approx(fb.losses.mse(net.predict(X), y)[0], rel=1e-9)
    assert [k for k, _ in seen] == list(range(1, found.iterations + 1))
    assert found.history[1:] == [loss for _, loss in seen]
    assert found.message


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_stops_it(method: str) -> None:
    X, y = curve()
    found = fb.minimize(net_of(), X, y, method=method, callback=lambda k, loss: k == 3)
    assert found.iterations == 3
    assert not found.converged


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_error_on_the_way_leaves_the_parameters(dtype: str, method: str) -> None:
    X, y = curve()
    net = net_of(dtype)
    before = net.params.copy()

    def breaks(iteration, loss):
        if iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fb.minimize(net, X, y, method=method, callback=breaks)
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize("method", METHODS)
def test_frozen_layers_and_statistics_stay(method: str, rng: np.random.Generator) -> None:
    layers = [fb.Dense(4, "tanh", trainable=False), fb.BatchNorm(), fb.Dense(2)]
    net = fb.Sequential(fb.Input(3), *layers, dtype="float64", seed=0)
    before = net.params.copy()
    fb.minimize(net, rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), method=method, max_iter=20)
    same = {name for name, (at, _) in net.slices.items() if np.array_equal(net.params[at], before[at])}
    assert same == {"dense_1.W", "dense_1.b", *(name for name in net.slices if name.endswith(("mean", "variance")))}


def test_cross_entropy_by_the_methods_of_scipy(rng: np.random.Generator) -> None:
    X, labels = rng.normal(size=(60, 3)), rng.integers(0, 4, size=60)
    losses = {
        method: fb.minimize(
            fb.Sequential(fb.Input(3), fb.Dense(4), dtype="float64", seed=0),
            X,
            labels,
            loss="cross_entropy",
            method=method,
        ).loss
        for method in METHODS[1:]
    }
    assert max(losses.values()) == pytest.approx(min(losses.values()), rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "parts"),
    [
        ({"method": "adam"}, ValueError, ["adam", "bfgs", "newton-cg"]),
        ({"method": "lm", "loss": "cross_entropy"}, ValueError, ["lm", "mse"]),
        ({"method": "newton-cg", "sample_weight": np.ones(5)}, ValueError, ["newton-cg", "sample_weight"]),
        ({"max_iter": 0}, ValueError, ["max_iter"]),
        ({"tol": -1.0}, ValueError, ["tol"]),
        ({"sample_weight": np.ones(4)}, ValueError, ["sample_weight"]),
    ],
)
def test_what_is_wrong_is_refused(settings: dict, error: type, parts: list) -> None:
    net = net_of(inputs=2)
    before = net.params.copy()
    y = [0, 1, 0, 1, 0] if settings.get("loss") == "cross_entropy" else np.ones((5, 2))
    with pytest.raises(error) as raised:
        fb.minimize(net, np.ones((5, 2)), y, **settings)
    for part in parts:
        assert part in str(raised.value)
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("constraint", ["non_negative", fb.MaxNorm(1.0)])
def test_constraints_are_refused_by_name(method: str, constraint) -> None:
    net = fb.Sequential(fb.Input(3), fb.Dense(2, constraint=constraint, name="held"), seed=0, dtype="float64")
    before = net.params.copy()
    with pytest.raises(ValueError, match=r"minimize keeps no constraints, and .*held.*fit keeps them"):
        fb.minimize(net, np.ones((7, 3)), np.ones((7, 2)), method=method)
    np.testing.assert_array_equal(net.params, before)
