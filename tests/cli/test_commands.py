"""The command line: what it prints where, and that train and predict belong together."""

import csv
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import fastbp as fb
from command_line import error_of, predictions, run, trained
from fastbp import optimizers
from fastbp.cli import bench
from fastbp.cli.main import _parser

pytestmark = pytest.mark.usefixtures("empty_folder")


def test_the_digits_with_defaults(capsys):
    code, out, _ = run(capsys, "train")
    assert code == 0
    lines = out.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    assert len(epochs) == int(epochs[0].split("/")[1].split()[0])  # "epoch   1/67  loss ..."
    for line in epochs:
        assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(line.split())
    assert float(next(line for line in lines if line.startswith("held-out accuracy")).split()[-1]) >= 0.97
    assert any("samples per second" in line for line in lines)
    assert lines[-1] == "model saved to net.safetensors"
    assert fb.load("net.safetensors").predict(np.zeros((1, 64))).shape == (1, 10)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_digits_with_other_seeds(capsys, seed):
    result = trained(capsys, "--seed", seed)
    assert result["validation_accuracy"] >= 0.96  # a few of the possible choices of held-out images are hard
    assert result["seconds"] < 5


def test_json_is_one_object_with_these_fields(capsys):
    result = trained(capsys, "--epochs", 12, "--out", "digits.safetensors")
    speed = {"seconds", "samples_per_second", "threads"}
    results = {"train_loss", "validation_loss", "validation_accuracy"}
    assert set(result) == {"task", "epochs", "model"} | results | speed
    assert (result["task"], result["epochs"], result["model"]) == ("classification", 12, "digits.safetensors")
    assert 0 < result["seconds"] < 5
    assert result["validation_accuracy"] > 0.9


def test_the_same_seed_gives_the_same_file(capsys, tmp_path):
    for name in ("a", "b", "c"):
        trained(capsys, "--epochs", 2, "--seed", 0 if name != "c" else 1, "--out", name)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a", "b", "c"))
    assert a == b != c


def test_classes_there_and_back(capsys, flowers):
    result = trained(capsys, flowers, "--target", "kind", "--epochs", 60, "--hidden", "16")
    assert result["task"] == "classification"
    assert result["validation_accuracy"] > 0.9
    assert run(capsys, "predict", "net.safetensors", flowers, "--out", "out.csv")[0] == 0
    rows, truth = predictions("out.csv"), predictions(flowers)
    kinds = sorted({row["kind"] for row in truth})
    assert list(rows[0]) == ["prediction", *(f"probability_{kind}" for kind in kinds)]
    for row in rows:
        shares = [float(row[f"probability_{kind}"]) for kind in kinds]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == kinds[int(np.argmax(shares))]
    assert np.mean([row["prediction"] == true["kind"] for row, true in zip(rows, truth, strict=True)]) > 0.9


def test_numbers_there_and_back(capsys, houses):
    result = trained(capsys, houses, "--target", "price", "--epochs", 400, "--lr", "0.003", "--hidden", "24,8")
    assert result["task"] == "regression"
    assert result["validation_r2"] > 0.95
    code, out, _ = run(capsys, "predict", "net.safetensors", houses)
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert list(rows[0]) == ["prediction"]
    truth = np.array([float(row["price"]) for row in predictions(houses)])
    assert np.abs(np.array([float(row["prediction"]) for row in rows]) - truth).mean() < 0.1 * truth.std()


def test_columns_may_come_in_another_order_with_others_between(capsys, houses, tmp_path):
    trained(capsys, houses, "--target", "price", "--epochs", 3)
    (tmp_path / "a.csv").write_text("area,age\n100,5\n60,50\n")
    (tmp_path / "b.csv").write_text("age,note,area\n5,x,100\n50,y,60\n")
    assert run(capsys, "predict", "net.safetensors", "a.csv") == run(capsys, "predict", "net.safetensors", "b.csv")


