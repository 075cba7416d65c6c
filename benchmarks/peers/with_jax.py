"""JAX: one jitted function a step, its arguments donated."""

import jax
import jax.numpy as jnp

from benchmarks.cases import LR

TASKS = ("train", "gradient", "predict", "jacobian", "rows")


def start(problem, threads):
    jax.config.update("jax_enable_x64", problem.dtype.name == "float64")
    return Jitted(problem)


class Jitted:
    def __init__(self, problem):
        case = self.case = problem.case
        self.params = [(jnp.array(W), jnp.array(b)) for W, b in zip(problem.weights, problem.biases, strict=True)]
        zeros = jax.tree.map(jnp.zeros_like, self.params)
        self.state = (zeros, jax.tree.map(jnp.zeros_like, self.params), jnp.zeros((), problem.dtype))
        self.X = [jnp.array(X) for X in problem.X]
        self.y = [jnp.array(y) for y in problem.y]

        def forward(params, X):
            for W, b in params[:-1]:
                X = jnp.tanh(X @ W + b) if case.activation == "tanh" else jax.nn.relu(X @ W + b)
            W, b = params[-1]
            return X @ W + b

        def objective(params, X, y):
            Y = forward(params, X)
            if case.loss == "mse":
                return jnp.mean((Y - y) ** 2)
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(Y), y[:, None], 1))

        def train(params, state, X, y):
            value, grads = jax.value_and_grad(objective)(params, X, y)
            if case.optimizer == "sgd":
                return jax.tree.map(lambda p, g: p - LR * g, params, grads), state, value
            m, v, t = state
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
            rate, root = LR / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
            params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), params, m, v)
            return params, (m, v, t), value

        self.train = jax.jit(train, donate_argnums=(0, 1))
        self.forward = jax.jit(forward)
        self.gradient = jax.jit(jax.value_and_grad(objective))
        self.jacobian = jax.jit(jax.vmap(self.mode(forward, argnums=1), in_axes=(None, 0)))
        self.rows = jax.jit(jax.vmap(jax.grad(objective), in_axes=(None, 0, 0)))

    mode = staticmethod(jax.jacrev)

    def step(self, k):
        if self.case.task == "train":
            self.params, self.state, self.last = self.train(self.params, self.state, self.X[k], self.y[k])
        elif self.case.task == "gradient":
            self.last = self.gradient(self.params, self.X[k], self.y[k])
        elif self.case.task == "jacobian":
            self.last = self.jacobian(self.params, self.X[k])
        elif self.case.task == "rows":
            self.last = self.rows(self.params, self.X[k], self.y[k])
        else:
            self.last = self.forward(self.params, self.X[k])

    def wait(self):
        jax.block_until_ready((self.params, self.last))

    def result(self):
        if self.case.task in ("predict", "jacobian"):
            return [self.last]
        if self.case.task == "rows":
            rows = [part.reshape(self.case.rows, -1) for part in jax.tree.leaves(self.last)]
            return [jnp.concatenate(rows, axis=1)]
        return jax.tree.leaves(self.params if self.case.task == "train" else self.last[1])
