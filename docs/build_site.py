"""Build the documentation site: python docs/build_site.py [folder].

The pages of docs/ and some from elsewhere in the repository are copied to one folder, with the links between them
adapted and the figures of benchmarks filled in. The page of the API is written there from the list of public names.
Then Sphinx builds the site; warnings are errors. Rejected: Sphinx reads docs/ itself, where generated pages would then
lie among the sources.
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import benchmark_figures

import fastbp as fb
from fastbp._lazy import origins

ROOT = Path(__file__).resolve().parents[1]
# Pages from elsewhere in the repository, and the pictures that they show.
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code_of_conduct.md",
    "SECURITY.md": "security.md",
    "RELEASING.md": "releasing.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/NOTES.md": "benchmark_notes.md",
    "src/fastbp/_engine/README.md": "engine.md",
    "benchmarks/results/float32.png": "figures/float32.png",
    "benchmarks/results/scaling.png": "figures/scaling.png",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)")
# Groups of the reference, with the modules whose public names are in each.
GROUPS = {
    "Models": ("fastbp.model",),
    "Layers": ("fastbp.layers.dense", "fastbp.layers.node", "fastbp.layers.embedding", "fastbp.layers.normalization",
               "fastbp.layers.blocks", "fastbp.layers.python_layer", "fastbp.layers.parameter",
               "fastbp.layers.constraints"),
    "Gates and arithmetic of nodes": ("fastbp.layers.merge", "fastbp.layers.operators", "fastbp.layers.arithmetic",
                                      "fastbp.layers.functions"),
    "Derivatives as nodes": ("fastbp.layers.differentiation",),
    "Derivatives of a network": ("fastbp.derivatives",),
    "Training": ("fastbp.training", "fastbp.data", "fastbp.network.tape"),
    "Many networks": ("fastbp.many",),
    "Optimizers": ("fastbp.optimizers",),
    "Callbacks": ("fastbp.callbacks",),
    "Diagnosis of gradients": ("fastbp.insight",),
    "scikit-learn": ("fastbp.sklearn",),
    "Models of other libraries": ("fastbp.readers",),
    "Activations with parameters": ("fastbp.activations",),
    "Threads and errors": ("fastbp.threads", "fastbp.errors"),
}  # fmt: skip
MODULES = {
    "activations": "Activation functions; [the tables](tables.md#activation-functions) list their formulas.",
    "losses": "Losses: `fb.losses.mse` is `fb.losses.MSE()` and so on; `loss=` takes the names in lower case.",
    "schedules": "Learning rates by step or epoch, for `lr=`; see [optimizers](optimizers.md).",
    "metrics": "Metrics, for `metrics=` by name or with settings; see [training](training.md#metrics).",
    "initializers": "Initial weights; see [training](training.md#start-values-weight-initializers).",
    "functional": "Single passes on arrays.",
    "plotting": "Plots by matplotlib; see [plots](pictures.md).",
    "distributed": "Training in several processes; see [distributed](scale_distributed.md).",
    "datasets": "The digits that the package includes, and files of data.",
    "layers": "The layers above, and their base classes.",
    "optimizers": "The optimizers above, and their base class.",
    "callbacks": "The callbacks above.",
    "derivatives": "The derivatives of a network above.",
    "sklearn": "Estimators for scikit-learn: those above, and two around any network; see [scikit-learn](sklearn.md).",
    "river": "Models for River; see [online learning](data.md#online-learning-one-sample-at-a-time).",
    "threads": "Also for threadpoolctl; see [threads](scale.md#threads-under-somebody-elses-pool).",
    "cli": "The function behind the command `fastbp`; see [command line](command_line.md).",
}


def places() -> dict[Path, str]:
    """The place in the site of each file of the repository that the site shows."""
    skipped = {"__pycache__"}
    docs = (path for path in (ROOT / "docs").rglob("*") if path.is_file() and not skipped & set(path.parts))
    found = {path: path.relative_to(ROOT / "docs").as_posix() for path in docs}
    return found | {ROOT / source: place for source, place in ELSEWHERE.items()}


def mended(text: str, page: Path, known: dict[Path, str]) -> str:
    """A page whose links lead to pages of the site, else to the repository if its address is known."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")

    def link(match: re.Match) -> str:
        picture, words, target, heading = match.groups()
        path = (page.parent / target).resolve()
        if path in known:
            if words.endswith(".md"):  # replace a file name by the title of the page
                words = first_line(path.read_text(encoding="utf-8")).lstrip("# ")
            place = known[path]
            if path.name.startswith("plot_"):  # link to the page with the script's output
                place, words = f"auto_{place.removesuffix('.py')}.rst", words.removesuffix(".py")
            return f"{picture}[{words}]({place}{heading or ''})"
        if not path.exists():
            return match[0]  # no link but code: a call after an index
        if path == ROOT / "README.md":
            return f"[{words}](index.md)"
        relative = path.relative_to(ROOT).as_posix()
        if server and name:
            return f"[{words}]({server}/{name}/blob/HEAD/{relative})"
        return words if path.name in words else f"{words} (`{relative}`)"

    return LINK.sub(link, text)


