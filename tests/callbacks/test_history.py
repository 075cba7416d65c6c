"""What a fit gives back and shows: history, metrics, evaluation, batches, progress.

Values are compared with what `evaluate` and NumPy say about the same parameters.
"""

import pickle
import re
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

import fastbp as fb
import reference
from nets import OPTIMIZERS, Recorder, small_data, small_net


def test_the_history_is_that_of_keras() -> None:
    X, y = small_data("indices")
    net, Xv, yv = small_net(), X[:11] + 1, y[:11]
    recorder = Recorder()
    settings = {"loss": "cross_entropy", "metrics": ["accuracy"]}
    history = net.fit(X, y, epochs=4, batch_size=10, validation_data=(Xv, yv), callbacks=[recorder], seed=1, **settings)
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1, 2, 3]
    assert all(len(values) == 4 and all(type(v) is float for v in values) for values in history.history.values())
    for epoch, params in enumerate(recorder.params):
        net.params[...] = params
        wanted = net.evaluate(Xv, yv, **settings)
        assert history.history["val_loss"][epoch] == wanted["loss"]
        assert history.history["val_accuracy"][epoch] == wanted["accuracy"]
    assert history.seconds > 0
    assert history.samples_per_second > 0
    frame = history.to_frame()
    assert list(frame.columns) == list(history.history)
    assert frame.shape == (4, 4)


def test_training_metrics_are_of_the_passes_of_the_epoch() -> None:
    """One batch an epoch and a small step: the outputs before the update are those that are measured."""
    X, y = small_data("indices")
    net = small_net()
    before = net.evaluate(X, y, loss="cross_entropy", metrics=["accuracy"])
    history = net.fit(X, y, loss="cross_entropy", epochs=1, batch_size=53, metrics=["accuracy"], seed=1)
    assert history.history["accuracy"] == [before["accuracy"]]
    assert history.history["loss"][0] == pytest.approx(before["loss"], rel=1e-12)


def test_evaluation_and_validation_with_weights(rng: np.random.Generator) -> None:
    X, y = small_data()
    w = rng.uniform(0, 2, size=53)
    net = small_net()
    wanted = reference.loss("mse", net.predict(X), y, w)[0] / w.mean()
    assert net.evaluate(X, y, loss="mse", sample_weight=w)["loss"] == pytest.approx(wanted, rel=1e-12)
    history = net.fit(X, y, loss="mse", optimizer=fb.SGD(lr=0.0), validation_data=(X, y, w))
    assert history.history["val_loss"][0] == pytest.approx(wanted, rel=1e-12)


def test_evaluation_is_without_dropout() -> None:
    X, y = small_data()
    net, plain = small_net(dropout=0.5), small_net()
    plain.params[...] = net.params
    assert net.evaluate(X, y, loss="mse") == plain.evaluate(X, y, loss="mse")
    assert net.draws == 0


def test_training_leaves_its_arguments_alone() -> None:
    X, y = small_data()
    kept_X, kept_y = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    net = small_net()
    net.fit(X, y, epochs=2, seed=1)
    fb.Trainer(net).step(X, y)
    np.testing.assert_array_equal(X, kept_X)
    np.testing.assert_array_equal(y, kept_y)


def test_metrics_by_name_and_by_function() -> None:
    X, y = small_data()
    net = small_net()

    def worst(y: np.ndarray, output: np.ndarray) -> float:
        return float(np.abs(y - output).max())

    result = net.evaluate(X, y, loss="mse", metrics=["mae", "r2", worst])
    assert list(result) == ["loss", "mae", "r2", "worst"]
    assert result["worst"] == pytest.approx(np.abs(net.predict(X) - y).max())
    assert result["mae"] == pytest.approx(np.abs(net.predict(X) - y).mean())


def test_accuracy_of_logits_of_two_classes() -> None:
    X, _ = small_data()
    net = fb.Sequential(fb.Input(4), fb.Dense(1), dtype="float64", seed=1)
    y = (net.predict(X)[:, 0] > 0).astype(float)
    y[:13] = 1 - y[:13]
    result = net.evaluate(X, y, loss="binary_cross_entropy", metrics=["accuracy"])
    assert result["accuracy"] == pytest.approx(40 / 53)


# Batches


