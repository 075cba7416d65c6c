"""The file format: what is written comes back, other readers agree, a hostile file raises one error."""

import itertools
import json
import os
import stat
import struct

import numpy as np
import pytest

from fastbp import ModelFormatError
from fastbp.files import safetensors

ARRAYS = {
    "dense_1.W": np.arange(15, dtype=np.float32).reshape(5, 3) / 7,
    "flags": np.array([True, False, True]),
    "dense_1.b": np.array([1.5, -2.5, np.nan]),
    "bytes": np.array([7], dtype=np.uint8),
    "nothing": np.empty((0, 4), dtype=np.int64),
    "one number": np.float64(3.25),
}
METADATA = {"format": "fastbp", "größe": 'a "quoted" line\nand another', "empty": ""}
F32 = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def file_bytes(header, data=b"", length=None) -> bytes:
    """Build a file of this header (text, bytes or something for JSON), this data, this claim of length."""
    text = header if isinstance(header, bytes | str) else json.dumps(header)
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.fixture
def sound(path) -> bytes:
    safetensors.write(path, ARRAYS, METADATA)
    return path.read_bytes()


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def test_round_trip_keeps_names_order_shapes_dtypes_and_bits(path):
    safetensors.write(path, ARRAYS, METADATA)
    arrays, metadata = safetensors.read(path)
    assert list(arrays) == list(ARRAYS)
    assert same(arrays, ARRAYS)
    assert metadata == METADATA
    arrays["dense_1.W"][0, 0] = 1  # new and writable


@pytest.mark.parametrize("dtype", list(safetensors.DTYPES.values()), ids=list(safetensors.DTYPES))
def test_every_dtype_comes_back(path, dtype):
    array = np.array([[0, 1], [1, 1], [0, 0]]).astype(dtype)
    safetensors.write(path, {"a": array}, {})
    assert same(safetensors.read(path)[0], {"a": array})


def test_strides_and_byte_order_do_not_matter(path):
    array = np.arange(12.0).reshape(3, 4)
    safetensors.write(path, {"a": array[::-1, ::2], "b": array.T, "c": array.astype(">f8")}, {})
    arrays, _ = safetensors.read(path)
    assert same(arrays, {"a": array[::-1, ::2].copy(), "b": array.T.copy(), "c": array})
    assert all(a.flags.c_contiguous for a in arrays.values())


def test_nothing_at_all_is_a_file(path):
    safetensors.write(path, {}, {})
    assert safetensors.read(path) == ({}, {})


def test_the_safetensors_package_reads_ours(path, sound):
    peer = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    assert same(load_file(path), {name: np.asarray(a) for name, a in ARRAYS.items()})
    with peer.safe_open(path, "np") as file:
        assert file.metadata() == METADATA


def test_ours_reads_the_safetensors_package(path):
    pytest.importorskip("safetensors")
    from safetensors.numpy import save_file

    arrays = {name: np.asarray(a) for name, a in ARRAYS.items()}
    save_file(arrays, path, METADATA)
    ours, metadata = safetensors.read(path)
    assert same(ours, arrays)
    assert metadata == METADATA


def test_each_array_is_aligned_in_the_file(sound):
    (length,) = struct.unpack("<Q", sound[:8])
    assert (8 + length) % 8 == 0
    header = json.loads(sound[8 : 8 + length])
    for name, array in ARRAYS.items():
        assert header[name]["data_offsets"][0] % array.dtype.itemsize == 0, name


# Writing


