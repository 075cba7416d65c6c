"""Arrays of other libraries go in without a copy where dtype and layout fit."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import checks


class OnlyDLPack:
    """What the array API asks of an array, and nothing of NumPy's."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple:
        return self.array.__dlpack_device__()


def in_torch(X: np.ndarray):
    return pytest.importorskip("torch").from_numpy(X)


def in_jax(X: np.ndarray):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(X.dtype == np.float64):
        return jax.numpy.asarray(X)


@pytest.mark.parametrize("make", [OnlyDLPack, in_torch, in_jax])
def test_no_copy(make, dtype: np.dtype) -> None:
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(dtype)
    theirs = make(X)
    array = checks.as_numbers(theirs, "X")
    assert np.shares_memory(array, checks.as_numbers(theirs, "X"))
    assert np.shares_memory(array, X) or make is in_jax
    assert np.shares_memory(array, checks.as_shaped(theirs, (5, 4), array.dtype, "X"))


@pytest.mark.parametrize("make", [OnlyDLPack, in_torch, in_jax])
def test_they_train_and_predict_as_arrays_do(make, dtype: np.dtype) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(11, 4)).astype(dtype), rng.normal(size=(11, 2)).astype(dtype)
    results = []
    for wrap in (np.asarray, make):
        net = fb.Sequential(fb.Input(4), fb.Dense(2), dtype=dtype, seed=0)
        net.fit(wrap(X), wrap(y), epochs=2, batch_size=3)
        results.append(net.predict(wrap(X)))
        assert type(results[-1]) is np.ndarray
    np.testing.assert_array_equal(*results)
