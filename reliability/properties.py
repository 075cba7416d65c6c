"""Random graphs, by hypothesis: against PyTorch, finite differences, other numbers of threads and instruction sets.

    python -m reliability.properties --examples 200 --seconds 120

`--digest` prints the results of fixed graphs, for comparison with a process that runs another instruction set.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, seed, settings, strategies as st

import fastbp as fb
from fastbp import _engine
from fastbp._engine import cpu
from fastbp.derivatives import check_gradients
from fastbp.layers.derivatives import Derivative
from fastbp.layers.node import topological_order

ROOT = Path(__file__).parents[1]
# Smooth activations and activations with kinks, with bounded slopes and without randomness.
NAMES = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "mish", "softsign")
NAMES += ("softmax", "log_softmax", "sin", "selu", "hard_tanh")
LIMITS = {"float32": 2e-3, "float64": 1e-9}  # of an error, relative to the largest number


def build(choices: Sequence[tuple[int, int, int, int]], width: int, dtype: str) -> fb.Model:
    """A graph whose k-th layer is of kind choices[k][0], on nodes that the other numbers of choices[k] select."""
    nodes = [fb.Input(width)]
    for kind, first, second, size in choices:
        a, b = nodes[first % len(nodes)], nodes[second % len(nodes)]
        name = NAMES[(first + second + size) % len(NAMES)]
        if kind in (0, 1, 2):
            made = fb.Dense(size, name, bias=bool(kind))(a)
        elif kind == 3:
            made = fb.Activation(name)(a)
        elif kind == 4:
            made = fb.LayerNorm()(a)
        elif kind == 5:
            made = fb.Concatenate()(a, b)
        elif kind == 6:
            made = fb.Multiply()(a, fb.Dense(a.width, "sigmoid")(b))
        elif kind == 7:
            made = fb.Add()(a, fb.Dense(a.width)(b))
        elif kind == 8:
            made = fb.Subtract()(a, fb.Dense(a.width, "tanh")(b))
        elif kind == 9:
            made = fb.Maximum()(a, fb.Dense(a.width)(b))
        elif kind == 10:
            made = fb.PReLU()(a)
        elif kind == 12:
            made = derived(a, nodes[0], size)
        else:
            made = a[:, : max(1, a.width // 2)]
        nodes.append(made)
    return fb.Model(nodes[0], fb.Dense(1 + choices[-1][3] % 5)(nodes[-1]), dtype=dtype, seed=len(choices))


def derived(a: fb.layers.Node, x: fb.Input, size: int) -> fb.layers.Node:
    """A derivative of a node by the input: by a column, along a direction, a Jacobian, a Laplacian, a determinant.

    At most of second order, since LayerNorm multiplies by 1 / sqrt(eps) with each order; none through an order that
    is 0.
    """
    above = topological_order([a])
    order = sum(node.layer.order for node in above if isinstance(node.layer, Derivative))
    column = x[:, size % x.width]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about second derivatives of piecewise linear layers
        if order > 1:
            return a
        if order == 0 and size % 3 == 0 and x.width <= 6:
            return fb.laplacian(a, x)
        if order == 0 and size % 5 == 1 and x.width <= 6:
            return fb.jac(a, x, mode="reverse")
        if order == 0 and size % 7 == 4 and not any(isinstance(node.layer, fb.LayerNorm) for node in above):
            some = x[:, : min(3, x.width)]  # the map below is near the identity, whose determinant is 1
            return fb.logdet(some + 0.03 * fb.Dense(some.width, "tanh")(a), some)
        if size % 3 == 1:
            return fb.directional(a, x, np.linspace(-1, 1, x.width))
        return fb.diff(a, column)


GRAPHS = st.tuples(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9), st.integers(0, 9), st.integers(1, 40)), min_size=1,
             max_size=6),
    st.integers(1, 20),
)  # fmt: skip
DTYPES = st.sampled_from(("float32", "float64"))
ROWS = st.sampled_from((1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 100))


def data(net: fb.Model, rows: int, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([rows, number])
    X, T = (rng.normal(size=(rows, node.width)) for node in (net.inputs[0], net.outputs[0]))
    return X.astype(net.dtype), T.astype(net.dtype)


def close(what: str, got: np.ndarray, wanted: np.ndarray, limit: float) -> None:
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    error = float(np.abs(np.asarray(got, np.float64) - wanted).max(initial=0)) / scale
    assert error <= limit, f"{what}: off by {error:.3g} of the largest"


def against_torch(graph, dtype: str, rows: int) -> None:
    sys.path.insert(0, str(ROOT / "tests/helpers"))
    import torch

    import torch_twin

    net = build(*graph, dtype)
    X, T = data(net, rows)
    # The PyTorch twin computes in float64 with the same parameters, so that its own rounding does not count.
    params = {name: p.double().requires_grad_() for name, p in torch_twin.parameters(net).items()}
    (Y,) = torch_twin.evaluate(net, params, torch.tensor(X, dtype=torch.float64))
    loss = ((Y - torch.tensor(T, dtype=torch.float64)) ** 2).mean()
    loss.backward()
    close("outputs", net.predict(X), Y.detach().numpy(), LIMITS[dtype])
    _, g = net.value_and_grad(net.params.copy(), X, T, loss="mse")
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in params.values()]
    close("gradient", g, np.concatenate([each.numpy().ravel() for each in gradients]), LIMITS[dtype])


def against_differences(graph, dtype: str, rows: int) -> None:
    net = build(*graph, dtype)
    X, T = data(net, min(rows, 8))
    check_gradients(net, X, T, "mse", rtol=1e-4, samples=10)


def fitted(graph, dtype: str, rows: int, threads: int) -> tuple[bytes, str]:
    net = build(*graph, dtype)
    X, T = data(net, rows)
    before = fb.get_num_threads()
    fb.set_num_threads(threads)
    try:
        history = net.fit(X, T, loss="mse", optimizer=fb.Adam(lr=1e-3), epochs=2, batch_size=max(1, rows // 2), seed=0)
    finally:
        fb.set_num_threads(before)
    return net.params.tobytes(), repr(history.history["loss"])


def with_any_threads(graph, dtype: str, rows: int) -> None:
    one = fitted(graph, dtype, rows, 1)
    for threads in (2, 3):
        assert fitted(graph, dtype, rows, threads) == one, f"{threads} threads give other bits than one"


PROPERTIES: dict[str, Callable] = {
    "PyTorch": against_torch,
    "finite differences": against_differences,
    "threads": with_any_threads,
}


def fixed_graphs(count: int) -> list:
    rng = np.random.default_rng(16)
    made = []
    for _ in range(count):
        sizes = ((0, 13), (0, 10), (0, 10), (1, 41))
        choices = [tuple(int(rng.integers(*size)) for size in sizes) for _ in range(rng.integers(1, 7))]
        made.append(((choices, int(rng.integers(1, 21))), str(rng.choice(("float32", "float64"))), 33))
    return made


def digest(count: int) -> list:
    """Outputs and gradients of fixed graphs."""
    results = []
    for graph, dtype, rows in fixed_graphs(count):
        net = build(*graph, dtype)
        X, T = data(net, rows)
        _, g = net.value_and_grad(net.params.copy(), X, T, loss="mse")
        results.append([dtype, net.predict(X).ravel().tolist(), g.tolist()])
    return results


def across_sets(count: int) -> None:
    """Compare the results of fixed graphs under each instruction set, each in a process of its own."""
    here = digest(count)
    for isa in cpu.supported():
        if isa == _engine.isa:
            continue
        command = [sys.executable, "-m", "reliability.properties", "--digest", str(count)]
        environment = {**os.environ, "FASTBP_ISA": isa}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        for k, (one, other) in enumerate(zip(here, json.loads(done.stdout), strict=True)):
            for what, a, b in zip(("outputs", "gradient"), one[1:], other[1:], strict=True):
                close(f"{what} of graph {k} under {isa}", np.array(a), np.array(b), LIMITS[one[0]])
        print(f"{isa} against {_engine.isa}: {count} graphs agree", flush=True)


def search(check: Callable, options: argparse.Namespace) -> int:
    """Return how many graphs a property was tried on; raise for the smallest graph on which it does not hold."""
    end, tried = time.monotonic() + options.seconds, 0

    @seed(options.seed)
    @settings(max_examples=options.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(GRAPHS, DTYPES, ROWS)
    def holds(graph, dtype, rows):
        nonlocal tried
        if time.monotonic() < end:
            tried += 1
            check(graph, dtype, rows)

    holds()
    return tried


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.properties", description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=200, help="graphs for each property")
    parser.add_argument("--seconds", type=float, default=120.0, help="no new example after so long, for each property")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--digest", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.digest:
        print(json.dumps(digest(options.digest)))
        return 0
    for name, check in PROPERTIES.items():
        begin = time.monotonic()
        tried = search(check, options)
        print(f"{name}: {tried} graphs hold, {time.monotonic() - begin:.0f} s", flush=True)
    across_sets(options.examples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