@pytest.mark.parametrize(
    ("arrays", "metadata", "error", "words"),
    [
        ({"a": np.array(["x"])}, {}, TypeError, "'a'"),
        ({"a": np.array([None])}, {}, TypeError, "'a'"),
        ({"a": np.ones(2, np.complex128)}, {}, TypeError, "complex128"),
        ({3: np.ones(2)}, {}, TypeError, "3"),
        ({"a": np.ones(2)}, {"epochs": 3}, TypeError, "3"),
        ({"__metadata__": np.ones(2)}, {}, ValueError, "__metadata__"),
    ],
)
def test_what_cannot_be_written_raises_and_leaves_the_old_file(path, arrays, metadata, error, words):
    safetensors.write(path, {"old": np.ones(3)}, {})
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        safetensors.write(path, arrays, metadata)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_failure_half_way_leaves_the_old_file(path, monkeypatch):
    safetensors.write(path, {"old": np.ones(3)}, {})
    before = path.read_bytes()

    def full(*_, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        safetensors.write(path, ARRAYS, METADATA)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_folder_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        safetensors.write(tmp_path / "no" / "net.safetensors", ARRAYS, {})


def test_a_folder_raises(tmp_path):
    with pytest.raises(OSError, match=tmp_path.name):
        safetensors.write(tmp_path, ARRAYS, {})


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
def test_a_device_is_written_to_and_not_replaced():
    safetensors.write("/dev/null", ARRAYS, METADATA)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
def test_a_link_stays_a_link_and_the_umask_is_obeyed(path):
    real = path.with_name("real.safetensors")
    path.symlink_to(real)
    old = os.umask(0o027)
    try:
        safetensors.write(path, ARRAYS, {})
    finally:
        os.umask(old)
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


# Reading what is wrong


def refused(path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ModelFormatError) as caught:
        safetensors.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_truncated_at_every_length(path, sound):
    for length in range(len(sound)):
        refused(path, sound[:length])


def test_trailing_bytes(path, sound):
    assert "bytes" in refused(path, sound + b"\0")


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32, 2**63, 2**64 - 1])
def test_header_length_beyond_the_file(path, sound, length):
    refused(path, struct.pack("<Q", length) + sound[8:])


def test_header_beyond_the_limit_is_not_read(path, monkeypatch):
    monkeypatch.setattr(safetensors, "MAX_HEADER", 10)
    assert "claims 11 bytes" in refused(path, file_bytes(b'{"a":{}}   '))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("[]", "not a JSON object"),
        ("3333", "not a JSON object"),
        (' {"a": 1}', "not a JSON object"),
        ('{"a": 1', "not JSON"),
        ("{} {}", "not JSON"),
        (b'{"\xff": 1}', "not JSON"),
        ('{"a": ' + "[" * 100_000, "not JSON"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "not JSON"),
        ('{"a": ' + "9" * 10_000 + "}", "not JSON"),
        ('{"\\ud800": {}}', "surrogate"),
        ('{"__metadata__": {"a": "\\udfff"}}', "surrogate"),
        ('{"__metadata__": {"a": 1}}', "'a'"),
        ('{"__metadata__": {"a": null}}', "'a'"),
        ('{"__metadata__": ["a"]}', "__metadata__"),
        ('{"__metadata__": {"a": "1", "a": "2"}}', "twice"),
        ('{"__metadata__": {}, "__metadata__": {}}', "twice"),
        ('{"a": {"dtype": "F32", "dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}', "twice"),
        ('{"a": 1}', "'a' needs"),
        ('{"a": {}}', "'a' needs"),
        ('{"a": {"dtype": "F32", "shape": [0]}}', "'a' needs"),
        ('{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0], "more": 1}}', "'a' needs"),
    ],
)
def test_bad_headers(path, header, words):
    assert words in refused(path, file_bytes(header))


