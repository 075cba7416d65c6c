"""The report of a run: a table on the screen and in the README, JSON, and a bar chart."""

import json
import os
import platform
from collections.abc import Container
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.peers import BOUND, OURS

HERE = Path(__file__).parent
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"
SHOWN = {
    "fastbp": "fastbp",
    "jax": "JAX jit",
    "torch": "PyTorch",
    "compile": "torch.compile",
    "sklearn": "scikit-learn",
    "numpy": "NumPy",
}
UNLIMITED = ("jax", "jax_scan", "jax_forward", "onnxruntime", "openvino", "litert")  # in the instructions that they use
CASES_A_ROW = 7  # cases per row of the chart
EXCERPT = {
    "online": "SGD step",
    "rl": "Adam step",
    "digits": "Adam step",
    "deep": "Adam step",
    "mnist": "Adam step",
    "mid": "Adam step",
    "large": "Adam step",
    "predict_one": "prediction",
    "predict_many": "prediction",
}


def machine() -> dict:
    """The machine and the versions that the figures were measured with."""
    import fastbp as fb
    from fastbp import _engine

    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": model,
        "system": platform.system(),
        "python": platform.python_version(),
        "fastbp": fb.__version__,
        "instruction_set": _engine.isa,
        "load": load(),
        "when": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def load() -> float | None:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def fastest(result: dict, without: Container[str] = ()) -> tuple[str, float]:
    """The rival with the smallest median ratio, and this ratio."""
    rivals = {
        name: ratio["median"]
        for name, ratio in result["ratios"].items()
        if name not in (*OURS, BOUND) and name not in without
    }
    if not rivals:
        return "-", float("nan")
    name = min(rivals, key=rivals.__getitem__)
    return name, rivals[name]


