"""How a fit shows where it is: a tqdm bar, a refreshing line, a line an epoch, or nothing.

All write to standard error, so that standard output stays the program's. tqdm is looked for only when
progress is asked for, because importing it costs more than many a fit.
"""

import sys
import time

REFRESH = 0.1  # seconds between two looks of a line; faster cannot be read


class Silent:
    """Shows nothing, and says what the others override."""

    def __init__(self, epochs: int, rows: int):
        self.epochs = epochs
        self.rows = rows
        self.epoch = 0

    def begin(self, epoch: int) -> None:
        """An epoch begins."""
        self.epoch = epoch

    def show(self, rows: int, loss: float) -> None:
        """So many rows of the epoch are done; the loss of the last batch."""

    def end(self, logs: dict[str, float], samples_per_second: float) -> None:
        """The epoch is done."""

    def close(self) -> None:
        """The fit is over, done or not."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def title(self) -> str:
        """Where the fit is, in words."""
        return f"epoch {self.epoch + 1}/{self.epochs}"


class Lines(Silent):
    """A line an epoch, for logs."""

    def end(self, logs, samples_per_second):
        sys.stderr.write(f"{self.title()}  {_numbers(logs)}  {samples_per_second:,.0f} samples/s\n")


class Line(Silent):
    """One line that is written over and over, for a terminal."""

    def __init__(self, epochs, rows):
        super().__init__(epochs, rows)
        self._next = 0.0
        self._width = 0
        self._last = ""

    def show(self, rows, loss):
        self._write(f"{self.title()}  {rows / self.rows:4.0%}  {_numbers({'loss': loss})}")

    def end(self, logs, samples_per_second):
        self._last = f"{self.title()}  {_numbers(logs)}  {samples_per_second:,.0f} samples/s"
        self._write(self._last)

    def close(self):
        self._next = 0.0
        self._write(self._last)
        sys.stderr.write("\n")

    def _write(self, text):
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REFRESH
        sys.stderr.write(f"\r{text:{self._width}}")
        sys.stderr.flush()
        self._width = len(text)


class Bar(Silent):
    """A tqdm bar over the rows of all epochs."""

    def __init__(self, epochs, rows, tqdm):
        super().__init__(epochs, rows)
        self._bar = tqdm(total=epochs * rows, unit="row", unit_scale=True)

    def begin(self, epoch):
        super().begin(epoch)
        self._bar.set_description(self.title(), refresh=False)

    def show(self, rows, loss):
        self._bar.update(self.epoch * self.rows + rows - self._bar.n)

    def end(self, logs, samples_per_second):
        self._bar.set_postfix_str(_numbers(logs), refresh=False)

    def close(self):
        self._bar.close()


def progress_for(shown: bool, epochs: int, rows: int) -> Silent:
    """What suits where standard error goes and what is installed."""
    if not shown:
        return Silent(epochs, rows)
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return (Line if sys.stderr.isatty() else Lines)(epochs, rows)
    return Bar(epochs, rows, tqdm)


def _numbers(logs):
    return "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
