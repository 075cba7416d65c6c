"""Errors of the activation functions: python -m reliability.accuracy, which prints the table of docs/numerics.md.

Each value is compared with the formula in long double, over -50 ... 50 and all magnitudes, for each instruction set
that the processor has and both number types; the largest error counts. The error of a value is in units in its last
place (ulp), or in ulp of the larger term if the formula is a difference. The error of a slope is in ulp of the slope,
or of 1 where the slope is smaller, since slopes cross zero.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastbp as fb
from fastbp import _engine
from fastbp._engine import cpu

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/helpers"))
import reference  # noqa: E402

HEAD = "| activation | value, float32 | value, float64 | slope, float32 | slope, float64 |\n|---|---|---|---|---|\n"
BY_ROWS = 3  # features of a row, for softmax and its like
Errors = dict[str, list[float]]


def inputs(dtype: str, by_rows: bool) -> np.ndarray:
    """Points dense around 0 and of all magnitudes, the same with any NumPy; subnormal numbers are 0 to the engine."""
    z = np.arange(-100_000, 100_001) / 2000
    if by_rows:  # multiples of 1/64, whose differences do not round
        z = np.random.default_rng(0).permutation(np.round(z * 64) / 64)
        return z[: len(z) // BY_ROWS * BY_ROWS].reshape(-1, BY_ROWS).astype(dtype)
    sizes = reference.magnitudes(np.dtype(dtype), 30_011)
    return np.concatenate([z.astype(dtype), -sizes, sizes])[:, None]


def measured(names: list[str]) -> Errors:
    """The errors of this process's instruction set by activation, in the order of the columns."""
    found: Errors = {}
    for name in names:
        values, slopes = [], []
        f = fb.activations.resolve(name)
        for dtype in ("float32", "float64"):
            Z = inputs(dtype, _engine.ACTIVATIONS[name].by_rows)
            dY = np.random.default_rng(1).uniform(0.5, 2.0, size=Z.shape).astype(dtype)
            parameters = [np.longdouble(np.dtype(dtype).type(each)) for each in f.parameters]
            with np.errstate(all="ignore"):
                truth = reference.activation(name, Z.astype(np.longdouble), *parameters)
                slope = reference.activation_vjp(name, dY.astype(np.longdouble), Z.astype(np.longdouble), *parameters)
            Y = fb.functional.activation_forward(Z, f)
            dZ = fb.functional.activation_backward(dY, Z, Y, f)
            errors = reference.ulps(Y, truth)
            if name in reference.TERMS:
                largest = np.maximum(np.abs(truth), reference.TERMS[name](Z)).astype(dtype)
                off = np.maximum(np.abs(Y - truth) - np.finfo(dtype).tiny, 0)
                errors = (off / np.spacing(largest))[np.isfinite(off)]
            values.append(float(errors.max()))
            fits = np.isfinite(slope) & np.isfinite(dZ) & (np.abs(slope) < np.finfo(dtype).max)
            unit = np.spacing(np.maximum(np.abs(slope[fits]), 1).astype(dtype))
            slopes.append(float((np.abs(dZ[fits] - slope[fits]) / unit).max()))
        found[name] = values + slopes
    return found


def everywhere(names: list[str]) -> Errors:
    """The largest errors over all instruction sets of the processor."""
    worst: Errors = {name: [0.0] * 4 for name in names}
    for isa in cpu.supported():
        command = [sys.executable, "-m", "reliability.accuracy", "--json", *names]
        environment = os.environ | {"FASTBP_ISA": isa}
        done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        for name, errors in json.loads(done.stdout).items():
            worst[name] = [max(pair) for pair in zip(worst[name], errors, strict=True)]
    return worst


def table(found: Errors) -> str:
    """The errors in Markdown, rounded up to a tenth."""
    rows = [
        f"| `{name}` | {' | '.join(f'{np.ceil(10 * error) / 10:.3g}' for error in errors)} |\n"
        for name, errors in found.items()
    ]
    return HEAD + "".join(rows)


def main() -> None:
    """Print the table, or the errors of this process's instruction set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", default=list(_engine.ACTIVATIONS), help="activations, all by default")
    parser.add_argument("--json", action="store_true", help="this instruction set only, unrounded, as JSON")
    given = parser.parse_args()
    print(json.dumps(measured(given.names)) if given.json else table(everywhere(given.names)), end="")


if __name__ == "__main__":
    main()
