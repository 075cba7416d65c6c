"""The tutorials of docs/: each runs alone, from an empty folder; what it claims, it asserts."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("plot_*.py"))
NEEDS = {
    "from_keras": ("keras", "jax"),
    "from_pytorch": ("torch",),
    "from_scikit_learn": ("sklearn",),
    "replacing_mlpclassifier": ("sklearn",),
}  # optional packages, beside matplotlib
RUN = """
import runpy, sys
import matplotlib.pyplot as plt
plt.show = lambda: None
runpy.run_path(sys.argv[1], run_name="__main__")
for number in plt.get_fignums():
    plt.figure(number).savefig(f"figure_{number}.png")
"""


def name(path: Path) -> str:
    return path.stem.removeprefix("plot_")


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_a_tutorial_runs_alone(path: Path, python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib", *NEEDS.get(name(path), ())):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    for variable in ("KERAS_BACKEND", "PYTHONWARNINGS"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "run.py").write_text(RUN, encoding="utf-8")
    done = python("run.py", str(path), timeout=300, MPLBACKEND="Agg")
    assert done.returncode == 0, done.stderr
    figures = list(tmp_path.glob("figure_*.png"))
    assert figures
    assert all(os.stat(figure).st_size > 5000 for figure in figures)


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_a_tutorial_has_the_form_of_the_gallery(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    title = re.match(r'"""\n(?P<title>.+)\n(?P<line>=+)\n\n\S', text)
    assert title, "the docstring begins with a title, underlined"
    assert len(title["line"]) >= len(title["title"])
    headings = re.findall(r"^# (.+)\n# (-{4,})$", text, flags=re.MULTILINE)
    assert all(len(heading) == len(line) for heading, line in headings)


def test_the_needs_are_of_tutorials() -> None:
    assert set(NEEDS) <= {name(path) for path in TUTORIALS}
