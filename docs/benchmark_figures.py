"""The figures of pages: a page has `{{ name }}`, and the site the figure from the results of benchmarks.

    python docs/benchmark_figures.py

prints all figures. So a figure has one source, which a new run of `python -m benchmarks` replaces. Rejected: figures
typed by hand, which are wrong after the next run; figures written into the pages, which then change with each run.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from benchmarks.cases import CASES, Case  # noqa: E402  (the source tree is no package)
from benchmarks.report import fastest  # noqa: E402

PLACE = re.compile(r"(?<!`)\{\{ (\w+) \}\}")  # not in a page's text about placeholders
SMALL, LARGE = (
    ("online", "rl", "digits", "deep"),
    ("mid", "large"),
)  # nets of up to 30,000 parameters; of 670,000 and more
LIBRARIES = {
    "fastbp": "fastbp",
    "sklearn.neural_network": "scikit-learn",
    "torch": "PyTorch, CPU build",
    "jax": "JAX (jaxlib)",
}
SETS = {"generic": "SSE4.2", "avx2": "AVX2", "avx512": "AVX-512"}


def results(name: str) -> dict:
    """The last results of a benchmark."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def rounded(value: float) -> str:
    """Two digits below 100, whole numbers above."""
    return f"{value:.2g}" if value < 99.5 else f"{value:,.0f}"


def span(values: Iterable[float]) -> str:
    """The range from the smallest to the largest."""
    least, *_, most = map(rounded, sorted(values))
    return least if least == most else f"{least} to {most}"


def net(case: Case) -> str:
    """The widths of a case's net, with a count where many are repeated."""
    first, *inner, last = case.widths
    middle = f"({len(inner)} x {inner[0]})" if len(inner) > 3 else "-".join(map(str, inner))
    return f"{first}-{middle}-{last}"


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; commas separate the words of the head."""
    columns = head.split("; ")
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, ["---"] * len(columns), *rows])


def figures() -> dict[str, str]:
    """All figures by name."""
    single, double = (results(name)["threads"]["1"] for name in ("float32", "float64"))
    seconds = {name: found["seconds"]["fastbp"] for name, found in single.items()}
    steps = [name for name, case in CASES.items() if case.task == "train"]
    fits = {name: case for name, case in results("estimators")["cases"].items() if name.startswith("fit")}
    passes = {name: found["passes"] for name, found in results("optimizers")["whole_batch"].items()}
    costs, sets = results("float32")["scaling"]["costs"], results("instruction_sets")["seconds"]
    return {
        "online_us": rounded(1e6 * seconds["online"]),
        "mid_us": rounded(1e6 * seconds["mid"]),
        "large_seconds": rounded(seconds["large"]),
        "small_over_fastest": span(fastest(single[name])[1] for name in SMALL),
        "large_over_fastest": span(fastest(single[name])[1] for name in LARGE),
        "small_over_torch": span(single[name]["ratios"]["torch"]["median"] for name in SMALL),
        "large_over_torch": span(single[name]["ratios"]["torch"]["median"] for name in LARGE),
        "fit_over_sklearn": span(case["ratio"]["median"] for case in fits.values()),
        "float64_cost": span(double[name]["seconds"]["fastbp"] / seconds[name] for name in steps if name in double),
        "passes_lm": f"{passes['lm']:,}",
        "passes_scipy": f"{next(count for name, count in passes.items() if name.startswith('scipy')):,}",
        "passes_adam": f"{min(count for name, count in passes.items() if name.startswith('adam')):,}",
        "costs": table(
            "library; installed, MB; import, ms after NumPy's",
            (
                [words, rounded(costs[name]["installed_bytes"] / 1e6), f"{1e3 * costs[name]['import_seconds']:,.0f}"]
                for name, words in LIBRARIES.items()
            ),
        ),
        "instruction_sets": table(
            "; ".join(["network", "rows", *(SETS[isa] for isa in sets)]),
            (
                [f"{net(CASES[name])}, {CASES[name].activation}", f"{CASES[name].rows}"]
                + [rounded(1e6 * found[name]) for found in sets.values()]
                for name in next(iter(sets.values()))
            ),
        ),
    }


def filled(text: str, known: dict[str, str]) -> str:
    """The text of a page with its figures filled in."""
    return PLACE.sub(lambda match: known[match[1]], text)


if __name__ == "__main__":
    for name, figure in figures().items():
        sys.stdout.write(f"{name}:\n{figure}\n" if "\n" in figure else f"{name}: {figure}\n")
