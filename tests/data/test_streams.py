"""Batches from lists, generators and DataLoaders, and through a function: the bits of the same rows in arrays."""

import itertools

import numpy as np
import pytest

import fastbp as fb
from nets import Recorder, small_net

ROWS, BATCH = 53, 8
KINDS = {"mse": "values", "cross_entropy": "indices"}


def data(loss: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(ROWS, 4))
    return X, rng.integers(3, size=ROWS) if loss == "cross_entropy" else rng.normal(size=(ROWS, 3))


def in_batches(X: np.ndarray, y: np.ndarray, *weights: np.ndarray) -> list[tuple]:
    return [tuple(array[k : k + BATCH] for array in (X, y, *weights)) for k in range(0, len(X), BATCH)]


class Again:
    """What can be gone through again, and is no list."""

    def __init__(self, batches: list) -> None:
        self.batches, self.times = batches, 0

    def __iter__(self):
        self.times += 1
        return iter(self.batches)


def trained(*args, dtype="float64", loss="mse", metrics=("r2",), **options) -> tuple:
    """Everything that a fit leaves behind."""
    net = small_net(np.dtype(dtype).name, dropout=0.3)
    trainer = fb.Trainer(net, loss, "adam", metrics=metrics, seed=2)
    history = trainer.fit(*args, **options)
    rng = trainer.rng.bit_generator.state
    return history.history, history.samples, net.params.tolist(), net.draws, trainer.chain.t, rng


def assert_alike(found: tuple, wanted: tuple) -> None:
    """The same bits, but for the sums of a validation."""
    assert found[1:5] == wanted[1:5]
    for name, values in wanted[0].items():
        assert found[0][name] == (pytest.approx(values, rel=1e-12) if name.startswith("val_") else values)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("loss", KINDS)
def test_batches_are_the_rows_of_arrays(loss: str, threads: int, dtype: np.dtype) -> None:
    X, y = data(loss)
    options = {"epochs": 2, "threads": threads, "dtype": dtype, "loss": loss}
    options["metrics"] = ["accuracy"] if loss == "cross_entropy" else ["mae"]
    wanted = trained(X, y, batch_size=BATCH, shuffle=False, validation_data=(X, y), **options)
    parts = in_batches(X, y)
    for source in (parts, Again(parts), tuple(parts), [[list(x), t] for x, t in parts]):
        assert_alike(trained(source, validation_data=parts, **options), wanted)
        assert_alike(trained(source, validation_data=Again(parts), **options), wanted)
    generator = (part for part in itertools.cycle(parts))
    steps = len(parts)
    assert trained(generator, steps_per_epoch=steps, validation_data=(X, y), **options)[:5] == wanted[:5]
    assert trained(parts, steps_per_epoch=steps, validation_data=(X, y), **options)[:5] == wanted[:5]


def test_evaluate_takes_batches(dtype: np.dtype) -> None:
    X, y = data("mse")
    w = np.linspace(0.5, 2, ROWS)
    net = small_net(dtype.name)
    for weights in ((), (w,)):
        wanted = net.evaluate(X, y, sample_weight=weights[0] if weights else None, metrics=["r2", "mae"])
        for batches in (in_batches(X, y, *weights), iter(in_batches(X, y, *weights))):
            assert net.evaluate(batches, metrics=["r2", "mae"]) == pytest.approx(wanted, rel=1e-12)


def test_weights_come_with_the_batches(dtype: np.dtype) -> None:
    X, y = data("cross_entropy")
    w = np.linspace(0.5, 2, ROWS)
    options = {"dtype": dtype, "loss": "cross_entropy", "metrics": (), "class_weight": {1: 3.0}}
    wanted = trained(X, y, sample_weight=w, batch_size=BATCH, shuffle=False, **options)
    assert trained(in_batches(X, y, w), **options)[:5] == wanted[:5]


