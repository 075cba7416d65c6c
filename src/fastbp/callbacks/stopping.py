"""EarlyStopping and ReduceLROnPlateau: callbacks that monitor a quantity of the history."""

from typing import TYPE_CHECKING

import numpy as np

from fastbp.callbacks.callback import Callback
from fastbp.callbacks.history import History
from fastbp.inputs import checks
from fastbp.metrics.metric import METRICS
from fastbp.schedules.plateau import MODES, FallingRate, Plateau, monitored

if TYPE_CHECKING:
    from fastbp._trainer import Trainer

AUTO = ("auto", *MODES)


def name_in(history: History, name: str) -> str:
    """The name in a history for `name`, which may be the name of another library: "val_acc"."""
    name = monitored(name, history.history)
    if name in history.history:
        return name
    prefix = "val_" if name.startswith("val_") else ""
    here = prefix + METRICS.name_here(name.removeprefix(prefix))
    return here if here in history.history else name


class Watch(Callback):
    """Base of the callbacks that monitor a quantity.

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
        """The best value so far; infinite before the first."""
        return self.plateau.best

    def on_train_begin(self, trainer: "Trainer", history: History) -> bool | None:
        """Before the first epoch."""
        name = name_in(history, self.monitor)
        self._name = checks.one_of(name, "monitor", history.history)
        self.plateau.start(trainer.mode_of(name) if self.mode == "auto" else self.mode)
        return None

    def see(self, logs: dict[str, float]) -> bool:
        """Record the monitored quantity; return whether it is on a plateau. Epochs without validation do not count."""
        if self._name not in logs:
            self.plateau.improved = False
            return False
        return self.plateau.see(logs[self._name])

    def state(self):
        return self.plateau.state()

    def restore(self, state):
        self.plateau.restore(state)


class EarlyStopping(Watch):
    """Stops training when a monitored quantity has stopped improving.

    Parameters
    ----------
    monitor : str, default="val_loss"
        Name of the quantity in the history; "val_loss" means "loss" without validation data.
    patience : int, default=5
        Number of epochs without improvement after which training stops.
    min_delta : float, default=0.0
        The smallest change that counts as an improvement.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher values are better; "auto" decides by the metric, "min" for a loss.
    restore_best : bool, default=False
        Whether to restore the parameters of the best epoch at the end, also if divergence, Ctrl-C or another error ends
        the fit.
    baseline : float, optional
        If given, training also stops unless the quantity becomes better than this within the patience.
    start_from_epoch : int, default=0
        The first epoch that counts.

    Attributes
    ----------
    best : float
        The best value.
    best_epoch : int
        Epoch of the best value; -1 before the first.

    See Also
    --------
    ReduceLROnPlateau : Makes the learning rate smaller.

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

    def on_divergence(self, trainer, error):
        if self._params is not None:
            error.add_note(f"EarlyStopping restores the parameters of epoch {self.best_epoch + 1}, the best one")
        return None

    def on_train_end(self, trainer, history):
        self.on_close(trainer)

    def on_close(self, trainer):
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
    """Reduces the learning rate when a monitored quantity has stopped improving.

    Parameters
    ----------
    monitor : str, default="val_loss"
        Name of the quantity in the history; "val_loss" means "loss" without validation data.
    factor : float, default=0.1
        Factor of the learning rate, 0 < factor < 1.
    patience : int, default=10
        Number of epochs without improvement after which the rate is reduced.
    min_delta : float, default=0.0001
        The smallest change that counts as an improvement.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher values are better; "auto" decides by the metric, "min" for a loss.
    cooldown : int, default=0
        Number of epochs after a reduction that are not counted.
    min_lr : float, default=0.0
        Lower bound of the learning rate.

    Raises
    ------
    ValueError
        If `factor` is not between 0 and 1.

    See Also
    --------
    EarlyStopping : Stops training.
    schedules.OnPlateau : The same as a schedule.

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
