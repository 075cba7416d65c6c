"""`python -m benchmarks.one_row`: the time for one row, from compiled code and from Python, relative to the frontier.

Predictions and training steps (SGD) of a row by two nets, float32, one thread. The frontier is a loop in C that is
compiled for the net alone (frontier.c). Rows come in two ways: all known, so that a processor can begin with the next
row before the last is done, or each computed from the outputs for the row before, as in a control loop. The native
functions are called from numba. First all results must agree. Then interleaved rounds; a ratio is taken within a round,
to the frontier with rows that come the same way.
"""

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.cases import LR, Case, Problem, problem
from benchmarks.peers import frontier, ours
from benchmarks.rounds import environment

NETS = {"16-32-1": (16, 32, 1), "4-64-64-2": (4, 64, 64, 2)}
NEXT = 0.5  # times the first output: the first input of the next row
TOLERANCE = 1e-4
FOLLOWING = ", each row from the last"
Way = Callable[[], np.ndarray]


def predictions(given: Problem) -> dict[str, Way]:
    """The ways to predict all rows once, by name; each returns the outputs for the last row."""
    import numba

    net, bound = ours.Predict(given, 1).net, frontier.Compiled(given)
    native, call = net.native(1), net.compiled(1)
    handle, predict = native.handle, native.predict
    rows, count, y = given.X, len(given.X), np.empty((1, given.case.widths[-1]), np.float32)
    X = np.concatenate(rows)

    @numba.njit
    def at_hand(X, y):
        for row in range(len(X)):
            predict(handle, X[row:].ctypes, y.ctypes)

    @numba.njit
    def following(x, y, count):
        for _ in range(count):
            predict(handle, x.ctypes, y.ctypes)
            x[0, 0] = NEXT * y[0, 0]

    def by_frontier():
        bound.c.predict(bound.X[0], bound.out, ctypes.c_long(count))
        return bound.Y

    def frontier_following():
        x = rows[0].copy()
        bound.c.follow(ctypes.c_void_p(x.ctypes.data), bound.out, ctypes.c_long(count), ctypes.c_double(NEXT))
        return bound.Y

    def by_native():
        at_hand(X, y)
        return y

    def native_following():
        following(rows[0].copy(), y, count)
        return y

    def bound_call_into():
        for x in rows:
            call(x, y)
        return y

    def bound_call():
        for x in rows:
            found = call(x)
        return found

    def predict_into():
        for x in rows:
            net.predict(x, out=y)
        return y

    def plain_predict():
        for x in rows:
            found = net.predict(x)
        return found

    return {
        "frontier": by_frontier,
        "frontier" + FOLLOWING: frontier_following,
        "native": by_native,
        "native" + FOLLOWING: native_following,
        "net.compiled()(x, y)": bound_call_into,
        "net.compiled()(x)": bound_call,
        "net.predict(x, out=y)": predict_into,
        "net.predict(x)": plain_predict,
    }


def steps(given: Problem) -> dict[str, Way]:
    """The ways to make a step by each row; each returns all parameters afterwards."""
    import numba

    trained = [ours.Train(given, 1) for _ in range(3)]
    bound = frontier.Compiled(given)
    native, call, trainer = trained[0].trainer.native(1), trained[1].trainer.compiled(1), trained[2].trainer
    handle, step = native.handle, native.step
    X, T = np.concatenate(given.X), np.concatenate(given.y)

    @numba.njit
    def all_steps(X, T):
        for row in range(len(X)):
            step(handle, X[row:].ctypes, T[row:].ctypes, LR, 0)

    def by_frontier():
        bound.c.train(bound.X[0], bound.y[0], ctypes.c_long(len(X)), bound.rate)
        return bound

    def by_native():
        all_steps(X, T)
        return trained[0]

    def bound_call():
        for x, t in zip(given.X, given.y, strict=True):
            call(x, t)
        return trained[1]

    def plain_step():
        for x, t in zip(given.X, given.y, strict=True):
            trainer.step(x, t)
        return trained[2]

    ways = {
        "frontier": by_frontier,
        "native": by_native,
        "trainer.compiled()(x, y)": bound_call,
        "trainer.step(x, y)": plain_step,
    }
    return {
        name: lambda way=way: np.concatenate([np.ravel(part) for part in way().result()]) for name, way in ways.items()
    }


def bound_of(name: str) -> str:
    return "frontier" + FOLLOWING * name.endswith(FOLLOWING)


def checked(ways: dict[str, Way]) -> dict[str, Way]:
    """The ways, after a check that each gives the frontier's results."""
    found = {name: np.array(way(), np.float64).ravel() for name, way in ways.items()}
    for name, numbers in found.items():
        wanted = found[bound_of(name)]
        far = np.linalg.norm(numbers - wanted) / np.linalg.norm(wanted)
        if not far <= TOLERANCE:
            raise SystemExit(f"{name} and the frontier differ by {far:.2g}")
    return ways


def measured(ways: dict[str, Way], rows: int, turns: int) -> dict[str, tuple[float, float]]:
    """Seconds per row, and their ratio to the frontier's, by way: medians over the turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]:
            begin = time.perf_counter()
            ways[name]()
            times[name].append((time.perf_counter() - begin) / rows)
    return {
        name: (float(np.median(taken)), float(np.median(np.divide(taken, times[bound_of(name)]))))
        for name, taken in times.items()
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.one_row", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=301)
    options = parser.parse_args(arguments)
    from fastbp._engine import variant

    sys.stdout.write(f"kernels {variant.isa}\n| net | what | ns a row | of the frontier |\n|---|---|---|---|\n")
    for name, widths in NETS.items():
        for task, ways_of in (("predict", predictions), ("train", steps)):
            given = problem(Case(widths, "tanh", 1, "mse", "sgd", task), "float32")
            for way, (seconds, ratio) in measured(checked(ways_of(given)), len(given.X), options.turns).items():
                sys.stdout.write(f"| {name} | {task}: {way} | {seconds * 1e9:,.0f} | {ratio:.2f} |\n")
    return 0


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:  # before any library is loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.one_row", *sys.argv[1:]], environment(1))
    sys.exit(main())
