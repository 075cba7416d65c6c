"""Plain arrays skip scikit-learn's checks in `partial_fit`: the same fit, the same errors."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fastbp.sklearn import MLPClassifier, MLPRegressor


def rows(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(23, 5)).astype(dtype), rng.integers(0, 3, 23) * 4 - 4


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_plain_arrays_and_lists_learn_the_same(cls: type, dtype: np.dtype) -> None:
    X, y = rows(dtype)
    y = y if cls is MLPClassifier else y.astype(dtype)
    first = {"classes": np.unique(y)} if cls is MLPClassifier else {}
    plain, checked = (cls(hidden_layer_sizes=(7,), random_state=0) for _ in range(2))
    for net in (plain, checked):
        net.partial_fit(X, y, **first)
    for k in range(3):
        plain.partial_fit(X[k:], y[k:])
        checked.partial_fit(X[k:], list(y[k:]))
    for ours, theirs in zip(plain.coefs_, checked.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "wrong", ["width", "rows", "nan", "inf", "class", "empty", "order", "y of nan", "y of two columns"]
)
def test_what_is_wrong_is_refused_as_by_the_checks(wrong: str, dtype: np.dtype) -> None:
    X, y = rows(dtype)
    net = MLPClassifier(hidden_layer_sizes=(7,), random_state=0).partial_fit(X, y, classes=np.unique(y))
    before = [W.copy() for W in net.coefs_]
    given, why = {
        "width": ((X[:, :4], y), "expecting 5 features"),
        "rows": ((X[:9], y), "inconsistent numbers of samples"),
        "nan": ((np.where(np.arange(5) == 3, np.nan, X).astype(dtype), y), "contains NaN"),
        "inf": ((np.where(np.arange(5) == 3, np.inf, X).astype(dtype), y), "contains infinity"),
        "class": ((X, y + 1), "classes not in"),
        "empty": ((X[:0], y[:0]), "0 sample"),
        "order": ((X[None], y), "dim 3"),
        "y of nan": ((X, np.where(y == 0, np.nan, y)), "contains NaN"),
        "y of two columns": ((X, np.stack([y, y], axis=1)), "abel"),
    }[wrong]
    with pytest.raises(ValueError, match=why):
        net.partial_fit(*given)
    for W, kept in zip(net.coefs_, before, strict=True):
        np.testing.assert_array_equal(W, kept)


def test_names_of_features_are_still_compared() -> None:
    pandas = pytest.importorskip("pandas")
    X, y = rows(np.dtype(np.float64))
    frame = pandas.DataFrame(X, columns=list("abcde"))
    net = MLPClassifier(hidden_layer_sizes=(7,)).partial_fit(frame, y, classes=np.unique(y))
    with pytest.warns(UserWarning, match="valid feature names"):
        net.partial_fit(X, y)


def test_strings_and_booleans_are_known_classes() -> None:
    X, y = rows(np.dtype(np.float64))
    for labels in (y > 0, np.where(y > 0, "yes", "no")):
        net = MLPClassifier(hidden_layer_sizes=(7,)).partial_fit(X, labels, classes=np.unique(labels))
        assert set(net.partial_fit(X, labels).predict(X)) <= set(labels)
