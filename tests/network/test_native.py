"""Native functions and bound calls: the bits of predict, step, vjp and jvp; without the GIL; and what they refuse."""

import ctypes
import gc
import threading

import numpy as np
import pytest

import fastbp as fb

CLOSED, BUSY, BAD_LABEL, NOT_FINITE = 6, 5, 4, 1


def net(dtype: np.dtype, outputs: int = 3, seed: int = 2) -> fb.Sequential:
    layers = [fb.Dense(70, "tanh"), fb.LayerNorm(), fb.Dense(33, "relu"), fb.Dense(outputs)]
    return fb.Sequential(fb.Input(5), *layers, dtype=dtype.name, seed=seed)


def rows_of(dtype: np.dtype, rows: int, width: int = 5) -> np.ndarray:
    return np.random.default_rng(rows + width).normal(size=(rows, width)).astype(dtype)


def at(array: np.ndarray) -> int:
    return array.ctypes.data


@pytest.mark.parametrize("rows", [1, 2, 29, 1100])
def test_predictions_have_the_same_bits(rows: int, dtype: np.dtype) -> None:
    own, x = net(dtype), rows_of(dtype, rows)
    wanted = own.predict(x)
    f, native = own.compiled(rows), own.native(rows)
    out, written = np.empty_like(wanted), np.empty_like(wanted)
    np.testing.assert_array_equal(f(x), wanted)
    assert f(x, out) is out
    np.testing.assert_array_equal(out, wanted)
    assert native.predict(native.handle, at(x), at(written)) == 0
    np.testing.assert_array_equal(written, wanted)
    own.params *= 2
    np.testing.assert_array_equal(f(x), own.predict(x))


def test_a_single_row_may_have_one_dimension(dtype: np.dtype) -> None:
    own, x = net(dtype), rows_of(dtype, 1)
    f = own.compiled()
    y = f(x[0])
    assert y.shape == (3,)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, own.predict(x)[0])
    np.testing.assert_array_equal(f(x[0], np.empty(3, dtype)), y)


@pytest.mark.parametrize("rows", [1, 4, 31])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_steps_have_the_same_bits(loss: str, rows: int, dtype: np.dtype) -> None:
    def trainer() -> fb.Trainer:
        layers = [fb.Dense(9, "tanh"), fb.Dropout(0.3), fb.BatchNorm(), fb.Dense(3)]
        one = fb.Sequential(fb.Input(5), *layers, dtype=dtype.name, seed=4)
        return fb.Trainer(one, loss, fb.Adam(0.01, clip_norm=1.0))

    python, bound, native = trainer(), trainer(), trainer()
    call, functions = bound.compiled(rows), native.native(rows)
    value = ctypes.c_double()
    for k in range(5):
        x, y = rows_of(dtype, rows), rows_of(dtype, rows, 3)
        t = y.argmax(1) if loss == "cross_entropy" else y
        x += dtype.type(k)
        wanted = python.step(x, t)
        assert (call(x, t) if k != 2 else bound.step(x, t)) == wanted
        status = functions.step(functions.handle, at(x), at(t), native.optimizer.lr, ctypes.addressof(value))
        assert status == 0
        assert value.value == wanted
    for other in (bound, native):
        np.testing.assert_array_equal(other.net.params, python.net.params)
        np.testing.assert_array_equal(other.chain.states, python.chain.states)
        assert other.net.draws == python.net.draws == other.chain.t == 5


def test_a_step_follows_the_schedule(dtype: np.dtype) -> None:
    two = [fb.Trainer(net(dtype), "mse", fb.SGD(fb.schedules.Exponential(0.1, 0.5, per="step"))) for _ in range(2)]
    x, y, f = rows_of(dtype, 4), rows_of(dtype, 4, 3), two[1].compiled(4)
    for _ in range(4):
        assert two[0].step(x, y) == f(x, y)
    np.testing.assert_array_equal(two[0].net.params, two[1].net.params)


@pytest.mark.parametrize("rows", [1, 7])
def test_derivatives(rows: int, dtype: np.dtype) -> None:
    own, x, dy, u = net(dtype), rows_of(dtype, rows), rows_of(dtype, rows, 3), rows_of(dtype, rows, 5) + 1
    native = own.native(rows)
    dx, dparams, y, v = np.empty_like(x), np.empty_like(own.params), np.empty_like(dy), np.empty_like(dy)
    assert native.vjp(native.handle, at(x), at(dy), at(dx), at(dparams)) == 0
    assert native.jvp(native.handle, at(x), at(u), at(y), at(v)) == 0
    np.testing.assert_array_equal(dx, fb.vjp(own, x, dy))
    np.testing.assert_array_equal(v, fb.jvp(own, x, u))
    np.testing.assert_allclose(y, own.predict(x), rtol=1e-5 if dtype == np.float32 else 1e-13)
    own.forward(x, training=False)
    own.backward(dy)
    np.testing.assert_array_equal(dparams, own.grads)
    assert native.vjp(native.handle, at(x), at(dy), 0, 0) == 0
    assert native.jvp(native.handle, at(x), at(u), 0, 0) == 0
    tolerance = 1e-3 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose((dx * u).sum(), (dy * v).sum(), rtol=tolerance, atol=tolerance)


