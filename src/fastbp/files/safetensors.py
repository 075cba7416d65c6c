"""The safetensors file format: named arrays and string metadata in one file.

A file is eight bytes of header length, a JSON header, then the arrays one after another. The reader does not trust the
file: sizes in the header are compared with the size of the file before memory is allocated, and any fault raises
`ModelFormatError`. Rejected: the `safetensors` package, a second run-time dependency for these lines; pickle, which
runs code.

The format: https://github.com/huggingface/safetensors#format
"""

import os
from collections.abc import Mapping
from io import BufferedReader
from typing import BinaryIO, NamedTuple

import numpy as np

from fastbp.errors import ModelFormatError
from fastbp.files.replacing import replacing
from fastbp.inputs import checks

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "C64": np.dtype("<c8"),
}
METADATA = "__metadata__"
PREFIX = 8  # bytes that hold the header's length
MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
MAX_DIMENSIONS = 32  # NumPy 1's limit; NumPy 2 has 64
MAX_BYTES = 2**63 - 1  # what a signed 64-bit size can hold


class _Entry(NamedTuple):
    begin: int
    end: int
    dtype: np.dtype
    shape: tuple[int, ...]


def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays and metadata to a safetensors file atomically.

    The file is written under another name and then moved into place, so readers of `path` find either the complete old
    file or the complete new one.

    Parameters
    ----------
    path : str or path-like
        Where to write.
    arrays : mapping of str to numpy.ndarray
        Any shape; booleans, integers, float16 to float64 and complex64.
    metadata : mapping of str to str
        Free text beside the arrays.

    Raises
    ------
    TypeError
        A name or a metadata value that is not text, or an array of another dtype.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import numpy as np
    >>> from fastbp.files import safetensors
    >>> path = pathlib.Path(tempfile.mkdtemp(), "two.safetensors")
    >>> safetensors.write(path, {"a": np.arange(3), "b": np.ones((2, 1))}, {"made by": "hand"})
    >>> arrays, metadata = safetensors.read(path)
    >>> arrays["a"], metadata
    (array([0, 1, 2]), {'made by': 'hand'})
    """
    # Wide elements first, so that each array starts at a multiple of its element's size.
    order = sorted(arrays, key=lambda name: -np.asarray(arrays[name]).itemsize)
    buffers = {name: _little_endian(name, arrays[name]) for name in order}
    header = _encode_header(buffers, arrays, metadata)
    with replacing(path) as file:
        _write_parts(file, header, buffers)


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    arrays : dict of str to numpy.ndarray
        New arrays by name, in the header's order, C-contiguous and in the machine's byte order.
    metadata : dict of str to str
        Empty if the file has none.

    Raises
    ------
    ModelFormatError
        The file is not a valid safetensors file; the message names the file and the fault.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from fastbp.files import safetensors
    >>> path = pathlib.Path(tempfile.mkdtemp(), "short.safetensors")
    >>> _ = path.write_bytes(b"1234")
    >>> safetensors.read(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    fastbp.errors.ModelFormatError: ...short.safetensors: 4 bytes are too few for a safetensors file
    """
    path = checks.as_path(path)
    try:
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from None


def _little_endian(name: str, array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array).reshape(np.shape(array))  # ascontiguousarray makes a scalar 1-D
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in DTYPES.values():
        known = ", ".join(DTYPES)
        raise TypeError(f"array {name!r} has dtype {array.dtype}, the file format knows {known}")
    return array


def _encode_header(buffers: Mapping[str, np.ndarray], names: Mapping, metadata: Mapping[str, str]) -> bytes:
    for text in (*names, *metadata, *metadata.values()):
        if not isinstance(text, str):
            raise TypeError(f"names and metadata must be text, got {text!r}")
    if METADATA in names:
        raise ValueError(f"no array can be called {METADATA!r}: the file format keeps that name")
    codes = {dtype: code for code, dtype in DTYPES.items()}
    offsets, end = {}, 0
    for name, array in buffers.items():
        offsets[name] = [end, end + array.nbytes]
        end += array.nbytes
    header: dict[str, object] = {METADATA: dict(metadata)} if metadata else {}
    for name in names:
        array = buffers[name]
        header[name] = {
            "dtype": codes[array.dtype],
            "shape": list(array.shape),
            "data_offsets": offsets[name],
        }
    import json

    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % PREFIX)  # the arrays begin at a multiple of eight bytes
    if len(text) > MAX_HEADER:
        raise ValueError(f"names and metadata take {len(text)} bytes, the format's limit is {MAX_HEADER}")
    return len(text).to_bytes(PREFIX, "little") + text


