"""Memory-mapped files on their way to another process: by name and place, not by content."""

import mmap
from typing import Any, NamedTuple

import numpy as np


class Mapped(NamedTuple):
    """A part of a file, as NumPy maps it."""

    file: Any
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def packed(data: Any) -> Any:
    """What stands for the data in a pickle: memory maps by name, of a tuple each, anything else as it is."""
    if type(data) is tuple:
        return tuple(packed(each) for each in data)
    if not isinstance(data, np.memmap) or data.filename is None or not data.flags.forc or not data.size:
        return data
    start = data.offset - data.offset % mmap.ALLOCATIONGRANULARITY  # of the map in the file; views keep its offset
    base = np.frombuffer(data._mmap, np.uint8)  # type: ignore[attr-defined]
    offset = start + data.ctypes.data - base.ctypes.data
    return Mapped(data.filename, data.dtype, offset, data.shape, data.strides)


def opened(data: Any) -> Any:
    """The data again; a memory map is read-only."""
    if type(data) is tuple:
        return tuple(opened(each) for each in data)
    if not isinstance(data, Mapped):
        return data
    order: Any = "C" if np.empty(data.shape, data.dtype).strides == data.strides else "F"
    return np.memmap(data.file, data.dtype, "r", data.offset, data.shape, order)
