"""Each activation against PyTorch, value and gradient, from 64 to 65,536 elements: `python -m benchmarks.activations`.

One thread, float32, in interleaved rounds as in `rounds.py`. Ours is called as a user calls it, by name and with the
checks of `fastbp.functional`. PyTorch is called by its own kernels, forward and backward, without autograd's cost; if
it has no such kernel, by the formula in as few calls as possible. Both get new arrays from each call.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastbp as fb
from fastbp import _engine

SIZES = (64, 1024, 8192, 65536)
WIDTH = 64  # elements of a row, for softmax and its like
ROUNDS = 9
RESULTS = Path(__file__).parent / "results" / "activations.json"


def kernels() -> dict[str, tuple[Callable, Callable]]:
    """PyTorch's functions of z for the value, and of g, z and y for the gradient, by our names."""
    import torch

    F, A = torch.nn.functional, torch.ops.aten
    root, both = torch.tensor(4.0), {"linear": (lambda z: z.clone(), lambda g, z, y: g.clone())}
    both["sigmoid"] = torch.sigmoid, lambda g, z, y: A.sigmoid_backward(g, y)
    both["log_sigmoid"] = F.logsigmoid, lambda g, z, y: A.log_sigmoid_backward(g, z, torch.exp(-torch.abs(z)))
    both["tanh"] = torch.tanh, lambda g, z, y: A.tanh_backward(g, y)
    both["softsign"] = F.softsign, lambda g, z, y: g * torch.square(1 - torch.abs(y))
    both["elliot"] = (
        lambda z: 0.5 + 0.5 * F.softsign(z),
        lambda g, z, y: g * 0.5 * torch.square(1 - torch.abs(2 * y - 1)),
    )
    both["hard_sigmoid"] = F.hardsigmoid, lambda g, z, y: A.hardsigmoid_backward(g, z)
    both["hard_tanh"] = F.hardtanh, lambda g, z, y: A.hardtanh_backward(g, z, -1.0, 1.0)
    both["gaussian"] = lambda z: torch.exp(-torch.square(z)), lambda g, z, y: g * y * z * -2
    both["relu"] = torch.relu, lambda g, z, y: A.threshold_backward(g, y, 0)
    both["relu6"] = F.relu6, lambda g, z, y: A.hardtanh_backward(g, z, 0.0, 6.0)
    both["leaky_relu"] = F.leaky_relu, lambda g, z, y: A.leaky_relu_backward(g, z, 0.01, False)
    slope = (1 / 8 + 1 / 3) / 2
    both["rrelu"] = F.rrelu, lambda g, z, y: A.leaky_relu_backward(g, z, slope, False)
    both["threshold"] = lambda z: F.threshold(z, 1.0, 0.0), lambda g, z, y: A.threshold_backward(g, z, 1.0)
    both["elu"] = F.elu, lambda g, z, y: A.elu_backward(g, 1.0, 1.0, 1.0, True, y)
    a, s = 1.6732632423543772, 1.0507009873554805
    both["selu"] = F.selu, lambda g, z, y: A.elu_backward(g, a, s, 1.0, True, y)
    both["celu"] = F.celu, lambda g, z, y: A.elu_backward(g, 1.0, 1.0, 1.0, True, y)
    both["softplus"] = F.softplus, lambda g, z, y: A.softplus_backward(g, z, 1.0, 20.0)
    both["squareplus"] = (
        lambda z: (z + torch.sqrt(torch.square(z) + root)) / 2,
        lambda g, z, y: g * y / torch.sqrt(torch.square(z) + root),
    )
    both["abs"] = torch.abs, lambda g, z, y: g * torch.sign(z)
    both["square"] = torch.square, lambda g, z, y: g * z * 2
    both["exp"] = torch.exp, lambda g, z, y: g * y
    both["silu"] = F.silu, lambda g, z, y: A.silu_backward(g, z)
    both["quick_gelu"] = lambda z: z * torch.sigmoid(1.702 * z), _quick_gelu_backward(torch)
    both["gelu_tanh"] = (
        lambda z: F.gelu(z, approximate="tanh"),
        lambda g, z, y: A.gelu_backward(g, z, approximate="tanh"),
    )
    both["gelu"] = F.gelu, lambda g, z, y: A.gelu_backward(g, z)
    both["mish"] = F.mish, lambda g, z, y: A.mish_backward(g, z)
    both["hard_swish"] = F.hardswish, lambda g, z, y: A.hardswish_backward(g, z)
    both["tanh_shrink"] = F.tanhshrink, lambda g, z, y: g * torch.square(torch.tanh(z))
    both["soft_shrink"] = F.softshrink, lambda g, z, y: A.softshrink_backward(g, z, 0.5)
    both["hard_shrink"] = F.hardshrink, lambda g, z, y: A.hardshrink_backward(g, z, 0.5)
    both["sin"] = torch.sin, lambda g, z, y: g * torch.cos(z)
    both["cos"] = torch.cos, lambda g, z, y: -g * torch.sin(z)
    float32 = torch.float32
    both["softmax"] = lambda z: torch.softmax(z, 1), lambda g, z, y: A._softmax_backward_data(g, y, 1, float32)
    both["softmin"] = lambda z: F.softmin(z, 1), lambda g, z, y: -A._softmax_backward_data(g, y, 1, float32)
    both["log_softmax"] = (
        lambda z: torch.log_softmax(z, 1),
        lambda g, z, y: A._log_softmax_backward_data(g, y, 1, float32),
    )
    return both


