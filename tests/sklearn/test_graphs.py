"""Estimators around any network: scikit-learn's checks, searches, what they compute."""

import pickle

import numpy as np
import pytest

import fastbp as fb

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from fastbp.sklearn import NetworkClassifier, NetworkRegressor  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5))
LABELS = np.array(["left", "middle", "right"])[np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])]
VALUES = np.stack([X[:, 0] * X[:, 1], X[:, 2]], axis=1)


def build(inputs, outputs, width=16, activation="tanh", seed=0):
    x = fb.Input(inputs)
    h = fb.Dense(width, activation)(x)
    return fb.Model(x, fb.Dense(outputs)(fb.Concatenate()([h, x])), dtype="float64", seed=seed)


CHECKED = [
    NetworkClassifier(build, optimizer__lr=0.02, epochs=30, random_state=0),
    NetworkRegressor(build, optimizer__lr=0.02, epochs=30, random_state=0),
]


def expected_failures(estimator):
    named = {
        "check_no_attributes_set_in_init": "parameters with a prefix are attributes, as in skorch",
        "check_do_not_raise_errors_in_init_or_set_params": "an unknown name raises where it is written",
    }
    twice = "a row twice is not in the same batch as one of weight 2"
    kinds = ("dense", "sparse") if isinstance(estimator, NetworkClassifier) else ()
    return named | {f"check_sample_weight_equivalence_on_{kind}_data": twice for kind in kinds}


@parametrize_with_checks(CHECKED, expected_failed_checks=expected_failures)
def test_sklearns_checks(estimator, check):
    check(estimator)


def test_parameters_of_parts():
    model = NetworkClassifier(build, optimizer__lr=0.1, build__width=7)
    assert model.get_params()["optimizer__lr"] == 0.1
    other = clone(model).set_params(build__activation="relu", epochs=2)
    other.fit(X, LABELS)
    assert other.network_["dense_1"].W.shape == (5, 7)
    assert not hasattr(model, "build__activation")
    assert other.history_.params["epochs"] == 2
    with pytest.raises(TypeError, match="unexpected parameter 'lr'"):
        NetworkClassifier(build, lr=0.1)
    with pytest.raises(ValueError, match="Invalid parameter 'rate'"):
        model.set_params(rate=0.1)


def test_what_it_computes():
    model = NetworkClassifier(build, loss="cross_entropy", optimizer=fb.Adam(lr=0.05), epochs=3, random_state=1)
    model.fit(X, LABELS)
    seed = int(np.random.RandomState(1).randint(2**31 - 1))
    net = build(5, 3, seed=seed)
    numbers = np.searchsorted(["left", "middle", "right"], LABELS)
    fb.Trainer(net, "cross_entropy", fb.Adam(lr=0.05), seed=seed).fit(X, numbers, epochs=3)
    assert (net.params == model.network_.params).all()
    Z = net.predict(X)
    shares = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), shares, rtol=1e-12)
    assert (model.predict(X) == model.classes_[Z.argmax(axis=1)]).all()


def test_two_classes_by_one_logit():
    y = np.where(X[:, 0] > 0, "yes", "no")
    model = NetworkClassifier(build, loss="binary_cross_entropy", optimizer__lr=0.05, epochs=10, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.9
    assert model.network_.outputs[0].width == 1
    assert model.predict_proba(X).shape == (150, 2)
    with pytest.raises(ValueError, match="is for two classes, y has 3"):
        model.fit(X, LABELS)


def test_searches():
    pipe = make_pipeline(StandardScaler(), NetworkClassifier(build, epochs=8, random_state=0))
    grid = {"networkclassifier__optimizer__lr": [1e-4, 0.05], "networkclassifier__build__width": [4]}
    search = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, LABELS)
    assert search.best_params_["networkclassifier__optimizer__lr"] == 0.05
    model = NetworkRegressor(build, epochs=15, random_state=0)
    space = {"optimizer__lr": [0.01, 0.05], "build__width": [8, 12]}
    search = RandomizedSearchCV(model, space, n_iter=2, cv=2, random_state=0).fit(X, VALUES)
    assert search.best_score_ > 0.3
    assert cross_val_score(search.best_estimator_, X, VALUES[:, 0], cv=2).shape == (2,)


def test_copies_and_errors():
    model = NetworkRegressor(build, epochs=2, random_state=0).fit(X, VALUES)
    same = pickle.loads(pickle.dumps(model))
    assert (same.predict(X) == model.predict(X)).all()
    with pytest.raises(TypeError, match="build must return a network, got NoneType"):
        NetworkRegressor(lambda inputs, outputs: None).fit(X, VALUES)


def test_a_schedule_with_a_state_is_each_fits_own() -> None:
    optimizer = fb.SGD(lr=fb.schedules.OnPlateau(0.01, patience=0, threshold=1.0, monitor="loss"))
    before = optimizer.schedule.config()
    model = NetworkRegressor(build, optimizer=optimizer, epochs=6, random_state=0)
    first = model.fit(X, X[:, 0]).predict(X)
    assert optimizer.schedule.config() == before
    np.testing.assert_array_equal(model.fit(X, X[:, 0]).predict(X), first)
