"""`python -m benchmarks.optimizers`: the share of the memory bandwidth that each optimizer uses, beside PyTorch.

One step on a flat vector of parameters, in cache and out of it, one thread. A round times ours, PyTorch's fused kernel
(if there is none, its foreach kernel) and a memory copy, in turn; a ratio is taken within a round, and the median over
the rounds is reported. Bytes are those that a step must read and write once: parameters, gradient, states.

Full-batch methods are compared by the passes and seconds that they need to bring a regression to a given loss.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import report

SIZES = (10_000, 100_000, 10_000_000)
ROUNDS = 11
SECONDS = 0.004  # least duration of a sample; in cache, of many steps
CHECKED_STEPS = 3


def optimizers() -> dict:
    """Name: ours, and the name and settings of PyTorch's, where it has one."""
    import fastbp as fb

    return {
        "sgd": (fb.SGD(), "SGD", {}),
        "momentum": (fb.SGD(momentum=0.9), "SGD", {"momentum": 0.9}),
        "adam": (fb.Adam(), "Adam", {}),
        "adamw": (fb.AdamW(), "AdamW", {}),
        "amsgrad": (fb.Adam(amsgrad=True), "Adam", {"amsgrad": True}),
        "adamax": (fb.Adamax(), "Adamax", {}),
        "nadam": (fb.NAdam(), "NAdam", {}),
        "radam": (fb.RAdam(), "RAdam", {}),
        "rmsprop": (fb.RMSprop(), "RMSprop", {}),
        "rmsprop, centered": (fb.RMSprop(centered=True), "RMSprop", {"centered": True}),
        "adagrad": (fb.Adagrad(), "Adagrad", {}),
        "adadelta": (fb.Adadelta(), "Adadelta", {}),
        "rprop": (fb.Rprop(), "Rprop", {}),
        "lion": (fb.Lion(), None, {}),
        "adan": (fb.Adan(), None, {}),
        "adam, clipped": (fb.Adam(clip_norm=1.0), "Adam", {"clip_norm": 1.0}),
        "adam, ema": (fb.Adam(ema=0.999), None, {}),
    }


def ours(optimizer, P: np.ndarray, G: np.ndarray) -> tuple[Callable[[], object], int]:
    """A step, and the bytes that it must move."""
    from fastbp import _engine
    from fastbp.optimizers.compiling import group_of

    rules = group_of(optimizer, "", True, {})[1]
    chain = _engine.Chain("float32", [(1.0, rules)], len(P))
    states = sum(_engine.RULES[name].states for name, _ in rules)
    return (lambda: _engine.functional.update(chain, P, G, optimizer.lr)), 4 * len(P) * (3 + 2 * states)


def of_torch(name: str, settings: dict, lr: float, P: np.ndarray, G: np.ndarray) -> tuple[Callable[[], object], str]:
    """The same step in PyTorch, and the name of its kernel."""
    import torch

    theta = torch.nn.Parameter(torch.from_numpy(P))
    theta.grad = torch.from_numpy(G)
    limit = settings.get("clip_norm")
    settings = {key: value for key, value in settings.items() if key != "clip_norm"}
    cls, kernel = getattr(torch.optim, name), "fused"
    try:
        twin = cls([theta], lr=lr, fused=True, **settings)
    except (TypeError, RuntimeError):
        twin, kernel = cls([theta], lr=lr, foreach=True, **settings), "foreach"
    if limit is None:
        return twin.step, kernel

    def step():
        torch.nn.utils.clip_grad_norm_([theta], limit)
        twin.step()

    return step, kernel


def timed(step: Callable[[], object], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - begin) / calls


def measured(name: str, n: int, rounds: int) -> dict:
    """Seconds and ratios of one optimizer at one size."""
    rng = np.random.default_rng(0)
    optimizer, twin, settings = optimizers()[name]
    start, G = rng.normal(size=n).astype(np.float32), rng.normal(size=n).astype(np.float32)
    P, Q, A, C = start.copy(), start.copy(), np.ones(n, np.float32), np.empty(n, np.float32)
    step, size = ours(optimizer, P, G)
    steps, kernel = {"fastbp": step, "copy": lambda: np.copyto(C, A)}, None
    if twin is not None:
        steps["torch"], kernel = of_torch(twin, settings, optimizer.lr, Q, G.copy())
        for _ in range(CHECKED_STEPS):
            steps["fastbp"](), steps["torch"]()
        # The tolerance covers PyTorch's clipping, which divides by the norm + 1e-6; signs in Rprop are exact.
        np.testing.assert_allclose(P, Q, rtol=1e-4, atol=1e-5, err_msg=name)
    calls = {key: max(1, round(SECONDS / max(timed(call, 1), timed(call, 1), 1e-7))) for key, call in steps.items()}
    times = {key: [] for key in steps}
    for k in range(rounds):
        names = list(steps)
        for key in names[k % len(names) :] + names[: k % len(names)]:
            times[key].append(timed(steps[key], calls[key]))
    own = np.array(times["fastbp"])
    speed, bandwidth = size / own, 8 * n / np.array(times["copy"])
    return {
        "bytes": size,
        "torch_kernel": kernel,
        "seconds": {key: float(np.median(values)) for key, values in times.items()},
        "bytes_per_second": float(np.median(speed)),
        "of_copy": float(np.median(speed / bandwidth)),
        "times_faster_than_torch": None if twin is None else float(np.median(np.array(times["torch"]) / own)),
    }


