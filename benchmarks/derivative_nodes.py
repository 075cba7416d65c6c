"""Training steps on losses of derivatives: ours, JAX as users and as experts write it, PyTorch; in interleaved rounds.

    python -m benchmarks.derivative_nodes --rounds 7

A step is loss, gradient and Adam, on one thread, in CPU time. Usual JAX code nests `jvp`, `grad` and `jacfwd` under
`vmap`; expert code carries derivatives through the layers by hand (Taylor mode, forward Laplacian). Both are jitted.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import fastbp as fb

NU = 0.01 / np.pi
# name: inputs, hidden widths, outputs of the net, rows
CASES = {
    "a: Poisson 1-32-32-1, 64 points": (1, (32, 32), 1, 64),
    "b: Burgers 2-(8 x 20)-1, 2,000 points": (2, (20,) * 8, 1, 2000),
    "b2: Burgers 2-(4 x 50)-1, 2,000 points": (2, (50,) * 4, 1, 2000),
    "c: Laplacian 6-64-64-1, 256 rows": (6, (64, 64), 1, 256),
    "d: energy and forces 30-32-32-1, 512 rows": (30, (32, 32), 1, 512),
    "e: log-det of 4-64-64-4, 256 rows": (4, (64, 64), 4, 256),
}


def model(case: str, dtype: str) -> fb.Model:
    """The net of a case, with the derivatives in its loss as outputs."""
    inputs, widths, outputs, _ = CASES[case]
    x = fb.Input(inputs)
    h: fb.layers.Node = x
    for width in widths:
        h = fb.Dense(width, "tanh")(h)
    u = fb.Dense(outputs)(h)
    kind = case.split(":")[0]
    if kind == "a":
        outs = [fb.diff(fb.diff(u, x), x)]
    elif kind in ("b", "b2"):
        ux, ut = fb.diff(u, x[:, 0]), fb.diff(u, x[:, 1])
        outs = [ut + u * ux - NU * fb.diff(ux, x[:, 0])]
    elif kind == "c":
        outs = [fb.laplacian(u, x)]
    elif kind == "d":
        outs = [u, -fb.grad(u, x)]
    else:
        outs = [u, fb.logdet(u, x)]
    return fb.Model(x, outs, dtype=dtype, seed=0)


def data(net: fb.Model, rows: int) -> tuple:
    rng = np.random.default_rng(1)
    X, *ts = (rng.normal(size=(rows, node.width)).astype(net.dtype) for node in (*net.inputs, *net.outputs))
    return X, tuple(ts)


def of_ours(net: fb.Model, X: np.ndarray, ts: tuple) -> Callable[[], object]:
    loss, y = (("mse",) * len(ts), ts) if len(ts) > 1 else ("mse", ts[0])
    trainer = fb.Trainer(net, loss=loss, optimizer=fb.Adam(lr=1e-3))
    return lambda: trainer.step(X, y)


def layers_of(net: fb.Model) -> list:
    return [(layer.W.copy(), layer.b.copy()) for layer in net.layers if isinstance(layer, fb.Dense)]


def in_jax(case: str, net: fb.Model, X: np.ndarray, ts: tuple, expert: bool) -> Callable[[], object]:
    import jax

    jax.config.update("jax_enable_x64", net.dtype == np.float64)
    import jax.numpy as jnp

    params = [(jnp.asarray(W), jnp.asarray(b)) for W, b in layers_of(net)]
    X, ts = jnp.asarray(X), tuple(map(jnp.asarray, ts))
    outputs = _expert(jnp, case) if expert else _usual(jax, jnp, case)

    def loss(params):
        return sum(jnp.mean((y - t) ** 2) for y, t in zip(outputs(params, X), ts, strict=True))

    def step(params, m, v, k):
        value, grads = jax.value_and_grad(loss)(params)
        tree = jax.tree_util.tree_map
        m, v = tree(lambda m, g: 0.9 * m + 0.1 * g, m, grads), tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        first, second = 1 / (1 - 0.9**k), 1 / (1 - 0.999**k)
        params = tree(lambda p, m, v: p - 1e-3 * first * m / (jnp.sqrt(second * v) + 1e-8), params, m, v)
        return params, m, v, k + 1, value

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    state = [params, zeros, jax.tree_util.tree_map(jnp.zeros_like, params), jnp.asarray(1, net.dtype)]

    def run():
        *state[:], value = compiled(*state)
        return float(value)

    return run


def _usual(jax, jnp, case):
    kind = case.split(":")[0]

    def net(params, x):
        for W, b in params[:-1]:
            x = jnp.tanh(x @ W + b)
        return x @ params[-1][0] + params[-1][1]

    def row(params, x):
        u = lambda x: net(params, x)  # noqa: E731
        if kind == "a":
            one = jnp.ones_like(x)
            return (jax.jvp(lambda x: jax.jvp(u, (x,), (one,))[1], (x,), (one,))[1],)
        if kind in ("b", "b2"):
            ex, et = jnp.eye(2, dtype=x.dtype)
            along = lambda x: jax.jvp(u, (x,), (ex,))  # noqa: E731
            (value, ux), (_, uxx) = jax.jvp(along, (x,), (ex,))
            return (jax.jvp(u, (x,), (et,))[1] + value * ux - NU * uxx,)
        if kind == "c":
            second = lambda e: jax.jvp(lambda x: jax.jvp(u, (x,), (e,))[1], (x,), (e,))[1]  # noqa: E731
            return (jnp.sum(jax.vmap(second)(jnp.eye(len(x), dtype=x.dtype)), axis=0),)
        if kind == "d":
            energy, slope = jax.value_and_grad(lambda x: u(x)[0])(x)
            return energy[None], -slope
        return u(x), jnp.linalg.slogdet(jax.jacfwd(u)(x))[1][None]

    return lambda params, X: jax.vmap(lambda x: row(params, x))(X)


def _expert(jnp, case):
    """Derivatives carried through the layers: tangents T (directions, rows, width), one sum S of second derivatives."""
    kind = case.split(":")[0]

    def carried(params, X, seconds):
        """Value, tangents along all inputs, and the sum of the second derivatives along the inputs `seconds`."""
        n = X.shape[1]
        Z = X @ params[0][0] + params[0][1]
        T = jnp.broadcast_to(params[0][0][:, None, :], (n, *Z.shape))
        S = None
        for W, b in params[1:]:
            Y = jnp.tanh(Z)
            s = 1 - Y * Y
            if seconds:
                q = sum(T[i] * T[i] for i in seconds)
                S = -2 * Y * s * q if S is None else s * S - 2 * Y * s * q
            T = s * T
            Z = Y @ W + b
            T = T @ W
            if seconds:
                S = S @ W
        return Z, T, S

    def backward(params, X):
        Ys = [X]
        for W, b in params[:-1]:
            Ys.append(jnp.tanh(Ys[-1] @ W + b))
        G = jnp.broadcast_to(params[-1][0][:, 0], Ys[-1].shape)
        for (W, _), Y in zip(params[-2::-1], Ys[:0:-1], strict=True):
            G = (G * (1 - Y * Y)) @ W.T
        return Ys[-1] @ params[-1][0] + params[-1][1], -G

    def outputs(params, X):
        if kind == "d":
            return backward(params, X)
        u, T, S = carried(params, X, {"a": (0,), "b": (0,), "b2": (0,), "c": tuple(range(6)), "e": ()}[kind])
        if kind in ("a", "c"):
            return (S,)
        if kind in ("b", "b2"):
            return (T[1] + u * T[0] - NU * S,)
        return u, jnp.linalg.slogdet(jnp.transpose(T, (1, 2, 0)))[1][:, None]

    return outputs


def in_torch(case: str, net: fb.Model, X: np.ndarray, ts: tuple) -> Callable[[], object]:
    import torch

    torch.set_num_threads(1)
    kind = case.split(":")[0]
    params = [[torch.tensor(part, requires_grad=True) for part in layer] for layer in layers_of(net)]
    inputs = torch.tensor(X, requires_grad=True)
    targets = [torch.tensor(t) for t in ts]
    optimizer = torch.optim.Adam([part for layer in params for part in layer], lr=1e-3)

    def slope(u):
        return torch.autograd.grad(u.sum(), inputs, create_graph=True)[0]

    def outputs():
        h = inputs
        for W, b in params[:-1]:
            h = torch.tanh(h @ W + b)
        u = h @ params[-1][0] + params[-1][1]
        if kind == "d":
            return u, -slope(u)
        if kind == "e":
            return u, torch.linalg.slogdet(torch.stack([slope(u[:, k]) for k in range(u.shape[1])], 1))[1][:, None]
        first = slope(u)
        if kind == "c":
            return (sum(slope(first[:, k])[:, k : k + 1] for k in range(first.shape[1])),)
        second = slope(first[:, 0])[:, :1]
        return (second,) if kind == "a" else (first[:, 1:] + u * first[:, :1] - NU * second,)

    def run():
        optimizer.zero_grad()
        loss = sum(((y - t) ** 2).mean() for y, t in zip(outputs(), targets, strict=True))
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def best(runs: dict[str, Callable], rounds: int, seconds: float) -> dict[str, float]:
    """Microseconds of CPU time per call: the best of some interleaved rounds."""
    counts, found = {}, dict.fromkeys(runs, np.inf)
    for name, run in runs.items():
        for _ in range(3):
            run()
        start = time.process_time()
        run()
        counts[name] = max(1, int(seconds / max(1e-6, time.process_time() - start)))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            for _ in range(counts[name]):
                run()
            found[name] = min(found[name], (time.process_time() - start) / counts[name] * 1e6)
    return found


def check(runs: dict[str, Callable], dtype: str) -> None:
    """Check that all compute the same loss at the same step."""
    first = {name: [run() for _ in range(3)] for name, run in runs.items()}
    for name, values in first.items():
        np.testing.assert_allclose(values, first["ours"], rtol=2e-3 if dtype == "float32" else 1e-8, err_msg=name)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.derivative_nodes", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of each in a round")
    parser.add_argument("--cases", default="a b b2 c d e")
    parser.add_argument("--dtypes", default="float32 float64")
    parser.add_argument("--rivals", default="usual expert torch")
    options = parser.parse_args(arguments)
    fb.set_num_threads(1)
    sys.stdout.write("| case | dtype | ours us | JAX usual | JAX expert | PyTorch |\n|---|---|---|---|---|---|\n")
    for case in (name for name in CASES if name.split(":")[0] in options.cases.split()):
        for dtype in options.dtypes.split():
            net = model(case, dtype)
            X, ts = data(net, CASES[case][3])
            runs = {"ours": of_ours(net.copy(), X, ts)}
            for rival in options.rivals.split():
                run = in_torch(case, net, X, ts) if rival == "torch" else in_jax(case, net, X, ts, rival == "expert")
                runs[rival] = run
            check(runs, dtype)
            found = best(runs, options.rounds, options.seconds)
            ratios = [f"{found[rival] / found['ours']:.2f}" if rival in found else "-" for rival in
                      ("usual", "expert", "torch")]  # fmt: skip
            sys.stdout.write(f"| {case} | {dtype} | {found['ours']:,.0f} | {' | '.join(ratios)} |\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
