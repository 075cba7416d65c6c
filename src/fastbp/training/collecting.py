"""Gradients of a batch, or of a part of one, without an update: for custom loops and data parallel training."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastbp import _engine
from fastbp.data.batches import Data
from fastbp.inputs.array_sources import refuse_unfit
from fastbp.network.network import Network
from fastbp.training.batch_runner import UNFIT, BatchRunner
from fastbp.training.objective import Objective, counted as of_batches, masked


class Part(NamedTuple):
    """Batch number `batch` of data in an order, in batches of `size` rows; in data parallel training, a rank's part."""

    data: Data
    size: int
    order: np.ndarray | None = None
    batch: int = 0

    @property
    def place(self) -> slice:
        """The slice of the order that has its rows."""
        return slice(self.batch * self.size, min((self.batch + 1) * self.size, self.data.rows))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.place.stop - self.place.start


class Collected(NamedTuple):
    """The results of a pass, for each output.

    Attributes
    ----------
    sums : ndarray of shape (outputs,)
        The sums of the weighted losses.
    known : ndarray of shape (outputs,)
        The number of rows, or of their known targets, over which each loss is a mean.
    weights : ndarray of shape (outputs,)
        The sums of the weights of known targets, by which evaluation weighs the losses.
    value : float
        The value whose gradient the pass computed, to the last bit.
    """

    sums: np.ndarray
    known: np.ndarray
    weights: np.ndarray
    value: float = math.nan

    @property
    def loss(self) -> float:
        """The sum of the outputs' losses; an output without known targets adds 0."""
        return float((self.sums / np.where(self.known == 0, math.inf, self.known)).sum())


def masks(runner: BatchRunner) -> bool:
    """Whether a loss leaves out missing targets."""
    return any(masked(runner.objective.losses))


def counted(runner: BatchRunner, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The `known` and `weights` of `Collected`, for a part."""
    seen = part.data
    if seen.weights is not None or masks(runner):
        seen = seen.take(part.order, part.place, inputs=False)
    else:
        known = np.full(len(seen.ts), float(part.rows))
        return known, known
    amounts, edges = runner.objective.amounts(seen.ts, seen.weights), (np.array([0]), np.array([part.rows]))
    return tuple(of_batches(amounts, len(seen.ts), edges)[..., 0].T)


def collect(
    runner: BatchRunner,
    part: Part,
    *,
    counts: tuple[np.ndarray, np.ndarray] | None = None,
    scales: np.ndarray | None = None,
    first: int = 0,
    meeting: Callable[..., Any] | None = None,
    outs: tuple[np.ndarray, ...] | None = None,
    threads: int | None = None,
) -> Collected:
    """Fill `net.grads` with the gradient of the sum over outputs of scales * (sum of losses); with dropout.

    Without `scales` it is the gradient of the mean loss. Running averages are updated, as in any training pass. `first`
    rows of the batch come before this part.
    """
    programs = runner.net.programs
    known, weights = counted(runner, part) if counts is None else counts
    with programs.part_of_batch(first, meeting):
        if runner.objective.terms is None:
            losses = _in_python(runner, part, known, scales, outs, threads)
        else:
            losses, status = programs.collect(_batches(runner, part, outs), scales, threads)
            if status == UNFIT:
                refuse_unfit(part.data.xs, part.order, part.place)
    factors = known if scales is None else np.divide(1, scales, where=scales != 0, out=np.zeros(len(known)))
    return Collected(np.array(losses) * factors, known, weights, float(sum(losses)))


def _batches(runner, part, outs):
    data = part.data
    return _engine.Batches(
        xs=data.xs,
        ts=data.ts,
        weights=data.weights,
        terms=runner.objective.terms,
        chain=runner.chain,
        rates=0.0,
        order=part.order,
        size=part.size,
        first=part.batch,
        last=part.batch + 1,
        seconds=0.0,
        losses=None,
        outs=outs,
    )


def _in_python(runner, part, known, scales, outs, threads):
    """`programs.collect` for a loss written in Python, which returns means."""
    programs, objective = runner.net.programs, runner.objective
    xs, ts, weights, _ = part.data.take(part.order, part.place)
    ys = programs.forward(xs, True, threads)
    values, dys = zip(*objective.each(ys, ts, weights), strict=True)
    if outs is not None:
        for out, y in zip(outs, ys, strict=True):
            out[part.place] = y
    shares = np.ones(len(known)) if scales is None else known * scales
    programs.backward(tuple(dY * dY.dtype.type(share) for dY, share in zip(dys, shares, strict=True)), False, threads)
    return [value * share for value, share in zip(values, shares, strict=True)]


class Statistics:
    """A network's running averages: taken out of the parameters after a pass, and put back with the update."""

    def __init__(self, runner: BatchRunner):
        self._net = runner.net
        self._parts = runner.net.programs.statistics()
        self._before = [self._net.params[part].copy() for part in self._parts]

    def take(self) -> list[np.ndarray]:
        """Return the averages after the passes so far, and restore those from before."""
        moved = [self._net.params[part].copy() for part in self._parts]
        for part, before in zip(self._parts, self._before, strict=True):
            self._net.params[part] = before
        return moved

    def put(self, moved: list[np.ndarray]) -> None:
        """Set the averages."""
        for part, values in zip(self._parts, moved, strict=True):
            self._net.params[part] = values


def checked_batch(net: Network, objective: Objective, X: Any, y: Any, sample_weight: Any) -> Data:
    """Check a batch for a step."""
    xs = net.as_sources(X)
    ts = objective.targets(y, len(xs[0]))
    return Data(xs, ts, objective.weights(sample_weight, ts, training=True))


def moved(runner: BatchRunner, loss: float, weight: float, threads: int | None, where: str = "") -> None:
    """Update the parameters of a network by its gradients."""
    chain, optimizer = runner.chain, runner.optimizer
    rate = optimizer.next_rate(chain.t)
    if not runner.net.programs.apply(chain, rate, loss, 1 / weight if weight else 1.0, threads):
        raise runner.diverged(2, loss, chain.t, where)
