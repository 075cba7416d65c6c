"""Data that comes in batches: from an iterable of the user's, or from arrays through a function that changes them.

A batch is checked when it comes, and then is a step like any other: the bits are those of the same rows in arrays.
Rejected: to collect an epoch's batches in arrays first, which is what an iterable is there to avoid.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastbp.data.batches import Data
from fastbp.inputs import checks
from fastbp.training.fit import Fit, Position

Check = Callable[..., Data]  # of (X, y, sample_weight or None, how errors call them: "{} of batch 3")
NO_ROWS = Data((np.empty((0, 1)),), (), None)


def as_batches(X: Any, name: str) -> Iterable[Any]:
    """An iterable of batches, which stands where X and y are arrays elsewhere."""
    if hasattr(X, "shape") or isinstance(X, (str, bytes, Mapping)) or not isinstance(X, Iterable):
        raise TypeError(f"y is None, and {name} no iterable of batches (X, y) but {type(X).__name__}")
    return X


def is_batches(data: Any) -> bool:
    """Whether validation data is an iterable of batches, not (X, y) or (X, y, sample_weight)."""
    if isinstance(data, list):
        return bool(data) and all(isinstance(item, tuple) for item in data)
    other = isinstance(data, (tuple, str, bytes, Mapping)) or hasattr(data, "shape")
    return isinstance(data, Iterable) and not other


class Stream:
    """The batches of an iterable, epoch by epoch.

    With `steps` so many are one; the next epoch of a training goes on there, a validation begins again if it can.
    """

    def __init__(self, batches: Iterable[Any], check: Check, steps: int | None = None, prefix: str = ""):
        self._batches = batches
        self._check = check
        self._steps = steps
        self._prefix = prefix
        self._going_on: Iterator[Any] = iter(())
        self._taken = 0  # since the iterable was last begun, where epochs go on
        self._begun = 0  # the same when the epoch began

    @property
    def once(self) -> bool:
        """Whether the iterable can be gone through only once."""
        return isinstance(self._batches, Iterator)

    def setting(self) -> dict:
        """What must be the same for the rest of an epoch."""
        return {"steps_per_epoch": self._steps}

    def place(self, within: bool) -> int:
        """How many batches the iterable had given, since it was last begun, now or before the epoch."""
        return self._begun if within else self._taken

    def go_to(self, place: int) -> None:
        """Go on after so many batches of the iterable, where it can be begun again."""
        if self.once:
            return
        self._going_on, self._taken = iter(self._batches), place
        for count in range(place):
            if next(self._going_on, self) is self:
                raise ValueError(f"the batches ended after {count}; the checkpoint was written after {place}")

    def epoch(self) -> Iterator[Data]:
        """Checked batches."""
        count, self._begun = 0, self._taken
        if self._prefix and not self.once:
            self._going_on = iter(())
        for item in self._batches if self._steps is None else self._some(self._steps):
            count += 1
            X, y, weights = checks.as_validation(item, f"{self._prefix}batch {count}")
            yield self._check(X, y, weights, f"{self._prefix}{{}} of batch {count}")
        if count < (self._steps or 1):
            name = "validation_steps" if self._prefix else "steps_per_epoch"
            wanted = "" if self._steps is None else f" of the {self._steps} of {name}"
            raise ValueError(
                f"the {self._prefix}batches ended after {count}{wanted}; pass what can be gone through again, such as "
                f"a list or a DataLoader, or an endless generator with {name}"
            )

    def _some(self, steps):
        """The next batches; an iterable that ends begins again if it can."""
        for _ in range(steps):
            for _ in range(2):
                item = next(self._going_on, self)
                if item is not self:
                    break
                self._going_on, self._taken = iter(self._batches), 0
            if item is self:
                return
            self._taken += 1
            yield item


class Slices(NamedTuple):
    """The rows of checked arrays in batches, in an order of its own for each epoch."""

    data: Data
    batch_size: int
    shuffle: bool
    rng: "np.random.Generator"
    once: bool = False

    def setting(self) -> dict:
        """What must be the same for the rest of an epoch."""
        return {"rows": self.data.rows, "batch_size": self.batch_size, "shuffle": bool(self.shuffle)}

    def place(self, within: bool) -> int:
        """Each epoch begins at the beginning."""
        return 0

    def go_to(self, place: int) -> None:
        """Nothing to do: the generator of the order has been put back."""

    def epoch(self) -> Iterator[Data]:
        """Batches, which are copies."""
        rows = self.data.rows
        order = self.rng.permutation(rows) if self.shuffle else np.arange(rows)
        starts = range(0, rows, self.batch_size)
        return (self.data.take(order, slice(start, start + self.batch_size)) for start in starts)


class Augmented(NamedTuple):
    """Batches changed by a function (X, y, rng) -> (X, y) and checked again."""

    batches: Stream | Slices
    augment: Callable[..., Any]
    rng: "np.random.Generator"
    check: Check

    def epoch(self) -> Iterator[Data]:
        """Checked batches."""
        for k, batch in enumerate(self.batches.epoch()):
            xs, ts = (tuple(np.array(part[:]) for part in parts) for parts in (batch.xs, batch.ts))
            result = self.augment(*(parts[0] if len(parts) == 1 else parts for parts in (xs, ts)), self.rng)
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise TypeError(f"augment must return (X, y), got {type(result).__name__}")
            weights = None if batch.weights is None else checks.alone(batch.weights)
            yield self.check(*result, weights, f"{{}} of batch {k + 1} from augment")


class Done(NamedTuple):
    """A batch that was trained on: its rows, its loss, and its outputs where metrics want them."""

    rows: int
    loss: float
    outs: tuple[np.ndarray, ...]


class StreamFit(Fit):
    """A fit whose data comes in batches.

    Resumed within an epoch it goes through the batches that were done again, the function on each included, but does
    not train on them: the source and the generators are then where they were.
    """

    def __init__(self, trainer: Any, stream: Stream | Slices | Augmented, *rest: Any):
        super().__init__(trainer, NO_ROWS, *rest)
        self._stream = stream
        self._source = stream.batches if isinstance(stream, Augmented) else stream
        self._done: list[Done] = []
        self._stored: list[Done] = []

    def trained(self, epoch: int) -> tuple[dict[str, float], int]:
        """Go through the batches of an epoch; its loss and metrics, and the rows done."""
        trainer, callbacks = self.trainer, self.callbacks
        stored, self._stored, self._skip, self._batch, self._done = self._stored, [], 0, 0, []
        total, rows, seen = 0.0, 0, []
        for batch in self._stream.epoch():
            again = self._batch < len(stored)
            done = self._again(batch, stored[self._batch]) if again else self._step(batch, epoch)
            self._done.append(done)
            self._batch, total, rows = self._batch + 1, total + done.loss * done.rows, rows + done.rows
            if trainer.metrics:
                seen.append((batch, done.outs))
            if not again:
                callbacks.batches_done(trainer, 1, self._batch - 1, done.loss)
                callbacks.call("on_tick", trainer, rows, {"loss": done.loss})
            if self._batch >= len(stored) and callbacks.stopped:
                break
        if self._batch < len(stored):
            raise ValueError(f"the batches ended after {self._batch}; the checkpoint was written after {len(stored)}")
        self.history.params["batches"] = self._batch
        return {"loss": total / rows, **(trainer.measure(*joined(seen)) if seen else {})}, rows

    def _step(self, batch, epoch):
        outs = self.trainer.new_outputs(batch.rows) if self.trainer.metrics else ()
        where = f"epoch {epoch + 1}, batch {self._batch + 1}"
        loss = np.empty(1)
        what = (batch, None, batch.rows, 0, 1, 0.0, loss, outs or None)
        self.trainer.run(*what, where=lambda _: where, threads=self.threads)
        return Done(batch.rows, float(loss[0]), outs)

    def _again(self, batch, stored):
        if batch.rows != stored.rows:
            raise ValueError(
                f"batch {self._batch + 1} has {batch.rows} rows here and {stored.rows} in the checkpoint, which was "
                "written within an epoch: pass the same batches in the same order"
            )
        return stored

    # Where it is

    def _setting(self):
        return self._source.setting()

    def position(self) -> Position:
        """Where the fit is now, for a file."""
        state, arrays = super().position()
        return Position({**state, "place": self._source.place(self._batch > 0)}, arrays)

    def _within(self):
        outs = zip(*(done.outs for done in self._done), strict=True)
        return {
            "fit.losses": np.array([done.loss for done in self._done]),
            "fit.rows": np.array([done.rows for done in self._done]),
            **{f"fit.outputs.{k}": np.concatenate(each) for k, each in enumerate(outs)},
        }

    def check(self, position: Position) -> None:
        """Raise if this fit cannot go on from there; nothing has changed then."""
        super().check(position)
        if position.state["batch"] and self._source.once:
            raise ValueError(
                "the checkpoint was written within an epoch, whose batches must come again; what can be gone through "
                "only once, such as a generator, is resumed between epochs"
            )

    def _go_within(self, state, arrays):
        count = state["batch"]
        losses = _stored(arrays, "fit.losses", (count,), np.float64)
        rows = _stored(arrays, "fit.rows", (count,), np.int64)
        if rows.min() < 1:
            raise ValueError(f"a batch of {rows.min()} rows")
        outs = tuple(
            _stored(arrays, f"fit.outputs.{k}", (int(rows.sum()), node.width), self.trainer.net.dtype)
            for k, node in enumerate(self.trainer.net.outputs if self.trainer.metrics else ())
        )
        ends = np.cumsum(rows)
        self._stored = [
            Done(int(n), float(loss), tuple(out[end - n : end] for out in outs))
            for n, loss, end in zip(rows, losses, ends, strict=True)
        ]

    def _go_to(self, position: Position):
        super()._go_to(position)
        self._source.go_to(checks.as_count(position.state.get("place", 0), "place"))


def _stored(arrays, name, shape, dtype):
    """An array of a file, which may claim any shape: compared with one that takes no memory."""
    return checks.as_stored(arrays[name], np.broadcast_to(np.zeros((), dtype), shape), name)


def joined(parts: list[tuple[Data, tuple[np.ndarray, ...]]]) -> tuple:
    """Targets, outputs and weights of all batches, from batches and their outputs."""
    if len(parts) == 1:
        return parts[0][0].ts, parts[0][1], parts[0][0].weights
    ts = tuple(np.concatenate(arrays) for arrays in zip(*(batch.ts for batch, _ in parts), strict=True))
    ys = tuple(np.concatenate(arrays) for arrays in zip(*(outs for _, outs in parts), strict=True))
    if all(batch.weights is None for batch, _ in parts):
        return ts, ys, None
    return ts, ys, tuple(_weights([batch for batch, _ in parts], k, Y.dtype) for k, Y in enumerate(ys))


def _weights(batches, k, dtype):
    """Of an output in all batches; they have the targets' shape if they have it in one of them."""
    given = [None if batch.weights is None else batch.weights[k] for batch in batches]
    of_values = any(w is not None and w.ndim == 2 for w in given)
    shapes = [batch.ts[k].shape if of_values else (batch.rows,) for batch in batches]
    parts = [np.ones(shape, dtype) if w is None else w for w, shape in zip(given, shapes, strict=True)]
    if of_values:
        parts = [np.broadcast_to(w.reshape(len(w), -1), s) for w, s in zip(parts, shapes, strict=True)]
    return np.concatenate(parts)
