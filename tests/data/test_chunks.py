"""Data larger than memory: windows from files, outputs as they are asked for."""

import weakref
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb

ROWS, INPUTS, OUTPUTS = 53, 5, 3


def net(dtype: str = "float32") -> fb.Sequential:
    return fb.Sequential(fb.Input(INPUTS), fb.Dense(7, "tanh"), fb.Dense(OUTPUTS), seed=0, dtype=dtype)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(ROWS, INPUTS)).astype(np.float32), rng.normal(size=(ROWS, OUTPUTS)).astype(np.float32)


def arrays_on_disk(kind: str, folder: Path) -> tuple:
    X, y = data()
    if kind == "h5py":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "d.h5", "w") as file:
            file.create_dataset("X", data=X, chunks=(10, INPUTS))
            file.create_dataset("y", data=y)
        file = h5py.File(folder / "d.h5")
        return file["X"], file["y"]
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        found = []
        for name, A in (("X", X), ("y", y)):
            array = zarr.create_array(folder / name, shape=A.shape, chunks=(10, A.shape[1]), dtype=A.dtype)
            array[:] = A
            found.append(array)
        return tuple(found)
    if kind == "dask":
        array = pytest.importorskip("dask.array")
        return array.from_array(X, chunks=(10, INPUTS)), array.from_array(y, chunks=(10, OUTPUTS))
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r"), y


KINDS = pytest.mark.parametrize("kind", ["h5py", "zarr", "dask", "mapped"])


@KINDS
@pytest.mark.parametrize("window", [None, 1, 7, 8, 20, 100])
def test_in_order_it_is_the_fit_on_arrays(kind: str, window: int | None, tmp_path: Path) -> None:
    X, y = data()
    wanted, got = net(), net()
    stored = arrays_on_disk(kind, tmp_path)
    batches = fb.Chunks(*stored, batch_size=8, window=window, shuffle=False)
    history = wanted.fit(X, y, batch_size=8, shuffle=False, epochs=2, metrics=["mae"], validation_data=(X, y))
    h = got.fit(batches, epochs=2, metrics=["mae"], validation_data=batches)
    np.testing.assert_array_equal(wanted.params, got.params)
    assert history.history == h.history


@pytest.mark.parametrize("window", [1, 7, 20, 53, 100])
def test_shuffled_within_windows(window: int) -> None:
    X = np.arange(ROWS)[:, None] * np.ones(INPUTS)
    batches = fb.Chunks(X, X[:, 0], batch_size=8, window=window, seed=3)
    epochs = [[yb for _, yb in batches] for _ in range(2)]
    for found in epochs:
        assert [len(yb) for yb in found] == [8] * 6 + [5]
        rows = np.concatenate(found)
        np.testing.assert_array_equal(np.sort(rows), np.arange(ROWS))
        changes = np.count_nonzero(np.diff(rows // window))
        assert changes == (ROWS - 1) // window  # the rows of a window come together
    assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))
    again = [yb for _, yb in fb.Chunks(X, X[:, 0], batch_size=8, window=window, seed=3)]
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(epochs[0]))
    for xb, yb in batches:
        np.testing.assert_array_equal(xb[:, 2], yb)


def test_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    X, y = data()
    columns = {f"x{k}": X[:, k] for k in range(INPUTS)}
    parquet.write_table(pyarrow.table({"target": y[:, 0], **columns}), tmp_path / "t.parquet", row_group_size=10)
    found = list(fb.Chunks.parquet(tmp_path / "t.parquet", "target", batch_size=8, shuffle=False))
    np.testing.assert_array_equal(np.concatenate([xb for xb, _ in found]), X)
    np.testing.assert_array_equal(np.concatenate([yb for _, yb in found]), y[:, 0])
    some = next(iter(fb.Chunks.parquet(tmp_path / "t.parquet", "target", columns=["x3"], shuffle=False)))
    np.testing.assert_array_equal(some[0][:, 0], X[:32, 3])
    with pytest.raises(ValueError, match="unknown column 'z'"):
        fb.Chunks.parquet(tmp_path / "t.parquet", "z")


def test_types_and_nulls_of_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    numbers = {
        "int8": pyarrow.array([3, -4, 5, 6, 7], pyarrow.int8()),
        "float16": pyarrow.array(np.array([0.5, 1, -2, 8, 0.25], np.float16)),
        "flag": pyarrow.array([True, False, True, True, False]),
        "holes": pyarrow.array([1.5, None, 2.5, None, 3.5]),
        "int_holes": pyarrow.array([1, 2, None, 4, 5]),
        "word": pyarrow.array(["a", "b", "a", "a", "b"]),
    }
    parquet.write_table(pyarrow.table(numbers), tmp_path / "t.parquet", row_group_size=2)
    given = {"columns": ["int8", "float16", "flag", "holes"], "batch_size": 5, "shuffle": False}
    for target in ("int_holes", "word", "int8"):
        ((X, y),) = fb.Chunks.parquet(tmp_path / "t.parquet", target, **given)
        wanted = [[3, 0.5, 1, 1.5], [-4, 1, 0, np.nan], [5, -2, 1, 2.5], [6, 8, 1, np.nan], [7, 0.25, 0, 3.5]]
        np.testing.assert_array_equal(X, wanted)
        np.testing.assert_array_equal(y, numbers[target].to_numpy(zero_copy_only=False))


def test_one_window_at_a_time() -> None:
    class Watched:
        shape, dtype = (ROWS, INPUTS), np.dtype("f8")

        def __init__(self) -> None:
            self.read: list[weakref.ref] = []

        def __getitem__(self, rows: slice) -> np.ndarray:
            assert all(window() is None for window in self.read)
            window = np.zeros((len(range(*rows.indices(ROWS))), INPUTS))
            self.read.append(weakref.ref(window))
            return window

    watched = Watched()
    for _, _ in fb.Chunks(watched, data()[1], batch_size=8, window=11):
        pass
    assert len(watched.read) == 5


def test_refusals() -> None:
    X, y = data()
    with pytest.raises(TypeError, match=r"X must be an array.*list"):
        fb.Chunks(X.tolist(), y)
    with pytest.raises(ValueError, match="53 and 52"):
        fb.Chunks(X, y[1:])
    with pytest.raises(ValueError, match="window"):
        fb.Chunks(X, y, window=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_of_streams(dtype: str) -> None:
    X, y = data()
    one = net(dtype)
    wanted = one.predict(X)
    parts = [(X[k : k + 8], y[k : k + 8], np.ones(len(X[k : k + 8]))) for k in range(0, ROWS, 8)]
    for stream in (iter(parts), (x for x, _, _ in parts), fb.Chunks(X, y, batch_size=8, shuffle=False)):
        outputs = one.predict(stream)
        assert iter(outputs) is outputs
        np.testing.assert_array_equal(np.concatenate(list(outputs)), wanted)
    x1, x2 = fb.Input(2), fb.Input(3)
    both = fb.Model([x1, x2], fb.Dense(2)(x1) + fb.Dense(2)(x2), seed=0)
    wanted = both.predict((X[:, :2], X[:, 2:]))
    for stream in (
        ((x[:, :2], x[:, 2:]) for x, _, _ in parts),
        (((x[:, :2], x[:, 2:]), t) for x, t, _ in parts),
    ):
        np.testing.assert_array_equal(np.concatenate(list(both.predict(stream))), wanted)
    with pytest.raises(ValueError, match="X"):
        next(one.predict(x[:, 1:] for x, _, _ in parts))
