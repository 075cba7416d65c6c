"""Fit: one call of `Trainer.fit`, epoch by epoch.

An epoch is one call into the engine that comes back every 50 ms, so that progress shows and Ctrl-C works, or
after each batch where a callback wants that. Metrics of the training data come from the outputs of the
epoch's own forward passes, as in Keras; a second pass would give cleaner numbers for a third of the time.
"""

import time
from typing import NamedTuple

import numpy as np

from fastbp.callbacks import Callbacks
from fastbp.data import Data
from fastbp.history import History
from fastbp.progress import Silent

SLICE = 0.05  # seconds in the engine without a look at signals; Ctrl-C feels immediate below 0.1


class Fit(NamedTuple):
    """What a fit goes through, and whom it tells."""

    trainer: object
    data: Data
    validation: Data | None
    batch_size: int
    shuffle: bool
    callbacks: Callbacks
    history: History
    shown: Silent
    threads: int | None

    def epochs(self, count: int) -> None:
        """Go through the data so many times, or until a callback stops it."""
        stop = self.callbacks.call("on_train_begin", self.trainer, self.history)
        while not stop and len(self.history.epoch) < count:
            epoch = len(self.history.epoch)
            stop = self.callbacks.call("on_epoch_begin", self.trainer, epoch) or self._epoch(epoch)
        self.callbacks.call("on_train_end", self.trainer, self.history)

    def _epoch(self, epoch):
        """One epoch; whether to stop."""
        self.shown.begin(epoch)
        begin = time.perf_counter()
        trainer, rows = self.trainer, self.data.rows
        order = trainer.rng.permutation(rows) if self.shuffle else None
        outs = trainer.new_outputs(rows) if trainer.metrics else None
        loss, done, stop = self.batches(epoch, order, outs)
        logs = {"loss": loss}
        if outs is not None:
            seen = self.data.take(order, slice(done), inputs=False)
            logs |= trainer.measure(seen.ts, tuple(out[:done] for out in outs), seen.weights)
        if self.validation is not None:
            values = trainer.evaluate_data(self.validation, self.threads)
            logs |= {f"val_{name}": value for name, value in values.items()}
        self.history.add(logs, time.perf_counter() - begin, done)
        self.shown.end(logs, self.history.samples_per_second)
        return self.callbacks.call("on_epoch_end", trainer, epoch, logs) or stop

    def batches(self, epoch, order, outs):
        """The batches of an epoch; their mean loss, the rows done, whether to stop."""
        starts = np.arange(0, self.data.rows, self.batch_size)
        sizes = np.minimum(self.data.rows - starts, self.batch_size)
        losses = np.empty(len(starts))
        batch, stop = 0, False
        while batch < len(starts) and not stop:
            first, last = batch, batch + self.callbacks.until_next(len(starts) - batch)
            batch = self.trainer.run(
                self.data, order, self.batch_size, first, last, SLICE, losses, outs, f"epoch {epoch + 1}", self.threads
            )
            stop = self.callbacks.batches_done(self.trainer, batch - first, batch - 1, losses[batch - 1])
            self.shown.show(int(starts[batch - 1] + sizes[batch - 1]), losses[batch - 1])
        done = sizes[:batch].sum()
        return float((losses[:batch] * sizes[:batch]).sum() / done), int(done), stop
