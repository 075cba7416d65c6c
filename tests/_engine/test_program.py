"""The engine's program itself, as the folders above call it: slices of an epoch, rates, outputs, status.

What a network or a trainer shows of it is tested there; here is what they rely on and do not show.
"""

import numpy as np
import pytest

import reference
from fastbp import _engine

ROWS, INPUTS, HIDDEN, OUTPUTS = 23, 4, 19, 3
SIZE = INPUTS * HIDDEN + HIDDEN + HIDDEN * OUTPUTS


class Bench:
    """A program of two layers with its vectors, a chain and a data set."""

    def __init__(self, dtype: np.dtype, rules: tuple = (("momentum", (0.9, 0.0)),), dropout: float = 0.0) -> None:
        rng = np.random.default_rng(1)
        self.params, self.grads = rng.normal(size=SIZE).astype(dtype) * 0.3, np.zeros(SIZE, dtype=dtype)
        offsets = (0, INPUTS * HIDDEN), (INPUTS * HIDDEN + HIDDEN, -1)
        ops = [
            ("dense", (0,), 1, offsets[0], {"activation": "tanh", "alpha": 0.0}),
            ("dropout", (1,), 2, (), {"rate": dropout, "key": 2}),
            ("dense", (2,), 3, offsets[1], {"activation": "linear", "alpha": 0.0}),
        ]
        widths = [INPUTS, HIDDEN, HIDDEN, OUTPUTS]
        self.program = _engine.Program(dtype.name, widths, ops, [0], [3], self.params, self.grads)
        self.chain = _engine.Chain(dtype.name, [(1.0, list(rules))], SIZE)
        self.X = rng.normal(size=(ROWS, INPUTS)).astype(dtype)
        self.t = rng.integers(OUTPUTS, size=ROWS)
        self.order = rng.permutation(ROWS)
        self.losses = np.full(8, -1.0)

    def run(self, first: int, last: int, lrs=0.1, outs=None, step: int = 0, seconds: float = 0.0, size: int = 5):
        batches = _engine.Batches(
            xs=(self.X,),
            ts=(self.t,),
            weights=None,
            terms=(_engine.Term(self.X.dtype, "cross_entropy"),),
            chain=self.chain,
            rates=lrs,
            order=self.order,
            size=size,
            first=first,
            last=last,
            seconds=seconds,
            losses=self.losses,
            outs=outs,
        )
        return self.program.run(batches, 7, step)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_an_epoch_in_slices_is_an_epoch(dropout: float, dtype: np.dtype) -> None:
    whole, sliced = Bench(dtype, dropout=dropout), Bench(dtype, dropout=dropout)
    assert whole.run(0, 5, step=10) == (5, 0)
    for first, last in ((0, 1), (1, 4), (4, 5)):
        assert sliced.run(first, last, step=10 + first) == (last, 0)
    np.testing.assert_array_equal(sliced.params, whole.params)
    np.testing.assert_array_equal(sliced.losses, whole.losses)
    assert (whole.losses[:5] > 0).all()
    assert (whole.losses[5:] == -1).all()


def test_it_comes_back_in_time_after_a_whole_batch(dtype: np.dtype) -> None:
    bench, whole = Bench(dtype), Bench(dtype)
    batch, rounds = 0, 0
    while batch < 5:
        after, status = bench.run(batch, 5, seconds=1e-9)
        assert status == 0
        assert after > batch
        batch, rounds = after, rounds + 1
    assert rounds > 1
    whole.run(0, 5)
    np.testing.assert_array_equal(bench.params, whole.params)


def test_a_rate_for_each_batch(dtype: np.dtype) -> None:
    rates = np.array([0.1, 0.0, 0.3, 0.05, 0.2])
    together, apart = Bench(dtype), Bench(dtype)
    together.run(0, 5, lrs=rates)
    for k, rate in enumerate(rates):
        apart.run(k, k + 1, lrs=float(rate))
    np.testing.assert_array_equal(together.params, apart.params)
    sliced = Bench(dtype)
    sliced.run(0, 2, lrs=rates)
    sliced.run(2, 5, lrs=rates)
    np.testing.assert_array_equal(sliced.params, apart.params)


