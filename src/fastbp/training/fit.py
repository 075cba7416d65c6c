"""Fit: one call of `Trainer.fit`, epoch by epoch.

An epoch is one call into the engine that returns every 50 ms, for progress and Ctrl-C, or after each batch if a
callback asks for it. Metrics of the training data are computed from the outputs of the epoch's own forward passes, as
in Keras; a second pass would give cleaner numbers for a third more time.

A fit is a generator: it yields the batches that the engine is to train on next, and receives how far the engine came,
so that fits of many networks can share a call of the engine. Rejected: a thread for each fit, which waits for others.
"""

import threading
import time
from collections.abc import Callable, Generator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastbp import _engine
from fastbp.callbacks.callback import Callbacks
from fastbp.callbacks.history import History
from fastbp.data.batches import Data
from fastbp.data.streams import Stream
from fastbp.errors import DAMAGE, DivergenceError, ModelFormatError
from fastbp.inputs import checks
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.objective import counted, mean_of_batches
from fastbp.training.state import State

SLICE = 0.05  # seconds in the engine without checking signals; Ctrl-C feels immediate below 0.1
T = TypeVar("T")
Calls = Generator[_engine.Batches, tuple[int, int], T]  # yields what the engine is to do, is sent (next batch, status)


class Position(NamedTuple):
    """The position of a fit: a JSON-serializable state, and arrays by name."""

    state: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Fit:
    """A fit: its data, its callbacks and its progress."""

    def __init__(
        self,
        runner: BatchRunner,
        rng: np.random.Generator,
        data: Data,
        validation: Data | Stream | None,
        batch_size: int,
        shuffle: bool,
        callbacks: Callbacks,
        history: History,
        threads: int | None,
        validation_freq: int = 1,
    ):
        self.runner = runner
        self.rng = rng
        self.data = data
        self.validation = validation
        self.validation_freq = validation_freq
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.callbacks = callbacks
        self.history = history
        self.threads = threads
        self._starts = np.arange(0, data.rows, batch_size)
        self._sizes = np.minimum(data.rows - self._starts, batch_size)
        self._losses = np.empty(len(self._starts))
        self._each_loss = np.empty((len(self._starts), len(data.ts)))
        self._outs: tuple[np.ndarray, ...] | None = None
        self._batch = 0  # batches done in this epoch
        self._call = 0, 0  # batch and step with which the engine's last call began
        self._skip = 0  # batches of the next epoch that were done before the fit was resumed
        self._rng_before: dict | None = None  # within an epoch
        self._end = threading.RLock()  # held while an epoch ends: another thread that saves waits for it

    def epochs(self, count: int, position: Position | None = None) -> None:
        """Train until the history has `count` epochs, or until a callback stops the fit."""
        calls = self.calls(count, position)
        try:
            batches = next(calls)
            while True:
                try:
                    done = self.runner.trained(batches, self.threads)
                except BaseException as error:
                    batches = calls.throw(error)
                else:
                    batches = calls.send(done)
        except StopIteration:
            pass
        finally:
            calls.close()

    def calls(self, count: int, position: Position | None = None) -> Calls[None]:
        """`epochs` as a generator, whose caller makes the calls of the engine."""
        call = self.callbacks.call
        try:
            call("on_train_begin", self.history)
            if position is not None:
                self._go_to(position)
            yield from self._train_until(count)
            call("on_train_end", self.history)
        finally:
            call("on_close")

    def _train_until(self, count):
        try:
            while (self._skip or not self.callbacks.stopped) and len(self.history.epoch) < count:
                yield from self._epoch(len(self.history.epoch))
        except DivergenceError as error:
            if not self.callbacks.call("on_divergence", error):
                raise

    def _epoch(self, epoch):
        if self.callbacks.call("on_epoch_begin", epoch) and not self._skip:
            return
        begin = time.perf_counter()
        self._rng_before = self.rng.bit_generator.state
        logs, done = yield from self.trained(epoch)
        logs |= self.validated(epoch)
        with self._end:
            self.history.add(logs, time.perf_counter() - begin, done)
            self._batch, self._call, self._rng_before = 0, (0, self.runner.chain.t), None
            self._end_epoch(epoch, logs)

    def _end_epoch(self, epoch, logs):
        self.runner.optimizer.end_epoch(logs, self.history.history)
        self.callbacks.call("on_epoch_end", epoch, logs)

    def validated(self, epoch: int) -> dict[str, float]:
        """Loss and metrics of the validation data, in epochs that evaluate it."""
        if self.validation is None or (epoch + 1) % self.validation_freq:
            return {}
        return {f"val_{name}": value for name, value in self.runner.evaluated(self.validation, self.threads).items()}

    def trained(self, epoch: int) -> Calls[tuple[dict[str, float], int]]:
        """Go through the rows once; return the loss and metrics of the epoch, and the number of rows done."""
        order = self.data.order(self.rng if self.shuffle else None)
        loss, done = yield from self.batches(epoch, order)
        if self._outs is None:
            return {"loss": loss}, done
        seen, outs = self.data.take(order, slice(done), inputs=False), tuple(out[:done] for out in self._outs)
        return {"loss": loss, **self.runner.measured(seen.ts, outs, seen.weights)}, done

    def batches(self, epoch: int, order: np.ndarray | None) -> Calls[tuple[float, int]]:
        """Train on the batches of an epoch, until a callback stops the fit; return the mean loss and the rows done."""
        losses, sizes, callbacks = self._losses, self._sizes, self.callbacks
        if self.runner.metrics and not self._skip:
            self._outs = self.runner.new_outputs(self.data.rows)
        self._batch, self._skip = self._skip, 0

        def where(batch):
            return f" (epoch {epoch + 1}, batch {batch + 1})"

        while self._batch < len(sizes) and not callbacks.stopped:
            first, last = self._batch, self._batch + callbacks.until_next(len(sizes) - self._batch)
            self._call = first, self.runner.chain.t
            asked = self.runner.asked(
                self.data,
                losses,
                size=self.batch_size,
                order=order,
                first=first,
                last=last,
                seconds=SLICE,
                outs=self._outs,
                each_loss=self._each_loss,
            )
            batch = self._batch = self.runner.taken(asked, *(yield asked), where)
            loss, rows = float(losses[batch - 1]), min(batch * self.batch_size, self.data.rows)
            callbacks.batches_done(batch - first, batch - 1, loss)
            callbacks.call("on_tick", rows, {"loss": loss})
        return self._loss_of_batches(order)

    def _loss_of_batches(self, order):
        """The mean loss of the epoch's batches, weighted as `evaluate` weighs rows; and the number of rows done."""
        batch = self._batch
        if batch == len(self._sizes) and self._amounts is None:
            return mean_of_batches(self._each_loss, self._counted), self.data.rows
        return mean_of_batches(self._each_loss[:batch], self._counts(batch, order)), int(self._sizes[:batch].sum())

    @cached_property
    def _amounts(self):
        return self.runner.objective.amounts(self.data.ts, self.data.weights)

    @cached_property
    def _counted(self):
        return self._counts(len(self._sizes), None)

    def _counts(self, batch, order):
        edges = self._starts[:batch], self._starts[:batch] + self._sizes[:batch]
        return counted(self._amounts, len(self.data.ts), edges, order)

    # Position

    def _setting(self):
        """The settings that must not change when an epoch is resumed."""
        return {"rows": self.data.rows, "batch_size": self.batch_size, "shuffle": bool(self.shuffle)}

    def place(self, state_now: Callable[[], State]) -> tuple[State, Position]:
        """The state of the training and the position of the fit after the same step; safe to call during a pass."""
        with self._end:
            state = state_now()
            place = self.position(state.steps)
            return state, Position(place.state, {name: array.copy() for name, array in place.arrays.items()})

    def position(self, steps: int | None = None) -> Position:
        """The position of the fit, for a checkpoint: now, or after `steps` steps of this epoch."""
        callbacks, arrays = self.callbacks.state()
        history, batch = self.history, self._batch
        if steps is not None and 0 <= (then := self._call[0] + steps - self._call[1]) <= len(self._sizes):
            batch = then
        state = {
            "rows": self.data.rows,
            "batch_size": self.batch_size,
            "shuffle": bool(self.shuffle),
            **self._setting(),
            "batch": batch,
            "batches": self.callbacks.batches + batch - self._batch,
            "stopped": self.callbacks.stopped,
            "rng": self._rng_before or self.rng.bit_generator.state,
            "history": history.history,
            "seconds": history.seconds,
            "samples": history.samples,
            "callbacks": callbacks,
        }
        return Position(state, {**arrays, **self._within(batch)} if batch else arrays)

    def _within(self, batch):
        """The results of the unfinished epoch, as arrays."""
        done = self._sizes[:batch].sum()
        outs = {f"fit.outputs.{k}": out[:done] for k, out in enumerate(self._outs or ())}
        return {"fit.losses": self._losses[:batch], "fit.each_loss": self._each_loss[:batch], **outs}

    def _go_within(self, state, arrays):
        """Restore the results of the unfinished epoch."""
        batch = state["batch"]
        done = self._sizes[:batch].sum()
        self._outs = self.runner.new_outputs(self.data.rows) if self.runner.metrics else None
        self._losses[:batch] = checks.as_stored(arrays["fit.losses"], self._losses[:batch], "fit.losses")
        each = checks.as_stored(arrays["fit.each_loss"], self._each_loss[:batch], "fit.each_loss")
        self._each_loss[:batch] = each
        for k, out in enumerate(self._outs or ()):
            name = f"fit.outputs.{k}"
            out[:done] = checks.as_stored(arrays[name], out[:done], name)

    def check(self, position: Position) -> None:
        """Raise if this fit cannot resume from a position; nothing changes before that."""
        state = position.state
        self.history.check(state["history"])
        for name, here in self._setting().items() if state["batch"] else ():
            if state.get(name) != here:
                raise ValueError(
                    f"{name} is {state.get(name)} in the checkpoint and {here} here, and it was written within an epoch"
                )

    def _go_to(self, position):
        state, arrays = position
        batch = state["batch"]
        self.history.restore(state["history"], state["seconds"], state["samples"])
        if batch:
            try:
                self._go_within(state, arrays)
            except DAMAGE as error:
                what = f"{type(error).__name__}: {error}"
                raise ModelFormatError(f"the checkpoint does not hold what there was of the epoch: {what}") from error
        self._skip = batch
        self.rng.bit_generator.state = state["rng"]
        self.callbacks.restore(state["callbacks"], arrays)
        self.callbacks.batches = checks.as_count(state["batches"], "batches")
        self.callbacks.stopped = checks.as_bool(state["stopped"], "stopped")
