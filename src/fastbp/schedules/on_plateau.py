"""OnPlateau: the schedule that monitors a quantity of the training, and the only schedule with a state."""

from collections.abc import Container, Mapping

import numpy as np

from fastbp.inputs import checks
from fastbp.schedules.plateau import FallingRate, monitored
from fastbp.schedules.schedule import PER, Schedule, rate


class OnPlateau(Schedule):
    """Multiplies the rate by a factor when a monitored quantity stops improving. PyTorch's ReduceLROnPlateau.

    `fit` passes the quantity after each epoch; a custom training loop calls `see`.

    Parameters
    ----------
    lr : float
        The initial learning rate.
    factor : float, default=0.1
        Factor of each reduction.
    patience : int, default=10
        Number of epochs without improvement to tolerate; the next such epoch reduces the rate.
    threshold : float, default=0.0001
        The smallest change that counts as an improvement.
    threshold_mode : {"rel", "abs"}, default="rel"
        Whether `threshold` is relative to the best value or absolute.
    cooldown : int, default=0
        Number of epochs after a reduction that are not counted.
    min_lr : float, default=0.0
        Lower bound of the learning rate.
    mode : {"min", "max"}, default="min"
        Whether lower or higher values are better.
    monitor : str, default="val_loss"
        Name of the quantity in the history; "val_loss" means "loss" without validation data.
    per : {"epoch"}, default="epoch"
        The unit in which the rate changes; the only possible one.
    state : mapping, optional
        The state that `config` returned, to continue from; a new one if not given.

    See Also
    --------
    fastbp.ReduceLROnPlateau : The same as a callback.

    Examples
    --------
    >>> schedule = OnPlateau(1.0, factor=0.5, patience=0)
    >>> for loss in (3.0, 2.0, 2.0):
    ...     schedule.see(loss)
    >>> schedule(0)
    0.5
    """

    MODES = ("rel", "abs")
    by_count = False

    def __init__(
        self,
        lr: float,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: str = "min",
        monitor: str = "val_loss",
        *,
        per: str = "epoch",
        state: Mapping | None = None,
    ):
        super().__init__(
            checks.one_of(per, "per of OnPlateau", PER[1:]),
            lr=rate(lr),
            factor=checks.in_range(factor, "factor", 0.0, 1.0),
            patience=checks.positive_int(patience, "patience", low=0),
            threshold=checks.in_range(threshold, "threshold", 0.0),
            threshold_mode=checks.one_of(threshold_mode, "threshold_mode", self.MODES),
            cooldown=cooldown,
            min_lr=rate(min_lr, "min_lr"),
            mode=mode,
            monitor=monitor,
        )
        relative = threshold_mode == "rel"
        self._plateau = FallingRate(
            factor, patience + 1, threshold, mode, cooldown=cooldown, min_lr=min_lr, relative=relative
        )
        self._now = float(lr)
        if state is not None:
            self._plateau.restore(dict(state))
            self._now = rate(state["lr"])

    def at(self, t):
        return np.full(len(t), self._now)

    def see(self, value: float) -> None:
        """Record the value of an epoch."""
        if self._plateau.see(float(value)):
            self._now = self._plateau.lowered(self._now)

    def see_logs(self, logs: Mapping[str, float], known: Container[str] | None = None) -> None:
        """Record the monitored quantity, if these logs have it; `known` are names in the logs of other epochs."""
        known = logs if known is None else known
        name = monitored(self.settings["monitor"], known)
        if name in logs or name not in known:
            self.see(logs[checks.one_of(name, "monitor", logs)])

    def arguments(self):
        return {**super().arguments(), "state": {"lr": self._now, **self._plateau.state()}}
