"""Gradients of many rows, summed part by part: the numbers of one pass over all, the same bits on every path."""

import numpy as np
import pytest
import scipy.sparse

import fastbp as fb
from gated import GATED

ROWS = 5_003


def drawn(net, rows=ROWS):
    rng = np.random.default_rng(5)
    xs = tuple(rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.inputs)
    ts = tuple(rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.outputs)
    return (xs if len(xs) > 1 else xs[0]), (ts if len(ts) > 1 else ts[0])


def mse(net):
    return "mse" if len(net.outputs) == 1 else ("mse",) * len(net.outputs)


def whole(net):
    """The same network, whose passes keep all rows."""
    copy = net.copy()
    copy.programs.keep_rows(True)
    return copy


def same(A, B, dtype="float64"):
    np.testing.assert_allclose(A, B, rtol=0, atol=np.abs(B).max() * (1e-12 if dtype == "float64" else 2e-5))


def goes_in_parts(net, rows=ROWS):
    return net.programs._training.rows_at_once(rows) < rows


def rows_of(arrays, start, stop):
    return tuple(array[start:stop] for array in arrays) if isinstance(arrays, tuple) else arrays[start:stop]


def by_chunks(net, X, y, size=200):
    """The loss and its gradient as means over chunks, each too small for parts."""
    copy, loss, grads = net.copy(), 0.0, 0.0
    trainer = fb.Trainer(copy, mse(copy), fb.SGD(0.01))
    for start in range(0, ROWS, size):
        rows = min(size, ROWS - start)
        value, _ = trainer.gradients(rows_of(X, start, start + rows), rows_of(y, start, start + rows))
        loss, grads = loss + value * rows / ROWS, grads + copy.grads.astype(float) * rows / ROWS
    return loss, grads


IN_PARTS = [graph for graph in GATED if graph.__name__ != "normalized"]  # BatchNorm needs all rows at once


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("graph", IN_PARTS)
def test_the_gradient_is_the_mean_of_those_of_small_batches(graph, dtype):
    net = graph(dtype)
    assert goes_in_parts(net)
    X, y = drawn(net)
    loss, grads = by_chunks(net, X, y)
    same(fb.Trainer(net, mse(net), fb.SGD(0.01)).step(X, y), loss, dtype)
    same(net.grads, grads, dtype)


def test_statistics_of_a_batch_are_those_of_all_rows():
    (net,) = (graph() for graph in GATED if graph.__name__ == "normalized")
    assert not goes_in_parts(net)


@pytest.mark.parametrize("graph", IN_PARTS)
def test_the_bits_are_the_same_with_any_number_of_threads(graph):
    first, second, third = (graph() for _ in range(3))
    X, y = drawn(first)
    for net, threads in ((first, 1), (second, 2), (third, 3)):
        trainer = fb.Trainer(net, mse(net), fb.Adam(0.01))
        for _ in range(3):
            trainer.step(X, y, threads=threads)
    assert np.array_equal(first.params, second.params)
    assert np.array_equal(first.params, third.params)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("graph", IN_PARTS)
def test_the_bits_are_the_same_by_a_custom_loop_and_where_all_rows_are_kept(graph, threads):
    net = graph()
    other, custom, (X, y) = whole(net), net.copy(), drawn(net)
    for n in (net, other):
        trainer = fb.Trainer(n, mse(n), fb.Adam(0.01))
        trainer.step(X, y, threads=threads)
        trainer.step(X, y, threads=threads)
    assert np.array_equal(net.params, other.params)
    optimizer = fb.Adam(0.01)
    for _ in range(2):
        out = custom.forward(X)
        outs, ts = (out, y) if isinstance(out, tuple) else ((out,), (y,))
        dys = tuple(fb.losses.MSE()(o, t)[1] for o, t in zip(outs, ts, strict=True))
        custom.backward(dys if isinstance(out, tuple) else dys[0])
        optimizer.step(custom)
    assert np.array_equal(net.params, custom.params)


def wide(*last, dtype="float64"):
    return fb.Sequential(fb.Input(40), fb.Dense(190, "tanh"), *last, dtype=dtype, seed=2)


