"""What the estimators do beyond scikit-learn's: each against a plain computation, or against what it is equal to."""

import pickle

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
    "rate by epochs": fb.SGD(lr=fb.schedules.Step(0.05, 2, 0.5, per="epoch")),
    "rate on a plateau": fb.SGD(lr=fb.schedules.OnPlateau(0.05, patience=0, threshold=0.5, monitor="loss")),
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


def test_a_rate_by_epochs_moves_in_each_way_to_fit() -> None:
    seen: list[float] = []
    note = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: seen.append(trainer.optimizer.lr))
    optimizer = fb.SGD(lr=fb.schedules.Step(0.08, 1, 0.5, per="epoch"))
    net = MLPRegressor(**{**QUICK, "max_iter": 3}, optimizer=optimizer, callbacks=[note], warm_start=True)
    net.fit(X, Y)
    assert seen == [0.08, 0.04, 0.02]
    seen.clear()
    net = clone(net)
    for _ in range(2):
        net.partial_fit(X, Y)
    net = pickle.loads(pickle.dumps(net.set_params(callbacks=None))).set_params(callbacks=[note])
    net.partial_fit(X, Y)
    assert seen == [0.08, 0.04, 0.02]


def test_a_rate_falls_where_the_held_out_loss_does_not() -> None:
    rates: list[float] = []
    note = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: rates.append(trainer.optimizer.lr))
    optimizer = fb.SGD(lr=fb.schedules.OnPlateau(1e-9, factor=0.5, patience=1, threshold=0.5))
    net = MLPRegressor(**QUICK, optimizer=optimizer, callbacks=[note])
    for _ in range(2):
        rates.clear()
        net.fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
        assert rates == [1e-9, 1e-9, 1e-9, 0.5e-9, 0.5e-9, 0.25e-9]
    assert net.optimizer is optimizer
    assert optimizer.lr == 1e-9


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


@pytest.mark.parametrize("quantiles", [0.8, [0.1, 0.5, 0.9], [0.75, 0.25]])
@pytest.mark.parametrize("targets", [1, 2])
def test_quantiles_and_their_interval(quantiles, targets: int, rng) -> None:
    A = rng.random((3000, 2))
    y = A[:, [0]] * rng.exponential(size=(3000, targets))
    net = MLPRegressor("quantile", (16,), quantile=quantiles, random_state=0, max_iter=60, learning_rate_init=0.01)
    net.fit(A, y[:, 0] if targets == 1 else y)
    levels = np.sort(np.atleast_1d(quantiles))
    found = net.predict_quantiles(A).reshape(3000, targets, len(levels))
    assert (np.diff(found, axis=2) >= 0).all()
    assert_allclose((y[:, :, None] <= found).mean(axis=0), np.tile(levels, (targets, 1)), atol=0.06)
    exact = -np.log1p(-levels) * A[:, [0]]
    assert np.abs(found - exact[:, None]).mean() < 0.1
    if len(levels) == 1:
        assert_array_equal(net.predict(A), found[:, 0, 0] if targets == 1 else found[:, :, 0])
        with pytest.raises(ValueError, match="needs loss='quantile' and several"):
            net.predict(A, return_interval=True)
    else:
        middle, interval = net.predict(A, return_interval=True)
        assert_array_equal(middle, net.predict(A))
        assert_array_equal(interval.reshape(3000, targets, 2), found[:, :, [0, -1]])
        assert (interval.reshape(3000, targets, 2)[:, :, 0] <= middle.reshape(3000, targets)).all()


@pytest.mark.parametrize("loss", sorted(_engine.LOSSES))
def test_all_losses_of_values(loss: str, rng) -> None:
    """The last loss of the curve is that of one full batch on the parameters before its step."""
    row = _engine.LOSSES[loss]
    y = rng.random((60, 3)) if np.isfinite(row.high) and not row.whole else rng.integers(1, 2, (60, 3)) * 1.0
    y = y / y.sum(axis=1, keepdims=True) if row.labels else y + (2 if row.high == np.inf else 0)
    net = MLPRegressor(loss, (5,), max_iter=2, random_state=0, batch_size=60, alpha=0.0, learning_rate_init=0.01)
    A = rng.random((60, 4))
    net.fit(A, y)
    curve = net.loss_curve_
    assert curve[1] < curve[0]
    raw = np.maximum(A @ net.coefs_[0] + net.intercepts_[0], 0) @ net.coefs_[1] + net.intercepts_[1]
    value = getattr(fb.losses, loss)(raw, y)[0]
    if loss == "poisson":  # scikit-learn's is the whole deviance, summed over the targets
        value = 3 * value + (y * np.log(y) - y).sum(axis=1).mean()
    net.set_params(warm_start=True, max_iter=1, n_iter_no_change=np.inf).fit(A, y)
    assert_allclose(net.loss_, value, rtol=1e-9, atol=1e-12)
    predicted = net.predict(A)
    assert predicted.shape == (60, 3)
    if row.labels:
        assert_allclose(predicted.sum(axis=1), 1)


CLASS_LOSSES = [
    "cross_entropy",
    "kl_divergence",
    "binary_cross_entropy",
    "focal",
    "hinge",
    "squared_hinge",
    "mse",
    "mae",
    "huber",
    "log_cosh",
    fb.losses.CrossEntropy(label_smoothing=0.1),
]


@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_all_losses_of_classes(loss, classes: int) -> None:
    some = slice(0, 50 * classes)
    net = MLPClassifier((7,), loss=loss, random_state=0, max_iter=300, learning_rate_init=0.03)
    A, names = (IRIS[some] - IRIS[some].mean(axis=0)) / IRIS[some].std(axis=0), NAMES[some]
    net.fit(A, names)
    assert net.score(A, names) > 0.93
    P = net.predict_proba(A)
    assert P.shape == (50 * classes, classes)
    assert_allclose(P.sum(axis=1), 1)
    assert_array_equal(net.classes_[P.argmax(axis=1)], net.predict(A))


@pytest.mark.parametrize("loss", ["focal", "hinge", "mse"])
def test_losses_of_several_labels(loss: str) -> None:
    labels = np.stack([SPECIES == 0, SPECIES > 0, SPECIES == 2], axis=1).astype(int)
    net = MLPClassifier((7,), loss=loss, random_state=0, max_iter=300, learning_rate_init=0.03).fit(IRIS, labels)
    assert net.score(IRIS, labels) > 0.93


def test_cross_entropy_by_name_is_the_log_loss() -> None:
    by_name = MLPClassifier(**QUICK, loss="cross_entropy").fit(IRIS, NAMES)
    same_parameters(by_name, MLPClassifier(**QUICK).fit(IRIS, NAMES))


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
        ({"loss": "squared"}, {}, "'loss' parameter"),
        ({"loss": "quantile", "quantile": [0.1, 1.0]}, {}, "quantiles must be"),
        ({"loss": "gamma"}, {}, "gamma wants"),
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


@pytest.mark.parametrize("loss", ["quantile", "gaussian_nll", "poisson", "tweedie"])
def test_losses_that_are_not_for_classes_are_refused(loss: str) -> None:
    with pytest.raises(ValueError, match=f"loss {loss} is not for classes"):
        MLPClassifier(**QUICK, loss=loss).fit(IRIS, NAMES)
    with pytest.raises(ValueError, match="one label a row"):
        MLPClassifier(**QUICK, loss="cross_entropy").fit(IRIS, np.eye(3, dtype=int)[SPECIES][:, :2])
