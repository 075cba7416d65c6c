"""Many small networks at once: 64 nets, Adam steps, in interleaved rounds.

`python -m benchmarks.many` prints the CPU time and the wall time of a step of one net, and how many steps a second all
make: 500 steps of 4-64-64-2 with 32 rows, which fit_many trains one after the other, and 5,000 of 2-8-1 with 8 rows, of
which it trains as many together as a vector has lanes. What a fit of each net costs beside its steps, 0.2 ms, counts;
the peers' compilation, a second, does not. The peers stack the nets: JAX by vmap in one `lax.scan`, PyTorch by
`torch.func`; they cannot give each net its own batch size or shape. `--only fastbp` compares one thread with two, which
want two free processors. CPU time is what remains meaningful on a machine that is busy with other work.

`--small` compares fit_many with fits one after the other, for widths that it trains together: with one optimizer for
all nets, and with a learning rate for each.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import fastbp as fb

NETS, RATE = 64, 1e-3


class Case(NamedTuple):
    """The widths of the nets' layers, the rows of a step, and the number of steps."""

    widths: tuple[int, ...]
    rows: int
    steps: int

    def __str__(self):
        return "-".join(map(str, self.widths)) + f", {self.rows} rows"


CASES = (Case((4, 64, 64, 2), 32, 500), Case((2, 8, 1), 8, 5000))
SMALL = [Case(widths, 8, 4000) for widths in ((2, 8, 1), (4, 16, 2), (4, 16, 16, 2), (8, 24, 24, 4))]


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Rows for all steps."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(case.steps * case.rows, case.widths[0])).astype(np.float32)
    half = case.widths[-1]
    return X, np.tanh(X[:, :half] * X[:, -half:]).astype(np.float32)


def ours(threads: int) -> Callable[[Case], Callable[[], object]]:
    """fit_many with so many threads."""

    def run(case):
        X, y = data(case)
        nets = networks(case)
        return lambda: fb.fit_many(
            nets, X, y, optimizer=fb.Adam(lr=RATE), batch_size=case.rows, shuffle=False, threads=threads
        )

    return run


def networks(case: Case) -> list[fb.Sequential]:
    """The nets, which differ in their seeds."""
    first, *hidden, last = case.widths
    return [
        fb.Sequential(fb.Input(first), *(fb.Dense(width, "tanh") for width in hidden), fb.Dense(last), seed=k)
        for k in range(NETS)
    ]


def gains(case: Case, rounds: int) -> tuple[float, float]:
    """How many times as fast fit_many is as fits one after the other: with one optimizer, with a rate for each net."""
    X, y = data(case)
    rates = [RATE * (1 + k / NETS) for k in range(NETS)]
    settings = {"batch_size": case.rows, "shuffle": False, "threads": 1}
    found = []
    for _, each in itertools.product(range(rounds), (False, True)):
        optimizers = [fb.Adam(lr=rate if each else RATE) for rate in rates]
        nets, others = networks(case), networks(case)
        times = [time.process_time()]
        for net, optimizer in zip(others, optimizers, strict=True):
            net.fit(X, y, optimizer=optimizer, **settings)
        times.append(time.process_time())
        fb.fit_many(nets, X, y, optimizer=optimizers, **settings)
        times.append(time.process_time())
        found.append((times[1] - times[0]) / (times[2] - times[1]))
    return statistics.median(found[::2]), statistics.median(found[1::2])


def weights(case: Case) -> list[np.ndarray]:
    """Stacked parameters for the peers."""
    rng = np.random.default_rng(0)
    shapes = [shape for i, o in itertools.pairwise(case.widths) for shape in ((i, o), (o,))]
    return [0.2 * rng.normal(size=(NETS, *shape)).astype(np.float32) for shape in shapes]


def outputs(tanh, p, x):
    """Of one net, in the words of JAX and PyTorch."""
    for W, b in zip(p[:-2:2], p[1:-2:2], strict=True):
        x = tanh(x @ W + b)
    return x @ p[-2] + p[-1]


def jax_vmap(case):
    """JAX: vmap over the nets inside one scan over the steps, compiled before the clock starts."""
    import jax
    import jax.numpy as jnp

    X, y = (jnp.asarray(A.reshape(case.steps, case.rows, -1)) for A in data(case))

    def loss(p, x, t):
        return jnp.mean((outputs(jnp.tanh, p, x) - t) ** 2)

    gradients = jax.vmap(jax.grad(loss), in_axes=(0, None, None))

    def step(state, batch):
        p, m, v, k = state
        g, k = gradients(p, *batch), k + 1
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g, strict=True)]
        scale = RATE * jnp.sqrt(1 - 0.999**k) / (1 - 0.9**k)
        p = [a - scale * b / (jnp.sqrt(c) + 1e-8) for a, b, c in zip(p, m, v, strict=True)]
        return (p, m, v, k), None

    p = [jnp.asarray(W) for W in weights(case)]
    state = (p, [0 * W for W in p], [0 * W for W in p], jnp.float32(0))
    run = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)[0]).lower(state, (X, y)).compile()
    return lambda: jax.block_until_ready(run(state, (X, y)))


def torch_vmap(case):
    """PyTorch: torch.func's vmap of grad, and a fused Adam over the stacked parameters."""
    import torch

    torch.set_num_threads(1)
    X, y = (torch.from_numpy(A.reshape(case.steps, case.rows, -1)) for A in data(case))
    p = [torch.nn.Parameter(torch.from_numpy(W)) for W in weights(case)]
    optimizer = torch.optim.Adam(p, lr=RATE, fused=True)

    def loss(p, x, t):
        return ((outputs(torch.tanh, p, x) - t) ** 2).mean()

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


def measured(case: Case, rounds: int, only: str = "") -> dict[str, tuple[float, float]]:
    """Median CPU and wall time of a step of one net, in microseconds, by way."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, make in RUNS.items():
            if only not in name:
                continue
            try:
                run = make(case)
            except ImportError:
                continue
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            times = time.process_time() - cpu, time.perf_counter() - wall
            found.setdefault(name, []).append(tuple(1e6 * t / (NETS * case.steps) for t in times))
    return {name: tuple(statistics.median(times) for times in zip(*each, strict=True)) for name, each in found.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="a part of the names of what is to run, such as fastbp")
    parser.add_argument("--small", action="store_true", help="fit_many beside fits one after the other, by widths")
    arguments = parser.parse_args()
    if arguments.small:
        sys.stdout.write(f"{'times as fast':20} {'one optimizer':>14} {'a rate each':>14}\n")
        for case in SMALL:
            sys.stdout.write(f"{case!s:20} {'{:14.2f} {:14.2f}'.format(*gains(case, arguments.rounds))}\n")
        return
    for case in CASES:
        sys.stdout.write(
            f"{case!s:20} {'CPU us/step':>12} {'wall us/step':>13} {'steps/s':>10} {'times the first':>16}\n"
        )
        found = measured(case, arguments.rounds, arguments.only)
        first = next(iter(found.values()))[1]
        for name, (cpu, wall) in found.items():
            sys.stdout.write(f"{name:20} {cpu:12.2f} {wall:13.2f} {1e6 / wall:10,.0f} {first / wall:16.2f}\n")


if __name__ == "__main__":
    main()
