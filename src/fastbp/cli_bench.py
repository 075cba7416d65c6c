"""`fastbp bench`: training steps of small nets on this machine, ours and the same steps in NumPy.

Times on a shared machine say little alone, so ours and NumPy's take turns, and what counts is the ratio of each
turn: the table shows its median and middle half. Both must first come to the same parameters. The grid with more
cases and peers is `python -m benchmarks` in the source tree.
"""

import argparse
import json
import sys
import time
from typing import NamedTuple

import numpy as np

from fastbp.cli_options import command, positive
from fastbp.environment import facts
from fastbp.graph import Input
from fastbp.layers import Dense
from fastbp.model import Sequential
from fastbp.optimizers import Adam
from fastbp.training import Trainer

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
ROUNDS = 9
CHECKED_STEPS, TOLERANCE = 10, 1e-3  # relative, of all parameters: Adam makes whole steps of rounding


class Case(NamedTuple):
    """A net, and the batch of a step."""

    widths: tuple[int, ...]
    activation: str
    rows: int
    loss: str


CASES = {
    "rl": Case((4, 64, 64, 2), "tanh", 32, "mse"),
    "digits": Case((64, 100, 10), "relu", 200, "cross_entropy"),
    "mnist": Case((784, 128, 10), "relu", 128, "cross_entropy"),
    "deep": Case((32, *[64] * 8, 1), "tanh", 64, "mse"),
}


class Plain:
    """The step in NumPy: whole batches, updates in place."""

    def __init__(self, case: Case, arrays: list[np.ndarray]):
        self.case, self.params, self.t = case, [array.copy() for array in arrays], 0
        self.means = [(np.zeros_like(p), np.zeros_like(p)) for p in arrays]

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


class Ours:
    """The step of a Trainer."""

    def __init__(self, case: Case, threads: int | None):
        layers = [Dense(width, case.activation) for width in case.widths[1:-1]]
        self.net = Sequential(Input(case.widths[0]), *layers, Dense(case.widths[-1]), seed=0)
        self.trainer = Trainer(self.net, case.loss, Adam(LR, (BETA1, BETA2), EPS))
        self.threads = threads

    def step(self, X, t):
        self.trainer.step(X, t, threads=self.threads)


def add(commands) -> None:
    """Add the command to the parser's."""
    text = "time training steps of small nets here, against the same steps in NumPy"
    add = command(commands, "bench", bench, text, "fastbp bench", "fastbp bench --threads 1 --json").add_argument
    add("--seconds", type=positive(float), default=1.0, help="to spend on each case")
    add("--threads", type=positive(int), help="threads of fastbp; the engine chooses if left out")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def bench(arguments: argparse.Namespace) -> None:
    """Measure each case and print a line for it."""
    if not arguments.json:
        here = facts()
        sys.stdout.write(f"fastbp {here['fastbp']}, NumPy {here['NumPy']}, {here['instruction set']}; float32, Adam\n")
        sys.stdout.write(f"{'case':8}{'net':28}{'rows':>5}{'fastbp':>12}{'NumPy':>12}  times faster (middle half)\n")
    results = {}
    for name, case in CASES.items():
        results[name] = measured(case, arguments.threads, arguments.seconds)
        if not arguments.json:
            sys.stdout.write(_line(name, case, results[name]))
            sys.stdout.flush()
    if arguments.json:
        sys.stdout.write(json.dumps({"facts": facts(), "cases": results}) + "\n")
    else:
        sys.stdout.write("NumPy's matrix products choose their threads themselves (OMP_NUM_THREADS=1 for one)\n")


def _line(name, case, result):
    net = f"{'-'.join(map(str, _short(case.widths)))} {case.activation}"
    times = "".join(f"{1e6 * result[who]:>9,.1f} us" for who in ("fastbp", "numpy"))
    low, median, high = result["ratio"]
    return f"{name:8}{net:28}{case.rows:>5}{times}  {median:.1f} ({low:.1f} ... {high:.1f})\n"


def _short(widths):
    inner = widths[1:-1]
    return (widths[0], f"({len(inner)} x {inner[0]})", widths[-1]) if len(inner) > 3 else widths


def measured(case: Case, threads: int | None, seconds: float) -> dict:
    """Seconds of a step by who makes it (medians), and the quartiles of the ratios."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(case.rows, case.widths[0])).astype(np.float32)
    t = rng.normal(size=(case.rows, case.widths[-1])).astype(np.float32)
    if case.loss == "cross_entropy":
        t = rng.integers(case.widths[-1], size=case.rows)
    ours = Ours(case, threads)
    plain = Plain(case, list(ours.net.arrays().values()))
    _check_agreement(ours, plain, X, t)
    runners = {"fastbp": ours, "numpy": plain}
    calls = {name: _calls(runner, X, t, seconds / ROUNDS / 2) for name, runner in runners.items()}
    times = {name: np.empty(ROUNDS) for name in runners}
    for number in range(ROUNDS):
        for name in list(runners)[:: 1 if number % 2 else -1]:
            times[name][number] = _timed(runners[name], X, t, calls[name])
    ratios = np.percentile(times["numpy"] / times["fastbp"], [25, 50, 75])
    return {**{name: float(np.median(each)) for name, each in times.items()}, "ratio": ratios.tolist()}


def _check_agreement(ours, plain, X, t):
    for _ in range(CHECKED_STEPS):
        ours.step(X, t)
        plain.step(X, t)
    wanted = np.concatenate([p.ravel() for p in plain.params])
    difference = np.linalg.norm(ours.net.params - wanted) / np.linalg.norm(wanted)
    if not difference <= TOLERANCE:
        raise ValueError(f"fastbp and NumPy differ by {difference:.2g} after {CHECKED_STEPS} steps; nothing was timed")


def _timed(runner, X, t, calls):
    begin = time.perf_counter()
    for _ in range(calls):
        runner.step(X, t)
    return (time.perf_counter() - begin) / calls


def _calls(runner, X, t, seconds):
    """Steps that fill so much time."""
    calls = 1
    while (taken := _timed(runner, X, t, calls) * calls) < seconds / 4 and calls < 1_000_000:
        calls *= 2
    return max(1, round(calls * seconds / taken))
