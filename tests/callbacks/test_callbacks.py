"""Callbacks: when they are called, what they may stop and change, and early stopping.

No callback may change a bit of what is computed.
"""

import numpy as np
import pytest

import fastbp as fb
from nets import BatchRecorder, Recorder, small_data, small_net


def test_hooks_are_called_in_order() -> None:
    X, y = small_data(rows=25)
    recorder = BatchRecorder()
    history = small_net().fit(X, y, epochs=2, batch_size=10, callbacks=[recorder])
    one = ["batch 0", "batch 1", "batch 2"]
    wanted = [
        "train begin",
        "epoch 0 begin",
        *one,
        "epoch 0 end",
        "epoch 1 begin",
        *one,
        "epoch 1 end",
        "train end",
    ]
    assert recorder.calls == wanted
    means = [np.dot(recorder.losses[k : k + 3], [10, 10, 5]) / 25 for k in (0, 3)]
    np.testing.assert_allclose(history.history["loss"], means, rtol=1e-12)


def test_a_callback_changes_no_bit(dtype: np.dtype) -> None:
    X, y = small_data()
    nets = [small_net(str(dtype), dropout=0.3) for _ in range(3)]
    for net, callbacks in zip(nets, ([], [Recorder()], [BatchRecorder(), Recorder()]), strict=True):
        net.fit(X, y, epochs=3, batch_size=10, seed=3, callbacks=callbacks, metrics=["mae"])
        np.testing.assert_array_equal(net.params, nets[0].params)


@pytest.mark.parametrize(
    ("hook", "epochs"),
    [("on_train_begin", 0), ("on_epoch_begin", 2), ("on_epoch_end", 3), ("on_batch_end", 3)],
)
def test_true_from_a_hook_stops(hook: str, epochs: int) -> None:
    X, y = small_data()

    class Stop(Recorder):
        pass

    def stop(self, trainer, position, logs=None) -> bool:
        return hook == "on_train_begin" or len(self.params) == 2

    setattr(Stop, hook, stop)
    recorder = Stop()
    if hook == "on_epoch_end":
        calls = iter([False, False, True, True])
        setattr(Stop, hook, lambda self, trainer, epoch, logs: next(calls))
    history = small_net().fit(X, y, epochs=9, batch_size=10, callbacks=[recorder])
    assert len(history.epoch) == epochs
    assert recorder.calls[-1] == "train end"


def test_a_hook_may_change_the_learning_rate() -> None:
    X, y = small_data()

    class Off(fb.Callback):
        def on_epoch_end(self, trainer, epoch, logs) -> None:
            trainer.optimizer.lr = 0.0

    once, more = small_net(), small_net()
    once.fit(X, y, optimizer=fb.SGD(lr=0.1), epochs=1, seed=3)
    more.fit(X, y, optimizer=fb.SGD(lr=0.1), epochs=4, seed=3, callbacks=[Off()])
    np.testing.assert_array_equal(once.params, more.params)


def test_an_error_in_a_hook_comes_out() -> None:
    X, y = small_data()

    class Fails(fb.Callback):
        def on_epoch_end(self, trainer, epoch, logs) -> None:
            raise LookupError("mine")

    net = small_net()
    with pytest.raises(LookupError, match="mine"):
        net.fit(X, y, callbacks=[Fails()])
    net.fit(X, y)


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_early_stopping_waits_its_patience(patience: int) -> None:
    X, y = small_data()
    stopping = fb.EarlyStopping(patience=patience)
    history = small_net().fit(
        X, y, optimizer=fb.SGD(lr=0.0), epochs=50, validation_data=(X, y), callbacks=[stopping], seed=3
    )
    assert len(history.epoch) == 1 + patience


