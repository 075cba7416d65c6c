"""X of every dtype and layout, in memory and in mapped files, in frames: the bits and the errors of the plain array.

The oracle is NumPy's `astype`. That no copy of the whole is made is seen by a limit on the process's own memory.
"""

import io
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.inputs import array_sources

ROWS, INPUTS, OUTPUTS = 53, 71, 3
SPECIAL = {
    "float16": [6e-8, -6.1e-5, 65504, -0.0, 5.96e-8, -1.79e-7],
    "uint64": [2**64 - 1, 2**63 + 1025],
    "int64": [-(2**63) + 5, 2**62 + 12345],
    "float64": [1e-40, -3.4e38],
}


def numbers(name: str, rows: int = ROWS, special: bool = False) -> np.ndarray:
    """Numbers of a dtype, with some that are rounded or subnormal if wanted."""
    X = np.random.default_rng(3).normal(size=(rows, INPUTS)) * 50
    X = X > 0 if name == "bool" else (np.abs(X) if name.startswith("u") else X).astype(name)
    extremes = SPECIAL.get(name, []) if special else []
    X[1, : len(extremes)] = extremes
    return X


def layouts(X: np.ndarray) -> dict[str, np.ndarray]:
    """The same numbers, otherwise laid out."""
    wide = np.zeros((2 * len(X), X.shape[1] + 1), X.dtype)
    backwards, every_other = wide[::-2, 1:], np.zeros((len(X), 2 * X.shape[1]), X.dtype)[:, ::2]
    read_only, raw = X.copy(), np.zeros(X.nbytes + 1, np.uint8)
    backwards[...] = every_other[...] = X
    read_only.flags.writeable = False
    odd = raw[1:].view(X.dtype).reshape(X.shape)
    odd[...] = X
    return {
        "read only": read_only,
        "backwards": backwards,
        "every other": every_other,
        "Fortran": np.asfortranarray(X),
        "other byte order": X.astype(X.dtype.newbyteorder()),
        "not aligned": odd,
    }


def copy_of(dtype: np.dtype) -> fb.Model:
    """A net that gives back what it is given."""
    x = fb.Input(INPUTS)
    return fb.Model(x, fb.Activation("linear")(x), dtype=dtype)


def trained(X, y: np.ndarray, dtype: np.dtype, **options) -> tuple[np.ndarray, fb.History]:
    layers = [fb.Dense(7, "tanh"), fb.Dropout(0.2), fb.Dense(OUTPUTS)]
    net = fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=4)
    history = net.fit(X, y, epochs=2, batch_size=8, seed=1, **options)
    return net.params.copy(), history


def targets(rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(rows, OUTPUTS))


@pytest.fixture
def never_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_sources, "COPIED", 0)


@pytest.mark.parametrize("name", _engine.SOURCES)
def test_each_dtype_is_cast_as_numpy_casts_it(name: str, dtype: np.dtype) -> None:
    X, net = numbers(name, special=True), copy_of(dtype)
    wanted = X.astype(dtype)
    wanted[np.abs(wanted) < np.finfo(dtype).tiny] = 0  # subnormal ones count as zero
    np.testing.assert_array_equal(net.predict(X), wanted)
    X = numbers(name)
    wanted = X.astype(dtype)
    plain = trained(wanted, targets(), dtype)[0]
    for threads in (1, 2, 3, 8):
        np.testing.assert_array_equal(trained(X, targets(), dtype, threads=threads)[0], plain)


@pytest.mark.usefixtures("never_copied")
@pytest.mark.parametrize("name", ["uint8", "int16", "float16", "float32", "float64"])
def test_each_layout_gives_the_same_bits(name: str, dtype: np.dtype) -> None:
    X, net = numbers(name), copy_of(dtype)
    wanted, plain = net.predict(X), trained(X, targets(), dtype)[0]
    for layout in layouts(X).values():
        np.testing.assert_array_equal(net.predict(layout), wanted)
        np.testing.assert_array_equal(trained(layout, targets(), dtype)[0], plain)


def test_every_half_is_cast_exactly(dtype: np.dtype) -> None:
    """All 65,536 of them; also those that are no numbers, which check_finite=False lets pass."""
    X = np.arange(2**16, dtype=np.uint16).view(np.float16)
    X = np.resize(X, (2**16 // INPUTS + 1, INPUTS))
    got = copy_of(dtype).predict(X, check_finite=False)
    np.testing.assert_array_equal(got, X.astype(dtype))
    assert (np.signbit(got) == np.signbit(X))[~np.isnan(X)].all()


def test_step_evaluate_and_validation_take_them_too(dtype: np.dtype) -> None:
    X, y = numbers("uint8"), targets()
    results = []
    for A in (X, X.astype(dtype)):
        net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), dtype=dtype, seed=2)
        trainer = fb.Trainer(net, "mse", "sgd", metrics=["mae"])
        first = trainer.evaluate(A, y)
        history = trainer.fit(A / np.uint8(8), y, validation_data=(A, y)).history
        results.append([trainer.step(A[:5] / np.uint8(64), y[:5]), first, history])
    assert results[0] == results[1]


