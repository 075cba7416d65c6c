"""A step in two halves: gradients of a batch, then the update by them, for loops that do something in between."""

import math
from typing import Any

import numpy as np

from fastbp._typing import Arrays, WeightsOf
from fastbp.data.batches import Data
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.collecting import Part, Statistics, collect, masks
from fastbp.training.objective import Objective


class StepInHalves:
    """The two halves of `Trainer.step`."""

    net: Network
    objective: Objective
    runner: BatchRunner
    _half: tuple[float, float, list[np.ndarray]] | None = None  # loss, weight, running averages

    def gradients(
        self, X: Arrays, y: Arrays, sample_weight: WeightsOf = None, *, threads: int | None = None
    ) -> tuple[float, float]:
        """Fill `net.grads` with the gradient of the mean loss of a batch, with dropout; move no parameter.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
        y : array of labels or values, or a tuple of them
            The targets; a tuple for several outputs.
        sample_weight : array of shape (rows,) or of y's shape, or a tuple of them, optional
            Weights of the samples or of single targets; 1 if not given.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.

        Returns
        -------
        loss : float
            The mean loss.
        weight : float
            Over how much it is the mean: the number of rows, or of those whose target is known.
            Gradients of parts of a batch make that of the batch: the sum of weight * gradient over the sum of weights.

        Raises
        ------
        ValueError
            If several outputs leave out missing targets: their losses are means over different numbers of rows.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import Dense, Input, Sequential, Trainer
        >>> trainer = Trainer(Sequential(Input(2), Dense(1), seed=0), "mse", "sgd")
        >>> loss, weight = trainer.gradients(np.eye(2), [[1.0], [2.0]])
        >>> trainer.net.grads[...] *= 0.5
        >>> trainer.update(weight=weight)
        >>> weight, trainer.gradients(np.eye(2), [[1.0], [2.0]])[0] < loss
        (2.0, True)
        """
        runner, data = self.runner, checked_batch(self.net, self.objective, X, y, sample_weight)
        if len(data.ts) > 1 and masks(runner):
            raise ValueError(
                "gradients of several outputs with mask_nan are means over different numbers of rows; "
                "Trainer(..., group=) adds them up"
            )
        statistics = Statistics(runner)
        try:
            found = collect(runner, Part(data, data.rows), threads=checks.as_threads(threads))
        finally:
            moved = statistics.take()
        self._half = found.value, float(found.known[0]), moved
        return self._half[:2]

    def update(self, *, weight: float | None = None, loss: float | None = None, threads: int | None = None) -> None:
        """Move the parameters by `net.grads`: all that `step` does after it has the gradient.

        That are clipping, penalties, the optimizer, constraints, averages of parameters and of normalizations.

        Parameters
        ----------
        weight : float, optional
            Over how many rows the gradient is the mean, for `l2_by_rows`; that of the last `gradients` if not given.
        loss : float, optional
            The loss of the batch, which only `Rprop` with `backtrack` needs; that of the last `gradients` if not
            given.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.

        Raises
        ------
        DivergenceError
            If a parameter would not be finite; it stays as it was.
        """
        known = (math.nan, 1.0, None) if self._half is None else self._half
        loss = known[0] if loss is None else float(loss)
        weight = checks.in_range(known[1] if weight is None else weight, "weight", 0.0)
        threads = checks.as_threads(threads)
        if known[2] is not None:
            Statistics(self.runner).put(known[2])
        self._half = None
        moved(self.runner, loss, weight, threads)


def moved(runner: BatchRunner, loss: float, weight: float, threads: int | None, where: str = "") -> None:
    """Update the parameters of a network by its gradients."""
    chain, optimizer = runner.chain, runner.optimizer
    rate = optimizer.next_rate(chain.t)
    if not runner.net.programs.apply(chain, rate, loss, 1 / weight if weight else 1.0, threads):
        raise runner.diverged(2, loss, chain.t, where)


def checked_batch(net: Network, objective: Objective, X: Any, y: Any, sample_weight: Any) -> Data:
    """A batch as data."""
    xs = net.as_sources(X)
    ts = objective.targets(y, len(xs[0]))
    return Data(xs, ts, objective.weights(sample_weight, ts, training=True))
