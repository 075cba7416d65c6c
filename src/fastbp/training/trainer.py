"""Trainer: a network, its objective, and the state of its optimizer and shuffling.

The work is done in the modules beside it: batches in `batch_runner.py`, fits in `fit.py` and `stream_fit.py` with their
arguments in `fit_settings.py`, online learning in `one_by_one.py`, files in `trainer_file.py`. Rejected: Keras's
`compile`, a second constructor: a model is incomplete until it is called.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from fastbp._typing import Arrays, LossLike, MetricsLike, WeightsLike, WeightsOf
from fastbp.callbacks.callback import Callback
from fastbp.callbacks.history import History
from fastbp.data import splitting
from fastbp.distributed.groups import Group
from fastbp.inputs import checks
from fastbp.network.native import Native, of_network
from fastbp.network.network import Network
from fastbp.optimizers import optimizer as optimizers
from fastbp.training import trainer_file, training_data
from fastbp.training.by_row import RowByRow
from fastbp.training.fit import Calls, Fit, Position
from fastbp.training.fit_settings import FitSettings, begun
from fastbp.training.state import State

MADE = {"group", "runner", "objective", "metrics", "chain", "_fast_path", "_fit", "online"}  # created again in a copy


class Trainer(RowByRow):
    """Trains a network and keeps what training needs from one call to the next.

    Parameters
    ----------
    net : Network
        The network to train; its parameters change in place.
    loss : str, Loss or function, or a tuple or dict of them, default="mse"
        A name in `fastbp.losses`, a loss with parameters such as `losses.Huber(delta=0.5)`, or a function
        (Y, t) -> (value, dY), called as (Y, t, sample_weight) where there are weights. For several outputs a tuple in
        their order, or a dict by their names.
    optimizer : str or Optimizer, default="adam"
        An optimizer, or the name of one, which is used with its defaults.
    loss_weights : tuple of float, or a dict from the outputs' names, optional
        Factors of the losses of several outputs in the sum that is minimized; 1 if not given.
    metrics : list of str or function, or a tuple of such lists for several outputs, default=()
        Names in `fastbp.metrics`, or functions (y, output) -> float.
    seed : int, optional
        Seed of the shuffling; if not given, it follows from the network's seed and the number of batches that the
        network was trained on before.
    group : Group, optional
        The ranks that train together, each on its own rows: `fastbp.distributed` has adapters. All ranks must make
        the same calls in the same order. None for training in one process.
    average_every : int, default=1
        Number of steps after which the ranks' parameters are averaged; with 1 each step is one of the whole batch.
    sync_batch_norm : bool, default=True
        Whether `BatchNorm` uses the statistics of the whole batch; if not, each rank uses those of its own rows, and
        the running averages are averaged over all ranks.

    See Also
    --------
    Model.fit : A fit without a trainer of its own.
    Trainers : Many networks, step by step.
    minimize : Full batches.

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
        group: Group | None = None,
        average_every: int = 1,
        sync_batch_norm: bool = True,
    ):
        together = checks.positive_int(average_every, "average_every"), bool(sync_batch_norm)
        super().__init__(net, loss, optimizer, loss_weights, metrics, seed, group, together)
        self.pending: Position | None = None
        self._fit: Fit | None = None

    def compiled(self, rows: int = 1) -> Callable[[np.ndarray, np.ndarray], float]:
        """A function f(x, y) that is `step` for a fixed number of rows; it checks only shape, dtype and labels.

        Parameters
        ----------
        rows : int, default=1
            Number of rows of each call.

        Returns
        -------
        function
            It takes (x, y), trains on them and returns the loss.
        """
        return self._native(rows).call_step

    def native(self, rows: int = 1) -> Native:
        """The network as C functions, like `Network.native`, with `step`, which trains as this trainer does.

        Parameters
        ----------
        rows : int, default=1
            Number of rows of each call.

        Returns
        -------
        Native
            The functions, with their handle; see `Native`.
        """
        return Native(self._native(rows), rows, self.net)

    def _native(self, rows):
        """The engine's handle of the network, with steps."""
        engine, loss = of_network(self.net, rows), self.objective.losses[0]
        if self.objective.terms is None:
            raise ValueError(f"a native step wants a loss of fastbp's own, got {loss!r}")
        rate, diverged = self.optimizer.next_rate, self.runner.diverged
        self.net.programs.give_steps(engine, self.chain, self.objective.terms[0], rate, diverged)
        return engine

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
        validation_split: float | splitting.Split | None = None,
        validation_steps: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train for some epochs, continuing from the last call or step.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            Arrays of any dtype and layout, memory-mapped files, data frames, tensors, sparse arrays; or, without y, an
            iterable of batches (X, y) or (X, y, sample_weight), such as a DataLoader, which determine the batch size;
            or a dict of row sets, {name: (X, {output: targets}[, weight])}: the losses of these outputs on these rows
            are added. A function (rng) -> (X, {output: targets}[, weight]) draws a set anew for each epoch.
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
            Weights of the samples or of single targets, which may be negative; 1 if not given.
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
            The loss and metrics of each epoch of this call.

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
        settings = FitSettings(
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation_data,
            sample_weight=sample_weight,
            class_weight=class_weight,
            callbacks=callbacks,
            shuffle=shuffle,
            seed=seed,
            threads=threads,
            progress=progress,
            check_finite=check_finite,
            resume=resume,
            augment=augment,
            steps_per_epoch=steps_per_epoch,
            validation_split=validation_split,
            validation_steps=validation_steps,
            validation_freq=validation_freq,
        )
        with self._begun(X, y, settings) as (fit, position):
            fit.epochs(settings.epochs, position)
            return fit.history

    def _calls(self, X: Any, y: Any, settings: FitSettings) -> Calls[History]:
        """A generator that runs a fit; its caller makes the engine's calls."""
        with self._begun(X, y, settings) as (fit, position):
            yield from fit.calls(settings.epochs, position)
            return fit.history

    @contextmanager
    def _begun(self, X, y, settings):
        """A fit and the position where it begins."""
        self._fit, position = begun(self, X, y, settings)
        try:
            yield self._fit, position
        finally:
            self._fit = None

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
            Weights in the loss, which is the weighted mean, and in metrics that are `weighted`; 1 if not given.

        Returns
        -------
        dict from str to float
            "loss" and the metrics, by name.
        """
        data = training_data.to_train_on(self.runner.checked, X, y, sample_weight, None, True, None, False)
        return self.runner.evaluated(data)

    def mode_of(self, name: str) -> str:
        """Whether lower ("min") or higher ("max") values of an entry of the history are better."""
        metric = self.metrics.get(name.removeprefix("val_"))
        return "min" if metric is None else getattr(metric.function, "mode", "min")

    def position(self) -> Position | None:
        """The position of the current fit, if any."""
        return None if self._fit is None else self._fit.position()

    def place(self) -> tuple[State, Position | None]:
        """The state of the training and the position of the current fit, if any, both after the same step."""
        return (self.state(), None) if self._fit is None else self._fit.place(self.state)

    def save(self, path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
        """Write the network and the state that training needs to resume exactly.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.
        metadata : dict from str to str, optional
            Further entries for the file.

        Raises
        ------
        TypeError
            If a loss or a metric is a Python function, which a file cannot hold.
        """
        trainer_file.save(path, self, metadata, functions=False)

    def checkpoint(self, path: str | os.PathLike) -> None:
        """Write a file for `restore`: as `save`, except that Python functions are stored by name instead of refused.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.
        """
        trainer_file.save(path, self, None, functions=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Load a trainer that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.

        Returns
        -------
        Trainer
            It continues with the same bits.

        Raises
        ------
        ModelFormatError
            If the file is damaged or holds no trainer.
        """
        return trainer_file.load(cls, path)

    def restore(self, path: str | os.PathLike) -> None:
        """Restore a file: parameters, optimizer, learning rate and random generators.

        Parameters
        ----------
        path : str or path-like
            A file that `save` or `checkpoint` wrote, of the same network, loss, metrics and optimizer.

        Raises
        ------
        ValueError
            If the file is of another network or training run; the message names the first difference.
        ModelFormatError
            If the file is damaged or holds no trainer.
        """
        trainer_file.restore(path, self)

    def __getstate__(self):
        return trainer_file.pickled(self, MADE)

    def __setstate__(self, kept):
        self._fit = None
        trainer_file.unpickle(self, kept)
