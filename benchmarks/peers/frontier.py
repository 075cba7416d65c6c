"""No library: a loop in C that is compiled for the case, the bound for what any library can reach (frontier.c)."""

import ctypes
from pathlib import Path

import numpy as np

from benchmarks.cases import LR
from benchmarks.peak import compiled

SOURCE = Path(__file__).parents[1] / "frontier.c"
WIDEST = 1024  # beyond it products want blocks for the caches, which this loop has not


def start(problem, threads):
    return Compiled(problem) if max(problem.case.widths) < WIDEST and threads == 1 else None


class Compiled:
    def __init__(self, problem):
        case, real = problem.case, problem.dtype
        pairs = list(zip(case.widths, case.widths[1:], strict=False))
        rows = [f"L({k},{max(k - 1, 0)},{i},{o})" for k, (i, o) in enumerate(pairs)]
        defined = {
            "REAL": "float" if real == np.float32 else "double",
            "ROWS": case.rows,
            "LAYERS": " ".join(rows),
            "BACKWARDS": " ".join(reversed(rows)),
            "LAST": len(pairs) - 1,
            "INPUTS": case.widths[0],
            "OUTPUTS": case.widths[-1],
        }
        words = [f"-D{name}={value}" for name, value in defined.items()]
        flags = {"-DTANH": case.activation == "tanh", "-DMSE": case.loss == "mse", "-DADAM": case.optimizer == "adam"}
        words += [flag for flag, wanted in flags.items() if wanted]
        self.c = compiled(SOURCE, "-O3", "-ffast-math", *words)
        self.c.train.restype = self.c.gradient.restype = ctypes.c_double
        self.problem, self.case = problem, case
        self.shapes = pairs
        for k, (W, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
            self.c.exchange(k, 0, *map(_pointer, (W, b)))
        self.batches = np.stack(problem.X), np.stack(problem.y)
        self.X, self.y = ([_pointer(batch) for batch in batches] for batches in self.batches)
        self.Y = np.empty((case.rows, case.widths[-1]), real)
        self.out, self.rate = _pointer(self.Y), ctypes.c_double(LR)

    def step(self, k):
        self._run(k, 1)

    def several(self, count):
        """The loop lies in C too: the bound holds for a library without Python."""
        left = count
        while left > 0:
            self._run(0, min(left, len(self.X)))
            left -= len(self.X)
        return count

    def _run(self, k, batches):
        if self.case.task == "train":
            self.c.train(self.X[k], self.y[k], batches, self.rate)
        elif self.case.task == "gradient":
            self.c.gradient(self.X[k], self.y[k], batches)
        else:
            self.c.predict(self.X[k], self.out, batches)

    def wait(self):
        pass

    def result(self):
        if self.case.task == "predict":
            return [self.Y]
        parts = []
        for k, (i, o) in enumerate(self.shapes):
            W, b = np.empty((i, o), self.problem.dtype), np.empty(o, self.problem.dtype)
            self.c.exchange(k, 1 if self.case.task == "train" else 2, *map(_pointer, (W, b)))
            parts += [W, b]
        return parts


def _pointer(array):
    return ctypes.c_void_p(array.ctypes.data)
