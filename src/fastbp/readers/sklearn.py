"""scikit-learn in: fitted MLPs, alone or behind scalers in a Pipeline.

Read by their attributes, so scikit-learn need not be installed and whoever keeps its names is read too. The
way back is an estimator of its own, since an MLPClassifier cannot be made without being fitted.
"""

from typing import Any

import numpy as np

from fastbp import activations
from fastbp._typing import DTypeLike
from fastbp.layers.dense import Dense
from fastbp.model import Model
from fastbp.readers.draft import Draft, unsupported

FORM = "scikit-learn"
# Scalers: scale and shift of X scale + shift, for a fitted one.
SCALERS = {
    "StandardScaler": lambda scaler: _standard(scaler.mean_, scaler.scale_),
    "MinMaxScaler": lambda scaler: (scaler.scale_, scaler.min_),
    "MaxAbsScaler": lambda scaler: (1 / scaler.scale_, 0.0),
    "RobustScaler": lambda scaler: _standard(scaler.center_, scaler.scale_),
    "FunctionTransformer": lambda scaler: (1.0, 0.0) if scaler.func is None else None,
}


def _standard(center, scale):
    center, scale = (0.0 if center is None else center), (1.0 if scale is None else scale)
    return 1 / scale, -center / scale


def from_sklearn(estimator: Any, *, logits: bool = False, dtype: DTypeLike | None = None) -> Model:
    """The model that a fitted MLPClassifier or MLPRegressor is, or a Pipeline of scalers and one of these.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        Fitted; of scikit-learn, or with its attributes.
    logits : bool
        Leave out a classifier's softmax or sigmoid, as the losses here want it. Otherwise the outputs are those
        of `predict_proba`: of all classes, or for two classes of the second alone.
    dtype : {"float32", "float64"}, optional
        That of the parameters if not given.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the estimator is not fitted or is of another kind.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> fitted = SimpleNamespace(coefs_=[np.ones((2, 1))], intercepts_=[np.ones(1)],
    ...                          activation="relu", out_activation_="identity")
    >>> from_sklearn(fitted).predict([[1.0, 2.0]])
    array([[4.]])
    """
    *before, last = (step for _, step in estimator.steps) if hasattr(estimator, "steps") else (estimator,)
    coefs, intercepts = _fitted(last)
    draft = Draft()
    at = draft.input(len(coefs[0]))
    for step in before:
        at = _scaled(draft, at, step)
    several = isinstance(last.activation, (list, tuple))  # our estimators have one for each layer
    hidden = last.activation if several else [last.activation] * (len(coefs) - 1)
    output = "linear" if logits else last.out_activation_
    for W, b, activation in zip(coefs, intercepts, [*hidden, output], strict=True):
        at = draft.add(Dense(W.shape[1], activations.resolve(activation)), at, W=W, b=b)
    return draft.model([at], dtype)


def _fitted(estimator) -> tuple[list, list]:
    name = type(estimator).__name__
    if not hasattr(estimator, "coefs_"):
        if hasattr(estimator, "hidden_layer_sizes"):
            raise ValueError(f"{name} is not fitted")
        raise unsupported(name, FORM, ("MLPClassifier", "MLPRegressor", "Pipeline"))
    return [np.asarray(W) for W in estimator.coefs_], [np.asarray(b) for b in estimator.intercepts_]


def _scaled(draft, at, step):
    name = type(step).__name__
    if step in (None, "passthrough"):
        return at
    scale = SCALERS[name](step) if name in SCALERS else None
    if scale is None:
        raise unsupported(f"step {name} of the Pipeline", FORM, SCALERS)
    return draft.affine(at, *scale)
