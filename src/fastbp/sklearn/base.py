"""Base class of the estimators for scikit-learn: parameters, validation, fit, prediction.

The conventions are those of scikit-learn: a constructor that only stores its arguments, fitted attributes with a
trailing underscore, data validated by its own utilities, with its error messages and feature names. Arrays that need no
conversion are checked by the engine instead, in a microsecond. Rejected: subclassing scikit-learn's multilayer
perceptron, whose private methods are slow.
"""

from collections.abc import Callable
from contextlib import suppress
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from fastbp._engine import first_nonfinite
from fastbp._optional import package
from fastbp.activations import NAMES
from fastbp.data.batches import Data
from fastbp.derivatives import first_order
from fastbp.inputs import checks
from fastbp.inputs.array_sources import as_source
from fastbp.sklearn.callbacks import Teller
from fastbp.sklearn.network import Design, Runtime, as_activations, as_dropout, named
from fastbp.sklearn.solvers import STOCHASTIC, EstimatorFit, memory_of, minimise
from fastbp.sklearn.targets import WHO

OLDEST = (1, 6)  # the first version with validate_data

sklearn = package("sklearn", WHO)
if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < OLDEST:
    raise ImportError(f"{WHO} needs scikit-learn >= {'.'.join(map(str, OLDEST))}, found {sklearn.__version__}")
base = package("sklearn.base", WHO)
BaseEstimator: Any = base.BaseEstimator
TransformerMixin: Any = base.TransformerMixin
FeatureNames: Any = base.ClassNamePrefixFeaturesOutMixin
validation = package("sklearn.utils.validation", WHO)
limits = package("sklearn.utils._param_validation", WHO)
split = package("sklearn.model_selection", WHO).train_test_split
check_random_state = package("sklearn.utils", WHO).check_random_state
available_if = package("sklearn.utils.metaestimators", WHO).available_if


class NoCallbacks:
    """A stand-in for `CallbackSupportMixin` of scikit-learn 1.9."""


CallbackSupport: Any = NoCallbacks
with suppress(ImportError):
    CallbackSupport = package("sklearn.callback", WHO).CallbackSupportMixin

validated: Callable = base._fit_context(prefer_skip_nested_validation=True)

PARAMETERS = """hidden_layer_sizes : int or sequence of int, default=(100,)
        Number of units of each hidden layer; () for a linear model.
    activation : str or list of str, default="relu"
        Activation of the hidden layers, or one for each: "identity", "logistic", "tanh", "relu" as in scikit-learn,
        or any other of fastbp.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        The optimizer; "lbfgs" uses SciPy.
    alpha : float, default=1e-4
        L2 regularization of the weights, not the biases: alpha / 2 times the sum of their squares, over the number of
        samples of a batch, is added to its loss.
    batch_size : int or "auto", default="auto"
        Number of samples of a batch; "auto" is min(200, rows).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Schedule for "sgd": constant; divided by (samples seen + 1)**power_t after each epoch; or divided by 5 whenever
        the epochs no longer improve.
    learning_rate_init : float, default=1e-3
        The initial learning rate, for "sgd" and "adam".
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Maximum number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default=True
        Whether to shuffle the samples before each epoch.
    random_state : int, RandomState or None, default=None
        Seed of the initial weights, the held-out samples and the shuffling.
    tol : float, default=1e-4
        The smallest change of loss or score that counts as an improvement.
    verbose : bool, default=False
        Whether to print the loss of each epoch.
    warm_start : bool, default=False
        Whether `fit` continues from the current parameters.
    momentum : float, default=0.9
        Momentum of "sgd".
    nesterovs_momentum : bool, default=True
        Whether to use Nesterov momentum.
    early_stopping : bool, default=False
        Whether to stop when the score of held-out samples no longer improves, and restore the best parameters.
    validation_fraction : float, default=0.1
        Fraction of the samples to hold out for early stopping, if `fit` gets no validation data.
    beta_1 : float, default=0.9
        Decay rate of the first moment of "adam".
    beta_2 : float, default=0.999
        Decay rate of the second moment of "adam".
    epsilon : float, default=1e-8
        Added to the denominator of "adam".
    n_iter_no_change : int or inf, default=10
        Number of epochs without improvement after which training stops.
    max_fun : int, default=15000
        Maximum number of evaluations of the loss by "lbfgs".
    """

