"""Splits and folds: scikit-learn's where there is no chance in them, and their properties where there is."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.model_selection import KFold, StratifiedKFold

import fastbp as fb
from fastbp.data.splitting import hold_out
from nets import OPTIMIZERS, small_data, small_net


def labels(rows: int, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([[2, 0, 1], rng.choice(3, size=rows - 3, p=[0.6, 0.3, 0.1])])


# Folds


@pytest.mark.parametrize(("rows", "k"), [(10, 5), (53, 4), (7, 7), (11, 2)])
def test_folds_in_order_are_those_of_scikit_learn(rows: int, k: int) -> None:
    ours = list(fb.kfold(np.zeros((rows, 3)), k=k))
    for (train, test), (wanted, wanted_test) in zip(ours, KFold(k).split(np.zeros(rows)), strict=True):
        np.testing.assert_array_equal(train, wanted)
        np.testing.assert_array_equal(test, wanted_test)


@pytest.mark.parametrize(("rows", "k"), [(53, 4), (40, 5), (31, 3)])
def test_stratified_folds_in_order_are_those_of_scikit_learn(rows: int, k: int, rng) -> None:
    y = np.concatenate([np.repeat([2, 0, 1], k), labels(rows - 3 * k, rng)])
    ours = list(fb.kfold(np.zeros((rows, 3)), y, k=k, stratify=True))
    theirs = StratifiedKFold(k).split(np.zeros(rows), y)
    for (train, test), (wanted, wanted_test) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(train, wanted)
        np.testing.assert_array_equal(test, wanted_test)


@pytest.mark.parametrize("stratify", [False, True])
def test_drawn_folds_cover_all_rows_once_and_repeat(stratify: bool, rng) -> None:
    rows, k = 53, 4
    y = labels(rows, rng)
    folds = list(fb.kfold(np.zeros((rows, 3)), y, k=k, seed=1, stratify=stratify))
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(rows))
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(rows))
        assert len(test) in (rows // k, rows // k + 1)
        if stratify:
            counts, exact = np.bincount(y[test], minlength=3), np.bincount(y) / k
            assert (np.abs(counts - exact) < 1).all()
    again = list(fb.kfold(np.zeros((rows, 3)), y, k=k, seed=1, stratify=stratify))
    other = list(fb.kfold(np.zeros((rows, 3)), y, k=k, seed=2, stratify=stratify))
    in_order = list(fb.kfold(np.zeros((rows, 3)), y, k=k, stratify=stratify))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))
    assert not any(np.array_equal(a[1], b[1]) for a, b in zip(folds, other, strict=True))
    assert not any(np.array_equal(a[1], b[1]) for a, b in zip(folds, in_order, strict=True))


# A share held out


@pytest.mark.parametrize(("share", "rows", "count"), [(0.2, 53, 11), (0.1, 10, 1), (0.3, 10, 3), (0.7, 10, 7)])
def test_the_last_rows_are_held_out(share: float, rows: int, count: int) -> None:
    train, held = fb.Split(share).indices(rows)
    np.testing.assert_array_equal(train, np.arange(rows - count))
    np.testing.assert_array_equal(held, np.arange(rows - count, rows))


def test_drawn_and_stratified_shares(rng) -> None:
    y = labels(101, rng)
    for stratify in (False, True):
        train, held = fb.Split(0.3, seed=4, stratify=stratify).indices(101, y)
        assert len(held) == 31
        np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(101))
        assert not np.array_equal(held, fb.Split(0.3, seed=5, stratify=stratify).indices(101, y)[1])
        np.testing.assert_array_equal(held, fb.Split(0.3, seed=4, stratify=stratify).indices(101, y)[1])
        assert len(np.unique(np.diff(held))) > 1
        if stratify:
            assert (np.abs(np.bincount(y[held]) - 31 * np.bincount(y) / 101) < 1).all()


@pytest.mark.parametrize("seed", [None, 3])
def test_a_class_keeps_a_row_to_train_on_where_rows_are_enough(seed) -> None:
    y = np.repeat(["a", "b", "c"], [1, 2, 30])
    train, held = fb.Split(0.9, seed, stratify=True).indices(33, y)
    assert len(held) == 30
    assert set(y[train]) == {"a", "b", "c"}
    assert len(fb.Split(0.5, seed, stratify=True).indices(4, [3, 1, 4, 2])[1]) == 2  # no class can


@pytest.mark.parametrize("split", [0.3, fb.Split(0.3, seed=1), fb.Split(0.3, seed=1, stratify=True)])
@pytest.mark.parametrize("form", ["arrays", "lists", "pandas", "sparse", "mapped"])
def test_a_fit_with_a_split_is_one_with_the_parts(split, form: str, tmp_path) -> None:
    X, y = small_data("indices")
    w = np.linspace(0.5, 2, 53)
    train, held = (split if isinstance(split, fb.Split) else fb.Split(split)).indices(53, y)
    settings = {"loss": "cross_entropy", "metrics": ["accuracy"], "epochs": 3, "batch_size": 10, "seed": 1}
    wanted, got = small_net(), small_net()
    parts = wanted.fit(
        X[train], y[train], sample_weight=w[train], validation_data=(X[held], y[held], w[held]), **settings
    )
    given = X
    if form == "lists":
        given, y = X.tolist(), y.tolist()
    elif form == "pandas":
        given, y = pd.DataFrame(X), pd.Series(y, index=np.arange(53)[::-1])
    elif form == "sparse":
        given = scipy.sparse.csr_array(X)
    elif form == "mapped":
        np.save(tmp_path / "X.npy", X)
        given = np.load(tmp_path / "X.npy", mmap_mode="r")
    whole = got.fit(given, y, sample_weight=w, validation_split=split, **settings)
    assert whole.history == parts.history
    np.testing.assert_array_equal(got.params, wanted.params)


def test_balanced_classes_are_those_of_the_training_rows(rng) -> None:
    X, y = small_data("indices")
    one, other = small_net(), small_net()
    settings = {"loss": "cross_entropy", "class_weight": "balanced", "seed": 1}
    one.fit(X, y, validation_split=0.2, **settings)
    other.fit(X[:42], y[:42], **settings)
    np.testing.assert_array_equal(one.params, other.params)


# Cross-validation


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_cross_validation_is_the_loop_by_hand(optimizer: str) -> None:
    X, y = small_data("indices")
    w = np.linspace(0.5, 2, 53)
    settings = {"epochs": 3, "batch_size": 10}
    scores = fb.cross_validate(
        small_net, X, y, k=4, seed=3, stratify=True, loss="cross_entropy", optimizer=OPTIMIZERS[optimizer](),
        metrics=["accuracy", fb.metrics.log_loss(weighted=True)], sample_weight=w, **settings,
    )  # fmt: skip
    assert list(scores) == ["loss", "accuracy", "log_loss_weighted"]
    for fold, (train, test) in enumerate(fb.kfold(X, y, 4, seed=3, stratify=True)):
        net = small_net()
        net.fit(
            X[train], y[train], loss="cross_entropy", optimizer=OPTIMIZERS[optimizer](),
            sample_weight=w[train], seed=3, **settings,
        )  # fmt: skip
        assert scores["accuracy"][fold] == (net.predict(X[test]).argmax(axis=1) == y[test]).mean()
        wanted = fb.losses.cross_entropy(net.predict(X[test]), y[test], w[test])[0] / w[test].mean()
        assert scores["loss"][fold] == pytest.approx(wanted, rel=1e-12)
        assert scores["log_loss_weighted"][fold] == pytest.approx(wanted, rel=1e-12)


def test_folds_do_not_see_what_others_did_to_the_optimizer() -> None:
    X, y = small_data("indices")
    optimizer = fb.Adam(lr=0.01)
    falls = fb.ReduceLROnPlateau("loss", patience=1, min_delta=10.0)
    settings = {"k": 3, "loss": "cross_entropy", "epochs": 4, "callbacks": [falls]}
    first = fb.cross_validate(small_net, X, y, optimizer=optimizer, **settings)
    again = fb.cross_validate(small_net, X, y, optimizer=copy.copy(optimizer), **settings)
    np.testing.assert_array_equal(first["loss"], again["loss"])
    assert optimizer.lr == 0.01


BAD = {
    "share of one": (lambda: fb.Split(1.0), ValueError, ["validation_split", "1"]),
    "share of nothing": (lambda: fb.Split(0.0), ValueError, ["validation_split", "above 0"]),
    "text share": (lambda: fb.Split("0.2"), TypeError, ["validation_split", "'0.2'"]),
    "nothing left": (lambda: fb.Split(0.9).indices(2), ValueError, ["0.9", "2 rows"]),
    "stratify by nothing": (lambda: fb.Split(0.5, stratify=True).indices(4), ValueError, ["stratify", "label"]),
    "stratify by a word": (lambda: fb.Split(0.5, stratify="y"), TypeError, ["stratify", "'y'"]),
    "one fold": (lambda: fb.kfold([1, 2], k=1), ValueError, ["k", "2", "1"]),
    "more folds than rows": (lambda: fb.kfold([1, 2], k=3), ValueError, ["3 folds", "2 rows"]),
    "labels too few": (lambda: fb.kfold([1, 2, 3], [0, 1], k=2, stratify=True), ValueError, ["y has 2 rows", "3"]),
    "both kinds of validation": (
        lambda: small_net().fit(*small_data(), validation_split=0.2, validation_data=small_data()),
        ValueError,
        ["validation_split", "validation_data"],
    ),
    "a split of batches": (
        lambda: small_net().fit([small_data()], validation_split=0.2),
        ValueError,
        ["validation_split", "arrays"],
    ),
    "weights too few": (
        lambda: small_net().fit(*small_data(), validation_split=0.2, sample_weight=np.ones(9)),
        ValueError,
        ["sample_weight has 9 rows", "53"],
    ),
    "the same net again": (
        lambda net=small_net(): fb.cross_validate(lambda: net, *small_data(), k=2),  # noqa: B008
        ValueError,
        ["make", "new net"],
    ),
    "a net in place of a function": (
        lambda: fb.cross_validate(small_net(), *small_data(), k=2),
        TypeError,
        ["make", "function"],
    ),
    "make of something else": (
        lambda: fb.cross_validate(lambda: 3, *small_data(), k=2),
        TypeError,
        ["what make returns", "int"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_splits_are_clear_errors(case: str) -> None:
    call, error, words = BAD[case]
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


# Holding rows out


def test_the_same_seed_holds_out_the_same_rows():
    groups = np.arange(200) % 3
    first, again, other = (hold_out(groups, 0.2, seed)[1] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("sizes", [(50,), (30, 60, 10), (2, 2, 2, 2, 2), (1, 1, 40), (1, 2)])
def test_each_group_gives_its_share_and_keeps_a_row(sizes, fraction):
    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    for seed in range(5):
        train, held_out = hold_out(groups, fraction, seed)
        assert sorted([*train, *held_out]) == list(range(len(groups)))
        spare = len(groups) - len(sizes)
        assert len(held_out) == min(max(1, round(fraction * len(groups))), spare)
        assert set(groups[train]) == set(groups)
        share = len(held_out) / spare
        for group, size in enumerate(sizes):
            assert abs((groups[held_out] == group).sum() - share * (size - 1)) <= 1


def test_every_row_is_held_out_by_some_seed():
    groups = np.repeat([0, 1], 10)
    seen = {int(row) for seed in range(100) for row in hold_out(groups, 0.2, seed)[1]}
    assert seen == set(range(20))


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor])
def test_cross_validation_by_splitters_of_scikit_learn(executor) -> None:
    splitters = pytest.importorskip("sklearn.model_selection")
    X, y = small_data("indices")
    groups = np.arange(53) // 7
    settings = {"loss": "cross_entropy", "metrics": ["accuracy"], "epochs": 2}
    pool = executor and executor(2)
    for cv in (splitters.StratifiedKFold(3), splitters.GroupKFold(4), splitters.ShuffleSplit(5, random_state=0)):
        kept = {"groups": groups} if isinstance(cv, splitters.GroupKFold) else {}
        scores = fb.cross_validate(small_net, X, y, cv=cv, **kept, executor=pool, **settings)
        folds = list(cv.split(X, y, **kept))
        assert scores["loss"].shape == (len(folds),)
        for fold, (train, test) in enumerate(folds):
            net = small_net()
            net.fit(X[train], y[train], loss="cross_entropy", epochs=2)
            assert scores["accuracy"][fold] == (net.predict(X[test]).argmax(axis=1) == y[test]).mean()
    pairs = fb.cross_validate(small_net, X.tolist(), y.tolist(), cv=iter(folds), **settings)
    np.testing.assert_array_equal(pairs["loss"], scores["loss"])
    for wrong, error in ((3, TypeError), ([], ValueError), ([([0, 1], [99])], ValueError)):
        with pytest.raises(error):
            fb.cross_validate(small_net, X, y, cv=wrong)
