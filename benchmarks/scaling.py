"""How a step's time grows with width, batch and depth, and memory with parameters; the size and import of libraries."""

import json
import os
import subprocess
import sys
from importlib import metadata

import numpy as np

from benchmarks.cases import Case, problem
from benchmarks.peers import installed
from benchmarks.rounds import _calls, _timed, environment

PEERS = ("fastbp", "numpy", "torch", "jax")
SWEEPS = {
    "width": {w: Case((w, w, w), "relu", 64, "mse") for w in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)},
    "batch": {n: Case((128, 128, 10), "relu", n) for n in (1, 4, 16, 64, 256, 1024, 4096)},
    "depth": {d: Case((64, *[64] * d, 10), "tanh", 64) for d in (1, 2, 4, 8, 16, 32, 64)},
}
MEMORY = """
from benchmarks.cases import Case, problem
from benchmarks.peers import installed
def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))
(peer,) = installed(["{peer}"])
warm = peer.start(problem(Case((8, 8, 8), "relu", 64, "mse"), "float32"), 1)
warm.step(0)
warm.wait()
given = problem(Case(({width}, {width}, {width}), "relu", 64, "mse"), "float32")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts again from here; that of resource.getrusage is the parent's at least
before = status("VmRSS")
runner = peer.start(given, 1)
for k in range(3):
    runner.step(0)
runner.wait()
print(status("VmHWM") - before)
"""
IMPORT = "import time; import numpy; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def measured() -> dict:
    """All measurements, with one thread."""
    script = f"import json; from {__name__} import step_times; print(json.dumps(step_times()))"
    memory = {
        peer: {width: float(_python(MEMORY.format(width=width, peer=peer))) for width in (512, 1024, 2048)}
        for peer in (peer.name for peer in installed(PEERS) if os.path.exists("/proc/self/clear_refs"))
    }
    costs = {}
    for module, package in (
        ("fastbp", "fastbp"),
        ("sklearn.neural_network", "scikit-learn"),
        ("torch", "torch"),
        ("jax", "jaxlib"),
    ):
        try:
            seconds = min(float(_python(IMPORT.format(module))) for _ in range(3))
        except subprocess.CalledProcessError:
            continue
        costs[module] = {"import_seconds": seconds, "installed_bytes": _size(package)}
    return {"steps": json.loads(_python(script)), "memory": memory, "costs": costs}


def _python(code):
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(1), capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


def _size(package):
    """Bytes of a package's own files, compiled ones included, without its dependencies."""
    if package == "fastbp":  # also from a source tree, which has no list of installed files
        import fastbp

        folder = os.path.dirname(fastbp.__file__)
        files = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
        wanted = [name for name in files if name.endswith((".so", ".py", ".pyd", ".npz", ".csv", ".gz"))]
        return sum(map(os.path.getsize, wanted))
    return sum(file.size or 0 for file in metadata.files(package) or ())


def step_times() -> dict:
    """Seconds of a step by sweep, peer and size: the median of some interleaved rounds."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    peers = installed(PEERS)
    found = {}
    for sweep, cases in SWEEPS.items():
        found[sweep] = {peer.name: {} for peer in peers}
        for size, case in cases.items():
            given = problem(case, "float32")
            runners = {peer.name: peer.start(given, 1) for peer in peers}
            calls = {name: _calls(runner, given, 0.02) for name, runner in runners.items()}
            rounds = [[_timed(runner, given, calls[name]) for name, runner in runners.items()] for _ in range(5)]
            for name, seconds in zip(runners, np.median(rounds, axis=0), strict=True):
                found[sweep][name][size] = float(seconds)
    return found


def chart(scaling: dict, path) -> None:
    """Four panels, all axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    titles = {
        "width": "two layers of this width, 64 rows",
        "batch": "128-128-10, so many rows",
        "depth": "so many layers 64 wide, 64 rows",
    }
    for axes, (sweep, by_peer) in zip(panels.flat, scaling["steps"].items(), strict=False):
        for peer, times in by_peer.items():
            axes.plot([float(size) for size in times], [s * 1e6 for s in times.values()], marker="o", label=peer)
        axes.set(xscale="log", yscale="log", xlabel=sweep, ylabel="us a step", title=titles[sweep])
    axes = panels.flat[3]
    for peer, by_width in scaling["memory"].items():
        parameters = [2 * (int(w) ** 2 + int(w)) for w in by_width]
        axes.plot(parameters, [b / 2**20 for b in by_width.values()], marker="o", label=peer)
    if scaling["memory"]:
        axes.plot(parameters, [16 * p / 2**20 for p in parameters], "k--", linewidth=1, label="16 bytes a parameter")
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="MB more at the peak", title="memory with Adam")
    axes.xaxis.set_minor_formatter("")
    for axes in panels.flat:
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
