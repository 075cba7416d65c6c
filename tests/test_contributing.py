"""CONTRIBUTING.md: its places to touch are true, its commands exist, and a place that is forgotten fails a test."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp.writers import activation_formats

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (an? [\w ]+) \| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE)
# What may hold the example besides: generated, or about that one and not about all of its kind.
BESIDE = re.compile(
    r"docs/tables\.md|_activation_names\.pyi|losses/table\.pyi|fastbp/\w+/__init__\.pyi|losses/loss\.py|tests/.*test_\w+\.py"
)
BESIDE_TESTS = re.compile(
    r"tests/helpers/(user_code|loss_cases|new_entries)\.py|readers/.*\.py|fastbp/activations\.py|docs/(\w+\.md|tutorials/\w+\.py)"
)
PARTS = "value|vjp|curvature|higher|entry"  # of an activation, in the engine


def test_there_is_a_row_for_each_kind() -> None:
    kinds = {
        "an activation",
        "a loss",
        "an optimizer",
        "a layer with an op of its own",
        "a block of layers",
        "a callback",
    }
    assert {kind for kind, _, _ in ROWS} == kinds


@pytest.mark.parametrize(("kind", "example", "places"), ROWS, ids=[kind for kind, _, _ in ROWS])
def test_the_places_are_all_that_hold_the_example(kind: str, example: str, places: str) -> None:
    listed = set(re.findall(r"`([\w/.]+\.\w+)`", places))
    names = {example, example.lower()} if kind in ("an optimizer", "a layer with an op of its own") else {example}
    word = re.compile(rf"\b({'|'.join(sorted(names))})\b", re.ASCII)
    folders = [ROOT / folder for folder in ("src/fastbp", "tests", "docs")]
    kinds = {".py", ".pyi", ".pyx", ".pxi", ".md"}
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]
    holding = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if word.search(
            re.sub(rf"{example}_(value|vjp|curvature|higher|entry)", example, path.read_text(encoding="utf-8"))
        )
    }
    assert listed <= holding, f"these do not hold {example}: {sorted(listed - holding)}"
    others = {name for name in holding - listed if not BESIDE.search(name) and not BESIDE_TESTS.search(name)}
    assert not others, f"these hold {example} and are not listed: {sorted(others)}"


def test_the_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)`", TEXT)) <= targets
    for module in re.findall(r"`python -m (\w+)\.(\w+)", TEXT):
        assert ROOT.joinpath(*module).with_suffix(".py").exists()


def check_of(path: str, name: str):
    """A function of another file of tests, which is the check that a contributor would see fail."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / "tests" / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def test_formats_that_lack_the_activation_fail_their_check(monkeypatch: pytest.MonkeyPatch) -> None:
    check = check_of("test_conversion.py", "test_every_activation_is_written")
    check()
    monkeypatch.delitem(activation_formats.FORMATS, "softsign")
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize(
    ("table", "entry", "path"),
    [
        ("ACTIVATIONS", "softsign", "_engine/test_activations.py"),
        ("RULES", "lion", "_engine/test_updates.py"),
    ],
)
def test_a_reference_that_lacks_one_fails_its_check(
    table: str, entry: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = check_of(path, "test_every_row_of_the_table_has_a_reference_line")
    check()
    monkeypatch.delitem(getattr(reference, table), entry)
    with pytest.raises(AssertionError):
        check()


def test_a_twin_that_lacks_one_fails_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    import torch_losses

    check = check_of("training/test_against_torch.py", "test_every_row_of_the_tables_has_its_twin")
    losses = check_of("losses/test_losses.py", "test_every_row_of_the_table_has_its_reference_and_its_twin")
    check()
    losses()
    for table in (torch_losses.LOSSES, reference.LOSSES):
        with monkeypatch.context() as patch:
            patch.delitem(table, "huber")
            with pytest.raises(AssertionError):
                losses()


def test_a_wrong_slope_is_caught(rng: np.random.Generator) -> None:
    Z, dY = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    f = fb.activations.softsign()
    dZ = f.vjp(dY, Z, f(Z))
    reference.assert_gradient(lambda A: float((dY * f(A)).sum()), Z, dZ)
    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(lambda A: float((dY * f(A)).sum()), Z, 1.001 * dZ)
