"""The estimators among scikit-learn's own: its checks of estimators, and the tools that people put around one."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import fastbp as fb
from fastbp.sklearn import MLPClassifier, MLPRegressor

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
QUICK = {"hidden_layer_sizes": (7,), "learning_rate_init": 0.03, "max_iter": 40, "tol": 1e-2, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("est", [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)], ids=str)
def test_scikit_learns_checks_of_an_estimator_pass(est) -> None:
    results = check_estimator(est, on_fail=None)
    assert len(results) > 50
    assert [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")] == []
    # Skipped: the array API, which wants an environment variable, and methods that perceptrons do not have.
    assert len([r for r in results if r["status"] == "skipped"]) <= 2


def test_the_names_are_in_the_package_too() -> None:
    assert (fb.MLPClassifier, fb.MLPRegressor) == (MLPClassifier, MLPRegressor)
    assert not {"MLPClassifier", "MLPRegressor"} & set(fb.__all__)


def test_without_scikit_learn_the_error_says_what_to_install(python) -> None:
    done = python("-c", "import sys; sys.modules['sklearn'] = None; import fastbp; fastbp.MLPClassifier")
    assert "fastbp.sklearn needs scikit-learn: pip install scikit-learn" in done.stderr


def test_an_old_scikit_learn_is_refused(python) -> None:
    done = python("-c", "import sklearn; sklearn.__version__ = '1.5.2'; import fastbp.sklearn")
    assert "fastbp.sklearn needs scikit-learn >= 1.6, found 1.5.2" in done.stderr


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_their_parameters_come_first_with_their_defaults(name: str) -> None:
    from inspect import signature

    from sklearn import neural_network

    theirs = signature(getattr(neural_network, name)).parameters
    ours = signature(getattr(fb, name)).parameters
    newer = {"loss"} - set(theirs) if name == "MLPRegressor" else set()  # scikit-learn 1.7 put it first
    assert [parameter for parameter in ours if parameter not in newer][: len(theirs)] == list(theirs)
    for parameter in theirs.values():
        assert (ours[parameter.name].default, ours[parameter.name].kind) == (parameter.default, parameter.kind)
    methods = {m for m in dir(getattr(neural_network, name)) if not m.startswith("_")}
    assert methods <= set(dir(getattr(fb, name)))


def test_grid_search_in_a_pipeline_with_two_processes() -> None:
    pipe = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    search = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 1e4]}, n_jobs=2, cv=3).fit(IRIS, NAMES)
    assert search.best_params_ == {"mlpclassifier__alpha": 1e-4}
    assert search.best_score_ > 0.85
    assert set(search.predict(IRIS)) == set(NAMES)


def test_cross_validation_of_a_regressor() -> None:
    X, y = load_diabetes(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), MLPRegressor(solver="lbfgs", hidden_layer_sizes=(), random_state=0))
    assert cross_val_score(pipe, X, y, cv=3).min() > 0.4  # it is linear regression, which has 0.45


@pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`:DeprecationWarning")  # an older scikit-learn's call
def test_stacking_and_calibration() -> None:
    net = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    stack = StackingClassifier([("net", net), ("linear", LogisticRegression())], cv=3).fit(IRIS, NAMES)
    assert stack.score(IRIS, NAMES) > 0.9
    calibrated = CalibratedClassifierCV(net, cv=3).fit(IRIS, NAMES)
    assert_allclose(calibrated.predict_proba(IRIS).sum(axis=1), 1)
    assert calibrated.score(IRIS, NAMES) > 0.9


def test_a_clone_is_unfitted_and_has_all_parameters() -> None:
    net = MLPClassifier(**QUICK, dropout=0.1, optimizer=fb.AdamW(lr=0.02), callbacks=[fb.EarlyStopping("loss")])
    copy = clone(net.fit(IRIS, NAMES))
    assert not hasattr(copy, "coefs_")
    assert copy.get_params()["dropout"] == 0.1
    assert copy.optimizer.lr == 0.02
    assert copy.optimizer is not net.optimizer
    assert_array_equal(copy.fit(IRIS, NAMES).predict(IRIS), net.predict(IRIS))


def by_pickle(est, path):
    return pickle.loads(pickle.dumps(est))


def by_joblib(est, path):
    joblib.dump(est, path)
    return joblib.load(path)


def by_memory_map(est, path):
    joblib.dump(est, path)
    return joblib.load(path, mmap_mode="r")


def by_skops(est, path):
    import skops.io

    skops.io.dump(est, path)
    unknown = skops.io.get_untrusted_types(file=path)
    assert [name for name in unknown if not name.startswith("fastbp.sklearn.MLP")] == []
    return skops.io.load(path, trusted=unknown)


@pytest.mark.parametrize("way", [by_pickle, by_joblib, by_memory_map, by_skops])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_stored_estimator_predicts_the_same_and_trains_on_the_same(way, dtype: str, tmp_path) -> None:
    X = IRIS.astype(dtype)
    net = MLPClassifier(**QUICK, solver="sgd", learning_rate="invscaling").fit(X, NAMES)
    net.partial_fit(X, NAMES)
    again = way(net, tmp_path / "net.bin")
    assert again.coefs_[0].dtype == dtype
    assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    for each in (net, again):
        each.partial_fit(X, NAMES).partial_fit(X, NAMES)
    for W, V in zip(net.coefs_, again.coefs_, strict=True):
        assert_array_equal(W, V)
    assert again.loss_curve_ == net.loss_curve_


FRAMES = ["pandas", "polars"]


@pytest.mark.parametrize("package", FRAMES)
def test_frames_have_names_that_are_checked(package: str) -> None:
    frame = pytest.importorskip(package).DataFrame(dict(zip("abcd", IRIS.T, strict=True)))
    if not hasattr(StandardScaler().fit(frame), "feature_names_in_"):
        pytest.skip(f"this scikit-learn sees no names in frames of {package}")
    net = MLPClassifier(**QUICK).fit(frame, NAMES)
    assert list(net.feature_names_in_) == list("abcd")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        net.predict(IRIS)
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[list("dcba")])
    assert_array_equal(net.predict(frame), MLPClassifier(**QUICK).fit(IRIS, NAMES).predict(IRIS))


@pytest.mark.parametrize("package", FRAMES)
def test_set_output_makes_frames_of_the_learned_features(package: str) -> None:
    pytest.importorskip(package)
    net = MLPClassifier(**QUICK).set_output(transform=package).fit(IRIS, NAMES)
    frame = net.transform(IRIS)
    assert list(frame.columns) == [f"mlpclassifier{k}" for k in range(7)]
    hidden = np.maximum(IRIS @ net.coefs_[0] + net.intercepts_[0], 0)
    assert_allclose(frame.to_numpy(), hidden, rtol=1e-12)


def test_metadata_is_routed() -> None:
    weights = np.where(SPECIES == 2, 1e-3, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        net = MLPClassifier(**QUICK).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), net)
        routed = pipe.fit(IRIS, NAMES, sample_weight=weights)[-1]
    direct = MLPClassifier(**QUICK).fit(StandardScaler().fit_transform(IRIS), NAMES, sample_weight=weights)
    assert_array_equal(routed.coefs_[0], direct.coefs_[0])


def test_the_page_of_a_notebook_shows_the_parameters() -> None:
    page = MLPRegressor(alpha=0.125)._repr_html_()
    assert "MLPRegressor" in page
    assert "0.125" in page


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_callbacks_are_told_and_may_stop(solver: str, capsys) -> None:
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    net = MLPClassifier((7,), solver=solver, max_iter=9, random_state=0).set_callbacks(monitor)
    net.fit(IRIS, NAMES)
    seen = [row["accuracy"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(seen) == net.n_iter_ == 9
    assert seen[-1] == net.score(IRIS, NAMES)
    assert len(set(seen)) > 2

    class Third:
        calls = 0

        def setup(self, estimator, context): ...

        def teardown(self, estimator, context): ...

        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context):
            self.calls += 1
            return self.calls == 3

    assert net.set_callbacks(Third()).fit(IRIS, NAMES).n_iter_ == 3


def test_a_progress_bar_of_a_pipeline_reaches_the_net(capsys) -> None:
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = make_pipeline(StandardScaler(), MLPClassifier(**QUICK)).set_callbacks(callback.ProgressBar())
        pipe.fit(IRIS, NAMES)
    assert "MLPClassifier" in capsys.readouterr().out
