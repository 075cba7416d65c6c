"""ProgressBar: shows the progress of a fit, as a tqdm bar, an updated line or one line per epoch.

All write to standard error, which leaves standard output to the program. tqdm is imported only in a terminal or
notebook, because its import takes longer than many fits; pipes and files get plain lines.
"""

import shutil
import sys
import time

from fastbp.callbacks.callback import Callback
from fastbp.inputs import checks
from fastbp.plotting import text

REFRESH = 0.1  # seconds between two updates of a line; faster cannot be read
FORM = "{desc} {percentage:3.0f}%|{bar:10}| {elapsed}<{remaining}{postfix}"
OF_A_BAR = len(": 100%|1234567890| 00:00:00<00:00:00, ")  # columns of a bar besides the title and the numbers


class Lines:
    """One line per epoch, for pipes and files; base of `Line` and `Bar`."""

    def __init__(self, params: dict):
        self.epochs, self.rows = params["epochs"], params["rows"]
        self.epoch = 0

    def begin(self, epoch: int) -> None:
        """An epoch begins."""
        self.epoch = epoch

    def show(self, rows: int, logs: dict[str, float]) -> None:
        """Show the number of samples done in the epoch and the loss of the last batch."""

    def end(self, logs: dict[str, float], samples_per_second: float) -> None:
        """The epoch is done."""
        sys.stderr.write(f"{self.title()}  {text.logs(logs)}  {samples_per_second:,.0f} samples/s\n")

    def close(self) -> None:
        """The fit has ended, completed or not."""

    def title(self) -> str:
        """The number of the epoch, as text."""
        return f"epoch {self.epoch + 1}/{self.epochs}"


class Line(Lines):
    """One line that is updated in place, for a terminal or a notebook."""

    def __init__(self, params):
        super().__init__(params)
        self._next = 0.0
        self._width = 0
        self._last = {}, "", ""

    def show(self, rows, logs):
        self._write(logs, f"{rows / self.rows:4.0%}" if self.rows else f"{rows:,} rows", "")

    def end(self, logs, samples_per_second):
        self._last = logs, "", f"  {samples_per_second:,.0f} samples/s"
        self._write(*self._last)

    def close(self):
        self._next = 0.0
        self._write(*self._last)
        sys.stderr.write("\n")

    def _write(self, logs, share, speed):
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REFRESH
        before = f"{self.title()}  {share}  " if share else f"{self.title()}  "
        line = before + text.logs(logs, _columns() - len(before) - len(speed)) + speed
        sys.stderr.write(f"\r{line:{self._width}}")
        sys.stderr.flush()
        self._width = len(line)


class Bar(Lines):
    """A tqdm bar over the samples of all epochs."""

    def __init__(self, params):
        from tqdm.auto import tqdm

        super().__init__(params)
        total = self.epochs * self.rows if self.rows else None
        # By default the bar gets the columns that the text leaves, 1 of 100; in a notebook tqdm is a widget.
        form = {"bar_format": FORM} if total and "ipykernel" not in sys.modules else {}
        self._bar = tqdm(total=total, unit="row", unit_scale=True, dynamic_ncols=True, **form)

    def begin(self, epoch):
        super().begin(epoch)
        self._done = epoch * self.rows if self.rows else self._bar.n
        self._bar.set_description(self.title(), refresh=False)

    def show(self, rows, logs):
        self._bar.update(self._done + rows - self._bar.n)

    def end(self, logs, samples_per_second):
        self._bar.set_postfix_str(text.logs(logs, _columns() - len(self.title()) - OF_A_BAR), refresh=False)

    def close(self):
        self._bar.close()


def _columns():
    """The columns of the terminal without the last one, at which some terminals begin a new line."""
    return shutil.get_terminal_size().columns - 1


KINDS = {"bar": Bar, "line": Line, "lines": Lines}


class ProgressBar(Callback):
    """Shows the progress of a fit on standard error; `fit(progress=True)` adds one.

    Parameters
    ----------
    kind : {"auto", "bar", "line", "lines"}, default="auto"
        A tqdm bar, one line updated in place, or one line per epoch. "auto" is a bar in a terminal or a notebook (a
        line if tqdm is not installed), and lines elsewhere.

    See Also
    --------
    History : The same figures as lists.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1), seed=0)
    >>> history = net.fit(np.eye(2), [0.0, 1.0], epochs=3, callbacks=[ProgressBar("lines")])
    """

    writes = True

    def __init__(self, kind: str = "auto"):
        self.kind = checks.one_of(kind, "kind of progress", ("auto", *KINDS))
        self._shown: Lines | None = None

    def on_train_begin(self, trainer, history):
        self._history = history
        self._shown = _automatic(history.params) if self.kind == "auto" else KINDS[self.kind](history.params)

    def on_epoch_begin(self, trainer, epoch):
        self._shown.begin(epoch)

    def on_tick(self, trainer, rows, logs):
        self._shown.show(rows, logs)

    def on_epoch_end(self, trainer, epoch, logs):
        self._shown.end(logs, self._history.samples_per_second)

    def on_close(self, trainer):
        if self._shown is not None:
            self._shown.close()
            self._shown = None


def _automatic(params):
    if not sys.stderr.isatty() and "ipykernel" not in sys.modules:
        return Lines(params)
    try:
        return Bar(params)
    except ImportError:
        return Line(params)
