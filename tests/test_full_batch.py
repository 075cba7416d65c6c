"""Methods on the whole batch against what is known of the minimum, and J'J against a Jacobian by differences.

Levenberg and Marquardt's is compared with `scipy.optimize.least_squares` on the same residuals.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from fastbp.least_squares import Problem
from fastbp.losses import Objective

optimize = pytest.importorskip("scipy.optimize")

METHODS = ["lm", "l-bfgs", "cg", "newton-cg"]


def curve(rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, rows)[:, None]
    return x, np.hstack([np.sin(4 * x), np.exp(x) * x])


def net_of(dtype: str = "float64", *, inputs: int = 1, outputs: int = 2, hidden: int = 6, seed: int = 3) -> fb.Model:
    layers = [fb.Dense(hidden, "tanh"), fb.Dense(outputs)]
    return fb.Sequential(fb.Input(inputs), *layers, dtype=dtype, seed=seed)


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


def two_headed(weighted: bool) -> tuple[Problem, np.ndarray, float]:
    """Two heads of two widths, their Jacobian by differences, and their loss."""
    rng = np.random.default_rng(20240229)
    x = fb.Input(3)
    h = fb.Dense(4, "tanh")(x)
    net = fb.Model(x, [fb.Dense(2)(h), fb.Dense(1, "sigmoid")(h)], dtype="float64", seed=0)
    X, ys = rng.normal(size=(7, 3)), (rng.normal(size=(7, 2)), rng.normal(size=(7, 1)))
    weights = (rng.uniform(0.5, 2, size=7),) if weighted else None
    objective = Objective(("mse", "mse"), net)
    problem = Problem(net, objective, (X,), objective.targets(ys, 7), weights)
    theta = net.params.copy()

    def r(at: np.ndarray) -> np.ndarray:
        net.params = at
        return np.concatenate([part.ravel() for part in problem.residuals()])

    J = np.stack([(r(theta + e) - r(theta - e)) / 2e-6 for e in 1e-6 * np.eye(theta.size)], axis=1)
    net.params = theta
    return problem, J, objective(net.programs.predict((X,)), problem.ts, weights and 2 * weights)[0]


def assert_normal_equations(found: tuple, problem: Problem, J: np.ndarray, value: float) -> None:
    loss, gradient, square = found
    r = np.concatenate([part.ravel() for part in problem.residuals()])
    assert loss == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, J.T @ r, rtol=0, atol=1e-8)
    np.testing.assert_allclose(square, J.T @ J, rtol=0, atol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_normal_equations_are_those_of_the_jacobian(weighted: bool) -> None:
    problem, J, value = two_headed(weighted)
    assert_normal_equations(problem.normal_equations(), problem, J, value)


class Given(Exception):
    """What SciPy was given: a function with its gradient, the start, and what else there was."""


def given_to_scipy(method: str, monkeypatch: pytest.MonkeyPatch) -> tuple:
    """The value and gradient, the product with the Hessian or None, and a place to take them at."""
    rng = np.random.default_rng(1)

    def minimize(function, start, hessp=None, **_) -> None:
        raise Given(function, hessp, start + 0.1 * rng.normal(size=start.size))

    monkeypatch.setattr(optimize, "minimize", minimize)
    with pytest.raises(Given) as caught:
        fb.minimize(net_of(inputs=3), rng.normal(size=(7, 3)), rng.normal(size=(7, 2)), method=method)
    return caught.value.args


def assert_derivatives(function, product, theta: np.ndarray) -> None:
    reference.assert_gradient(lambda at: function(at)[0], theta.copy(), function(theta)[1])
    if product is not None:
        direction = np.cos(np.arange(theta.size))
        along = function(theta + 1e-5 * direction)[1] - function(theta - 1e-5 * direction)[1]
        np.testing.assert_allclose(product(theta, direction), along / 2e-5, rtol=0, atol=1e-7)


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
    np.testing.assert_allclose(out, wanted, rtol=tolerance, atol=tolerance * rows)


def assert_exact(method: str, dtype: str, minimize=fb.minimize) -> None:
    """A linear net's minimum is that of a least-squares problem, of rows with weights where the method takes them."""
    rng = np.random.default_rng(20240229)
    X, y = rng.normal(size=(30, 3)), rng.normal(size=(30, 2))
    weights = None if method == "newton-cg" else rng.uniform(0.1, 2, size=30)
    w = np.ones(30) if weights is None else weights
    root = np.sqrt(w)[:, None]
    A = np.column_stack([X, np.ones(30)])
    exact = np.linalg.lstsq(root * A, root * y, rcond=None)[0]
    loss = ((root * (A @ exact - y)) ** 2).sum() / 2 / w.sum()
    net = fb.Sequential(fb.Input(3), fb.Dense(2), dtype=dtype, seed=0)
    found = minimize(net, X, y, method=method, sample_weight=weights, tol=1e-9)
    assert found.loss == pytest.approx(loss, rel=1e-12 if dtype == "float64" else 1e-6)
    solution = np.vstack([net["dense_1"].W, net["dense_1"].b])
    np.testing.assert_allclose(solution, exact, rtol=0, atol=1e-7 if dtype == "float64" else 1e-6)
    assert found.history[-1] < found.history[0]


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
        ({"method": "bfgs"}, ValueError, ["bfgs", "l-bfgs", "newton-cg"]),
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
