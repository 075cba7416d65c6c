"""Files that commands write: never one that the command reads, and one of another kind only with --force.

Files are identified by content, not by name; another path or a link to a file is the same file.
"""

import json
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from fastbp.files import model_file

HEAD = 4096  # bytes that identify a kind
STATE = "fastbp.trainer"  # metadata key of files of `Trainer.save`
COLUMNS = ("prediction", "std", "probability_", "score_")


class Output(NamedTuple):
    """An output file: its option, its path, its kind, and a test of the first bytes for that kind."""

    option: str
    path: str
    words: str
    known: Callable[[bytes], bool]


def is_model(head: bytes) -> bool:
    """Whether it is a model file, without the training state of `Trainer.save`."""
    metadata = _metadata(head)
    return model_file.GRAPH in metadata and STATE not in metadata


def is_report(head: bytes) -> bool:
    return head.startswith(b"<!doctype html>") and b'name="generator" content="fastbp"' in head


def is_predictions(head: bytes) -> bool:
    names = head.partition(b"\n")[0].decode("utf-8", "replace").strip().replace('"', "").split(",")
    return names[0] == COLUMNS[0] and all(name.startswith(COLUMNS) for name in names[1:2])


def is_onnx(head: bytes) -> bool:
    return b"\x12\x06fastbp" in head[:64]  # field 2, six bytes: the producer's name


def is_c(head: bytes) -> bool:
    return head.startswith(b"/*") and b"written by fastbp" in head.partition(b"\n")[0]


def is_state_dict(head: bytes) -> bool:
    metadata = _metadata(head)
    return metadata == {"format": "pt"}


def check(outputs: Iterable[Output], inputs: Iterable[str | None], force: bool) -> None:
    """Raise before the work is done if a file cannot be written, or if something would be lost."""
    outputs, read = list(outputs), [path for path in inputs if path]
    for k, output in enumerate(outputs):
        _check_place(output.path)
        for path in read:
            if same_file(output.path, path):
                raise ValueError(f"{output.option} {output.path!r} would write over {path!r}, which is read here")
        for other in outputs[:k]:
            if same_file(output.path, other.path):
                raise ValueError(f"{other.option} and {output.option} are the same file")
        if not force:
            _check_kind(output)


def _check_place(path):
    folder = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path) or not os.access(folder, os.W_OK):
        raise OSError(f"cannot write {path!r}: it is a folder, or its folder is missing or read-only")


def same_file(one: str, other: str) -> bool:
    """Whether two paths lead to the same file, or would if it existed."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _check_kind(output):
    target = os.path.realpath(output.path)
    if not os.path.isfile(target) or not os.path.getsize(target):  # a device, a pipe, or an empty file
        return
    try:
        with open(target, "rb") as file:
            head = file.read(HEAD)
            if len(head) >= 8 and head[8:9] == b"{":  # the header of safetensors may be longer
                head += file.read(min(int.from_bytes(head[:8], "little"), 100_000_000))
    except OSError as error:
        raise OSError(f"{output.option} {output.path!r} is there and cannot be read: {error}") from None
    if not output.known(head):
        what = f"is there and is not {output.words}"
        raise ValueError(f"{output.option} {output.path!r} {what}: --force writes over it")


def _metadata(head):
    """The metadata of a safetensors file; empty for any other."""
    try:
        header = json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])
        metadata = header["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
