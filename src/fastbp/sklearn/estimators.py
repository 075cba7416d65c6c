"""MLPClassifier and MLPRegressor for scikit-learn: drop-in replacements that are faster and have more options.

Only the import changes: parameters, defaults, methods, fitted attributes and, with the same `random_state`, results are
those of scikit-learn. Additional parameters come after these and are off by default.
"""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np

from fastbp._engine import LOSSES
from fastbp._typing import ArrayLike
from fastbp.callbacks.callback import Callback
from fastbp.losses.loss import Loss
from fastbp.optimizers.optimizer import Optimizer
from fastbp.sklearn.base import (
    MORE,
    PARAMETERS,
    MultilayerPerceptron,
    available_if,
    base,
    is_stochastic,
    kept,
    limits,
    validated,
)
from fastbp.sklearn.exports import as_sklearns, register_converters
from fastbp.sklearn.targets import Classes, Values

__all__ = ["MLPClassifier", "MLPRegressor"]

ClassifierMixin: Any = base.ClassifierMixin
RegressorMixin: Any = base.RegressorMixin


class _Perceptron(MultilayerPerceptron):
    """The methods that both estimators share."""

    @validated
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the model to data.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples; float32 is computed in float32, all other dtypes in float64.
        y : array of shape (rows,), or (rows, labels) or (rows, targets)
            The targets.
        sample_weight : array of shape (rows,), optional
            Weights of the samples; 1 if not given.
        X_val, y_val, sample_weight_val : arrays, optional
            Validation data, evaluated after each epoch and used for early stopping; if not given, a fraction of X is
            held out for that.

        Returns
        -------
        self
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), False)

    @available_if(is_stochastic)
    @validated
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, continuing from the last call.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `fit`.
        X_val, y_val, sample_weight_val : arrays, optional
            Validation data; required by `early_stopping`, which restores the best parameters when it would stop.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), True)

    def to_sklearn(self) -> Any:
        """The fitted scikit-learn estimator with the same predictions, for tools that only support scikit-learn's own.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            A fitted estimator with a copy of the weights.

        Raises
        ------
        ValueError
            If scikit-learn lacks an activation, or the kind of prediction that the loss has.
        """
        return as_sklearns(self)


