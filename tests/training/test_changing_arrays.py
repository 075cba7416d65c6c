"""Arrays that change while a fit reads them: the engine indexes with what it has checked, and no array moves.

What a callback does to the caller's arrays between two batches stands for what another thread can do at any time.
"""

import contextlib
import threading
import time

import numpy as np
import pytest

import fastbp as fb

ROWS, COLUMNS, CLASSES = 256, 9, 5
BAD = [CLASSES, 10**6, -1, -100, 2**62]


class Changes(fb.Callback):
    """Does some work after the first epoch."""

    def __init__(self, work) -> None:
        self.work = work

    def on_epoch_end(self, trainer, epoch, logs) -> None:
        if epoch == 0:
            self.work()


def fitted(net: fb.Model, X, y, work, **settings) -> np.ndarray:
    net.fit(X, y, epochs=4, batch_size=32, seed=0, callbacks=[Changes(work)], **settings)
    return net.params.copy()


def nothing() -> None:
    pass


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_class_indices_are_those_from_the_beginning(bad: int, dtype: str, rng) -> None:
    X, y = rng.normal(size=(ROWS, COLUMNS)), rng.integers(0, CLASSES, ROWS).astype(dtype)

    def net_of() -> fb.Sequential:
        return fb.Sequential(fb.Input(COLUMNS), fb.Dense(CLASSES), seed=0)

    wanted = fitted(net_of(), X, y.copy(), nothing, loss="cross_entropy")
    other = bad if abs(bad) < 2**31 else 2**31 - 1

    def work() -> None:
        y[::3] = other

    np.testing.assert_array_equal(fitted(net_of(), X, y, work, loss="cross_entropy"), wanted)


@pytest.mark.parametrize("bad", [5.0, 1e6, -1.0, 1e30, np.nan, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_numbers_of_an_embedding_are_an_error(bad: float, dtype: str, rng) -> None:
    if dtype == "int64" and bad != int(0 if np.isnan(bad) else min(bad, 1e15)):
        bad = 7
    X, y = rng.integers(0, 5, (ROWS, 2)).astype(dtype), rng.normal(size=(ROWS, 1))
    net = fb.Sequential(fb.Input(2), fb.Embedding(5, 4), fb.Dense(1), dtype="float32", seed=0)

    def work() -> None:
        X[::3] = bad

    with pytest.raises(ValueError, match="the Embedding there takes whole numbers"):
        fitted(net, X, y, work)
    assert np.isfinite(net.params).all()


@pytest.mark.parametrize("bad", [COLUMNS, 10**6, -1, -(10**6)])
@pytest.mark.parametrize("part", ["indices", "indptr"])
@pytest.mark.parametrize("wide", [False, True])
def test_columns_of_a_sparse_array_are_those_from_the_beginning(bad: int, part: str, wide: bool, rng) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    X = sparse.csr_array((rng.normal(size=(ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < 0.3)).astype("float32"))
    if wide:
        X.indices, X.indptr = X.indices.astype("int64"), X.indptr.astype("int64")
    y = rng.normal(size=(ROWS, 1))

    def net_of() -> fb.Sequential:
        return fb.Sequential(fb.Input(COLUMNS), fb.Dense(3, "tanh"), fb.Dense(1), seed=0)

    wanted = fitted(net_of(), X.copy(), y, nothing)

    def work() -> None:
        getattr(X, part)[1::3] = bad

    np.testing.assert_array_equal(fitted(net_of(), X, y, work), wanted)


@pytest.mark.parametrize("which", ["X", "cast", "y", "weights"])
def test_an_array_that_is_read_keeps_its_size_or_the_fit_says_so(which: str, rng) -> None:
    """NumPy resizes no array that has a weak reference; between two calls of the engine the size is compared."""
    arrays = {
        "X": rng.normal(size=(ROWS, COLUMNS)).astype("float32"),
        "cast": rng.normal(size=(ROWS, COLUMNS)),
        "y": rng.normal(size=(ROWS, 1)).astype("float32"),
        "weights": np.ones(ROWS, "float32"),
    }
    net = fb.Sequential(fb.Input(COLUMNS), fb.Dense(1), seed=0)
    X = arrays["cast" if which == "cast" else "X"]

    def work() -> None:
        arrays[which].resize((1, 1), refcheck=False)

    with pytest.raises((ValueError, BufferError), match=r"resize|bytes"):
        fitted(net, X, arrays["y"], work, sample_weight=arrays["weights"])
    net.fit(np.ones((4, COLUMNS)), np.ones((4, 1)))
    rest = np.ones((5, COLUMNS), np.float32)
    net.predict(rest)
    rest.resize((1, COLUMNS), refcheck=False)  # free again after the call
    assert rest.shape == (1, COLUMNS)


def test_labels_that_another_thread_changes(rng) -> None:
    """The labels of a step are copied before they are checked: it raises, or trains on labels that are right."""
    X, y = rng.normal(size=(64, COLUMNS)).astype("float32"), rng.integers(0, CLASSES, 64)
    good, stop = y.copy(), threading.Event()

    def change() -> None:
        while not stop.is_set():
            y[...] = 10**9
            y[...] = good

    net = fb.Sequential(fb.Input(COLUMNS), fb.Dense(64, "relu"), fb.Dense(CLASSES), seed=0)
    trainer, thread = fb.Trainer(net, "cross_entropy"), threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(3000):
            with contextlib.suppress(ValueError):
                assert np.isfinite(trainer.step(X, y))
    finally:
        stop.set()
        thread.join()
    assert np.isfinite(net.params).all()


def test_a_trainer_that_another_thread_saves_goes_on_to_the_same_bits(tmp_path) -> None:
    """Parameters, the optimizer's state and the place within the epoch are of one step."""
    X, y = np.random.default_rng(0).normal(size=(6000, 20)), np.arange(6000) % 5

    def trainer() -> fb.Trainer:
        net = fb.Sequential(fb.Input(20), fb.Dense(64, "tanh"), fb.Dropout(0.2), fb.Dense(5), seed=0)
        return fb.Trainer(net, "cross_entropy", "adam", seed=1, metrics=["accuracy"])

    settings = {"epochs": 30, "batch_size": 7, "threads": 1}
    train, paths = trainer(), []

    def save() -> None:
        while len(paths) < 12 and train.position() is None:
            time.sleep(0.001)
        while train.position() is not None and len(paths) < 12:
            path = tmp_path / f"{len(paths)}.safetensors"
            train.checkpoint(path)
            paths.append(path)

    saver = threading.Thread(target=save)
    saver.start()
    history = train.fit(X, y, **settings)
    saver.join()
    loaded = [(path, fb.Trainer.load(path)) for path in paths]
    within = [(path, again) for path, again in loaded if again.pending and again.pending.state["batch"]]
    assert within
    for path, again in [*within[:4], *loaded[-1:]]:
        if again.pending is not None:
            assert again.fit(X, y, resume=path, **settings).history == history.history
            np.testing.assert_array_equal(again.net.params, train.net.params)
