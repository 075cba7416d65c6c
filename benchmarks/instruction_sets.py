"""`fastbp bench` under each instruction set of the processor, in turns: python -m benchmarks.instruction_sets.

The best median of some rounds counts, since a shared machine can only add to a time. The results are written to
results/instruction_sets.json, which docs/installation.md shows.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import report
from fastbp._engine import cpu

RESULTS = Path(__file__).parent / "results" / "instruction_sets.json"


def bench(isa: str, seconds: float) -> dict[str, float]:
    """Seconds per step by case."""
    command = [sys.executable, "-m", "fastbp", "bench", "--threads", "1", "--json", "--seconds", str(seconds)]
    done = subprocess.run(command, env=os.environ | {"FASTBP_ISA": isa}, stdout=subprocess.PIPE, check=True)
    return {name: case["step"] for name, case in json.loads(done.stdout)["cases"].items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="runs of each instruction set")
    parser.add_argument("--seconds", type=float, default=0.5, help="for a case of a run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of results")
    given = parser.parse_args()
    best: dict[str, dict[str, float]] = {isa: {} for isa in reversed(cpu.supported())}
    for _ in range(given.rounds):
        for isa, found in best.items():
            for name, step in bench(isa, given.seconds).items():
                found[name] = min(step, found.get(name, step))
    for isa, found in best.items():
        words = (f"{name} {1e6 * step:,.0f} us" for name, step in found.items())
        sys.stdout.write("  ".join([isa, *words]) + "\n")
    about = report.machine()
    del about["instruction_set"]
    report.write({"machine": about, "threads": 1, "rounds": given.rounds, "seconds": best}, given.out)


if __name__ == "__main__":
    main()
