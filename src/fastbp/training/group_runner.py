"""GroupRunner: steps of one network on many ranks, each with its part of the batch.

A step is one sum over the ranks: the gradient, followed by a few numbers, which are the losses, the counts over which
they are means, how many ranks have rows, and how many want to stop. A rank without rows, or with an error, adds zeros
and reports it in these numbers, so that no rank waits for another. Sums, not means of means, give the gradient of the
whole batch.
"""

import json
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.data.batches import Data
from fastbp.data.streams import Seen, Stream, joined
from fastbp.distributed.ranks import DTYPES, Ranks
from fastbp.errors import DivergenceError
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.collecting import Collected, Part, Statistics, checked_batch, collect, counted, masks, moved
from fastbp.training.normalizing import Meeting
from fastbp.training.training_data import without_rows

CHECK_EVERY = 100  # steps from one comparison of the parameters to the next: 1 GB/s of checksums, 0.04 ms a step of 1e6


class Shared(NamedTuple):
    """The result of a step: for each output, the sums over all ranks; the numbers of rows and steps of all ranks."""

    found: Collected
    rows: int
    steps: int = 1
    stops: bool = False  # a rank wants to stop


class GroupRunner(BatchRunner):
    """A runner whose steps are common to all ranks; with `average_every` above 1, each rank makes steps of its own."""

    def __init__(self, runner: BatchRunner, ranks: Ranks, average_every: int, sync_batch_norm: bool):
        super().__init__(runner.net, runner.objective, runner.metrics, runner.optimizer)
        self.ranks, self.every = ranks, average_every
        self.rng = np.random.default_rng(0)  # this rank's generator; `begin_epoch` seeds it
        programs, outputs = self.net.programs, len(self.objective.losses)
        self._message = programs.message
        self._tail = self._message[len(self.net.params) :]
        if len(self._tail) != 3 * outputs + 3:
            raise ValueError(f"a group trains the network that has the parameters, and {self.net!r} shares another's")
        self._ahead = programs.draws_at_random() or (outputs > 1 and masks(self))
        self._meeting = Meeting(ranks, programs.coupled()) if sync_batch_norm and programs.coupled() else None
        self._local: list[Collected] = []  # results of the steps since the last averaging
        self._local_rows = 0
        self.begun = False
        self._steps = 0  # steps of a custom loop
        self._waits: BaseException | None = None  # an error to raise when the ranks synchronize

    # Steps common to all ranks

    def share(
        self,
        parts: list[Part],
        *,
        error: BaseException | None = None,
        stop: bool = False,
        outs: Sequence[tuple[np.ndarray, ...]] = (),
        threads: int | None = None,
        where: str = "",
    ) -> Shared | None:
        """Train on at most `average_every` parts; if no rank has a part or a rank stops, do nothing and return None.

        An error that one rank raises, or passes as `error`, is raised on all.
        """
        if self.every > 1:
            for k, part in enumerate(parts if error is None else ()):
                error = error or self.step_alone(part, outs[k] if outs else None, threads, where)
            return self.average(error, stop, bool(parts))
        statistics, draws = Statistics(self), self.net.programs.draws
        found, rows, error = self._found(parts[0] if parts else None, error, outs[0] if outs else None, threads)
        self._write(found, rows, stop, bool(parts), error)
        averages = statistics.take()
        for part, values in zip(self.net.programs.statistics(), averages, strict=True):
            self.net.grads[part] = 0 if error is not None or not found.known[0] else values * found.known[0]
        read = self._sum(error)
        done = read is not None and not read.stops
        self.net.programs.draws = draws + done
        if read is None or not done:
            self.net.grads[...] = 0
            return None
        self._update(read, statistics, threads, where)
        return read

    def _found(self, part, error, outs, threads):
        """Run the pass over this rank's part; return an error instead of raising it."""
        nothing = np.zeros(len(self.objective.losses))
        found, rows, scales, first = Collected(nothing, nothing, nothing), 0, np.ones(len(nothing)), 0
        counts = None
        if error is None and part is not None:
            try:
                counts, rows = counted(self, part), part.rows
            except BaseException as raised:
                error = raised
        if self._ahead:
            table = self.ranks.each(rows, *(nothing if counts is None else counts[0]))
            first, known = int(table[: self.ranks.rank, 0].sum()), table[:, 1:].sum(axis=0)
            if len(known) > 1 and masks(self):
                scales = np.divide(1, known, where=known > 0, out=np.zeros(len(known)))
        if counts is not None:
            more = {"first": first, "meeting": self._meeting, "outs": outs, "threads": threads}
            try:
                found = collect(self, part, counts=counts, scales=scales, **more)
            except BaseException as raised:
                error = raised
        if counts is None or error is not None:
            self.net.grads[...] = 0
        if self._meeting is not None:
            self._meeting.finish(error is not None)
        return found, rows, error

    def _write(self, found, rows, stop, active, error):
        """Write the numbers after the gradient: sums, known and weights of each output; rows; active; stop."""
        tail = self._tail
        tail[:-3] = np.concatenate(found[:3])
        tail[-3:] = rows, active, stop
        if error is not None:
            tail[...] = 0
            tail[-1] = math.nan

    def _sum(self, error):
        """The sums over all ranks; None if no rank is active."""
        tail = self.ranks.sum(self._message)[len(self.net.params) :].astype(np.float64)
        if math.isnan(tail[-1]):
            self.net.grads[...] = 0
            self.ranks.raise_together(error)
        return Shared(Collected(*tail[:-3].reshape(3, -1)), int(tail[-3]), 1, bool(tail[-1])) if tail[-2] else None

    def _update(self, shared, statistics, threads, where):
        net, known = self.net, shared.found.known
        factor = net.dtype.type(1 / known[0] if known[0] else 0)
        if known[0]:
            statistics.put([net.grads[part] * factor for part in net.programs.statistics()])
        if not (len(known) > 1 and masks(self)):
            grads = net.grads
            grads *= factor
        for part in net.programs.statistics():
            net.grads[part] = 0
        loss, step = shared.found.loss, self.chain.t + 1
        try:
            if not math.isfinite(loss):
                raise self.diverged(1, loss, step, where)
            moved(self, loss, float(shared.rows), threads, where)
        except DivergenceError as error:  # the same error on all ranks
            self.ranks.settled = error
            raise
        if self.chain.t % CHECK_EVERY == 0:
            self.compare()

    def compare(self) -> None:
        """Raise on all ranks if their parameters differ."""
        self.ranks.compare(f"checksums of the parameters after step {self.chain.t}", zlib.crc32(self.net.params.data))

    # Steps of each rank on its own, and averages of the parameters

    def step_alone(
        self, part: Part, outs: tuple[np.ndarray, ...] | None, threads: int | None, where: str
    ) -> BaseException | None:
        """Make a step on this rank's rows alone; return the error that it raised, or None."""
        losses, each_loss = np.empty(part.batch + 1), np.empty((part.batch + 1, len(part.data.ts)))
        try:
            known, weights = counted(self, part)
            batches = self.asked(
                part.data,
                losses,
                size=part.size,
                order=part.order,
                first=part.batch,
                last=part.batch + 1,
                outs=outs,
                each_loss=each_loss,
            )
            self.run(batches, threads, lambda _: where)
        except BaseException as error:
            return error
        self._local.append(Collected(each_loss[-1] * known, known, weights))
        self._local_rows += part.rows
        return None

    def average(self, error: BaseException | None, stop: bool = False, active: bool = True) -> Shared | None:
        """Average the parameters over all ranks, weighted by the rows that each rank had since the last average."""
        nothing = np.zeros(len(self.objective.losses))
        found = (
            Collected(*(np.sum(parts, axis=0) for parts in list(zip(*self._local, strict=True))[:3]))
            if self._local
            else None
        )
        rows, steps = self._local_rows, len(self._local)
        self._local, self._local_rows = [], 0
        np.multiply(self.net.params, rows, out=self.net.grads)
        self._write(found or Collected(nothing, nothing, nothing), rows, stop, active, error)
        read = self._sum(error)
        ends = self.ranks.each(self.chain.t, self.net.programs.draws, steps)
        if read is not None and read.rows:
            np.divide(self.net.grads, read.rows, out=self.net.params)
        self.net.grads[...] = 0
        self.chain.t, self.net.programs.draws = int(ends[:, 0].max()), int(ends[:, 1].max())
        return read and read._replace(steps=int(ends[:, 2].max()))

    def step(self, rng: np.random.Generator, X: Any, y: Any, sample_weight: Any, threads: int | None) -> float:
        """`Trainer.step` in a group: the loss of the whole batch, or of this rank's rows between two averages."""
        self.begin(rng)
        parts, error = [], None
        try:
            if not without_rows(X, y):
                data = checked_batch(self.net, self.objective, X, y, sample_weight)
                parts = [Part(data, data.rows)]
        except BaseException as raised:
            error = raised
        if self.every > 1:
            return self._step_until_average(parts, error, threads)
        shared = self.share(parts, error=error, threads=threads)
        if shared is None:
            raise ValueError("no rank has rows")
        return shared.found.loss

    def _step_until_average(self, parts, error, threads):
        for part in parts:
            error = self.step_alone(part, None, threads, "")
        self._waits = error or self._waits
        self._steps += 1
        loss = self._local[-1].loss if parts and error is None else math.nan
        if self._steps % self.every == 0:
            error, self._waits = self._waits, None
            self.average(error)
        return loss

    # Between steps

    def prepared(self, prepare: Callable[[bool], Any], rng: np.random.Generator, watches: bool) -> Any:
        """Call `prepare` on every rank with whether any has validation data; an error on one rank is raised on all."""
        self.begin(rng)
        validated, error, result = self.ranks.agree(None, watches), None, None
        try:
            result = prepare(validated)
        except BaseException as raised:
            error = raised
        self.ranks.agree(error)
        return result

    def begin(self, rng: np.random.Generator) -> None:
        """Give all ranks the state of rank 0: parameters, optimizer state, counts, seeds, generators."""
        if self.begun:
            return
        ranks, programs, chain = self.ranks, self.net.programs, self.chain
        ranks.compare("numbers of parameters", self.net.params.size)
        ranks.compare("numbers that the optimizers keep", chain.states.size)
        ranks.broadcast(self.net.params)
        if chain.states.size:
            ranks.broadcast(chain.states.reshape(-1))
        counts = {"t": chain.t, "draws": programs.draws, "seed": self.net.seed, "epoch": self.optimizer.epoch}
        counts |= {"loss": repr(chain.loss), "rng": rng.bit_generator.state}
        counts = json.loads(ranks.broadcast_text(json.dumps(counts)))
        chain.t, chain.loss, programs.draws = counts["t"], float(counts["loss"]), counts["draws"]
        self.net.seed = programs.seed = counts["seed"]
        self.optimizer.epoch, rng.bit_generator.state = counts["epoch"], counts["rng"]
        self.begun = True

    def end_epoch(self) -> None:
        """Average the optimizer's state over all ranks, if they made steps on their own."""
        if self.every > 1 and self.chain.states.size:
            states = self.ranks.sum(self.chain.states.reshape(-1))
            states /= self.ranks.size
        self.compare()

    def gathered(self, seen: list) -> tuple:
        """Targets, outputs and weights of the rows of all ranks; `seen` has the batches and outputs of this rank."""
        arrays: list = [None] * 3 * len(self.objective.losses)
        error = None
        try:
            if seen:
                ts, ys, weights = joined(seen)
                arrays = [*map(_plain, ts), *ys, *(weights or [None] * len(ts))]
        except BaseException as raised:
            error = raised
        self.ranks.agree(error)
        outputs, parts = len(self.objective.losses), []
        for found in self.ranks.gather(arrays):
            ts, ys, weights = (tuple(found[k * outputs : (k + 1) * outputs]) for k in range(3))
            if ts[0] is not None:
                given = None if all(w is None for w in weights) else weights
                parts.append(Seen(ts, ys, given))
        return joined(parts)

    def evaluated(self, data: Data | Stream, threads: int | None = None) -> dict[str, float]:
        """Loss and metrics of the rows of all ranks; all ranks must make this call."""
        error, seen = None, []
        try:
            for batch in [data] if isinstance(data, Data) else data.epoch():
                if batch.rows:
                    ys = self.net.programs.predict(batch.xs, threads)
                    seen.append(Seen(batch.ts, ys, batch.weights) if batch is data else Seen.of(batch, ys))
        except BaseException as raised:
            error = raised
        self.ranks.agree(error)
        ts, ys, weights = self.gathered(seen)
        return {"loss": self.objective.mean_loss(ys, ts, weights), **self.measured(ts, ys, weights)}


def _plain(t):
    """Targets in a dtype that ranks can exchange."""
    return t if t.dtype in DTYPES else t.astype(np.int64 if t.dtype.kind in "biu" else np.float64)
