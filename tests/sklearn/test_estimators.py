"""The estimators against scikit-learn's own: the same numbers from the same `random_state`, whatever the settings."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning

from fastbp import sklearn as ours

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
HAS_LOSS = HAS_WEIGHTS = VERSION >= (1, 7)
DIGITS, LABELS = load_digits(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
PROGRESS = (PROGRESS - PROGRESS.mean()) / PROGRESS.std()
DATA = {
    "classes": ("MLPClassifier", DIGITS / 16, LABELS),
    "two classes": ("MLPClassifier", DIGITS[:511] / 16, np.array(["even", "odd"])[LABELS[:511] % 2]),
    "labels": ("MLPClassifier", DIGITS[:511] / 16, np.stack([LABELS[:511] % 2, LABELS[:511] > 4], 1).astype(int)),
    "values": ("MLPRegressor", DIABETES, PROGRESS),
    "counts": ("MLPRegressor", DIABETES, np.round(load_diabetes().target / 20)),
    "several counts": ("MLPRegressor", DIABETES, np.stack([np.round(load_diabetes().target / 20), PROGRESS**2], 1)),
    "several values": ("MLPRegressor", DIABETES, np.stack([PROGRESS, PROGRESS**2, -PROGRESS], 1)),
}
SOLVERS = {
    "adam": {"solver": "adam"},
    **{
        f"{rate} {'nesterov' if nesterov else 'momentum'}": {
            "solver": "sgd",
            "learning_rate": rate,
            "nesterovs_momentum": nesterov,
            "learning_rate_init": 0.05,
        }
        for rate in ("constant", "invscaling", "adaptive")
        for nesterov in (True, False)
    },
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`:DeprecationWarning"),  # an older scikit-learn's call
]


def both(data: str, **settings):
    """Theirs and ours, and data for them."""
    name, X, y = DATA[data]
    if "counts" in data and not HAS_LOSS:
        pytest.skip("scikit-learn's regressor has a loss since 1.7")
    if y.dtype.kind == "U" and VERSION < (1, 9):  # before, early stopping raises for classes that are text
        y = (y == "odd").astype(int)
    settings = {"loss": "poisson", **settings} if "counts" in data else settings
    return *(getattr(module, name)(random_state=3, **settings) for module in (neural_network, ours)), X, y


def assert_same(theirs, mine) -> None:
    assert len(theirs.loss_curve_) == len(mine.loss_curve_)
    assert_allclose(mine.loss_curve_[0], theirs.loss_curve_[0], rtol=1e-10)
    assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-6)
    for W, V in zip(theirs.coefs_ + theirs.intercepts_, mine.coefs_ + mine.intercepts_, strict=True):
        assert W.dtype == V.dtype
        assert_allclose(V, W, rtol=1e-6, atol=1e-8)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mine, name) == getattr(theirs, name), name
    for name in ("loss_", "best_loss_", "validation_scores_", "best_validation_score_"):
        if getattr(theirs, name) is None:
            assert getattr(mine, name) is None
        else:
            assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-6)


@pytest.mark.parametrize("early_stopping", [False, True], ids=["", "early stopping"])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("data", DATA)
def test_the_same_numbers_over_20_epochs(data: str, solver: str, alpha: float, early_stopping: bool) -> None:
    theirs, mine, X, y = both(data, **SOLVERS[solver], alpha=alpha, early_stopping=early_stopping, max_iter=20)
    assert_same(theirs.fit(X, y), mine.fit(X, y))
    assert len(mine.loss_curve_) > 10
    if y.dtype.kind == "f":
        assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-6, atol=1e-8)
    else:
        assert_array_equal(mine.predict(X), theirs.predict(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": (5, 9, 4), "activation": "tanh"},
        {"hidden_layer_sizes": 6, "activation": "logistic", "batch_size": 33},
        {"activation": "identity", "shuffle": False, "batch_size": 100},
        {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1},
        {"solver": "sgd", "momentum": 1, "learning_rate_init": 1e-4},
        {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3},
        {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2, "learning_rate_init": 0.3},
        {"tol": 0.05, "n_iter_no_change": 3, "max_iter": 60},
        {"tol": 0.05, "n_iter_no_change": 3, "max_iter": 60, "early_stopping": True, "validation_fraction": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 1, "max_iter": 60},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", ["classes", "several values"])
def test_the_same_numbers_with_other_settings(data: str, settings: dict) -> None:
    theirs, mine, X, y = both(data, **{"max_iter": 10, **settings})
    assert_same(theirs.fit(X, y), mine.fit(X, y))


def test_probabilities_below_epsilon_are_reported_alike() -> None:
    """Of rows that are not scaled the first losses are huge: theirs takes no probability for less than epsilon."""
    for scale in (1, 8):
        theirs, mine, _, y = both("classes", max_iter=3)
        assert_same(theirs.fit(scale * DIGITS, y), mine.fit(scale * DIGITS, y))
    _, mine, _, y = both("classes", max_iter=1, solver="sgd", learning_rate_init=1e-300, alpha=0.0, batch_size=1797)
    mine.fit(8 * DIGITS, y)
    assert mine.loss_ < -np.log(mine.predict_proba(8 * DIGITS)[np.arange(len(y)), y]).mean() - 1


@pytest.mark.parametrize("data", DATA)
@pytest.mark.skipif(not HAS_WEIGHTS, reason="scikit-learn's fit takes weights since 1.7")
def test_weights_of_rows(data: str, rng) -> None:
    theirs, mine, X, y = both(data, max_iter=10, alpha=0.1, batch_size=70)
    weights = rng.random(len(X)) * 3
    assert_same(theirs.fit(X, y, weights), mine.fit(X, y, weights))
    theirs, mine, X, y = both(data, max_iter=10, early_stopping=True)
    assert_same(theirs.fit(X, y, weights), mine.fit(X, y, weights))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_goes_on(data: str, solver: str) -> None:
    theirs, mine, X, y = both(data, solver=solver, learning_rate="invscaling", alpha=0.1)
    more = {"classes": np.unique(y)} if data in ("classes", "two classes") else {}
    if data == "labels":
        more = {"classes": [0, 1]}
    for start in (0, 100, 100, 300):
        part = slice(start, start + 150)
        for est in (theirs, mine):
            est.partial_fit(X[part], y[part], **more)
    assert_same(theirs, mine)


@pytest.mark.parametrize("data", DATA)
def test_a_warm_start_goes_on(data: str) -> None:
    theirs, mine, X, y = both(data, warm_start=True, max_iter=4)
    for _ in range(3):
        assert_same(theirs.fit(X, y), mine.fit(X, y))


def test_a_warm_start_keeps_the_best_of_all_calls() -> None:
    """Theirs forgets it with the second call, since its best parameters are the very arrays that go on changing."""
    _, mine, X, y = both("values", warm_start=True, early_stopping=True, max_iter=3, learning_rate_init=0.3)
    held = {"X_val": X[:100], "y_val": y[:100]}
    for _ in range(4):
        mine.fit(X[100:], y[100:], **held)
    assert len(mine.validation_scores_) == 12
    assert mine.best_validation_score_ == max(mine.validation_scores_)
    assert_allclose(mine.score(X[:100], y[:100]), mine.best_validation_score_, rtol=1e-12)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("data", ["classes", "values"])
def test_sparse_rows(kind, data: str) -> None:
    theirs, mine, X, y = both(data, max_iter=4)
    S = kind(np.where(X > 0.3, X, 0))
    assert_same(theirs.fit(S, y), mine.fit(S, y))
    assert_allclose(mine.predict(S[:5]), mine.predict(S[:5].toarray()))


@pytest.mark.parametrize("data", DATA)
def test_lbfgs(data: str) -> None:
    """The first steps are the same; then rounding decides, and both must come to much the same loss."""
    theirs, mine, X, y = both(data, solver="lbfgs", max_iter=3, alpha=0.1)
    theirs.fit(X, y)
    assert_allclose(mine.fit(X, y).loss_, theirs.loss_, rtol=1e-6)
    for W, V in zip(theirs.coefs_, mine.coefs_, strict=True):
        assert_allclose(V, W, rtol=1e-5, atol=1e-7)
    assert mine.n_iter_ == theirs.n_iter_ == 3
    theirs, mine, X, y = both(data, solver="lbfgs", max_iter=80)
    assert_allclose(mine.fit(X, y).loss_, theirs.fit(X, y).loss_, rtol=0.5, atol=2e-3)


@pytest.mark.parametrize("data", DATA)
def test_single_precision_stays_so(data: str) -> None:
    theirs, mine, X, y = both(data, max_iter=5)
    X = X.astype(np.float32)
    theirs.fit(X, y)
    mine.fit(X, y)
    assert {part.dtype for part in mine.coefs_ + mine.intercepts_} == {np.dtype("float32")}
    assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-4)
    outputs = mine.predict_proba(X) if hasattr(mine, "predict_proba") else mine.predict(X)
    assert outputs.dtype == np.float32


@pytest.mark.parametrize("data", DATA)
def test_predictions_whatever_the_array(data: str) -> None:
    """One row, many rows, lists, Fortran order, integers: the fast way and the checked way say the same."""
    theirs, mine, X, y = both(data, max_iter=3)
    X = np.round(X * 4)
    theirs.fit(X, y)
    mine.fit(X, y)
    for name in ("predict", "predict_proba", "predict_log_proba"):
        if not hasattr(theirs, name):
            continue
        wanted, function = getattr(theirs, name)(X), getattr(mine, name)
        for rows in (X, np.asfortranarray(X), X.tolist(), X.astype(int), X.astype(np.float32), X[:, ::-1][:, ::-1]):
            got = function(rows)
            assert got.dtype == wanted.dtype
            if wanted.dtype.kind in "iU":
                assert_array_equal(got, wanted)
            else:
                assert_allclose(got, wanted, rtol=1e-6, atol=1e-9)
        assert_array_equal(function(X[:1]), function(X)[:1])


def test_parameters_may_be_changed_in_place_and_replaced() -> None:
    theirs, mine, X, y = both("classes", max_iter=3)
    for est in (theirs, mine):
        est.fit(X, y)
        est.coefs_[1][...] *= 2
        est.intercepts_ = [b + 0.5 for b in est.intercepts_]
        est.coefs_[0] = -est.coefs_[0]
    assert_allclose(mine.predict_proba(X), theirs.predict_proba(X), rtol=1e-7)
    for est in (theirs, mine):
        est.partial_fit(X, y)
    assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-6)


def test_what_is_wrong_is_refused_with_the_estimator_as_it_was() -> None:
    _, mine, X, y = both("classes", max_iter=2)
    before = mine.fit(X, y).coefs_[0].copy()
    holed = X.copy()
    holed[3, 4] = np.nan
    for action, message in (
        (lambda: mine.predict(holed), "NaN"),
        (lambda: mine.predict(X[:, :5]), "64 features"),
        (lambda: mine.predict(X[0]), "Reshape your data"),
        (lambda: mine.partial_fit(X, y + 1), "classes not in"),
        (lambda: mine.partial_fit(holed, y), "NaN"),
        (lambda: mine.set_params(activation="rel").fit(X, y), "'activation' parameter"),
        (lambda: mine.set_params(activation="relu", hidden_layer_sizes=(3, 0)).fit(X, y), "must be > 0"),
        (lambda: mine.set_params(hidden_layer_sizes=(3,), alpha=-1).fit(X, y), "'alpha' parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            action()
    assert_array_equal(mine.coefs_[0], before)


def test_what_diverges_says_so() -> None:
    _, mine, X, y = both("values", solver="sgd", learning_rate_init=1e6, max_iter=5)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        mine.fit(X, y)
    assert np.isnan(mine.loss_curve_[-1])


def test_warnings_point_to_the_users_line() -> None:
    for solver in ("adam", "lbfgs"):
        _, mine, X, y = both("values", solver=solver, max_iter=2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mine.fit(X, y)
        assert [w.category for w in caught] == [ConvergenceWarning]
        assert caught[0].filename == __file__


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    theirs, mine, X, y = both("values", batch_size=1000, max_iter=2)
    with pytest.warns(UserWarning, match="batch_size"):
        theirs.fit(X, y)
    with pytest.warns(UserWarning, match="batch_size"):
        mine.fit(X, y)
    assert_same(theirs, mine)


def test_verbose_prints_each_epoch(capsys) -> None:
    _, mine, X, y = both("values", max_iter=3, verbose=True, early_stopping=True)
    mine.fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Iteration 1, loss = {mine.loss_curve_[0]:.8f}"
    assert lines[1] == f"Validation score: {mine.validation_scores_[0]:f}"
    assert len(lines) == 6
