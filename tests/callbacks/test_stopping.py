"""Callbacks that watch a number: plateaus as PyTorch sees them, early stopping, a learning rate that falls."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.schedules.plateau import Plateau
from nets import small_data, small_net


def feed(callback: fb.Callback, values: list[float], metrics=("mae",), lr: float = 1.0) -> tuple[int, list[float]]:
    """How many epochs a callback lets pass that sees these values of val_loss, and the learning rate after each."""
    trainer = fb.Trainer(small_net(), optimizer=fb.SGD(lr=lr), metrics=metrics)
    history = fb.History(["loss", "val_loss"])
    callback.on_train_begin(trainer, history)
    rates = []
    for epoch, value in enumerate(values):
        stop = callback.on_epoch_end(trainer, epoch, {"loss": 0.0, "val_loss": value})
        rates.append(trainer.optimizer.lr)
        if stop:
            break
    return len(rates), rates


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(("patience", "min_delta", "cooldown"), [(1, 0.0, 0), (2, 0.3, 0), (3, 0.0, 2), (2, 0.1, 1)])
def test_the_learning_rate_falls_where_pytorchs_does(mode, patience, min_delta, cooldown, rng) -> None:
    """PyTorch's patience does not count the epoch that ends it."""
    torch = pytest.importorskip("torch")
    values = list(np.cumsum(rng.normal(size=200)) / 3)
    weight = torch.zeros(1, requires_grad=True)
    theirs = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        theirs, mode, 0.9, patience - 1, min_delta, "abs", cooldown, min_lr=0.05, eps=0.0
    )
    wanted = []
    for value in values:
        schedule.step(value)
        wanted.append(theirs.param_groups[0]["lr"])
    assert len(set(wanted)) > 4
    ours = fb.ReduceLROnPlateau(
        factor=0.9, patience=patience, min_delta=min_delta, mode=mode, cooldown=cooldown, min_lr=0.05
    )
    assert feed(ours, values)[1] == pytest.approx(wanted, rel=1e-12)


def test_a_small_learning_rate_is_not_raised_to_the_least() -> None:
    assert feed(fb.ReduceLROnPlateau(patience=1, min_lr=0.5), [1.0] * 4, lr=0.1)[1] == [0.1] * 4


@pytest.mark.parametrize(
    ("settings", "values", "epochs"),
    [
        ({"patience": 2}, [3, 2, 1, 1, 1, 0], 5),
        ({"patience": 2, "mode": "max"}, [1, 2, 3, 3, 3, 4], 5),
        ({"patience": 0}, [3, 2, 2, 1], 3),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.5, 2.4], 3),
        ({"patience": 2, "baseline": 1.0}, [3, 2, 1.5], 2),
        ({"patience": 2, "baseline": 2.5}, [3, 2, 1.5, 1.0, 1.0, 1.0], 6),
        ({"patience": 2, "start_from_epoch": 3}, [1, 1, 1, 3, 2, 2, 2], 7),
        ({"patience": 2}, [np.nan, np.nan, np.nan], 2),
        ({"patience": 2}, [3, np.nan, 2, np.nan, np.nan], 5),
    ],
)
def test_when_early_stopping_stops(settings: dict, values: list[float], epochs: int) -> None:
    assert feed(fb.EarlyStopping(**settings), [*values])[0] == epochs


def test_a_plateau_starts_anew_and_goes_on() -> None:
    one, other = Plateau(patience=3, cooldown=2), Plateau(patience=3, cooldown=2)
    values = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5, 2.0, 2.0, 2.0, 2.0]
    seen = [one.see(value) for value in values]
    for value in values[:6]:
        other.see(value)
    again = Plateau(patience=3, cooldown=2)
    again.restore(other.state())
    assert [again.see(value) for value in values[6:]] == seen[6:]
    assert any(seen)
    one.start("max")
    assert [one.see(value) for value in (1.0, 2.0, 3.0, 4.0)] == [False] * 4


def test_a_plateau_and_a_schedule_do_not_go_together() -> None:
    X, y = small_data()
    optimizer = fb.SGD(lr=fb.schedules.Exponential(0.1, 0.9))
    with pytest.raises(ValueError, match="ReduceLROnPlateau wants an lr that is a number, got Exponential"):
        small_net().fit(X, y, optimizer=optimizer, callbacks=[fb.ReduceLROnPlateau()])


# A fit that goes wrong


def diverging(callbacks=(), **settings) -> tuple[fb.Sequential, fb.History]:
    X, y = small_data()
    net = small_net()
    return net, net.fit(X * 100, y, optimizer=fb.SGD(lr=1e6), epochs=300, callbacks=[*callbacks], seed=1, **settings)


def test_terminate_on_nan_ends_in_peace_with_finite_parameters() -> None:
    with pytest.raises(fb.DivergenceError):
        diverging()
    calm, calls = fb.TerminateOnNaN(), []
    watch = fb.LambdaCallback(
        on_train_end=lambda trainer, history: calls.append("end"), on_close=lambda trainer: calls.append("close")
    )
    net, history = diverging([calm, watch])
    assert "step" in str(calm.error)
    assert np.isfinite(net.params).all()
    assert len(history.epoch) < 300
    assert all(np.isfinite(history.history["loss"]))
    assert calls == ["end", "close"]