def test_two_threads_without_the_gil(dtype: np.dtype) -> None:
    """Calls by ctypes release the GIL; each thread has a handle, two of one net; a third trains another."""
    own, x = net(dtype), rows_of(dtype, 3)
    wanted, results = own.predict(x), []
    trainer = fb.Trainer(net(dtype, seed=5))

    def predicting() -> None:
        native, y = own.native(3), np.zeros((3, 3), dtype)
        for _ in range(300):
            y[:] = 0
            fine = native.predict(native.handle, at(x), at(y)) == 0 and (y == wanted).all()
            results.append(bool(fine))

    def stepping() -> None:
        native, t = trainer.native(3), rows_of(dtype, 3, 3)
        results.extend([native.step(native.handle, at(x), at(t), 1e-3, 0) == 0 for _ in range(300)])

    threads = [threading.Thread(target=target) for target in (predicting, predicting, stepping)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 900
    assert all(results)


def test_a_net_at_work_refuses_a_step_and_nothing_happens(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype))
    native, x, t = trainer.native(3), rows_of(dtype, 3), rows_of(dtype, 3, 3)
    before = trainer.net.params.copy()
    with trainer.net.programs._lock:
        assert native.step(native.handle, at(x), at(t), 1e-3, 0) == BUSY
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == 0
    assert native.step(native.handle, at(x), at(t), 1e-3, 0) == 0


def test_it_refuses_use_after_the_net_is_gone(dtype: np.dtype) -> None:
    native = fb.Trainer(net(dtype)).native()
    x, y = rows_of(dtype, 1), np.full((1, 3), 7, dtype)
    gc.collect()
    assert native.predict(native.handle, at(x), at(y)) == 0  # the handle keeps the net
    y[:] = 7
    handle, addresses = native.handle, native.addresses
    predict = native.predict
    del native
    gc.collect()
    assert predict(handle, at(x), at(y)) == 0  # so does a function
    y[:] = 7
    del predict
    gc.collect()
    pointer = ctypes.c_void_p
    functions = [
        ctypes.CFUNCTYPE(ctypes.c_int, *[pointer] * 3)(addresses["predict"]),
        ctypes.CFUNCTYPE(ctypes.c_int, *[pointer] * 5)(addresses["vjp"]),
        ctypes.CFUNCTYPE(ctypes.c_int, *[pointer] * 5)(addresses["jvp"]),
        ctypes.CFUNCTYPE(ctypes.c_int, *[pointer] * 3, ctypes.c_double, pointer)(addresses["step"]),
    ]
    given = [at(x), at(y), at(y), at(y)]
    assert [functions[k](handle, *given[:n]) for k, n in ((0, 2), (1, 4), (2, 4))] == [CLOSED] * 3
    assert functions[3](handle, at(x), at(y), 0.1, 0) == CLOSED
    assert (y == 7).all()


def test_close(dtype: np.dtype) -> None:
    native = net(dtype).native()
    native.close()
    native.close()
    assert native.predict(native.handle, 0, 0) == CLOSED


def test_what_a_step_refuses(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "cross_entropy")
    native, call, x = trainer.native(2), trainer.compiled(2), rows_of(dtype, 2)
    before = trainer.net.params.copy()
    for labels in ([0, 3], [-1, 0]):
        t = np.array(labels)
        assert native.step(native.handle, at(x), at(t), 0.1, 0) == BAD_LABEL
        with pytest.raises(ValueError, match="labels from 0 to 2"):
            call(x, t)
    x[1, 2] = np.nan
    t = np.array([0, 1])
    assert native.step(native.handle, at(x), at(t), 0.1, 0) == NOT_FINITE
    with pytest.raises(fb.DivergenceError, match="the loss became nan at step 1"):
        call(x, t)
    np.testing.assert_array_equal(trainer.net.params, before)
    assert trainer.chain.t == trainer.net.draws == 0


def test_frozen_layers_stay(dtype: np.dtype) -> None:
    trainer = fb.Trainer(net(dtype), "mse")
    f, x, t = trainer.compiled(2), rows_of(dtype, 2), rows_of(dtype, 2, 3)
    first = trainer.net.layers[0]
    for trainable in (False, True, False):
        first.trainable = trainable
        before = first.W.copy()
        f(x, t)
        assert np.array_equal(first.W, before) is not trainable


