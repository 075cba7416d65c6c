"""OptunaPruning: reports epochs to a trial of Optuna, which may end it early."""

from typing import Any

from fastbp._optional import package
from fastbp.callbacks.callback import Callback
from fastbp.callbacks.stopping import name_in


class OptunaPruning(Callback):
    """Reports a quantity after each epoch to a trial of Optuna, and ends the fit if its pruner says so.

    The fit then raises `optuna.TrialPruned`, which an objective function must not catch.

    Parameters
    ----------
    trial : optuna.Trial
        The trial, or any object that has `report` and `should_prune`.
    monitor : str, default="val_loss"
        Name of the quantity in the history; "val_loss" means "loss" without validation data.

    Raises
    ------
    TypeError
        If `trial` is not one of Optuna.

    See Also
    --------
    EarlyStopping : Ends a fit by its own history.

    Examples
    --------
    >>> import fastbp as fb
    >>> def objective(trial):  # doctest: +SKIP
    ...     rate = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    ...     history = make().fit(
    ...         X, y, optimizer=fb.Adam(lr=rate), epochs=20, validation_data=(Xv, yv), callbacks=[OptunaPruning(trial)]
    ...     )
    ...     return history.history["val_loss"][-1]
    >>> optuna.create_study(pruner=optuna.pruners.MedianPruner()).optimize(objective, n_trials=50)  # doctest: +SKIP
    """

    def __init__(self, trial: Any, monitor: str = "val_loss"):
        self._optuna = package("optuna", "OptunaPruning")
        for name in ("report", "should_prune"):
            if not hasattr(trial, name):
                raise TypeError(f"trial must be a trial of Optuna, and {trial!r} has no {name}")
        self.trial = trial
        self.monitor = monitor

    def on_train_begin(self, trainer, history):
        self._name = name_in(history, self.monitor)
        if self._name not in history.history:
            raise ValueError(f"monitor must be one of {', '.join(history.history)}, got {self.monitor!r}")

    def on_epoch_end(self, trainer, epoch, logs):
        if self._name not in logs:  # an epoch without validation
            return
        self.trial.report(logs[self._name], epoch)
        if self.trial.should_prune():
            raise self._optuna.TrialPruned(f"{self._name} was {logs[self._name]:g} after epoch {epoch + 1}")
