"""Callbacks: code of the user's at the turns of a fit, and early stopping, which is one.

A hook that returns True stops the fit. A fit leaves the engine for `on_batch_end` only if a callback overrides
it, and then as often as the callback's `every` says; else it comes back once an epoch, or every 50 ms.
"""

import math
from typing import Any

import numpy as np

from fastbp import checks
from fastbp.history import History


class Callback:
    """Base of the callbacks; override what you need. A hook that returns True stops the fit.

    Examples
    --------
    >>> class StopBelow(Callback):
    ...     def on_epoch_end(self, trainer: Any, epoch, logs):
    ...         return logs["loss"] < 0.1
    """

    every: int = 1  # batches from one call of on_batch_end to the next

    def on_train_begin(self, trainer: Any, history: History) -> bool | None:
        """Before the first epoch."""

    def on_train_end(self, trainer: Any, history: History) -> None:
        """After the last epoch, also if a hook stopped the fit; not after an exception."""

    def on_epoch_begin(self, trainer: Any, epoch: int) -> bool | None:
        """Before an epoch; they count from 0."""

    def on_epoch_end(self, trainer: Any, epoch: int, logs: dict[str, float]) -> bool | None:
        """After an epoch, with its loss, metrics and validation."""

    def on_batch_end(self, trainer: Any, batch: int, logs: dict[str, float]) -> bool | None:
        """After a batch (or `every` so many of the fit), with its loss; they count from 0 in each epoch."""


class Callbacks:
    """Several callbacks, called in order."""

    def __init__(self, callbacks):
        self._callbacks = checks.instances(callbacks, Callback, "callbacks")
        self._by_batch = [
            callback for callback in self._callbacks if type(callback).on_batch_end is not Callback.on_batch_end
        ]
        self._stride = math.gcd(*(callback.every for callback in self._by_batch))
        self._batches = 0

    def until_next(self, left: int) -> int:
        """How many of the batches left in an epoch may pass before somebody wants to be called."""
        return min(left, self._stride - self._batches % self._stride) if self._stride else left

    def batches_done(self, trainer, count: int, last: int, loss: float) -> bool:
        """Tell those who want to know of the last of so many batches; whether one of them wants to stop."""
        self._batches += count
        due = [callback for callback in self._by_batch if self._batches % callback.every == 0]
        answers = [callback.on_batch_end(trainer, last, {"loss": float(loss)}) for callback in due]
        return _any_true(answers)

    def call(self, hook: str, *args) -> bool:
        """Call a hook of all; whether one of them wants to stop."""
        answers = [getattr(callback, hook)(*args) for callback in self._callbacks]
        return _any_true(answers)


class EarlyStopping(Callback):
    """Stops when a number has not got better for some epochs.

    Parameters
    ----------
    monitor : str
        Name of the number in the history; "val_loss" means "loss" where there is no validation data.
    patience : int
        Epochs to wait for a better one.
    min_delta : float
        How much better counts as better.
    mode : {"auto", "min", "max"}
        What better is; "auto" asks the metric, and takes "min" for a loss.
    restore_best : bool
        Whether the parameters of the best epoch are put back at the end.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int
        Its epoch, -1 before there is one.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1), seed=0)
    >>> stopping = EarlyStopping(patience=2)
    >>> history = net.fit(np.eye(2), [0.0, 0.0], optimizer="sgd", epochs=9, callbacks=[stopping])
    >>> stopping.best == min(history.history["loss"])
    True
    """

    MODES = ("auto", "min", "max")

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ):
        self.monitor = monitor
        self.patience = checks.positive_int(patience, "patience", low=0)
        self.min_delta = checks.in_range(min_delta, "min_delta", 0.0)
        self.mode = checks.one_of(mode, "mode", self.MODES)
        self.restore_best = bool(restore_best)

    def on_train_begin(self, trainer, history):
        name = self.monitor
        if name == "val_loss" and name not in history.history:
            name = "loss"
        self._name = checks.one_of(name, "monitor", history.history)
        mode = trainer.mode_of(name) if self.mode == "auto" else self.mode
        self._sign = 1.0 if mode == "min" else -1.0
        self.best = self._sign * np.inf
        self.best_epoch = -1
        self._params = None

    def on_epoch_end(self, trainer, epoch, logs):
        value = logs[self._name]
        if self._sign * (self.best - value) > self.min_delta:
            self.best, self.best_epoch = value, epoch
            if self.restore_best:
                self._params = trainer.net.params.copy()
        return epoch - self.best_epoch >= max(self.patience, 1)

    def on_train_end(self, trainer, history):
        if self._params is not None:
            trainer.net.params = self._params
            self._params = None


def _any_true(answers):
    return any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers)
