"""Many small networks at once: 64 nets of 4-64-64-2, 500 Adam steps of 32 rows each, in interleaved rounds.

`python -m benchmarks.many` prints the CPU time and the wall time of a step of one net, and how many steps a second all
make. The peers stack the nets: JAX by vmap in one `lax.scan`, PyTorch by `torch.func`; they cannot give each net its
own batch size or shape. `--only fastbp` compares one thread with two, which want two free processors. CPU time is what
remains meaningful on a machine that is busy with other work.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import fastbp as fb

NETS, ROWS, STEPS, RATE = 64, 32, 500, 1e-3
WIDTHS = (4, 64, 64, 2)


def data(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for so many steps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(steps * ROWS, WIDTHS[0])).astype(np.float32)
    return X, np.tanh(X[:, :2] * X[:, 2:]).astype(np.float32)


def ours(threads: int) -> Callable[[int], None]:
    """fit_many with so many threads."""

    def run(steps):
        X, y = data(steps)
        nets = [
            fb.Sequential(fb.Input(4), fb.Dense(64, "tanh"), fb.Dense(64, "tanh"), fb.Dense(2), seed=k)
            for k in range(NETS)
        ]
        return lambda: fb.fit_many(
            nets, X, y, optimizer=fb.Adam(lr=RATE), batch_size=ROWS, shuffle=False, threads=threads
        )

    return run


def weights() -> list[np.ndarray]:
    """Stacked parameters for the peers."""
    rng = np.random.default_rng(0)
    shapes = [shape for i, o in itertools.pairwise(WIDTHS) for shape in ((i, o), (o,))]
    return [0.2 * rng.normal(size=(NETS, *shape)).astype(np.float32) for shape in shapes]


def jax_vmap(steps):
    """JAX: vmap over the nets inside one scan over the steps, compiled before the clock starts."""
    import jax
    import jax.numpy as jnp

    X, y = (jnp.asarray(A.reshape(steps, ROWS, -1)) for A in data(steps))

    def loss(p, x, t):
        h = jnp.tanh(x @ p[0] + p[1])
        h = jnp.tanh(h @ p[2] + p[3])
        return jnp.mean((h @ p[4] + p[5] - t) ** 2)

    gradients = jax.vmap(jax.grad(loss), in_axes=(0, None, None))

    def step(state, batch):
        p, m, v, k = state
        g, k = gradients(p, *batch), k + 1
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
        scale = RATE * jnp.sqrt(1 - 0.999**k) / (1 - 0.9**k)
        p = [a - scale * b / (jnp.sqrt(c) + 1e-8) for a, b, c in zip(p, m, v, strict=True)]
        return (p, m, v, k), None

    p = [jnp.asarray(W) for W in weights()]
    state = (p, [0 * W for W in p], [0 * W for W in p], jnp.float32(0))
    run = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)[0]).lower(state, (X, y)).compile()
    return lambda: jax.block_until_ready(run(state, (X, y)))


def torch_vmap(steps):
    """PyTorch: torch.func's vmap of grad, and a fused Adam over the stacked parameters."""
    import torch

    torch.set_num_threads(1)
    X, y = (torch.from_numpy(A.reshape(steps, ROWS, -1)) for A in data(steps))
    p = [torch.nn.Parameter(torch.from_numpy(W)) for W in weights()]
    optimizer = torch.optim.Adam(p, lr=RATE, fused=True)

    def loss(p, x, t):
        h = torch.tanh(x @ p[0] + p[1])
        h = torch.tanh(h @ p[2] + p[3])
        return ((h @ p[4] + p[5] - t) ** 2).mean()

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))

    def run():
        for x, t in zip(X, y, strict=True):
            for W, g in zip(p, gradients(tuple(W.detach() for W in p), x, t), strict=True):
                W.grad = g
            optimizer.step()

    return run


RUNS = {
    "fastbp, 1 thread": ours(1),
    "fastbp, 2 threads": ours(2),
    "JAX vmap and scan": jax_vmap,
    "torch.func vmap": torch_vmap,
}


def measured(rounds: int, steps: int, only: str = "") -> dict[str, tuple[float, float]]:
    """Median CPU and wall time of a step of one net, in microseconds, by way."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, make in RUNS.items():
            if only not in name:
                continue
            try:
                run = make(steps)
            except ImportError:
                continue
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            times = time.process_time() - cpu, time.perf_counter() - wall
            found.setdefault(name, []).append(tuple(1e6 * t / (NETS * steps) for t in times))
    return {name: tuple(statistics.median(times) for times in zip(*each, strict=True)) for name, each in found.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", default="", help="a part of the names of what is to run, such as fastbp")
    arguments = parser.parse_args()
    sys.stdout.write(f"{'':20} {'CPU us/step':>12} {'wall us/step':>13} {'steps/s':>10} {'times the first':>16}\n")
    found = measured(arguments.rounds, arguments.steps, arguments.only)
    first = next(iter(found.values()))[1]
    for name, (cpu, wall) in found.items():
        sys.stdout.write(f"{name:20} {cpu:12.1f} {wall:13.1f} {1e6 / wall:10,.0f} {first / wall:16.2f}\n")


if __name__ == "__main__":
    main()