def test_a_loss_in_python_sees_the_same_batches(dtype: np.dtype) -> None:
    def loss(Y, t):
        return fb.losses.mse(Y, t)

    X = numbers("int8")
    got = trained(X, targets(), dtype, loss=loss)[0]
    np.testing.assert_array_equal(got, trained(X.astype(dtype), targets(), dtype, loss=loss)[0])


def test_several_inputs_of_different_kinds(dtype: np.dtype) -> None:
    A, B, y = numbers("uint8"), numbers("float64")[:, ::2][:, :5], targets()

    def net() -> fb.Model:
        a, b = fb.Input(INPUTS), fb.Input(5)
        return fb.Model([a, b], fb.Dense(OUTPUTS)(fb.Dense(4)(a) * fb.Dense(4)(b)), dtype=dtype, seed=1)

    one, other = net(), net()
    one.fit((A, B), y, batch_size=7)
    other.fit((A.astype(dtype), np.ascontiguousarray(B, dtype)), y, batch_size=7)
    np.testing.assert_array_equal(one.params, other.params)


# Numbers that are not finite


@pytest.mark.usefixtures("never_copied")
@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_the_first_bad_number_is_found_before_anything_starts(name: str, bad: float, dtype: np.dtype) -> None:
    X = numbers(name)
    X[40, 70] = X[17, 3] = X[17, 66] = bad
    net = copy_of(dtype)
    for layout in layouts(X).values():
        with pytest.raises(ValueError, match=r"^X has an? \w+ at row 17, column 3 \(.*check_finite=False"):
            net.predict(layout)
        with pytest.raises(ValueError, match="row 17, column 3"):
            net.fit(layout, X)


def test_what_overflows_the_net_is_an_infinity() -> None:
    X = numbers("float64")
    X[2, 9] = 1e39
    with pytest.raises(ValueError, match=r"row 2, column 9 \(as float32"):
        copy_of(np.dtype("float32")).predict(X)
    assert copy_of(np.dtype("float64")).predict(X)[2, 9] == 1e39


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_a_mapped_file_is_watched_as_it_is_read(name: str, tmp_path, dtype: np.dtype) -> None:
    X, y, size = numbers(name, 3000), targets(3000), 1000
    X[2900, 70] = X[2900, 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), dtype=dtype, seed=2)
    trainer = fb.Trainer(net, "mse", fb.SGD(1e-6))
    trainer.fit(mapped[:2000], y[:2000])
    before, steps = net.params.copy(), trainer.chain.t
    for work in (net.predict, lambda X: trainer.evaluate(X, y), lambda X: trainer.step(X[:2950], y[:2950])):
        with pytest.raises(ValueError, match=r"^X has a NaN at row 2900, column 2 \(.*check_finite=False"):
            work(mapped)
    np.testing.assert_array_equal(net.params, before)
    for shuffle in (False, True):
        with pytest.raises(ValueError, match=r"^X has a NaN at row 2900, column 2"):
            trainer.fit(mapped, y, batch_size=size, shuffle=shuffle)
    assert trainer.chain.t - steps < 3 + 3, "the batch with the bad row moves nothing"
    assert np.isfinite(net.params).all()
    assert np.isnan(net.predict(mapped, check_finite=False)).any()
    net.predict(X[:5])
    net.fit(mapped[:2900], y[:2900])


LIMITED = """
import resource, sys
import numpy as np, fastbp as fb

rows, width, dtype, limit = 40_000, 2_000, sys.argv[1], 120_000_000
X = np.memmap("X.bin", dtype, "w+", shape=(rows, width), order=sys.argv[2])
X[::1000] = np.arange(width) % 7
X.flush()
X = np.memmap("X.bin", dtype, "r", shape=(rows, width), order=sys.argv[2])
assert X.nbytes >= 80_000_000 and rows * width * 4 > 2 * limit, "a copy would not fit"
y = np.zeros(rows, np.int64)
net = fb.Sequential(fb.Input(width), fb.Dense(8, "relu"), fb.Dense(2), seed=0)
net.fit(X[:64], y[:64], loss="cross_entropy")
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + limit, -1))
net.fit(X, y, loss="cross_entropy", batch_size=500, metrics=["accuracy"], threads=1)
net.evaluate(X, y, loss="cross_entropy")
print(net.predict(X).shape)
try:
    X.astype(np.float32)
except MemoryError:
    print("no room for a copy")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the process's own memory are Linux's")
@pytest.mark.parametrize(("name", "order"), [("uint8", "C"), ("float32", "C"), ("uint8", "F")])
def test_a_mapped_file_larger_than_memory_is_not_copied(name: str, order: str, python, tmp_path, monkeypatch) -> None:
    """The process may not take half of what X would take as the net's numbers."""
    monkeypatch.chdir(tmp_path)
    done = python("-c", LIMITED, name, order)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(40000, 2)", "no room for a copy"]