def test_two_arrays_of_one_name(path):
    one = json.dumps(F32)
    assert "twice" in refused(path, file_bytes('{"a":' + one + ',"a":' + one + "}", bytes(24)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": "F33"}, "F33"),
        ({"dtype": "BF16"}, "BF16"),
        ({"dtype": "f32"}, "f32"),
        ({"dtype": None}, "None"),
        ({"dtype": ["F32"]}, "dtype"),
        ({"shape": [2, 4]}, "needs 32 bytes"),
        ({"shape": [2]}, "needs 8 bytes"),
        ({"shape": []}, "needs 4 bytes"),
        ({"shape": [0, 3]}, "needs 0 bytes"),
        ({"shape": [-2, -3]}, "shape"),
        ({"shape": [2.0, 3]}, "shape"),
        ({"shape": [True, 6]}, "shape"),
        ({"shape": "23"}, "shape"),
        ({"shape": 6}, "shape"),
        ({"shape": None}, "shape"),
        ({"shape": {"2": 3}}, "shape"),
        ({"shape": [6] + [1] * 32}, "shape"),
        ({"shape": [2**62, 2**62]}, "too large"),
        ({"shape": [2**32, 2**32]}, "too large"),
        ({"shape": [2**70]}, "shape"),
        ({"shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}, "too large"),
        ({"data_offsets": [0, 25]}, "span 25"),
        ({"data_offsets": [0, 23]}, "span 23"),
        ({"data_offsets": [24, 0]}, "span -24"),
        ({"data_offsets": [-24, 0]}, "data_offsets"),
        ({"data_offsets": [0.0, 24]}, "data_offsets"),
        ({"data_offsets": [0, 24.0]}, "data_offsets"),
        ({"data_offsets": [False, 24]}, "data_offsets"),
        ({"data_offsets": [0]}, "data_offsets"),
        ({"data_offsets": [0, 24, 24]}, "data_offsets"),
        ({"data_offsets": "ab"}, "data_offsets"),
        ({"data_offsets": [1, 25]}, "begins at byte 1"),
        ({"data_offsets": [2**63, 2**63 + 24]}, "data_offsets"),
        ({"data_offsets": [2**62, 2**62 + 24]}, "begins at byte"),
    ],
)
def test_bad_entries(path, change, words):
    message = refused(path, file_bytes({"a": F32 | change}, bytes(24)))
    assert "'a'" in message
    assert words in message


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 8), (4, 12)],  # overlap
        [(0, 8), (0, 8)],  # the same bytes twice
        [(0, 8), (12, 20)],  # a hole
        [(4, 12), (12, 20)],  # a hole at the beginning
        [(0, 8), (8, 16), (4, 12)],
        [(0, 8), (8, 12)],  # bytes left over
        [(0, 8), (8, 24)],  # bytes missing
    ],
)
def test_arrays_that_do_not_fill_the_file(path, spans):
    header = {
        f"a{k}": {"dtype": "F32", "shape": [(end - begin) // 4], "data_offsets": [begin, end]}
        for k, (begin, end) in enumerate(spans)
    }
    refused(path, file_bytes(header, bytes(20)))


def test_a_byte_that_is_no_boolean(path):
    header = {"a": {"dtype": "BOOL", "shape": [3], "data_offsets": [0, 3]}}
    assert "neither true nor false" in refused(path, file_bytes(header, b"\0\1\2"))


def test_a_claim_of_terabytes_allocates_nothing(path):
    import tracemalloc

    size = 2**42
    path.write_bytes(file_bytes({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}, bytes(8)))
    tracemalloc.start()
    with pytest.raises(ModelFormatError):
        safetensors.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_file_that_shrinks_while_it_is_read(path, sound):
    os.truncate(path, len(sound) - 1)
    with open(path, "rb") as file, pytest.raises(ModelFormatError, match="ends with the file"):
        safetensors._read(file, len(sound))


def test_random_damage_raises_the_one_error_or_nothing(path, sound):
    rng = np.random.default_rng(7)
    (length,) = struct.unpack("<Q", sound[:8])
    refusals = 0
    for trial in range(3000):
        data = bytearray(sound)
        for _ in range(rng.integers(1, 4)):
            end = len(data) if trial % 4 == 0 else 8 + length  # mostly the header: the data may be anything
            data[rng.integers(end)] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            arrays, _ = safetensors.read(path)
        except ModelFormatError:
            refusals += 1
        else:
            assert sum(a.nbytes for a in arrays.values()) <= len(data)
    assert refusals > 1000


def test_random_splices_raise_the_one_error_or_nothing(path, sound):
    rng = np.random.default_rng(8)
    for _ in range(1000):
        a, b, c, d = np.sort(rng.integers(len(sound), size=4))
        path.write_bytes(sound[:a] + sound[c:d] + sound[b:c] + sound[a:b])
        try:
            safetensors.read(path)
        except ModelFormatError:
            continue


def test_the_order_of_the_header_need_not_be_that_of_the_data(path):
    spans = [(8, 16), (0, 8), (16, 20)]
    data = np.arange(5, dtype=np.float32).tobytes()
    for order in itertools.permutations(range(3)):
        header = {
            f"a{k}": {"dtype": "F32", "shape": [(e - b) // 4], "data_offsets": [b, e]}
            for k, (b, e) in ((k, spans[k]) for k in order)
        }
        path.write_bytes(file_bytes(header, data))
        arrays, _ = safetensors.read(path)
        assert list(arrays) == list(header)
        assert [arrays[f"a{k}"].tolist() for k in range(3)] == [[2, 3], [0, 1], [4]]


def test_what_is_no_file_keeps_its_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        safetensors.read(tmp_path / "none.safetensors")
    with pytest.raises(OSError, match=tmp_path.name):
        safetensors.read(tmp_path)
