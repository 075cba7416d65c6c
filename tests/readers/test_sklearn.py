"""Fitted estimators of scikit-learn become nets with the outputs of predict and predict_proba."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import fastbp as fb

pytest.importorskip("sklearn")
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)) * [1, 5, 0.1, 2] + [3, 0, 1, -7]
CLASSES = {"binary": RNG.integers(2, size=60), "three": RNG.integers(3, size=60)}
CLASSES["multilabel"] = RNG.integers(2, size=(60, 3))


def fit(estimator, y: np.ndarray, dtype: str = "float64"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        return estimator.fit(X.astype(dtype), y)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("y", CLASSES)
def test_classifiers(activation: str, y: str) -> None:
    est = fit(MLPClassifier((7, 5), activation=activation, max_iter=3, random_state=0), CLASSES[y])
    net = fb.from_sklearn(est)
    wanted = est.predict_proba(X)
    np.testing.assert_allclose(net.predict(X), wanted[:, 1:] if y == "binary" else wanted, rtol=1e-10, atol=1e-13)
    logits = fb.from_sklearn(est, logits=True)
    np.testing.assert_array_equal(logits.predict(X).argmax(axis=1), net.predict(X).argmax(axis=1))
    assert logits.layers[-1].activation == "linear"
    assert [layer.units for layer in net.layers[:-1]] == [7, 5]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, None])
def test_regressors_behind_scalers(dtype: str, scaler) -> None:
    last = MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0)
    est = fit(make_pipeline(scaler() if scaler else "passthrough", last), RNG.normal(size=(60, 2)), dtype)
    net = fb.from_sklearn(est, dtype=dtype)
    wanted = est.predict(X.astype(dtype))
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(net.predict(X.astype(dtype)), wanted, rtol=tolerance, atol=tolerance)
    assert type(net) is fb.Sequential
    assert fb.from_sklearn(last).dtype == np.dtype(dtype)


def test_our_own_estimators() -> None:
    """They keep scikit-learn's names, and have an activation for each layer."""
    from fastbp.sklearn import MLPClassifier as Own

    est = fit(Own((7, 5), activation=["tanh", "relu"], max_iter=3, random_state=0), CLASSES["three"])
    net = fb.from_sklearn(est)
    np.testing.assert_allclose(net.predict(X), est.predict_proba(X), rtol=1e-12)
    assert [layer.activation for layer in net.layers] == ["tanh", "relu", "softmax"]


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (MLPClassifier(), "MLPClassifier is not fitted"),
        (LinearRegression(), "LinearRegression cannot be read from scikit-learn; known: MLPClassifier"),
        (SimpleNamespace(coefs_=[np.eye(2), np.ones((2, 1))], intercepts_=[np.ones(2), np.ones(1)],
                         activation="odd", out_activation_="identity"), "unknown activation 'odd'"),
    ],
)  # fmt: skip
def test_what_is_not_one(estimator, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fb.from_sklearn(estimator)


def test_other_steps_of_a_pipeline_are_named() -> None:
    est = fit(make_pipeline(Normalizer(), MLPRegressor(hidden_layer_sizes=(6,), max_iter=2)), RNG.normal(size=60))
    with pytest.raises(ValueError, match=r"step Normalizer .*known: .*StandardScaler"):
        fb.from_sklearn(est)
