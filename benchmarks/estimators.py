"""fastbp.sklearn against scikit-learn's own estimators: whole calls of `fit` and `predict_proba`, one thread.

    python -m benchmarks.estimators [--rounds 7] [--out results/estimators.json]

First the weights of both must agree after some epochs. Then each round times both once; a ratio is taken within a
round, and the median of the ratios is reported. "At peak" is how many times faster a call would be that only did its
products, at the FMA peak measured in the same rounds.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.peak import Peak
from benchmarks.report import HERE, machine, write
from benchmarks.rounds import VARIABLES, _spread

TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of all weights together, relative
FIRST = 5  # epochs after which the weights are compared; later, rounding dominates the difference


class Case(NamedTuple):
    """What both do: `act` on an estimator and rows, `calls` times per round."""

    act: str
    rows: int
    inputs: int
    dtype: str
    settings: dict
    calls: int
    aim: float


DEFAULTS: dict = {}
ONE_EPOCH = {"hidden_layer_sizes": (128,), "max_iter": 1}
CASES = {
    "fit digits": Case("fit", 1797, 64, "float64", DEFAULTS, 1, 6),
    "fit digits, float32": Case("fit", 1797, 64, "float32", DEFAULTS, 1, 6),
    "fit 60,000 x 784, float32": Case("fit", 60_000, 784, "float32", ONE_EPOCH, 1, 3.5),
    "fit 60,000 x 784": Case("fit", 60_000, 784, "float64", ONE_EPOCH, 1, 3.5),
    "predict_proba 1 x 64": Case("predict_proba", 1, 64, "float64", {"max_iter": 3}, 1000, 10),
    "predict_proba 10,000 x 64": Case("predict_proba", 10_000, 64, "float64", {"max_iter": 3}, 20, 2),
}


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The digits, repeated to the case's number of rows; or random rows as wide as MNIST's."""
    from sklearn.datasets import load_digits

    if case.inputs == 64:
        X, y = load_digits(return_X_y=True)
        at = np.arange(max(case.rows, len(X))) % len(X)
        return np.ascontiguousarray(X[at], case.dtype), y[at]
    rng = np.random.default_rng(0)
    return rng.random((case.rows, case.inputs)).astype(case.dtype), rng.integers(0, 10, case.rows)


def operations(case: Case, epochs: int) -> float:
    """Floating-point operations of the products of one call."""
    hidden, classes = case.settings.get("hidden_layer_sizes", (100,))[0], 10
    first, last = case.inputs * hidden, hidden * classes
    return 2.0 * case.rows * (first + last if case.act != "fit" else epochs * (2 * first + 3 * last))


def measured(case: Case, rounds: int, peak: Peak) -> dict:
    """Seconds of a call by estimator, the ratios, and the difference of the weights."""
    from sklearn.neural_network import MLPClassifier as Theirs

    from fastbp.sklearn import MLPClassifier as Ours

    X, y = data(case)
    kinds = {"sklearn": Theirs, "fastbp": Ours}
    few = {**case.settings, "max_iter": min(FIRST, case.settings.get("max_iter", FIRST))}
    theirs, ours = (
        np.concatenate([W.ravel() for W in kind(random_state=0, **few).fit(X, y).coefs_]) for kind in kinds.values()
    )
    difference = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if not difference <= TOLERANCE[case.dtype]:
        raise SystemExit(f"the weights differ by {difference:.2g}")
    pair = {name: kind(random_state=0, **case.settings).fit(X, y) for name, kind in kinds.items()}
    rows = X[: case.rows]
    acts: dict[str, Callable] = {
        name: (lambda est=est: est.fit(X, y)) if case.act == "fit" else (lambda est=est: est.predict_proba(rows))
        for name, est in pair.items()
    }
    times: dict[str, list[float]] = {name: [] for name in acts}
    peaks = []
    for number in range(rounds):
        for name in list(acts)[:: 1 if number % 2 else -1]:
            peaks.append(peak.sample())
            begin = time.perf_counter()
            for _ in range(case.calls):
                acts[name]()
            times[name].append((time.perf_counter() - begin) / case.calls)
    ratios = np.array(times["sklearn"]) / np.array(times["fastbp"])
    speed = np.median(peaks) * 4 / np.dtype(case.dtype).itemsize
    return {
        "seconds_at_peak": operations(case, pair["fastbp"].n_iter_) / speed,
        "seconds": {name: float(np.median(seconds)) for name, seconds in times.items()},
        "ratio": _spread(ratios),
        "aim": case.aim,
        "epochs": pair["fastbp"].n_iter_,
        "difference": difference,
    }


def table(results: dict) -> str:
    """A table with a line for each case."""
    lines = ["| case | scikit-learn ms | fastbp ms | times faster | at peak | aim |", "|---|---|---|---|---|---|"]
    for name, result in results.items():
        theirs, ours = (f"{result['seconds'][who] * 1e3:,.3g}" for who in ("sklearn", "fastbp"))
        limit = result["seconds"]["sklearn"] / result["seconds_at_peak"]
        ratio = result["ratio"]["median"]
        lines.append(f"| {name} | {theirs} | {ours} | {ratio:.1f} | {limit:.1f} | {result['aim']:g} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimators", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", default=",,".join(CASES), help="names, separated by two commas")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "estimators.json")
    options = parser.parse_args(arguments)
    import sklearn

    warnings.simplefilter("ignore")
    peak = Peak()
    results = {name: measured(CASES[name], options.rounds, peak) for name in options.cases.split(",,")}
    write({"machine": machine(), "sklearn": sklearn.__version__, "threads": 1, "cases": results}, options.out)
    sys.stdout.write(table(results))


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    wanted = dict.fromkeys((*VARIABLES, "FASTBP_NUM_THREADS"), "1")
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        # The variables are read when NumPy is loaded, which has already happened.
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.estimators", *sys.argv[1:]], os.environ | wanted)
    main()
