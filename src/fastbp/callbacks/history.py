"""History: the losses and metrics of a fit, one number per epoch, as in Keras."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastbp._optional import package
from fastbp._typing import Axes, DataFrame
from fastbp.errors import DivergenceError


class History:
    """Losses and metrics of a fit.

    Attributes
    ----------
    history : dict from str to list of float
        "loss" and the metrics, and both with the prefix "val_" if there is validation data: NaN for epochs that
        `validation_freq` skipped.
    epoch : list of int
        Numbers of the epochs, from 0.
    seconds : float
        Wall time of the epochs, including validation.
    samples : int
        Number of samples trained on, counted in each epoch.
    params : dict
        The "epochs", "batch_size" and "rows" of the fit.
    error : DivergenceError or None
        The error that ended the fit of a net in `fit_many(errors="keep")`, if it diverged.

    See Also
    --------
    CSVLogger, JSONLogger : Write the same to a file.
    plotting.loss_curves : Plots several.

    Examples
    --------
    >>> history = History(["loss"])
    >>> history.add({"loss": 0.5}, seconds=2.0, samples=100)
    >>> history.history, history.epoch, history.samples_per_second
    ({'loss': [0.5]}, [0], 50.0)
    """

    def __init__(self, names: Iterable[str] = ()):
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.samples = 0
        self.params: dict[str, Any] = {}
        self.error: DivergenceError | None = None

    @property
    def samples_per_second(self) -> float:
        """Training throughput: samples per second."""
        return self.samples / self.seconds if self.seconds else 0.0

    def add(self, logs: dict[str, float], seconds: float, samples: int) -> None:
        """Add an epoch; names that its logs lack become NaN."""
        self.epoch.append(len(self.epoch))
        for name, values in self.history.items():
            values.append(logs.get(name, math.nan))
        self.seconds += seconds
        self.samples += samples

    def check(self, history: Iterable[str]) -> None:
        """Raise unless another history has the same names."""
        if list(history) != list(self.history):
            raise ValueError(
                f"the history has {', '.join(history)} in the checkpoint and {', '.join(self.history)} here"
            )

    def restore(self, history: dict[str, list[float]], seconds: float, samples: int) -> None:
        """Restore the values of another history of the same names."""
        self.check(history)
        self.history = {name: [float(value) for value in values] for name, values in history.items()}
        self.epoch = list(range(len(self.history["loss"])))
        self.seconds, self.samples = float(seconds), int(samples)

    def to_frame(self) -> DataFrame:
        """The history as a pandas DataFrame, one row per epoch.

        Returns
        -------
        pandas.DataFrame
            One row per epoch.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = package("pandas", "History.to_frame")
        return pandas.DataFrame(self.history, index=pandas.Index(self.epoch, name="epoch"))

    def plot(self, *names: str, ax: Axes | None = None) -> Axes:
        """Plot the losses, or the quantities of these names, against the epochs.

        Parameters
        ----------
        *names : str
            What to plot; "loss" and, with validation data, "val_loss" if not given.
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
        from fastbp import plotting

        return plotting.loss_curves(self, *names, ax=ax)

    def _repr_html_(self) -> str:
        from fastbp.plotting import html

        title = f"{len(self.epoch)} epochs, {self.seconds:.3g} s, {self.samples_per_second:,.0f} samples per second"
        if not self.epoch:
            return html.titled("no epochs")
        return html.titled(title, self.chart(), html.table(*self.table()))

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
        """The column headings, a row for each quantity, and the alignment of each column."""
        heads = ("", "last", "lowest", "at epoch", "highest", "at epoch")
        rows = [(name, f"{_last(values):.4g}", *self._best(name)) for name, values in self.history.items() if values]
        return heads, rows, "<>>>>>"

    def chart(self) -> str:
        """The losses as an SVG element, without matplotlib."""
        from fastbp.plotting import svg

        losses = {name: self.history[name] for name in ("loss", "val_loss") if name in self.history}
        return svg.lines(losses, "loss by epoch", ylabel="loss", log=svg.wants_logarithms(losses.values()))

    def _best(self, name):
        values = np.asarray(self.history[name])
        if np.isnan(values).all():
            return [""] * 4
        low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
        return f"{values[low]:.4g}", str(low + 1), f"{values[high]:.4g}", str(high + 1)

    def __repr__(self):
        last = ", ".join(f"{name} {_last(values):.4g}" for name, values in self.history.items() if values)
        return f"<History of {len(self.epoch)} epochs{f': {last}' if last else ''}>"


def _last(values):
    """The last value that is not NaN."""
    return next((value for value in reversed(values) if value == value), math.nan)
