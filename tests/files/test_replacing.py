"""Files that are written whole or not at all: mode, name, and what is on the disk when."""

import os
import stat
from pathlib import Path

import pytest

import fastbp as fb
from fastbp.files import replacing as module
from fastbp.files.replacing import replacing


def write(path: Path, data: bytes = b"new") -> None:
    with replacing(path) as file:
        file.write(data)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o644, 0o664, 0o755, 0o200])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(kept)
    write(path)
    assert (mode(path), path.read_bytes()) == (kept, b"new")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_new_file_follows_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o666 & ~mask


def test_nobody_else_reads_a_private_file_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with replacing(path) as file:
        file.write(b"secret")
        assert [mode(each) for each in tmp_path.iterdir()] == [0o600, 0o600]


@pytest.mark.parametrize("kept", [0o444, 0o400, 0o555])
def test_a_read_only_file_is_an_error_and_stays(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(kept)
    with pytest.raises(PermissionError, match="a is read-only"):
        write(path)
    assert (mode(path), path.read_bytes(), len(list(tmp_path.iterdir()))) == (kept, b"old", 1)


def test_any_name_that_the_system_takes(tmp_path: Path) -> None:
    names = ["a", "a" * 242, "a" * 255, "é" * 127, "-", "x\ny", ".hidden", " "]
    for name in names:
        write(tmp_path / name)
        write(tmp_path / name, b"again")
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    with pytest.raises(OSError, match="too long"):
        write(tmp_path / ("a" * 256))
    deep = Path("/".join(["d" * 200] * 19))
    os.makedirs(tmp_path / deep)
    longest = tmp_path / deep / ("f" * (4095 - len(os.fsencode(tmp_path / deep)) - 1))
    if len(longest.name) <= 255:
        write(longest)
        assert longest.read_bytes() == b"new"


def test_the_file_is_on_the_disk_before_its_name_and_the_name_before_the_end(tmp_path, monkeypatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        calls.append("folder" if stat.S_ISDIR(found.st_mode) else f"file of {found.st_size}")
        sync(descriptor)

    def note_replace(*names, **more) -> None:
        calls.append("rename")
        replace(*names, **more)

    monkeypatch.setattr(module.os, "fsync", note_sync)
    monkeypatch.setattr(module.os, "replace", note_replace)
    write(tmp_path / "a", b"12345")
    assert calls == ["file of 5", "rename", "folder"]


@pytest.mark.parametrize("name", ["fsync", "replace", "chmod"])
def test_what_fails_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*args, **more) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(module.os, name, fail)
    with pytest.raises(OSError, match="no space left"):
        write(path)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["a"])


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "real", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)


def test_every_writer_keeps_the_mode(tmp_path: Path) -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(1), seed=0)
    for name, save in {"n.safetensors": net.save, "n.c": net.to_c, "t.safetensors": fb.Trainer(net).save}.items():
        save(tmp_path / name)
        (tmp_path / name).chmod(0o600)
        save(tmp_path / name)
        assert mode(tmp_path / name) == 0o600
