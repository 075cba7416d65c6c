"""`python -m benchmarks.rl_loop`: a reinforcement learning loop; each round is ten one-row predictions and a step.

The net is 4-64-64-2 with tanh, squared error and Adam, float32, a step of 32 rows; the largest output is the action.
The players are our native functions called from numba, our bound calls from Python, a net written in numba, JAX and
PyTorch call by call, and the frontier, a loop in C that is compiled for this net alone (frontier.c). First all players
must have acted alike after some rounds and have the same parameters. Then they take turns, on one thread; a ratio is
taken within a turn.
"""

import argparse
import ctypes
import importlib.metadata
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.cases import CASES, LR, Problem, problem
from benchmarks.peers import ours
from benchmarks.rounds import environment

EACH = 10  # predictions per round
CHECKED_ROUNDS = 20
TOLERANCE = 1e-4  # of all parameters together, relative; a fiftieth of the actions may differ, by near ties
SECONDS = 0.05  # duration of a player's turn


class Player(NamedTuple):
    """A function that plays a number of rounds from the first row on, and one that returns all parameters."""

    play: Callable[[int], np.ndarray]
    result: Callable[[], list]


def rows_of(given: Problem) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(given.X), np.concatenate(given.y)


def with_native(given: Problem) -> Player:
    """Ours from numba."""
    import numba

    net = ours.Train(given, 1)
    one, many = net.net.native(1), net.trainer.native(given.case.rows)
    predict, step = one.predict, many.step

    @numba.njit(nogil=True)
    def playing(one, many, X, T, size, outputs, rounds):
        actions, q, row = np.zeros(len(X), np.int64), np.empty(outputs, X.dtype), 0
        for k in range(rounds):
            for _ in range(EACH):
                predict(one, X[row].ctypes, q.ctypes)
                actions[row] = q.argmax()
                row = (row + 1) % len(X)
            first = k * size % len(X)
            step(many, X[first:].ctypes, T[first:].ctypes, LR, 0)
        return actions

    X, T = rows_of(given)

    def play(rounds: int) -> np.ndarray:
        return playing(one.handle, many.handle, X, T, given.case.rows, T.shape[1], rounds)

    return Player(play, net.result)


def with_python(given: Problem) -> Player:
    """Ours from Python, by the calls that are checked once."""
    net, (X, T) = ours.Train(given, 1), rows_of(given)
    predict, step = net.net.compiled(1), net.trainer.compiled(given.case.rows)
    return Player(lambda rounds: in_python(X, T, given, predict, step, rounds), net.result)


def in_python(X, T, given, predict, step, rounds):
    actions, row, size = np.zeros(len(X), np.int64), 0, given.case.rows
    for k in range(rounds):
        for _ in range(EACH):
            actions[row] = predict(X[row : row + 1]).argmax()
            row = (row + 1) % len(X)
        first = k * size % len(X)
        step(X[first : first + size], T[first : first + size])
    return actions


def with_frontier(given: Problem) -> Player:
    """No library."""
    from benchmarks.peers import frontier

    net, (X, T) = frontier.Compiled(given), rows_of(given)
    actions = np.zeros(len(X), np.int64)

    def play(rounds: int) -> np.ndarray:
        actions[:] = 0
        at, long = [ctypes.c_void_p(array.ctypes.data) for array in (X, T, actions)], ctypes.c_long
        net.c.play(at[0], at[1], long(len(given.X)), at[2], long(rounds), long(EACH), ctypes.c_double(LR))
        return actions

    return Player(play, net.result)


def with_numba(given: Problem) -> Player:
    """A net written in numba: products by `np.dot`, all else in loops."""
    import numba

    from benchmarks.peers import with_numba as peer

    net, (X, T), steps, forward = peer.Compiled(given), rows_of(given), None, peer.forward
    steps = net.steps
    y = tuple(np.zeros((1, Y.shape[1]), Y.dtype) for Y in net.Y)

    @numba.njit(fastmath=True)
    def playing(X, T, W, b, dW, db, y, Y, dY, moments, t, size, rounds):
        actions, row = np.zeros(len(X), np.int64), 0
        for k in range(rounds):
            for _ in range(EACH):
                forward(X[row : row + 1], W, b, y, True)
                actions[row] = y[-1].argmax()
                row = (row + 1) % len(X)
            first = k * size % len(X)
            X1, T1 = X[first : first + size], T[first : first + size]
            steps(
                X1.reshape(1, size, X.shape[1]),
                T1.reshape(1, size, T.shape[1]),
                W,
                b,
                dW,
                db,
                Y,
                dY,
                moments,
                t + k,
                True,
            )
        return actions

    def play(rounds: int) -> np.ndarray:
        actions = playing(
            X, T, net.W, net.b, net.dW, net.db, y, net.Y, net.dY, net.moments, net.t + 1, given.case.rows, rounds
        )
        net.t += rounds
        return actions

    return Player(play, net.result)


