"""Options for tables as they come, every loss, and a training's result that no report takes away."""

import json

import numpy as np
import pytest

import fastbp as fb
from command_line import error_of, predictions, run, trained
from fastbp.cli import report

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def table(tmp_path):
    """A number above 0, a share, a class, a text and a weight, all by two numbers; 200 rows."""
    rng = np.random.default_rng(0)
    rows = []
    for a, b in rng.normal(size=(200, 2)):
        kind = "high" if a > 0.5 else "low" if a < -0.5 else "middle"
        rows.append(
            f"{a:.3f},{b:.3f},{100 * np.exp(a):.3f},{1 / (1 + np.exp(-a)):.4f},{kind},{'uv'[int(b > 0)]},{b * b:.3f}"
        )
    (tmp_path / "t.csv").write_text("a,b,size,share,kind,text,weight\n" + "\n".join(rows) + "\n")
    return "t.csv"


@pytest.mark.parametrize("loss", sorted(fb._engine.LOSSES))
def test_every_loss_of_the_help_learns_what_it_is_for(capsys, table, loss) -> None:
    row = fb._engine.LOSSES[loss]
    of_classes = row.labels or row.high == 1 or loss == "cosine"
    target, score = ("kind", "validation_accuracy") if of_classes else ("size", "validation_r2")
    columns = ["--ignore", ",".join({"size", "share", "kind", "text", "weight"} - {target})]
    words = ["--target", target, *columns, "--loss", loss, "--epochs", 60, "--hidden", "16", "--report", "r.html"]
    result = trained(capsys, table, *words)
    assert result[score] > (0.6 if of_classes else 0.3)  # a constant has 0.4, or 0
    assert run(capsys, "predict", "net.safetensors", table, "--out", "out.csv")[0] == 0
    rows, truth = predictions("out.csv"), predictions(table)
    if of_classes:
        assert np.mean([row["prediction"] == true[target] for row, true in zip(rows, truth, strict=True)]) > 0.7
    else:
        got = np.array([float(row["prediction"]) for row in rows])
        assert fb.metrics.r2(np.array([float(true[target]) for true in truth]), got) > 0.3
    assert ("std" in rows[0]) == (loss == "gaussian_nll")


def test_shares_and_counts(capsys, table, tmp_path) -> None:
    columns = ["--ignore", "size,kind,text,weight", "--epochs", 60]
    assert (
        trained(capsys, table, "--target", "share", "--loss", "binary_cross_entropy", *columns)["validation_r2"] > 0.8
    )
    run(capsys, "predict", "net.safetensors", table, "--out", "out.csv")
    assert all(0 <= float(row["prediction"]) <= 1 for row in predictions("out.csv"))
    (tmp_path / "n.csv").write_text("a,n\n" + "".join(f"{k % 10},{k % 10}\n" for k in range(100)))
    assert trained(capsys, "n.csv", "--target", "n", "--loss", "poisson", "--epochs", 2)["task"] == "regression"
    (tmp_path / "n.csv").write_text("a,n\n" + "".join(f"{k % 10},{k - 50}\n" for k in range(100)))
    assert "column 'n' has -50; poisson wants numbers" in error_of(
        capsys, "train", "n.csv", "--target", "n", "--loss", "poisson"
    )


def test_options_of_a_table(capsys, tmp_path) -> None:
    rows = "".join(f"{k},5;k{k % 3};{'oui' if k % 2 else 'été'}\n" for k in range(40)) + "-99;k1;oui\n"
    (tmp_path / "f.csv").write_bytes(rows.encode("cp1252"))
    words = ["--encoding", "cp1252", "--delimiter", ";", "--no-header", "--na", "-99", "--missing", "mean"]
    trained(
        capsys,
        "f.csv",
        "--target",
        "3",
        *[word.replace("--na", "--na") for word in words[:5]],
        "--na=-99",
        *words[7:],
        "--epochs",
        1,
    )
    out = run(capsys, "inspect", "net.safetensors")[1]
    assert "reads column 1: number with a decimal comma" in out
    assert "'oui', 'été'" in out
    code, out, err = run(capsys, "predict", "net.safetensors", "f.csv", *words[:5])
    assert (code, err) == (0, "")
    assert out.count("\n") == 42


def test_new_categories_in_a_prediction(capsys, table, tmp_path) -> None:
    trained(capsys, table, "--target", "size", "--ignore", "share,kind", "--epochs", 1)
    (tmp_path / "new.csv").write_text("a,b,text,weight\n1,1,u,1\n1,1,z,1\n")
    code, out, err = run(capsys, "predict", "net.safetensors", "new.csv")
    assert (code, out.count("\n"), err.count("\n")) == (0, 3, 1)
    assert err.startswith("fastbp: warning: new.csv, column 'text': 1 of 2 rows")
    assert "'z' is unknown" in error_of(capsys, "predict", "net.safetensors", "new.csv", "--unknown", "error")
    trained(capsys, table, "--target", "size", "--ignore", "share,kind", "--epochs", 1, "--unknown", "error")
    assert "'z' is unknown" in error_of(capsys, "predict", "net.safetensors", "new.csv")


