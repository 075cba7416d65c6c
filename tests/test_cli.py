"""The command line: what it prints where, its exit codes, and that train and predict belong together."""

import csv
import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest

import fastbp as fb
from fastbp import cli, cli_bench, cli_export, encoding, optimizers
from fastbp.cli import main


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def flowers(tmp_path):
    """Three classes told apart by two numbers and a word; 90 rows."""
    rng = np.random.default_rng(0)
    with open(tmp_path / "flowers.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "width", "place", "kind"])
        for row in range(90):
            kind = row % 3
            place = ("wood", "field", "shore")[kind] if row % 5 else "garden"
            numbers = rng.normal([kind * 2, -kind], 0.2)
            writer.writerow([*(f"{x:.3f}" for x in numbers), place, ("iris", "lily, red", 'rose "x"')[kind]])
    return "flowers.csv"


@pytest.fixture
def houses(tmp_path):
    """A price that is nearly linear in area and age; 80 rows."""
    rng = np.random.default_rng(1)
    with open(tmp_path / "houses.csv", "w") as file:
        file.write("area,age,price\n")
        for area, age in zip(rng.uniform(40, 200, 80), rng.uniform(0, 90, 80), strict=True):
            file.write(f"{area:.1f},{age:.0f},{1000 * area - 800 * age + 50000:.0f}\n")
    return "houses.csv"


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    return (code, *capsys.readouterr())


def trained(capsys, *arguments):
    code, out, err = run(capsys, "train", *arguments, "--json")
    assert code == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


def error_of(capsys, *arguments, code=1):
    got, out, err = run(capsys, *arguments)
    assert got == code
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("fastbp: error: ")
    return err


def predictions(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["fit"], "fit"),
        (["train", "--epochs", "0"], "above 0"),
        (["train", "--epochs", "many"], "whole number"),
        (["train", "--lr", "nan"], "above 0"),
        (["train", "--lr", "inf"], "above 0"),
        (["train", "--dropout", "1"], "below 1"),
        (["train", "--seed", "-1"], "from 0"),
        (["train", "--threads", "0"], "above 0"),
        (["train", "--missing", "zero"], "mean"),
        (["train", "--task", "cluster"], "regression"),
        (["train", "--hidden", "4,-1"], "above 0"),
        (["train", "--validation", "1"], "below 1"),
        (["train", "--activation", "rleu"], "leaky_relu"),
        (["train", "--optimizer", "adma"], "adamw"),
        (["train", "--target", "x"], "file"),
        (["train", "--out", "a", "--report", "./a"], "same file"),
        (["train", "x.csv"], "--target"),
        (["predict", "x"], "new.csv"),
    ],
)
def test_usage(capsys, arguments, words):
    assert words in error_of(capsys, *arguments, code=2)


def test_runs_that_fail(capsys, flowers, tmp_path):
    assert "nothing.csv" in error_of(capsys, "train", "nothing.csv", "--target", "x")
    err = error_of(capsys, "train", flowers, "--target", "colour")
    assert "'colour'" in err
    assert "'length', 'width', 'place', 'kind'" in err
    assert "folder" in error_of(capsys, "train", "--out", "missing/net.safetensors")
    assert "folder" in error_of(capsys, "train", "--report", "missing/report.html")
    assert "smaller learning rate" in error_of(capsys, "train", "--optimizer", "sgd", "--lr", "1e30", "--json")[-400:]
    (tmp_path / "damaged").write_bytes(b"\x08" + bytes(30))
    for command in (["inspect", "damaged"], ["predict", "damaged", flowers]):
        assert "damaged" in error_of(capsys, *command)
    fb.Sequential(fb.Input(2), fb.Dense(3)).save("bare.safetensors")
    assert "encoding" in error_of(capsys, "predict", "bare.safetensors", flowers)


def test_new_rows_that_do_not_fit(capsys, flowers, tmp_path):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    (tmp_path / "new.csv").write_text("length,place\n1.0,wood\n")
    assert "'width'" in error_of(capsys, "predict", "net.safetensors", "new.csv")
    (tmp_path / "new.csv").write_text("length,width,place\n1.0,2.0,wood\n1.0,2.0,moon\n")
    err = error_of(capsys, "predict", "net.safetensors", "new.csv")
    assert "line 3" in err
    assert "'moon'" in err
    assert "'shore'" in err


