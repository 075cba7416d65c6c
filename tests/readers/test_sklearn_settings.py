"""Every setting of every step that is read from scikit-learn, one by one away from its default.

Either the net gives what the estimator gives, or the setting is refused by its name. scikit-learn computes the oracle.
"""

import inspect
import warnings

import numpy as np
import pytest

import fastbp as fb

pytest.importorskip("sklearn")
from sklearn import preprocessing
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline

from fastbp.readers import sklearn as reader

RNG = np.random.default_rng(0)
MAX_ABS_CLIPS = "clip" in inspect.signature(preprocessing.MaxAbsScaler).parameters  # of a newer scikit-learn
X = RNG.normal(size=(60, 4)) * [1, 5, 0.1, 2] + [3, 0, 1, -7]
WIDE = np.concatenate([X, X * 3, X[:5] * 30])  # beyond what a scaler has seen
TARGETS = {"MLPRegressor": X[:, 0] * X[:, 1], "MLPClassifier": RNG.integers(3, size=60)}
VALUES = {
    "feature_range": [(-2, 3)],
    "quantile_range": [(10.0, 60.0)],
    "func": [np.tanh, abs],
    "inverse_func": [abs],
    "feature_names_out": ["one-to-one"],
    "kw_args": [{}],
    "inv_kw_args": [{}],
    "loss": ["poisson"],
    "hidden_layer_sizes": [(), (3, 2), 5],
    "activation": ["identity", "logistic", "tanh"],
    "solver": ["sgd", "lbfgs"],
    "learning_rate": ["adaptive"],
    "batch_size": [7],
    "random_state": [3],
    "memory": [None],
    "transform_input": [["sample_weight"]],
    "steps": [],
    "early_stopping": [True],
    "validation_fraction": [0.3],
    "beta_1": [0.5],
    "beta_2": [0.5],
    "momentum": [0.5],
    "verbose": [],
}
KINDS = [*(getattr(preprocessing, name) for name in reader.SCALERS), MLPClassifier, MLPRegressor, Pipeline]


def sweep() -> list[tuple]:
    found = []
    for kind in KINDS:
        for name, parameter in inspect.signature(kind).parameters.items():
            default = parameter.default
            values = VALUES.get(name)
            if values is None:
                assert isinstance(default, (bool, int, float)), f"no values for {name} of {kind.__name__}"
                values = [not default] if isinstance(default, bool) else [default * 2]
            found += [(kind, name, value) for value in values]
    return found


def fitted(step, last):
    est = make_pipeline(step, last)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        y = TARGETS[type(last).__name__]
        return est.fit(X.copy(), np.abs(y) if getattr(last, "loss", "") == "poisson" else y)


def outputs(est) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Y = est.predict_proba(WIDE.copy()) if hasattr(est, "predict_proba") else est.predict(WIDE.copy())
    return Y.reshape(len(WIDE), -1)


def assert_read_or_refused(est, name: str) -> None:
    wanted = outputs(est)
    try:
        net = fb.from_sklearn(est, check=False)
    except ValueError as error:
        assert f" {name} is " in str(error)  # noqa: PT017  (an error is one of two right answers)
        return
    size = np.abs(wanted[np.isfinite(wanted)]).max()
    np.testing.assert_allclose(net.predict(WIDE), wanted, rtol=1e-9, atol=1e-10 * size)
    np.testing.assert_array_equal(fb.from_sklearn(est).params, net.params)


@pytest.mark.parametrize(("kind", "name", "value"), sweep(), ids=str)
def test_each_setting_of_each_step(kind, name: str, value: object) -> None:
    if kind is Pipeline:
        est = Pipeline(
            [
                ("s", preprocessing.StandardScaler()),
                ("m", MLPRegressor(hidden_layer_sizes=(3,), max_iter=3, random_state=0)),
            ]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged
            est.fit(X, TARGETS["MLPRegressor"])
        est.set_params(**{name: value})
        assert_read_or_refused(est, name)
    elif issubclass(kind, (MLPClassifier, MLPRegressor)):
        settings = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": (5,), name: value}
        assert_read_or_refused(fitted("passthrough", kind(**settings)), name)
    else:
        est = fitted(kind(**{name: value}), MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0))
        assert_read_or_refused(est, name)
        after = fitted(kind(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0))
        if name not in ("feature_range", "quantile_range", "unit_variance"):  # which fit has used up
            after[0].set_params(**{name: value})
            assert_read_or_refused(after, name)


@pytest.mark.parametrize(
    "step",
    [
        preprocessing.StandardScaler(with_mean=False),
        preprocessing.StandardScaler(with_std=False),
        preprocessing.StandardScaler(with_mean=False, with_std=False),
        preprocessing.MinMaxScaler(clip=True),
        preprocessing.MinMaxScaler((-3, 2), clip=True),
        *([preprocessing.MaxAbsScaler(clip=True)] if MAX_ABS_CLIPS else []),
        preprocessing.RobustScaler(with_centering=False),
        preprocessing.RobustScaler(with_scaling=False, quantile_range=(5, 80)),
        preprocessing.RobustScaler(unit_variance=True),
        preprocessing.FunctionTransformer(validate=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("logits", [False, True])
def test_these_are_read(step, logits: bool) -> None:
    est = fitted(step, MLPClassifier((5,), max_iter=20, random_state=0))
    net = fb.from_sklearn(est, logits=logits)
    Y = net.predict(WIDE)
    wanted = outputs(est)
    if logits:
        e = np.exp(Y - Y.max(axis=1, keepdims=True))
        Y = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(Y, wanted, rtol=1e-9, atol=1e-12)


def test_another_function_is_refused_by_its_name() -> None:
    est = fitted(preprocessing.FunctionTransformer(np.abs), MLPRegressor(hidden_layer_sizes=(5,), max_iter=3))
    with pytest.raises(ValueError, match=r"step FunctionTransformer of the Pipeline .*: func is <ufunc 'absolute'>"):
        fb.from_sklearn(est)


def test_a_scaler_that_is_not_fitted_is_an_error() -> None:
    est = fitted(preprocessing.StandardScaler(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=3))
    est.steps[0] = ("s", preprocessing.StandardScaler())
    with pytest.raises(ValueError, match="StandardScaler of the Pipeline is not fitted"):
        fb.from_sklearn(est)


class Doubling(MLPRegressor):
    def predict(self, X):
        return 2 * super().predict(X)


def test_an_estimator_that_predicts_otherwise_is_an_error() -> None:
    est = Doubling(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est.fit(X, TARGETS["MLPRegressor"])
    with pytest.raises(ValueError, match=r"differs from the original's: by .* in column 0"):
        fb.from_sklearn(est)
    assert fb.from_sklearn(est, check=False).outputs[0].width == 1


@pytest.mark.skipif(not MAX_ABS_CLIPS, reason="MaxAbsScaler has no clip in this scikit-learn")
def test_the_sweep_finds_what_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    row = lambda draft, at, scaler: draft.affine(at, 1 / scaler.scale_, 0.0)  # noqa: E731
    monkeypatch.setitem(reader.SCALERS, "MaxAbsScaler", row)
    monkeypatch.setattr(reader, "HARMLESS", {*reader.HARMLESS, "clip"})
    with pytest.raises((AssertionError, ValueError)):
        test_each_setting_of_each_step(preprocessing.MaxAbsScaler, "clip", True)
