"""The scripts of docs/examples: each reaches its error against the known solution, and not without training."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "docs" / "examples").glob("plot_*.py"))
PAGE = EXAMPLES[0].parents[1] / "derivatives_in_training.md"
FOUND = re.compile(r"^relative error (\S+), (\S+) s of CPU$", flags=re.MULTILINE)
TRAINING = re.compile(r"\b(max_iter=|\"epochs\": |epochs=)\d+")


@pytest.fixture
def packages() -> None:
    for package in ("matplotlib", "scipy"):
        pytest.importorskip(package)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem[5:])
def test_an_example_reaches_its_error(script: Path, python: Callable) -> None:
    """In a fresh process; its assertion is the bound, and the page has a row for it."""
    done = python(str(script), timeout=400, MPLBACKEND="Agg")
    assert done.returncode == 0, done.stdout + done.stderr
    assert FOUND.search(done.stdout), done.stdout
    assert f"(examples/{script.name}) |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", ["poisson_1d", "pendulum", "two_moons"])
def test_an_example_that_is_hardly_trained_fails_by_its_assertion(name: str, python: Callable, tmp_path: Path) -> None:
    script = EXAMPLES[0].with_name(f"plot_{name}.py")
    text, count = TRAINING.subn(r"\g<1>2", script.read_text(encoding="utf-8"))
    assert count == 1
    (tmp_path / script.name).write_text(text, encoding="utf-8")
    done = python(str(tmp_path / script.name), timeout=100, MPLBACKEND="Agg")
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
