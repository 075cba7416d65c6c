"""Numba: the whole step, or an epoch of steps, in one compiled function; products by `np.dot`, all else in loops."""

import numba
import numpy as np

from benchmarks.cases import LR


def start(problem, threads):
    numba.set_num_threads(threads)
    return Compiled(problem)


@numba.njit(fastmath=True)
def activated(Y, tanh):
    Z = Y.reshape(-1)
    for i in range(Z.size):
        Z[i] = np.tanh(Z[i]) if tanh else max(Z[i], Z.dtype.type(0))


@numba.njit(fastmath=True)
def times_slope(Y, dY, tanh):
    y, d = Y.reshape(-1), dY.reshape(-1)
    one = y.dtype.type(1)
    for i in range(y.size):
        if tanh:
            d[i] *= one - y[i] * y[i]
        elif y[i] <= 0:
            d[i] = 0


@numba.njit(fastmath=True)
def forward(X, W, b, Y, tanh):
    A = X
    for layer in range(len(W)):
        np.dot(A, W[layer], Y[layer])
        for n in range(Y[layer].shape[0]):
            for o in range(Y[layer].shape[1]):
                Y[layer][n, o] += b[layer][o]
        if layer < len(W) - 1:
            activated(Y[layer], tanh)
        A = Y[layer]


@numba.njit(fastmath=True)
def squared_error(Y, t, dY):
    scale = Y.dtype.type(2 / Y.size)
    for n in range(Y.shape[0]):
        for o in range(Y.shape[1]):
            dY[n, o] = (Y[n, o] - t[n, o]) * scale


@numba.njit(fastmath=True)
def cross_entropy(Y, t, dY):
    for n in range(Y.shape[0]):
        most, total = Y[n].max(), Y.dtype.type(0)
        for o in range(Y.shape[1]):
            dY[n, o] = np.exp(Y[n, o] - most)
            total += dY[n, o]
        for o in range(Y.shape[1]):
            dY[n, o] /= total * Y.shape[0]
        dY[n, t[n]] -= Y.dtype.type(1 / Y.shape[0])


@numba.njit(fastmath=True)
def backward(X, W, Y, dY, dW, db, tanh):
    for layer in range(len(W) - 1, -1, -1):
        A = Y[layer - 1] if layer else X
        np.dot(A.T, dY[layer], dW[layer])
        db[layer][:] = 0
        for n in range(dY[layer].shape[0]):
            for o in range(dY[layer].shape[1]):
                db[layer][o] += dY[layer][n, o]
        if layer:
            np.dot(dY[layer], W[layer].T, dY[layer - 1])
            times_slope(Y[layer - 1], dY[layer - 1], tanh)


@numba.njit(fastmath=True)
def adam(p, g, m, v, rate, root):
    p, g, m, v = p.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    kind = p.dtype.type
    first, second, tiny, root, rate = kind(0.1), kind(0.001), kind(1e-8), kind(root), kind(rate)
    for i in range(p.size):
        m[i] += first * (g[i] - m[i])
        v[i] += second * (g[i] * g[i] - v[i])
        p[i] -= rate * m[i] / (np.sqrt(v[i]) * root + tiny)


@numba.njit(fastmath=True)
def sgd(p, g):
    p, g = p.reshape(-1), g.reshape(-1)
    rate = p.dtype.type(LR)
    for i in range(p.size):
        p[i] -= rate * g[i]


class Compiled:
    def __init__(self, problem):
        self.problem, case = problem, problem.case
        kind, widths = problem.dtype, case.widths[1:]
        self.W, self.b = (tuple(p.copy() for p in parts) for parts in (problem.weights, problem.biases))
        self.dW, self.db = (tuple(map(np.zeros_like, parts)) for parts in (self.W, self.b))
        self.moments = tuple(tuple(map(np.zeros_like, parts)) for parts in (self.W, self.b, self.W, self.b))
        self.Y, self.dY = (tuple(np.zeros((case.rows, w), kind) for w in widths) for _ in range(2))
        self.X, self.y, self.t = np.stack(problem.X), np.stack(problem.y), 0
        self.steps = _steps(case.loss, case.optimizer, case.activation == "tanh")

    def step(self, k):
        if self.problem.case.task == "predict":
            forward(self.X[k], self.W, self.b, self.Y, self.problem.case.activation == "tanh")
            return
        self._run(self.X[k : k + 1], self.y[k : k + 1])

    def several(self, count):
        if self.problem.case.task != "train":
            for k in range(count):
                self.step(k % len(self.X))
            return count
        epochs = max(1, round(count / len(self.X)))
        for _ in range(epochs):
            self._run(self.X, self.y)
        return epochs * len(self.X)

    def _run(self, X, y):
        update = self.problem.case.task == "train"
        self.steps(X, y, self.W, self.b, self.dW, self.db, self.Y, self.dY, self.moments, self.t + 1, update)
        self.t += len(X)

    def wait(self):
        pass

    def result(self):
        if self.problem.case.task == "predict":
            return [self.Y[-1]]
        both = (self.W, self.b) if self.problem.case.task == "train" else (self.dW, self.db)
        return [part for pair in zip(*both, strict=True) for part in pair]


def _steps(loss, optimizer, tanh):
    slope = squared_error if loss == "mse" else cross_entropy
    is_adam = optimizer == "adam"

    @numba.njit(fastmath=True)
    def steps(X, y, W, b, dW, db, Y, dY, moments, t, update):
        mW, mb, vW, vb = moments
        for k in range(X.shape[0]):
            forward(X[k], W, b, Y, tanh)
            slope(Y[-1], y[k], dY[-1])
            backward(X[k], W, Y, dY, dW, db, tanh)
            if not update:
                continue
            rate, root = LR / (1 - 0.9 ** (t + k)), 1 / np.sqrt(1 - 0.999 ** (t + k))
            for layer in range(len(W)):
                if is_adam:
                    adam(W[layer], dW[layer], mW[layer], vW[layer], rate, root)
                    adam(b[layer], db[layer], mb[layer], vb[layer], rate, root)
                else:
                    sgd(W[layer], dW[layer])
                    sgd(b[layer], db[layer])

    return steps