def test_early_stopping_keeps_the_best_epoch(capsys, table, tmp_path) -> None:
    words = [table, "--target", "size", "--ignore", "share,kind", "--lr", "0.05", "--dropout", 0, "--seed", 3]
    result = trained(capsys, *words, "--patience", 3, "--epochs", 200)
    assert result["epochs"] == result["best_epoch"] + 3 < 200
    stopped = (tmp_path / "net.safetensors").read_bytes()
    again = trained(capsys, *words, "--epochs", result["best_epoch"])
    assert again["validation_loss"] == result["validation_loss"]
    assert (tmp_path / "net.safetensors").read_bytes() == stopped
    assert "best epoch: " in run(capsys, "train", *words, "--patience", 3)[1]


def test_weights_and_rows_without_a_target(capsys, table, tmp_path) -> None:
    """Rows of weight 0 teach nothing, and rows without a target are as if they were not there."""
    text = (tmp_path / table).read_text()
    (tmp_path / "gaps.csv").write_text(text + "".join(f"{k},0,NA,0,low,u,1\n" for k in range(9)))
    words = ["--target", "size", "--ignore", "share,kind,weight", "--epochs", 2]
    trained(capsys, table, *words, "--out", "a")
    assert "line 202, column 'size': the target has no value" in error_of(capsys, "train", "gaps.csv", *words)
    assert trained(capsys, "gaps.csv", *words, "--missing-target", "drop", "--out", "b")["rows_left_out"] == 9
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    words = ["--target", "size", "--ignore", "share,kind", "--epochs", 2]
    assert trained(capsys, table, *words, "--weight", "weight", "--out", "c")["task"] == "regression"
    assert (tmp_path / "c").read_bytes() != (tmp_path / "a").read_bytes()
    assert "go with a file" in error_of(capsys, "train", "--weight", "w", code=2)


def test_a_file_of_rows_held_out(capsys, table, tmp_path) -> None:
    lines = (tmp_path / table).read_text().splitlines(keepends=True)
    (tmp_path / "train.csv").write_text("".join(lines[:151]))
    (tmp_path / "other.csv").write_text("".join([lines[0], *lines[151:]]))
    words = ["--target", "kind", "--ignore", "size,share,weight", "--epochs", 30]
    code, out, _ = run(capsys, "train", "train.csv", *words, "--validation", "other.csv")
    assert code == 0
    assert out.startswith("150 rows to train on, 50 held out")
    run(capsys, "predict", "net.safetensors", "other.csv", "--out", "out.csv")
    right = [
        row["prediction"] == true["kind"]
        for row, true in zip(predictions("out.csv"), predictions("other.csv"), strict=True)
    ]
    assert f"held-out accuracy: {np.mean(right):.4f}" in out
    assert "or a file, got 'none.csv'" in " ".join(
        error_of(capsys, "train", "train.csv", *words, "--validation", "none.csv", code=2).split()
    )


def test_a_report_that_fails_takes_nothing_away(capsys, table, monkeypatch) -> None:
    words = [table, "--target", "size", "--ignore", "share,kind", "--epochs", 1, "--report", "r.html"]

    def fails(*_, **__):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(report, "diagnose", fails)
    assert run(capsys, "train", *words)[0] == 0
    with open("r.html", encoding="utf-8") as page:
        assert "the diagnosis failed: ZeroDivisionError: planted" in page.read()
    monkeypatch.setattr(report, "page", fails)
    code, out, err = run(capsys, "train", *words, "--json")
    assert code == 1
    assert "planted" in err
    assert json.loads(out[out.index("{") :])["model"] == "net.safetensors"
    assert fb.load("net.safetensors").params.size


def test_a_report_on_units_that_are_saturated(capsys, tmp_path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{a:.3f},{2 * a:.3f}\n" for a in rng.normal(size=60)))
    words = ["--target", "y", "--epochs", 2, "--lr", 50, "--optimizer", "sgd", "--hidden", "1", "--report", "r.html"]
    for activation in ("sigmoid", "tanh", "hard_tanh"):
        assert run(capsys, "train", "t.csv", *words, "--activation", activation)[0] == 0
        with open("r.html", encoding="utf-8") as page:
            assert "the diagnosis failed" not in page.read()


def test_labels_are_as_in_the_file(capsys, tmp_path) -> None:
    for labels in (
        ["9007199254740992", "9007199254740993"],
        ["007", "7"],
        ["1e3", "1e4"],
        ["2020-01-01", "2020-01-02"],
    ):
        (tmp_path / "l.csv").write_text("x,l\n" + "".join(f"{k},{labels[k % 2]}\n" for k in range(40)))
        trained(capsys, "l.csv", "--target", "l", "--task", "classification", "--epochs", 1)
        assert ", ".join(map(repr, labels)) in run(capsys, "inspect", "net.safetensors")[1]
    (tmp_path / "l.csv").write_text("x,l\n" + "".join(f"{k},n{k}\n" for k in range(900)))
    assert "900 rows have 900 different labels" in error_of(capsys, "train", "l.csv", "--target", "l")
    (tmp_path / "l.csv").write_text("x,l\n1,2\n")
    assert "l.csv is no safetensors file" in error_of(capsys, "inspect", "l.csv")
