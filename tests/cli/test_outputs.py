"""No command writes over a file that it reads, however it is named, nor over one of another kind without --force."""

import os

import pytest

import fastbp as fb
from command_line import error_of, run, trained
from fastbp.files import safetensors

pytestmark = pytest.mark.usefixtures("empty_folder")


def named_otherwise(path: str, way: str) -> str:
    if way == "plain":
        return path
    if way == "another path":
        return os.path.join("..", os.path.basename(os.getcwd()), path)
    if way == "absolute":
        return os.path.abspath(path)
    (os.symlink if way == "symlink" else os.link)(path, "other")
    return "other"


WAYS = ("plain", "another path", "absolute", "symlink", "hard link")


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["--out", "--report"])
@pytest.mark.parametrize("read", ["data", "validation"])
def test_train(capsys, houses, tmp_path, option, way, force, read) -> None:
    (tmp_path / "held_out.csv").write_bytes((tmp_path / houses).read_bytes())
    victim = houses if read == "data" else "held_out.csv"
    before = (tmp_path / victim).read_bytes()
    words = ["train", houses, "--target", "price", "--epochs", 1, "--validation", "held_out.csv"]
    error = error_of(capsys, *words, option, named_otherwise(victim, way), *force)
    assert "would write over" in error
    assert victim in error
    assert (tmp_path / victim).read_bytes() == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("victim", ["houses.csv", "net.safetensors"])
def test_predict_and_export(capsys, houses, tmp_path, way, victim) -> None:
    trained(capsys, houses, "--target", "price", "--epochs", 1)
    before = (tmp_path / victim).read_bytes()
    out = named_otherwise(victim, way)
    assert "would write over" in error_of(capsys, "predict", "net.safetensors", houses, "--out", out, "--force")
    if victim == "net.safetensors":
        assert "would write over" in error_of(capsys, "export", victim, "--to", "c", "--out", out, "--force")
    assert (tmp_path / victim).read_bytes() == before


def test_files_of_another_kind_need_force(capsys, houses, tmp_path) -> None:
    words = {
        "train": ["train", houses, "--target", "price", "--epochs", 1, "--json"],
        "predict": ["predict", "net.safetensors", houses],
        "export": ["export", "net.safetensors", "--to", "c"],
    }
    assert run(capsys, *words["train"], "--report", "r.html")[0] == 0
    for command, option, fine in (
        ("train", "--out", "model"),
        ("train", "--report", "page"),
        ("predict", "--out", "table"),
        ("export", "--out", "code"),
    ):
        assert run(capsys, *words[command], option, fine)[0] == 0
        assert run(capsys, *words[command], option, fine)[0] == 0  # its own kind
        (tmp_path / "empty").write_bytes(b"")
        assert run(capsys, *words[command], option, "empty")[0] == 0
        for text in (
            b"notes",
            b"a,b\n1,2\n",
            b"prediction,truth\n1,2\n",
            b"<!doctype html>\n<p>",
            b"\x00\xff",
            b"/* mine */",
        ):
            (tmp_path / "theirs").write_bytes(text)
            error = error_of(capsys, *words[command], option, "theirs")
            assert "--force writes over it" in error
            assert (tmp_path / "theirs").read_bytes() == text
            assert run(capsys, *words[command], option, "theirs", "--force")[0] == 0
            assert (tmp_path / "theirs").read_bytes() != text


def test_what_looks_like_a_model_and_is_none(capsys, tmp_path) -> None:
    """Weights of another library, and what a trainer saves, hold more than a net."""
    net = fb.Sequential(fb.Input(2), fb.Dense(1), seed=0)
    trainer = fb.Trainer(net)
    trainer.fit([[1.0, 2.0]], [1.0], epochs=1)
    trainer.save("trainer")
    safetensors.write("weights", dict(net.arrays()), {"format": "pt"})
    net.save("net")
    for path in ("trainer", "weights"):
        before = (tmp_path / path).read_bytes()
        assert "is not a model file" in error_of(capsys, "train", "--epochs", 1, "--out", path)
        assert (tmp_path / path).read_bytes() == before
    trained(capsys, "--epochs", 1, "--out", "net")


def test_two_outputs_in_one_file(capsys) -> None:
    os.symlink("model", "link")
    assert "same file" in error_of(capsys, "train", "--out", "model", "--report", "link", code=2)


def test_a_device_is_written_to(capsys, houses) -> None:
    trained(capsys, houses, "--target", "price", "--epochs", 1)
    assert run(capsys, "predict", "net.safetensors", houses, "--out", os.devnull)[0] == 0