MORE = """dropout : float or list of float, default=0.0
        Dropout rate after the hidden layers, or one for each.
    optimizer : Optimizer, optional
        An optimizer of fastbp instead of `solver`, with the same penalty alpha.
    callbacks : list of Callback, optional
        Callbacks of fastbp; those of scikit-learn are set by `set_callbacks`.
    n_threads : int, optional
        Number of threads of the engine, which chooses if not given.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        W (inputs, outputs) and b of each layer, live.
    n_iter_, n_layers_, n_outputs_, n_features_in_ : int
        As in scikit-learn.
    t_ : int
        Number of samples seen in training.
    out_activation_ : str
        The activation of the output, which predictions apply.
    loss_, best_loss_ : float
        The loss of the last epoch, and the lowest (None with early stopping).
    loss_curve_ : list of float
        The loss of each epoch, with the penalty.
    validation_loss_curve_ : list of float
        The loss of the held-out samples after each epoch, without the penalty.
    validation_scores_, best_validation_score_ : list of float, float
        With early stopping, else None.
    """


def is_stochastic(est) -> bool:
    """Whether the estimator trains by batches, and therefore has `partial_fit`."""
    return est.optimizer is not None or est.solver in STOCHASTIC


def kept(est, arguments: dict) -> None:
    """Store the arguments of a constructor unchanged, as scikit-learn requires."""
    vars(est).update({name: value for name, value in arguments.items() if name != "self"})


