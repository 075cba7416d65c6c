"""The command line where something is wrong: one line on standard error, and an exit code."""

import subprocess
import sys

import pytest

import fastbp as fb
from command_line import error_of, trained
from fastbp.data import encoding
from fastbp.files import model_file, safetensors

pytestmark = pytest.mark.usefixtures("empty_folder")


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
    err = error_of(capsys, "predict", "net.safetensors", "new.csv", "--unknown", "error")
    assert "line 3" in err
    assert "'moon'" in err
    assert "'shore'" in err


def test_a_file_whose_net_and_encoding_differ(capsys, flowers, tmp_path):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    columns = model_file.load("net.safetensors").metadata[encoding.METADATA_KEY]
    fb.Sequential(fb.Input(3), fb.Dense(3)).save("other.safetensors", {encoding.METADATA_KEY: columns})
    assert "do not belong" in error_of(capsys, "predict", "other.safetensors", flowers)


def test_a_loss_that_does_not_suit_the_target(capsys, houses, flowers):
    assert "mse wants values" in error_of(capsys, "train", flowers, "--target", "kind", "--loss", "mse", "--json")
    assert "cross_entropy wants" in error_of(
        capsys, "train", houses, "--target", "price", "--loss", "cross_entropy", "--json"
    )
    assert trained(capsys, houses, "--target", "price", "--loss", "mse", "--epochs", 1)["epochs"] == 1


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
    net, _, metadata = model_file.load("net.safetensors")
    net.params[:] = 3e38
    net.save("huge.safetensors", {encoding.METADATA_KEY: metadata[encoding.METADATA_KEY]})
    assert "not finite" in error_of(capsys, "predict", "huge.safetensors", flowers)


def test_predictions_that_fail_leave_the_old_ones(capsys, flowers, tmp_path, monkeypatch):
    trained(capsys, flowers, "--target", "kind", "--epochs", 1)
    (tmp_path / "out.csv").write_text("prediction\nold\n")

    def full(*_, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.os, "replace", full)
    assert "No space left" in error_of(capsys, "predict", "net.safetensors", flowers, "--out", "out.csv")
    assert (tmp_path / "out.csv").read_text() == "prediction\nold\n"
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
