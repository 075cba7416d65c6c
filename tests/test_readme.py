"""The README's Python runs, all blocks in order in one namespace; so do the examples of docstrings."""

import doctest
import importlib
from pathlib import Path

import pytest

import fastbp
from pages import README, blocks

SOURCES = Path(fastbp.__file__).resolve().parent

NEEDS = {
    "fastbp.distributed.groups": "torch",
    "fastbp.river": "river",
    "fastbp.river.estimators": "river",
    "fastbp.exports": "onnx",
    "fastbp.readers.onnx.reader": "onnx",
}  # what a module's examples use


def test_the_reader_of_blocks() -> None:
    text = "a\n```python\nx = 1\n```\n```\nno\n```\n```bash\nno\n```\n```python\ny = 2\n```\n"
    assert blocks(text) == [(3, "x = 1\n"), (12, "y = 2\n")]


def test_the_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks(README.read_text(encoding="utf-8"))
    assert found, "the README has no block of Python"
    namespace = {"__name__": "__main__"}
    for line, code in found:
        padded = "\n" * (line - 1) + code  # so that a traceback names the line of the README
        exec(compile(padded, str(README), "exec"), namespace)


@pytest.mark.parametrize(
    "name",
    sorted(
        ".".join(["fastbp", *path.relative_to(SOURCES).with_suffix("").parts]).removesuffix(".__init__")
        for path in SOURCES.rglob("*.py")
        if path.stem != "__main__"
    ),
)
def test_the_examples_of_the_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0
