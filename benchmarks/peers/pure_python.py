"""Pure Python: lists, the way a textbook writes it."""

import math

from benchmarks.cases import LR, operations

MOST = 5e7  # floating-point operations of a step that are worth waiting for


def start(problem, threads):
    return Lists(problem) if operations(problem.case) <= MOST else None


class Lists:
    def __init__(self, problem):
        self.case = problem.case
        self.W = [W.tolist() for W in problem.weights]
        self.b = [b.tolist() for b in problem.biases]
        self.X = [X.tolist() for X in problem.X]
        self.y = [y.tolist() for y in problem.y]
        self.t = 0
        self.moments = [
            ([[0.0] * len(row) for row in W], [[0.0] * len(row) for row in W], [0.0] * len(b), [0.0] * len(b))
            for W, b in zip(self.W, self.b, strict=True)
        ]

    def wait(self):
        pass

    def forward(self, x):
        """The values of every layer for one row."""
        f = math.tanh if self.case.activation == "tanh" else lambda z: max(z, 0.0)
        values = [x]
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            z = [sum(v * row[j] for v, row in zip(values[-1], W, strict=True)) + b[j] for j in range(len(b))]
            values.append(z if layer == len(self.W) - 1 else [f(v) for v in z])
        return values

    def slope_of_loss(self, y, t):
        rows = self.case.rows
        if self.case.loss == "mse":
            return [2 * (a - b) / (rows * len(y)) for a, b in zip(y, t, strict=True)]
        most = max(y)
        e = [math.exp(v - most) for v in y]
        total = sum(e)
        return [(v / total - (j == t)) / rows for j, v in enumerate(e)]

    def step(self, k):
        if self.case.task == "predict":
            self.Y = [self.forward(x)[-1] for x in self.X[k]]
            return
        dW = [[[0.0] * len(row) for row in W] for W in self.W]
        db = [[0.0] * len(b) for b in self.b]
        for x, t in zip(self.X[k], self.y[k], strict=True):
            values = self.forward(x)
            delta = self.slope_of_loss(values[-1], t)
            for layer in reversed(range(len(self.W))):
                for row, v in zip(dW[layer], values[layer], strict=True):
                    for j, d in enumerate(delta):
                        row[j] += v * d
                for j, d in enumerate(delta):
                    db[layer][j] += d
                if layer:
                    below = [sum(w * d for w, d in zip(row, delta, strict=True)) for row in self.W[layer]]
                    delta = [d * self.slope(v) for d, v in zip(below, values[layer], strict=True)]
        self.gradients = (dW, db)
        if self.case.task == "train":
            self.update(dW, db)

    def slope(self, v):
        return 1 - v * v if self.case.activation == "tanh" else float(v > 0)

    def update(self, dW, db):
        self.t += 1
        for layer, (MW, VW, Mb, Vb) in enumerate(self.moments):
            for p, g, m, v in zip(self.W[layer], dW[layer], MW, VW, strict=True):
                self.rule(p, g, m, v)
            self.rule(self.b[layer], db[layer], Mb, Vb)

    def rule(self, p, g, m, v):
        if self.case.optimizer == "sgd":
            for i, d in enumerate(g):
                p[i] -= LR * d
            return
        scale1, scale2 = 1 / (1 - 0.9**self.t), 1 / (1 - 0.999**self.t)
        for i, d in enumerate(g):
            m[i] = 0.9 * m[i] + 0.1 * d
            v[i] = 0.999 * v[i] + 0.001 * d * d
            p[i] -= LR * m[i] * scale1 / (math.sqrt(v[i] * scale2) + 1e-8)

    def result(self):
        if self.case.task == "predict":
            return [self.Y]
        parts = (self.W, self.b) if self.case.task == "train" else self.gradients
        return [p for pair in zip(*parts, strict=True) for p in pair]
