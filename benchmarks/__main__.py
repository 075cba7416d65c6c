"""`python -m benchmarks`: README.md explains its output."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import report, rounds, scaling
from benchmarks.cases import CASES
from benchmarks.peers import PEERS

QUICK = {"rounds": 9, "seconds": 2.0, "peers": ["fastbp", "numpy", "torch", "jax", "sklearn"]}
FULL = {"rounds": 25, "seconds": 12.0, "peers": list(PEERS)}


def main() -> int:
    arguments = _parser().parse_args()
    plan = QUICK if arguments.quick else FULL
    peers = arguments.peers or plan["peers"]
    peers = ["fastbp", *(peer for peer in peers if peer != "fastbp")]
    chosen = {
        "cases": arguments.cases or list(CASES),
        "dtype": arguments.dtype,
        "peers": peers,
        "rounds": arguments.rounds or plan["rounds"],
        "seconds": arguments.seconds or plan["seconds"],
        "verbose": sys.stderr.isatty(),
    }
    counts = arguments.threads or ([1] if arguments.quick else [1, 2])
    machine = report.machine()
    results = {str(threads): rounds.in_process(chosen, threads) for threads in counts}
    whole = {
        "machine": machine | {"load_at_end": report.load()},
        "versions": next(iter(results.values()))["versions"],
        "dtype": arguments.dtype,
        "threads": {threads: result["cases"] for threads, result in results.items()},
    }
    if arguments.scaling:
        whole["scaling"] = scaling.measured()
    sys.stdout.write(report.table(whole) + report.epochs(whole) + report.costs(whole))
    limited = f"-{os.environ['FASTBP_ISA']}" if os.environ.get("FASTBP_ISA") else ""
    out = arguments.out or report.HERE / "results" / f"{arguments.dtype}{limited}{'-quick' * arguments.quick}.json"
    report.write(whole, out)
    if arguments.plots:
        report.chart(whole, out.with_suffix(".png"))
        if arguments.scaling:
            scaling.chart(whole["scaling"], out.with_name("scaling.png"))
    if arguments.write_readme:
        report.write_readme(whole)
    return 0


def _parser():
    parser = argparse.ArgumentParser("python -m benchmarks", description="Times fastbp against other libraries.")
    add = parser.add_argument
    add("--cases", type=_names(CASES), help=f"of {', '.join(CASES)}; all if left out")
    add("--peers", type=_names(PEERS), help=f"of {', '.join(PEERS)}; all that are installed if left out")
    add("--threads", type=_counts, help="such as 1,2: each measured in a process of its own")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--rounds", type=int, help="of which each times every peer once")
    add("--seconds", type=float, help="for a case, about")
    add("--quick", action="store_true", help="fewer rounds and peers, one thread: under 4 minutes")
    add("--scaling", action="store_true", help="also step time by width, batch and depth, memory, import and size")
    add("--plots", action="store_true", help="also charts, beside the JSON")
    add("--out", type=Path, help="the JSON file; benchmarks/results/DTYPE.json if left out")
    add("--write-readme", action="store_true", help="put the results into benchmarks/README.md")
    return parser


def _names(known):
    def names(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown: {name!r}; known: {', '.join(known)}")
        return chosen

    return names


def _counts(text):
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers from 1")
    return counts


if __name__ == "__main__":
    sys.exit(main())