def test_a_fit_is_closed_whatever_ends_it() -> None:
    calls = []
    watch = fb.LambdaCallback(
        on_train_end=lambda trainer, history: calls.append("end"), on_close=lambda trainer: calls.append("close")
    )
    with pytest.raises(fb.DivergenceError):
        diverging([watch])
    with pytest.raises(ZeroDivisionError):
        diverging([watch, fb.LambdaCallback(on_epoch_begin=lambda trainer, epoch: 1 / 0)])
    assert calls == ["close", "close"]


# Functions as callbacks


def test_a_lambda_callback_has_every_hook(capsys) -> None:
    X, y = small_data()
    calls = []
    functions = {
        name: lambda *arguments, name=name: calls.append((name, *map(type, arguments)))
        for name in ("on_train_begin", "on_epoch_begin", "on_batch_end", "on_tick", "on_epoch_end", "on_train_end")
    }
    small_net().fit(X, y, epochs=2, batch_size=53, callbacks=[fb.LambdaCallback(**functions)])
    assert [call[0] for call in calls] == [
        "on_train_begin",
        *["on_epoch_begin", "on_batch_end", "on_tick", "on_epoch_end"] * 2,
        "on_train_end",
    ]
    assert {call[1] for call in calls} == {fb.Trainer}


def test_a_lambda_callback_may_stop() -> None:
    X, y = small_data()
    stop = fb.LambdaCallback(on_batch_end=lambda trainer, batch, logs: batch == 2)
    trainer = fb.Trainer(small_net())
    trainer.fit(X, y, epochs=9, batch_size=10, callbacks=[stop])
    assert trainer.chain.t == 3


def test_the_engine_is_left_by_batch_only_for_who_asks(monkeypatch) -> None:
    """The callbacks of the library do not ask, but for those with batches in their settings."""
    X, y = small_data(rows=2000)
    trainer, calls = fb.Trainer(small_net()), []
    trained = trainer.runner.trained
    monkeypatch.setattr(trainer.runner, "trained", lambda *a, **k: calls.append(1) or trained(*a, **k))
    tick = fb.LambdaCallback(on_tick=lambda *_: None)
    quiet = [fb.EarlyStopping(), fb.ReduceLROnPlateau(), fb.TerminateOnNaN(), tick]
    trainer.fit(X, y, epochs=2, batch_size=10, callbacks=quiet, threads=1)
    assert len(calls) < 40  # 400 batches
    calls.clear()
    trainer.fit(X, y, epochs=1, batch_size=10, callbacks=[fb.LambdaCallback(every=50, on_batch_end=lambda *_: None)])
    assert 4 <= len(calls) < 40


BAD = {
    "unknown hook": (lambda: fb.LambdaCallback(on_epoch=print), TypeError, ["on_epoch", "on_epoch_end"]),
    "a hook that is none": (lambda: fb.LambdaCallback(on_epoch_end=3), TypeError, ["on_epoch_end", "function", "3"]),
    "factor of one": (lambda: fb.ReduceLROnPlateau(factor=1.0), ValueError, ["factor", "1"]),
    "factor of zero": (lambda: fb.ReduceLROnPlateau(factor=0), ValueError, ["factor", "0"]),
    "negative min_lr": (lambda: fb.ReduceLROnPlateau(min_lr=-1), ValueError, ["min_lr", "-1"]),
    "negative patience": (lambda: fb.ReduceLROnPlateau(patience=-1), ValueError, ["patience", "-1"]),
    "negative cooldown": (lambda: fb.ReduceLROnPlateau(cooldown=-1), ValueError, ["cooldown", "-1"]),
    "unknown mode": (lambda: fb.ReduceLROnPlateau(mode="less"), ValueError, ["mode", "less", "auto, max, min"]),
    "infinite baseline": (lambda: fb.EarlyStopping(baseline=np.inf), ValueError, ["baseline", "inf"]),
    "negative start": (lambda: fb.EarlyStopping(start_from_epoch=-1), ValueError, ["start_from_epoch", "-1"]),
    "no monitor": (lambda: fb.EarlyStopping(monitor=3), TypeError, ["monitor", "3"]),
    "unknown progress": (lambda: fb.ProgressBar("dots"), ValueError, ["dots", "auto, bar, line, lines"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_when_made(case: str) -> None:
    call, error, words = BAD[case]
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("name", ["val_acc", "val_accuracy", "val_sparse_categorical_accuracy"])
def test_what_is_monitored_may_have_the_name_of_another_library(name: str) -> None:
    X, y = np.random.default_rng(0).normal(size=(53, 4)), np.arange(53) % 3
    net = fb.Sequential(fb.Input(4), fb.Dense(3), seed=1)
    stop = fb.EarlyStopping(name, patience=2)
    history = net.fit(X, y, loss="cross_entropy", epochs=40, metrics=["acc"], validation_split=0.3, callbacks=[stop])
    assert stop.best == max(history.history["val_accuracy"])
    with pytest.raises(ValueError, match=r"^unknown monitor 'val_f1'; known: .*val_accuracy"):
        net.fit(
            X, y, loss="cross_entropy", metrics=["acc"], validation_split=0.3, callbacks=[fb.EarlyStopping("val_f1")]
        )