class MultilayerPerceptron(FeatureNames, TransformerMixin, CallbackSupport, BaseEstimator):
    """Base of the estimators; a subclass encodes the targets and selects the losses."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", limits.Interval(Integral, 1, None, closed="left")],
        "activation": [limits.StrOptions(set(NAMES)), list, tuple],
        "solver": [limits.StrOptions({*STOCHASTIC, "lbfgs"})],
        "alpha": [limits.Interval(Real, 0, None, closed="left")],
        "batch_size": [limits.StrOptions({"auto"}), limits.Interval(Integral, 1, None, closed="left")],
        "learning_rate": [limits.StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [limits.Interval(Real, 0, None, closed="neither")],
        "power_t": [limits.Interval(Real, 0, None, closed="left")],
        "max_iter": [limits.Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [limits.Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [limits.Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [limits.Interval(Real, 0, 1, closed="left")],
        "beta_1": [limits.Interval(Real, 0, 1, closed="left")],
        "beta_2": [limits.Interval(Real, 0, 1, closed="left")],
        "epsilon": [limits.Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            limits.Interval(Integral, 1, None, closed="left"),
            limits.Options(Real, {np.inf}),
        ],
        "max_fun": [limits.Interval(Integral, 1, None, closed="left")],
        "dropout": [limits.Interval(Real, 0, 1, closed="left"), list, tuple],
        "optimizer": "no_validation",
        "callbacks": "no_validation",
        "n_threads": [limits.Interval(Integral, 1, None, closed="left"), None],
    }

    # Fit

    def _fit(self, X, y, sample_weight, held, incremental):
        """Train; `held` is (X_val, y_val, sample_weight_val)."""
        hidden = self._hidden()
        self._refuse_for_lbfgs(held)
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, first)
        self._learn_targets(y, incremental)
        if sample_weight is not None:
            sample_weight = validation._check_sample_weight(sample_weight, X)
        weights = self._class_weighted(y, sample_weight, incremental)
        self._random_state = check_random_state(self.random_state)
        self.n_outputs_ = self._columns(y)
        if first:
            self._initialise([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        held = self._held_out(*held)
        if self.early_stopping and held is None and is_stochastic(self):
            if incremental:
                raise ValueError("partial_fit does not support early_stopping=True without X_val and y_val")
            X, y, weights, held = self._divided(X, y, weights)
        self._train(X, y, weights, held, incremental)
        if not np.isfinite(self._runtime.net.params).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _refuse_for_lbfgs(self, held):
        """Refuse options that need epochs of batches."""
        if is_stochastic(self):
            return
        dropout = self.dropout if np.any(self.dropout) else None
        for name, given in (("X_val", held[0]), ("callbacks", self.callbacks), ("dropout", dropout)):
            if given is not None:
                raise ValueError(f"{name} needs epochs, which solver='lbfgs' does not have")

    def _hidden(self):
        """The widths of the hidden layers."""
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if any(size <= 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return [checks.positive_int(size, "hidden_layer_sizes") for size in sizes]

    def _initialise(self, widths, dtype):
        """Draw the parameters, and reset the results of earlier fits."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(widths)
        self.out_activation_ = self._link()
        self._activations = as_activations(self.activation, len(widths) - 2)
        self.coefs_, self.intercepts_ = [], []
        for k in range(len(widths) - 1):
            activation = (*self._activations, *self._activations[-1:], self.out_activation_)[k]
            W, b = _start(activation, widths[k], widths[k + 1], self._random_state)
            self.coefs_.append(W.astype(dtype, copy=False))
            self.intercepts_.append(b.astype(dtype, copy=False))
        self._no_improvement_count = 0
        self._best_params = None
        if is_stochastic(self):
            self.loss_curve_, self.validation_loss_curve_ = [], []
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _checked(self, X, y, reset):
        """X and y, checked by scikit-learn unless both are plain arrays: its checks take longer than a step."""
        if not reset and self._are_plain(X, y):
            return X, y
        X, y = validation.validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
            **self._checks_of_y,
        )
        return X, validation.column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _are_plain(self, X, y):
        """Whether scikit-learn's checks would return both unchanged."""
        return (
            type(X) is type(y) is np.ndarray
            and X.dtype in (np.float32, np.float64)
            and X.ndim == 2
            and 0 < len(X) == len(y)
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
            and y.ndim == 1
            and (y.dtype.kind in "biu" or (y.dtype in (np.float32, np.float64) and np.isfinite(y).all()))
            and first_nonfinite(X) < 0
        )

    def _train(self, X, y, weights, held, incremental):
        runtime = self._at_work(anew=True)
        data, held = self._data(X, y, weights), held and self._data(*held)
        teller = Teller(self, X, y, weights)
        if is_stochastic(self):
            fit = EstimatorFit(self, runtime, self._target(), data, held, incremental, teller)
            fit.epochs(1 if incremental else self.max_iter)
        else:
            minimise(self, runtime, self._target(), data, teller)
        teller.close()

    def _at_work(self, anew=False):
        """The network that holds `coefs_` and `intercepts_`, which become its views.

        It is created again if these have been replaced, or (`anew`) if parameters that determine its structure have
        changed.
        """
        runtime = self.__dict__.get("_runtime")
        fits = runtime is not None and runtime.holds(self.coefs_, self.intercepts_)
        if fits and not (anew and runtime.design != self._design(runtime.design.seed)):
            return runtime
        if runtime is not None and runtime.trainer is not None:
            self._memory = memory_of(runtime.trainer)
        runtime = self._runtime = Runtime(self._design(None), self.coefs_, self.intercepts_)
        self.coefs_, self.intercepts_ = list(runtime.coefs), list(runtime.intercepts)
        return runtime

    def _design(self, seed):
        """The structure of the network; with dropout a seed is drawn if none is given."""
        layers = len(self.coefs_) - 1
        activations = self.__dict__.get("_activations") or as_activations(self.activation, layers)
        dropout = as_dropout(self.dropout, layers)
        if seed is None:
            # Without dropout no seed is drawn, as in scikit-learn, so that the random stream is the same.
            rng = self.__dict__.get("_random_state")
            seed = int(rng.randint(2**31 - 1)) if any(dropout) and rng is not None else 0
        return Design(activations, self.out_activation_, self._target().inside, dropout, seed)

    def _data(self, X, y, weights):
        dtype = self._runtime.net.dtype
        X = as_source(X, X.shape[1], dtype, check_finite=X.dtype != dtype)
        weights = None if weights is None else (checks.as_weights(weights, (len(X),), dtype),)
        return Data((X,), (self._encoded(y, dtype),), weights)

    def _held_out(self, X, y, weights):
        """Checked data to evaluate after each epoch, or None."""
        if X is None:
            if y is not None or weights is not None:
                raise ValueError("y_val and sample_weight_val need X_val")
            return None
        if y is None:
            raise ValueError("X_val needs y_val")
        X, y = self._checked(X, y, False)
        self._known_targets(y)
        return X, y, None if weights is None else validation._check_sample_weight(weights, X)

    def _divided(self, X, y, weights):
        """The rows to train on and the held-out fraction."""
        train, test = split(
            np.arange(X.shape[0]),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(y),
        )
        if len(test) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or use more data.")
        parts = [(X[k], y[k], None if weights is None else weights[k]) for k in (train, test)]
        return *parts[0], parts[1]

    # Predict

    def _predict(self, X):
        """Predictions of the network for X of any kind."""
        state = self.__dict__
        runtime = state.get("_runtime")
        if runtime is not None and "feature_names_in_" not in state and runtime.holds(self.coefs_, self.intercepts_):
            Y = runtime.quick_predict(X, self.n_threads)
            if Y is not None:
                return Y
        X = self._rows(X)
        return self._at_work().predict(X, self.n_threads)

    def transform(self, X: Any) -> np.ndarray:
        """The activations of the last hidden layer: learned features.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows, units of the last hidden layer), or a frame as `set_output` says
            The activations of each sample.
        """
        X = self._dense(X)
        return self._at_work().hidden(X)

    def input_gradient(self, X: Any, output: int | None = None) -> np.ndarray:
        """The gradient of an output with respect to the features of each sample (saliency).

        The output is taken before the softmax or sigmoid of a classifier, or the exponential of "poisson".

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.
        output : int, optional
            Index of the output; the largest of each row if not given.

        Returns
        -------
        ndarray of shape (rows, features)
            The gradient of each sample.
        """
        X = self._dense(X)
        return first_order.input_gradient(self._at_work().net, X, output=output, threads=self.n_threads)

    @property
    def _n_features_out(self):
        return self.coefs_[-1].shape[0]

    def _dense(self, X):
        """The rows as an array."""
        X = self._rows(X)
        return X if isinstance(X, np.ndarray) else X[:]

    def _rows(self, X):
        """Rows for the network, from X of any kind."""
        validation.check_is_fitted(self)
        X = validation.validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return as_source(X, X.shape[1], self.coefs_[0].dtype)

    # Conventions

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self):
        state = {**super().__getstate__()}
        runtime = state.pop("_runtime", None)
        state.pop("_optimizer", None)
        if runtime is not None and runtime.trainer is not None:
            state["_memory"] = memory_of(runtime.trainer)
        return state


def _start(activation, inputs, outputs, rng):
    """W and b as scikit-learn draws them, or as fastbp does before activations that only fastbp has."""
    name = named(activation)
    bound = np.sqrt((2.0 if name == "sigmoid" else 6.0) / (inputs + outputs))
    return rng.uniform(-bound, bound, (inputs, outputs)), rng.uniform(-bound, bound, outputs)
