"""LearningRateFinder: the learning rate range test, a fit whose learning rate rises from batch to batch."""

from typing import Any

import numpy as np

from fastbp._typing import Axes
from fastbp.callbacks.callback import Callback
from fastbp.inputs import checks

WINDOW = 5  # batches on either side over which the loss is smoothed
ENOUGH = 2 * WINDOW  # batches needed to estimate a slope


class LearningRateFinder(Callback):
    """Tries learning rates from `low` to `high`, one per batch, and then restores the initial state.

    The loss falls where the rate is large enough to make progress and rises where it is too large; a good rate lies
    between. Smith 2017, section 3.3. Give the fit enough epochs for all batches: it stops by itself.

    Parameters
    ----------
    low : float, default=1e-6
        The first learning rate.
    high : float, default=10.0
        The last learning rate; each rate is the one before times a constant factor.
    steps : int, default=100
        Number of learning rates.
    too_much : float, default=4.0
        The fit stops when a loss exceeds the lowest smoothed loss by this factor.

    Attributes
    ----------
    lrs, losses : ndarray
        Learning rate and loss of each batch.

    Raises
    ------
    ValueError
        If not 0 < low < high.

    See Also
    --------
    schedules.OneCycle : A schedule for the rate that it finds.
    ReduceLROnPlateau : Lowers the rate while training.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential, datasets
    >>> X, y = datasets.digits()
    >>> net = Sequential(Input(64), Dense(30, "relu"), Dense(10), seed=0)
    >>> finder = LearningRateFinder()
    >>> history = net.fit(X, y, loss="cross_entropy", epochs=99, callbacks=[finder])
    >>> 1e-3 < finder.suggestion < 1
    True
    """

    def __init__(self, low: float = 1e-6, high: float = 10.0, steps: int = 100, too_much: float = 4.0):
        self.low = checks.in_range(low, "low", 0.0)
        self.high = checks.in_range(high, "high", 0.0)
        if not 0 < self.low < self.high:
            raise ValueError(f"LearningRateFinder wants 0 < low < high, got {self.low:g} and {self.high:g}")
        self.steps = checks.positive_int(steps, "steps", low=2)
        self.too_much = checks.in_range(too_much, "too_much", 1.0)
        self.lrs = self.losses = np.empty(0)
        self._before: Any = None  # the state of the trainer before the fit

    def on_train_begin(self, trainer, history):
        self._before = trainer.state()
        self._rates = np.geomspace(self.low, self.high, self.steps)
        self.lrs = self.losses = np.empty(0)
        trainer.optimizer.lr = self._rates[0]

    def on_batch_end(self, trainer, batch, logs):
        done = len(self.losses) + 1
        self.lrs, self.losses = self._rates[:done], np.append(self.losses, logs["loss"])
        if done == self.steps or (done >= ENOUGH and logs["loss"] > self.too_much * self.smoothed.min()):
            return True
        trainer.optimizer.lr = self._rates[done]
        return False

    def on_divergence(self, trainer, error):
        return True

    def on_close(self, trainer):
        if self._before is not None:
            trainer.go_to(self._before)
            self._before = None

    @property
    def smoothed(self) -> np.ndarray:
        """The smoothed losses; losses above the first ones are clipped."""
        window = np.hanning(2 * WINDOW + 3)[1:-1]
        losses = np.minimum(self.losses, np.mean(self.losses[:WINDOW]))
        weights = np.convolve(np.ones(len(losses)), window, "full")[WINDOW : WINDOW + len(losses)]
        return np.convolve(losses, window, "full")[WINDOW : WINDOW + len(losses)] / weights

    @property
    def suggestion(self) -> float:
        """The learning rate at which the smoothed loss falls fastest, before its minimum."""
        return float(self.lrs[self._steepest()])

    def _steepest(self):
        if len(self.losses) < ENOUGH:
            raise ValueError(f"the finder has seen {len(self.losses)} batches, it needs {ENOUGH}")
        smoothed = self.smoothed
        before = max(int(smoothed.argmin()), 2)
        return int(np.gradient(smoothed, np.log(self.lrs))[:before].argmin())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the losses against the learning rates, with the suggestion.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; new Axes if not given.

        Returns
        -------
        Axes
            The Axes that were drawn on.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from fastbp.plotting.axes import axes_or_new, open_frame
        from fastbp.plotting.svg import COLORS

        k = self._steepest()
        ax = open_frame(axes_or_new(ax, "LearningRateFinder.plot"))
        smoothed = self.smoothed
        ax.plot(self.lrs, self.losses, color="#cccccc", linewidth=1, label="loss of a batch")
        ax.plot(self.lrs, smoothed, color=COLORS[0], label="mean around it")
        ax.plot(self.lrs[k], smoothed[k], "o", color=COLORS[1], label=f"suggestion: {self.suggestion:.2g}")
        ax.set_xscale("log")
        low, high = min(self.losses.min(), smoothed.min()), smoothed.max()
        ax.set_ylim(low - 0.1 * (high - low), high + 0.3 * (high - low))
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss")
        ax.legend()
        return ax
