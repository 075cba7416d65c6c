"""The grid: one row per case, and the data that every peer gets."""

from typing import NamedTuple

import numpy as np

LR = 1e-3


class Case(NamedTuple):
    """A net and the call that is timed: `step` on one batch.

    `task` is "train" (a training step), "gradient" (loss and gradient), "predict", "jacobian" (of each row) or
    "rows" (the gradient of each row by itself). `aim` is how many times faster than the fastest peer we aim to be with
    one thread, `peak` the fraction of the FMA peak that we aim for.
    """

    widths: tuple[int, ...]
    activation: str
    rows: int
    loss: str = "cross_entropy"
    optimizer: str = "adam"
    task: str = "train"
    dtype: str | None = None  # the only dtype of the case, if any
    aim: float = 1.0
    peak: float | None = None


CASES = {
    "rl": Case((4, 64, 64, 2), "tanh", 32, "mse", aim=14, peak=0.40),
    "digits": Case((64, 100, 10), "relu", 200, aim=2.5, peak=0.50),
    "mnist": Case((784, 128, 10), "relu", 128, aim=1.7, peak=0.72),
    "deep": Case((32, *[64] * 8, 1), "tanh", 64, "mse", aim=4, peak=0.60),
    "mid": Case((784, 512, 512, 10), "relu", 128, aim=1.3, peak=0.76),
    "large": Case((1024, 2048, 2048, 10), "relu", 512, aim=1.03, peak=0.82),
    "simplechains": Case((4, 32, 16, 4), "tanh", 10_000, "mse", aim=5),
    "gradient": Case((24, 8, 2), "tanh", 200, "mse", task="gradient", dtype="float64", aim=10),
    "online": Case((16, 32, 1), "tanh", 1, "mse", "sgd", aim=30),
    "predict_one": Case((4, 64, 64, 2), "tanh", 1, "mse", task="predict", aim=10),
    "predict_many": Case((784, 128, 10), "relu", 1024, task="predict", aim=1.2, peak=0.80),
    "jacobian": Case((3, 64, 5), "tanh", 128, "mse", task="jacobian", dtype="float64", aim=5),
    "jacobian_wide": Case((6, 128, 128, 6), "tanh", 1024, "mse", task="jacobian", dtype="float64", aim=1.5),
    "row_gradients": Case((20, 64, 64, 1), "tanh", 256, "mse", task="rows", dtype="float64", aim=3),
}


class Problem(NamedTuple):
    """A case with its data: initial values, and some batches to go through in turn."""

    case: Case
    dtype: np.dtype
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    X: list[np.ndarray]
    y: list[np.ndarray]


def problem(case: Case, dtype: str) -> Problem:
    """Draw the data of a case, the same for every peer."""
    rng = np.random.default_rng(0)
    kind = np.dtype(case.dtype or dtype)
    # More batches of single rows, or the beginning and end of an epoch would take longer than its steps.
    batches = max(1, min(64 if case.rows > 1 else 1024, 2_000_000 // (case.rows * case.widths[0])))
    pairs = list(zip(case.widths, case.widths[1:], strict=False))
    weights = [rng.normal(0, 1 / np.sqrt(i), (i, o)).astype(kind) for i, o in pairs]
    biases = [rng.normal(0, 0.1, o).astype(kind) for _, o in pairs]
    X = [rng.normal(size=(case.rows, case.widths[0])).astype(kind) for _ in range(batches)]
    if case.loss == "cross_entropy":
        y = [rng.integers(0, case.widths[-1], case.rows) for _ in range(batches)]
    else:
        y = [rng.normal(size=(case.rows, case.widths[-1])).astype(kind) for _ in range(batches)]
    return Problem(case, kind, weights, biases, X, y)


def operations(case: Case) -> float:
    """Floating-point operations of the products of one step."""
    products = [i * o for i, o in zip(case.widths, case.widths[1:], strict=False)]
    if case.task == "predict":
        return 2.0 * case.rows * sum(products)
    if case.task == "jacobian":  # forward, and backward from each output
        return 2.0 * case.rows * sum(products) * (1 + case.widths[-1])
    return 2.0 * case.rows * (3 * sum(products) - products[0])
