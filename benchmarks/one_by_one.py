"""`python -m benchmarks.one_by_one`: learning from one row at a time, a dict of features, as River has it.

A linear regression on 16 features is compared with River's, a net of 16-32-1 with scikit-learn's `partial_fit` and with
PyTorch, each called as its users call it for rows that are dicts. First all must have the same weights after some rows.
Then each round times all once, on one thread; a ratio is taken within a round.
"""

import argparse
import importlib.metadata
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.report import HERE, machine, write
from benchmarks.rounds import VARIABLES, _spread

LR = 1e-2
ROWS = 1000
CHECKED_ROWS = 100
TOLERANCE = 1e-5  # of all weights together, relative
FEATURES = [f"feature {k}" for k in range(16)]


class Learner(NamedTuple):
    """A function that learns a row, and one that returns the weights: W and b of each layer in one vector."""

    learn: Callable[[dict, float], object]
    weights: Callable[[], np.ndarray]


class Case(NamedTuple):
    """Widths, the peers that have such a model, and our limit in microseconds per row."""

    widths: tuple[int, ...]
    peers: tuple[str, ...]
    most: float


CASES = {
    "a line through 16": Case((16, 1), ("fastbp", "river"), 3.0),
    "16-32-1 tanh": Case((16, 32, 1), ("fastbp", "sklearn", "torch"), 3.0),
}


def with_fastbp(W: list[np.ndarray], b: list[np.ndarray]) -> Learner:
    import fastbp as fb

    layers = [fb.Dense(len(one), "tanh") for one in b[:-1]]
    net = fb.Sequential(fb.Input(len(W[0])), *layers, fb.Dense(1), seed=0)
    for layer, mine, bias in zip(net.layers, W, b, strict=True):
        layer.W[...], layer.b[...] = mine, bias
    return Learner(fb.Trainer(net, "mse", fb.SGD(lr=LR)).learn_one, lambda: net.params.astype(np.float64))


def with_river(W: list[np.ndarray], b: list[np.ndarray]) -> Learner:
    from river import linear_model, optim

    model = linear_model.LinearRegression(optim.SGD(LR), intercept_lr=LR)
    return Learner(model.learn_one, lambda: np.array([*(model.weights[name] for name in FEATURES), model.intercept]))


def with_sklearn(W: list[np.ndarray], b: list[np.ndarray]) -> Learner:
    from sklearn.neural_network import MLPRegressor

    # The squared error of scikit-learn is half of ours.
    settings = {"activation": "tanh", "solver": "sgd", "alpha": 0.0, "batch_size": 1, "momentum": 0.0}
    hidden = tuple(len(one) for one in b[:-1])
    net = MLPRegressor(hidden_layer_sizes=hidden, learning_rate_init=2 * LR, shuffle=False, **settings)
    net.partial_fit(np.zeros((1, len(W[0]))), [0.0])
    for mine, start in zip([*net.coefs_, *net.intercepts_], [*W, *b], strict=True):
        mine[...] = start

    def learn(x: dict, y: float) -> None:
        net.partial_fit(np.array([list(x.values())]), [y])

    def weights() -> np.ndarray:
        return np.concatenate([A.ravel() for pair in zip(net.coefs_, net.intercepts_, strict=True) for A in pair])

    return Learner(learn, weights)


def with_torch(W: list[np.ndarray], b: list[np.ndarray]) -> Learner:
    import torch

    torch.set_num_threads(1)
    layers: list = []
    for mine, bias in zip(W, b, strict=True):
        linear = torch.nn.Linear(*mine.shape)
        linear.load_state_dict({"weight": torch.tensor(mine.T), "bias": torch.tensor(bias)})
        layers += [linear, torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, fused=True)

    def learn(x: dict, y: float) -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(net(torch.tensor(list(x.values()))), torch.tensor([y]))
        loss.backward()
        optimizer.step()

    def weights() -> np.ndarray:
        return np.concatenate([p.detach().numpy().T.ravel() for p in net.parameters()]).astype(np.float64)

    return Learner(learn, weights)


PEERS = {"fastbp": with_fastbp, "river": with_river, "sklearn": with_sklearn, "torch": with_torch}


def measured(name: str, rounds: int, rows: int = ROWS) -> dict:
    """Microseconds per row by peer, ratios to ours, and the difference of each peer's weights from ours."""
    case, rng = CASES[name], np.random.default_rng(0)
    pairs = list(zip(case.widths, case.widths[1:], strict=False))
    draws = len(pairs) > 1  # the linear model starts at 0, as River's does
    W = [draws * rng.normal(0, 1 / np.sqrt(i), (i, o)).astype(np.float32) for i, o in pairs]
    b = [draws * rng.normal(0, 0.1, o).astype(np.float32) for _, o in pairs]
    X, y = rng.normal(size=(rows, case.widths[0])).tolist(), rng.normal(size=rows).tolist()
    stream = [(dict(zip(FEATURES, x, strict=True)), t) for x, t in zip(X, y, strict=True)]
    learners = {peer: PEERS[peer](W, b) for peer in case.peers}
    differences = _differences(learners, stream[:CHECKED_ROWS])
    times: dict[str, list] = {peer: [] for peer in learners}
    for number in range(rounds):
        for peer in list(learners)[:: 1 if number % 2 else -1]:
            learn = learners[peer].learn
            begin = time.perf_counter()
            for x, t in stream:
                learn(x, t)
            times[peer].append((time.perf_counter() - begin) / rows * 1e6)
    ours = np.array(times["fastbp"])
    return {
        "microseconds": {peer: float(np.median(list_)) for peer, list_ in times.items()},
        "ratios": {peer: _spread(np.array(list_) / ours) for peer, list_ in times.items() if peer != "fastbp"},
        "most": case.most,
        "differences": differences,
    }


def _differences(learners, stream):
    for learner in learners.values():
        for x, t in stream:
            learner.learn(x, t)
    ours = learners["fastbp"].weights()
    differences = {
        peer: float(np.linalg.norm(learner.weights() - ours) / np.linalg.norm(ours))
        for peer, learner in learners.items()
        if peer != "fastbp"
    }
    for peer, difference in differences.items():
        if not difference <= TOLERANCE:
            raise SystemExit(f"{peer} and fastbp differ by {difference:.2g} after {len(stream)} rows")
    return differences


def table(results: dict) -> str:
    """A table with a line for each case and peer."""
    lines = ["| model | peer | us a row | fastbp us | times faster | at most |", "|---|---|---|---|---|---|"]
    for name, result in results.items():
        for peer, ratio in result["ratios"].items():
            theirs, ours = result["microseconds"][peer], result["microseconds"]["fastbp"]
            lines.append(
                f"| {name} | {peer} | {theirs:,.1f} | {ours:.2f} | {ratio['median']:.1f} | {result['most']:g} |"
            )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_by_one", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "one_by_one.json")
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    warnings.simplefilter("ignore")  # scikit-learn's, of a net that has not converged after a row
    results = {name: measured(name, options.rounds) for name in CASES}
    names = {"river": "river", "sklearn": "scikit-learn", "torch": "torch"}
    versions = {peer: importlib.metadata.version(package) for peer, package in names.items()}
    write({"machine": machine(), "versions": versions, "threads": 1, "cases": results}, options.out)
    sys.stdout.write(table(results))


if __name__ == "__main__":
    for variable in VARIABLES:  # before any library is loaded
        os.environ[variable] = "1"
    main()
