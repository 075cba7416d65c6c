"""Atomic writing of files."""

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

from fastbp.inputs import checks


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` atomically when it is complete."""
    target = os.path.realpath(checks.as_path(path))
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as file:  # a device or a pipe (a folder raises here): nothing to move onto
            yield file
        return
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