def with_torch(given: Problem) -> Player:
    import torch

    from benchmarks.peers import with_torch as peer

    net = peer.Eager(given, 1)
    X, T = map(torch.from_numpy, rows_of(given))

    @torch.inference_mode()
    def predict(x):
        return net.net(x)

    def step(x, t):
        net.optimizer.zero_grad()
        net.objective(x, t).backward()
        net.optimizer.step()

    return Player(lambda rounds: in_python(X, T, given, predict, step, rounds), net.result)


def with_jax(given: Problem) -> Player:
    from benchmarks.peers import with_jax as peer

    net, (X, T) = peer.start(given, 1), rows_of(given)

    def predict(x):
        return np.asarray(net.forward(net.params, x))

    def step(x, t):
        net.params, net.state, net.last = net.train(net.params, net.state, x, t)

    return Player(lambda rounds: in_python(X, T, given, predict, step, rounds), net.result)


# Name on the screen: the player, and the package that it needs.
PLAYERS: dict[str, tuple[Callable[[Problem], Player], str]] = {
    "frontier": (with_frontier, ""),
    "fastbp from numba": (with_native, "numba"),
    "fastbp from Python": (with_python, ""),
    "numba": (with_numba, "numba"),
    "jax": (with_jax, "jax"),
    "torch": (with_torch, "torch"),
}


def checked(given: Problem, names: list[str]) -> dict[str, Player]:
    """The players that are installed, after a check that each plays and learns as the frontier does."""
    players: dict[str, Player] = {}
    for name in names:
        make, package = PLAYERS[name]
        try:
            players[name] = make(given)
        except ImportError as error:
            sys.stderr.write(f"left out: {name}, {error} (pip install {package})\n")
    seen = {name: (player.play(CHECKED_ROUNDS).copy(), player.result()) for name, player in players.items()}
    first, *others = seen
    (actions, wanted), *rest = [
        (done, np.concatenate([np.ravel(part) for part in parts])) for done, parts in seen.values()
    ]
    for name, (acted, params) in zip(others, rest, strict=True):
        far, apart = np.linalg.norm(params - wanted) / np.linalg.norm(wanted), (acted != actions).sum()
        if not far <= TOLERANCE or apart > CHECKED_ROUNDS * EACH / 50:
            raise SystemExit(
                f"{name} and {first} differ by {far:.2g}, and in {apart} actions, after {CHECKED_ROUNDS} rounds"
            )
    return players


def timed(player: Player, rounds: int) -> float:
    begin = time.perf_counter()
    player.play(rounds)
    return (time.perf_counter() - begin) / rounds


def measured(given: Problem, names: list[str], turns: int, seconds: float = SECONDS) -> dict[str, tuple[float, float]]:
    """Seconds per round, and their ratio to ours from numba, by player."""
    players = checked(given, names)
    rounds = {name: max(1, int(seconds / timed(player, 20))) for name, player in players.items()}
    times = {name: [] for name in players}
    for turn in range(turns):
        order = list(players)[turn % len(players) :] + list(players)[: turn % len(players)]
        for name in order:
            times[name].append(timed(players[name], rounds[name]))
    ours_ = times.get("fastbp from numba", next(iter(times.values())))
    return {name: (float(np.median(t)), float(np.median(np.divide(t, ours_)))) for name, t in times.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.rl_loop", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--players", nargs="*", default=list(PLAYERS), choices=list(PLAYERS))
    options = parser.parse_args(arguments)
    from fastbp._engine import variant

    given = problem(CASES["rl"], "float32")
    figures = measured(given, options.players, options.turns)
    sys.stdout.write(f"kernels {variant.isa}\n| by | us a round | times ours from numba |\n|---|---|---|\n")
    for name, (seconds, ratio) in figures.items():
        version = importlib.metadata.version(PLAYERS[name][1]) if PLAYERS[name][1] else ""
        sys.stdout.write(f"| {name} {version} | {seconds * 1e6:,.1f} | {ratio:.2f} |\n")
    return 0


if __name__ == "__main__":
    if "OMP_NUM_THREADS" not in os.environ:  # before any library is loaded
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.rl_loop", *sys.argv[1:]], environment(1))
    sys.exit(main())
