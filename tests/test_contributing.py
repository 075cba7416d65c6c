"""CONTRIBUTING.md: its places to touch are true, its commands exist, and a place that is forgotten fails a test."""

import re
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from fastbp.writers import c_table, onnx_table, torch as torch_writer

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (an? [\w ]+) \| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE)
# What may hold the example besides: generated, or about that one and not about all of its kind.
BESIDE = re.compile(
    r"docs/tables\.md|_activation_names\.pyi|losses/(table|__init__)\.pyi|losses/loss\.py|tests/.*test_\w+\.py"
)
BESIDE_TESTS = re.compile(r"tests/helpers/(user_code|loss_cases)\.py|readers/(fann|onnx/operators)\.py|docs/\w+\.md")


def test_there_is_a_row_for_each_kind() -> None:
    kinds = {"an activation", "a loss", "an optimizer", "a block of layers", "a callback"}
    assert {kind for kind, _, _ in ROWS} == kinds


@pytest.mark.parametrize(("kind", "example", "places"), ROWS, ids=[kind for kind, _, _ in ROWS])
def test_the_places_are_all_that_hold_the_example(kind: str, example: str, places: str) -> None:
    listed = set(re.findall(r"`([\w/.]+\.\w+)`", places))
    names = {example, example.lower()} if kind == "an optimizer" else {example}
    word = re.compile(rf"\b({'|'.join(sorted(names))})\b", re.ASCII)
    folders = [ROOT / folder for folder in ("src/fastbp", "tests", "docs")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".pyi", ".pxi", ".md")]
    holding = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if word.search(re.sub(rf"{example}_(value|vjp|curvature|entry)", example, path.read_text(encoding="utf-8")))
    }
    assert listed <= holding, f"these do not hold {example}: {sorted(listed - holding)}"
    others = {name for name in holding - listed if not BESIDE.search(name) and not BESIDE_TESTS.search(name)}
    assert not others, f"these hold {example} and are not listed: {sorted(others)}"


def test_the_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)`", TEXT)) <= targets
    for module in re.findall(r"`python -m (\w+)\.(\w+)", TEXT):
        assert ROOT.joinpath(*module).with_suffix(".py").exists()


@pytest.mark.parametrize("table", [torch_writer, onnx_table, c_table], ids=lambda table: table.__name__)
def test_a_format_that_lacks_the_activation_is_noticed(table, monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests/test_conversion.py compares them."""
    monkeypatch.delitem(table.ACTIVATIONS, "softsign")
    assert not set(_engine.ACTIVATIONS) <= set(table.ACTIVATIONS) | set(table.IMPOSSIBLE)


@pytest.mark.parametrize(("table", "known"), [("ACTIVATIONS", _engine.ACTIVATIONS), ("LOSSES", _engine.LOSSES)])
def test_a_reference_that_lacks_one_is_noticed(table: str, known: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(known) == set(getattr(reference, table))
    monkeypatch.delitem(getattr(reference, table), sorted(known)[0])
    assert set(known) != set(getattr(reference, table))


def test_a_wrong_slope_is_caught(rng: np.random.Generator) -> None:
    Z, dY = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    f = fb.activations.softsign()
    dZ = f.vjp(dY, Z, f(Z))
    reference.assert_gradient(lambda A: float((dY * f(A)).sum()), Z, dZ)
    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(lambda A: float((dY * f(A)).sum()), Z, 1.001 * dZ)
