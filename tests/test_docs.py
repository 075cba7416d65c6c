"""The pages of docs/: their Python runs, their figures are those that the script draws."""

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import fastbp as fb
from fastbp import _engine
from pages import README, blocks

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
NEEDS = {
    "converting": ("torch", "keras", "onnx", "sklearn"),
    "sklearn": ("sklearn",),
    "how_to": ("sklearn",),
    "native": ("numba", "scipy"),
    "scale": ("h5py", "sklearn"),
}  # optional packages, by page
SEARCHED = (
    "overfitting, regularization, class imbalance, missing values, categorical, hyperparameter search, early stopping, "
    "uncertainty, physics-informed, microcontroller, gpu, dropout, time series, reinforcement learning"
)
PLANTED = """<img src="none.png"><img src="https://example.org/a.png" alt="a"><script>console.error("planted")</script>
<div style="width:600px">wide</div><p class="a" style="color:#ccc">faint</p><a href="b.html#nowhere">b</a>
<style>[data-theme=dark] body {background:#111;color:#eee} [data-theme=dark] .b {color:#555}</style>
<p class="b">dim</p><a href="c.html">c</a><a href="b.html#here">b</a>"""
LINK = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")


# Pages whose figures of speed and size come from the results of benchmarks.
NAMES = ("index", "faq", "installation", "numerics", "sklearn", "optimizers")
MEASURED = [*(DOCS / f"{name}.md" for name in NAMES), README]
TYPED = re.compile(r"\d[\d.,]*(?: to \d[\d.,]*)? ?(?:us|ms|MB|GB|GFLOP/s|times|passes)\b")


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of docs/, which finds those beside it as when it is run."""
    monkeypatch.syspath_prepend(str(DOCS))
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", MEASURED, ids=lambda page: page.stem)
def test_figures_of_benchmarks_are_not_typed(page: Path) -> None:
    text = re.sub(
        r"<!-- results: begin -->.*<!-- results: end -->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    allowed = {"2 MB"}  # of the wheel, which `make build` holds it to
    assert set(TYPED.findall(text)) <= allowed
    assert TYPED.findall("takes 1.4 us, 2 to 16 times as fast") == ["1.4 us", "2 to 16 times"]


def test_figures_of_benchmarks_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("benchmark_figures", monkeypatch)
    figures = module.figures()
    named = {name for page in DOCS.glob("*.md") for name in module.PLACE.findall(page.read_text(encoding="utf-8"))}
    assert named == set(figures)
    report = json.loads((DOCS.parent / "benchmarks/results/float32.json").read_text(encoding="utf-8"))
    online = 1e6 * report["threads"]["1"]["online"]["seconds"]["fastbp"]
    assert module.filled("in {{ online_us }} us, {{ x }}", {**figures, "x": "y"}) == f"in {online:.2g} us, y"
    with pytest.raises(KeyError, match="surprise"):
        module.filled("{{ surprise }}", figures)
    assert module.span([3.04, 1.06, 150.2]) == "1.1 to 150"
    assert module.span([1.21, 1.18]) == "1.2"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras's, when it saves
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDS.get(page.stem, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for line, code in blocks(page.read_text(encoding="utf-8")):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


def test_each_figure_is_shown_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {name for page in PAGES for name in LINK.findall(page.read_text(encoding="utf-8"))}
    module = script("draw_figures", monkeypatch)
    names = {*module.FIGURES, *module.PHOTOGRAPHS}
    assert shown == {f"figures/{name}.png" for name in names}
    assert {path.name for path in (DOCS / "figures").iterdir()} == {f"{name}.png" for name in names}
    for name in module.PHOTOGRAPHS:
        assert 5000 < (DOCS / "figures" / f"{name}.png").stat().st_size < 150_000
    module.main(tmp_path)
    for name in module.FIGURES:
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


@pytest.mark.parametrize("words", SEARCHED.split(", "))
def test_what_people_search_for_is_the_title_of_a_section(words: str) -> None:
    titles = [
        line.lower() for page in PAGES for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    ]
    assert any(words in title for title in titles)


def test_the_table_of_activations_names_what_exists() -> None:
    text = (DOCS / "backpropagation.md").read_text(encoding="utf-8")
    table = text[text.index("## Activation functions") :]
    named = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert named
    assert set(named) <= set(_engine.ACTIVATIONS)


def test_the_tables_have_every_row(python, tmp_path: Path) -> None:
    """Written anew, in an interpreter of its own; that the committed page is current is for .ci/run to say."""
    done = python(str(DOCS / "write_tables.py"), str(tmp_path / "tables.md"))
    assert done.returncode == 0, done.stderr
    names = set(re.findall(r"^\| `(\w+)` \|", (tmp_path / "tables.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {*_engine.ACTIVATIONS, *_engine.LOSSES, *fb.__all__, *fb.schedules.__all__} - {
        "__version__",
        "Schedule",
    } <= names


def test_the_table_of_errors_of_activations() -> None:
    """`python -m reliability.accuracy` has the largest of all instruction sets; here is the one that runs.

    Another C library has another long double to compare with, within a twentieth of a unit.
    """
    from reliability import accuracy

    text = (DOCS / "numerics.md").read_text(encoding="utf-8")
    stated = {
        name: [float(cell) for cell in cells.strip(" |").split("|")]
        for name, cells in re.findall(r"^\| `(\w+)` \|([ \d.|e+-]+)$", text.split("accuracy: begin")[1], re.MULTILINE)
    }
    found = accuracy.measured(list(_engine.ACTIVATIONS))
    assert list(stated) == list(found)
    for name, errors in found.items():
        assert all(error <= bound + 0.05 for error, bound in zip(errors, stated[name], strict=True)), (name, errors)
        assert max(stated[name]) < 8, name


def test_the_table_of_gates_names_what_exists() -> None:
    text = (DOCS / "backpropagation.md").read_text(encoding="utf-8")
    for name in re.findall(r"`fb\.(\w+)", text):
        assert hasattr(fb, name)


def test_the_table_of_losses_is_that_of_the_engine() -> None:
    lines = []
    for name, row in _engine.LOSSES.items():
        settings = getattr(fb.losses, name).settings
        shown = ", ".join(f"`{key}={value!r}`" for key, value in settings.items() if key != "mask_nan")
        formula = ("" if row.by_rows else "mean of ") + row.formula.replace("|", "\\|")
        lines.append(f"| `{name}` | {shown} | {formula} |")
    assert "\n".join(lines) in (DOCS / "losses.md").read_text(encoding="utf-8")


def test_the_page_on_training_names_every_initializer_and_metric() -> None:
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    starts, metrics = text.split("## Start values")[1].split("## Metrics")
    named = [set(re.findall(r"`(\w+)`", part)) for part in (starts, metrics.split("## Callbacks")[0])]
    assert set(fb.initializers.INITIALIZERS) <= named[0]
    assert set(fb.metrics.METRICS) <= named[1]


def test_each_optional_package_is_named_in_the_installation() -> None:
    sources = (DOCS.parent / "src" / "fastbp").rglob("*.py")
    asked = {name for path in sources for name in re.findall(r'package\("(\w+)', path.read_text(encoding="utf-8"))}
    table = (DOCS / "installation.md").read_text(encoding="utf-8").partition("## Optional packages")[2]
    shown = {"sklearn": "scikit-learn", "torch": "PyTorch"}
    assert len(asked) > 10
    assert {name for name in asked if not re.search(rf"\b{shown.get(name, name)}\b", table)} == set()


CHROMIUM = pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), reason="no Chromium"
)


@CHROMIUM
def test_searches_that_lead_elsewhere_are_named(python, tmp_path: Path) -> None:
    items = "".join(f"<li><a href='{page}.html#a'>a</a></li>" for page in ("how_to", "faq", "x", "y", "z", "tapes"))
    found = f"<p class='search-summary'>6 found</p><ul class='search'>{items}</ul>"
    (tmp_path / "search.html").write_text(f"<!doctype html><title>a</title><div id='search-results'>{found}</div>")
    done = python(str(DOCS / "search_site.py"), str(tmp_path))
    assert done.returncode == 1
    assert "'recurrent' does not lead to tapes: how_to, faq, x, y, z\n" in done.stdout
    assert "GPU" not in done.stdout
    assert "overfitting" not in done.stdout


@CHROMIUM
def test_the_browser_sees_what_is_wrong_with_a_page(python, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, body in (
        (good, "<p>well</p>"),
        (bad, PLANTED),
    ):
        folder.mkdir()
        (folder / "a.html").write_text(f"<!doctype html><title>a</title>{body}")
        (folder / "b.html").write_text("<!doctype html><title>b</title><p id=here>b</p>")
    done = python(str(DOCS / "open_site.py"), str(good))
    assert (done.returncode, done.stdout.strip()) == (0, "2 pages opened, none had anything to say"), done.stdout
    done = python(str(DOCS / "open_site.py"), str(bad))
    assert done.returncode == 1
    for words in (
        *("404 /none.png", '"planted"', "a.html wants https://example.org/a.png", "a.html: none.png is no picture"),
        *("a.html: none.png has no text", "wider than a window of 390", 'light: contrast 1.61 of "faint"'),
        *('dark: contrast 2.53 of "dim"', "a.html has a link to b.html#nowhere", "a.html has a link to c.html"),
    ):
        assert words in done.stdout


def test_every_public_name_has_a_group_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("build_site", monkeypatch)
    listed = set(re.findall(r"^   fastbp\.(\w+)$", module.reference(), re.MULTILINE))
    estimators = {"MLPClassifier", "MLPRegressor"}  # which `from fastbp import *` leaves out
    assert listed - estimators == set(fb.__all__) - {"__version__"} - set(module.MODULES)
    known = {DOCS / "conventions.md": "conventions.md", module.ROOT / "SECURITY.md": "security.md"}
    text = "[a](conventions.md#b) [c](../SECURITY.md) [d](https://e.f) [g](../setup.py) net[0](x)"
    found = module.mended(text, DOCS / "faq.md", known)
    assert found.startswith("[a](conventions.md#b) [c](security.md) [d](https://e.f) ")
    assert found.endswith(" net[0](x)")
    assert "../setup.py" not in found
