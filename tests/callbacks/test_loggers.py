"""Loggers: what is written is what the history has, to files and to writers of any make; and the rate finder."""

import csv
import json
import pickle
import sys

import numpy as np
import pytest

import fastbp as fb
from nets import Stop, StopsAt, small_data, small_net
from resumable import build, fit


def trained(callback: fb.Callback, epochs: int = 3, **settings) -> fb.History:
    X, y = small_data("indices")
    usual = {"loss": "cross_entropy", "optimizer": fb.Adam(lr=0.01), "metrics": ["accuracy"], "batch_size": 10}
    return small_net().fit(
        X, y, epochs=epochs, validation_data=(X[:9], y[:9]), callbacks=[callback], seed=1, **{**usual, **settings}
    )


class Writer:
    """Takes what any of the three services is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, dict]] = []
        self.closed = 0

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.entries.append((step, {name: value}))

    def log_metrics(self, values: dict, step: int) -> None:
        self.entries.append((step, values))

    def log(self, values: dict, step: int) -> None:
        self.entries.append((step, values))

    def close(self) -> None:
        self.closed += 1

    finish = close

    def by_name(self) -> dict:
        """name: [(step, value), ...]."""
        found: dict = {}
        for step, values in self.entries:
            for name, value in values.items():
                found.setdefault(name, []).append((step, value))
        return found


def wanted(history: fb.History, steps: list[int]) -> dict:
    numbers = {**history.history, "lr": [0.01] * len(steps)}
    return {name: list(zip(steps, values, strict=True)) for name, values in numbers.items()}


# Files


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_has_the_numbers_of_the_history_to_the_last_bit(separator: str, tmp_path) -> None:
    path = tmp_path / "log.csv"
    history = trained(fb.CSVLogger(path, separator))
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=separator))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values
    assert {float(row["lr"]) for row in rows} == {0.01}


def test_csv_quotes_names_that_need_it(tmp_path) -> None:
    path = tmp_path / "log.csv"
    X, y = small_data()
    small_net().fit(X, y, metrics=[fb.metrics.mae(name='a,"b"')], callbacks=[fb.CSVLogger(path)])
    with open(path, newline="") as file:
        assert next(csv.reader(file)) == ["epoch", "loss", 'a,"b"', "lr"]


def test_json_lines_of_epochs_and_batches(tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    history = trained(fb.JSONLogger(path, batches=4))
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    epochs = [entry for entry in entries if "epoch" in entry]
    assert [(entry["epoch"], entry["step"]) for entry in epochs] == [(0, 6), (1, 12), (2, 18)]
    for name, values in history.history.items():
        assert [entry[name] for entry in epochs] == values
    assert [entry["step"] for entry in entries if "batch_loss" in entry] == [4, 8, 12, 16]


def test_json_has_null_for_what_is_not_finite(tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    X, y = small_data()
    small_net().fit(X, y, metrics=[nothing], callbacks=[fb.JSONLogger(path)])
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["nothing"] is None


def nothing(y, output) -> float:
    return np.nan


@pytest.mark.parametrize("make", [fb.CSVLogger, fb.JSONLogger])
def test_files_are_written_anew_or_gone_on_with(make, tmp_path) -> None:
    path = tmp_path / "log"
    trained(make(path), epochs=2)
    first = path.read_text()
    trained(make(path), epochs=2)
    assert path.read_text() == first
    trained(make(path, append=True), epochs=2)
    assert path.read_text().splitlines() == first.splitlines() + first.splitlines()[make is fb.CSVLogger :]
    if make is fb.CSVLogger:
        with pytest.raises(ValueError, match="columns") as caught:
            trained(make(path, append=True), metrics=[])
        assert "accuracy" in str(caught.value)
        assert path.read_text().count("\n") == 5


@pytest.mark.parametrize("make", [fb.CSVLogger, lambda path: fb.JSONLogger(path, batches=5)])
def test_a_resumed_fit_leaves_the_file_of_one_that_was_not_interrupted(make, tmp_path) -> None:
    """The crash comes after lines that the checkpoint does not know of."""
    whole, broken, path = tmp_path / "whole", tmp_path / "broken", tmp_path / "run.safetensors"
    fit(build(), [make(whole)])
    with pytest.raises(Stop):
        fit(build(), [make(broken), fb.ModelCheckpoint(path, every=2), StopsAt(21)])
    assert broken.read_text() != whole.read_text()
    fit(build(), [make(broken)], resume=path)
    assert broken.read_text() == whole.read_text()


def test_each_line_is_there_before_the_fit_goes_on(tmp_path) -> None:
    path, counts = tmp_path / "log.csv", []
    logger = fb.CSVLogger(path)
    look = fb.LambdaCallback(on_epoch_end=lambda *_: counts.append(path.read_text().count("\n")))
    X, y = small_data()
    small_net().fit(X, y, epochs=3, callbacks=[logger, look])
    assert counts == [2, 3, 4]


# Services


def test_writers_get_what_the_history_has() -> None:
    for make, steps in (
        (fb.TensorBoardLogger, [0, 1, 2]),
        (fb.MlflowLogger, [0, 1, 2]),
        (fb.WandbLogger, [6, 12, 18]),
    ):
        writer = Writer()
        history = trained(make(writer))
        found = writer.by_name()
        if make is fb.WandbLogger:
            assert found.pop("epoch") == [(6, 0), (12, 1), (18, 2)]
        assert found == wanted(history, steps)
        assert not writer.closed, "a writer that is given belongs to the giver"


@pytest.mark.parametrize("make", [fb.TensorBoardLogger, fb.MlflowLogger, fb.WandbLogger])
def test_losses_of_batches_are_written_where_asked(make) -> None:
    writer = Writer()
    trained(make(writer, batches=5), epochs=2)
    assert [step for step, _ in writer.by_name()["batch_loss"]] == [5, 10]


def test_the_real_tensorboard(tmp_path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = trained(fb.TensorBoardLogger(folder=tmp_path / "logs"))
    reader = EventAccumulator(str(tmp_path / "logs"))
    reader.Reload()
    assert sorted(reader.Tags()["tensors"]) == sorted([*history.history, "lr"])
    for name, values in history.history.items():
        found = [(event.step, event.tensor_proto.float_val[0]) for event in reader.Tensors(name)]
        assert [step for step, _ in found] == [0, 1, 2]
        assert [value for _, value in found] == pytest.approx(values, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "package"),
    [(fb.TensorBoardLogger, "tensorboard"), (fb.MlflowLogger, "mlflow"), (fb.WandbLogger, "wandb")],
)
def test_a_package_is_wanted_only_where_no_writer_is_given(make, package: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    trained(make(Writer()))
    with pytest.raises(ImportError, match=f"pip install {package}"):
        trained(make())


def test_what_a_logger_makes_it_closes(monkeypatch) -> None:
    import types

    run = Writer()
    wandb = types.ModuleType("wandb")
    wandb.init = lambda: run
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    trained(fb.WandbLogger())
    assert run.closed == 1
    assert len(run.entries) == 3
    with pytest.raises(fb.DivergenceError):
        trained(fb.WandbLogger(), optimizer=fb.SGD(lr=1e30))
    assert run.closed == 2


# The learning rate


def finding(finder: fb.LearningRateFinder, optimizer="adam", rows: int = 200):
    X, y = small_data("indices", rows=rows)
    trainer = fb.Trainer(small_net(dropout=0.2), "cross_entropy", optimizer)
    trainer.fit(X, y, epochs=1, batch_size=10)
    other = pickle.loads(pickle.dumps(trainer.net))
    twin = fb.Trainer(other, "cross_entropy", pickle.loads(pickle.dumps(trainer.optimizer)))
    twin.chain.states[...], twin.chain.t, twin.chain.loss = trainer.chain.states, trainer.chain.t, trainer.chain.loss
    twin.optimizer.epoch, twin.rng = trainer.optimizer.epoch, pickle.loads(pickle.dumps(trainer.rng))
    trainer.fit(X, y, epochs=99, batch_size=10, callbacks=[finder])
    for one in (trainer, twin):
        one.fit(X, y, epochs=2, batch_size=10)
    np.testing.assert_array_equal(trainer.net.params, other.params, "the finder left traces")
    assert trainer.optimizer.lr == twin.optimizer.lr


def test_the_finder_tries_rates_and_puts_everything_back() -> None:
    finder = fb.LearningRateFinder(1e-5, 1e-2, steps=40)
    for lr in (0.01, fb.schedules.Exponential(0.01, 0.9), fb.schedules.Cosine(0.02, 70, per="epoch")):
        finding(finder, fb.Adam(lr=lr))
    assert len(finder.losses) == 40
    np.testing.assert_allclose(finder.lrs, 1e-5 * 1000 ** (np.arange(40) / 39))


@pytest.mark.parametrize("optimizer", [fb.SGD(lr=0.3), fb.Adam(lr=0.3)])
def test_the_finder_stops_where_the_loss_explodes(optimizer) -> None:
    finder = fb.LearningRateFinder(1e-4, 1e12, steps=300)
    finding(finder, optimizer)
    assert 10 <= len(finder.losses) < 290
    assert finder.suggestion < 100


def test_the_suggestion_is_where_the_loss_falls_steepest() -> None:
    """A loss known in advance: a logistic step down at 1e-3, an explosion at 1."""
    finder = fb.LearningRateFinder()
    finder.lrs = np.geomspace(1e-6, 10, 100)
    place = np.log10(finder.lrs)
    finder.losses = 2 / (1 + np.exp(2 * (place + 3))) + 0.1 + 10 ** (3 * place)
    assert finder.suggestion == pytest.approx(1e-3, rel=0.3)
    np.testing.assert_allclose(finder.smoothed[:40], finder.losses[:40], atol=0.05)


def test_the_finders_picture() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    finder = fb.LearningRateFinder()
    with pytest.raises(ValueError, match="0 batches, it needs 10"):
        finder.plot()
    finding(finder)
    ax = finder.plot()
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "learning rate"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), finder.losses)
    assert f"{finder.suggestion:.2g}" in ax.lines[2].get_label()
    mpl.pyplot.close("all")


def test_the_finder_does_without_matplotlib(monkeypatch) -> None:
    finder = fb.LearningRateFinder()
    finding(finder)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        finder.plot()


# Progress


@pytest.mark.parametrize(
    ("kind", "terminal", "notebook"), [("lines", False, False), ("bar", True, False), ("bar", False, True)]
)
def test_progress_suits_where_it_is_shown(kind: str, terminal: bool, notebook: bool, monkeypatch, capsys) -> None:
    from fastbp.callbacks import progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setitem(sys.modules, "ipykernel", object()) if notebook else None
    bar = fb.ProgressBar()
    bar.on_train_begin(None, type("History", (), {"params": {"epochs": 2, "batch_size": 3, "rows": 9}}))
    assert type(bar._shown) is progress.KINDS[kind]
    bar.on_close(None)


def test_the_real_tqdm(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # room for all numbers
    trained(fb.ProgressBar("bar"))
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3" in err
    assert "100%" in err
    assert "val_accuracy" in err


BAD = {
    "no writer": (lambda: fb.TensorBoardLogger(3), TypeError, ["writer", "add_scalar", "int"]),
    "no mlflow run": (lambda: fb.MlflowLogger("run"), TypeError, ["run", "log_metrics", "str"]),
    "no wandb run": (lambda: fb.WandbLogger(object()), TypeError, ["run", "log", "object"]),
    "no batches": (lambda: fb.JSONLogger("a", batches=0), ValueError, ["batches", "1", "0"]),
    "no path": (lambda: fb.CSVLogger(None), TypeError, ["path", "None"]),
    "a long separator": (lambda: fb.CSVLogger("a", ", "), ValueError, ["separator", "', '"]),
    "a point between numbers": (lambda: fb.CSVLogger("a", "."), ValueError, ["separator", "'.'"]),
    "rates turned round": (lambda: fb.LearningRateFinder(1.0, 0.1), ValueError, ["low", "high", "1", "0.1"]),
    "a rate of zero": (lambda: fb.LearningRateFinder(0.0), ValueError, ["0 < low"]),
    "one step": (lambda: fb.LearningRateFinder(steps=1), ValueError, ["steps", "2", "1"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_when_made(case: str) -> None:
    call, error, words = BAD[case]
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