def test_outputs_lie_by_their_place_in_the_order(dtype: np.dtype) -> None:
    bench = Bench(dtype)
    outs = np.full((ROWS, OUTPUTS), -7, dtype=dtype)
    wanted = bench.program.predict((bench.X,))[0][bench.order]
    bench.run(0, 3, lrs=0.0, outs=(outs,))
    np.testing.assert_array_equal(outs[:15], wanted[:15])
    assert (outs[15:] == -7).all()
    bench.run(3, 5, lrs=0.0, outs=(outs,))
    np.testing.assert_array_equal(outs, wanted)


def test_without_an_order_the_rows_come_as_they_are(dtype: np.dtype) -> None:
    plain, ordered = Bench(dtype), Bench(dtype)
    plain.order, ordered.order = None, np.arange(ROWS)
    plain.run(0, 5)
    ordered.run(0, 5)
    np.testing.assert_array_equal(plain.params, ordered.params)


def test_an_order_may_leave_out_and_repeat_rows(dtype: np.dtype) -> None:
    bench, copied = Bench(dtype), Bench(dtype)
    bench.order = np.array([3, 3, 22, 0, 7, 7, 7])
    copied.X, copied.t, copied.order = bench.X[bench.order], bench.t[bench.order], None
    assert bench.run(0, 2) == copied.run(0, 2) == (2, 0)
    np.testing.assert_array_equal(bench.params, copied.params)
    np.testing.assert_array_equal(bench.losses, copied.losses)


def test_a_loss_that_is_not_finite_stops_before_its_update(dtype: np.dtype) -> None:
    bench, short = Bench(dtype), Bench(dtype)
    bench.X[bench.order[12]] = np.nan
    short.X = bench.X
    assert bench.run(0, 5) == (2, 1)
    assert short.run(0, 2) == (2, 0)
    assert np.isnan(bench.losses[2])
    np.testing.assert_array_equal(bench.params, short.params)
    assert bench.chain.t == short.chain.t == 2


def test_an_update_that_is_not_finite_is_withheld(dtype: np.dtype) -> None:
    bench = Bench(dtype, rules=(("l2", (1e3,)), ("sgd", ())))
    assert bench.run(0, 5, lrs=np.finfo(dtype).max / 2) == (0, 2)
    assert np.isfinite(bench.losses[0])
    assert np.isfinite(bench.params).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_is_a_run_without_its_update(weighted: bool, dtype: np.dtype) -> None:
    bench = Bench(dtype)
    w = np.random.default_rng(2).uniform(0, 2, size=ROWS).astype(dtype) if weighted else None
    bench.grads[...] = 99
    data = ((bench.X,), (bench.t,), (w,), (_engine.Term(bench.X.dtype, "cross_entropy"),))
    value = bench.program.loss_and_gradient(*data, 7, 0, False)
    (Y,) = bench.program.forward((bench.X,), False, 7, 0)
    wanted, dY = reference.loss("cross_entropy", Y, bench.t, w)
    assert value == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-13)
    grads = bench.grads.copy()
    assert bench.program.backward((dY.astype(dtype),), False, False) is None
    np.testing.assert_allclose(bench.grads, grads, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-14)


def test_the_inputs_gradient_costs_nothing_to_leave_out(dtype: np.dtype) -> None:
    """The gradients of the parameters are the same bits with and without that of the inputs, in any order."""
    bench = Bench(dtype)
    dY = np.random.default_rng(2).normal(size=(ROWS, OUTPUTS)).astype(dtype)
    bench.program.forward((bench.X,), True, 7, 0)
    results = []
    for inputs in (False, True, False, True):
        dxs = bench.program.backward((dY,), False, inputs)
        results.append(bench.grads.copy())
        assert (dxs is not None) == inputs
    for grads in results[1:]:
        np.testing.assert_array_equal(grads, results[0])


def test_a_step_does_without_the_gradient_of_the_inputs(dtype: np.dtype) -> None:
    """It costs as much as a layer, and nobody looks at it."""
    bench = Bench(dtype)
    bench.run(0, 2)
    totals, _ = _engine.tensor_gradients(bench.program)
    assert not totals[0].any()
    assert totals[1].any()
