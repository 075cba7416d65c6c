"""Metrics: equal to scikit-learn's over random targets and outputs, with ties, absent classes and weights.

Every row of the table has its oracle here; one without fails. How outputs are read, names, settings and weights in
training are tested below.
"""

import pickle
import warnings

import numpy as np
import pytest
from sklearn import metrics as theirs

import fastbp as fb
import reference
from fastbp.metrics.metric import METRICS
from nets import small_data, small_net

ROWS, CLASSES = 41, 5


def labels_of(y, P, w, score, **settings):
    if P.shape[1] == 1:
        return score(y, (P[:, 0] > 0.5).astype(int), sample_weight=w, **settings)
    return score(y, P.argmax(axis=1) if y.ndim == 1 else (P > 0.5).astype(int), sample_weight=w, **settings)


def averaged(score):
    def oracle(y, P, w, average):
        if average == "auto":
            average = "binary" if y.ndim == 1 and P.shape[1] <= 2 else "macro"
        return labels_of(y, P, w, score, average=average, zero_division=0)

    return oracle


def accuracy(y, P, w):
    if y.ndim == 1:
        return labels_of(y, P, w, theirs.accuracy_score)
    return np.average((y == (P > 0.5)).mean(axis=1), weights=w)


def roc_auc(y, P, w, average):
    settings = {"average": average, "sample_weight": w}
    if y.ndim == 1 and P.shape[1] <= 2:
        return theirs.roc_auc_score(y, P[:, -1], **settings)
    many = {"multi_class": "ovr", "labels": range(P.shape[1])} if y.ndim == 1 else {}
    return theirs.roc_auc_score(y, P, **settings, **many)


def log_loss(y, P, w):
    if y.ndim == 2:
        return np.mean([theirs.log_loss(y[:, c], P[:, c], sample_weight=w, labels=(0, 1)) for c in range(P.shape[1])])
    return theirs.log_loss(y, P[:, 0] if P.shape[1] == 1 else P, sample_weight=w, labels=range(max(P.shape[1], 2)))


def top_k(y, P, w, k):
    return theirs.top_k_accuracy_score(y, P, k=k, sample_weight=w, labels=range(P.shape[1]))


def values(score):
    return lambda y, P, w: score(y, P, sample_weight=w)


ONE, MANY, BITS, VALUES = "two classes", "many classes", "several questions", "values"
AVERAGES = [{"average": average} for average in ("auto", "macro", "micro", "weighted")]
# name: (what it is tested with, settings, the oracle)
ORACLES = {
    "accuracy": ((ONE, MANY, BITS), [{}], accuracy),
    "binary_accuracy": ((ONE, BITS), [{}], accuracy),
    "balanced_accuracy": ((ONE, MANY), [{}], lambda y, P, w: labels_of(y, P, w, theirs.balanced_accuracy_score)),
    "top_k_accuracy": ((MANY,), [{"k": k} for k in (1, 2, 4)], top_k),
    "precision": ((ONE, MANY, BITS), AVERAGES, averaged(theirs.precision_score)),
    "recall": ((ONE, MANY, BITS), AVERAGES, averaged(theirs.recall_score)),
    "f1": ((ONE, MANY, BITS), AVERAGES, averaged(theirs.f1_score)),
    "roc_auc": ((ONE, MANY, BITS), [{"average": a} for a in ("macro", "micro", "weighted")], roc_auc),
    "log_loss": ((ONE, MANY, BITS), [{}], log_loss),
    "mae": ((VALUES,), [{}], values(theirs.mean_absolute_error)),
    "mse": ((VALUES,), [{}], values(theirs.mean_squared_error)),
    "rmse": ((VALUES,), [{}], values(theirs.root_mean_squared_error)),
    "mape": ((VALUES,), [{}], values(theirs.mean_absolute_percentage_error)),
    "r2": ((VALUES,), [{}], values(theirs.r2_score)),
}
CASES = [
    pytest.param(name, kind, settings, id="-".join([name, kind, *map(str, settings.values())]))
    for name, (kinds, many, _) in ORACLES.items()
    for kind in kinds
    for settings in many
]


def test_every_metric_has_an_oracle() -> None:
    assert set(ORACLES) == set(METRICS)