LOSS = 1e-5  # the loss that a full-batch method has to reach
MOST_EPOCHS = 200_000


def regression() -> tuple[np.ndarray, np.ndarray]:
    """The data of the regression: two curves of one variable."""
    x = np.linspace(-1, 1, 60)[:, None]
    return x, np.hstack([np.sin(4 * x), np.exp(x) * x])


def whole_batch() -> dict:
    """Passes over the data and seconds to the loss, by method; a pass is forward and backward over all rows."""
    from scipy.optimize import least_squares

    import fastbp as fb

    X, y = regression()

    def net_of():
        return fb.Sequential(fb.Input(1), fb.Dense(8, "tanh"), fb.Dense(2), dtype="float64", seed=3)

    def enough(_, loss):
        return loss <= LOSS

    found = {}
    for method in ("lm", "l-bfgs", "cg", "newton-cg"):
        begin = time.perf_counter()
        result = fb.minimize(net_of(), X, y, method=method, max_iter=5000, callback=enough)
        found[method] = (result.evaluations, time.perf_counter() - begin, result.loss)
    net, passes = net_of(), 0

    def residuals(theta):
        nonlocal passes
        passes += 1
        net.params = theta
        r = (net.predict(X) - y).ravel()
        if (r**2).mean() <= LOSS:
            raise StopIteration
        return r

    begin = time.perf_counter()
    with contextlib.suppress(StopIteration):
        least_squares(residuals, net.params.copy(), method="lm")
    found["scipy's lm, its Jacobian by differences"] = (
        passes,
        time.perf_counter() - begin,
        fb.losses.mse(net.predict(X), y)[0],
    )
    for lr in (0.003, 0.01, 0.03):
        trainer, epochs, begin = fb.Trainer(net_of(), optimizer=fb.Adam(lr=lr)), 0, time.perf_counter()
        while trainer.step(X, y) > LOSS and epochs < MOST_EPOCHS:
            epochs += 1
        found[f"adam, lr={lr}"] = (epochs, time.perf_counter() - begin, trainer.evaluate(X, y)["loss"])
    return {name: dict(zip(("passes", "seconds", "loss"), values, strict=True)) for name, values in found.items()}


def table_of_methods(methods: dict) -> str:
    """A line for each method."""
    lines = ["| method | passes | ms | loss |", "|---|" + "---:|" * 3]
    lines += [
        f"| {name} | {m['passes']:,} | {m['seconds'] * 1e3:,.1f} | {m['loss']:.1e} |" for name, m in methods.items()
    ]
    return "\n".join(lines) + "\n"


def table(results: dict) -> str:
    """A line for each optimizer and size."""
    lines = [
        "| optimizer | parameters | us | GB/s | of a copy's | torch us | kernel | times faster |",
        "|---|" + "---:|" * 7,
    ]
    for name, by_size in results.items():
        for n, one in by_size.items():
            seconds, faster = one["seconds"], one["times_faster_than_torch"]
            torch = f"{seconds['torch'] * 1e6:,.1f}" if "torch" in seconds else ""
            lines.append(
                f"| {name} | {int(n):,} | {seconds['fastbp'] * 1e6:,.1f} | {one['bytes_per_second'] / 1e9:.1f} | "
                f"{one['of_copy']:.2f} | {torch} | {one['torch_kernel'] or ''} | {f'{faster:.2f}' if faster else ''} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.optimizers", description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", help="names, with ; between")
    parser.add_argument("--out", type=Path, default=report.HERE / "results" / "optimizers.json")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import torch

    torch.set_num_threads(1)
    names = arguments.only.split(";") if arguments.only else list(optimizers())
    results = {name: {str(n): measured(name, n, arguments.rounds) for n in arguments.sizes} for name in names}
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    methods = whole_batch()
    whole = {"machine": report.machine(), "versions": versions, "optimizers": results, "whole_batch": methods}
    report.write(whole, arguments.out)
    sys.stdout.write(table(results) + "\n" + table_of_methods(methods))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