def test_batches_cover_the_rows_once() -> None:
    X, y = np.arange(46).reshape(23, 2), np.arange(23)
    seen = list(fb.batches(X, y, 5, seed=3))
    assert [len(xb) for xb, _ in seen] == [5, 5, 5, 5, 3]
    assert all((xb[:, 0] == 2 * yb).all() for xb, yb in seen)
    np.testing.assert_array_equal(np.concatenate([yb for _, yb in seen]), np.random.default_rng(3).permutation(23))
    assert [len(xb) for xb, _ in fb.batches(X, y, 5, seed=3, drop_last=True)] == [5, 5, 5, 5]
    in_order = np.concatenate([yb for _, yb in fb.batches(X, y, 5, shuffle=False)])
    np.testing.assert_array_equal(in_order, y)


def test_batches_take_a_generator_on() -> None:
    X, rng = np.arange(23).reshape(23, 1), np.random.default_rng(3)
    orders = [np.concatenate([yb for _, yb in fb.batches(X, X[:, 0], 5, seed=rng)]) for _ in range(2)]
    again = np.random.default_rng(3)
    np.testing.assert_array_equal(orders[0], again.permutation(23))
    np.testing.assert_array_equal(orders[1], again.permutation(23))


# Progress


def test_progress_is_a_line_an_epoch_on_standard_error(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    X, y = small_data("indices")
    small_net().fit(X, y, loss="cross_entropy", epochs=3, metrics=["accuracy"], progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 3
    assert all("loss" in line and "accuracy" in line and f"{k}/3" in line for k, line in enumerate(lines, 1))


def test_progress_is_one_refreshing_line_on_a_terminal(capsys, monkeypatch) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    X, y = small_data()
    small_net().fit(X, y, epochs=3, progress=True)
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert err.startswith("\r")
    assert "3/3" in err.rsplit("\r", 1)[1]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("kind", ["line", "bar"])
def test_progress_fits_the_terminal_by_whole_numbers(kind, columns, capsys, monkeypatch) -> None:
    if kind == "bar":
        pytest.importorskip("tqdm")
    monkeypatch.setenv("COLUMNS", str(columns))
    X, y = small_data("indices")
    given = {"metrics": ["accuracy", "f1"], "validation_split": 0.2, "epochs": 3}
    small_net().fit(X, y, loss="cross_entropy", callbacks=[fb.ProgressBar(kind)], **given)
    _, err = capsys.readouterr()
    lines = [line for line in err.replace("\n", "\r").split("\r") if "epoch 3/3" in line]
    assert lines
    for line in lines:
        assert len(line.rstrip()) < columns
        assert re.search(r"loss \d+\.\d{4}", line) or "loss" not in line
    assert all(name in lines[-1] for name in ("val_loss", "val_f1")) is (columns == 200)


def test_progress_is_a_bar_where_tqdm_is_installed(monkeypatch) -> None:
    class Bar:
        made: ClassVar[list] = []

        def __init__(self, **settings) -> None:
            self.total, self.n, self.closed = settings["total"], 0, False
            assert "{bar:10}" in settings["bar_format"]  # else a bar of one character in 100 columns
            Bar.made.append(self)

        def update(self, count: int) -> None:
            self.n += count

        def close(self) -> None:
            self.closed = True

        def set_description(self, *_, **__) -> None: ...
        def set_postfix_str(self, *_, **__) -> None: ...

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    X, y = small_data()
    small_net().fit(X, y, epochs=3, batch_size=10, progress=True)
    assert not Bar.made, "standard error is no terminal here"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    small_net().fit(X, y, epochs=3, batch_size=10, progress=True)
    (bar,) = Bar.made
    assert bar.n == bar.total == 3 * 53
    assert bar.closed


def test_a_frame_without_pandas_is_a_clear_error(monkeypatch) -> None:
    X, y = small_data()
    history = small_net().fit(X, y)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        history.to_frame()


@pytest.mark.parametrize("thing", [*(make() for make in OPTIMIZERS.values()), fb.losses.mse, fb.EarlyStopping()])
def test_what_configures_training_can_be_pickled(thing) -> None:
    again = pickle.loads(pickle.dumps(thing))
    assert type(again) is type(thing)
    assert getattr(again, "settings", None) == getattr(thing, "settings", None)


def test_no_progress_is_silence(capsys) -> None:
    X, y = small_data()
    small_net().fit(X, y, epochs=3)
    assert capsys.readouterr() == ("", "")


def test_progress_changes_no_bit(capsys, dtype: np.dtype) -> None:
    X, y = small_data()
    shown, silent = small_net(str(dtype)), small_net(str(dtype))
    shown.fit(X, y, epochs=2, seed=1, progress=True)
    silent.fit(X, y, epochs=2, seed=1, progress=False)
    np.testing.assert_array_equal(shown.params, silent.params)
