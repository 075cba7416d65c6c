"""Trainer: a network, its objective, and the state of its optimizer and shuffling.

Every step, in a custom training loop or a fit, goes through `run`: one call into the engine for many batches, or one
batch in Python for a loss in Python. Rejected: Keras's `compile`, a second constructor that leaves models half-built.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastbp._typing import Arrays, LossLike, MetricsLike, WeightsLike, WeightsOf
from fastbp.callbacks.callback import Callback, Callbacks
from fastbp.callbacks.history import History
from fastbp.callbacks.progress import ProgressBar
from fastbp.data import splitting
from fastbp.data.batches import Data
from fastbp.data.splitting import Split
from fastbp.data.streams import Augmented, Slices, Stream, joined
from fastbp.inputs import checks
from fastbp.inputs.array_sources import refuse_unfit
from fastbp.network.network import Network
from fastbp.optimizers import optimizer as optimizers
from fastbp.training.fit import Fit, Position
from fastbp.training.measuring import resolve as resolve_metrics
from fastbp.training.objective import Objective
from fastbp.training.one_by_one import OneByOne
from fastbp.training.stream_fit import StreamFit
from fastbp.training.trainer_file import Resumable
from fastbp.training.training_data import Intake

UNFIT = 4  # status of the engine: the batch was not finite


class Trainer(Intake, OneByOne, Resumable):
    """Trains a network; keeps the state of the optimizer and the shuffling between calls.

    Parameters
    ----------
    net : Network
        The network to train; its parameters change in place.
    loss : str, Loss or function, or a tuple or dict of them, default="mse"
        A name in `fastbp.losses`, a loss with parameters such as `losses.Huber(delta=0.5)`, or a function
        (Y, t) -> (value, dY), called as (Y, t, sample_weight) where there are weights. For several outputs a tuple in
        their order, or a dict by their names.
    optimizer : str or Optimizer, default="adam"
        A name, which stands for the optimizer with its defaults, or an optimizer.
    loss_weights : tuple of float, or a dict from the outputs' names, optional
        Factors of the losses of several outputs in the sum that is minimized; 1 if not given.
    metrics : list of str or function, or a tuple of such lists for several outputs, default=()
        Names in `fastbp.metrics`, or functions (y, output) -> float.
    seed : int, optional
        Seed of the shuffling; that of the network if not given.

    Examples
    --------
    >>> from fastbp import Dense, Input, Sequential
    >>> net = Sequential(Input(2), Dense(1), seed=0)
    >>> trainer = Trainer(net, loss="mse", optimizer="sgd")
    >>> trainer.step([[1.0, 2.0]], [[0.0]]) > trainer.step([[1.0, 2.0]], [[0.0]])
    True
    """

    def __init__(
        self,
        net: Network,
        loss: LossLike = "mse",
        optimizer: str | optimizers.Optimizer = "adam",
        *,
        loss_weights: WeightsLike = None,
        metrics: MetricsLike = (),
        seed: int | None = None,
    ):
        checks.instance(net, Network, "net")
        self.recipe = {"loss": loss, "metrics": metrics}
        self._loss_weights = loss_weights
        self.optimizer = optimizers.resolve(optimizer)
        self._take(net)
        self.recipe["loss"] = checks.alone(self.objective.losses)
        self.rng = np.random.default_rng(net.seed if seed is None else checks.as_seed(seed))
        self.pending: Position | None = None
        self._fit: Fit | None = None
        self._loss = np.empty(1)
        self._placed: tuple = ()

    def _take(self, net):
        self.net: Network = net
        self.objective = Objective(self.recipe["loss"], net, self._loss_weights)
        self.metrics = resolve_metrics(self.recipe["metrics"], self.objective)
        self._tried = None
        self.chain = self.optimizer.chain_for(net)
        self._lane = net.programs.lane(self.objective.terms, self.chain)

    def step(self, X: Arrays, y: Arrays, sample_weight: WeightsOf = None, *, threads: int | None = None) -> float:
        """Train on one batch: forward, loss, backward and update in one call of the engine.

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
        float
            The loss before the update.

        Raises
        ------
        DivergenceError
            If the loss or the update is not finite.
        """
        net = self.net
        if self._lane is not None and sample_weight is None:
            done = self._lane.step(X, y, self.optimizer.next_rate(self.chain.t), threads)
            if type(done) is float:
                return done
            if done is not None:
                raise self._diverged(done[1], done[0], self.chain.t + (done[1] == 1))
        xs = net.as_sources(X)
        rows = len(xs[0])
        ts = self.objective.targets(y, rows)
        weights = self.objective.weights(sample_weight, ts)
        self.run(Data(xs, ts, weights), None, rows, 0, 1, 0.0, self._loss, None, threads=threads)
        return float(self._loss[0])

    def fit(
        self,
        X: Arrays | Iterable[Any],
        y: Arrays | None = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, ...] | Iterable[Any] | None = None,
        sample_weight: WeightsOf = None,
        class_weight: Mapping[int, float] | str | None = None,
        callbacks: Sequence[Callback] = (),
        shuffle: bool = True,
        seed: int | None = None,
        threads: int | None = None,
        progress: bool = False,
        check_finite: bool = True,
        resume: bool | str | os.PathLike = False,
        augment: Callable[..., Any] | None = None,
        steps_per_epoch: int | None = None,
        validation_split: float | Split | None = None,
        validation_steps: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train for some epochs, continuing from the last call or step.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            Arrays of any dtype and layout, memory-mapped files, data frames, tensors, sparse arrays; or, without y, an
            iterable of batches (X, y) or (X, y, sample_weight), such as a DataLoader, which determine the batch size.
        y : array of labels or values, or a tuple of them, optional
            The targets; a tuple for several outputs.
        epochs : int, default=1
            Number of epochs; with `resume` the total number.
        batch_size : int, default=32
            Number of samples per step; the last batch of an epoch may be smaller.
        validation_data : tuple or iterable, optional
            (X, y), (X, y, sample_weight) or an iterable of batches, evaluated after each epoch; no validation if not
            given.
        sample_weight : array of shape (rows,) or of y's shape, or a tuple of them, optional
            Weights of the samples or of single targets; 1 if not given.
        class_weight : dict from label to weight, or "balanced", optional
            Factors of the sample weights by class; "balanced" gives all classes the same total weight.
        callbacks : list of Callback, default=()
            Called during training; see `Callback`.
        shuffle : bool, default=True
            Whether to shuffle the samples before each epoch.
        seed : int, optional
            New seed of the shuffling, which continues from the last call if not given.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.
        progress : bool, default=False
            Whether to show progress on standard error.
        check_finite : bool, default=True
            Whether a NaN or infinity in X raises.
        resume : str or path-like, or True, default=False
            A checkpoint of `ModelCheckpoint`: the fit continues from there, with the same bits, up to `epochs` epochs
            in total. True resumes from the file that this trainer was loaded from.
        augment : function, optional
            (X, y, rng) -> (X, y), called on each batch with arrays of the network's dtype, which it may change in
            place, and the trainer's generator. Sample weights stay with their rows.
        steps_per_epoch : int, optional
            Number of batches of an iterable in an epoch; the next epoch continues after them. All if not given.
        validation_split : float or Split, optional
            Fraction of the rows held out for validation: the last ones, or chosen by a `Split`. None if not given.
        validation_steps : int, optional
            Number of batches of an iterable of validation data to evaluate: the first ones each time, or the next
            ones of a generator. All if not given.
        validation_freq : int, default=1
            Number of epochs from one evaluation to the next; other epochs have no "val_loss" in the logs and a NaN in
            the history.

        Returns
        -------
        History

        Raises
        ------
        DivergenceError
            If the loss or an update is not finite.

        Examples
        --------
        >>> from fastbp import Dense, Input, Sequential
        >>> trainer = Trainer(Sequential(Input(2), Dense(1), seed=0), optimizer="sgd", metrics=["mae"])
        >>> history = trainer.fit(np.eye(2), [1.0, 2.0], epochs=3)
        >>> list(history.history), history.epoch
        (['loss', 'mae'], [0, 1, 2])
        """
        if validation_split is not None:
            parts = splitting.part(validation_split, X, y, sample_weight, validation_data)
            X, y, sample_weight, validation_data = parts
        data = self._training_data(X, y, sample_weight, class_weight, check_finite, steps_per_epoch)
        validation = self._validation(validation_data, check_finite, validation_steps)
        epochs = checks.positive_int(epochs, "epochs")
        batch_size = checks.positive_int(batch_size, "batch_size")
        validation_freq = checks.positive_int(validation_freq, "validation_freq")
        threads = checks.as_threads(threads)
        callbacks = Callbacks([*checks.instances(callbacks, Callback, "callbacks"), *[ProgressBar()] * bool(progress)])
        names = ["loss", *self.metrics]
        history = History(names if validation is None else [*names, *(f"val_{name}" for name in names)])
        if seed is not None:
            self.rng = np.random.default_rng(checks.as_seed(seed))
        rows = data.rows if isinstance(data, Data) else None
        if augment is not None:
            slices = Slices(data, batch_size, shuffle, self.rng) if isinstance(data, Data) else data
            check = partial(self._checked, None, check_finite)
            data = Augmented(slices, checks.as_callable(augment, "augment"), self.rng, check)
        history.params = {"epochs": epochs, "batch_size": batch_size, "rows": rows}
        kind: type = Fit if isinstance(data, Data) else StreamFit
        fit = kind(self, data, validation, batch_size, shuffle, callbacks, history, threads, validation_freq)
        position = self.resumed(resume, fit.check)
        self._fit = fit
        try:
            fit.epochs(epochs, position)
        finally:
            self._fit = None
        return history

    def evaluate(
        self, X: Arrays | Iterable[Any], y: Arrays | None = None, sample_weight: WeightsOf = None
    ) -> dict[str, float]:
        """Compute the loss and metrics, without dropout.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; or, without y, an iterable of batches, as for `fit`.
        y : array of labels or values, or a tuple of them, optional
            The targets; a tuple for several outputs.
        sample_weight : array of shape (rows,) or of y's shape, or a tuple of them, optional
            Weights in the loss, and in metrics that are `weighted`; 1 if not given.

        Returns
        -------
        dict from str to float
        """
        return self.evaluate_data(self._training_data(X, y, sample_weight, None, True, None))

    def mode_of(self, name: str) -> str:
        """Whether lower ("min") or higher ("max") values of a quantity in the history are better."""
        metric = self.metrics.get(name.removeprefix("val_"))
        return "min" if metric is None else getattr(metric.function, "mode", "min")

    def position(self) -> Position | None:
        """The position of the current fit, if any."""
        return None if self._fit is None else self._fit.position()

    def run(
        self,
        data: Data,
        order: np.ndarray | None,
        batch_size: int,
        first: int,
        last: int,
        seconds: float,
        losses: np.ndarray,
        outs: tuple[np.ndarray, ...] | None,
        where: Callable[[int], str] | None = None,
        threads: int | None = None,
    ) -> int:
        """Train on batches first ... last - 1 of checked data; return the first batch that was not done.

        Returns after about `seconds` (0: when all is done). Writes each batch's loss, and outputs if
        they are wanted.
        """
        before = self.chain.t
        if self.objective.terms is None:
            batch, status = self._batch_in_python(data, order, batch_size, first, losses, outs, threads)
        else:
            plan = (self.objective.terms, self.chain, self._rates(first, last), order, batch_size)
            batch, status = self.net.programs.run(data, plan, first, last, seconds, losses, outs, threads=threads)
            self.optimizer.next_rate(max(self.chain.t - 1, 0))
        if status == UNFIT:
            refuse_unfit(data.xs, order, slice(batch * batch_size, (batch + 1) * batch_size))
        if status:
            place = "" if where is None else f" ({where(batch)})"
            raise self._diverged(status, losses[batch], before + batch - first + 1, place)
        return batch

    def _rates(self, first, last):
        """The learning rates of batches first ... last - 1: one, or an array that is made once for an epoch."""
        if not self.optimizer.by_steps:
            return self.optimizer.next_rate(self.chain.t)
        place = (self.optimizer.schedule, self.chain.t - first, last)
        if self._placed != place:
            self._placed, self._planned = place, self.optimizer.rates(self.chain.t, first, last)
        return self._planned

    def _diverged(self, status, loss, step, where=""):
        what = f"the loss became {loss}" if status == 1 else "the update was not finite"
        return self.optimizer.diverged(f"{what} at step {step}{where}")

    def _batch_in_python(self, data, order, batch_size, batch, losses, outs, threads):
        programs = self.net.programs
        rows = slice(batch * batch_size, (batch + 1) * batch_size)
        xs, ts, weights = data.take(order, rows)
        ys = programs.forward(xs, True, threads)
        losses[batch], dys = self.objective(ys, ts, weights)
        if not math.isfinite(losses[batch]):
            return batch, 1
        if outs is not None:
            for out, y in zip(outs, ys, strict=True):
                out[rows] = y
        programs.backward(dys, False, threads)
        fine = programs.update(self.chain, self.optimizer.next_rate(self.chain.t), float(losses[batch]))
        return (batch + 1, 0) if fine else (batch, 2)

    def evaluate_data(self, data: Data | Stream, threads: int | None = None) -> dict[str, float]:
        """Loss and metrics of checked data."""
        batches = [data] if isinstance(data, Data) else data.epoch()
        ts, ys, weights = joined([(batch, self.net.programs.predict(batch.xs, threads)) for batch in batches])
        value, _ = self.objective(ys, ts, weights)
        return {"loss": value, **self.measure(ts, ys, weights)}

    def measure(self, ts: tuple, ys: tuple, weights: tuple | None) -> dict[str, float]:
        """Metrics of targets and outputs."""
        seen = self.objective.seen(ts, ys, weights) if self.metrics else ()
        return {name: metric.of(*seen[metric.output]) for name, metric in self.metrics.items()}

    def new_outputs(self, rows: int) -> tuple[np.ndarray, ...]:
        """Allocate arrays for the outputs of this number of rows."""
        return tuple(np.empty((rows, node.width), self.net.dtype) for node in self.net.outputs)