def table(report: dict) -> str:
    """All results as a Markdown table: a line for each case and number of threads."""
    peers = [name for name in report["versions"] if name != "fastbp"]
    lines = [
        "| case | threads | fastbp us | of peak | of frontier | fastest peer | times faster | at peak | aim | "
        + " | ".join(f"{peer} us" for peer in peers)
        + " |",
        "|---|---|---|---|---|---|---|---|---|" + "---|" * len(peers),
    ]
    for threads, cases in report["threads"].items():
        for name, result in cases.items():
            peer, ratio = fastest(result)
            seconds = [result["seconds"].get(peer) for peer in peers]
            fraction = result["peak_fraction"]["median"]
            peak, limit = f"{fraction:.2f}" if CASES[name].peak else "", f"{ratio / fraction:.3g}"
            aim = f"{CASES[name].aim:g}" if threads == "1" else "1"
            ours = _us(result["seconds"]["fastbp"])
            bound = f"{result['ratios'][BOUND]['median']:.2f}" if BOUND in result["ratios"] else ""
            cells = [name, threads, ours, peak, bound, peer, f"{ratio:.2f}", limit, aim, *map(_us, seconds)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def epochs(report: dict) -> str:
    """A Markdown table of an epoch of steps in one call, one thread: `fit` and the peers that can do so."""
    cases = {name: result for name, result in report["threads"].get("1", {}).items() if result.get("epochs")}
    peers = list(dict.fromkeys(peer for result in cases.values() for peer in result["epochs"]))
    if not peers:
        return ""
    lines = ["| case | fit us | " + " | ".join(f"{peer} us, over fit" for peer in peers) + " |"]
    lines.append("|---|---|" + "---|" * len(peers))
    for name, result in cases.items():
        cells = [
            f"{_us(result['seconds'][peer])}, {result['epochs'][peer]['median']:.2f}"
            if peer in result["epochs"]
            else ""
            for peer in peers
        ]
        lines.append(f"| {name} | {_us(result['seconds']['fit'])} | {' | '.join(cells)} |")
    return "\nAn epoch of steps in one call, a step each:\n\n" + "\n".join(lines) + "\n"


def side_by_side(reports: list[dict]) -> str:
    """A Markdown table of one thread under the instruction sets that have results."""
    if len(reports) < 2:
        return ""
    sets = [report["machine"]["instruction_set"] for report in reports]
    heads = [f"{isa}: us | of peak | of frontier | fastest peer | times faster" for isa in sets]
    lines = ["| case | " + " | ".join(heads) + " |", "|---" * (1 + 5 * len(sets)) + "|"]
    for name in CASES:
        cells = [name]
        for report in reports:
            result = report["threads"].get("1", {}).get(name)
            cells += _figures_of(name, result, report["machine"]["instruction_set"]) if result else [""] * 5
        lines.append(f"| {' | '.join(cells)} |")
    loads = [f"{report['machine']['load']} to {report['machine']['load_at_end']}" for report in reports]
    return (
        f"\nOne thread, {' and '.join(sets)} on one machine. With AVX2 alone the libraries that have a setting for it "
        f"are limited to it too; {', '.join(UNLIMITED)} have none and are left out there. Processes that wanted a "
        f"processor, at begin and end: {', '.join(loads)}.\n\n" + "\n".join(lines) + "\n"
    )


def _figures_of(name, result, isa):
    peer, ratio = fastest(result, UNLIMITED if isa == "avx2" else ())
    peak = f"{result['peak_fraction']['median']:.2f}" if CASES[name].peak else ""
    bound = f"{result['ratios'][BOUND]['median']:.2f}" if BOUND in result["ratios"] else ""
    return [_us(result["seconds"]["fastbp"]), peak, bound, peer, f"{ratio:.2f}"]


def measured_before(report: dict) -> list[dict]:
    """A report, and the last reports of the same dtype under other instruction sets."""
    paths = sorted((HERE / "results").glob(f"{report['dtype']}-avx*.json"))
    others = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    own = report["machine"]["instruction_set"]
    return [report, *(other for other in others if other["machine"]["instruction_set"] != own)]


def costs(report: dict) -> str:
    """The size and import time of each library as a Markdown table; "" if they were not measured."""
    if "scaling" not in report:
        return ""
    lines = ["| library | import, ms after NumPy's | installed, MB |", "|---|---|---|"]
    for module, cost in report["scaling"]["costs"].items():
        lines.append(f"| {module} | {cost['import_seconds'] * 1e3:,.0f} | {cost['installed_bytes'] / 1e6:,.1f} |")
    return "\n" + "\n".join(lines) + "\n"


def _us(seconds):
    if seconds is None:
        return ""
    return f"{seconds * 1e6:,.2f}" if seconds < 1e-5 else f"{seconds * 1e6:,.0f}"


def write(report: dict, path: Path) -> None:
    """The figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def write_readme(report: dict) -> None:
    """Write the last results between the marks of this folder's README, and a few of them into the project's README."""
    about, versions = report["machine"], report["versions"]
    others = ", ".join(f"{name} {version}".strip() for name, version in versions.items())
    words = (
        f"{about['processor']}, {about['system']}, Python {about['python']}, kernels {about['instruction_set']}, "
        f"{report['dtype']}, {about['when']}; {others}.\n\n"
    )
    _between_marks(HERE / "README.md", words + results_of(report))
    _between_marks(HERE.parent / "README.md", excerpt(report))


def results_of(report: dict) -> str:
    return table(report) + side_by_side(measured_before(report)) + epochs(report) + costs(report)


def _between_marks(path, results):
    text = path.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(before + BEGIN + results + END + after, encoding="utf-8")


def excerpt(report: dict) -> str:
    """A table of the microseconds of common cases, with one thread."""
    peers = [name for name in report["versions"] if name in SHOWN]
    lines = ["| | " + " | ".join(SHOWN[name] for name in peers) + " |", "|---" * (len(peers) + 1) + "|"]
    measured = report["threads"].get("1", {})
    for name, words in EXCERPT.items():
        if name not in measured:
            continue
        case, seconds = CASES[name], measured[name]["seconds"]
        net = "-".join(str(width) for width in case.widths)
        rows = "1 row" if case.rows == 1 else f"{case.rows:,} rows"
        cells = [f"{words}, {net}, {rows}", *(_us(seconds.get(peer)) for peer in peers)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def chart(report: dict, path: Path) -> None:
    """Draw how many times faster ours is than each peer, on a log axis, for the first measured number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    threads, cases = next(iter(report["threads"].items()))
    peers = [name for name in report["versions"] if name != "fastbp"]
    rows = -(-len(cases) // CASES_A_ROW)
    figure, axes = plt.subplots(rows, squeeze=False, figsize=(9, 1 + 2.8 * rows), layout="constrained", sharey=True)
    width = 0.8 / len(peers)
    for row, ax in enumerate(axes[:, 0]):
        results = dict(list(cases.items())[row * CASES_A_ROW : (row + 1) * CASES_A_ROW])
        for k, peer in enumerate(peers):
            at = [x for x, result in enumerate(results.values()) if peer in result["ratios"]]
            ratios = [result["ratios"][peer] for result in results.values() if peer in result["ratios"]]
            ax.bar(
                [x + (k - (len(peers) - 1) / 2) * width for x in at],
                [r["median"] for r in ratios],
                width,
                yerr=[[r["median"] - r["low"] for r in ratios], [r["high"] - r["median"] for r in ratios]],
                label=peer,
                color=plt.get_cmap("tab10")(k),
                error_kw={"linewidth": 0.8},
            )
        ax.axhline(1, color="black", linewidth=1)
        ax.set_yscale("log")
        ax.set_xticks(range(len(results)), results)
        ax.set_xlim(-0.5, CASES_A_ROW - 0.5)
    figure.supylabel("time of the peer / time of fastbp", fontsize="medium")
    axes[0, 0].set_title(f"{report['dtype']}, {threads} thread{'s' * (threads != '1')}: above 1, fastbp is faster")
    handles = [plt.Rectangle((0, 0), 1, 1, color=plt.get_cmap("tab10")(k)) for k in range(len(peers))]
    figure.legend(handles, peers, loc="outside lower center", ncols=len(peers), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
