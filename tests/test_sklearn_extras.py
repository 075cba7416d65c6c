"""What the estimators do beyond scikit-learn's: each against a plain computation, or against what it is equal to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

import fastbp as fb
from fastbp import _engine
from fastbp.sklearn import MLPClassifier, MLPRegressor

IRIS, SPECIES = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
X, Y = load_diabetes(return_X_y=True)
Y = (Y - Y.mean()) / Y.std()
QUICK = {"hidden_layer_sizes": (7, 5), "max_iter": 6, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def same_parameters(a, b) -> None:
    for W, V in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert_array_equal(W, V)


@pytest.mark.parametrize("weights", ["balanced", {"setosa": 3.0, "virginica": 0.5}])
def test_class_weights_are_weights_of_rows(weights, rng) -> None:
    rows = rng.random(len(NAMES))
    some = np.r_[0:50, 60:70, 100:130]
    by_class = MLPClassifier(**QUICK, class_weight=weights).fit(IRIS[some], NAMES[some], rows[some])
    by_row = compute_sample_weight(weights, NAMES[some]) * rows[some]
    same_parameters(by_class, MLPClassifier(**QUICK).fit(IRIS[some], NAMES[some], by_row))


def test_class_weights_of_several_labels() -> None:
    labels = np.stack([SPECIES == 0, SPECIES > 0, IRIS[:, 0] > 5.8], axis=1).astype(int)
    by_class = MLPClassifier(**QUICK, class_weight="balanced").fit(IRIS, labels)
    same_parameters(by_class, MLPClassifier(**QUICK).fit(IRIS, labels, compute_sample_weight("balanced", labels)))


def test_balanced_weights_are_not_for_parts() -> None:
    with pytest.raises(ValueError, match="needs all of y"):
        MLPClassifier(**QUICK, class_weight="balanced").partial_fit(IRIS, NAMES, classes=np.unique(NAMES))


def test_dropout_masks_units_in_training_only() -> None:
    plain = MLPClassifier(**QUICK).fit(IRIS, NAMES)
    nets = [MLPClassifier(**QUICK, dropout=rate).fit(IRIS, NAMES) for rate in (0.5, 0.5, [0.5, 0.5], [0.0, 0.5])]
    same_parameters(nets[0], nets[1])
    same_parameters(nets[0], nets[2])
    assert not np.array_equal(nets[0].coefs_[0], plain.coefs_[0])
    assert not np.array_equal(nets[0].coefs_[0], nets[3].coefs_[0])
    assert_array_equal(nets[0].predict_proba(IRIS), nets[0].predict_proba(IRIS))
    h = IRIS
    for W, b in zip(nets[0].coefs_[:-1], nets[0].intercepts_[:-1], strict=True):
        h = np.maximum(h @ W + b, 0)
    assert_allclose(nets[0].transform(IRIS), h, rtol=1e-12)
    assert_allclose(nets[0].transform(sparse.csr_array(IRIS)), h, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_all_activations(name: str) -> None:
    net = MLPRegressor(**QUICK, activation=name).fit(X, Y)
    h = X
    for W, b in zip(net.coefs_[:-1], net.intercepts_[:-1], strict=True):
        h = fb.functional.activation_forward(h @ W + b, name)
    assert_allclose(net.predict(X), (h @ net.coefs_[-1] + net.intercepts_[-1])[:, 0], rtol=1e-9, atol=1e-12)
    assert net.loss_curve_[-1] < net.loss_curve_[0]


def test_an_activation_for_each_layer() -> None:
    net = MLPRegressor(**QUICK, activation=["tanh", "logistic"]).fit(X, Y)
    h = np.tanh(X @ net.coefs_[0] + net.intercepts_[0])
    assert_allclose(net.transform(X), 1 / (1 + np.exp(-(h @ net.coefs_[1] + net.intercepts_[1]))), rtol=1e-12)
    with pytest.raises(ValueError, match="activation has 3 names for 2 hidden layers"):
        MLPRegressor(**QUICK, activation=["tanh"] * 3).fit(X, Y)
    with pytest.raises(ValueError, match=r"unknown activation 'tahn'; known: .*tanh"):
        MLPRegressor(**QUICK, activation=["tanh", "tahn"]).fit(X, Y)


def test_validation_data_of_ones_own() -> None:
    weights = np.linspace(0.1, 2, 50)
    order = np.random.default_rng(0).permutation(150)
    A, names = IRIS[order], NAMES[order]
    held = {"X_val": A[100:], "y_val": names[100:], "sample_weight_val": weights}
    net = MLPClassifier(**QUICK).fit(A[:100], names[:100], **held)
    assert len(net.validation_loss_curve_) == 6
    wanted = log_loss(names[100:], net.predict_proba(A[100:]), sample_weight=weights)
    assert_allclose(net.validation_loss_curve_[-1], wanted, rtol=1e-9)
    assert net.validation_scores_ is None
    same_parameters(net, MLPClassifier(**QUICK).fit(A[:100], names[:100]))

    stopped = MLPClassifier(**{**QUICK, "max_iter": 200}, early_stopping=True, learning_rate_init=0.05, tol=1e-3)
    stopped.fit(A[:100], names[:100], **held)
    assert stopped.n_iter_ < 200
    best = int(np.argmax(stopped.validation_scores_))
    assert stopped.score(A[100:], names[100:], weights) == stopped.validation_scores_[best]
    wanted = log_loss(names[100:], stopped.predict_proba(A[100:]), sample_weight=weights)
    assert_allclose(stopped.validation_loss_curve_[best], wanted, rtol=1e-9)


def test_parts_with_early_stopping_put_the_best_back() -> None:
    net = MLPRegressor(**QUICK, early_stopping=True, n_iter_no_change=3, learning_rate_init=0.1)
    for _ in range(30):
        net.partial_fit(X[:300], Y[:300], X_val=X[300:], y_val=Y[300:])
    assert len(net.validation_scores_) == 30
    best = net.best_validation_score_
    assert best == max(net.validation_scores_)
    while net._no_improvement_count:  # on to the call that would stop
        net.partial_fit(X[:300], Y[:300], X_val=X[300:], y_val=Y[300:])
    assert_allclose(net.score(X[300:], Y[300:]), net.best_validation_score_, rtol=1e-12)
    with pytest.raises(ValueError, match="without X_val and y_val"):
        net.partial_fit(X, Y)


def test_callbacks_are_told_and_may_stop() -> None:
    class Look(fb.Callback):
        def __init__(self):
            self.seen = []

        def on_batch_end(self, trainer, batch, logs):
            self.seen.append(batch)

        def on_epoch_end(self, trainer, epoch, logs):
            self.seen.append((epoch, logs["loss"], logs["val_loss"], logs["val_score"]))
            return epoch == 2

    look = Look()
    net = MLPRegressor(**QUICK, callbacks=[look], batch_size=200).fit(X, Y, X_val=X[:50], y_val=Y[:50])
    curves = zip(net.loss_curve_, net.validation_loss_curve_, strict=True)
    wanted = [part for k, losses in enumerate(curves) for part in (0, 1, 2, (k, *losses))]
    assert [part[:3] if isinstance(part, tuple) else part for part in look.seen] == wanted
    assert net.n_iter_ == 3
    assert_allclose(look.seen[-1][3], net.score(X[:50], Y[:50]), rtol=1e-12)

    stopping = fb.EarlyStopping("val_loss", patience=2, restore_best=True)
    net = MLPRegressor(hidden_layer_sizes=(50,), random_state=0, learning_rate_init=0.1, callbacks=[stopping])
    net.fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    assert net.n_iter_ < 200
    loss = 0.5 * ((net.predict(X[200:]) - Y[200:]) ** 2).mean()
    assert_allclose(loss, min(net.validation_loss_curve_), rtol=1e-9)


OPTIMIZERS = {
    "adamw": fb.AdamW(lr=0.01, weight_decay=0.3),
    "lion": fb.Lion(lr=0.003),
    "groups": fb.SGD(lr=0.05, momentum=0.9, l1=0.01, decay_biases=False, groups={"dense_1": {"lr_scale": 0.1}}),
    "name": "rmsprop",
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_optimizers_of_ones_own(case: str) -> None:
    """The same as a network of the same start values that is trained with it: mse is twice the loss here."""
    optimizer = OPTIMIZERS[case]
    settings = {**QUICK, "alpha": 0.0, "shuffle": False, "batch_size": 100}
    net = MLPRegressor(**settings, optimizer=optimizer).fit(X, Y)
    start = MLPRegressor(**{**settings, "max_iter": 1}, optimizer=fb.SGD(lr=1e-300)).fit(X, Y)
    twin = fb.Sequential(fb.Input(10), fb.Dense(7, "relu"), fb.Dense(5, "relu"), fb.Dense(1), dtype="float64")
    for layer, W, b in zip(twin.layers, start.coefs_, start.intercepts_, strict=True):
        layer.W, layer.b = W, b
    fresh = optimizer if isinstance(optimizer, str) else fb.optimizers.from_config(optimizer.config())
    twin.fit(X, Y, loss=half_square, optimizer=fresh, epochs=6, batch_size=100, shuffle=False)
    assert_allclose(net.predict(X), twin.predict(X)[:, 0], rtol=1e-6, atol=1e-9)


def half_square(P, t):
    d = P - t[:, None]
    return 0.5 * float((d**2).mean()), d / len(d)


def test_an_optimizer_has_the_penalty_too() -> None:
    small = MLPRegressor(**QUICK, alpha=100.0, optimizer=fb.SGD(lr=0.1)).fit(X, Y)
    large = MLPRegressor(**QUICK, alpha=0.0, optimizer=fb.SGD(lr=0.1)).fit(X, Y)
    assert np.square(small.coefs_[0]).sum() < 0.5 * np.square(large.coefs_[0]).sum()
    squares = sum(np.square(W).sum() for W in small.coefs_)
    again = MLPRegressor(**QUICK, alpha=100.0, optimizer=fb.SGD(lr=1e-9), warm_start=True, batch_size=442)
    again.fit(X, Y)
    again.coefs_, again.intercepts_ = [W.copy() for W in small.coefs_], [b.copy() for b in small.intercepts_]
    again.fit(X, Y)
    wanted = 0.5 * ((small.predict(X) - Y) ** 2).mean() + 50 * squares / len(X)
    assert_allclose(again.loss_, wanted, rtol=1e-6)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    A = np.random.default_rng(0).random((700, 60))
    net = MLPRegressor(hidden_layer_sizes=(64,), max_iter=3, random_state=0)
    nets = [clone(net).set_params(n_threads=n).fit(A, A[:, :2]) for n in (1, 2)]
    same_parameters(*nets)
    assert_array_equal(nets[0].predict(A), nets[1].predict(A))


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_no_hidden_layers_are_a_linear_model(solver: str) -> None:
    net = MLPRegressor(hidden_layer_sizes=(), solver=solver, alpha=0.0, random_state=0, tol=1e-9, max_iter=3000)
    net.set_params(learning_rate_init=0.01, batch_size=442).fit(X * 20, Y)
    wanted, *_ = np.linalg.lstsq(np.c_[X * 20, np.ones(len(X))], Y, rcond=None)
    assert_allclose(np.r_[net.coefs_[0][:, 0], net.intercepts_[0]], wanted, atol=6e-3)
    assert_array_equal(net.transform(X), X)


def test_input_gradients_are_slopes() -> None:
    net = MLPRegressor(hidden_layer_sizes=7, activation="tanh", max_iter=20, random_state=0).fit(X, Y)
    step = 1e-6 * np.eye(10)
    slopes = np.stack([(net.predict(X[:9] + d) - net.predict(X[:9] - d)) / 2e-6 for d in step], axis=1)
    assert_allclose(net.input_gradient(X[:9]), slopes, rtol=1e-6, atol=1e-8)

    net = MLPClassifier((7,), "tanh", max_iter=20, random_state=0).fit(IRIS, NAMES)
    logits = lambda A, k: np.log(net.predict_proba(A)[:, k] / net.predict_proba(A)[:, 0])  # noqa: E731
    wanted = [(logits(IRIS[:9] + d, 2) - logits(IRIS[:9] - d, 2)) / 2e-6 for d in 1e-6 * np.eye(4)]
    got = net.input_gradient(IRIS[:9], output=2) - net.input_gradient(IRIS[:9], output=0)
    assert_allclose(got, np.stack(wanted, axis=1), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({"dropout": [0.1]}, {}, "dropout has 1 rates for 2 hidden layers"),
        ({"dropout": 1.0}, {}, "'dropout' parameter"),
        ({"n_threads": 0}, {}, "'n_threads' parameter"),
        ({"optimizer": "adma"}, {}, r"unknown optimizer 'adma'; known: .*adam"),
        ({"solver": "lbfgs"}, {"X_val": X, "y_val": Y}, "X_val needs epochs"),
        ({"solver": "lbfgs", "dropout": 0.1}, {}, "dropout needs epochs"),
        ({"solver": "lbfgs", "callbacks": []}, {}, "callbacks needs epochs"),
        ({}, {"X_val": X}, "X_val needs y_val"),
        ({}, {"y_val": Y}, "need X_val"),
        ({}, {"X_val": X[:, :3], "y_val": Y}, "3 features"),
    ],
)
def test_what_does_not_go_is_refused(settings: dict, data: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**{**QUICK, **settings}).fit(X, Y, **data)
