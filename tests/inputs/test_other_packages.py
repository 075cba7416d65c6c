"""Arrays of other libraries go in without a copy where dtype and layout fit."""

import tracemalloc

import numpy as np
import pytest

import fastbp as fb
from fastbp.inputs import checks


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


@pytest.mark.parametrize("make", [OnlyDLPack, in_torch])
def test_nothing_of_the_size_of_x_is_allocated(make) -> None:
    X, y = np.zeros((100_000, 20), np.float32), np.zeros((100_000, 1), np.float32)
    net = fb.Sequential(fb.Input(20), fb.Dense(1), seed=0)
    trainer = fb.Trainer(net)
    theirs, target = make(X), make(y)
    for work in (
        lambda: trainer.step(make(X[:500]), make(y[:500])),
        lambda: trainer.fit(theirs, target, epochs=1, batch_size=500),
        lambda: net.predict(theirs),
    ):
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < X.nbytes / 4  # the order of the rows and the outputs


def test_a_step_takes_them_as_it_takes_arrays(dtype: np.dtype) -> None:
    rng = np.random.default_rng(1)
    X, labels = rng.normal(size=(11, 4)).astype(dtype), rng.integers(3, size=11)
    trained = []
    for wrap in (np.asarray, OnlyDLPack, in_torch, in_jax):
        net = fb.Sequential(fb.Input(4), fb.Dense(3), dtype=dtype, seed=0)
        trainer = fb.Trainer(net, "cross_entropy", "sgd")
        loss = trainer.step(wrap(X), wrap(labels), sample_weight=wrap(np.ones(11, dtype)))
        assert isinstance(loss, float)
        trained.append(net.params.copy())
    for other in trained[1:]:
        np.testing.assert_array_equal(other, trained[0])


def test_tensors_that_are_no_arrays_say_what_to_do() -> None:
    torch = pytest.importorskip("torch")
    net = fb.Sequential(fb.Input(4), fb.Dense(3))
    with pytest.raises(ValueError, match=r"X is not an array: .*requires grad.*detach"):
        net.predict(torch.ones(5, 4, requires_grad=True))
    with pytest.raises(TypeError, match=r"X is not an array of numbers: .*BFloat16"):
        net.predict(torch.ones(5, 4, dtype=torch.bfloat16))
