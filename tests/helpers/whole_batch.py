"""Problems for the methods on the whole batch, and what their derivatives must be."""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp.training.least_squares import Problem
from fastbp.training.objective import Objective

optimize = pytest.importorskip("scipy.optimize")


METHODS = ["lm", "l-bfgs", "bfgs", "cg", "newton-cg"]


def curve(rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, rows)[:, None]
    return x, np.hstack([np.sin(4 * x), np.exp(x) * x])


def net_of(dtype: str = "float64", *, inputs: int = 1, outputs: int = 2, hidden: int = 6, seed: int = 3) -> fb.Model:
    layers = [fb.Dense(hidden, "tanh"), fb.Dense(outputs)]
    return fb.Sequential(fb.Input(inputs), *layers, dtype=dtype, seed=seed)


def two_headed(case: str) -> tuple[Problem, np.ndarray, float]:
    """Two heads of two widths, their Jacobian by differences, and their loss: plain, weighted or with gaps."""
    rng = np.random.default_rng(20240229)
    x = fb.Input(3)
    h = fb.Dense(4, "tanh")(x)
    net = fb.Model(x, [fb.Dense(2)(h), fb.Dense(1, "sigmoid")(h)], dtype="float64", seed=0)
    X, ys = rng.normal(size=(7, 3)), (rng.normal(size=(7, 2)), rng.normal(size=(7, 1)))
    losses, weights, shares = ["mse", "mse"], None, None
    if case == "weighted":
        weights, shares = (rng.uniform(0.5, 2, size=7), rng.uniform(0.5, 2, size=(7, 1))), (0.3, 2.0)
    if case == "gaps":
        losses = [0.7 * fb.losses.MSE(mask_nan=True), fb.losses.MSE(mask_nan=True)]
        ys[0][[0, 2, 5, 5], [0, 1, 0, 1]] = ys[1][1:5] = np.nan
    objective = Objective(losses, net, shares)
    objective.divide_by_weights()
    problem = Problem(net, objective, (X,), objective.targets(ys, 7), weights)
    theta = net.params.copy()

    def r(at: np.ndarray) -> np.ndarray:
        net.params = at
        return np.concatenate([part.ravel() for part in problem.residuals()])

    J = np.stack([(r(theta + e) - r(theta - e)) / 2e-6 for e in 1e-6 * np.eye(theta.size)], axis=1)
    net.params = theta
    return problem, J, objective(net.programs.predict((X,)), problem.ts, weights)[0]


def assert_normal_equations(problem: Problem, J: np.ndarray, value: float) -> None:
    gradient, square = problem.normal_equations(problem.residuals())
    r = np.concatenate([part.ravel() for part in problem.residuals()])
    assert r @ r == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, J.T @ r, rtol=0, atol=1e-8)
    np.testing.assert_allclose(square, J.T @ J, rtol=0, atol=1e-8)


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
