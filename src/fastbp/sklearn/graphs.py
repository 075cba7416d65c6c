"""NetworkClassifier and NetworkRegressor: estimators around any network, which a function builds.

Parameters with a prefix are passed on to that part: `optimizer__lr=0.01`, `build__width=64`; searches can vary them, as
with skorch and scikeras. Rejected: an estimator around a network, whose parameters scikit-learn's `clone` would have to
forget.
"""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from fastbp import _engine
from fastbp._typing import ArrayLike
from fastbp.callbacks.callback import Callback
from fastbp.losses.loss import Loss
from fastbp.network.network import Network
from fastbp.optimizers.optimizer import Optimizer
from fastbp.sklearn.base import BaseEstimator, base, check_random_state, kept, validation
from fastbp.sklearn.targets import multiclass
from fastbp.training.trainer import Trainer

ClassifierMixin: Any = base.ClassifierMixin
RegressorMixin: Any = base.RegressorMixin
PREFIXES = ("build__", "optimizer__")


class NetworkEstimator(BaseEstimator):
    """Base class of both: parameters with prefixes, training, outputs."""

    build: Callable[..., Network]
    loss: Any
    optimizer: Any
    n_features_in_: int

    def _keep(self, arguments):
        given = arguments.pop("parameters")
        for name in given:
            if not name.startswith(PREFIXES):
                raise TypeError(
                    f"{type(self).__name__} got an unexpected parameter {name!r}; those of its parts begin with "
                    f"{' or '.join(PREFIXES)}"
                )
        kept(self, arguments | given)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters, including those with a prefix.

        Parameters
        ----------
        deep : bool, default=True
            Ignored: the parts have only the parameters that were passed.

        Returns
        -------
        dict from str to object
            By name.
        """
        return super().get_params(deep=False) | {n: v for n, v in vars(self).items() if n.startswith(PREFIXES)}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters, which may be new ones with a prefix.

        Parameters
        ----------
        **parameters : object
            Values by name.

        Returns
        -------
        self
            The estimator.
        """
        for name, value in parameters.items():
            if name.startswith(PREFIXES):
                setattr(self, name, value)
        super().set_params(**{n: v for n, v in parameters.items() if not n.startswith(PREFIXES)})
        return self

    def _given(self, prefix):
        return {n.removeprefix(prefix): value for n, value in vars(self).items() if n.startswith(prefix)}

    def _fitted(self, X, y, outputs, sample_weight):
        """Build the network and train it."""
        rng = check_random_state(self.random_state)
        given, seed = self._given("build__"), int(rng.randint(2**31 - 1))
        if "seed" in inspect.signature(self.build).parameters:
            given = {"seed": seed} | given
        net = self.build(X.shape[1], outputs, **given)
        if not isinstance(net, Network):
            raise TypeError(f"build must return a network, got {type(net).__name__}")
        if len(net.inputs) != 1 or len(net.outputs) != 1:
            raise ValueError(f"build must return a network with one input and one output, got {net!r}")
        # A schedule may keep a state, and fit must leave the estimator's parameters as they are.
        optimizer = copy.deepcopy(Optimizer.classes.resolve(self.optimizer)).configured(**self._given("optimizer__"))
        trainer = Trainer(net, self.loss, optimizer, seed=seed)
        if sample_weight is not None:
            sample_weight = validation._check_sample_weight(sample_weight, X)
        self.history_ = trainer.fit(
            X,
            y,
            epochs=self.epochs,
            batch_size=self.batch_size,
            sample_weight=sample_weight,
            validation_split=self.validation_split,
            callbacks=self.callbacks,
            threads=self.n_threads,
        )
        self.network_, self.n_iter_ = net, len(self.history_.epoch)
        return self

    def _outputs(self, X):
        validation.check_is_fitted(self)
        return self.network_.predict(validation.validate_data(self, X, accept_sparse="csr", reset=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


PARAMETERS = """build : function
        (inputs, outputs, ...) -> Network, with logits as outputs; `build__width` is passed as `width`, and `seed` if it
        has a parameter of that name.
    loss : str or Loss, default={loss}
        A loss of fastbp.
    optimizer : str or Optimizer, default="adam"
        A name, or an optimizer, of which a copy is used.
    epochs : int, default=20
        Number of epochs.
    batch_size : int, default=32
        Number of samples per step.
    validation_split : float or Split, optional
        Fraction of the rows held out for validation. None if not given.
    callbacks : list of Callback, default=()
        Called during training.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights and the shuffling.
    n_threads : int, optional
        Number of threads of the engine, which chooses if not given.
    **parameters : object
        Parameters of the parts: `optimizer__lr`, `build__width`.

    Attributes
    ----------
    network_ : Network
        The trained network.
    history_ : History
        Losses of the epochs.
    n_features_in_, n_iter_ : int
        Numbers of features and of epochs."""


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    __doc__ = f"""A classifier around any network.

    Parameters
    ----------
    {PARAMETERS.format(loss='"cross_entropy"')}
    classes_ : ndarray of shape (classes,)
        The labels.

    See Also
    --------
    NetworkRegressor : For numbers.
    fastbp.MLPClassifier : A multilayer perceptron with scikit-learn's parameters.

    Examples
    --------
    >>> import fastbp as fb
    >>> def build(inputs, outputs, width=8, seed=None):
    ...     x = fb.Input(inputs)
    ...     h = fb.Dense(width, "tanh")(x)
    ...     return fb.Model(x, fb.Dense(outputs)(fb.Concatenate()([h, x])), seed=seed)
    >>> X, y = fb.datasets.digits()
    >>> from fastbp.sklearn import NetworkClassifier
    >>> model = NetworkClassifier(build, optimizer__lr=0.01, build__width=32, epochs=5, random_state=0)
    >>> model.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    """

    def __init__(
        self,
        build: Callable[..., Network],
        *,
        loss: str | Loss = "cross_entropy",
        optimizer: str | Optimizer = "adam",
        epochs: int = 20,
        batch_size: int = 32,
        validation_split: Any = None,
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
        n_threads: int | None = None,
        **parameters: Any,
    ):
        self._keep(locals())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model to data.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.
        y : array of shape (rows,)
            The labels.
        sample_weight : array of shape (rows,), optional
            Weights of the samples; 1 if not given.

        Returns
        -------
        self
            The estimator.

        Raises
        ------
        ValueError
            If the loss is for two classes and y has more.
        """
        X, y = validation.validate_data(self, X, y, accept_sparse="csr")
        multiclass.check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self._one = self._takes_one()
        if self._one and len(self.classes_) > 2:
            raise ValueError(f"loss {self.loss!r} is for two classes, y has {len(self.classes_)}")
        t = numbers[:, None].astype(np.float64) if self._one else numbers.astype(np.int64)
        return self._fitted(X, t, 1 if self._one else len(self.classes_), sample_weight)

    def _takes_one(self):
        loss = Loss.classes.resolve(self.loss)
        return isinstance(loss, Loss) and not loss.row.labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows, classes)
            In the order of `classes_`.
        """
        Z = self._outputs(X).astype(np.float64)
        if len(self.classes_) == 1:
            return np.ones((len(Z), 1))
        if self._one:
            p = _engine.functional.activation_forward(Z, "sigmoid")
            return np.hstack([1 - p, p])
        return _engine.functional.activation_forward(Z, "softmax")

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of each sample.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows,)
            The labels.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    __doc__ = f"""A regressor around any network.

    Parameters
    ----------
    {PARAMETERS.format(loss='"mse"')}

    See Also
    --------
    NetworkClassifier : For classes.
    fastbp.MLPRegressor : A multilayer perceptron with scikit-learn's parameters.

    Examples
    --------
    >>> import fastbp as fb
    >>> def build(inputs, outputs, seed=None):
    ...     return fb.Sequential(fb.Input(inputs), fb.Dense(8, "tanh"), fb.Dense(outputs), seed=seed)
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> from fastbp.sklearn import NetworkRegressor
    >>> model = NetworkRegressor(build, optimizer__lr=0.02, epochs=200, random_state=0)
    >>> model = model.fit(X, X[:, 0] * X[:, 1])
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.8
    True
    """

    def __init__(
        self,
        build: Callable[..., Network],
        *,
        loss: str | Loss = "mse",
        optimizer: str | Optimizer = "adam",
        epochs: int = 20,
        batch_size: int = 32,
        validation_split: Any = None,
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
        n_threads: int | None = None,
        **parameters: Any,
    ):
        self._keep(locals())

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model to data.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.
        y : array of shape (rows,) or (rows, targets)
            The targets.
        sample_weight : array of shape (rows,), optional
            Weights of the samples; 1 if not given.

        Returns
        -------
        self
            The estimator.
        """
        X, y = validation.validate_data(self, X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
        y = validation.column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        self._flat = y.ndim == 1
        return self._fitted(X, y.reshape(len(y), -1), 1 if self._flat else y.shape[1], sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """The outputs for samples.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows,), or (rows, targets)
            As the targets were.
        """
        Y = self._outputs(X)
        return Y[:, 0] if self._flat else Y
