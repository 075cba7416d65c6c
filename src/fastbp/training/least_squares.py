"""The Levenberg-Marquardt method: nonlinear least squares on the residuals of a network.

J is the Jacobian of all outputs of all rows with respect to the parameters. The engine's backward passes compute it row
by row, one output after the other, and its kernels sum J'J in blocks of rows, so that J is never stored whole. A QR
decomposition of J, as in MINPACK, is twice as accurate in bad cases but needs memory for all of J.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastbp import _engine
from fastbp.losses.loss import Loss

BLOCK_BYTES = 1 << 24  # bytes of J at a time
DAMPING = 1e-3  # initial damping relative to the largest diagonal element of J'J: Nielsen's tau for a good start


class Problem(NamedTuple):
    """A network with its checked data."""

    net: Any
    objective: Any
    xs: tuple[np.ndarray, ...]
    ts: tuple[np.ndarray, ...]
    weights: tuple[Any, ...] | None  # for each output

    def factors(self) -> tuple[np.ndarray, list[float]]:
        """Factors of the residuals, whose sum of squares is the loss: one per row, and one per output."""
        rows = len(self.xs[0])
        weights = np.ones(rows) if self.weights is None else self.weights[0]
        return np.sqrt(weights / weights.sum()), [t.shape[1] ** -0.5 for t in self.ts]

    def residuals(self) -> list[np.ndarray]:
        """(Y - t) of each output, times the factors."""
        of_rows, of_outputs = self.factors()
        ys = self.net.programs.predict(self.xs)
        return [(y - t) * of_rows[:, None] * f for y, t, f in zip(ys, self.ts, of_outputs, strict=True)]

    def normal_equations(self) -> tuple[float, np.ndarray, np.ndarray]:
        """The sum of squares, J'r and J'J."""
        residuals, size = self.residuals(), self.net.params.size
        of_rows, of_outputs = self.factors()
        gradient, square = np.zeros(size), np.zeros((size, size))
        block = max(1, BLOCK_BYTES // (8 * size))
        for first in range(0, len(of_rows), block):
            part = slice(first, first + block)
            xs, rows = tuple(x[part] for x in self.xs), of_rows[part]
            J = np.empty((len(rows), size))
            for k, (residual, factor) in enumerate(zip(residuals, of_outputs, strict=True)):
                for column in range(residual.shape[1]):
                    seeds = tuple(np.zeros((len(rows), r.shape[1])) for r in residuals)
                    seeds[k][:, column] = rows * factor
                    self.net.programs.derivatives.rows_gradients(xs, seeds, None, J, None)
                    _engine.functional.add_gram(J, square)
                    gradient += residual[part, column] @ J
        return sum(float((r * r).sum()) for r in residuals), gradient, square


def _plain_mse(loss):
    return isinstance(loss, Loss) and loss.__name__ == "mse" and loss.weight == 1 and not loss.settings["mask_nan"]


def _one_a_row(first, weights):
    return weights is not None and weights.ndim == 1 and np.array_equal(weights, first)


def levenberg_marquardt(problem: Problem, max_iter: int, tol: float, watch: Callable[[float], bool]) -> tuple:
    """Parameters, loss, passes, whether it converged, and the reason. Madsen, Nielsen and Tingleff 2004."""
    net = problem.net
    if not all(map(_plain_mse, problem.objective.losses)) or set(problem.objective.shares) != {1}:
        raise ValueError('method "lm" is for least squares: it wants the loss "mse"')
    if problem.weights is not None and not all(map(partial(_one_a_row, problem.weights[0]), problem.weights)):
        raise ValueError('method "lm" wants a sample_weight of shape (rows,), the same for all outputs')
    theta, growth = net.params.copy(), 2.0
    loss, gradient, square = problem.normal_equations()
    outputs = sum(t.shape[1] for t in problem.ts)
    passes, damping = outputs, DAMPING * square.diagonal().max()
    watch(loss)
    for _ in range(max_iter):
        if 2 * np.abs(gradient).max() <= tol:
            return theta, loss, passes, True, "no derivative is above tol"
        while True:
            step = _step(square, gradient, damping)
            if np.linalg.norm(step) <= 1e-15 * (np.linalg.norm(theta) + 1e-15):
                net.params = theta
                return theta, loss, passes, True, "a step changes nothing"
            net.params = theta + step
            passes += 1
            value = sum(float((r * r).sum()) for r in problem.residuals())
            # The reduction predicted by the linear model is step' (damping step - gradient).
            gain = (loss - value) / float(step @ (damping * step - gradient))
            if value < loss:
                break
            damping, growth = damping * growth, growth * 2
        theta, growth = theta + step, 2.0
        damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
        loss, gradient, square = problem.normal_equations()
        passes += outputs
        if watch(loss):
            return theta, loss, passes, False, "the callback stopped it"
    return theta, loss, passes, False, "max_iter iterations are done"


def _step(square, gradient, damping):
    damped = square + damping * np.eye(len(square))
    try:
        return np.linalg.solve(damped, -gradient)
    except np.linalg.LinAlgError:  # singular to the last bit
        return np.linalg.lstsq(damped, -gradient, rcond=None)[0]
