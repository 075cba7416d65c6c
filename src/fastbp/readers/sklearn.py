"""`from_sklearn`: reads fitted MLPs of scikit-learn, alone or after scalers in a Pipeline.

It reads their fitted attributes, so scikit-learn need not be installed, and other classes with these attributes work
too. There is no writer, since an MLPClassifier cannot be created without being fitted.
"""

from typing import Any

import numpy as np

from fastbp._engine import ACTIVATIONS as OWN
from fastbp._typing import DTypeLike
from fastbp.inputs import checks
from fastbp.layers.dense import Dense
from fastbp.model import Model
from fastbp.readers.draft import Draft, unsupported

FORM = "scikit-learn"
# Names that differ from ours.
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}
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
    """Convert a fitted MLPClassifier or MLPRegressor, or a Pipeline of scalers and one of these.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        A fitted estimator of scikit-learn, or of another class with the same attributes.
    logits : bool, default=False
        Whether to omit the final softmax or sigmoid of a classifier, as the losses expect for further training.
        Otherwise the outputs are those of `predict_proba`: of all classes, or of the second of two.
    dtype : {"float32", "float64"}, optional
        dtype of the model; that of the parameters if not given.

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
        at = draft.add(Dense(W.shape[1], _activation(activation)), at, W=W, b=b)
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


def _activation(activation: Any) -> Any:
    if not isinstance(activation, str):
        return activation
    return checks.one_of(ACTIVATIONS.get(activation, activation), "activation", OWN)
