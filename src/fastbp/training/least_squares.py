"""The Levenberg-Marquardt method: nonlinear least squares on the residuals of a network.

J is the Jacobian of the residuals with respect to the parameters: a row for each known target. The engine's backward
passes compute it row by row, one column of the outputs after the other, and a kernel adds one triangle of J'J in blocks
of rows, so that J is never stored whole. A QR decomposition of J, as in MINPACK, is twice as accurate in bad cases but
needs memory for all of J. Steps have the geodesic acceleration of Transtrum and Sethna (2012): a step bends as the
residuals do, at the cost of two forward passes, one backward pass and a solution with the same factor.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp._optional import package
from fastbp.errors import DivergenceError
from fastbp.losses.loss import Loss

BLOCK_BYTES = 1 << 22  # bytes of J at a time: 4 MB stay in a cache while the kernel reads them for each of its panels
DAMPING = 1e-3  # initial damping relative to the largest diagonal element of J'J: Nielsen's tau for a good start
FEW = 256  # parameters, below which the factorization never takes as long as the import of SciPy, half a second
SQUARE = 64  # columns of a mirrored part of J'J
SHORT = 0.1  # fraction of a step over which the second derivative along it is measured, as in Transtrum and Sethna
BEND = 0.375  # largest acceleration, relative to the step, that still counts as a small correction: theirs is 0.75 / 2


class Problem:
    """A network with its checked data, whose loss is a sum of squares."""

    def __init__(self, net: Any, objective: Any, xs: tuple, ts: tuple, weights: tuple | None):
        self.net, self.objective, self.xs, self.ts, self.weights = net, objective, xs, ts, weights

    @cached_property
    def factors(self) -> list[np.ndarray]:
        """Factors of Y - t that make the sum of squares the loss; 0 for a missing target.

        They follow from the loss's gradient where each Y - t is 1: it is 2 factor**2, with all masks and weights.
        """
        missed = tuple(np.where(np.isnan(t), 0.0, t) + 1.0 for t in self.ts)
        _, gradients = self.objective(missed, self.ts, self.weights)
        return [np.sqrt(0.5 * gradient) for gradient in gradients]

    def residuals(self) -> list[np.ndarray]:
        """(Y - t) times the factors, for each output."""
        ys = self.net.programs.predict(self.xs)
        return [
            np.where(factor > 0, y - t, 0.0) * factor for y, t, factor in zip(ys, self.ts, self.factors, strict=True)
        ]

    def acceleration(self, theta: np.ndarray, step: np.ndarray, residuals: list, square: np.ndarray) -> np.ndarray:
        """J' times the second derivative of the residuals along a step, by their difference over SHORT * step."""
        with np.errstate(over="ignore", invalid="ignore"):  # steps that are not finite are not taken
            self.net.params = theta + SHORT * step
            moved = [after - before for after, before in zip(self.residuals(), residuals, strict=True)]
            self.net.params = theta
            self.net.programs.forward(self.xs, False)
            self.net.programs.backward(tuple(f * r for f, r in zip(self.factors, moved, strict=True)), False)
            first = np.where(self.net.programs.trained(), self.net.grads, 0)
            return 2 / SHORT * (first / SHORT - square @ step)

    def columns(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Blocks of rows with a nonzero factor, with their output and column."""
        block = max(1, BLOCK_BYTES // (8 * self.net.params.size))
        for k, factor in enumerate(self.factors):
            for column in range(factor.shape[1]):
                rows = np.flatnonzero(factor[:, column])
                for first in range(0, len(rows), block):
                    yield k, column, rows[first : first + block]

    def normal_equations(self, residuals: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """J'r and J'J."""
        size = self.net.params.size
        gradient, square = np.zeros(size), np.zeros((size, size))
        for k, column, rows in self.columns():
            seeds = tuple(np.zeros((len(rows), r.shape[1])) for r in residuals)
            seeds[k][:, column] = self.factors[k][rows, column]
            J = np.empty((len(rows), size))
            xs = tuple(np.ascontiguousarray(x[rows]) for x in self.xs)
            self.net.programs.derivatives.rows_gradients(xs, seeds, None, J, None)
            _engine.functional.add_gram(J, square)
            gradient += residuals[k][rows, column] @ J
        _mirror(square)
        return gradient, square


def _sum_of_squares(residuals):
    return sum(float((r * r).sum()) for r in residuals)


def _mirror(square):
    """Copy the elements above the diagonal below it."""
    for first in range(0, len(square), SQUARE):
        after = first + SQUARE
        corner = square[first:after, first:after]
        corner[...] = np.triu(corner) + np.triu(corner, 1).T
        square[after:, first:after] = square[first:after, after:].T


def levenberg_marquardt(problem: Problem, max_iter: int, tol: float, watch: Callable[[float], bool]) -> tuple:
    """Parameters, loss, passes, whether it converged, and the reason. Madsen, Nielsen and Tingleff 2004."""
    net = problem.net
    if not all(isinstance(loss, Loss) and loss.__name__ == "mse" for loss in problem.objective.losses):
        raise ValueError('method "lm" is for least squares: it wants the loss "mse"')
    theta, growth, factor = net.params.copy(), 2.0, _solver(net.params.size)
    residuals = problem.residuals()
    loss, (gradient, square) = _sum_of_squares(residuals), problem.normal_equations(residuals)
    if not math.isfinite(loss) or not np.isfinite(square).all():
        raise DivergenceError(f"the loss is {loss} at the start, or a derivative of the outputs is not finite")
    outputs = sum(t.shape[1] for t in problem.ts)
    passes, damping = outputs, DAMPING * square.diagonal().max()
    watch(loss)
    for _ in range(max_iter):
        if 2 * np.abs(gradient).max() <= tol:
            return theta, loss, passes, True, f"no derivative of the loss is above tol, {tol:g}"
        while True:
            solve = factor(square, damping)
            straight = solve(-gradient)
            if np.linalg.norm(straight) <= 1e-15 * (np.linalg.norm(theta) + 1e-15):
                net.params = theta
                return theta, loss, passes, True, "a step changes nothing: no smaller loss is near"
            bend = solve(-0.5 * problem.acceleration(theta, straight, residuals, square))
            small = np.linalg.norm(bend) <= BEND * np.linalg.norm(straight)
            step = straight + bend if small else straight
            net.params = theta + step
            residuals_after = problem.residuals()
            passes += 3
            value = _sum_of_squares(residuals_after)
            # The decrease predicted by the linear model is straight' (damping straight - gradient).
            gain = (loss - value) / float(straight @ (damping * straight - gradient))
            if value < loss:
                break
            damping, growth = damping * growth, growth * 2
        equations = problem.normal_equations(residuals_after)
        if not np.isfinite(equations[1]).all():
            net.params = theta
            return theta, loss, passes, False, "a derivative of the outputs is not finite after the next step"
        theta, growth = theta + step, 2.0
        damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
        loss, residuals, (gradient, square) = value, residuals_after, equations
        passes += outputs
        if watch(loss):
            return theta, loss, passes, False, "the callback stopped it"
    return theta, loss, passes, False, f"max_iter, {max_iter} iterations, are done"


def _solver(size):
    """A function (J'J, damping) -> (right side -> solution): by Cholesky factorization if SciPy is installed."""
    if size < FEW:
        return _by_elimination
    try:
        linalg = package("scipy.linalg", "a Cholesky factor")
    except ImportError:
        return _by_elimination

    def by_cholesky(square, damping):
        damped = square.copy()
        damped.flat[:: len(damped) + 1] += damping
        try:
            # The matrix is symmetric, so its rows are the columns that LAPACK factors in place.
            factor = linalg.cho_factor(damped.T, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            return _by_elimination(square, damping)
        return lambda right: linalg.cho_solve(factor, right, check_finite=False)

    return by_cholesky


def _by_elimination(square, damping):
    damped = square + damping * np.eye(len(square))

    def solve(right):
        try:
            return np.linalg.solve(damped, right)
        except np.linalg.LinAlgError:  # singular to the last bit
            return np.linalg.lstsq(damped, right, rcond=None)[0]

    return solve
