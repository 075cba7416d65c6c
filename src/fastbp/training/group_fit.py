"""GroupFit: a fit of all ranks of a group together, each on its own rows.

All ranks see the same losses, logs and metrics, so their callbacks decide alike. If one rank alone decides to stop or
raises, all ranks do. A shared generator seeds the ranks' own generators, which shuffle, so that a checkpoint of one
rank resumes all ranks.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.callbacks.callback import Callback, Callbacks
from fastbp.data.batches import Data
from fastbp.data.streams import NO_ROWS, Seen
from fastbp.inputs import checks
from fastbp.training.collecting import Collected, Part
from fastbp.training.fit import SLICE, Calls, Fit, Position
from fastbp.training.group_runner import GroupRunner, Shared
from fastbp.training.objective import mean_of_batches
from fastbp.training.row_sets import RowSets
from fastbp.training.state import State
from fastbp.training.stream_fit import stored

if TYPE_CHECKING:
    from fastbp._trainer import Trainer

FOUND = ("sums", "known", "weights")


class GroupCallbacks(Callbacks):
    """Callbacks of all ranks: if one rank stops or raises, all ranks do."""

    def __init__(self, trainer: "Trainer", callbacks: Any, runner: GroupRunner):
        checks.instances(callbacks, Callback, "callbacks")
        super().__init__(trainer, [each for each in callbacks if runner.ranks.rank == 0 or not each.writes])
        self._ranks = runner.ranks
        self.error: BaseException | None = None
        self.wants = False  # this rank wants to stop; the next step tells the other ranks

    def call(self, hook: str, *args: Any, callbacks: Any = None) -> bool:
        """Call a hook; all ranks synchronize after the hooks of epochs."""
        if hook == "on_close":
            return super().call(hook, *args, callbacks=callbacks)
        said, error, stopped = False, self.error, self.stopped
        try:
            said = super().call(hook, *args, callbacks=callbacks)
        except BaseException as raised:
            error = error or raised
        self.stopped = stopped
        if hook in ("on_tick", "on_batch_end"):
            self.error, self.wants = error, self.wants or said
            return said
        said = self._ranks.agree(error, said or self.wants)
        self.wants, self.stopped = False, stopped or said
        return said


class GroupFit(Fit):
    """A fit of all ranks: of arrays or of a stream of batches."""

    callbacks: GroupCallbacks
    runner: GroupRunner

    def __init__(self, runner: GroupRunner, rng: np.random.Generator, data: Any, *rest: Any):
        if isinstance(data, RowSets):
            raise TypeError("a group trains on arrays or batches, not on row sets")
        self._stream = None if isinstance(data, Data) else data
        super().__init__(runner, rng, data if isinstance(data, Data) else NO_ROWS, *rest)
        self._source = getattr(data, "batches", data) if self._stream is not None else None
        self._shared: list[Shared] = []
        self._in_epoch = False

    def epochs(self, count: int, position: Position | None = None) -> None:
        """Train as `Fit.epochs` does; an error on one rank is raised on all."""
        try:
            super().epochs(count, position)
        except BaseException as error:
            ranks = self.runner.ranks
            if error is ranks.settled:
                raise
            if self._in_epoch:
                self.runner.share([], error=error)
            ranks.agree(error)

    def trained(self, epoch: int) -> Calls[tuple[dict[str, float], int]]:
        """Go through the rows of all ranks once."""
        yield from ()  # the runner calls the engine itself
        runner, callbacks = self.runner, self.callbacks
        seed = [int(self.rng.integers(2**63)), runner.ranks.rank]
        runner.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        parts, seen = self._parts(), []
        self._in_epoch, told = True, time.perf_counter()
        for _ in range(self._skip):
            next(parts, None)
        if not self._skip:
            self._shared = []
        self._batch, self._skip, whole = len(self._shared), 0, runner.new_outputs(self.data.rows)
        while not callbacks.stopped:
            taken, outs, error = [], [], callbacks.error
            try:
                for part in parts if error is None else ():
                    taken.append(part)
                    if len(taken) == runner.every:
                        break
                if runner.metrics:
                    outs = [runner.new_outputs(part.rows) if self._stream else whole for part in taken]
            except BaseException as raised:
                error = raised
            where = f" (epoch {epoch + 1}, batch {self._batch + 1})"
            shared = runner.share(
                taken, error=error, stop=callbacks.wants, outs=outs, threads=self.threads, where=where
            )
            if shared is None:
                break
            for part, out in zip(taken, outs, strict=False):
                targets = part.data.take(part.order, part.place, inputs=False)
                seen.append(Seen.of(targets, tuple(y[part.place] for y in out)))
            self._shared.append(shared)
            self._batch += 1
            loss = shared.found.loss
            callbacks.batches_done(shared.steps, self._batch - 1, loss)
            callbacks.stopped |= shared.stops
            if time.perf_counter() - told > SLICE:
                told = time.perf_counter()
                callbacks.call("on_tick", sum(each.rows for each in self._shared), {"loss": loss})
        self._in_epoch = False
        return self._finished(seen)

    def _finished(self, seen):
        """The logs of the epoch, and the number of rows of all ranks."""
        runner = self.runner
        if runner.ranks.agree(self.callbacks.error, self.callbacks.wants):
            self.callbacks.stopped = True
        runner.end_epoch()
        self.history.params["batches"] = self._batch
        if not self._shared:
            raise ValueError("no rank has rows")
        counted = np.stack([[each.found.known, each.found.weights] for each in self._shared], axis=2)
        known = np.where(counted[0] == 0, np.inf, counted[0])
        each_loss = np.stack([each.found.sums for each in self._shared]) / known.T
        logs = {"loss": mean_of_batches(each_loss, np.moveaxis(counted, 1, 0))}
        if runner.metrics:
            logs |= runner.measured(*runner.gathered(seen))
        return logs, sum(each.rows for each in self._shared)

    def _parts(self) -> Iterator[Part]:
        """The parts of the epoch's batches for this rank."""
        if self._stream is not None:
            return (Part(batch, batch.rows) for batch in self._stream.epoch())
        data, size = self.data, self.batch_size
        order = data.order(self.runner.rng if self.shuffle else None)
        return (Part(data, size, order, batch) for batch in range(-(-data.rows // size)))

    # Position

    def _setting(self):
        size = self.runner.ranks.size
        own = {} if self._source is None else self._source.setting()
        return {**own, "batch_size": self.batch_size, "shuffle": bool(self.shuffle), "ranks": size}

    def place(self, state_now: Callable[[], State]) -> tuple[State, Position]:
        """The state of the training and the position of the fit, both after the same step."""
        with self._end:
            return state_now(), self.position()

    def position(self, steps: int | None = None) -> Position:
        """The current position of the fit, which is the same on all ranks."""
        state, arrays = super().position()
        place = {} if self._source is None else {"place": self._source.place(self._batch > 0)}
        return Position({**state, **place}, arrays)

    def _within(self, batch):
        parts = {f"fit.{name}": np.stack([getattr(each.found, name) for each in self._shared]) for name in FOUND}
        return {**parts, "fit.rows": np.array([each.rows for each in self._shared])}

    def check(self, position: Position) -> None:
        """Raise if this fit cannot resume from a position."""
        super().check(position)
        if position.state["batch"] and (self.runner.metrics or self.runner.every > 1):
            raise ValueError(
                "the checkpoint was written within an epoch, which ranks cannot resume with metrics, whose "
                "outputs they had, or with average_every above 1; resume between epochs"
            )

    def _go_within(self, state, arrays):
        count, outputs = state["batch"], len(self.runner.objective.losses)
        parts = [stored(arrays, f"fit.{name}", (count, outputs), np.float64) for name in FOUND]
        rows = stored(arrays, "fit.rows", (count,), np.int64)
        self._shared = [Shared(Collected(*each), int(n)) for n, *each in zip(rows, *parts, strict=True)]

    def _go_to(self, position):
        super()._go_to(position)
        if self._source is not None:
            self._source.go_to(checks.as_count(position.state.get("place", 0), "place"))
