"""The pages of docs/: their Python runs, their figures are those that the script draws."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

import fastbp as fb
from fastbp import _engine
from pages import blocks

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


def drawing():
    spec = importlib.util.spec_from_file_location("draw_figures", DOCS / "draw_figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras's, when it saves
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDS.get(page.stem, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for line, code in blocks(page.read_text(encoding="utf-8")):
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), namespace)


def test_each_figure_is_shown_and_drawn(tmp_path: Path) -> None:
    shown = {name for page in PAGES for name in LINK.findall(page.read_text(encoding="utf-8"))}
    module = drawing()
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


@pytest.mark.skipif(not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), reason="no Chromium")
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


def test_every_public_name_has_a_group_in_the_reference() -> None:
    spec = importlib.util.spec_from_file_location("build_site", DOCS / "build_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    listed = set(re.findall(r"^   fastbp\.(\w+)$", module.reference(), re.MULTILINE))
    estimators = {"MLPClassifier", "MLPRegressor"}  # which `from fastbp import *` leaves out
    assert listed - estimators == set(fb.__all__) - {"__version__"} - set(module.MODULES)
    known = {DOCS / "conventions.md": "conventions.md", module.ROOT / "SECURITY.md": "security.md"}
    text = "[a](conventions.md#b) [c](../SECURITY.md) [d](https://e.f) [g](../setup.py) net[0](x)"
    found = module.mended(text, DOCS / "faq.md", known)
    assert found.startswith("[a](conventions.md#b) [c](security.md) [d](https://e.f) ")
    assert found.endswith(" net[0](x)")
    assert "../setup.py" not in found