def test_a_loader_of_torch() -> None:
    torch = pytest.importorskip("torch")
    X, y = data("cross_entropy")
    tensors = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y))
    loader = torch.utils.data.DataLoader(tensors, batch_size=BATCH)
    options = {"loss": "cross_entropy", "metrics": ["accuracy"], "epochs": 2}
    wanted = trained(X, y, batch_size=BATCH, shuffle=False, validation_data=(X, y), **options)
    assert_alike(trained(loader, validation_data=loader, **options), wanted)
    shuffled = torch.utils.data.DataLoader(tensors, batch_size=BATCH, shuffle=True)
    assert len(trained(shuffled, **options)[0]["loss"]) == 2


def test_several_inputs_and_outputs(dtype: np.dtype) -> None:
    rng = np.random.default_rng(0)
    A, B, y, z = (rng.normal(size=(ROWS, width)) for width in (4, 2, 3, 1))

    def net() -> fb.Model:
        a, b = fb.Input(4), fb.Input(2)
        h = fb.Dense(5, "tanh")(fb.Concatenate()(a, b))
        return fb.Model([a, b], [fb.Dense(3)(h), fb.Dense(1)(h)], dtype=dtype, seed=1)

    one, other = net(), net()
    one.fit((A, B), (y, z), loss=("mse", "mse"), batch_size=BATCH, shuffle=False)
    cut = [tuple(M[k : k + BATCH] for M in (A, B, y, z)) for k in range(0, ROWS, BATCH)]
    parts = [((a, b), (c, d)) for a, b, c, d in cut]
    other.fit(parts, loss=("mse", "mse"))
    np.testing.assert_array_equal(one.params, other.params)
    third = net()
    third.fit((A, B), (y, z), loss=("mse", "mse"), batch_size=BATCH, shuffle=False, augment=lambda X, y, rng: (X, y))
    np.testing.assert_array_equal(one.params, third.params)


def test_batches_of_different_sizes_weigh_by_their_rows(dtype: np.dtype) -> None:
    X, y = data("mse")
    parts = [(X[:1], y[:1]), (X[1:30], y[1:30]), (X[30:], y[30:])]
    net = small_net(dtype.name)
    history = net.fit(parts, optimizer=fb.SGD(0.0), metrics=["mae"])
    assert history.history["loss"][0] == pytest.approx(net.evaluate(X, y)["loss"], rel=1e-5)
    assert history.history["mae"][0] == pytest.approx(net.evaluate(X, y, metrics=["mae"])["mae"], rel=1e-5)


def test_sparse_batches_and_bytes(dtype: np.dtype) -> None:
    sp = pytest.importorskip("scipy.sparse")
    X, y = data("mse")
    X = np.round(X)
    wanted = trained(in_batches(X, y), dtype=dtype)
    assert trained([(sp.csr_array(x), t) for x, t in in_batches(X, y)], dtype=dtype) == wanted
    assert trained([(x.astype(np.int8), t) for x, t in in_batches(X, y)], dtype=dtype) == wanted


def test_callbacks_see_each_batch_and_stop(dtype: np.dtype) -> None:
    class Stop(Recorder):
        def on_batch_end(self, trainer, batch, logs):
            self.calls.append(f"batch {batch}")
            return batch == 2

    stop = Stop()
    history, samples, *_ = trained(in_batches(*data("mse")), epochs=5, callbacks=[stop], dtype=dtype)
    assert stop.calls == ["train begin", "epoch 0 begin", "batch 0", "batch 1", "batch 2", "epoch 0 end", "train end"]
    assert samples == 3 * BATCH
    assert len(history["loss"]) == 1


def test_steps_per_epoch_go_on_where_the_last_epoch_ended(dtype: np.dtype) -> None:
    X, y = data("mse")
    parts = in_batches(X, y)
    seen = []

    def tap(batches):
        for k, part in enumerate(batches):
            seen.append(k)
            yield part

    trained(tap(parts), steps_per_epoch=3, epochs=2, dtype=dtype)
    assert seen == [0, 1, 2, 3, 4, 5]
    again = Again(parts)
    trained(again, steps_per_epoch=5, epochs=3, dtype=dtype)
    assert again.times == 3, "7 batches begin again in the second and the third epoch"


