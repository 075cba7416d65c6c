"""Fits on streams of batches: iterables, generators, DataLoaders."""

from typing import Any, NamedTuple

import numpy as np

from fastbp.data.streams import NO_ROWS, Augmented, Seen, Slices, Stream, joined
from fastbp.inputs import checks
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.fit import Calls, Fit, Position
from fastbp.training.objective import counted, mean_of_batches


class Done(NamedTuple):
    """A batch after its step: rows, loss, the loss and weight of each output, outputs.

    `counted` is an array (outputs, 2) of `objective.counted`; outputs are kept if metrics need them.
    """

    rows: int
    loss: float
    each_loss: np.ndarray
    counted: np.ndarray
    outs: tuple[np.ndarray, ...]


class StreamFit(Fit):
    """A fit on a stream of batches.

    When resumed within an epoch, it iterates over the batches that are already done and augments them, without training
    on them, so that the source and the generators reach the same state.
    """

    def __init__(self, runner: BatchRunner, rng: np.random.Generator, stream: Stream | Slices | Augmented, *rest: Any):
        super().__init__(runner, rng, NO_ROWS, *rest)
        self._stream = stream
        self._source = stream.batches if isinstance(stream, Augmented) else stream
        self._done: list[Done] = []
        self._stored: list[Done] = []

    def trained(self, epoch: int) -> Calls[tuple[dict[str, float], int]]:
        """Go through the batches of an epoch; return its loss and metrics, and the number of rows done."""
        runner, callbacks = self.runner, self.callbacks
        stored, self._stored, self._skip, self._batch, self._done = self._stored, [], 0, 0, []
        rows, seen = 0, []
        for batch in self._stream.epoch():
            again = self._batch < len(stored)
            done = self._again(batch, stored[self._batch]) if again else (yield from self._step(batch, epoch))
            self._done.append(done)
            self._batch, rows = self._batch + 1, rows + done.rows
            if runner.metrics:
                seen.append(Seen.of(batch, done.outs))
            if not again:
                callbacks.batches_done(1, self._batch - 1, done.loss)
                callbacks.call("on_tick", rows, {"loss": done.loss})
            if self._batch >= len(stored) and callbacks.stopped:
                break
        if self._batch < len(stored):
            raise ValueError(f"the batches ended after {self._batch}; the checkpoint was written after {len(stored)}")
        self.history.params["batches"] = self._batch
        each_loss = np.array([done.each_loss for done in self._done])
        loss = mean_of_batches(each_loss, np.stack([done.counted for done in self._done], axis=2))
        return {"loss": loss, **(runner.measured(*joined(seen)) if seen else {})}, rows

    def _step(self, batch, epoch):
        outs = self.runner.new_outputs(batch.rows) if self.runner.metrics else ()
        where = f" (epoch {epoch + 1}, batch {self._batch + 1})"
        loss, each_loss = np.empty(1), np.empty((1, len(batch.ts)))
        asked = self.runner.asked(batch, loss, size=batch.rows, outs=outs or None, each_loss=each_loss)
        self.runner.taken(asked, *(yield asked), lambda _: where)
        amounts = self.runner.objective.amounts(batch.ts, batch.weights)
        sums = counted(amounts, len(batch.ts), (np.array([0]), np.array([batch.rows])))
        return Done(batch.rows, float(loss[0]), each_loss[0], sums[..., 0], outs)

    def _again(self, batch, stored):
        if batch.rows != stored.rows:
            raise ValueError(
                f"batch {self._batch + 1} has {batch.rows} rows here and {stored.rows} in the checkpoint, which was "
                "written within an epoch: pass the same batches in the same order"
            )
        return stored

    # Position

    def _setting(self):
        return self._source.setting()

    def position(self, steps: int | None = None) -> Position:
        """The current position of the fit, for a checkpoint; each call of the engine trains one batch."""
        state, arrays = super().position()
        return Position({**state, "place": self._source.place(self._batch > 0)}, arrays)

    def _within(self, batch):
        outs = zip(*(done.outs for done in self._done), strict=True)
        return {
            "fit.losses": np.array([done.loss for done in self._done]),
            "fit.rows": np.array([done.rows for done in self._done]),
            "fit.each_loss": np.array([done.each_loss for done in self._done]),
            "fit.counted": np.array([done.counted for done in self._done]),
            **{f"fit.outputs.{k}": np.concatenate(each) for k, each in enumerate(outs)},
        }

    def check(self, position: Position) -> None:
        """Raise if this fit cannot resume from a position; nothing changes before that."""
        super().check(position)
        if position.state["batch"] and self._source.once:
            raise ValueError(
                "the checkpoint was written within an epoch, whose batches must come again; what can be gone through "
                "only once, such as a generator, is resumed between epochs"
            )

    def _go_within(self, state, arrays):
        count = state["batch"]
        losses = stored(arrays, "fit.losses", (count,), np.float64)
        rows = stored(arrays, "fit.rows", (count,), np.int64)
        outputs = len(self.runner.net.outputs)
        each_loss = stored(arrays, "fit.each_loss", (count, outputs), np.float64)
        counted = stored(arrays, "fit.counted", (count, outputs, 2), np.float64)
        if rows.min() < 1:
            raise ValueError(f"a batch of {rows.min()} rows")
        outs = tuple(
            stored(arrays, f"fit.outputs.{k}", (int(rows.sum()), node.width), self.runner.net.dtype)
            for k, node in enumerate(self.runner.net.outputs if self.runner.metrics else ())
        )
        ends = np.cumsum(rows)
        self._stored = [
            Done(int(n), float(loss), *more, tuple(out[end - n : end] for out in outs))
            for n, loss, *more, end in zip(rows, losses, each_loss, counted, ends, strict=True)
        ]

    def _go_to(self, position: Position):
        super()._go_to(position)
        self._source.go_to(checks.as_count(position.state.get("place", 0), "place"))


def stored(arrays, name, shape, dtype):
    """An array of a file, checked; the file may claim any shape, so the array it is compared with takes no memory."""
    return checks.as_stored(arrays[name], np.broadcast_to(np.zeros((), dtype), shape), name)
