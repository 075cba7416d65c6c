"""`python -m benchmarks.imports`: what `import fastbp` costs over `import numpy`, as a ratio to NumPy's own import.

Fresh interpreters in turns, one that imports NumPy and one that also imports fastbp; a ratio is taken within a round,
so that a busy machine slows both alike.
"""

import argparse
import statistics
import subprocess
import sys

CODE = """
import sys, time
begun = time.perf_counter()
import numpy
numpys = time.perf_counter() - begun
before = set(sys.modules)
begun = time.perf_counter()
import fastbp
print(numpys, time.perf_counter() - begun, sum(name.partition(".")[0] == "fastbp" for name in sys.modules))
"""
MOST = 0.12  # limit of the ratio


def measured(rounds: int) -> tuple[float, float, int]:
    """Median seconds of NumPy's import, the median ratio of ours to it, and the number of our loaded modules."""
    runs = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, check=True)
        numpys, ours, modules = done.stdout.split()
        runs.append((float(numpys), float(ours) / float(numpys), int(modules)))
    times, ratios, counts = zip(*runs, strict=True)
    return statistics.median(times), statistics.median(ratios), counts[0]


def main(arguments=None) -> int:
    """Print one line; exit 1 above the limit."""
    parser = argparse.ArgumentParser("python -m benchmarks.imports", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21, help="fresh interpreters, default 21")
    numpys, ratio, modules = measured(parser.parse_args(arguments).rounds)
    sys.stdout.write(f"import numpy {1e3 * numpys:.0f} ms; fastbp {ratio:.3f} of it more, {modules} of its modules\n")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())
