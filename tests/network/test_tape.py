"""Tapes: several forward passes kept at once, backward in any order, against PyTorch on a recurrent net by hand."""

import gc

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")


def cell(dtype: str = "float64") -> fb.Model:
    x, h = fb.Input(2), fb.Input(5)
    new = fb.Dense(5, "tanh")(fb.Concatenate()(x, h))
    return fb.Model([x, h], [new, fb.Dense(3)(new)], dtype=dtype, seed=1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_backpropagation_through_time(dtype: str, tolerance: float, rng: np.random.Generator) -> None:
    net, X, T = cell(dtype), rng.normal(size=(6, 4, 2)).astype(dtype), rng.normal(size=(6, 4, 3)).astype(dtype)
    leaves = {name: torch.tensor(array.copy(), requires_grad=True) for name, array in net.arrays().items()}
    inputs, state, loss = torch.tensor(X, requires_grad=True), torch.zeros(4, 5, dtype=getattr(torch, dtype)), 0.0
    for k in range(6):
        state = torch.tanh(torch.cat([inputs[k], state], 1) @ leaves["dense_1.W"] + leaves["dense_1.b"])
        y = state @ leaves["dense_2.W"] + leaves["dense_2.b"]
        loss = loss + ((y - torch.as_tensor(T[k])) ** 2).mean()
    loss.backward()

    tapes, h, dys = [], np.zeros((4, 5), dtype), []
    for k in range(6):
        tapes.append(net.forward((X[k], h), keep=True))
        h, y = tapes[-1].output
        dys.append(fb.losses.mse(y, T[k])[1])
    net.grads[...] = 0
    dh = np.zeros((4, 5), dtype)
    for k in reversed(range(6)):
        dx, dh = tapes[k].backward((dh, dys[k]))
        np.testing.assert_allclose(dx, inputs.grad[k].numpy(), rtol=0, atol=tolerance)
    for name, (part, shape) in net.slices.items():
        np.testing.assert_allclose(net.grads[part].reshape(shape), leaves[name].grad, rtol=0, atol=10 * tolerance)


def test_any_order_and_other_passes_between(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(6, "tanh"), fb.Dense(3), dtype="float64", seed=0)
    batches = [rng.normal(size=(n, 4)) for n in (5, 9, 2)]
    dys = [rng.normal(size=(n, 3)) for n in (5, 9, 2)]
    wanted, sums = [], np.zeros_like(net.grads)
    for X, dY in zip(batches, dys, strict=True):
        net.forward(X)
        wanted.append(net.backward(dY))
        sums += net.grads
    tapes = [net.forward(X, keep=True) for X in batches]
    pending = net.forward(batches[1])
    net.predict(batches[0])
    np.testing.assert_array_equal(pending, tapes[1].output)
    net.grads[...] = 0
    for k in (1, 2, 0):
        np.testing.assert_array_equal(tapes[k].backward(dys[k]), wanted[k])
    np.testing.assert_allclose(net.grads, sums, rtol=1e-12)
    np.testing.assert_array_equal(net.backward(dys[1]), wanted[1])
    np.testing.assert_array_equal(tapes[2].backward(dys[2], accumulate=False), wanted[2])
    once = net.grads.copy()
    tapes[2].backward(dys[2])
    np.testing.assert_allclose(net.grads, 2 * once, rtol=1e-14)


def test_changed_parameters_are_refused(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(6), fb.BatchNorm(), fb.Dense(3), dtype="float64", seed=0)
    X, dY = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    first, second = net.forward(X, keep=True), net.forward(X, keep=True)
    first.backward(dY)  # it moves the running averages
    second.backward(dY)
    net["dense_2"].b[1] += 1e-9
    before = net.grads.copy()
    with pytest.raises(RuntimeError, match="parameters have changed since the forward"):
        second.backward(dY)
    np.testing.assert_array_equal(net.grads, before)
    net.forward(X, keep=True).backward(dY)
    with pytest.raises(ValueError, match=r"dY.*5.*6|6.*5"):
        net.forward(X, keep=True).backward(np.ones((6, 3)))


def test_dropout_has_the_masks_of_its_own_pass(rng: np.random.Generator) -> None:
    layers = fb.Dropout(0.5), fb.Dense(3, bias=False)
    net = fb.Sequential(fb.Input(40), *layers, dtype="float64", seed=0)
    X, dY = np.ones((2, 40)), np.ones((2, 3))
    tapes = [net.forward(X, keep=True) for _ in range(3)]
    assert net.draws == 3
    W = net["dense_1"].W
    for tape in tapes:
        kept = tape.backward(dY) != 0
        np.testing.assert_allclose(tape.output, (2.0 * kept) @ W, rtol=1e-12)
    assert not np.array_equal(tapes[0].output, tapes[1].output)


def test_memory_is_used_again_and_frozen_layers_stay_frozen(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(6), fb.Dense(3), dtype="float64", seed=0)
    X, dY = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    tapes = [net.forward(X, keep=True) for _ in range(4)]
    assert repr(tapes[0]) == "<Tape of 5 rows>"
    del tapes
    gc.collect()
    assert len(net._tapes.free) == 4
    net["dense_1"].trainable = False
    kept = [net.forward(X, keep=True) for _ in range(2)]
    assert len(net._tapes.free) == 2
    net.grads[...] = 0
    kept[0].backward(dY)
    assert not net["dense_1"].dW.any()
    assert net["dense_2"].dW.any()


def test_rows_of_all_tapes_count_for_a_penalty_of_sums(rng: np.random.Generator) -> None:
    nets = [fb.Sequential(fb.Input(4), fb.Dense(3), dtype="float64", seed=0) for _ in range(2)]
    X, dY = rng.normal(size=(10, 4)), rng.normal(size=(10, 3))
    nets[0].forward(X)
    nets[0].backward(dY)
    for _ in range(2):  # a second step counts anew
        nets[1].grads[...] = 0
        for part in (slice(0, 4), slice(4, 10)):
            nets[1].forward(X[part], keep=True).backward(dY[part])
        optimizer = fb.SGD(lr=0.1, l2_by_rows=3.0)
        start = nets[1].params.copy()
        optimizer.step(nets[1])
    nets[0].params = start
    nets[0].forward(X)
    nets[0].backward(dY)
    fb.SGD(lr=0.1, l2_by_rows=3.0).step(nets[0])
    np.testing.assert_allclose(nets[1].params, nets[0].params, rtol=1e-12)