def test_a_file_whose_net_and_encoding_differ(capsys, flowers, tmp_path):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    columns = fb.serialization.load("net.safetensors").metadata[encoding.METADATA_KEY]
    fb.Sequential(fb.Input(3), fb.Dense(3)).save("other.safetensors", {encoding.METADATA_KEY: columns})
    assert "do not belong" in error_of(capsys, "predict", "other.safetensors", flowers)


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
            assert cli._parser().parse_args(shlex.split(example)[1:]).command
            options = set(re.findall(r"--[a-z-]+", example))
            assert options <= set(re.findall(r"--[a-z-]+", out.partition("options:")[2].partition("example")[0]))


def test_choices_are_those_of_the_tables(capsys):
    out = " ".join(run(capsys, "train", "--help")[1].partition("options:")[2].split())
    for option, table in (
        ("activation", fb._engine.ACTIVATIONS),
        ("loss", fb._engine.LOSSES),
        ("optimizer", optimizers.Optimizer.classes),
    ):
        listed = re.search(rf"--{option} NAME [^-]*?one of ((?:\w+, )*\w+)", out).group(1)
        assert listed.split(", ") == sorted(table)


def test_a_loss_that_does_not_suit_the_target(capsys, houses, flowers):
    assert "mse wants values" in error_of(capsys, "train", flowers, "--target", "kind", "--loss", "mse", "--json")
    assert "cross_entropy wants" in error_of(
        capsys, "train", houses, "--target", "price", "--loss", "cross_entropy", "--json"
    )
    assert trained(capsys, houses, "--target", "price", "--loss", "mse", "--epochs", 1)["epochs"] == 1


def test_the_benchmark(capsys):
    code, out, _ = run(capsys, "bench", "--seconds", "0.02", "--threads", 1)
    assert code == 0
    lines = out.splitlines()[2:-1]
    assert [line.split()[0] for line in lines] == list(cli_bench.CASES)
    for line in lines:
        assert re.search(r"\d us +[\d,.]+ us  \d+\.\d \(\d+\.\d \.\.\. \d+\.\d\)$", line)
    code, out, _ = run(capsys, "bench", "--seconds", "0.02", "--json")
    result = json.loads(out)
    assert result["facts"]["NumPy"] == np.__version__
    for case in result["cases"].values():
        assert 0 < case["fastbp"] < 1
        assert case["ratio"] == sorted(case["ratio"])


def test_the_benchmark_times_nothing_that_differs(capsys, monkeypatch):
    slope = cli_bench.Plain._slope
    monkeypatch.setattr(cli_bench.Plain, "_slope", lambda self, Y, t: -slope(self, Y, t))
    assert "differ by" in run(capsys, "bench", "--seconds", "0.02")[2]


def test_export_to_torch(capsys, flowers):
    torch = pytest.importorskip("torch")
    trained(capsys, flowers, "--target", "kind", "--epochs", 2, "--hidden", "7", "--activation", "tanh", "--dropout", 0)
    code, out, err = run(capsys, "export", "net.safetensors", "--to", "torch")
    assert (code, err) == (0, "")
    assert "Linear(in_features=6, out_features=7" in out
    assert "its 6 inputs" in out
    arrays, _ = fb.safetensors.read("net.torch.safetensors")
    names = list(arrays)
    linear = torch.nn.Linear(6, 7), torch.nn.Linear(7, 3)
    for layer, at in zip(linear, ("dense_1", "dense_2"), strict=True):
        layer.load_state_dict({name: torch.tensor(arrays[f"{at}.{name}"]) for name in ("weight", "bias")})
    assert len(names) == 4
    X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    with torch.no_grad():
        wanted = linear[1](torch.tanh(linear[0](torch.tensor(X)))).numpy()
    np.testing.assert_allclose(fb.load("net.safetensors").predict(X), wanted, rtol=1e-5, atol=1e-6)


