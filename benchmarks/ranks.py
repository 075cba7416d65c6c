"""One network on ranks of MPI: `python -m benchmarks.ranks` starts mpiexec with 1 and 2 ranks, one thread each.

Every rank has the same number of rows per step (weak scaling), so N ranks should reach N times the rows per second. One
net has so few parameters that their sum over the ranks is short beside the step, another so many that it is not. The
same process times `Trainer.step` without a group, the step in the group, and the Allreduce of as many numbers alone.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastbp as fb

NETS = (((64, 256, 256, 10), 512), ((64, 900, 900, 10), 128))  # widths, and rows of a step
WAYS = ("alone", "group", "Allreduce")


def seconds(call: Callable[[], object], steps: int, barrier: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU time of a call."""
    barrier()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        call()
    return (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps


def of_rank(rounds: int, steps: int) -> None:
    """Run the benchmark on one rank; rank 0 prints the medians."""
    group = fb.distributed.mpi()
    one = np.zeros(1)

    def barrier() -> None:
        group.allreduce(one)

    for widths, rows in NETS:
        calls = calls_of(group, widths, rows)
        found = [[seconds(call, steps, barrier) for call in calls] for _ in range(rounds)]
        wall, cpu = 1e3 * np.median(found, axis=0).T
        ratio = statistics.median(each[0][0] / each[1][0] for each in found)
        if group.rank == 0:
            times = "  ".join(f"{name} {w:6.2f} ({c:.2f})" for name, w, c in zip(WAYS, wall, cpu, strict=True))
            net = f"{group.size} ranks, {'-'.join(map(str, widths))} on {rows} rows each"
            sys.stdout.write(f"{net}: ms a step (of the CPU)  {times}  efficiency {ratio:.2f}\n")


def calls_of(group: fb.distributed.Group, widths: tuple[int, ...], rows: int) -> list[Callable[[], object]]:
    """The calls that are timed, in the order of WAYS."""
    rng = np.random.default_rng(group.rank)
    X, y = rng.normal(size=(rows, widths[0])).astype(np.float32), rng.integers(0, widths[-1], rows)
    trainers = []
    for given in (None, group):
        hidden = [fb.Dense(width, "relu") for width in widths[1:-1]]
        net = fb.Sequential(fb.Input(widths[0]), *hidden, fb.Dense(widths[-1]), seed=0)
        trainers.append(fb.Trainer(net, "cross_entropy", fb.Adam(1e-4), group=given))
    message = np.zeros(trainers[0].net.params.size, np.float32)
    calls: list[Callable[[], object]] = [lambda trainer=trainer: trainer.step(X, y, threads=1) for trainer in trainers]
    return [*calls, lambda: group.allreduce(message)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rank", action="store_true", help="as mpiexec starts it")
    arguments = parser.parse_args()
    if arguments.rank:
        of_rank(arguments.rounds, arguments.steps)
        return
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if mpiexec is None:
        raise SystemExit('pip install "fastbp[mpi]"')
    for size in (1, 2):
        start = [mpiexec, "-n", str(size), sys.executable, "-m", "benchmarks.ranks", "--rank"]
        rest = ["--rounds", str(arguments.rounds), "--steps", str(arguments.steps)]
        subprocess.run([*start, *rest], check=True, env={**os.environ, "FASTBP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
