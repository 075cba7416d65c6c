"""Estimators for scikit-learn: its MLPClassifier and MLPRegressor, faster, with what they refuse.

Another import line is all that a program needs to change: parameters, defaults, methods, fitted attributes and,
with the same `random_state`, the numbers are the same. What is more comes after scikit-learn's parameters and is
off by default.
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
from fastbp.sklearn.targets import Classes, Values

__all__ = ["MLPClassifier", "MLPRegressor"]

ClassifierMixin: Any = base.ClassifierMixin
RegressorMixin: Any = base.RegressorMixin


class _Perceptron(MultilayerPerceptron):
    """What the two do alike."""

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
        """Train.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
            float32 stays float32; all else is computed in float64.
        y : array of shape (rows,), or (rows, labels) or (rows, targets)
        sample_weight : array of shape (rows,), optional
        X_val, y_val, sample_weight_val : arrays, optional
            Rows to look at after each epoch, and for early stopping in the place of a part of X.

        Returns
        -------
        self
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
        """Train for one epoch, going on from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `fit`.
        X_val, y_val, sample_weight_val : arrays, optional
            Rows to look at; `early_stopping` needs them, and puts the best parameters back when it would stop.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), True)


class MLPClassifier(Classes, ClassifierMixin, _Perceptron):
    __doc__ = f"""A multilayer perceptron for classes: scikit-learn's MLPClassifier, faster, and more.

    Several labels a row are given as rows of 0 and 1. Probabilities are a softmax of the outputs, or with two classes
    and with several labels a sigmoid of each.

    Parameters
    ----------
    {PARAMETERS}loss : str or Loss
        "log_loss", or any of fastbp's that is for classes: "focal", `losses.CrossEntropy(label_smoothing=0.1)`. One
        without a softmax sees each class by itself, as 0 and 1; one for values compares probabilities with these.
    class_weight : dict from label to weight, or "balanced", optional
        Multiplies the weight of each row by its label's; "balanced" makes all classes weigh the same.
    {MORE}classes_ : ndarray
        The labels in the order of `predict_proba`.

    Examples
    --------
    >>> from fastbp.sklearn.estimators import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["same", "other", "other", "same"]
    >>> net = MLPClassifier((8,), "tanh", solver="lbfgs", random_state=0).fit(X, y)
    >>> net.predict([[0.0, 1.0], [1.0, 1.0]]).tolist()
    ['other', 'same']
    """

    __module__ = "fastbp.sklearn"  # what stored estimators name

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
        """Train for one epoch, going on from where the last call ended.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As for `fit`.
        classes : array of all labels
            In the first call.
        X_val, y_val, sample_weight_val : arrays, optional
            Rows to look at; `early_stopping` needs them, and puts the best parameters back when it would stop.

        Returns
        -------
        self
        """
        self._learn_classes(y, classes)
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), True)

    def predict(self, X: Any) -> np.ndarray:
        """The most likely label of each row, or all likely ones as 0 and 1 where there are several a row.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)

        Returns
        -------
        ndarray of shape (rows,) or (rows, labels)
        """
        P, classes = self._predict(X), self.classes_
        kind = self._label_binarizer.y_type_
        if kind == "multiclass" or (kind == "binary" and P.shape[1] == 2 == len(classes)):
            return classes.take(P.argmax(axis=1))
        if kind == "binary" and len(classes) == 2:
            return classes.take(P[:, 0] > 0.5)
        return self._label_binarizer.inverse_transform(P)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each label.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)

        Returns
        -------
        ndarray of shape (rows, labels)
            In the order of `classes_`.
        """
        P = self._predict(X)
        if P.shape[1] > 1:
            if self.out_activation_ == "logistic" and self._label_binarizer.y_type_ == "multiclass":
                P /= P.sum(axis=1, keepdims=True)  # one sigmoid for each class, by a loss of ours
            return P
        both = np.empty((len(P), 2), P.dtype)
        both[:, 1:] = P
        np.subtract(1, P, out=both[:, :1])
        return both

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of the probability of each label.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)

        Returns
        -------
        ndarray of shape (rows, labels)
        """
        P = self.predict_proba(X)
        return np.log(P, out=P)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(Values, RegressorMixin, _Perceptron):
    __doc__ = f"""A multilayer perceptron for numbers: scikit-learn's MLPRegressor, faster, and more.

    Parameters
    ----------
    loss : str or Loss
        "squared_error" (half of it), "poisson" (with the logarithm of the mean as output), or any of fastbp's.
    {PARAMETERS}quantile : float or list of float
        For "quantile"; of several the outputs are as many for each target.
    {MORE}
    Examples
    --------
    >>> from fastbp.sklearn.estimators import MLPRegressor
    >>> X = [[0.0], [0.5], [1.0], [1.5], [2.0]]
    >>> net = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, random_state=0).fit(X, [1, 2, 3, 4, 5])
    >>> net.predict([[4.0]]).round(3)
    array([9.])
    """

    __module__ = "fastbp.sklearn"  # what stored estimators name

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
        """Values for each row.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)
        return_interval : bool
            Whether to return the lowest and the highest of several quantiles too.

        Returns
        -------
        ndarray of shape (rows,) or (rows, targets)
            Of several quantiles the one next to the median.
        interval : ndarray of shape (rows, 2) or (rows, targets, 2)
            With `return_interval`.
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
        """All quantiles in ascending order.

        Parameters
        ----------
        X : array or sparse matrix of shape (rows, features)

        Returns
        -------
        ndarray of shape (rows, quantiles) or (rows, targets, quantiles)
        """
        P = self._predict(X)
        if self._levels() is None:
            raise ValueError(f"predict_quantiles needs loss='quantile', got {self.loss!r}")
        ordered = self._ordered(P)
        return ordered[:, 0] if ordered.shape[1] == 1 else ordered
