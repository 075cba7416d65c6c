"""`from_sklearn`: reads fitted MLPs of scikit-learn, alone or after scalers in a Pipeline.

It reads their fitted attributes, so scikit-learn need not be installed, and other classes with these attributes work
too. There is no writer, since an MLPClassifier cannot be created without being fitted.
"""

import contextlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import activations
from fastbp._typing import DTypeLike
from fastbp.layers.dense import Dense
from fastbp.model import Model
from fastbp.readers import comparison
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.settings import Asked, Refused, Settings, want

FORM = "scikit-learn"
# Settings that affect only fit, or how X is passed.
TRAINING = {"hidden_layer_sizes", "loss", "solver", "alpha", "batch_size", "learning_rate", "learning_rate_init"}
TRAINING |= {"power_t", "max_iter", "shuffle", "random_state", "tol", "verbose", "warm_start", "momentum"}
TRAINING |= {"nesterovs_momentum", "early_stopping", "validation_fraction", "beta_1", "beta_2", "epsilon"}
TRAINING |= {"n_iter_no_change", "max_fun"}
HARMLESS = {"copy", "quantile_range", "unit_variance", "inverse_func", "validate", "accept_sparse", "check_inverse"}
HARMLESS |= {"feature_names_out", "kw_args", "inv_kw_args", "memory", "verbose", "transform_input"}


def _centred(flag: str, center: str, scaled: str) -> Callable:
    """(X - center) / scale, each part only if its flag is set."""

    def read(draft, at, scaler):
        middle = getattr(scaler, center) if getattr(scaler, flag) else None
        spread = scaler.scale_ if getattr(scaler, scaled) else None
        middle, spread = (0.0 if middle is None else middle), (1.0 if spread is None else spread)
        return draft.affine(at, 1 / spread, -middle / spread)

    return read


def _min_max(draft, at, scaler):
    at = draft.affine(at, scaler.scale_, scaler.min_)
    low, high = map(float, scaler.feature_range)  # already in scale_ and min_
    return draft.activate(at, "hard_tanh", low, high) if scaler.clip else at


def _max_abs(draft, at, scaler):
    at = draft.affine(at, 1 / scaler.scale_, 0.0)
    return draft.activate(at, "hard_tanh", -1.0, 1.0) if getattr(scaler, "clip", False) else at


def _function(draft, at, transformer):
    want("func", transformer.func, None)
    return at


# Steps of a Pipeline, from the step before and a fitted scaler.
SCALERS: dict[str, Callable] = {
    "StandardScaler": _centred("with_mean", "mean_", "with_std"),
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "RobustScaler": _centred("with_centering", "center_", "with_scaling"),
    "FunctionTransformer": _function,
}


def from_sklearn(estimator: Any, *, logits: bool = False, dtype: DTypeLike | None = None, check: bool = True) -> Model:
    """Convert a fitted MLPClassifier or MLPRegressor, or a Pipeline of scalers and one of these.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        A fitted estimator of scikit-learn, or of another class with the same attributes.
    logits : bool, default=False
        Whether to omit the final softmax or sigmoid of a classifier, as the losses expect for further training.
        Otherwise the outputs are those of `predict_proba`: of all classes, or of the second of two.
    dtype : {"float32", "float64"}, optional
        The dtype of the model; that of the parameters if not given.
    check : bool, default=True
        Whether the estimator and the model are compared on a few random rows.

    Returns
    -------
    Sequential
        The estimator as a network, with a copy of its parameters.

    Raises
    ------
    ValueError
        If the estimator is not fitted or is of another kind, or a step has a setting that no layer has; the message
        names it. If `check` finds that the outputs of the model and the estimator differ.

    See Also
    --------
    MLPClassifier, MLPRegressor : Estimators of fastbp, with `to_sklearn`.
    from_fann, from_keras, from_onnx, from_torch : Readers of other formats.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> fitted = SimpleNamespace(coefs_=[np.ones((2, 1))], intercepts_=[np.ones(1)],
    ...                          activation="relu", out_activation_="identity")
    >>> from_sklearn(fitted, check=False).predict([[1.0, 2.0]])
    array([[4.]])
    """
    steps = [step for _, step in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    net = _read(estimator, steps, logits, dtype)
    if check:
        _compare(_read(estimator, steps, False, dtype) if logits else net, estimator, steps[:-1])
    return net


def _read(estimator, steps, logits, dtype) -> Model:
    last = steps[-1]
    if hasattr(estimator, "steps"):
        _refuse_others(estimator, {"steps"})
    coefs, intercepts = _fitted(last)
    draft = Draft()
    at = draft.input(len(coefs[0]))
    for step in steps[:-1]:
        at = _scaled(draft, at, step)
    several = isinstance(last.activation, (list, tuple))  # estimators of fastbp have one for each layer
    hidden = last.activation if several else [last.activation] * (len(coefs) - 1)
    if type(last).__module__.startswith("sklearn."):
        _refuse_others(last, {"activation", *TRAINING})
    output = "linear" if logits else last.out_activation_
    for W, b, activation in zip(coefs, intercepts, [*hidden, output], strict=True):
        at = draft.add(Dense(W.shape[1], activations.resolve(activation)), at, W=W, b=b)
    return draft.model([at], dtype)


def _compare(net: Model, estimator: Any, scalers: list) -> None:
    (X,) = comparison.rows(net)
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
        Z = X.copy()  # changed by scalers with copy=False
        for scaler in reversed([step for step in scalers if step not in (None, "passthrough")]):
            Z = scaler.inverse_transform(Z)  # rows at the scale of the training data
        X = np.concatenate([X, np.asarray(Z)])

    def evaluate(X):
        with warnings.catch_warnings(action="ignore"):  # of column names
            classifies = hasattr(estimator, "predict_proba")
            Y = np.asarray(estimator.predict_proba(X) if classifies else estimator.predict(X))
        Y = Y.reshape(len(X), -1)
        return Y[:, 1:] if classifies and Y.shape[1] == 2 and net.outputs[0].width == 1 else Y

    comparison.compare(net, evaluate, FORM, net.dtype.name, [X])


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
    what = f"step {name} of the Pipeline"
    if name not in SCALERS:
        raise unsupported(what, FORM, SCALERS)
    settings = _settings(step)
    try:
        at = SCALERS[name](draft, at, Asked(step, settings))
        settings.refuse_others()
    except Refused as error:
        raise unsupported(what, FORM, SCALERS, str(error)) from None
    except AttributeError as error:
        raise ValueError(f"{what} is not fitted, or lacks what scikit-learn's has: {error}") from None
    return at


def _settings(part, used=()) -> Settings:
    found = part.get_params(deep=False) if hasattr(part, "get_params") else {}
    parameters = inspect.signature(type(part)).parameters
    return Settings(found, {name: each.default for name, each in parameters.items()}, {*HARMLESS, *used})


def _refuse_others(part, used) -> None:
    try:
        _settings(part, used).refuse_others()
    except Refused as error:
        raise unsupported(f"this {type(part).__name__}", FORM, (), str(error)) from None
