"""GradientMonitor: records the figures of `diagnose` during training, at no extra pass."""

import warnings

import numpy as np

from fastbp import _engine
from fastbp._typing import Axes
from fastbp.callbacks.callback import Callback
from fastbp.inputs import checks
from fastbp.insight.diagnosis import DEAD, EXPLODED, GRADIENT, VANISHED, WEIGHT
from fastbp.plotting.axes import FILLS, axes_or_new, open_frame

STYLES = ("-", "--", ":", "-.")  # of lines, after every color has been used
DEAD_SHARE = _engine.FIGURES.index("dead")


class GradientMonitor(Callback):
    """Records the figures of every node every few batches, and warns once of each layer in trouble.

    A resumed fit continues the record of its checkpoint.

    Parameters
    ----------
    every : int, default=100
        Number of batches from one record to the next.
    warn : bool, default=True
        Whether to warn when the gradient of a layer vanishes or explodes, or most of its units are dead.

    Attributes
    ----------
    names : list of str
        The nodes.
    steps : list of int
        The batches of the records, from 1.
    figures : ndarray of shape (records, nodes, figures)
        As in `fastbp.diagnose`: mean, std, saturated, dead, gradient, weight, weight_gradient.

    See Also
    --------
    diagnose : Figures of one moment, with a verdict.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> monitor = GradientMonitor(every=2)
    >>> net = Sequential(Input(2), Dense(3, "tanh"), Dense(1), seed=0)
    >>> history = net.fit(np.eye(2), [0.0, 1.0], batch_size=1, epochs=4, callbacks=[monitor])
    >>> monitor.steps, monitor.figures.shape
    ([2, 4, 6, 8], (4, 2, 7))
    """

    def __init__(self, every: int = 100, warn: bool = True):
        self.every = checks.positive_int(every, "every")
        self.warn = bool(warn)
        self.names: list[str] = []
        self.steps: list[int] = []
        self._tables: list[np.ndarray] = []
        self._known: set[tuple[str, str]] = set()

    @property
    def figures(self) -> np.ndarray:
        """All recorded figures."""
        return np.array(self._tables).reshape(len(self._tables), len(self.names), len(_engine.FIGURES))

    def on_train_begin(self, trainer, history):
        self.names = [node.name for node in trainer.net.nodes if node.layer is not None]
        self.steps, self._tables, self._known = [], [], set()
        trainer.net.programs.keep_rows(True)

    def on_close(self, trainer):
        trainer.net.programs.keep_rows(False)

    def state(self):
        looks = {"figures": self.figures} if self.steps else {}
        return {"steps": self.steps, "known": sorted(self._known), **looks}

    def restore(self, state):
        self.steps = [checks.as_count(step, "step") for step in state["steps"]]
        self._known = {(str(name), str(what)) for name, what in state["known"]}
        shape = (len(self.steps), len(self.names), len(_engine.FIGURES))
        self._tables = list(checks.as_stored(state["figures"], np.empty(shape), "figures")) if self.steps else []

    def on_batch_end(self, trainer, batch, logs):
        table = trainer.net.programs.figures()
        self.steps.append((self.steps[-1] if self.steps else 0) + self.every)
        self._tables.append(table)
        if self.warn:
            self._look(table)

    def _look(self, table):
        # Plain floats: for a handful of nodes NumPy would cost more than the recorded pass.
        rows = table.tolist()
        last = next((figures[GRADIENT] for figures in reversed(rows) if figures[WEIGHT] == figures[WEIGHT]), 0.0)
        for name, figures in zip(self.names, rows, strict=True):
            if figures[DEAD_SHARE] >= DEAD:
                self._tell(name, "most of its units", "died")
            elif last > 0 and figures[WEIGHT] == figures[WEIGHT]:
                if figures[GRADIENT] < VANISHED * last:
                    self._tell(name, "its gradient", "vanished")
                elif figures[GRADIENT] > EXPLODED * last:
                    self._tell(name, "its gradient", "exploded")

    def _tell(self, name, subject, what):
        if (name, what) not in self._known:
            self._known.add((name, what))
            message = f"{name}: {subject} {what} by batch {self.steps[-1]}; see fastbp.diagnose"
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the gradient of each layer with weights against the batches.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; new Axes if not given.

        Returns
        -------
        Axes
            The Axes that were drawn on.
        """
        ax = axes_or_new(ax, "GradientMonitor.plot")
        figures = self.figures
        weighted = [k for k in range(len(self.names)) if len(figures) and not np.isnan(figures[0, k, WEIGHT])]
        for number, k in enumerate(weighted):
            style = {"color": FILLS[number % len(FILLS)], "linestyle": STYLES[number // len(FILLS) % len(STYLES)]}
            ax.plot(self.steps, figures[:, k, GRADIENT], label=self.names[k], **style)
        ax.set_yscale("log")
        ax.set_xlabel("batch")
        ax.set_ylabel("gradient (root mean square)")
        if not weighted:
            words = f"no batch was measured yet: every={self.every}"
            ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color="#666666")
            return open_frame(ax)
        columns = 1 + (len(weighted) - 1) // 16
        ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, ncols=max(1, columns))
        return open_frame(ax)