# Augmentation


def noise(X, y, rng):
    X += rng.normal(size=X.shape)
    return X, y


@pytest.mark.parametrize("source", ["arrays", "bytes", "batches"])
def test_what_augment_does_to_each_batch(source: str, dtype: np.dtype) -> None:
    """The specification: the order of the epoch, then batch by batch, all from the trainer's generator."""
    X, y = data("mse")
    X = np.round(X).astype(np.int8) if source == "bytes" else X
    net = small_net(dtype.name)
    trainer, rng, before = fb.Trainer(net.copy(), "mse", "adam", seed=2), np.random.default_rng(2), X.copy()
    args = (in_batches(X, y),) if source == "batches" else (X, y)
    trainer.fit(*args, batch_size=BATCH, augment=noise, epochs=2)
    np.testing.assert_array_equal(X, before)
    by_hand = fb.Trainer(net, "mse", "adam")
    for _ in range(2):
        order = np.arange(ROWS) if source == "batches" else rng.permutation(ROWS)
        for k in range(0, ROWS, BATCH):
            rows = order[k : k + BATCH]
            by_hand.step(*noise(X[rows].astype(dtype), y[rows], rng))
    np.testing.assert_array_equal(trainer.net.params, net.params)


def test_augment_that_changes_nothing(dtype: np.dtype) -> None:
    X, y = data("mse")
    options = {"epochs": 2, "batch_size": BATCH, "dtype": dtype, "sample_weight": np.linspace(1, 2, ROWS)}
    wanted = trained(X, y, **options)
    for threads in (1, 2, 8):
        assert trained(X, y, augment=lambda X, y, rng: (X, y), threads=threads, **options) == wanted


def test_a_stopped_fit_goes_on_with_the_same_noise(tmp_path, dtype: np.dtype) -> None:
    X, y = data("mse")
    nets = []
    for stops in (False, True):
        trainer = fb.Trainer(small_net(dtype.name), "mse", "adam", seed=2)
        trainer.fit(X, y, batch_size=BATCH, augment=noise, epochs=1)
        if stops:
            trainer.save(tmp_path / "trainer.safetensors")
            trainer = fb.Trainer.load(tmp_path / "trainer.safetensors")
        trainer.fit(X, y, batch_size=BATCH, augment=noise, epochs=1)
        nets.append(trainer.net)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def test_augment_may_change_the_rows_and_the_labels(dtype: np.dtype) -> None:
    X, y = data("mse")
    history = trained(X, y, batch_size=BATCH, augment=lambda X, y, rng: (X[:2], y[:2] * 2), dtype=dtype)
    assert history[1] == 7 * 2


# Misuse


def third(part: tuple) -> list[tuple]:
    X, y = data("mse")
    parts = in_batches(X, y)
    parts[2] = part
    return parts


X, Y = data("mse")


@pytest.mark.parametrize(
    ("batches", "error", "message"),
    [
        (third((X[:8, :3], Y[:8])), ValueError, r"^X of batch 3 must have shape \(rows, 4\), got \(8, 3\)"),
        (third((X[:8], Y[:7])), ValueError, "^y of batch 3 has 7 rows, X has 8"),
        (third((X[:8] * np.nan, Y[:8])), ValueError, "^X of batch 3 has a NaN at row 0, column 0"),
        (third((X[:8], Y[:8], np.inf * np.ones(8))), ValueError, "^sample_weight of batch 3 has an infinity"),
        (third((X[:0], Y[:0])), ValueError, "^X of batch 3 has no rows"),
        (third(X[:8]), TypeError, r"^batch 3 must be \(X, y\) or \(X, y, sample_weight\), got an array"),
        (third((X[:8],)), TypeError, r"^batch 3 must be \(X, y\)"),
        ([], ValueError, "^the batches ended after 0; pass what can be gone through again"),
        (X, TypeError, r"^y is None, and X no iterable of batches \(X, y\) but ndarray"),
        ("text", TypeError, "^y is None, and X no iterable of batches"),
        (None, TypeError, "None"),
        (7, TypeError, "no iterable of batches .* but int"),
    ],
)
def test_bad_batches(batches, error, message: str) -> None:
    net = small_net()
    with pytest.raises(error, match=message):
        net.fit(batches)
    with pytest.raises(error, match=message):
        net.evaluate(batches)


