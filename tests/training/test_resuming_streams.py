"""Checkpoints within an epoch of batches that come: the bits of the uninterrupted fit, or a clear refusal."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from nets import Recorder, Stop, StopsAt, everything, small_data, small_net

ROWS, BATCH = 53, 8  # 7 batches, the last of 5 rows
X, Y = small_data("indices", ROWS)


class Again:
    """What can be gone through again, and is no list."""

    def __init__(self, batches: list) -> None:
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def batches() -> list[tuple]:
    return [(X[k : k + BATCH], Y[k : k + BATCH]) for k in range(0, ROWS, BATCH)]


def loader():
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(tensors, batch_size=BATCH)


def noise(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> tuple:
    """Other rows, other labels: all of it counts in the metrics."""
    kept = rng.permutation(len(X))[:-1]
    return X[kept] + rng.normal(size=X[kept].shape), (y[kept] + rng.integers(2)) % 3


SOURCES: dict[str, tuple[Callable[[], tuple], dict]] = {
    "list": (lambda: (batches(),), {}),
    "again": (lambda: (Again(batches()),), {}),
    "loader": (lambda: (loader(),), {}),
    "some of them": (lambda: (Again(batches()),), {"steps_per_epoch": 5}),
    "more of them": (lambda: (batches(),), {"steps_per_epoch": 9}),
    "augmented batches": (lambda: (batches(),), {"augment": noise}),
    "augmented arrays": (lambda: (X, Y), {"augment": noise, "batch_size": BATCH}),
}


def build(metrics=("accuracy", "log_loss"), seed: int = 5) -> fb.Trainer:
    return fb.Trainer(small_net(dropout=0.3, seed=seed), "cross_entropy", fb.Adam(lr=0.01), metrics=metrics)


def fit(trainer: fb.Trainer, source: str, callbacks=(), **settings) -> fb.History:
    make, own = SOURCES[source]
    return trainer.fit(*make(), callbacks=[*callbacks], **{"epochs": 3, "validation_data": (X, Y), **own, **settings})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("crash", [1, 3, 4, 7, 8, 10, 13])
def test_a_resumed_stream_is_the_uninterrupted_one(source: str, crash: int, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = build()
    wanted = everything(whole, fit(whole, source))
    with pytest.raises(Stop):
        fit(build(), source, [fb.ModelCheckpoint(path, unit="batches"), StopsAt(crash)])
    again = build(seed=77)
    assert everything(again, fit(again, source, resume=path)) == wanted
    loaded = fb.Trainer.load(path)
    assert everything(loaded, fit(loaded, source, resume=True)) == wanted


@pytest.mark.parametrize("source", ["list", "some of them", "augmented arrays"])
def test_between_epochs_too_and_without_metrics(source: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole, again = build(()), build((), seed=77)
    wanted = everything(whole, fit(whole, source, epochs=5))
    fit(build(()), source, [fb.ModelCheckpoint(path)], epochs=2)
    assert everything(again, fit(again, source, epochs=5, resume=path)) == wanted


def test_batches_that_were_done_are_told_to_nobody_again(tmp_path: Path) -> None:
    class Watch(Recorder):
        def on_batch_end(self, trainer, batch, logs):
            self.calls.append(f"batch {batch}")

    path, watch = tmp_path / "run.safetensors", Watch()
    with pytest.raises(Stop):
        fit(build(), "list", [fb.ModelCheckpoint(path, unit="batches"), StopsAt(12)])
    fit(build(), "list", [watch], resume=path, epochs=2)
    assert watch.calls == ["train begin", "epoch 1 begin", "batch 5", "batch 6", "epoch 1 end", "train end"]


def test_a_fit_that_was_stopped_within_an_epoch_stays_stopped(tmp_path: Path) -> None:
    path, whole, again = tmp_path / "run.safetensors", build(), build(seed=77)
    stop = fb.LambdaCallback(on_batch_end=lambda trainer, batch, logs: batch == 2)
    history = fit(whole, "augmented arrays", [stop, fb.ModelCheckpoint(path, unit="batches")])
    assert history.samples == 3 * (BATCH - 1)
    assert everything(again, fit(again, "augmented arrays", resume=path)) == everything(whole, history)


def interrupted(path: Path, source: str = "list") -> Path:
    with pytest.raises(Stop):
        fit(build(), source, [fb.ModelCheckpoint(path, unit="batches"), StopsAt(3)])
    return path


def test_what_can_be_gone_through_once_is_resumed_between_epochs_only(tmp_path: Path) -> None:
    path, trainer = interrupted(tmp_path / "run.safetensors"), build(seed=77)
    before = trainer.net.params.copy()
    for source in (iter(batches()), (batch for batch in batches())):
        with pytest.raises(ValueError, match=r"within an epoch.* only once, such as a generator, is resumed between"):
            trainer.fit(source, validation_data=(X, Y), resume=path)
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == 0
    endless, whole, first = itertools.cycle(batches()), build(), build()
    wanted = everything(whole, whole.fit(itertools.cycle(batches()), steps_per_epoch=5, epochs=4))
    first.fit(endless, steps_per_epoch=5, epochs=2, callbacks=[fb.ModelCheckpoint(path)])
    assert everything(trainer, trainer.fit(endless, steps_per_epoch=5, epochs=4, resume=path)) == wanted


@pytest.mark.parametrize(
    ("source", "settings", "words"),
    [
        (batches()[:2], {}, "the batches ended after 2; the checkpoint was written after 3"),
        (batches()[::-1], {}, "batch 1 has 5 rows here and 8 in the checkpoint, which was written within an epoch"),
        (batches(), {"steps_per_epoch": 5}, "steps_per_epoch is None in the checkpoint and 5 here"),
        (batches(), {"validation_data": None}, "the history has loss, accuracy, log_loss, val_loss, "),
    ],
)
def test_other_batches_are_refused(source: list, settings: dict, words: str, tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match=words):
        build().fit(source, **{"validation_data": (X, Y), "epochs": 3, "resume": path, **settings})


def test_an_iterable_that_has_shrunk_between_epochs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fit(build(), "some of them", [fb.ModelCheckpoint(path)], epochs=1)
    with pytest.raises(ValueError, match="the batches ended after 4; the checkpoint was written after 5"):
        build().fit(batches()[:4], validation_data=(X, Y), steps_per_epoch=5, epochs=3, resume=path)


@pytest.mark.parametrize("key", ["place", "fit.rows", "fit.losses", "fit.outputs.0"])
def test_a_damaged_place_is_a_clear_error(key: str, tmp_path: Path) -> None:
    from fastbp.files import model_file, safetensors

    path, bad = interrupted(tmp_path / "run.safetensors"), tmp_path / "bad.safetensors"
    arrays, metadata = safetensors.read(path)
    state = model_file.decoded(metadata, "fastbp.fit")
    if key == "place":
        metadata = {**metadata, "fastbp.fit": model_file.encoded({**state, key: -1})}
    else:
        arrays = {**arrays, key: arrays[key][:-1]}
    safetensors.write(bad, arrays, metadata)
    with pytest.raises(ValueError, match=key):
        fit(build(), "list", resume=bad)


DAMAGES = {
    "no losses": lambda arrays: arrays.pop("fit.losses"),
    "fewer losses": lambda arrays: arrays.update({"fit.losses": arrays["fit.losses"][:1]}),
    "a batch of no rows": lambda arrays: arrays.update({"fit.rows": 0 * arrays["fit.rows"]}),
    "a batch of many rows": lambda arrays: arrays.update({"fit.rows": arrays["fit.rows"] + 2**55}),
    "no outputs": lambda arrays: arrays.pop("fit.outputs.0"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_batches_are_a_clear_error(damage: str, tmp_path: Path) -> None:
    from fastbp.files import safetensors

    path = tmp_path / "run.safetensors"
    with pytest.raises(Stop):
        fit(build(), "list", [fb.ModelCheckpoint(path, unit="batches"), StopsAt(3)])
    arrays, metadata = safetensors.read(path)
    DAMAGES[damage](arrays)
    safetensors.write(path, arrays, metadata)
    with pytest.raises(fb.ModelFormatError, match="does not hold what there was of the epoch"):
        fit(build(), "list", resume=path)
