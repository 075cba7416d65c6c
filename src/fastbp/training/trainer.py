"""Trainer: a network, its objective, and the state of its optimizer and shuffling.

What it does stands in the modules beside it: batches in `batch_runner.py`, fits in `fit.py` and `stream_fit.py`, rows
that come one at a time in `one_by_one.py`, files in `trainer_file.py`. Keras's `compile` was rejected: it is a second
constructor, and a model that is not compiled yet is half a model.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np

from fastbp._typing import Arrays, LossLike, MetricsLike, WeightsLike, WeightsOf
from fastbp.callbacks.callback import Callback, Callbacks
from fastbp.callbacks.history import History
from fastbp.callbacks.progress import ProgressBar
from fastbp.data import splitting
from fastbp.data.batches import Data
from fastbp.inputs import checks
from fastbp.network.native import Native, of_trainer
from fastbp.network.network import Network
from fastbp.optimizers import optimizer as optimizers
from fastbp.training import row_sets, trainer_file, training_data
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.fit import Fit, Position
from fastbp.training.measuring import resolve_metrics
from fastbp.training.objective import Objective
from fastbp.training.one_by_one import Online, move_to
from fastbp.training.state import State, next_seed

MADE = {"runner", "objective", "metrics", "chain", "_fast_path", "_fit", "online"}  # created again in a copy


class Trainer:
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
        A name, which stands for the optimizer with its defaults, or an optimizer.
    loss_weights : tuple of float, or a dict from the outputs' names, optional
        Factors of the losses of several outputs in the sum that is minimized; 1 if not given.
    metrics : list of str or function, or a tuple of such lists for several outputs, default=()
        Names in `fastbp.metrics`, or functions (y, output) -> float.
    seed : int, optional
        Seed of the shuffling; if not given, that of the network and the number of batches it was trained on before.

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
        self.optimizer = optimizers.Optimizer.classes.resolve(optimizer)
        self._take(net)
        self.recipe["loss"] = checks.alone(self.objective.losses)
        self.rng = np.random.default_rng(next_seed(net) if seed is None else checks.as_seed(seed))
        self.pending: Position | None = None
        self._fit: Fit | None = None
        self._loss = np.empty(1)
        self.online: Online | None = None

    def _take(self, net):
        self.net: Network = net
        self.objective = Objective(self.recipe["loss"], net, self._loss_weights)
        self.metrics = resolve_metrics(self.recipe["metrics"], self.objective)
        self.runner = BatchRunner(net, self.objective, self.metrics, self.optimizer)
        self.chain = self.runner.chain
        self._fast_path = net.programs.fast_path(self.objective.terms, self.chain)

    def step(self, X: Arrays, y: Arrays, sample_weight: WeightsOf = None, *, threads: int | None = None) -> float:
        """Train on one batch: forward, loss, backward and update in one call of the engine.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
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
        if self._fast_path is not None and sample_weight is None:
            done = self._fast_path.step(X, y, self.optimizer.next_rate(self.chain.t), threads)
            if type(done) is float:
                return done
            if done is not None:
                raise self.runner.diverged(done[1], done[0], self.chain.t + (done[1] == 1))
        xs = net.as_sources(X)
        rows = len(xs[0])
        ts = self.objective.targets(y, rows)
        weights = self.objective.weights(sample_weight, ts, training=True)
        self.runner.run(Data(xs, ts, weights), self._loss, size=rows, threads=threads)
        return float(self._loss[0])

    def compiled(self, rows: int = 1) -> Callable[[np.ndarray, np.ndarray], float]:
        """A function f(x, y) that is `step` on a fixed number of rows; it checks form, dtype and labels only.

        Parameters
        ----------
        rows : int, default=1
            Number of rows of each call.

        Returns
        -------
        function
        """
        return of_trainer(self, rows).call_step

    def native(self, rows: int = 1) -> Native:
        """The network as C functions, as `Network.native`, with `step`, which trains as this trainer does.

        Parameters
        ----------
        rows : int, default=1
            Number of rows of each call.

        Returns
        -------
        Native
        """
        return Native(of_trainer(self, rows), rows, self.net)

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
        told = checks.instances(callbacks, Callback, "callbacks")
        given = (sample_weight, class_weight), check_finite, steps_per_epoch, augment
        data, validation = row_sets.data_of(self.runner, X, y, *given, (validation_data, validation_steps))
        epochs = checks.positive_int(epochs, "epochs")
        batch_size = checks.positive_int(batch_size, "batch_size")
        validation_freq = checks.positive_int(validation_freq, "validation_freq")
        threads = checks.as_threads(threads)
        history = History(row_sets.logged(data, validation, self.metrics))
        if seed is not None:
            self.rng = np.random.default_rng(checks.as_seed(seed))
        history.params = {"epochs": epochs, "batch_size": batch_size, "rows": getattr(data, "rows", None)}
        if augment is not None:
            rest = self.rng, self.runner.checked, check_finite
            data = training_data.augmented(data, augment, batch_size, shuffle, *rest)
        rest = Callbacks(self, [*told, *[ProgressBar()] * bool(progress)]), history, threads, validation_freq
        fit = row_sets.kind_of_fit(data)(self.runner, self.rng, data, validation, batch_size, shuffle, *rest)
        position = trainer_file.resumed(self, resume, fit.check)
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
            Weights in the loss, which is the weighted mean, and in metrics that are `weighted`; 1 if not given.

        Returns
        -------
        dict from str to float
        """
        data = training_data.to_train_on(self.runner.checked, X, y, sample_weight, None, True, None, False)
        return self.runner.evaluated(data)

    def mode_of(self, name: str) -> str:
        """Whether lower ("min") or higher ("max") values of a quantity in the history are better."""
        metric = self.metrics.get(name.removeprefix("val_"))
        return "min" if metric is None else getattr(metric.function, "mode", "min")

    def position(self) -> Position | None:
        """The position of the current fit, if any."""
        return None if self._fit is None else self._fit.position()

    def place(self) -> tuple[State, Position | None]:
        """What the training goes on from, and the position of the current fit, if any, of one step."""
        return (self.state(), None) if self._fit is None else self._fit.place(self.state)

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Train on one sample, a dict of features as in River.

        Features take the columns of X in the order in which they come, labels the classes. When there are none left,
        the net grows: `net` is then another network with the same numbers in its corner, and with new weights that
        start as their initializer says and optimizer state 0; outputs of rows without what is new stay as they were.
        A feature that a row does not have is 0. One thread at a time may call it.

        Parameters
        ----------
        x : dict from feature to number
            The row; a feature that it does not have is 0.
        y : label, bool or number
            A label of any kind for a loss of classes, a bool or 0 and 1 for `binary_cross_entropy`, else a number; an
            array of them for several outputs.

        Raises
        ------
        DivergenceError
            If the loss or the update is not finite.

        Examples
        --------
        >>> from fastbp import Dense, Input, Sequential, Trainer
        >>> trainer = Trainer(Sequential(Input(1), Dense(1), seed=0), "cross_entropy", "sgd")
        >>> for word, label in [("rain", "wet"), ("sun", "dry")] * 50:
        ...     trainer.learn_one({word: 1.0}, label)
        >>> trainer.predict_one({"rain": 1.0}), trainer.net["dense_1"].W.shape
        ('wet', (2, 2))
        """
        online = self.online
        (self._rows if online is None else online).learn(x, y)

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """The output for one row: the likeliest label (None if there is none), a bool, a number, or an array of them.

        Parameters
        ----------
        x : dict from feature to number
            Features that `learn_one` has not seen do not count.

        Returns
        -------
        label, bool, float or ndarray of shape (outputs,)
        """
        return self._rows.value(x)

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The probability of each label seen so far; of False and True for one logit.

        Parameters
        ----------
        x : dict from feature to number
            The row; a feature that it does not have is 0.

        Returns
        -------
        dict from label to float
        """
        return self._rows.shares(x)

    @property
    def _rows(self):
        if self.online is None:
            self.online = self._new_online()
        return self.online

    def _new_online(self, *known):
        return Online(self.net, self.objective.losses[0], self.step, partial(move_to, self), *known)

    def save(self, path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
        """Write the network and the state that training needs to resume exactly.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.
        metadata : dict from str to str, optional
            More to keep in the file.

        Raises
        ------
        TypeError
            If a loss or a metric is a Python function, which a file cannot hold.
        """
        trainer_file.save(path, self, metadata, functions=False)

    def checkpoint(self, path: str | os.PathLike) -> None:
        """Write what `restore` reads: as `save`, but Python functions are named, not refused.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.
        """
        trainer_file.save(path, self, None, functions=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read what `save` wrote.

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
            What `save` or `checkpoint` wrote, of the same network, loss, metrics and optimizer.

        Raises
        ------
        ValueError
            If it is of another network or training; the message says where they differ first.
        ModelFormatError
            If the file is damaged or holds no trainer.
        """
        trainer_file.restore(path, self)

    def state(self) -> State:
        """The state needed to resume training, taken between two steps."""
        return State.of(self.runner, self.rng)

    def go_to(self, state: State) -> None:
        """Go on from a state of this training, or of one like it."""
        state.put(self.runner, self.rng)

    def __getstate__(self):
        return trainer_file.pickled(self, MADE)

    def __setstate__(self, kept):
        trainer_file.unpickle(self, kept)
