"""`fastbp bench`: times training steps of small networks on this machine, here and in other libraries.

Absolute times on a shared machine say little, so the libraries take turns and the ratio of each turn counts: the table
shows its median and interquartile range. All must first compute the same parameters.
"""

import argparse
import json
import sys
import time
from importlib.metadata import version

import numpy as np

from fastbp._optional import DISTRIBUTIONS, package
from fastbp.cli.bench_peers import BETA1, BETA2, EPS, LR, PEERS, Case, installed
from fastbp.cli.facts import facts
from fastbp.cli.options import command, names, positive
from fastbp.layers.dense import Dense
from fastbp.layers.node import Input
from fastbp.model import Sequential
from fastbp.optimizers.adam import Adam
from fastbp.training.trainer import Trainer

ROUNDS = 9
CHECKED_STEPS, TOLERANCE = 10, 1e-3  # relative, of all parameters: Adam makes whole steps of rounding
CASES = {
    "rl": Case((4, 64, 64, 2), "tanh", 32, "mse"),
    "digits": Case((64, 100, 10), "relu", 200, "cross_entropy"),
    "mnist": Case((784, 128, 10), "relu", 128, "cross_entropy"),
    "deep": Case((32, *[64] * 8, 1), "tanh", 64, "mse"),
}


class Ours:
    """The step of a Trainer."""

    def __init__(self, case: Case, threads: int | None):
        layers = [Dense(width, case.activation) for width in case.widths[1:-1]]
        self.net = Sequential(Input(case.widths[0]), *layers, Dense(case.widths[-1]), seed=0)
        self.trainer = Trainer(self.net, case.loss, Adam(LR, (BETA1, BETA2), EPS))
        self.threads = threads

    def step(self, X, t):
        self.trainer.step(X, t, threads=self.threads)

    def wait(self):
        """All is done when a step comes back."""


def add(commands) -> None:
    """Add the command to the parser's."""
    text = "time training steps of small nets here, against the same steps in NumPy and other libraries"
    examples = "fastbp bench", "fastbp bench --threads 1 --json", "fastbp bench --peers all --seconds 2"
    add = command(commands, "bench", bench, text, *examples).add_argument
    add("--seconds", type=positive(float), default=1.0, help="to spend on each case, for each who is compared")
    add("--threads", type=positive(int), help="threads of fastbp, PyTorch and JAX; each chooses if left out")
    known = f"of {', '.join(PEERS)}; all: those that are installed"
    add("--peers", type=_peers, default="numpy", metavar="NAMES", help=f"whom to compare with, {known}")
    add("--json", action="store_true", help="print one JSON object and nothing else")


def _peers(text: str) -> tuple[str, ...]:
    wanted = tuple(installed()) if text == "all" else names(text)
    unknown = [name for name in wanted if name not in PEERS]
    if unknown or not wanted:
        raise argparse.ArgumentTypeError(f"must be names of {', '.join(PEERS)}, or all; got {text!r}")
    return wanted


def bench(arguments: argparse.Namespace) -> None:
    """Measure each case and print a line for each who is compared."""
    here = facts() | {name: _version(name) for name in arguments.peers if name != "numpy"}
    if not arguments.json:
        others = "".join(f", {name} {here[name]}" for name in arguments.peers if name != "numpy")
        sys.stdout.write(f"fastbp {here['fastbp']}, NumPy {here['NumPy']}{others}, {here['instruction set']}; ")
        sys.stdout.write("float32, Adam\n")
        sys.stdout.write(f"{'case':8}{'net':28}{'rows':>5}{'fastbp':>12}  {'compared with':13}{'':>14}")
        sys.stdout.write("  times faster (middle half)\n")
    results = {}
    for name, case in CASES.items():
        results[name] = measured(case, arguments.peers, arguments.threads, arguments.seconds)
        if not arguments.json:
            sys.stdout.write(_lines(name, case, results[name]))
            sys.stdout.flush()
    if arguments.json:
        sys.stdout.write(json.dumps({"facts": here, "cases": results}) + "\n")
    else:
        sys.stdout.write("NumPy's matrix products choose their threads themselves (OMP_NUM_THREADS=1 for one)\n")


def _version(name):
    if name not in installed():
        package(name, f"bench --peers {name}")  # which raises
    return version(DISTRIBUTIONS.get(name, name))


def _lines(name, case, result):
    net = f"{'-'.join(map(str, _short(case.widths)))} {case.activation}"
    head = f"{name:8}{net:28}{case.rows:>5}{1e6 * result['fastbp']:>9,.1f} us"
    lines = []
    for peer, (low, median, high) in result["ratios"].items():
        lines.append(f"{head}  {peer:13}{1e6 * result[peer]:>11,.1f} us  {median:.1f} ({low:.1f} ... {high:.1f})\n")
        head = " " * len(head)
    return "".join(lines)


def _short(widths):
    inner = widths[1:-1]
    return (widths[0], f"({len(inner)} x {inner[0]})", widths[-1]) if len(inner) > 3 else widths


def measured(case: Case, peers: tuple[str, ...], threads: int | None, seconds: float) -> dict:
    """Seconds of a step by who makes it (medians), and the quartiles of the ratios by who is compared."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(case.rows, case.widths[0])).astype(np.float32)
    t = rng.normal(size=(case.rows, case.widths[-1])).astype(np.float32)
    if case.loss == "cross_entropy":
        t = rng.integers(case.widths[-1], size=case.rows)
    ours = Ours(case, threads)
    others = {name: PEERS[name](case, ours.net, threads) for name in peers}
    _check_agreement(ours, others, X, t)
    runners = {"fastbp": ours, **others}
    calls = {name: _calls(runner, X, t, seconds / ROUNDS / 2) for name, runner in runners.items()}
    times = {name: np.empty(ROUNDS) for name in runners}
    for number in range(ROUNDS):
        for name in list(runners)[:: 1 if number % 2 else -1]:
            times[name][number] = _timed(runners[name], X, t, calls[name])
    ratios = {name: np.percentile(times[name] / times["fastbp"], [25, 50, 75]).tolist() for name in others}
    return {**{name: float(np.median(each)) for name, each in times.items()}, "ratios": ratios}


def _check_agreement(ours, others, X, t):
    for runner in (ours, *others.values()):
        for _ in range(CHECKED_STEPS):
            runner.step(X, t)
    for name, other in others.items():
        wanted = np.concatenate([np.ravel(p) for p in other.result()])
        difference = np.linalg.norm(ours.net.params - wanted) / np.linalg.norm(wanted)
        if not difference <= TOLERANCE:
            words = f"fastbp and {name} differ by {difference:.2g} after {CHECKED_STEPS} steps"
            raise ValueError(f"{words}; nothing was timed")


def _timed(runner, X, t, calls):
    begin = time.perf_counter()
    for _ in range(calls):
        runner.step(X, t)
    runner.wait()
    return (time.perf_counter() - begin) / calls


def _calls(runner, X, t, seconds):
    """Steps that fill so much time."""
    calls = 1
    while (taken := _timed(runner, X, t, calls) * calls) < seconds / 4 and calls < 1_000_000:
        calls *= 2
    return max(1, round(calls * seconds / taken))
