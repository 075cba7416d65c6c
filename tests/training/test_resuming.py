"""Checkpoints: a fit that is resumed has the bits of one that was not interrupted; what does not belong is refused.

The uninterrupted run is the specification: parameters, optimizer, history and callbacks are compared for equality.
"""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from nets import OPTIMIZERS, Stop, StopsAt, everything, small_data, small_net
from resumable import build, comforts, fit


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("every", "unit", "crash"), [(1, "epochs", 15), (2, "epochs", 29), (4, "batches", 9), (5, "batches", 23)]
)
def test_a_resumed_fit_is_the_uninterrupted_one(optimizer, every, unit, crash, dtype, tmp_path: Path) -> None:
    """53 rows in batches of 10 are 6 batches an epoch; the checkpoint lies some batches before the crash."""
    path = tmp_path / "run.safetensors"
    whole = build(str(dtype), optimizer)
    wanted = everything(whole, fit(whole, comforts()))
    broken = build(str(dtype), optimizer)
    with pytest.raises(Stop):
        fit(broken, [*comforts(), fb.ModelCheckpoint(path, every=every, unit=unit), StopsAt(crash)])
    again = build(str(dtype), optimizer, seed=77)
    assert everything(again, fit(again, comforts(), resume=path)) == wanted
    loaded = fb.Trainer.load(path)
    assert everything(loaded, fit(loaded, comforts(), resume=True)) == wanted