def test_an_iterator_is_used_up_in_the_second_epoch() -> None:
    net = small_net()
    with pytest.raises(ValueError, match="the batches ended after 0; pass what can be gone through again"):
        net.fit(iter(in_batches(X, Y)), epochs=2)
    with pytest.raises(ValueError, match="the batches ended after 1 of the 3 of steps_per_epoch; pass what"):
        net.fit(iter(in_batches(X, Y)), epochs=3, steps_per_epoch=3)
    with pytest.raises(ValueError, match="the validation batches ended after 0; pass what"):
        net.fit(X, Y, validation_data=iter(in_batches(X, Y)), epochs=2)
    with pytest.raises(ValueError, match="validation X of batch 2 must have shape"):
        net.fit(X, Y, validation_data=[(X, Y), (X[:, :3], Y)])


def test_divergence_says_which_batch() -> None:
    net = small_net()
    with pytest.raises(fb.DivergenceError, match=r"\(epoch 1, batch \d+\)"):
        net.fit(in_batches(X, Y), optimizer=fb.SGD(1e200), epochs=9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"y": Y, "steps_per_epoch": 3}, ValueError, "steps_per_epoch is for batches"),
        ({"sample_weight": np.ones(ROWS)}, ValueError, "sample_weight is for arrays; batches are"),
        ({"class_weight": "balanced"}, ValueError, "class_weight 'balanced' wants all of y; for batches pass a dict"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch must be at least 1, got 0"),
        ({"augment": "flip"}, TypeError, "augment must be a name or a function|augment must be"),
        ({"augment": lambda X, y, rng: X}, TypeError, r"augment must return \(X, y\), got ndarray"),
        ({"augment": lambda X, y, rng: (X[:, :2], y)}, ValueError, r"X of batch 1 from augment must have shape"),
        ({"augment": lambda X, y, rng: (X * np.nan, y)}, ValueError, "X of batch 1 from augment has a NaN"),
        ({"validation_data": 3}, TypeError, "validation_data must be"),
        ({"validation_data": "Xy"}, TypeError, "validation_data must be"),
    ],
)
def test_misuse(options: dict, error, message: str) -> None:
    source = X if "y" in options else in_batches(X, Y)
    with pytest.raises(error, match=message):
        small_net().fit(source, **options)


@pytest.mark.parametrize("kind", ["lines", "line"])
def test_progress_without_a_number_of_rows(kind: str, capsys) -> None:
    small_net().fit(in_batches(X, Y), epochs=2, callbacks=[fb.ProgressBar(kind)])
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown
    assert "samples/s" in shown


def test_a_checkpoint_between_epochs_is_resumed(tmp_path, dtype: np.dtype) -> None:
    wanted = fb.Trainer(small_net(dtype.name), "mse", "adam", seed=1)
    wanted.fit(X, Y, augment=noise, epochs=4)
    path = tmp_path / "fit.safetensors"
    first = fb.Trainer(small_net(dtype.name), "mse", "adam", seed=1)
    first.fit(X, Y, augment=noise, epochs=2, callbacks=[fb.ModelCheckpoint(path)])
    named = fb.ModelCheckpoint(tmp_path / "{batch}.safetensors")
    small_net().fit(in_batches(X, Y), callbacks=[named])
    assert named.last.endswith("7.safetensors")
    second = fb.Trainer(small_net(dtype.name), "mse", "adam", seed=1)
    history = second.fit(X, Y, augment=noise, epochs=4, resume=path)
    assert len(history.history["loss"]) == 4
    np.testing.assert_array_equal(second.net.params, wanted.net.params)