class MLPClassifier(Classes, ClassifierMixin, _Perceptron):
    __doc__ = f"""Multilayer perceptron classifier: a faster MLPClassifier of scikit-learn with more options.

    Multilabel targets are rows of 0 and 1. Probabilities are the softmax of the outputs, or for two classes and for
    multilabel targets the sigmoid.

    Parameters
    ----------
    {PARAMETERS}loss : str or Loss, default="log_loss"
        "log_loss", or a classification loss of fastbp such as "focal" or `losses.CrossEntropy(label_smoothing=0.1)`. A
        loss without a softmax treats each class as a binary target; a regression loss compares probabilities with it.
    class_weight : dict from label to weight, or "balanced", optional
        Factors of the sample weights by class; "balanced" gives all classes the same total weight; none if not given.
    {MORE}classes_ : ndarray
        The class labels in the order of `predict_proba`.

    See Also
    --------
    fastbp.MLPRegressor : Predicts numbers.

    Examples
    --------
    >>> from fastbp.sklearn.estimators import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["same", "other", "other", "same"]
    >>> net = MLPClassifier((8,), "tanh", solver="lbfgs", random_state=0).fit(X, y)
    >>> net.predict([[0.0, 1.0], [1.0, 1.0]]).tolist()
    ['other', 'same']
    """

    __module__ = "fastbp.sklearn"  # the module in pickles

    _parameter_constraints: ClassVar[dict] = {
        **_Perceptron._parameter_constraints,
        "loss": [limits.StrOptions({"log_loss", *LOSSES}), Loss],
        "class_weight": [dict, limits.StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: str | Loss = "log_loss",
        class_weight: Mapping | str | None = None,
        dropout: float | Sequence[float] = 0.0,
        optimizer: Optimizer | str | None = None,
        callbacks: Sequence[Callback] | None = None,
        n_threads: int | None = None,
    ):
        kept(self, locals())

    @available_if(is_stochastic)
    @validated
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, continuing from the last call.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `fit`.
        classes : array of shape (classes,), optional
            All class labels; required in the first call.
        X_val, y_val, sample_weight_val : arrays, optional
            Validation data; required by `early_stopping`, which restores the best parameters when it would stop.

        Returns
        -------
        self
        """
        self._learn_classes(y, classes)
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), True)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most likely class of each sample, or for multilabel targets all likely ones as 0 and 1.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows,) or (rows, labels)
            The predicted classes.
        """
        P, classes = self._predict(X), self.classes_
        kind = self._label_binarizer.y_type_
        if kind == "multiclass" or (kind == "binary" and P.shape[1] == 2 == len(classes)):
            return classes.take(P.argmax(axis=1))
        if kind == "binary" and len(classes) == 2:
            return classes.take(P[:, 0] > 0.5)
        return self._label_binarizer.inverse_transform(P)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows, labels)
            In the order of `classes_`.
        """
        P = self._predict(X)
        if P.shape[1] > 1:
            if self.out_activation_ == "logistic" and self._label_binarizer.y_type_ == "multiclass":
                P /= P.sum(axis=1, keepdims=True)  # one sigmoid for each class
            return P
        both = np.empty((len(P), 2), P.dtype)
        both[:, 1:] = P
        np.subtract(1, P, out=both[:, :1])
        return both

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows, labels)
            The logarithms, in the order of `classes_`.
        """
        P = self.predict_proba(X)
        return np.log(P, out=P)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(Values, RegressorMixin, _Perceptron):
    __doc__ = f"""Multilayer perceptron regressor: a faster MLPRegressor of scikit-learn with more options.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        "squared_error" (half of it), "poisson" (the output is the logarithm of the mean), or any loss of fastbp.
    {PARAMETERS}quantile : float or list of float, default=0.5
        The quantile or quantiles of loss="quantile"; several have one output each per target.
    {MORE}
    See Also
    --------
    fastbp.MLPClassifier : Predicts classes.

    Examples
    --------
    >>> from fastbp.sklearn.estimators import MLPRegressor
    >>> X = [[0.0], [0.5], [1.0], [1.5], [2.0]]
    >>> net = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, random_state=0).fit(X, [1, 2, 3, 4, 5])
    >>> net.predict([[4.0]]).round(3)
    array([9.])
    """

    __module__ = "fastbp.sklearn"  # the module in pickles

    _parameter_constraints: ClassVar[dict] = {
        **_Perceptron._parameter_constraints,
        "loss": [limits.StrOptions({"squared_error", *LOSSES}), Loss],
        "quantile": [limits.Interval(Real, 0, 1, closed="neither"), list, tuple],
    }

    def __init__(
        self,
        loss: str | Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        quantile: float | Sequence[float] = 0.5,
        dropout: float | Sequence[float] = 0.0,
        optimizer: Optimizer | str | None = None,
        callbacks: Sequence[Callback] | None = None,
        n_threads: int | None = None,
    ):
        kept(self, locals())

    def predict(self, X: Any, return_interval: bool = False) -> Any:
        """Predict the targets of each sample.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.
        return_interval : bool, default=False
            Whether to return also the lowest and the highest of several quantiles.

        Returns
        -------
        ndarray of shape (rows,) or (rows, targets)
            With several quantiles, the one closest to the median.
        interval : ndarray of shape (rows, 2) or (rows, targets, 2)
            Only with `return_interval`.

        Raises
        ------
        ValueError
            If an interval is asked for without several quantiles.
        """
        P = self._predict(X)
        Y = self._central(P)
        Y = Y.ravel() if Y.shape[1] == 1 else Y
        if not return_interval:
            return Y
        levels = self._levels()
        if levels is None or len(levels) < 2:
            raise ValueError("return_interval=True needs loss='quantile' and several: quantile=[0.05, 0.5, 0.95]")
        interval = self._ordered(P)[:, :, [0, -1]]
        return Y, interval[:, 0] if interval.shape[1] == 1 else interval

    def predict_quantiles(self, X: Any) -> np.ndarray:
        """Predict all quantiles, in ascending order.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            The samples.

        Returns
        -------
        ndarray of shape (rows, quantiles) or (rows, targets, quantiles)
            The quantiles of each target, the lowest first.

        Raises
        ------
        ValueError
            If `loss` is not "quantile".
        """
        P = self._predict(X)
        if self._levels() is None:
            raise ValueError(f"predict_quantiles needs loss='quantile', got {self.loss!r}")
        ordered = self._ordered(P)
        return ordered[:, 0] if ordered.shape[1] == 1 else ordered


register_converters(MLPClassifier, MLPRegressor)
