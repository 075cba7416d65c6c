"""Atomic writing of files."""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from fastbp.inputs import checks

# Names relative to an open folder, whose path may have any length; not on Windows.
RELATIVE = {os.open, os.rename, os.unlink} <= os.supports_dir_fd and os.chmod in os.supports_fd


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces the file at `path` when it is complete, or not at all.

    A replaced file passes on its mode, and a read-only one is not replaced; a new one follows the umask. The contents
    are on disk before the file gets its name, and the name is on disk before this returns.
    """
    target = os.path.realpath(checks.as_path(path))
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode):
        with open(target, "wb") as file:  # a device or a pipe (a folder raises here): nothing to move onto
            yield file
        return
    if mode is not None and not (mode & 0o222 and os.access(target, os.W_OK)):
        raise PermissionError(f"{os.fspath(path)} is read-only")
    folder, name = os.path.split(target)
    with _opened(folder) as at:
        temporary = f".{os.urandom(4).hex()}.tmp"  # short enough for every file system
        place, other = (name, temporary) if at is not None else (target, os.path.join(folder, temporary))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(other, flags, 0o666 if mode is None else 0o600, dir_fd=at)
        try:
            with open(descriptor, "wb") as file:
                if mode is not None:
                    os.chmod(other if at is None else descriptor, stat.S_IMODE(mode))
                yield file
                file.flush()
                os.fsync(descriptor)
            os.replace(other, place, src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(other, dir_fd=at)
            raise
        if at is not None:
            _to_disk(at)


def _mode(target: str) -> int | None:
    try:
        return os.stat(target).st_mode
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int | None]:
    if not RELATIVE:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _to_disk(folder: int) -> None:
    """Flush the folder's entries to disk; a file system that cannot do so writes them with the file."""
    with contextlib.suppress(OSError):
        os.fsync(folder)