def reference() -> str:
    """The page of the API, from the list of public names; autosummary makes a page for each name."""
    names = origins((ROOT / "src" / "fastbp" / "__init__.pyi").read_text(encoding="utf-8"))
    parts = [
        "# API reference\n\nA page for each public name; `fb` is `fastbp`. [The tables](tables.md) list activations,"
        " losses, optimizers and metrics with their formulas and settings."
    ]
    for title, modules in GROUPS.items():
        listed = [name for start in modules for name, module in names.items() if module.startswith(start)]
        parts.append(f"## {title}\n\n{summary(title, (f'fastbp.{name}' for name in listed))}")
    grouped = {name for name, module in names.items() if module.startswith(sum(GROUPS.values(), ()))}
    if left := set(names) - grouped - set(MODULES):
        raise SystemExit(f"these public names are in no group of {Path(__file__).name}: {sorted(left)}")
    for name, words in MODULES.items():
        module = getattr(fb, name)
        public = getattr(module, "__all__", None) or [key for key in dir(module) if not key.startswith("_")]
        things = {key: getattr(module, key) for key in public}
        own = [
            key
            for key, thing in things.items()
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith(module.__name__)
            if key not in grouped or getattr(fb, key) is not thing  # other names already have a page above
        ]
        pages = summary(f"fastbp.{name}", (f"fastbp.{name}.{key}" for key in own)) if own else ""
        parts.append(f"## fastbp.{name}\n\n{words}\n\n{pages}".rstrip())
        table = [(key, inspect.getdoc(thing)) for key, thing in things.items() if is_named(thing)]
        if table and name != "losses":
            rows = [f"| `{key}` | {first_line(text)} |" for key, text in table]
            parts.append("\n".join(["| name | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def is_named(thing: object) -> bool:
    """Whether `thing` is a loss, metric or initializer with its settings."""
    return hasattr(thing, "settings") and not inspect.isclass(thing)


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0].replace("|", "\\|")


def summary(title: str, names: Iterable[str]) -> str:
    """A table of names with a page each, and their group in the navigation of these pages."""
    rows = "".join(f"   {name}\n" for name in names)
    options = f"   :toctree: generated\n   :caption: {title}\n   :nosignatures:\n"
    return f"```{{eval-rst}}\n.. autosummary::\n{options}\n{rows}```"


def write(path: Path, content: bytes) -> None:
    """Write a file only if it has changed, so that Sphinx reads only changed files again."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def gather(source: Path) -> None:
    """Write all files that Sphinx reads."""
    known, figures = places(), benchmark_figures.figures()
    wanted = {"api.md": reference().encode()}
    for path, place in known.items():
        content = path.read_bytes()
        if path.suffix == ".md":
            content = benchmark_figures.filled(mended(content.decode(), path, known), figures).encode()
        wanted[place] = content
    made = ("generated", "auto_tutorials", "auto_examples")
    for path in list(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_file() and name not in wanted and not name.startswith(made):
            path.unlink()
    for place, content in wanted.items():
        write(source / place, content)


def main(output: Path) -> int:
    """Build the site; return Sphinx's exit code."""
    source = output.with_name(f"{output.name}-source")
    gather(source)
    for folder in (source / "generated", output):  # remove pages of names that no longer exist
        shutil.rmtree(folder, ignore_errors=True)
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky"]
    doctrees = output.with_name(f"{output.name}-doctrees")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    options = ["-q", *strict, "-D", f"version={version}", "-D", f"release={version}", "-d", doctrees, "-b", "html"]
    command = [sys.executable, "-m", "sphinx", *options, source, output]
    done = subprocess.run(command, env=os.environ | {"MPLBACKEND": "agg"}).returncode
    if not done:
        print(f"{sum(1 for _ in output.rglob('*.html'))} pages in {output}")
    return done


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve()))
