"""Model and Sequential: networks with methods for training, evaluation and files; and `load`.

`fit` creates a Trainer for each call, so the state of an optimizer given by name ends with the call; keep a Trainer to
keep that state. Modules that train, read or write are imported where they are used: a model that only predicts loads
none of them. Rejected: training in Network itself, which would invert the imports.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastbp._typing import ArrayLike, Arrays, DTypeLike, LossLike, MetricsLike, WeightsLike, WeightsOf
from fastbp.exports import Exports
from fastbp.inputs import checks
from fastbp.layers.blocks import Block
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input
from fastbp.network.network import Network

if TYPE_CHECKING:
    from fastbp.callbacks.callback import Callback
    from fastbp.callbacks.history import History
    from fastbp.data.splitting import Split
    from fastbp.distributed.groups import Group
    from fastbp.optimizers.optimizer import Optimizer
    from fastbp.training.objective import Objective


class Model(Exports, Network):
    __doc__ = f"""{Network.__doc__}
    Examples
    --------
    >>> from fastbp import Dense
    >>> x = Input(20)
    >>> h = Dense(32, activation="tanh")(x)
    >>> model = Model(x, Dense(3)(h), dtype="float64", seed=0)
    >>> model.predict(np.zeros((5, 20))).shape
    (5, 3)
    """

    _asked: "tuple[Any, Objective] | None" = None

    def fit(
        self,
        X: Arrays | Iterable[Any],
        y: Arrays | None = None,
        *,
        loss: LossLike = "mse",
        loss_weights: WeightsLike = None,
        optimizer: "str | Optimizer" = "adam",
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: tuple[Any, ...] | Iterable[Any] | None = None,
        metrics: MetricsLike = (),
        sample_weight: WeightsOf = None,
        class_weight: Mapping[int, float] | str | None = None,
        callbacks: "Sequence[Callback]" = (),
        shuffle: bool = True,
        seed: int | None = None,
        threads: int | None = None,
        progress: bool = False,
        check_finite: bool = True,
        resume: bool | str | os.PathLike = False,
        augment: Callable[..., Any] | None = None,
        steps_per_epoch: int | None = None,
        validation_split: "float | Split | None" = None,
        validation_steps: int | None = None,
        validation_freq: int = 1,
        group: "Group | None" = None,
    ) -> "History":
        """Train the model; `Trainer` and `Trainer.fit` describe the parameters.

        An Optimizer passed here keeps its state for the next call; a name creates a new one.

        Returns
        -------
        History
            The loss and metrics of each epoch.

        Examples
        --------
        >>> from fastbp import Dense
        >>> net = Sequential(Input(2), Dense(1), seed=0)
        >>> history = net.fit(np.eye(2), [1.0, 2.0], optimizer="sgd", epochs=3)
        >>> len(history.history["loss"])
        3
        """
        from fastbp.training.trainer import Trainer

        return Trainer(self, loss, optimizer, loss_weights=loss_weights, metrics=metrics, group=group).fit(
            X,
            y,
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

    def evaluate(
        self,
        X: Arrays | Iterable[Any],
        y: Arrays | None = None,
        *,
        loss: LossLike = "mse",
        loss_weights: WeightsLike = None,
        metrics: MetricsLike = (),
        sample_weight: WeightsOf = None,
    ) -> dict[str, float]:
        """Compute the loss and metrics, without dropout.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; or, without y, an iterable of batches, as for `fit`.
        y : array of labels or values, or a tuple of them, optional
            The targets; a tuple for several outputs.
        loss : str, Loss or function, or one for each output, default="mse"
            As for `Trainer`.
        loss_weights : list or dict of float, optional
            As for `Trainer`.
        metrics : list, default=()
            As for `Trainer`.
        sample_weight : array of shape (rows,), or one for each output, optional
            As for `Trainer.fit`.

        Returns
        -------
        dict from str to float
            "loss" and the metrics, by name.

        Examples
        --------
        >>> from fastbp import Dense
        >>> net = Sequential(Input(2), Dense(1, weights="zeros"))
        >>> net.evaluate(np.eye(2), [1.0, 2.0], loss="mse", metrics=["mae"])
        {'loss': 2.5, 'mae': 1.5}
        """
        from fastbp.training.trainer import Trainer

        return Trainer(self, loss, loss_weights=loss_weights, metrics=metrics).evaluate(X, y, sample_weight)

    def predict_proba(self, X: Arrays, *, multilabel: bool = False, check_finite: bool = True) -> np.ndarray:
        """Compute probabilities: the softmax of the outputs, or the sigmoid of a single one.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several. One input may also be a single row of shape (inputs,), or have no rows.
        multilabel : bool, default=False
            Whether each output is a label of its own: the sigmoid of each.
        check_finite : bool, default=True
            Whether a NaN or infinity in X raises.

        Returns
        -------
        ndarray of shape (rows, outputs), or (outputs,) for a single row
            The probabilities; the result of `predict` if the last layer is already a softmax or sigmoid.

        Raises
        ------
        ValueError
            If the model has several outputs.

        Examples
        --------
        >>> from fastbp import Dense
        >>> Sequential(Input(2), Dense(4, weights="zeros")).predict_proba([[1.0, 2.0]])
        array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
        """
        if len(self.outputs) > 1:
            raise ValueError(f"predict_proba is for one output, got {len(self.outputs)}; apply fb.activations to each")
        Y, ends_in = self.predict(X, check_finite=check_finite), getattr(self.outputs[0].layer, "activation", None)
        from fastbp import functional
        from fastbp.losses.loss import are_shares

        if are_shares(ends_in) or not Y.size:
            return Y
        link = "softmax" if self.outputs[0].width > 1 and not multilabel else "sigmoid"
        return functional.activation_forward(np.atleast_2d(Y), link).reshape(Y.shape)

    def value_and_grad(
        self, theta: ArrayLike, X: Arrays, y: Arrays, loss: LossLike = "mse", loss_weights: WeightsLike = None
    ) -> tuple[float, np.ndarray]:
        """The loss at parameters theta and its gradient, without dropout, for `scipy.optimize`.

        Parameters
        ----------
        theta : array of shape (n,)
            The parameters, which are copied to `params`.
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
        y : array of labels or values, or a tuple of them
            The targets; a tuple for several outputs.
        loss : str, Loss or function, or one for each output, default="mse"
            As for `Trainer`.
        loss_weights : list or dict of float, optional
            As for `Trainer`.

        Returns
        -------
        value : float
            The mean loss.
        gradient : ndarray of shape (n,), float64
            Its derivatives by the parameters, in the order of `params`.

        Examples
        --------
        >>> from fastbp import Dense
        >>> net = Sequential(Input(1), Dense(1), dtype="float64", seed=0)
        >>> net.value_and_grad([2.0, 1.0], [[3.0]], [[5.0]])
        (4.0, array([12.,  4.]))
        """
        self.programs.refuse_part()
        objective = self._objective_for(loss, loss_weights)
        value = None if objective.fast_path is None else objective.fast_path.gradient(theta, X, y)
        if value is None:
            xs = self.as_inputs(X)
            ts = objective.targets(y, len(xs[0]))
            self.params = theta
            value = objective.loss_and_gradient(self, xs, ts)
        return value, self.grads.astype(np.float64)

    def _objective_for(self, loss, loss_weights):
        """The objective of the last call, if the loss is the same: SciPy's optimizers make thousands of calls."""
        if loss_weights is None and self._asked is not None and self._asked[0] == loss:
            return self._asked[1]
        from fastbp.losses.loss import Loss
        from fastbp.training.objective import Objective

        objective = Objective(loss, self, loss_weights)
        if loss_weights is None and isinstance(loss, (str, Loss)):
            self._asked = loss, objective
        return objective

    def save(self, path: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
        """Write the model to a .safetensors file, which `load` reads.

        Parameters
        ----------
        path : str or path-like
            The file to write.
        metadata : dict from str to str, optional
            Further entries of the metadata of the file.

        Examples
        --------
        >>> import tempfile
        >>> from fastbp import Dense
        >>> net = Sequential(Input(2), Dense(1), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.save(f"{folder}/net.safetensors")
        ...     same = load(f"{folder}/net.safetensors")
        >>> bool((same.params == net.params).all())
        True
        """
        from fastbp.files import model_file

        model_file.save(path, self, {}, metadata)


class Sequential(Model):
    """A linear stack of layers.

    Parameters
    ----------
    first : Input
        The input.
    *layers : Layer, block or Model
        Applied one after the other.
    dtype, seed, name : str, int, str, optional
        As for `Model`.

    Raises
    ------
    TypeError
        If an argument is no layer, block or model.

    See Also
    --------
    Model : Any graph.
    load : Reads a model file.

    Examples
    --------
    >>> from fastbp import Dense
    >>> net = Sequential(Input(4), Dense(3, activation="relu"), Dense(2), seed=0)
    >>> print(net)
    sequential: 3 nodes, 23 parameters, float32
    node     op            width  parameters  parents
    input_1  Input             4           0
    dense_1  Dense relu        3          15  input_1
    dense_2  Dense linear      2           8  dense_1
    """

    def __init__(
        self,
        first: Input,
        *layers: Layer | Block | Network,
        dtype: DTypeLike | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        node: Any = checks.instance(first, Input, "the first argument of Sequential")
        for k, layer in enumerate(layers):
            if not isinstance(layer, (Layer, Block, Network)):
                got = f"{type(layer).__name__} {layer!r}"
                raise TypeError(f"layers[{k}] must be a Layer, a block or a model, got {got}")
            node = layer(node)
        super().__init__(first, node, dtype=dtype, seed=seed, name=name)


def load(path: str | os.PathLike) -> Model:
    """Load a model from a file that `Model.save` or `Trainer.save` wrote.

    Parameters
    ----------
    path : str or path-like
        A .safetensors file.

    Returns
    -------
    Model
        A Model or Sequential, with the parameters of the file.

    Raises
    ------
    ModelFormatError
        If the file is damaged or not a model file.

    See Also
    --------
    Model.save, Trainer.save : Write a file.
    Trainer.load : With the state of the training.

    Examples
    --------
    >>> import tempfile
    >>> from fastbp import Dense
    >>> net = Sequential(Input(2), Dense(1), seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(f"{folder}/net.safetensors")
    ...     load(f"{folder}/net.safetensors")
    <Sequential 'sequential', 3 parameters, float32>
    """
    from fastbp.files import model_file

    return cast(Model, model_file.load(path).net)
