"""When and on what a fit is validated: epochs and batches that are left out, and what watches the numbers then."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from nets import small_data, small_net

X, Y = small_data("values")
BATCHES = [(X[k : k + 10], Y[k : k + 10]) for k in range(0, 50, 10)]


class Again:
    """What can be gone through again; counts how often, and what was taken."""

    def __init__(self) -> None:
        self.begun, self.taken = 0, 0

    def __iter__(self):
        self.begun += 1
        for batch in BATCHES:
            self.taken += 1
            yield batch


class Logs(fb.Callback):
    """Keeps the logs of all epochs."""

    def on_train_begin(self, trainer, history) -> None:
        self.logs = []

    def on_epoch_end(self, trainer, epoch, logs) -> None:
        self.logs.append(dict(logs))


def fit(epochs: int = 6, callbacks=(), net: fb.Sequential | None = None, **settings) -> fb.History:
    settings = {"validation_data": (X[:20] + 0.3, Y[:20]), "metrics": ["mae"], "batch_size": 10, **settings}
    return (net or small_net()).fit(X, Y, epochs=epochs, callbacks=[*callbacks], **settings)


@pytest.mark.parametrize("every", [1, 2, 4, 7])
def test_epochs_between_two_evaluations(every: int) -> None:
    logs, always = Logs(), fit().history
    history = fit(callbacks=[logs], validation_freq=every)
    for name in ("val_loss", "val_mae"):
        wanted = [value if (k + 1) % every == 0 else np.nan for k, value in enumerate(always[name])]
        np.testing.assert_array_equal(history.history[name], wanted)
    assert history.history["loss"] == always["loss"]
    assert ["val_loss" in one for one in logs.logs] == [(k + 1) % every == 0 for k in range(6)]
    last = np.array([np.nan, *always["val_loss"][every - 1 :: every]])[-1]
    assert f"val_loss {last:.4g}" in repr(history)
    assert history._repr_html_().startswith("<")


def test_some_batches_are_evaluated() -> None:
    source = Again()
    history = fit(validation_data=source, validation_steps=3)
    rows = np.concatenate([x for x, _ in BATCHES[:3]]), np.concatenate([y for _, y in BATCHES[:3]])
    wanted = fit(validation_data=rows).history
    assert history.history.keys() == wanted.keys()
    for name, values in wanted.items():
        assert history.history[name] == pytest.approx(values, rel=1e-12)
    assert (source.begun, source.taken) == (6, 18), "each epoch begins with the same batches, and takes no more"
    endless = fit(2, validation_data=itertools.cycle(BATCHES), validation_steps=3).history["val_loss"]
    nets = [small_net(), small_net()]
    fit(1, net=nets[0])
    fit(2, net=nets[1])
    parts = [BATCHES[:3], [*BATCHES[3:], BATCHES[0]]]  # the second epoch is given what comes next
    wanted = [net.evaluate(part)["loss"] for net, part in zip(nets, parts, strict=True)]
    assert endless == wanted
    seven = fit(1, validation_data=BATCHES, validation_steps=7).history["val_loss"]
    assert seven == [nets[0].evaluate([*BATCHES, *BATCHES[:2]])["loss"]]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"validation_freq": 0}, ValueError, "validation_freq must be at least 1, got 0"),
        ({"validation_freq": [1, 2]}, TypeError, "validation_freq"),
        ({"validation_steps": 3}, ValueError, "validation_steps is for validation data in batches"),
        ({"validation_data": None, "validation_steps": 3}, ValueError, "validation_steps is for validation data"),
        ({"validation_data": BATCHES, "validation_steps": 0}, ValueError, "validation_steps must be at least 1"),
        (
            {"validation_data": iter(BATCHES), "validation_steps": 3},
            ValueError,
            "the validation batches ended after 2 of the 3 of validation_steps; .* generator with validation_steps",
        ),
    ],
)
def test_misuse(settings: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        fit(**settings)


def test_what_is_watched_is_watched_when_it_is_there() -> None:
    """Patience counts evaluations, not epochs; the best is one of them."""
    stopping = fb.EarlyStopping(patience=2, mode="max", restore_best=True)  # which gets worse all the time
    history = fit(20, [stopping], validation_freq=3)
    assert len(history.epoch) == 9
    assert stopping.best_epoch == 2
    assert stopping.best == history.history["val_loss"][2]
    rates = Logs()
    reduce = fb.ReduceLROnPlateau(patience=1, factor=0.5, mode="max")
    lrs = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: rates.logs.append(trainer.optimizer.lr))
    fit(7, [rates, reduce, lrs], validation_freq=2, optimizer=fb.SGD(lr=0.01))
    assert [entry for entry in rates.logs if isinstance(entry, float)] == [0.01] * 3 + [0.005] * 2 + [0.0025] * 2


def test_a_schedule_that_watches_waits_for_an_evaluation() -> None:
    seen = []
    watch = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: seen.append(trainer.optimizer.schedule(0)))
    schedule = fb.schedules.OnPlateau(1e-9, factor=0.5, patience=0)  # so small a rate that nothing gets better
    fit(6, [watch], validation_freq=2, optimizer=fb.SGD(lr=schedule))
    assert seen == [1e-9] * 3 + [0.5e-9] * 2 + [0.25e-9]


def test_files_of_epochs_without_an_evaluation(tmp_path: Path) -> None:
    table, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    best = fb.ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True)
    each = fb.ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.3f}.safetensors")
    history = fit(5, [fb.CSVLogger(table), fb.JSONLogger(lines), best, each], validation_freq=2)
    with open(table, newline="") as file:
        cells = [row["val_loss"] for row in csv.DictReader(file)]
    wanted = history.history["val_loss"]
    assert [float(cell) if cell else np.nan for cell in cells] == pytest.approx(wanted, nan_ok=True)
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [entry.get("val_loss", np.nan) for entry in entries] == pytest.approx(wanted, nan_ok=True)
    names = {path.name for path in tmp_path.glob("[1-5]*")}
    assert names == {f"{k + 1}-{value:.3f}.safetensors" for k, value in enumerate(wanted)}
    assert best.best == np.nanmin(wanted)


def test_a_resumed_fit_is_validated_at_the_same_epochs(tmp_path: Path) -> None:
    path, whole, again = tmp_path / "run.safetensors", small_net(), small_net()
    stopping = fb.EarlyStopping(patience=2)
    wanted = fit(6, [stopping], whole, validation_freq=2).history
    fit(3, [fb.EarlyStopping(patience=2), fb.ModelCheckpoint(path)], validation_freq=2)
    second = fb.EarlyStopping(patience=2)
    found = fit(6, [second], again, validation_freq=2, resume=path).history
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
    np.testing.assert_array_equal(again.params, whole.params)
    assert second.best == stopping.best