@pytest.mark.parametrize("batch", range(1, 13))
def test_every_batch_is_a_place_to_resume_from(batch: int, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = build()
    wanted = everything(whole, fit(whole, epochs=3))
    with pytest.raises(Stop):
        fit(build(), [fb.ModelCheckpoint(path, every=1, unit="batches"), StopsAt(batch)], epochs=3)
    again = build()
    assert everything(again, fit(again, epochs=3, resume=path)) == wanted


def test_a_fit_that_ended_goes_on_to_more_epochs(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = build()
    wanted = everything(whole, fit(whole, epochs=5))
    fit(build(), [fb.ModelCheckpoint(path)], epochs=2)
    again = build()
    assert everything(again, fit(again, epochs=5, resume=path)) == wanted
    same = build()
    history = fit(same, epochs=2, resume=path)
    assert history.epoch == [0, 1]


def test_a_fit_that_was_stopped_stays_stopped(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    settings = {"monitor": "val_accuracy", "patience": 2, "mode": "min", "restore_best": True}
    whole = build()
    first = fit(whole, [fb.ModelCheckpoint(path), fb.EarlyStopping(**settings)], epochs=30)
    assert 3 <= len(first.epoch) < 30
    again, stopping = build(), fb.EarlyStopping(**settings)
    history = fit(again, [stopping], epochs=30, resume=path)
    assert history.history == first.history
    assert stopping.best_epoch == len(first.epoch) - 3
    np.testing.assert_array_equal(again.net.params, whole.net.params)


def test_callbacks_by_batch_keep_their_beat(tmp_path: Path) -> None:
    """Every 4 of 6 batches an epoch: the resumed fit is called where the whole one was."""
    path, calls = tmp_path / "run.safetensors", {}
    for name in ("whole", "resumed"):
        seen = calls[name] = []

        def note(trainer, batch, logs, seen=seen) -> None:
            seen.append((trainer.chain.t, batch))

        watch = fb.LambdaCallback(every=4, on_batch_end=note)
        if name == "whole":
            fit(build(), [watch])
        else:
            with pytest.raises(Stop):
                fit(build(), [fb.ModelCheckpoint(path, every=5, unit="batches"), watch, StopsAt(11)])
            del seen[2:]  # what comes after the checkpoint at step 10
            fit(build(), [watch], resume=path)
    assert calls["resumed"] == calls["whole"]


def test_no_shuffle_and_no_metrics(tmp_path: Path) -> None:
    X, y = small_data()
    path = tmp_path / "run.safetensors"
    settings = {"optimizer": "adam", "epochs": 3, "batch_size": 10, "shuffle": False}
    whole, broken, again = small_net(), small_net(), small_net()
    wanted = whole.fit(X, y, **settings)
    with pytest.raises(Stop):
        broken.fit(X, y, callbacks=[fb.ModelCheckpoint(path, every=4, unit="batches"), StopsAt(10)], **settings)
    assert again.fit(X, y, resume=path, **settings).history == wanted.history
    np.testing.assert_array_equal(again.params, whole.params)


def test_python_functions_and_layers_are_restored_but_not_loaded(tmp_path: Path) -> None:
    X, y = small_data()
    path = tmp_path / "run.safetensors"

    def half(Y, t):
        return float(((Y - t) ** 2).sum() / 2), Y - t

    def worst(y, output):
        return float(np.abs(y - output).max())

    def make() -> fb.Trainer:
        cube = fb.Lambda(lambda X: X**3, lambda dY, X, Y: dY * 3 * X**2)
        net = fb.Sequential(fb.Input(4), fb.Dense(5), cube, fb.Dense(3), dtype="float64", seed=2)
        return fb.Trainer(net, half, fb.SGD(lr=1e-4, momentum=0.9), metrics=[worst])

    whole, broken, again = make(), make(), make()
    wanted = everything(whole, whole.fit(X, y, epochs=4, batch_size=10))
    broken.fit(X, y, epochs=2, batch_size=10, callbacks=[fb.ModelCheckpoint(path)])
    assert everything(again, again.fit(X, y, epochs=4, batch_size=10, resume=path)) == wanted
    with pytest.raises(fb.ModelFormatError, match=r"run\.safetensors"):
        fb.Trainer.load(path)
    plain = fb.Trainer(small_net(), half)
    plain.checkpoint(path)
    with pytest.raises(fb.ModelFormatError, match="half is a Python function"):
        fb.Trainer.load(path)
    with pytest.raises(TypeError, match="half"):
        plain.save(path)


# What does not belong


def other(*layers: fb.Dense, **settings) -> fb.Sequential:
    return fb.Sequential(fb.Input(4), *layers, **{"dtype": "float64", **settings})


def base() -> fb.Sequential:
    return other(fb.Dense(7, "tanh"), fb.Dense(3))


def branched(swap: bool) -> fb.Model:
    x = fb.Input(4)
    a, b = fb.Dense(4, name="a")(x), fb.Dense(4, name="b")(x)
    return fb.Model(x, (b - a) if swap else (a - b), dtype="float64")


DIFFERENT = {
    "units": (base, lambda: other(fb.Dense(8, "tanh"), fb.Dense(3)), ["units", "dense_1", "7 there", "8 here"]),
    "activation": (base, lambda: other(fb.Dense(7), fb.Dense(3)), ["activation", "dense_1", "tanh", "linear"]),
    "op": (base, lambda: other(fb.Dense(7, "tanh"), fb.Dropout(0.1)), ["op", "dense_2", "Dense", "Dropout"]),
    "more": (base, lambda: other(fb.Dense(7, "tanh"), fb.Dense(3), fb.Dense(2)), ["dense_3", "here and not there"]),
    "fewer": (base, lambda: other(fb.Dense(7, "tanh")), ["dense_2", "there and not here"]),
    "dtype": (base, lambda: other(fb.Dense(7, "tanh"), fb.Dense(3), dtype="float32"), ["dtype", "float64 there"]),
    "name": (base, lambda: other(fb.Dense(7, "tanh", name="h"), fb.Dense(3)), ["name", "dense_1", "h here"]),
    "bias": (base, lambda: other(fb.Dense(7, "tanh", bias=False), fb.Dense(3)), ["bias", "dense_1", "True", "False"]),
    "input": (
        base,
        lambda: fb.Sequential(fb.Input(5), fb.Dense(7, "tanh"), fb.Dense(3), dtype="float64"),
        ["width", "input_1", "4 there", "5 here"],
    ),
    "parents": (lambda: branched(False), lambda: branched(True), ["parents", "['a', 'b'] there", "['b', 'a'] here"]),
    "frozen": (
        base,
        lambda: other(fb.Dense(7, "tanh", trainable=False), fb.Dense(3)),
        ["trainable", "dense_1", "True there", "False here"],
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_another_network_is_refused_and_named(case: str, tmp_path: Path) -> None:
    there, here, words = DIFFERENT[case]
    path = tmp_path / "run.safetensors"
    fb.Trainer(there()).save(path)
    trainer = fb.Trainer(here())
    before = trainer.net.params.copy()
    with pytest.raises(ValueError, match=r"run\.safetensors holds another network") as caught:
        trainer.restore(path)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    np.testing.assert_array_equal(trainer.net.params, before)


def test_start_values_and_seeds_are_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    one = fb.Trainer(other(fb.Dense(3, weights="ones"), seed=1))
    one.save(path)
    trainer = fb.Trainer(other(fb.Dense(3, weights="zeros", biases=fb.initializers.normal()), seed=2))
    trainer.restore(path)
    np.testing.assert_array_equal(trainer.net.params, one.net.params)
    assert trainer.net.seed == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "cross_entropy"}, ["loss", "mse there", "cross_entropy here"]),
        ({"optimizer": "sgd"}, ["optimizer", "adam(", "sgd("]),
        ({"optimizer": fb.Adam(betas=(0.8, 0.999))}, ["optimizer", "betas=[0.9, 0.999]", "betas=[0.8, 0.999]"]),
        ({"metrics": ["mae", fb.metrics.r2(weighted=True)]}, ["metrics", "[] there", "[mae, r2(weighted=True)] here"]),
    ],
)
def test_another_training_is_refused_and_named(settings: dict, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fb.Trainer(base(), optimizer=fb.Adam(lr=0.5)).save(path)
    fb.Trainer(base(), optimizer=fb.Adam(lr=0.1)).restore(path)
    with pytest.raises(ValueError, match=r"run\.safetensors is of another training") as caught:
        fb.Trainer(base(), **settings).restore(path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 9}, ["batch_size", "10", "9"]),
        ({"shuffle": False}, ["shuffle", "True", "False"]),
        ({"validation_data": None}, ["history", "val_loss"]),
    ],
)
def test_another_epoch_is_refused_and_named(settings: dict, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(Stop):
        fit(build(), [fb.ModelCheckpoint(path, every=4, unit="batches"), StopsAt(9)])
    trainer = build(seed=77)
    before = trainer.net.params.copy()
    with pytest.raises(ValueError, match="checkpoint") as caught:
        fit(trainer, resume=path, **settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == 0


def test_nothing_to_resume(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    build().save(path)
    trainer = build(seed=77)
    before = trainer.net.params.copy()
    with pytest.raises(ValueError, match="no fit to resume"):
        fit(trainer, resume=path)
    np.testing.assert_array_equal(trainer.net.params, before)
    with pytest.raises(ValueError, match="no fit to resume"):
        fit(build(), resume=True)
    with pytest.raises(FileNotFoundError):
        fit(build(), resume=tmp_path / "none.safetensors")


# The files


def test_the_best_is_kept(tmp_path: Path) -> None:
    path, trainer = tmp_path / "best.safetensors", build()
    params = []
    record = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: params.append(trainer.net.params.copy()))
    best = fb.ModelCheckpoint(path, "val_accuracy", save_best_only=True, mode="min")
    history = fit(trainer, [best, record], epochs=8)
    values = history.history["val_accuracy"]
    assert best.best == min(values)
    assert 0 < np.argmin(values) < 7
    np.testing.assert_array_equal(fb.load(path).params, params[int(np.argmin(values))])


def test_fields_in_the_name_and_how_many_are_kept(tmp_path: Path) -> None:
    checkpoint = fb.ModelCheckpoint(tmp_path / "net-{epoch:02d}-{step}-{val_loss:.3f}.safetensors", every=2, keep=2)
    history = fit(build(), [checkpoint], epochs=7)
    wanted = [f"net-{k:02d}-{6 * k}-{history.history['val_loss'][k - 1]:.3f}.safetensors" for k in (4, 6)]
    assert sorted(path.name for path in tmp_path.iterdir()) == wanted
    assert checkpoint.last == str(tmp_path / wanted[-1])
    by_batch = fb.ModelCheckpoint(tmp_path / "b{epoch}-{batch}-{loss:.9f}.st", every=5, unit="batches")
    fit(build(), [by_batch], epochs=2)
    assert [path.name.rsplit("-", 1)[0] for path in sorted(tmp_path.glob("b*"))] == ["b1-5", "b2-4"]


def test_a_user_may_save_within_a_fit(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    whole = build()
    wanted = everything(whole, fit(whole, epochs=3))
    save = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: trainer.save(path))
    fit(build(), [save], epochs=2)
    again = fb.Trainer.load(path)
    assert everything(again, fit(again, epochs=3, resume=True)) == wanted


KILLED = """
import os, signal, sys
from fastbp.files import safetensors
from resumable import build, fit
import fastbp as fb

write, calls = safetensors._write_parts, []

def dies(file, header, buffers):
    calls.append(1)
    if len(calls) == 2:
        file.write(header[:100])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(file, header, buffers)

safetensors._write_parts = dies
fit(build(), [fb.ModelCheckpoint(sys.argv[1])])
"""


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(python, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    done = python("-c", KILLED, str(path))
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(os.listdir(tmp_path)) == 2, "the torn file should be there, under another name"
    whole, again = build(), build()
    wanted = everything(whole, fit(whole, epochs=3))
    assert everything(again, fit(again, epochs=3, resume=path)) == wanted


@pytest.mark.parametrize("key", ["batch", "batches", "rng", "history", "callbacks", "stopped", "seconds"])
@pytest.mark.parametrize("value", ["nothing", -1, [[1, 2]], {"loss": ["a"]}])
def test_a_damaged_place_is_a_clear_error(key: str, value, tmp_path: Path) -> None:
    from fastbp.files import model_file, safetensors

    path, bad = tmp_path / "run.safetensors", tmp_path / "bad.safetensors"
    fit(build(), [fb.ModelCheckpoint(path)], epochs=1)
    arrays, metadata = safetensors.read(path)
    state = model_file.decoded(metadata, "fastbp.fit")
    safetensors.write(bad, arrays, {**metadata, "fastbp.fit": model_file.encoded({**state, key: value})})
    trainer = build(seed=9)
    before = trainer.net.params.copy()
    with pytest.raises(fb.ModelFormatError, match=r"bad\.safetensors"):
        fit(trainer, resume=bad)
    np.testing.assert_array_equal(trainer.net.params, before)


@pytest.mark.parametrize("damage", [lambda state: state.pop("best"), lambda state: state.update(waited="long")])
@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "EarlyStopping"])
def test_a_damaged_state_of_a_callback_is_a_clear_error(name: str, damage, tmp_path: Path) -> None:
    from fastbp.files import model_file, safetensors

    path, bad = tmp_path / "run.safetensors", tmp_path / "bad.safetensors"
    fit(build(), [fb.ModelCheckpoint(path), *comforts()], epochs=1)
    arrays, metadata = safetensors.read(path)
    state = model_file.decoded(metadata, "fastbp.fit")
    damage(next(own for kind, own in state["callbacks"] if kind == name))
    safetensors.write(bad, arrays, {**metadata, "fastbp.fit": model_file.encoded(state)})
    with pytest.raises(fb.ModelFormatError, match=f"no state of {name} in the checkpoint"):
        fit(build(), comforts(), resume=bad)


BAD = {
    "keep none": (lambda: fb.ModelCheckpoint("a", keep=0), ValueError, ["keep", "1", "0"]),
    "every none": (lambda: fb.ModelCheckpoint("a", every=0), ValueError, ["every", "1", "0"]),
    "unknown unit": (lambda: fb.ModelCheckpoint("a", unit="steps"), ValueError, ["unit", "steps", "epochs", "batches"]),
    "best of batches": (
        lambda: fb.ModelCheckpoint("a", save_best_only=True, unit="batches"),
        ValueError,
        ["save_best_only", "epochs"],
    ),
    "no path": (lambda: fb.ModelCheckpoint(3), TypeError, ["path"]),
    "a field that is none": (lambda: fb.ModelCheckpoint("a{0}"), ValueError, ["field", "'0'", "a{0}"]),
    "an open brace": (lambda: fb.ModelCheckpoint("a{"), ValueError, ["'a{'"]),
    "an unknown field": (
        lambda: fit(build(), [fb.ModelCheckpoint("a{vall_loss}")]),
        ValueError,
        ["vall_loss", "val_loss", "epoch"],
    ),
    "an unknown monitor": (
        lambda: fit(build(), [fb.ModelCheckpoint("a", "val_f1", save_best_only=True)]),
        ValueError,
        ["val_f1", "val_accuracy"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_before_training(case: str) -> None:
    call, error, words = BAD[case]
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