def test_export_to_onnx(capsys, flowers, houses):
    """A runtime gives the labels and probabilities of `fastbp predict`, or the standardised numbers."""
    runtime = pytest.importorskip("onnxruntime")
    trained(capsys, flowers, "--target", "kind", "--epochs", 20, "--hidden", "7")
    assert "6 inputs" in run(capsys, "export", "net.safetensors", "--to", "onnx", "--out", "flowers.onnx")[1]
    columns = encoding.Encoding.from_json(fb.serialization.load("net.safetensors").metadata[encoding.METADATA_KEY])
    X = columns.encode(fb.tables.read(flowers))
    session = runtime.InferenceSession("flowers.onnx", providers=["CPUExecutionProvider"])
    label, shares = session.run(["label", "probabilities"], {session.get_inputs()[0].name: X})
    wanted = columns.decode(fb.load("net.safetensors").predict(X))
    assert label.tolist() == wanted["prediction"]
    kinds = [wanted[f"probability_{kind}"] for kind in columns.target.values]
    np.testing.assert_allclose(shares.T, kinds, rtol=1e-5, atol=1e-6)
    trained(capsys, houses, "--target", "price", "--epochs", 2)
    assert "standardised too" in run(capsys, "export", "net.safetensors", "--to", "onnx")[1]
    session = runtime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    X = X[:, :2]
    (Y,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(Y, fb.load("net.safetensors").predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif("c" not in cli_export.FORMATS, reason="a Model has no to_c")
def test_export_to_c(capsys, houses):
    trained(capsys, houses, "--target", "price", "--epochs", 2, "--hidden", "5")
    assert "written to house.c" in run(capsys, "export", "net.safetensors", "--to", "c", "--out", "house.c")[1]
    with open("main.c", "w") as file:
        file.write(
            '#include <stdio.h>\n#include "house.c"\n'
            'int main(void) { float x[2] = {0.5f, -1.5f}, y[1]; predict(x, y); printf("%.9g", y[0]); return 0; }\n'
        )
    subprocess.run(["cc", "-std=c99", "-o", "house", "main.c", "-lm"], check=True, timeout=60)
    printed = subprocess.run(["./house"], capture_output=True, text=True, check=True, timeout=60).stdout
    wanted = fb.load("net.safetensors").predict(np.array([[0.5, -1.5]]))
    assert float(printed) == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("form", sorted(cli_export.FORMATS))
def test_what_export_refuses(capsys, flowers, form):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    assert "missing" in error_of(capsys, "export", "net.safetensors", "--to", form, "--out", "missing/file")
    assert "nothing" in error_of(capsys, "export", "nothing.safetensors", "--to", form)
    assert "torch" in error_of(capsys, "export", "net.safetensors", "--to", "fann", code=2)


@pytest.mark.parametrize("command", [["-m", "fastbp", "info"], ["-c", "import fastbp"]])
def test_an_unknown_instruction_set(python, command):
    done = python(*command, FASTBP_ISA="avx3")
    assert done.returncode == 1
    assert not done.stdout
    last = done.stderr.splitlines()[-1]
    assert "FASTBP_ISA is 'avx3'; this processor runs: " in last
    assert "generic" in last
    assert ("Traceback" in done.stderr) == ("-c" in command)
    assert done.stderr.count("\n") == 1 or "-c" in command


def test_a_net_that_gives_no_numbers(capsys, flowers):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    net, _, metadata = fb.serialization.load("net.safetensors")
    net.params[:] = 3e38
    net.save("huge.safetensors", {encoding.METADATA_KEY: metadata[encoding.METADATA_KEY]})
    assert "not finite" in error_of(capsys, "predict", "huge.safetensors", flowers)


def test_predictions_that_fail_leave_the_old_ones(capsys, flowers, tmp_path, monkeypatch):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    (tmp_path / "out.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fb.safetensors.os, "replace", full)
    assert "No space left" in error_of(capsys, "predict", "net.safetensors", flowers, "--out", "out.csv")
    assert (tmp_path / "out.csv").read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_faults_of_ours_and_interruptions_are_one_line(capsys, monkeypatch):
    for error, words in ((KeyError("x"), "KeyError: 'x'"), (KeyboardInterrupt(), "interrupted")):

        def fit(*_, error=error, **__):
            raise error

        monkeypatch.setattr(fb.Trainer, "fit", fit)
        assert words in error_of(capsys, "train", "--json")


def test_json_has_no_word_for_infinity(capsys, monkeypatch):
    fit = fb.Trainer.fit

    def far(*arguments, **options):
        history = fit(*arguments, **options)
        history.history["val_loss"][-1] = float("inf")
        return history

    monkeypatch.setattr(fb.Trainer, "fit", far)
    assert trained(capsys, "--epochs", 1)["validation_loss"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_or_closed_standard_output_is_an_error_without_a_traceback():
    command = [sys.executable, "-m", "fastbp", "train", "--epochs", "1"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "fastbp: error: " in done.stderr
    assert "Traceback" not in done.stderr
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert "Traceback" not in err


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
