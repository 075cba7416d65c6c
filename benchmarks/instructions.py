"""Instructions of a step or a call, counted by valgrind: guards against slower kernels, also on a busy machine.

    python -m benchmarks.instructions            compare with benchmarks/instructions.json; exit 1 beyond 5 %
    python -m benchmarks.instructions --record   measure, and write the file

Valgrind counts whole processes, one that goes through its batches once and one that does so more often: their
difference is that of the steps, or predictions, alone. Valgrind runs the generic and the AVX2 kernels, not those for
AVX-512. Another compiler generates other code, so figures are kept by compiler and major version; without figures for a
compiler nothing is compared.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RECORDED = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.05
CASES = {"rl": 200, "mnist": 4, "online": 400, "predict_one": 400}  # batches of an epoch
KERNELS = {"generic": ("rl", "mnist"), "avx2": tuple(CASES)}
EPOCHS = (1, 4)


def train(case: str, epochs: int) -> None:
    """Train a net of the grid on one thread: the work that is counted."""
    import numpy as np

    import fastbp as fb
    from benchmarks.cases import CASES as GRID

    grid, rng = GRID[case], np.random.default_rng(0)
    rows = grid.rows * CASES[case]
    X = rng.standard_normal((rows, grid.widths[0]), np.float32)
    y = rng.integers(0, grid.widths[-1], rows)
    if grid.loss == "mse":
        y = rng.standard_normal((rows, grid.widths[-1]), np.float32)
    hidden = [fb.Dense(width, activation=grid.activation) for width in grid.widths[1:-1]]
    net = fb.Sequential(fb.Input(grid.widths[0]), *hidden, fb.Dense(grid.widths[-1]), dtype="float32", seed=0)
    trainer = fb.Trainer(net, grid.loss, {"adam": fb.Adam, "sgd": fb.SGD}[grid.optimizer](1e-3))
    for _ in range(epochs):  # not `fit`, which returns to Python by the clock
        for k in range(0, rows, grid.rows):
            if grid.task == "predict":
                net.predict(X[k : k + grid.rows], threads=1)
            else:
                trainer.step(X[k : k + grid.rows], y[k : k + grid.rows], threads=1)


def counted(case: str, epochs: int, kernels: str) -> int:
    """Instructions of a process that trains for `epochs` epochs."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m",
               "benchmarks.instructions", "--train", case, str(epochs)]  # fmt: skip
    environment = os.environ | {"FASTBP_ISA": kernels, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit("counting instructions needs valgrind") from None
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(done.stderr)
    return int(found[1])


def of_step(case: str, kernels: str) -> int:
    """Instructions of one training step, or prediction."""
    few, many = (counted(case, epochs, kernels) for epochs in EPOCHS)
    return (many - few) // ((EPOCHS[1] - EPOCHS[0]) * CASES[case])


def compiler() -> str:
    """Name and major version of the C compiler (CC or cc), and the machine."""
    cc = os.environ.get("CC", "cc")
    version = subprocess.run([cc, "-dumpversion"], stdout=subprocess.PIPE, text=True, check=True).stdout
    name = subprocess.run([cc, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return f"{'clang' if 'clang' in name else 'gcc'} {version.split('.')[0].strip()} {platform.machine()}"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.instructions", description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the figures instead of comparing them")
    parser.add_argument("--train", nargs=2, metavar=("CASE", "EPOCHS"), help="only train: what is counted")
    options = parser.parse_args(arguments)
    if options.train:
        train(options.train[0], int(options.train[1]))
        return 0
    recorded = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    key, beyond = compiler(), 0
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counts = {
            kernels: {case: threads.submit(of_step, case, kernels) for case in cases}
            for kernels, cases in KERNELS.items()
        }
    figures = {kernels: {case: count.result() for case, count in of.items()} for kernels, of in counts.items()}
    for kernels, cases in figures.items():
        for case, now in cases.items():
            before = recorded.get(key, {}).get(kernels, {}).get(case)
            change = "" if before is None else f"{now / before - 1:+8.2%}"
            sys.stdout.write(f"{kernels:8} {case:11} {now:12,} instructions a step {change}\n")
            beyond += before is not None and abs(now / before - 1) > TOLERANCE
    if options.record:
        RECORDED.write_text(json.dumps(recorded | {key: figures}, indent=2) + "\n")
    elif key not in recorded:
        sys.stdout.write(f"no figures recorded for {key}: nothing compared\n")
    elif beyond:
        sys.stdout.write(f"more than {TOLERANCE:.0%} from benchmarks/instructions.json: if meant, record them anew\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
