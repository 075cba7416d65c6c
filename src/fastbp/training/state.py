"""State: everything needed to resume training after a step, for pickles, files, the rate finder and the estimators."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fastbp.inputs import checks
from fastbp.network.network import Network
from fastbp.schedules.schedule import Schedule
from fastbp.training.batch_runner import BatchRunner

STATES = "optimizer.states"  # the array's name in a file


@dataclass
class State:
    """Parameters, the optimizer's state, counts, learning rate and generators.

    Attributes
    ----------
    params : ndarray
    draws : int
        Number of forward passes in training, which selects the dropout masks.
    states : ndarray
        The state of the optimizer's update rules.
    steps : int
        Number of batches trained on.
    batch_loss : float
        The loss of the last batch; NaN before the first.
    epochs : int
    lr : float or Schedule
    rng : dict
        The state of the generator for shuffling.
    """

    params: np.ndarray
    draws: int
    states: np.ndarray
    steps: int
    batch_loss: float
    epochs: int
    lr: float | Schedule
    rng: Mapping[str, Any]

    @classmethod
    def of(cls, runner: BatchRunner, rng: np.random.Generator) -> Self:
        """The current state, taken between two steps even if another thread is training."""
        optimizer = runner.optimizer
        params, draws, states, steps, loss = runner.net.programs.snapshot(runner.chain)
        lr = optimizer.schedule or optimizer.lr
        return cls(params, draws, states, steps, loss, optimizer.epoch, lr, rng.bit_generator.state)

    def put(self, runner: BatchRunner, rng: np.random.Generator) -> None:
        """Restore this state."""
        net, chain, optimizer = runner.net, runner.chain, runner.optimizer
        net.params[...] = self.params
        net.programs.draws = self.draws
        chain.states[...] = self.states
        chain.t, chain.loss = self.steps, self.batch_loss
        if self.lr is not optimizer.schedule:
            optimizer.lr = self.lr
        optimizer.epoch = self.epochs
        rng.bit_generator.state = self.rng

    def fits(self, runner: BatchRunner) -> bool:
        """Whether the optimizer's state has the size that the optimizer and the network need."""
        return self.states.shape == runner.chain.states.shape

    def numbers(self) -> dict[str, Any]:
        """The part of the state that a file stores as JSON, beside settings and arrays."""
        return {
            "steps": self.steps,
            "epochs": self.epochs,
            "batch_loss": None if math.isnan(self.batch_loss) else self.batch_loss,
            "draws": self.draws,
            "rng": self.rng,
        }

    @classmethod
    def read(
        cls, numbers: Mapping[str, Any], arrays: Mapping[str, Any], runner: BatchRunner, params: Any, lr: Any
    ) -> Self:
        """The state in a file, for a runner; raises if the contents are invalid."""
        own = runner.chain.states
        states = checks.as_stored(arrays[STATES], own, STATES) if own.size else own.copy()
        steps, draws, epochs = (checks.as_count(numbers[name], name) for name in ("steps", "draws", "epochs"))
        loss = math.nan if numbers["batch_loss"] is None else checks.in_range(numbers["batch_loss"], "batch_loss")
        rng = np.random.default_rng(0)
        rng.bit_generator.state = numbers["rng"]
        return cls(params, draws, states, steps, loss, epochs, lr, rng.bit_generator.state)


def next_seed(net: Network) -> Any:
    """The seed of a network's training run; later runs get other seeds, so that no shuffle or noise is repeated."""
    return [net.seed, net.draws] if net.draws else net.seed
