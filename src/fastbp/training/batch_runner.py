"""BatchRunner: runs batches of checked data through the engine, and computes metrics.

Every step, of a loop by hand or of a fit, goes through `trained`: one call into the engine for many batches, or one
batch in Python where a loss is written in Python.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import _engine
from fastbp._typing import WeightsOf
from fastbp.data.batches import Data
from fastbp.data.streams import Seen, Stream, joined
from fastbp.errors import DivergenceError
from fastbp.inputs.array_sources import refuse_unfit
from fastbp.metrics.metric import Metric
from fastbp.network.network import Network
from fastbp.optimizers.optimizer import Optimizer
from fastbp.training import training_data
from fastbp.training.measuring import Measured
from fastbp.training.objective import Objective, mean_of_batches

UNFIT = 4  # status of the engine: an input of the batch was not finite


class BatchRunner:
    """A network with its objective, its optimizer and its metrics."""

    def __init__(self, net: Network, objective: Objective, metrics: dict[str, Measured], optimizer: Optimizer):
        self.net, self.objective, self.metrics, self.optimizer = net, objective, metrics, optimizer
        self.chain = optimizer.chain_for(net)
        self._planned = np.empty(0)  # learning rates
        self._place: tuple = ()  # the schedule and batches of these rates
        self._before = 0  # steps before the batches that were asked for last
        self._tried: tuple | None = None  # the shapes of targets that the metrics were tried on

    def checked(
        self,
        X: Any,
        y: Any,
        sample_weight: WeightsOf = None,
        name: str = "{}",
        *,
        class_weight: Any = None,
        check_finite: bool = True,
        part: bool = False,
        training: bool = False,
    ) -> Data:
        """Check a user's arguments and return them as data; raise if they or a metric do not fit network or loss."""
        objective, rest = self.objective, (class_weight, check_finite, part, training)
        data = training_data.checked(self.net, objective, X, y, sample_weight, name, *rest)
        form = tuple(t.shape[1:] for t in data.ts)
        if form != self._tried:
            for metric in self.metrics.values():
                if isinstance(metric.function, Metric):
                    metric.try_on(data.ts[metric.output], self.net.outputs[metric.output].width)
            self._tried = form
        return data

    def run(self, batches: _engine.Batches, threads: int | None, where: Callable[[int], str] = lambda _: "") -> int:
        """Train on batches; returns the first that was not trained on."""
        return self.taken(batches, *self.trained(batches, threads), where)

    def asked(
        self,
        data: Data,
        losses: np.ndarray,
        *,
        size: int,
        order: np.ndarray | None = None,
        first: int = 0,
        last: int = 1,
        seconds: float = 0.0,
        outs: tuple[np.ndarray, ...] | None = None,
        each_loss: np.ndarray | None = None,
    ) -> _engine.Batches:
        """What the engine is to train on: batches first ... last - 1 of `size` rows each.

        It returns after about `seconds` (0: when all batches are done), and writes the loss of each batch and, if
        wanted, what each output adds to it, and the outputs.
        """
        self._before = self.chain.t
        return _engine.Batches(
            xs=data.xs,
            ts=data.ts,
            weights=data.weights,
            terms=self.objective.terms,
            chain=self.chain,
            rates=None if self.objective.terms is None else self._rates(first, last),
            order=order,
            size=size,
            first=first,
            last=last,
            seconds=seconds,
            losses=losses,
            each_loss=each_loss,
            outs=outs,
        )

    def trained(self, batches: _engine.Batches, threads: int | None) -> tuple[int, int]:
        """Train on batches, in one call of the engine, or on one where the loss is in Python; (next batch, status)."""
        if batches.terms is None:
            return self._batch_in_python(batches, threads)
        return self.net.programs.run(batches, threads)

    def taken(self, batches: _engine.Batches, batch: int, status: int, where: Callable[[int], str]) -> int:
        """The next batch, with the learning rate that the last one had; or the error for a status."""
        size, first, rates = batches.size, batches.first, batches.rates
        if batch > first and isinstance(rates, np.ndarray):
            self.optimizer.take_rate(self.chain.t - 1, rates[batch - 1])
        if status == UNFIT:
            refuse_unfit(batches.xs, batches.order, slice(batch * size, (batch + 1) * size))
        if status:
            raise self.diverged(status, batches.losses[batch], self._before + batch - first + 1, where(batch))
        return batch

    def _rates(self, first, last):
        """The learning rates of batches first ... last - 1: one, or an array that is made once for an epoch."""
        if not self.optimizer.by_steps:
            return self.optimizer.next_rate(self.chain.t)
        place = (self.optimizer.schedule, self.chain.t - first, last)
        if self._place != place:
            if last - first == 1:
                return self.optimizer.next_rate(self.chain.t)
            self._place, self._planned = place, self.optimizer.rates(self.chain.t, first, last)
        return self._planned

    def diverged(self, status: int, loss: float, step: int, where: str = "") -> DivergenceError:
        """The error for a status of the engine."""
        what = f"the loss became {loss}" if status == 1 else "the update was not finite"
        return self.optimizer.diverged(f"{what} at step {step}{where}")

    def _batch_in_python(self, batches, threads):
        programs, batch, losses, each_loss = self.net.programs, batches.first, batches.losses, batches.each_loss
        rows = slice(batch * batches.size, (batch + 1) * batches.size)
        data = Data(batches.xs, batches.ts, batches.weights)
        xs, ts, weights, _ = data.take(batches.order, rows)
        ys = programs.forward(xs, True, threads)
        values, dys = zip(*self.objective.each(ys, ts, weights), strict=True)
        losses[batch] = sum(values)
        if each_loss is not None:
            each_loss[batch] = values
        if not math.isfinite(losses[batch]):
            return batch, 1
        for out, y in zip(batches.outs or (), ys, strict=batches.outs is not None):
            out[rows] = y
        programs.backward(dys, False, threads)
        fine = programs.update(self.chain, self.optimizer.next_rate(self.chain.t), float(losses[batch]))
        return (batch + 1, 0) if fine else (batch, 2)

    def evaluated(self, data: Data | Stream, threads: int | None = None) -> dict[str, float]:
        """Loss and metrics of checked data; the loss is NaN where no target is known."""
        predict = self.net.programs.predict
        if isinstance(data, Data):
            ts, ys, weights = data.ts, predict(data.xs, threads), data.weights
        elif self.objective.terms is not None and all(metric.adds_up for metric in self.metrics.values()):
            return self._summed((batch.ts, predict(batch.xs, threads), batch.weights) for batch in data.epoch())
        else:
            ts, ys, weights = joined([Seen.of(batch, predict(batch.xs, threads)) for batch in data.epoch()])
        return {"loss": self.objective.mean_loss(ys, ts, weights), **self.measured(ts, ys, weights)}

    def _summed(self, batches):
        """Loss and metrics from sums over batches (ts, ys, weights)."""
        losses: list[list[float]] = []
        amounts: list[np.ndarray] = []
        sums: dict[str, np.ndarray | None] = dict.fromkeys(self.metrics)
        for ts, ys, weights in batches:
            value, amount = self.objective.mean_losses(ys, ts, weights)
            losses.append(value)
            amounts.append(amount)
            seen = self.objective.seen(ts, ys, weights)
            for name, metric in self.metrics.items():
                sums[name] = metric.function.add(sums[name], metric.sums(*seen[metric.output]))
        loss = mean_of_batches(np.array(losses), np.stack([amounts, amounts]).transpose(2, 0, 1))
        return {"loss": loss, **{name: metric.function.of_sums(sums[name]) for name, metric in self.metrics.items()}}

    def measured(self, ts: tuple, ys: tuple, weights: tuple | None) -> dict[str, float]:
        """Metrics of targets and outputs."""
        seen = self.objective.seen(ts, ys, weights) if self.metrics else ()
        return {name: metric.of(*seen[metric.output]) for name, metric in self.metrics.items()}

    def new_outputs(self, rows: int) -> tuple[np.ndarray, ...]:
        """Uninitialized arrays for the outputs of this number of rows."""
        return tuple(np.empty((rows, node.width), self.net.dtype) for node in self.net.outputs)
