"""Callbacks that watch a number of the history: early stopping, and a learning rate that falls on a plateau."""

from typing import Any

import numpy as np

from fastbp.callbacks.callback import Callback
from fastbp.callbacks.history import History
from fastbp.inputs import checks
from fastbp.schedules.plateau import MODES, FallingRate, Plateau, monitored

AUTO = ("auto", *MODES)


class Watch(Callback):
    """Base of the callbacks that watch a number.

    Attributes
    ----------
    best : float
        The best value.
    """

    def __init__(self, monitor: str, mode: str, plateau: Plateau):
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be a name, got {monitor!r}")
        self.monitor = monitor
        self.mode = checks.one_of(mode, "mode", AUTO)
        self.plateau = plateau

    @property
    def best(self) -> float:
        """The best value; infinite before there is one."""
        return self.plateau.best

    def on_train_begin(self, trainer: Any, history: History) -> bool | None:
        """Before the first epoch."""
        name = monitored(self.monitor, history.history)
        self._name = checks.one_of(name, "monitor", history.history)
        self.plateau.start(trainer.mode_of(name) if self.mode == "auto" else self.mode)
        return None

    def see(self, logs: dict[str, float]) -> bool:
        """Whether the number in the logs makes a plateau; an epoch that was not validated has none."""
        if self._name not in logs:
            self.plateau.improved = False
            return False
        return self.plateau.see(logs[self._name])

    def state(self):
        return self.plateau.state()

    def restore(self, state):
        self.plateau.restore(state)


class EarlyStopping(Watch):
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
    baseline : float, optional
        The patience ends, too, unless the number gets better than this.
    start_from_epoch : int
        The first epoch that is looked at.

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

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
        *,
        baseline: float | None = None,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, Plateau(patience, min_delta, baseline=baseline))
        self.restore_best = bool(restore_best)
        self.start_from_epoch = checks.positive_int(start_from_epoch, "start_from_epoch", low=0)
        self.best_epoch = -1
        self._params: np.ndarray | None = None

    def on_train_begin(self, trainer, history):
        super().on_train_begin(trainer, history)
        self.best_epoch = -1
        self._params = None

    def on_epoch_end(self, trainer, epoch, logs):
        if epoch < self.start_from_epoch:
            return False
        stop = self.see(logs)
        if self.plateau.improved:
            self.best_epoch = epoch
            if self.restore_best:
                self._params = trainer.net.params.copy()
        return stop

    def on_train_end(self, trainer, history):
        if self._params is not None:
            trainer.net.params = self._params
            self._params = None

    def state(self):
        params = {} if self._params is None else {"params": self._params}
        return {**super().state(), "best_epoch": self.best_epoch, **params}

    def restore(self, state):
        super().restore(state)
        self.best_epoch = checks.integer(state["best_epoch"], "best_epoch")
        self._params = state.get("params")


class ReduceLROnPlateau(Watch):
    """Multiplies the learning rate by a factor when a number has not got better for some epochs.

    Parameters
    ----------
    monitor : str
        Name of the number in the history; "val_loss" means "loss" where there is no validation data.
    factor : float
        What the learning rate is multiplied by, 0 < factor < 1.
    patience : int
        Epochs to wait for a better one, as `EarlyStopping` counts them.
    min_delta : float
        How much better counts as better.
    mode : {"auto", "min", "max"}
        What better is; "auto" asks the metric, and takes "min" for a loss.
    cooldown : int
        Epochs after a reduction that are not counted.
    min_lr : float
        The learning rate does not fall below this.

    Examples
    --------
    >>> from fastbp import SGD, Dense, Input, Sequential
    >>> net, sgd = Sequential(Input(2), Dense(1, weights="zeros")), SGD(lr=0.1)
    >>> reduce = ReduceLROnPlateau(factor=0.5, patience=2)
    >>> history = net.fit(np.eye(2), [0.0, 0.0], optimizer=sgd, epochs=5, callbacks=[reduce])
    >>> sgd.lr
    0.025
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        mode: str = "auto",
        *,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        self.rate = FallingRate(factor, patience, min_delta, cooldown=cooldown, min_lr=min_lr)
        if not self.rate.factor:
            raise ValueError("factor must be above 0, got 0.0")
        super().__init__(monitor, mode, self.rate)

    def on_train_begin(self, trainer, history):
        if trainer.optimizer.schedule is not None:
            raise ValueError(f"ReduceLROnPlateau wants an lr that is a number, got {trainer.optimizer.schedule!r}")
        super().on_train_begin(trainer, history)

    def on_epoch_end(self, trainer, epoch, logs):
        if self.see(logs):
            trainer.optimizer.lr = self.rate.lowered(trainer.optimizer.lr)