def test_a_digits_model_predicts_counts_of_ink(capsys, tmp_path):
    trained(capsys, "--epochs", 20)
    X, y = fb.datasets.digits()
    rows = [",".join(f"pixel_{k}" for k in range(64))]
    rows += [",".join(str(int(x)) for x in image * 16) for image in X[:50]]
    (tmp_path / "images.csv").write_text("\n".join(rows))
    assert run(capsys, "predict", "net.safetensors", "images.csv", "--out", "out.csv")[0] == 0
    rows = predictions("out.csv")
    assert np.mean([int(row["prediction"]) == label for row, label in zip(rows, y[:50], strict=True)]) > 0.9


def test_all_rows_train_with_validation_0(capsys, flowers):
    result = trained(capsys, flowers, "--target", "kind", "--validation", 0, "--epochs", 2)
    assert result["validation_loss"] is None
    assert result["validation_accuracy"] is None


@pytest.mark.parametrize("optimizer", sorted(optimizers.Optimizer.classes))
def test_every_optimizer_can_be_chosen(capsys, flowers, optimizer):
    assert trained(capsys, flowers, "--target", "kind", "--optimizer", optimizer, "--epochs", 1)["epochs"] == 1


def test_dropout_is_what_was_asked_for(capsys, flowers, houses):
    rates = {(): ["0.1", "0.1"], ("--dropout", "0.3"): ["0.3", "0.3"], ("--dropout", "0"): []}
    for options, wanted in rates.items():
        trained(capsys, flowers, "--target", "kind", "--hidden", "5", "--epochs", 1, *options)
        layers = fb.load("net.safetensors").layers
        assert [str(layer.rate) for layer in layers if isinstance(layer, fb.Dropout)] == wanted
    trained(capsys, houses, "--target", "price", "--epochs", 1, "--hidden", "")
    assert [type(layer) for layer in fb.load("net.safetensors").layers] == [fb.Dropout, fb.Dense]


@pytest.mark.parametrize(("options", "epochs"), [([], 200), (["--batch-size", "1"], 42), (["--epochs", "3"], 3)])
def test_small_tables_get_more_epochs(capsys, flowers, options, epochs):
    assert trained(capsys, flowers, "--target", "kind", "--hidden", "3", *options)["epochs"] == epochs


def test_columns_left_out_and_taken_as_text(capsys, tmp_path):
    rows = "".join(f"{k},0{k % 3},{k % 2}\n" for k in range(12))
    (tmp_path / "a.csv").write_text("id,code,t\n" + rows)
    trained(capsys, "a.csv", "--target", "t", "--ignore", "id", "--text", "code", "--epochs", 1)
    out = run(capsys, "inspect", "net.safetensors")[1]
    assert "reads code: text, '00', '01', '02'" in out
    assert "reads id" not in out


