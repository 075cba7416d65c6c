"""Who `fastbp bench` compares with: the same training step in NumPy, PyTorch, JAX and scikit-learn.

A peer is imported on demand. All start from the same parameters and must compute the same results. More cases,
compilers and the peak of the machine are in the source tree: `python -m benchmarks`.
"""

import os
import sys
import warnings
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from fastbp._optional import package
from fastbp.model import Sequential

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


class Case(NamedTuple):
    """A net, and the batch of a step."""

    widths: tuple[int, ...]
    activation: str
    rows: int
    loss: str


class Peer:
    """A step of another library, from the parameters of a net."""

    def __init__(self, case: Case, net: Sequential, threads: int | None):
        self.case, self.params = case, [array.copy() for array in net.arrays().values()]

    def step(self, X: np.ndarray, t: np.ndarray) -> None:
        """Forward, loss, backward and update."""
        raise NotImplementedError

    def wait(self) -> None:
        """Come back when all steps are done."""

    def result(self) -> list[Any]:
        """The parameters: W and b of each layer."""
        return self.params


class InNumPy(Peer):
    """Whole batches, updates in place."""

    def __init__(self, case, net, threads):
        super().__init__(case, net, threads)
        self.t = 0
        self.means = [(np.zeros_like(p), np.zeros_like(p)) for p in self.params]

    def step(self, X, t):
        values, pairs = [X], list(zip(self.params[::2], self.params[1::2], strict=True))
        for k, (W, b) in enumerate(pairs):
            Z = values[-1] @ W
            Z += b
            if k < len(pairs) - 1:
                np.tanh(Z, out=Z) if self.case.activation == "tanh" else np.maximum(Z, 0, out=Z)
            values.append(Z)
        dZ, grads = self._slope(values[-1], t), []
        for k in reversed(range(len(pairs))):
            grads += [dZ.sum(0), values[k].T @ dZ]
            if k:
                dZ = dZ @ pairs[k][0].T
                dZ *= 1 - values[k] ** 2 if self.case.activation == "tanh" else values[k] > 0
        self._update(grads[::-1])

    def _slope(self, Y, t):
        if self.case.loss == "mse":
            return (Y - t) * np.float32(2 / Y.size)
        shares = np.exp(Y - Y.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        shares[np.arange(len(t)), t] -= 1
        shares /= len(t)
        return shares

    def _update(self, grads):
        self.t += 1
        root, rate = np.float32(np.sqrt(1 - BETA2**self.t)), np.float32(LR / (1 - BETA1**self.t))
        for p, g, (m, v) in zip(self.params, grads, self.means, strict=True):
            m *= BETA1
            m += (1 - BETA1) * g
            v *= BETA2
            v += (1 - BETA2) * (g * g)
            p -= rate * m / (np.sqrt(v) / root + EPS)


class InTorch(Peer):
    """Eager, with the fused Adam."""

    def __init__(self, case, net, threads):
        self.torch = torch = package("torch", "bench --peers torch")
        if threads:
            torch.set_num_threads(threads)
        self.module = net.to_torch().train()
        self.loss = torch.nn.MSELoss() if case.loss == "mse" else torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=LR, betas=(BETA1, BETA2), eps=EPS, fused=True)

    def step(self, X, t):
        self.optimizer.zero_grad()
        self.loss(self.module(self.torch.from_numpy(X)), self.torch.from_numpy(t)).backward()
        self.optimizer.step()

    def result(self):
        return [p.detach().numpy().T for p in self.module.parameters()]


class InJax(Peer):
    """One jitted function a step, its arguments donated."""

    def __init__(self, case, net, threads):
        super().__init__(case, net, threads)
        if threads == 1:  # read when JAX is loaded
            os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
        self.jax = jax = package("jax", "bench --peers jax")
        jnp = package("jax.numpy", "bench --peers jax")
        activation = jnp.tanh if case.activation == "tanh" else jax.nn.relu

        def objective(params, X, t):
            for k in range(0, len(params), 2):
                X = (activation(X) if k else X) @ params[k] + params[k + 1]
            if case.loss == "mse":
                return jnp.mean((X - t) ** 2)
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(X), t[:, None], 1))

        def step(params, means, squares, count, X, t):
            grads, count = jax.grad(objective)(params, X, t), count + 1
            means = [BETA1 * m + (1 - BETA1) * g for m, g in zip(means, grads, strict=True)]
            squares = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(squares, grads, strict=True)]
            rate, root = LR / (1 - BETA1**count), jnp.sqrt(1 - BETA2**count)
            rows = zip(params, means, squares, strict=True)
            return [p - rate * m / (jnp.sqrt(v) / root + EPS) for p, m, v in rows], means, squares, count

        self.jitted = jax.jit(step, donate_argnums=(0, 1, 2))
        zeros = [[jnp.zeros(p.shape, p.dtype) for p in self.params] for _ in range(2)]
        self.state = [jnp.array(p) for p in self.params], *zeros, jnp.zeros((), jnp.float32)

    def step(self, X, t):
        self.state = self.jitted(*self.state, X, t)

    def wait(self):
        self.jax.block_until_ready(self.state)

    def result(self):
        return list(self.state[0])


class InSklearn(Peer):
    """partial_fit of a batch."""

    def __init__(self, case, net, threads):
        models = package("sklearn.neural_network", "bench --peers sklearn")
        self.ignored = package("sklearn.exceptions", "bench --peers sklearn").ConvergenceWarning
        classifies = case.loss == "cross_entropy"
        self.est = (models.MLPClassifier if classifies else models.MLPRegressor)(
            hidden_layer_sizes=case.widths[1:-1], activation=case.activation, alpha=0.0, batch_size=case.rows,
            shuffle=False, learning_rate_init=LR, beta_1=BETA1, beta_2=BETA2,
        )  # fmt: skip
        X, t = np.zeros((case.rows, case.widths[0]), np.float32), np.arange(case.rows) % case.widths[-1]
        if not classifies:
            t = np.zeros((case.rows, case.widths[-1]), np.float32)
        self.est.partial_fit(X, self._target(t), **({"classes": np.arange(case.widths[-1])} if classifies else {}))
        arrays = list(net.arrays().values())
        for mine, start in zip((*self.est.coefs_, *self.est.intercepts_), (*arrays[::2], *arrays[1::2]), strict=True):
            mine[...] = start
        self.optimizer = self.est._optimizer  # which has made a step, since nothing else makes the layers
        self.optimizer.t = self.est.t_ = 0
        for state in (*self.optimizer.ms, *self.optimizer.vs):
            state[...] = 0

    def step(self, X, t):
        # Its epsilon stands before the correction of the bias, that of all others after it.
        self.optimizer.epsilon = EPS * (1 - BETA2 ** (self.optimizer.t + 1)) ** 0.5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.ignored)
            self.est.partial_fit(X, self._target(t))

    @staticmethod
    def _target(t):
        return t.ravel() if t.ndim == 2 and t.shape[1] == 1 else t

    def result(self):
        return [p for pair in zip(self.est.coefs_, self.est.intercepts_, strict=True) for p in pair]


PEERS: dict[str, type[Peer]] = {"numpy": InNumPy, "torch": InTorch, "jax": InJax, "sklearn": InSklearn}


def installed() -> list[str]:
    """The names of the peers that can be loaded."""
    return [name for name in PEERS if sys.modules.get(name, name) is not None and find_spec(name) is not None]
