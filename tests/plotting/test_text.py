"""Numbers and tables for people: what a reader sees, written down by hand."""

import numpy as np

import fastbp as fb
from fastbp.plotting import text


def test_columns_keep_to_their_sides() -> None:
    rows = [("node", "width", "op"), ("x", "1,000", "Input"), ("hidden", "2", "")]
    assert text.columns(rows, "<><") == ["node    width  op", "x       1,000  Input", "hidden      2"]


def test_numbers_and_shares() -> None:
    assert [text.number(value) for value in (0.0123456, 1234567.0, float("inf"), float("nan"))] == [
        "0.0123", "1.23e+06", "inf", "",
    ]  # fmt: skip
    assert [text.percent(share) for share in (0.0, 0.755, 1.0, np.nan)] == ["0%", "76%", "100%", ""]
    assert text.logs({"loss": 0.5, "val_loss": 2.0}) == "loss 0.5000  val_loss 2.0000"


def test_small_arrays_are_shown_and_large_ones_measured() -> None:
    assert text.numbers(np.array([[1.0, -0.0], [0.33333, 2e6]])) == "1, 0, 0.3333, 2e+06"
    assert text.numbers(np.full(9, 2.0)) == "norm 6 over 9"


def test_every_table_is_made_there() -> None:
    """A network's and a diagnosis's."""
    net = fb.Sequential(fb.Input(2), fb.Dense(3, "tanh"), fb.Dense(1), seed=0, name="small")
    assert str(net).splitlines() == [
        "small: 3 nodes, 13 parameters, float32",
        "node     op            width  parameters  parents",
        "input_1  Input             2           0",
        "dense_1  Dense tanh        3           9  input_1",
        "dense_2  Dense linear      1           4  dense_1",
    ]
    lines = str(fb.diagnose(net, np.eye(2), [0.0, 1.0])).splitlines()
    assert lines[0].split()[0] == "node"
    assert len({line.index(word) for line, word in zip(lines, ("op", "Dense", "Dense"), strict=False)}) == 1