# Frames and tensors


class LikePolars:
    """What a frame of polars' has, where it is not installed: columns that are arrays, and no `items`."""

    class DataFrame:
        def __init__(self, columns: dict) -> None:
            arrays = [np.array([np.nan if v is None else v for v in column]) for column in columns.values()]
            self.columns, self._arrays = list(columns), arrays
            self.dtypes = [array.dtype for array in arrays]

        def iter_columns(self):
            return iter(self._arrays)

        def __getitem__(self, name: str) -> np.ndarray:
            return self._arrays[self.columns.index(name)]

        def __array__(self, dtype=None, copy=None) -> np.ndarray:
            texts = any(array.dtype.kind == "U" for array in self._arrays)
            return np.array(np.column_stack(self._arrays), object if texts else dtype)


@pytest.fixture(params=["pandas", "polars", "like polars"])
def frames(request: pytest.FixtureRequest):
    if request.param == "like polars":
        return LikePolars
    return pytest.importorskip(request.param) if request.param == "pandas" or find_spec("polars") else LikePolars


def table(frames, **columns):
    return frames.DataFrame({"height": [1.5, 2.5, -3.0], "count": [1, 2, 3], **columns})


def test_a_frame_is_its_numbers(frames, dtype: np.dtype) -> None:
    frame = table(frames, married=[True, False, True])
    x = fb.Input(3)
    net = fb.Model(x, fb.Activation("linear")(x), dtype=dtype)
    np.testing.assert_array_equal(net.predict(frame), [[1.5, 1, 1], [2.5, 2, 0], [-3, 3, 1]])
    net = fb.Sequential(fb.Input(3), fb.Dense(2), fb.Dense(1), dtype=dtype, seed=1)
    other = net.copy()
    net.fit(frame, frame["count"], epochs=2, seed=3)
    other.fit(net.predict(frame) * 0 + np.array(frame, dtype), [1, 2, 3], epochs=2, seed=3)
    np.testing.assert_array_equal(net.params, other.params)


@pytest.mark.parametrize("where", ["X", "validation X"])
def test_text_in_a_frame_is_refused_by_its_column(frames, where: str) -> None:
    net = fb.Sequential(fb.Input(3), fb.Dense(1))
    bad, fine = table(frames, city=["Oslo", "Rome", "3.5"]), np.ones((3, 3))
    y = [1.0, 2.0, 3.0]
    with pytest.raises(TypeError, match=f"^column 'city' of {where} must hold numbers, got dtype"):
        net.fit(bad if where == "X" else fine, y, validation_data=(bad, y))


def test_what_is_missing_in_a_frame_is_found(frames) -> None:
    net = fb.Sequential(fb.Input(3), fb.Dense(1))
    with pytest.raises(ValueError, match="X has a NaN at row 1, column 2"):
        net.predict(table(frames, age=[1.0, None, 3.0]))


def test_what_pandas_keeps_as_objects_is_read_as_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    frame = table(pandas, age=pandas.Series([1, 2.5, True], dtype=object))
    net = fb.Sequential(fb.Input(3), fb.Dense(1))
    np.testing.assert_array_equal(net.predict(frame), net.predict([[1.5, 1, 1], [2.5, 2, 2.5], [-3, 3, 1]]))
    with pytest.raises(TypeError, match="column 'age' of X must hold numbers, got dtype object"):
        net.predict(table(pandas, age=pandas.Series([1, None, "3"], dtype=object)))
    with pytest.raises(TypeError, match="column 'age' of X must hold numbers, got dtype datetime64"):
        net.predict(table(pandas, age=pandas.date_range("2020-01-01", periods=3)))


def test_tensors_of_torch_are_arrays(dtype: np.dtype) -> None:
    torch = pytest.importorskip("torch")
    X, net = numbers("float64"), copy_of(dtype)
    np.testing.assert_array_equal(net.predict(torch.tensor(X)), net.predict(X))
    with pytest.raises(ValueError, match=r"X is not an array: .*requires grad"):
        net.predict(torch.tensor(X, requires_grad=True))
    with pytest.raises(TypeError, match=r"X is not an array of numbers: .*BFloat16"):
        net.predict(torch.tensor(X, dtype=torch.bfloat16))


def test_a_file_that_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match="X must hold numbers"):
        copy_of(np.dtype("float64")).predict(io.BytesIO(b"abc"))