BAD = [
    (lambda dtype: np.zeros((2, 4), dtype), "x must be a C-contiguous ndarray"),
    (lambda dtype: np.zeros((3, 5), dtype), r"got ndarray \(3, 5\)"),
    (lambda dtype: np.zeros((2, 5), "int64"), "of int64"),
    (lambda dtype: np.zeros((5, 2), dtype).T, "not C-contiguous"),
    (lambda dtype: np.zeros((2, 5), dtype).tolist(), "got list"),
    (lambda dtype: np.zeros(5, dtype), r"got ndarray \(5,\)"),
    (lambda dtype: np.zeros((), dtype), r"got ndarray \(\)"),
    (lambda dtype: np.zeros((2, 5), np.dtype(dtype).newbyteorder()), "not C-contiguous"),
    (lambda dtype: None, "got NoneType"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_arrays_that_do_not_fit_a_bound_call(bad, message: str, dtype: np.dtype) -> None:
    own = net(dtype)
    f, g = own.compiled(2), fb.Trainer(own).compiled(2)
    with pytest.raises(ValueError, match=message):
        f(bad(dtype))
    with pytest.raises(ValueError, match=message):
        g(bad(dtype), np.zeros((2, 3), dtype))


def test_results_that_do_not_fit_a_bound_call(dtype: np.dtype) -> None:
    f, x = net(dtype).compiled(2), rows_of(dtype, 2)
    fixed = np.zeros((2, 3), dtype)
    fixed.flags.writeable = False
    for y, message in ((np.zeros((2, 4), dtype), "y must be"), (fixed, "writeable"), (np.zeros((2, 3), "i4"), "int32")):
        with pytest.raises(ValueError, match=message):
            f(x, y)


def test_nets_without_native_functions() -> None:
    a, b = fb.Input(2), fb.Input(2)
    two = fb.Model([a, b], fb.Dense(1)(a + b))
    python = fb.Sequential(fb.Input(2), fb.Lambda(lambda X: 2 * X, lambda X, dY: 2 * dY))
    words = fb.Sequential(fb.Input(2), fb.Embedding(4, 3))
    for bad, message in ((two, "one input"), (python, "calls Python"), (words, "selects rows")):
        for make in (bad.native, bad.compiled):
            with pytest.raises(ValueError, match=message):
                make()
    with pytest.raises(ValueError, match="loss of fastbp's own"):
        fb.Trainer(net(np.dtype("f4")), lambda Y, t: (0.0, Y * 0)).native()
    with pytest.raises(ValueError, match="rows"):
        net(np.dtype("f4")).native(0)


def test_scipy_integrates_a_net() -> None:
    scipy_integrate = pytest.importorskip("scipy.integrate")
    own = fb.Sequential(fb.Input(1), fb.Dense(6, "tanh"), fb.Dense(1), dtype="float64", seed=0)
    value, _ = scipy_integrate.quad(own.native().integrand(), 0, 2)
    points, weights = np.polynomial.legendre.leggauss(60)
    assert value == pytest.approx(float((own.predict(points[:, None] + 1)[:, 0] * weights).sum()), rel=1e-9)
    with pytest.raises(ValueError, match="float64"):
        fb.Sequential(fb.Input(1), fb.Dense(1)).native().integrand()


@pytest.mark.parametrize("case", ["fresh", "list", "overlap", "params"])
def test_predict_into_an_array(case: str, dtype: np.dtype) -> None:
    own = fb.Sequential(fb.Input(5), fb.Dense(8, "tanh"), fb.Dense(5), dtype=dtype.name, seed=1)
    x = rows_of(dtype, 700)
    wanted = own.predict(x)
    given, out = x, np.empty_like(wanted)
    if case == "list":
        given = x.tolist()
    elif case == "overlap":
        out = given = x.copy()
    elif case == "params":
        own = fb.Sequential(fb.Input(5), fb.Dense(8, "tanh"), fb.Dense(5), dtype=dtype.name, seed=1)
        given, out = x[:2], own.params[: 2 * 5].reshape(2, 5)
        wanted = wanted[:2]
    assert own.predict(given, out=out) is out
    np.testing.assert_array_equal(out, wanted)


def test_an_array_that_cannot_hold_the_outputs(dtype: np.dtype) -> None:
    own, x = net(dtype), rows_of(dtype, 2)
    fixed = np.zeros((2, 3), dtype)
    fixed.flags.writeable = False
    for out in (np.zeros((2, 4), dtype), np.zeros((3, 3), dtype), np.zeros((2, 3), "int64"), fixed, [[0] * 3] * 2):
        with pytest.raises(ValueError, match=r"out must be an array of .* to write to"):
            own.predict(x, out=out)


def test_predict_into_several_arrays(dtype: np.dtype) -> None:
    a = fb.Input(4)
    own = fb.Model(a, [fb.Dense(2)(a), fb.Dense(3)(a)], dtype=dtype.name)
    x, outs = rows_of(dtype, 6, 4), (np.empty((6, 2), dtype), np.empty((6, 3), dtype))
    wanted = own.predict(x)
    got = own.predict(x, out=outs)
    for out, one, expected in zip(outs, got, wanted, strict=True):
        assert out is one
        np.testing.assert_array_equal(out, expected)