def _quick_gelu_backward(torch):
    def backward(g, z, y):
        s = torch.sigmoid(1.702 * z)
        return g * (s + 1.702 * y * (1 - s))

    return backward


def pairs(name: str, size: int, theirs: tuple[Callable, Callable]) -> dict[str, tuple[Callable, Callable]]:
    """Ours and theirs as calls without arguments, for value and gradient, after a comparison of their results."""
    import torch

    rng = np.random.default_rng(size)
    Z, dY = (2 * rng.normal(size=(2, size // WIDTH, WIDTH))).astype(np.float32)
    z, g = torch.from_numpy(Z), torch.from_numpy(dY)
    forward, backward = fb.functional.activation_forward, fb.functional.activation_backward
    Y, y = forward(Z, name), theirs[0](z)
    np.testing.assert_allclose(Y, y.numpy(), rtol=2e-5, atol=2e-6, err_msg=name)
    np.testing.assert_allclose(backward(dY, Z, Y, name), theirs[1](g, z, y).numpy(), rtol=2e-5, atol=1e-5, err_msg=name)
    return {
        "value": (lambda: forward(Z, name), lambda: theirs[0](z)),
        "gradient": (lambda: backward(dY, Z, Y, name), lambda: theirs[1](g, z, y)),
    }


def seconds_a_call(call: Callable, calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - begin) / calls


def compared(ours: Callable, theirs: Callable, seconds: float) -> dict[str, float]:
    """Microseconds of ours and theirs, and the median of the rounds' ratios; ours is faster if it is above 1."""
    calls = [max(2, int(seconds / ROUNDS / 2 / seconds_a_call(call, 10))) for call in (ours, theirs)]
    times = np.empty((ROUNDS, 2))
    for n in range(ROUNDS):
        for k in (0, 1) if n % 2 else (1, 0):
            times[n, k] = seconds_a_call((ours, theirs)[k], calls[k])
    mine, other = np.median(times, axis=0) * 1e6
    return {"fastbp_us": mine, "torch_us": other, "ratio": float(np.median(times[:, 1] / times[:, 0]))}


def measured(names: list[str], seconds: float) -> list[dict]:
    """A row for each activation, size and direction."""
    import torch

    torch.set_num_threads(1)
    theirs, rows = kernels(), []
    with torch.inference_mode():
        for name in names:
            for size in SIZES:
                for what, (mine, other) in pairs(name, size, theirs[name]).items():
                    rows.append({"name": name, "what": what, "size": size, **compared(mine, other, seconds)})
    return rows


def table(rows: list[dict]) -> str:
    """A table of how many times faster ours is, by activation and size, as value / gradient."""
    found = {(row["name"], row["what"], row["size"]): row["ratio"] for row in rows}
    lines = [f"| activation | {' | '.join(f'{size:,}' for size in SIZES)} |", "|---" * (len(SIZES) + 1) + "|"]
    for name in dict.fromkeys(row["name"] for row in rows):
        cells = [f"{found[name, 'value', size]:.2f} / {found[name, 'gradient', size]:.2f}" for size in SIZES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ratios = np.array([row["ratio"] for row in rows])
    ahead = f"{(ratios > 1).sum()} of {len(ratios)} ahead"
    return "\n".join([*lines, f"\n{ahead}; least {ratios.min():.2f}, median {np.median(ratios):.2f}"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.activations", description=__doc__.splitlines()[0])
    parser.add_argument("--names", default=",".join(_engine.ACTIVATIONS), help="separated by commas")
    parser.add_argument("--seconds", type=float, default=0.35, help="for each comparison")
    parser.add_argument("--out", type=Path, default=None, help=f"JSON, for example {RESULTS.name}")
    given = parser.parse_args(arguments)
    import torch

    rows = measured(given.names.split(","), given.seconds)
    sys.stdout.write(table(rows) + "\n")
    if given.out is not None:
        versions = {"fastbp": fb.__version__, "torch": torch.__version__, "instructions": _engine.isa}
        given.out.write_text(json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
