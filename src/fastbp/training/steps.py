"""Steps: a network with its objective and optimizer, trained batch by batch, in one call or in two halves.

A step in two halves, the gradients of a batch and then the update, is for loops that do something in between.
"""

import math
from typing import Any

import numpy as np

from fastbp._typing import Arrays, LossLike, MetricsLike, WeightsLike, WeightsOf
from fastbp.data.batches import Data
from fastbp.distributed.groups import Group, as_group
from fastbp.distributed.ranks import Ranks
from fastbp.errors import DivergenceError
from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.optimizers import optimizer as optimizers
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.collecting import Part, Statistics, checked_batch, collect, masks, moved
from fastbp.training.group_runner import GroupRunner
from fastbp.training.measuring import resolve_metrics
from fastbp.training.objective import Objective
from fastbp.training.state import State, next_seed


class Steps:
    """The state of a trainer, and its steps."""

    group: Group | None = None  # a copy of a trainer has none
    _half: tuple[float, float, list[np.ndarray]] | None = None  # after `gradients`: loss, weight, running averages

    def __init__(
        self,
        net: Network,
        loss: LossLike,
        optimizer: str | optimizers.Optimizer,
        loss_weights: WeightsLike,
        metrics: MetricsLike,
        seed: int | None,
        group: Group | None,
        together: tuple[int, bool],
    ):
        checks.instance(net, Network, "net")
        self.group = as_group(group)
        self._together = together
        self.recipe: dict[str, Any] = {"loss": loss, "metrics": metrics}
        self._loss_weights = loss_weights
        self.optimizer = optimizers.Optimizer.classes.resolve(optimizer)
        self._take(net)
        self.recipe["loss"] = checks.alone(self.objective.losses)
        self.rng = np.random.default_rng(next_seed(net) if seed is None else checks.as_seed(seed))
        self._loss = np.empty(1)

    def _take(self, net):
        self.net: Network = net
        self.objective = Objective(self.recipe["loss"], net, self._loss_weights)
        self.metrics = resolve_metrics(self.recipe["metrics"], self.objective)
        self.runner = BatchRunner(net, self.objective, self.metrics, self.optimizer)
        self.chain = self.runner.chain
        self._fast_path = None
        if self.group is None:
            self._fast_path = net.programs.fast_path(self.objective.terms, self.chain)
        else:
            self.runner = GroupRunner(self.runner, Ranks(self.group), *self._together)

    def step(self, X: Arrays, y: Arrays, sample_weight: WeightsOf = None, *, threads: int | None = None) -> float:
        """Train on one batch: forward, loss, backward and update in one call of the engine.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several. A rank of a group that has no rows may pass None for X and y.
        y : array of labels or values, or a tuple of them
            The targets; a tuple for several outputs.
        sample_weight : array of shape (rows,) or of y's shape, or a tuple of them, optional
            Weights of the samples or of single targets, which may be negative; 1 if not given.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.

        Returns
        -------
        float
            The loss before the update: the sum of the weighted losses over the number of rows.

        Raises
        ------
        DivergenceError
            If the loss or the update is not finite.
        """
        net = self.net
        if isinstance(self.runner, GroupRunner):
            return self.runner.step(self.rng, X, y, sample_weight, threads)
        if self._fast_path is not None and sample_weight is None:
            done = self._fast_path.step(X, y, self.optimizer.next_rate(self.chain.t), threads)
            if type(done) is float:
                return done
            if done is not None:
                raise self.diverged(*done)
        xs = net.as_sources(X)
        rows = len(xs[0])
        ts = self.objective.targets(y, rows)
        weights = self.objective.weights(sample_weight, ts, training=True)
        self.runner.run(self.runner.asked(Data(xs, ts, weights), self._loss, size=rows), threads)
        return float(self._loss[0])

    def diverged(self, loss: float, status: int) -> DivergenceError:
        """The error for a step that the engine reports as failed.

        Parameters
        ----------
        loss : float
            The loss of the step.
        status : int
            1 if the loss was not finite, 2 if the update was not.

        Returns
        -------
        DivergenceError
            To be raised.
        """
        return self.runner.diverged(status, loss, self.chain.t + (status == 1))

    def gradients(
        self, X: Arrays, y: Arrays, sample_weight: WeightsOf = None, *, threads: int | None = None
    ) -> tuple[float, float]:
        """Fill `net.grads` with the gradient of the mean loss of a batch, with dropout; no parameter changes.

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
            The number of rows, or of rows with a known target, over which the mean is taken. The gradient of a batch
            follows from its parts: the sum of weight * gradient, divided by the sum of the weights.

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
        """Update the parameters by `net.grads`: all that `step` does once it has the gradient.

        This covers clipping, penalties, the optimizer, constraints, and averages of parameters and of normalizations.

        Parameters
        ----------
        weight : float, optional
            Number of rows over which the gradient is the mean, for `l2_by_rows`; the weight that the last `gradients`
            returned if not given.
        loss : float, optional
            The loss of the batch, which only `Rprop` with `backtrack` needs; the loss that the last `gradients`
            returned if not given.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.

        Raises
        ------
        DivergenceError
            If a parameter would not be finite; its old value is kept.
        """
        known = (math.nan, 1.0, None) if self._half is None else self._half
        loss = known[0] if loss is None else float(loss)
        weight = checks.in_range(known[1] if weight is None else weight, "weight", 0.0)
        threads = checks.as_threads(threads)
        if known[2] is not None:
            Statistics(self.runner).put(known[2])
        self._half = None
        moved(self.runner, loss, weight, threads)

    def state(self) -> State:
        """The state needed to resume training, taken between two steps."""
        return State.of(self.runner, self.rng)

    def go_to(self, state: State) -> None:
        """Restore a state of this training run, or of one like it."""
        state.put(self.runner, self.rng)