def test_pandas_and_csv_train_the_same_net(capsys, flowers, tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    lines = (tmp_path / flowers).read_text().splitlines()
    (tmp_path / "plain.csv").write_text("\n".join(line for line in lines if '"' not in line))
    trained(capsys, "plain.csv", "--target", "place", "--epochs", 2, "--out", "a")
    monkeypatch.setitem(sys.modules, "pandas", None)
    trained(capsys, "plain.csv", "--target", "place", "--epochs", 2, "--out", "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_gaps(capsys, tmp_path):
    text = "a,b,t\n" + "".join(f"{k},{k * k % 7},{k % 2}\n" for k in range(20)).replace("\n5,", "\n,")
    (tmp_path / "gaps.csv").write_text(text)
    err = error_of(capsys, "train", "gaps.csv", "--target", "t")
    assert "line 7" in err
    assert "'a'" in err
    assert trained(capsys, "gaps.csv", "--target", "t", "--missing", "mean", "--epochs", 2)["task"] == "classification"


def test_inspect_and_info(capsys, flowers):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1, "--hidden", "7")
    code, out, _ = run(capsys, "inspect", "net.safetensors")
    assert code == 0
    assert "dense_1" in out
    assert "predicts kind" in out
    code, out, _ = run(capsys, "info")
    assert code == 0
    assert "instruction set" in out
    assert np.__version__ in out


def test_help_of_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    commands = re.findall(r"^    (\w+) +\w", out.partition("commands:")[2], flags=re.MULTILINE)
    assert {"train", "predict", "inspect", "bench", "info"} <= set(commands)
    assert "examples:\n  fastbp train " in out
    for command in commands:
        code, out, _ = run(capsys, command, "--help")
        assert code == 0
        examples = re.search(r"^examples?:\n((?:  fastbp .*\n)+)", out, flags=re.MULTILINE)
        for example in examples.group(1).splitlines():
            assert example.startswith(f"  fastbp {command}")
            assert _parser().parse_args(shlex.split(example)[1:]).command
            options = set(re.findall(r"--[a-z-]+", example))
            assert options <= set(re.findall(r"--[a-z-]+", out.partition("options:")[2].partition("example")[0]))


def test_the_examples_of_the_help_run(capsys, houses, tmp_path, monkeypatch):
    """All of them, but shortened: trainings to two epochs, the benchmark to one case."""
    pytest.importorskip("torch")
    monkeypatch.setattr(bench, "CASES", {"rl": bench.CASES["rl"]})
    for name in ("new.csv", "new_houses.csv"):
        (tmp_path / name).write_bytes((tmp_path / houses).read_bytes())
    trained(capsys, houses, "--target", "price", "--epochs", 1)
    shorter = {"train": ["--epochs", "2"], "bench": ["--seconds", "0.02"]}
    commands = re.findall(r"^    (\w+) +\w", run(capsys, "--help")[1].partition("commands:")[2], flags=re.MULTILINE)
    ran = []
    for command in ["", *commands]:
        examples = re.split(r"^examples?:", run(capsys, *command.split(), "--help")[1], flags=re.MULTILINE)[1]
        for example in re.findall(r"^  fastbp (.*)$", examples, flags=re.MULTILINE):
            words = shlex.split(example.partition("   ")[0])
            if "COMMAND" not in words:
                code, _, err = run(capsys, *words, *shorter.get(words[0], []))
                assert code == 0, f"{example}: {err}"
                ran.append(words[0])
    assert set(ran) == set(commands)


def test_choices_are_those_of_the_tables(capsys):
    out = " ".join(run(capsys, "train", "--help")[1].partition("options:")[2].split())
    for option, table in (
        ("activation", fb._engine.ACTIVATIONS),
        ("loss", fb._engine.LOSSES),
        ("optimizer", optimizers.Optimizer.classes),
    ):
        listed = re.search(rf"--{option} NAME [^-]*?one of ((?:\w+, )*\w+)", out).group(1)
        assert listed.split(", ") == sorted(table)


def test_the_benchmark(capsys):
    code, out, _ = run(capsys, "bench", "--seconds", "0.02", "--threads", 1)
    assert code == 0
    *lines, last = out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(bench.CASES)
    for line in lines:
        step, low, high, rows = re.search(r"([\d.,]+) us  \(([\d.,]+) \.\.\. ([\d.,]+)\) +([\d,]+)$", line).groups()
        assert float(low.replace(",", "")) <= float(step.replace(",", "")) <= float(high.replace(",", ""))
        assert int(rows.replace(",", "")) > 0
    assert "python -m benchmarks" in last
    code, out, _ = run(capsys, "bench", "--seconds", "0.02", "--json")
    result = json.loads(out)
    assert result["facts"]["NumPy"] == np.__version__
    for name, case in result["cases"].items():
        assert 0 < case["low"] <= case["step"] <= case["high"] < 1
        assert case["rows_per_second"] == pytest.approx(bench.CASES[name].rows / case["step"])


def test_other_libraries_are_measured_from_the_source_tree(capsys):
    """By the cases of the grid; the command says where."""
    cases = pytest.importorskip("benchmarks.cases").CASES
    for name, case in bench.CASES.items():
        assert case == (cases[name].widths, cases[name].activation, cases[name].rows, cases[name].loss)
    assert "python -m benchmarks --quick" in run(capsys, "bench", "--help")[1]
    assert "--peers" in error_of(capsys, "bench", "--peers", "numpy", code=2)


def test_as_a_process():
    def call(*arguments):
        command = [sys.executable, "-m", "fastbp", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = call("train", "--epochs", "2", "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert done.stderr.count("epoch") == 2 or "it" in done.stderr
    failed = call("train", "missing.csv", "--target", "x")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Traceback" not in failed.stderr
    assert call("nonsense").returncode == 2
    assert call("--version").stdout.startswith("fastbp ")
