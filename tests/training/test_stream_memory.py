"""Streams in constant memory: of a batch its sums are kept, or its targets and outputs, and predict keeps nothing."""

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import fastbp as fb

BATCHES, ROWS, INPUTS = 40, 1000, 200
ONE = ROWS * INPUTS * 4  # bytes of a batch of X


class Batches:
    """Batches that are made when they are asked for, in arrays that are filled again each time."""

    def __init__(self, again: bool = False) -> None:
        self.again = again

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(5)
        kept = np.empty((ROWS, INPUTS), np.float32), np.empty((ROWS, 3), np.float32)
        for _ in range(BATCHES):
            for A in kept:
                A[...] = rng.normal(size=A.shape)
            yield kept if self.again else tuple(A.copy() for A in kept)


def net() -> fb.Sequential:
    return fb.Sequential(fb.Input(INPUTS), fb.Dense(4, "tanh"), fb.Dense(3), seed=1)


def peak(call: Callable[[], object]) -> int:
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CALLS = {
    "evaluate": lambda: net().evaluate(Batches(), metrics=["mae", "r2"]),
    "a metric of all rows": lambda: net().evaluate(Batches(), metrics=[lambda y, Y: float(Y.max())]),
    "metrics of a fit": lambda: net().fit(Batches(), metrics=["mae"]),
    "validation": lambda: net().fit(Batches(), validation_data=Batches(), metrics=["mae"]),
    "predict": lambda: [Y.sum() for Y in net().predict(Batches())],
}


@pytest.mark.parametrize("name", CALLS)
def test_no_more_than_targets_outputs_and_a_few_batches(name: str) -> None:
    kept = 0  # but targets, outputs, and what metrics make of them in float64
    if name not in ("evaluate", "predict"):
        kept = 6 * BATCHES * ROWS * 3 * 8
    most = kept + 8 * ONE  # draws in float64 are two batches
    assert most < BATCHES * ONE
    assert peak(CALLS[name]) < most


@pytest.mark.parametrize("again", [False, True])
def test_the_numbers_are_those_of_arrays(again: bool) -> None:
    X, y = (np.concatenate(parts) for parts in zip(*Batches(), strict=True))
    got, wanted = (net().evaluate(*data, metrics=["mae", "r2"]) for data in ((Batches(again),), (X, y)))
    assert got == pytest.approx(wanted, rel=1e-12)
    outputs = list(net().predict(Batches(again)))
    np.testing.assert_array_equal(np.concatenate(outputs), net().predict(X))
    assert len(outputs) == BATCHES


def test_what_a_batch_of_predict_can_be() -> None:
    X = np.random.default_rng(0).normal(size=(6, INPUTS))
    one = net()
    for batches in (iter([X[:2], X[2:]]), iter([(X[:2], 0), (X[2:], 0, 1)]), (X[k : k + 1] for k in range(6))):
        np.testing.assert_allclose(np.concatenate(list(one.predict(batches))), one.predict(X), rtol=1e-6)
    a, b = fb.Input(3), fb.Input(2)
    two = fb.Model([a, b], fb.Dense(4)(fb.Concatenate()(a, b)), seed=0)
    xs = X[:, :3], X[:, 3:5]
    for batch in (xs, (xs, 0)):
        np.testing.assert_array_equal(next(two.predict(iter([batch]))), two.predict(xs))
    with pytest.raises(ValueError, match="200"):
        next(one.predict(iter([X[:, :7]])))
