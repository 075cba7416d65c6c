"""`fastbp bench`: training steps of small nets on this machine.

Other libraries are measured from the source tree, by `python -m benchmarks`, which has the same cases: an installed
package needs no training loops for other libraries.
"""

import argparse
import json
import sys
import time
from typing import NamedTuple

import numpy as np

from fastbp.cli.facts import facts
from fastbp.cli.options import command, positive
from fastbp.layers.dense import Dense
from fastbp.layers.node import Input
from fastbp.model import Sequential
from fastbp.optimizers.adam import Adam
from fastbp.training.trainer import Trainer

ROUNDS = 9
ELSEWHERE = """other libraries:
  python -m benchmarks --quick times the same steps in NumPy, scikit-learn, PyTorch and JAX, and checks first that all
  come to the same parameters. It is in the source tree and not in the installed package: benchmarks/README.md there."""


class Case(NamedTuple):
    """A net and the batch of a step."""

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


def add(commands) -> None:
    """Add the command to the parser."""
    text = "time training steps of small nets on this machine"
    parser = command(commands, "bench", bench, text, "fastbp bench", "fastbp bench --threads 1 --json")
    parser.epilog = f"{parser.epilog}\n\n{ELSEWHERE}"
    parser.add_argument("--seconds", type=positive(float), default=1.0, help="to spend on each case")
    parser.add_argument("--threads", type=positive(int), help="threads of fastbp; it chooses if left out")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def bench(arguments: argparse.Namespace) -> None:
    """Measure each case and print a line for it."""
    here = facts()
    if not arguments.json:
        sys.stdout.write(f"fastbp {here['fastbp']}, NumPy {here['NumPy']}, {here['instruction set']}; float32, Adam\n")
        sys.stdout.write(f"{'case':8}{'net':28}{'rows':>5}{'a step':>13}  {'(middle half)':18}{'rows/s':>13}\n")
    results = {}
    for name, case in CASES.items():
        results[name] = measured(case, arguments.threads, arguments.seconds)
        if not arguments.json:
            sys.stdout.write(_line(name, case, results[name]))
            sys.stdout.flush()
    if arguments.json:
        sys.stdout.write(json.dumps({"facts": here, "cases": results}) + "\n")
    else:
        sys.stdout.write("against other libraries: python -m benchmarks, in the source tree\n")


def _line(name, case, result):
    net = f"{'-'.join(map(str, _short(case.widths)))} {case.activation}"
    low, step, high = (1e6 * result[key] for key in ("low", "step", "high"))
    spread = f"({low:,.1f} ... {high:,.1f})"
    return f"{name:8}{net:28}{case.rows:>5}{step:>10,.1f} us  {spread:18}{result['rows_per_second']:>13,.0f}\n"


def _short(widths):
    inner = widths[1:-1]
    return (widths[0], f"({len(inner)} x {inner[0]})", widths[-1]) if len(inner) > 3 else widths


def measured(case: Case, threads: int | None, seconds: float) -> dict[str, float]:
    """Seconds per step, as the median and the quartiles of some rounds, and rows per second."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(case.rows, case.widths[0])).astype(np.float32)
    t = rng.normal(size=(case.rows, case.widths[-1])).astype(np.float32)
    if case.loss == "cross_entropy":
        t = rng.integers(case.widths[-1], size=case.rows)
    layers = [Dense(width, case.activation) for width in case.widths[1:-1]]
    net = Sequential(Input(case.widths[0]), *layers, Dense(case.widths[-1]), seed=0)
    trainer = Trainer(net, case.loss, Adam())

    def timed(calls):
        begin = time.perf_counter()
        for _ in range(calls):
            trainer.step(X, t, threads=threads)
        return time.perf_counter() - begin

    calls = 1
    while (taken := timed(calls)) < seconds / ROUNDS / 4 and calls < 1_000_000:
        calls *= 2
    calls = max(1, round(calls * seconds / ROUNDS / taken))
    low, step, high = np.percentile([timed(calls) / calls for _ in range(ROUNDS)], [25, 50, 75]).tolist()
    return {"step": step, "low": low, "high": high, "rows_per_second": case.rows / step}