def draw(kind: str, variety: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Targets and logits (or values)."""
    width = {ONE: 1, MANY: CLASSES, BITS: 3, VALUES: 3}[kind]
    Z = rng.normal(size=(ROWS, width)) * 2
    if variety == "ties":
        Z = rng.integers(-1, 2, size=(ROWS, width)).astype(float)
    if kind == VALUES:
        y = rng.normal(size=Z.shape)
        if variety == "absent":
            y[:, 1] = 2.5
            y[::3, 0] = 0.0
        return y, Z
    if kind == BITS:
        return rng.integers(2, size=Z.shape), Z
    classes = max(width, 2)
    y = np.concatenate([np.arange(classes), rng.integers(classes, size=ROWS - classes)])
    if variety == "absent":
        y[y == 1] = 0
        Z[:, min(3, width - 1)] -= 9
    return y, Z


def shares(kind: str, Z: np.ndarray) -> np.ndarray:
    return reference.softmax(Z) if kind == MANY else reference.logistic(Z)


@pytest.mark.parametrize("variety", ["plain", "ties", "absent"])
@pytest.mark.parametrize(("name", "kind", "settings"), CASES)
def test_metrics_are_those_of_scikit_learn(name: str, kind: str, settings: dict, variety: str, rng) -> None:
    for weights in (None, rng.uniform(0, 2, size=ROWS) * (rng.random(ROWS) < 0.8)):
        y, Z = draw(kind, variety, rng)
        P = Z if kind == VALUES else shares(kind, Z)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = ORACLES[name][2](y, P, weights, **settings)
        metric = getattr(fb.metrics, name)(multilabel=kind == BITS, **settings)
        got = metric(y, Z, sample_weight=weights)
        assert type(got) is float
        assert got == pytest.approx(wanted, rel=1e-12, abs=1e-14, nan_ok=True)
        assert metric(y, P, sample_weight=weights, logits=False) == pytest.approx(
            wanted, rel=1e-9, abs=1e-14, nan_ok=True
        )


@pytest.mark.parametrize(("name", "kind", "settings"), [case for case in CASES if ONE in case.values])
@pytest.mark.parametrize("label", [0, 1])
def test_metrics_of_one_class_alone(name: str, kind: str, settings: dict, label: int, rng) -> None:
    y, Z = np.full(7, label), rng.normal(size=(7, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = ORACLES[name][2](y, shares(kind, Z), None, **settings)
    assert getattr(fb.metrics, name)(y, Z, **settings) == pytest.approx(wanted, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", ["accuracy", "precision", "roc_auc", "log_loss", "f1", "balanced_accuracy"])
def test_two_outputs_for_two_classes_are_one(name: str, rng) -> None:
    y, Z = rng.integers(2, size=31), rng.normal(size=(31, 2))
    one = getattr(fb.metrics, name)(y, Z[:, 1] - Z[:, 0])
    assert getattr(fb.metrics, name)(y, Z) == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "roc_auc"])
def test_labels_may_be_given_as_shares(name: str, rng) -> None:
    y, Z = rng.integers(3, size=20), rng.normal(size=(20, 3))
    metric = getattr(fb.metrics, name)
    assert metric(np.eye(3)[y], Z) == pytest.approx(metric(y, Z), rel=1e-12)


def test_one_row_has_no_r2() -> None:
    assert np.isnan(fb.metrics.r2([1.0], [[1.0]]))


def test_the_log_loss_of_sure_logits_stays_finite(dtype: np.dtype) -> None:
    Z = np.array([[900.0], [-900.0]], dtype)
    assert fb.metrics.log_loss([0, 1], Z) == pytest.approx(900)
    eps = np.finfo(dtype).eps
    assert fb.metrics.log_loss([0], np.ones((1, 1), dtype), logits=False) == pytest.approx(-np.log(eps))


# In training


@pytest.mark.parametrize(
    ("loss", "width", "activation", "targets", "reads"),
    [
        ("cross_entropy", 3, "linear", "labels", {}),
        ("binary_cross_entropy", 1, "linear", "bits", {}),
        ("binary_cross_entropy", 3, "linear", "bits", {"multilabel": True}),
        ("mse", 1, "sigmoid", "bits", {"logits": False}),
        ("mse", 3, "softmax", "one hot", {"logits": False}),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "f1", "log_loss", "roc_auc"])
def test_outputs_are_read_as_the_loss_means_them(loss, width, activation, targets, reads, name, rng) -> None:
    X = rng.normal(size=(40, 4))
    net = fb.Sequential(fb.Input(4), fb.Dense(width, activation, weights=fb.initializers.normal(std=2)), seed=1)
    y = {
        "labels": rng.integers(3, size=40),
        "bits": rng.integers(2, size=(40, width)),
        "one hot": np.eye(width)[rng.integers(width, size=40)],
    }[targets]
    result = net.evaluate(X, y, loss=loss, metrics=[name])
    assert result[name] == pytest.approx(getattr(fb.metrics, name)(y, net.predict(X), **reads), rel=1e-12)
    if name == "log_loss" and "entropy" in loss:
        assert result[name] == pytest.approx(result["loss"], rel=1e-5)


def test_metrics_are_weighted_where_asked(rng) -> None:
    X, y = small_data("indices")
    w = rng.uniform(0, 2, size=53)
    metrics = ["accuracy", fb.metrics.accuracy(weighted=True), fb.metrics.accuracy(weighted=True, name="mine")]
    net = small_net()
    right = net.predict(X).argmax(axis=1) == y
    result = net.evaluate(X, y, loss="cross_entropy", metrics=metrics, sample_weight=w)
    assert list(result) == ["loss", "accuracy", "accuracy_weighted", "mine"]
    assert result["accuracy"] == pytest.approx(right.mean())
    assert result["accuracy_weighted"] == result["mine"] == pytest.approx(np.average(right, weights=w))
    history = net.fit(
        X, y, loss="cross_entropy", optimizer=fb.SGD(lr=0.0), metrics=metrics, sample_weight=w, batch_size=10
    )
    assert history.history["mine"] == pytest.approx([result["mine"]])
    assert history.history["accuracy"] == pytest.approx([result["accuracy"]])


def test_where_no_target_is_known_there_is_no_number(rng) -> None:
    x = fb.Input(4)
    net = fb.Model(x, [fb.Dense(2, name="known")(x), fb.Dense(3, name="missing")(x)], seed=0)
    losses = ("mse", fb.losses.CrossEntropy(mask_nan=True))
    metrics = (["mae"], ["accuracy", fb.metrics.f1(weighted=True), lambda y, Y: 1 / len(y)])
    y = rng.normal(size=(9, 2)), np.full(9, np.nan)
    history = net.fit(rng.normal(size=(9, 4)), y, loss=losses, metrics=metrics, epochs=2, sample_weight=np.ones(9))
    assert np.isfinite(history.history["known_mae"]).all()
    for name in ("missing_accuracy", "missing_f1_weighted", "missing_<lambda>"):
        assert np.isnan(history.history[name]).all()


def test_settings_show_in_the_name_and_go_through_files(tmp_path) -> None:
    X, y = small_data("indices")
    metrics = [fb.metrics.f1(average="macro"), fb.metrics.top_k_accuracy(k=2), "accuracy", fb.metrics.recall]
    trainer = fb.Trainer(small_net(), "cross_entropy", metrics=metrics)
    result = trainer.evaluate(X, y)
    assert list(result) == ["loss", "f1_macro", "top_k_accuracy_2", "accuracy", "recall"]
    trainer.save(tmp_path / "it.safetensors")
    assert fb.Trainer.load(tmp_path / "it.safetensors").evaluate(X, y) == result
    again = pickle.loads(pickle.dumps(metrics[0]))
    assert again == metrics[0]
    assert again(y, np.eye(3)[y]) == 1.0


@pytest.mark.parametrize("name", sorted(METRICS))
def test_early_stopping_knows_what_is_better(name: str) -> None:
    best = {"min": min, "max": max}[METRICS[name].mode]
    y, Z = np.array([0.0, 1.0, 1.0, 0.0]), np.array([-1.0, 2.0, 1.0, -2.0])
    if name == "top_k_accuracy":
        good, bad = METRICS[name]([1, 0], [[0.0, 1.0], [1.0, 0.0]], k=1), METRICS[name]([1, 0], np.eye(2), k=1)
    else:
        good, bad = METRICS[name](y, Z), METRICS[name](y, -Z)
    assert best(good, bad) == good != bad


BAD = {
    "unknown setting": (lambda: fb.metrics.f1(averag="macro"), TypeError, ["averag", "average", "f1"]),
    "unknown average": (lambda: fb.metrics.f1(average="mean"), ValueError, ["average", "'mean'", "macro", "micro"]),
    "k of zero": (lambda: fb.metrics.top_k_accuracy(k=0), ValueError, ["k", "1", "0"]),
    "weighted by a number": (lambda: fb.metrics.mae(weighted=2), TypeError, ["weighted", "2"]),
    "a label too many": (lambda: fb.metrics.accuracy([0, 3], np.eye(2)), ValueError, ["3", "row 1", "0 ... 1"]),
    "binary of three": (
        lambda: fb.Trainer(small_net(), "cross_entropy", metrics=[fb.metrics.f1(average="binary")]),
        ValueError,
        ["binary", "two classes", "3"],
    ),
    "top k of one output": (
        lambda: fb.Trainer(fb.Sequential(fb.Input(2), fb.Dense(1)), metrics=["top_k_accuracy"]),
        ValueError,
        ["top_k_accuracy", "output for each class"],
    ),
}


@pytest.mark.parametrize("metric", ["mae", "mse", "rmse", "r2", "mape"])
def test_a_metric_that_does_not_suit_the_targets_is_refused_before_training(metric: str) -> None:
    """Values beside class labels, in arrays, in the first batch of a stream, and in an evaluation."""
    X, y = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 3
    trainer = fb.Trainer(small_net(), "cross_entropy", "adam", metrics=["accuracy", metric])
    before = trainer.net.params.copy()
    for work in (
        lambda: trainer.fit(X, y, epochs=2),
        lambda: trainer.fit([(X, y)], epochs=2),
        lambda: trainer.fit(X, np.eye(3)[y], validation_data=(X, y)),
        lambda: trainer.evaluate(X, y),
    ):
        with pytest.raises(ValueError, match=r"y must have shape \(9, 3\), got \(9,\)"):
            work()
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == 0
    assert np.isfinite(trainer.fit(X, np.eye(3)[y]).history[metric]).all()
    with pytest.raises(ValueError, match="got"):
        trainer.evaluate(X, y)


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_before_training(case: str) -> None:
    call, error, words = BAD[case]
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
