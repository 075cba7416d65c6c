"""The tables of all formats against the engine's: what a format neither writes nor names as impossible fails."""

import re
from pathlib import Path

import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.layers import Layer
from fastbp.writers import activation_formats, c_table, onnx_table, torch as torch_writer

# Kinds of op that layers are made of; the engine's others come into being inside it.
OURS = [layer for layer in Layer.classes.values() if layer.__module__.startswith("fastbp.")]
KINDS = {layer.kind for layer in OURS if hasattr(layer, "kind")}
FORMATS = {"c": c_table, "onnx": onnx_table, "torch": torch_writer}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_is_written_or_named_as_impossible(name: str) -> None:
    form = FORMATS[name]
    known = set(form.KINDS)
    assert known | set(form.IMPOSSIBLE) >= KINDS
    assert not known & set(form.IMPOSSIBLE)
    assert known <= KINDS | set(_engine.OPS) | {"prelu", "slope_threshold", "slope_gelu"}
    assert all(form.IMPOSSIBLE.values())


def test_every_activation_is_written() -> None:
    assert set(_engine.ACTIVATIONS) == set(activation_formats.FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_can_write_each_format(name: str) -> None:
    assert callable(getattr(fb.Model, f"to_{name}"))


def test_a_row_that_is_lacking_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(activation_formats.FORMATS, "tanh")
    with pytest.raises(AssertionError):
        test_every_activation_is_written()
    net = fb.Sequential(fb.Input(2), fb.Dense(3, "tanh"))
    with pytest.raises(ValueError, match=r"<Dense tanh dense_1> cannot be written as C, .*activation 'tanh': known: "):
        net.to_c("never.c")
    assert not Path("never.c").exists()


def test_the_tables_name_what_there_is() -> None:
    """That they are current, .ci/run says."""
    text = PAGE.read_text(encoding="utf-8")
    readers = {f"fb.{name}" for name in fb.__all__ if name.startswith("from_")}
    writers = {f"net.to_{name}" for name in FORMATS}
    named = re.findall(r"^\| [^|]* \| `((?:fb\.from|net\.to)_\w+)` \|", text, flags=re.MULTILINE)
    assert set(named) == readers | writers
