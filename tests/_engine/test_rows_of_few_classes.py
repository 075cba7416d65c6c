"""Softmax and cross entropy take rows of few classes in groups: a row has the same bits wherever it stands."""

import numpy as np
import pytest

import fastbp as fb


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [1, 2, 3, 7, 8, 9, 10, 15, 16, 17])
@pytest.mark.parametrize("name", ["softmax", "softmin"])
def test_outputs_of_a_row_do_not_depend_on_its_place(name, classes, dtype):
    net = fb.Sequential(fb.Input(5), fb.Dense(classes, name), dtype=dtype, seed=1)
    X = np.random.default_rng(0).normal(size=(53, 5)).astype(dtype)
    together = net.predict(X)
    np.testing.assert_array_equal(together, [net.predict(x[None])[0] for x in X])
    np.testing.assert_array_equal(together[3:], net.predict(X[3:]))
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 3, 7, 8, 9, 10, 15, 16, 17])
def test_the_gradient_of_a_row_does_not_depend_on_its_place(classes, dtype):
    rng = np.random.default_rng(1)
    Y, labels = (3 * rng.normal(size=(53, classes))).astype(dtype), rng.integers(0, classes, 53)
    loss = fb.losses.CrossEntropy()
    _, dY = loss(Y, labels)
    for start in (1, 2, 5, 17):
        later = loss(np.concatenate([Y[start:], Y[:start]]), np.concatenate([labels[start:], labels[:start]]))[1]
        np.testing.assert_array_equal(dY[start:], later[: 53 - start])
    wanted = np.exp(Y.astype(float)) / np.exp(Y.astype(float)).sum(axis=1, keepdims=True)
    wanted[np.arange(53), labels] -= 1
    np.testing.assert_allclose(dY, wanted / 53, atol=1e-7 if dtype == "float32" else 1e-16)


@pytest.mark.parametrize("classes", [2, 10])
def test_rows_without_a_label_have_no_gradient(classes):
    Y = np.random.default_rng(2).normal(size=(40, classes))
    Y[7] = np.nan
    labels = np.arange(40) % classes
    labels[[7, 39]] = -1
    value, dY = fb.losses.CrossEntropy(mask_nan=True)(Y, labels)
    assert np.isfinite(value)
    assert not dY[[7, 39]].any()
    assert np.isfinite(dY).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [10, 16, 48, 64, 128, 192])
def test_a_row_without_a_label_leaves_the_rows_beside_it_as_they_are(classes, dtype):
    rng = np.random.default_rng(3)
    Y, labels = rng.normal(size=(41, classes)).astype(dtype), rng.integers(0, classes, 41)
    labels[[3, 18, 40]] = -1
    _, dY = fb.losses.CrossEntropy(mask_nan=True)(Y, labels)
    known = labels >= 0
    _, wanted = fb.losses.CrossEntropy()(Y[known], labels[known])
    np.testing.assert_allclose(dY[known], wanted, rtol=1e-5 if dtype == "float32" else 1e-13)
    assert not dY[~known].any()