@pytest.mark.parametrize("threads", [1, 2])
def test_dropout_has_the_masks_of_the_whole_batch(threads):
    net = wide(fb.Dropout(0.4), fb.Dense(150, "relu"), fb.Dropout(0.2), fb.Dense(3))
    assert goes_in_parts(net)
    other, (X, y) = whole(net), drawn(net)
    for n in (net, other):
        trainer = fb.Trainer(n, "mse", fb.Adam(0.01))
        trainer.step(X, y, threads=threads)
        trainer.step(X, y, threads=threads)
    assert np.array_equal(net.params, other.params)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_fit_in_a_shuffled_order_with_weights_and_labels(sparse):
    net = wide(fb.Dense(150, "relu"), fb.Dense(4))
    assert goes_in_parts(net)
    other, rng = whole(net), np.random.default_rng(0)
    X = rng.normal(size=(7_001, 40)) * (rng.random((7_001, 40)) < 0.2)
    labels, weights = rng.integers(0, 4, 7_001), rng.random(7_001)
    given = scipy.sparse.csr_matrix(X) if sparse else X
    losses = {}
    for n in (net, other):
        losses[n] = n.fit(
            given, labels, loss="cross_entropy", optimizer="adam", epochs=2, batch_size=3_000, seed=1,
            sample_weight=weights,
        )  # fmt: skip
    same(net.params, other.params)
    same(*(np.array(losses[n].history["loss"]) for n in (net, other)))


def test_numbers_of_rows_of_a_table_and_targets_that_are_missing():
    x = fb.Input(3)
    h = fb.Dense(170, "tanh")(fb.Embedding(11, 60)(x))
    net = fb.Model(x, fb.Dense(5)(h), dtype="float64", seed=3)
    assert goes_in_parts(net)
    other, rng = whole(net), np.random.default_rng(0)
    X, y = rng.integers(0, 11, (ROWS, 3)), rng.normal(size=(ROWS, 5))
    y[rng.random(y.shape) < 0.3] = np.nan
    for n in (net, other):
        trainer = fb.Trainer(n, fb.losses.MSE(mask_nan=True), fb.Adam(0.01))
        trainer.step(X, y)
        trainer.step(X, y)
    same(net.params, other.params)


def test_a_gradient_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    net = wide(fb.Dense(150, "tanh"), fb.Dense(2))
    assert goes_in_parts(net)
    X, y = drawn(net)
    value, grads = net.value_and_grad(net.params, X, y)
    parameters = [torch.tensor(array, requires_grad=True) for layer in net.layers for array in (layer.W, layer.b)]
    h = torch.tensor(X)
    for k in (0, 2, 4):
        h = h @ parameters[k] + parameters[k + 1]
        h = torch.tanh(h) if k < 4 else h
    loss = ((h - torch.tensor(y)) ** 2).mean()
    loss.backward()
    same(value, loss.item())
    same(grads, np.concatenate([p.grad.numpy().ravel() for p in parameters]))


def test_a_part_that_is_not_finite_ends_the_step_before_anything_moves():
    net = wide(fb.Dense(150, "tanh"), fb.Dense(2))
    X, y = drawn(net)
    y[-1] = 1e200
    before = net.params.copy()
    with pytest.raises(fb.DivergenceError):
        fb.Trainer(net, "mse", fb.Adam(0.01)).step(X, y)
    assert np.array_equal(net.params, before)


def test_a_monitor_sees_all_rows_of_a_batch():
    net = wide(fb.Dense(150, "relu"), fb.Dense(2))
    assert goes_in_parts(net)
    X, y = drawn(net)
    monitor = fb.GradientMonitor(every=1, warn=False)
    net.copy().fit(X, y, loss="mse", optimizer=fb.SGD(1e-30), epochs=1, batch_size=ROWS, callbacks=[monitor])
    table = monitor.figures[0]
    hidden = np.tanh(X @ net.layers[0].W + net.layers[0].b)
    same(table[0, :2], np.array([hidden.mean(), hidden.std()]))
    again = net.copy()
    again.fit(X, y, loss="mse", optimizer=fb.SGD(1e-30), epochs=1, batch_size=ROWS, callbacks=[monitor])
    assert goes_in_parts(again)  # once the fit is over
