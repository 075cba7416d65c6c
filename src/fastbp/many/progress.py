"""Progress of many fits: one line, updated in place in a terminal or notebook; elsewhere a line at the end."""

import math
import sys
import threading
import time

from fastbp.callbacks.progress import REFRESH


class Progress:
    """Counts nets and epochs that are done, from any thread, and shows them."""

    def __init__(self, nets: int, epochs: int):
        self.nets, self.epochs = nets, epochs
        self._done, self._epochs, self._lowest = 0, 0, math.inf
        self._lock = threading.Lock()
        self._begin = time.monotonic()
        self._next, self._width = 0.0, 0
        self._live = sys.stderr.isatty() or "ipykernel" in sys.modules

    def epoch_done(self, logs: dict[str, float]) -> None:
        """One of the nets has done an epoch."""
        with self._lock:
            self._epochs += 1
            self._lowest = min(self._lowest, logs.get("val_loss", logs["loss"]))

    def net_done(self) -> None:
        """One of the nets is trained."""
        with self._lock:
            self._done += 1
        self.show()

    def show(self) -> None:
        """Show the line, if it is time."""
        now = time.monotonic()
        if self._live and now >= self._next:
            self._next = now + REFRESH
            self._write("\r", "")

    def close(self) -> None:
        """Show where the fits ended."""
        self._write("\r" if self._live else "", "\n")

    def _write(self, before, after):
        lowest = f", lowest loss {self._lowest:.4g}" if math.isfinite(self._lowest) else ""
        epochs = f", {self._epochs}/{self.epochs} epochs" if self._epochs else ""
        seconds = time.monotonic() - self._begin
        line = f"{self._done}/{self.nets} nets{epochs}{lowest}, {seconds:.1f} s"
        sys.stderr.write(f"{before}{line:{self._width}}{after}")
        sys.stderr.flush()
        self._width = len(line)