@pytest.mark.parametrize("restore_best", [False, True])
def test_early_stopping_restores_the_best(restore_best: bool, dtype: np.dtype) -> None:
    """The validation targets are turned round, so the better the fit, the worse they are met."""
    X, y = small_data()
    recorder = Recorder()
    net = small_net(str(dtype))
    history = net.fit(
        X,
        y + 2,
        optimizer=fb.SGD(lr=0.005),
        epochs=60,
        validation_data=(X, y + 0.5),
        callbacks=[recorder, fb.EarlyStopping(patience=3, restore_best=restore_best)],
        seed=3,
    )
    best = int(np.argmin(history.history["val_loss"]))
    assert 0 < best == len(history.epoch) - 4 < 50
    np.testing.assert_array_equal(net.params, recorder.params[best if restore_best else -1])


def test_early_stopping_watches_the_loss_without_validation() -> None:
    X, y = small_data()
    history = small_net().fit(
        X,
        y,
        optimizer=fb.SGD(lr=0.0),
        epochs=50,
        batch_size=53,
        callbacks=[fb.EarlyStopping(patience=2)],
        shuffle=False,
    )
    assert len(history.epoch) == 3


@pytest.mark.parametrize("mode", ["auto", "max"])
def test_early_stopping_wants_more_accuracy(mode: str) -> None:
    X, _ = small_data()
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    recorder = Recorder()
    net = small_net()
    history = net.fit(
        X,
        y,
        loss="cross_entropy",
        optimizer=fb.Adam(lr=0.02),
        epochs=200,
        validation_data=(X, y),
        metrics=["accuracy"],
        callbacks=[recorder, fb.EarlyStopping("val_accuracy", patience=4, mode=mode, restore_best=True)],
        seed=3,
    )
    values = history.history["val_accuracy"]
    best = int(np.argmax(values))
    assert 0 < best == len(values) - 5
    np.testing.assert_array_equal(net.params, recorder.params[best])


def test_early_stopping_wants_min_delta() -> None:
    X, y = small_data()
    history = small_net().fit(
        X,
        y,
        optimizer=fb.SGD(lr=1e-5),
        epochs=50,
        validation_data=(X, y),
        callbacks=[fb.EarlyStopping(patience=3, min_delta=0.1)],
        seed=3,
    )
    values = history.history["val_loss"]
    assert values[-1] < values[0]
    assert len(values) == 4


def test_early_stopping_may_be_used_twice() -> None:
    X, y = small_data()
    stopping = fb.EarlyStopping(patience=2, restore_best=True)
    for _ in range(2):
        history = small_net().fit(
            X, y, optimizer=fb.SGD(lr=0.0), epochs=9, validation_data=(X, y), callbacks=[stopping]
        )
        assert len(history.epoch) == 3


@pytest.mark.parametrize("ends_by", [fb.DivergenceError, KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("of_batches", [False, True])
def test_the_best_parameters_stay_however_a_fit_ends(ends_by: type[BaseException], of_batches: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = X[:, 0]
    net = fb.Sequential(fb.Input(4), fb.Dense(6, "tanh"), fb.Dense(1), seed=0, dtype="float64")
    losses = []

    def ends(trainer: fb.Trainer, epoch: int, logs: dict) -> None:
        losses.append(logs["val_loss"])
        if epoch == 7:
            if ends_by is not fb.DivergenceError:
                raise ends_by
            trainer.optimizer.lr = 1e300
        elif epoch == 3:
            trainer.optimizer.lr = 3.0  # worse from here on

    stopping = fb.EarlyStopping(patience=50, restore_best=True)
    each = [(X[k : k + 20], y[k : k + 20]) for k in range(0, 60, 20)]
    data = (each,) if of_batches else (X, y)
    with pytest.raises(ends_by) as caught:
        net.fit(
            *data, optimizer=fb.SGD(0.05), epochs=20, validation_data=each if of_batches else data,
            callbacks=[stopping, fb.LambdaCallback(on_epoch_end=ends)],
        )  # fmt: skip
    assert stopping.best == min(losses)
    assert net.evaluate(X, y)["loss"] == pytest.approx(min(losses), rel=1e-12)
    if ends_by is fb.DivergenceError:
        note = f"EarlyStopping restores the parameters of epoch {stopping.best_epoch + 1}, the best one"
        assert caught.value.__notes__ == [note]
