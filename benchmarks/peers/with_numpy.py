"""NumPy: whole batches, updates in place."""

import numpy as np

from benchmarks.cases import LR


def start(problem, threads):
    return Arrays(problem)


class Arrays:
    def __init__(self, problem):
        self.problem, self.case = problem, problem.case
        self.W = [W.copy() for W in problem.weights]
        self.b = [b.copy() for b in problem.biases]
        self.params = [p for pair in zip(self.W, self.b, strict=True) for p in pair]
        self.m = [np.zeros_like(p) for p in self.params]
        self.v = [np.zeros_like(p) for p in self.params]
        self.t = 0

    def wait(self):
        pass

    def forward(self, X):
        values = [X]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            Z = values[-1] @ W
            Z += b
            values.append(np.tanh(Z, out=Z) if self.case.activation == "tanh" else np.maximum(Z, 0, out=Z))
        values.append(values[-1] @ self.W[-1] + self.b[-1])
        return values

    def step(self, k):
        values = self.forward(self.problem.X[k])
        if self.case.task == "predict":
            self.Y = values[-1]
            return
        d = self.slope_of_loss(values[-1], self.problem.y[k])
        self.grads = []
        for layer in reversed(range(len(self.W))):
            self.grads += [d.sum(0), values[layer].T @ d]
            if layer:
                d = d @ self.W[layer].T
                d *= 1 - values[layer] ** 2 if self.case.activation == "tanh" else values[layer] > 0
        self.grads.reverse()
        if self.case.task == "train":
            self.update()

    def slope_of_loss(self, Y, t):
        if self.case.loss == "mse":
            return (Y - t) * np.asarray(2 / Y.size, Y.dtype)
        e = np.exp(Y - Y.max(1, keepdims=True))
        e /= e.sum(1, keepdims=True)
        e[np.arange(len(t)), t] -= 1
        e /= len(t)
        return e

    def update(self):
        self.t += 1
        root = np.sqrt(1 - 0.999**self.t).astype(self.problem.dtype)
        rate = np.asarray(LR / (1 - 0.9**self.t), self.problem.dtype)
        for p, g, m, v in zip(self.params, self.grads, self.m, self.v, strict=True):
            if self.case.optimizer == "sgd":
                p -= LR * g
                continue
            m *= 0.9
            m += 0.1 * g
            v *= 0.999
            v += 0.001 * (g * g)
            p -= rate * m / (np.sqrt(v) / root + 1e-8)

    def result(self):
        return {"train": lambda: self.params, "gradient": lambda: self.grads, "predict": lambda: [self.Y]}[
            self.case.task
        ]()