def _write_parts(file: BinaryIO, header: bytes, buffers: Mapping[str, np.ndarray]) -> None:
    file.write(header)
    for array in buffers.values():
        file.write(array.reshape(-1).view(np.uint8).data)


def _read(file: BufferedReader, size: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    if size < PREFIX + 2:
        raise ModelFormatError(f"{size} bytes are too few for a safetensors file")
    length = int.from_bytes(file.read(PREFIX), "little")
    if length > min(size - PREFIX, MAX_HEADER):
        raise ModelFormatError(f"the header claims {length} bytes, the file has {size}")
    header = _decode_header(file.read(length))
    metadata = _metadata(header.pop(METADATA, {}))
    entries = {name: _entry(name, entry) for name, entry in header.items()}
    order = _in_file_order(entries, size - PREFIX - length)
    arrays = {name: _read_array(file, name, entries[name]) for name in order}
    return {name: arrays[name] for name in entries}, metadata


def _decode_header(text: bytes) -> dict:
    def unique(pairs: list[tuple[str, object]]) -> dict:
        keys = dict(pairs)
        if len(keys) < len(pairs):
            raise ModelFormatError("a name occurs twice in the header")
        return keys

    import json

    if not text.startswith(b"{"):
        raise ModelFormatError("the header is not a JSON object")
    try:
        return json.loads(text.decode(), object_pairs_hook=unique)
    except ModelFormatError:
        raise
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deep
        raise ModelFormatError(f"the header is not JSON: {error}") from None


def _metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise ModelFormatError(f"{METADATA} is not a JSON object")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ModelFormatError(f"{METADATA} has something other than text under {_text(key)!r}")
        _text(key), _text(value)
    return metadata


def _text(string: str) -> str:
    try:
        string.encode()
    except UnicodeEncodeError:
        raise ModelFormatError("the header holds half of a surrogate pair, which is no text") from None
    return string


def _entry(name: str, entry: object) -> _Entry:
    what = f"array {_text(name)!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ModelFormatError(f"{what} needs dtype, shape and data_offsets, and nothing else")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ModelFormatError(f"{what} has dtype {code!r:.40}; known: {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise ModelFormatError(f"{what} has a shape that is not a list of at most {MAX_DIMENSIONS} sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ModelFormatError(f"{what} has data_offsets that are not two sizes")
    dtype = DTYPES[code]
    begin, end = offsets

    wanted = dtype.itemsize
    for width in shape:  # without zeros: for NumPy the product of the other widths must be a valid size too
        wanted *= width or 1
        if wanted > MAX_BYTES:
            raise ModelFormatError(f"{what} has a shape too large for memory")
    if 0 in shape:
        wanted = 0
    if end - begin != wanted:
        raise ModelFormatError(f"{what} needs {wanted} bytes, its data_offsets span {end - begin}")
    return _Entry(begin, end, dtype, tuple(shape))


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= MAX_BYTES for n in value)


def _in_file_order(entries: Mapping[str, _Entry], size: int) -> list[str]:
    """Names in the order of their data, which must fill the file without gap or overlap."""
    names = sorted(entries, key=lambda name: (entries[name].begin, entries[name].end))
    at = 0
    for name in names:
        begin, end, _, _ = entries[name]
        if begin != at:
            raise ModelFormatError(f"array {name!r} begins at byte {begin} of the data, expected {at}")
        at = end
    if at != size:
        raise ModelFormatError(f"the arrays take {at} bytes, the file has {size} after its header")
    return names


def _read_array(file: BufferedReader, name: str, entry: _Entry) -> np.ndarray:
    array = np.empty(entry.shape, entry.dtype)
    raw = array.reshape(-1).view(np.uint8)
    if file.readinto(raw.data) != raw.size:
        raise ModelFormatError(f"array {name!r} ends with the file, before its last byte")
    if array.dtype.kind == "b" and raw.size and raw.max() > 1:
        raise ModelFormatError(f"array {name!r} has a byte that is neither true nor false")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
