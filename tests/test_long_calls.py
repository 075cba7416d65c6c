"""Ctrl-C in one long call of the engine: it ends within a fifth of a second, its result is thrown away, the net works.

Each call runs in an interpreter of its own, where it would take seconds.
"""

import json

import numpy as np
import pytest

import fastbp as fb

CODE = """
import json, os, signal, threading, time
import numpy as np, fastbp as fb

signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)
{setup}
before = net.params.copy()
sent = []

def interrupt():
    sent.extend([time.monotonic(), time.process_time()])
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.3, interrupt).start()
try:
    {call}
    print(json.dumps("it ended before"))
except KeyboardInterrupt:
    waited, worked = time.monotonic() - sent[0], time.process_time() - sent[1]
    same = bool((net.params == before).all())
    works = bool(np.isfinite(net.predict(X[:3])).all())
    print(json.dumps([waited, worked, same, works]))
"""
DEEP = """
net = fb.Sequential(fb.Input(64), *(fb.Dense(1024, "tanh") for _ in range(4)), fb.Dense(2), seed=0)
X, y = rng.normal(size=({rows}, 64)).astype("float32"), np.ones(({rows}, 2), "float32")
"""
NORMED = """
layers = [layer for _ in range(4) for layer in (fb.Dense(1024), fb.BatchNorm(), fb.Activation("tanh"))]
net = fb.Sequential(fb.Input(64), *layers, fb.Dense(2), seed=0)
X, y = rng.normal(size=({rows}, 64)).astype("float32"), np.ones(({rows}, 2), "float32")
"""
WIDE = """
net = fb.Sequential(fb.Input(4096), fb.Dense(4096), fb.Dense(2), seed=0)
X, y = rng.normal(size=({rows}, 4096)).astype("float32"), np.ones(({rows}, 2), "float32")
"""
MANY = """
net = fb.Sequential(fb.Input(128), fb.Dense(512, "tanh"), fb.Dense(512, "tanh"), fb.Dense(128), dtype="float64", seed=0)
X, y = rng.normal(size=({rows}, 128)), np.ones(({rows}, 128))
"""
CALLS = {
    "predict": (DEEP, 300_000, "net.predict(X)"),
    "predict wide": (WIDE, 20_000, "net.predict(X)"),
    "forward": (DEEP, 60_000, "net.forward(X)"),
    "step": (DEEP, 60_000, "fb.Trainer(net, 'mse').step(X, y)"),
    "step wide": (WIDE, 10_000, "fb.Trainer(net, 'mse', 'sgd').step(X, y)"),
    "a batch of fit": (DEEP, 60_000, "net.fit(X, y, batch_size=60_000)"),
    "a batch of fit with weights": (DEEP, 60_000, "net.fit(X, y, batch_size=60_000, sample_weight=np.ones(60_000))"),
    "clipped": (DEEP, 60_000, "net.fit(X, y, batch_size=60_000, optimizer=fb.Adam(clip_norm=1.0))"),
    "batch norm": (NORMED, 60_000, "net.fit(X, y, batch_size=60_000)"),
    "value_and_grad": (DEEP, 60_000, "net.value_and_grad(net.params.copy(), X, y)"),
    "jacobian": (MANY, 8_000, "fb.jacobian(net, X, mode='reverse')"),
    "jacobian forward": (MANY, 8_000, "fb.jacobian(net, X, mode='forward')"),
    "hessian": (MANY, 3_000, "fb.hessian(net, X, output=0)"),
    "vjp": (DEEP, 60_000, "fb.vjp(net, X, y)"),
    "per_sample_gradients": (
        MANY,
        900,
        "fb.per_sample_gradient_norms(net, X[:900].repeat(12, 0), y[:900].repeat(12, 0))",
    ),
    "evaluate": (DEEP, 200_000, "net.evaluate(X, y)"),
    "fit by muon": (WIDE, 16, "net.fit(X, y, batch_size=8, optimizer=fb.Muon())"),
    "step by muon": (WIDE, 16, "fb.Trainer(net, 'mse', 'muon').step(X, y)"),
    "the update alone, by muon": (WIDE, 16, "t = fb.Trainer(net, 'mse', 'muon'); t.gradients(X, y); t.update()"),
    "a step of muon alone": (WIDE, 16, "net.backward(net.forward(X, training=True)); fb.Muon().step(net)"),
}
# Kernels one by one: the array, and a call.
KERNELS = {
    "dense_forward": ((20_000, 4096), "fb.functional.dense_forward(A, W)"),
    "dense_backward": ((8_000, 4096), "fb.functional.dense_backward(A, A, W, None, A)"),
    "activation": ((1_500, 40_000), "[fb.functional.activation_forward(A, 'mish') for _ in range(100)]"),
    "slope": ((1_500, 40_000), "[fb.functional.activation_backward(A, A, A, 'mish') for _ in range(100)]"),
    "softmax": ((3_000, 20_000), "[fb.functional.activation_forward(A, 'softmax') for _ in range(100)]"),
    "softmax of odd rows": ((3_000, 19_999), "[fb.functional.activation_forward(A, 'softmax') for _ in range(100)]"),
    "loss": ((3_000, 20_000), "[fb.losses.huber(A, A) for _ in range(100)]"),
    "loss of odd rows": ((20_000_000, 3), "[fb.losses.cross_entropy(A, A > 0) for _ in range(100)]"),
    "metric": ((5_000_000, 3), "[fb.metrics.mae(A, A) for _ in range(400)]"),
}


def interrupted(python, setup: str, call: str, **environment: str) -> tuple[bool, bool]:
    """Whether parameters stayed and the net works, after a call that Ctrl-C ended soon.

    Where others use the machine too, the interpreter's own processor time says how soon.
    """
    done = python("-c", CODE.format(setup=setup, call=call), timeout=100, **environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    if result == "it ended before":
        pytest.skip("this machine is too fast to be interrupted")
    waited, worked, same, works = result
    assert min(waited, worked) < 0.6, "a fifth of a second, on a quiet machine"
    assert waited < 2.0
    return same, works


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c(call: str, threads: str, python) -> None:
    setup, rows, line = CALLS[call]
    assert interrupted(python, setup.format(rows=rows), line, FASTBP_NUM_THREADS=threads) == (True, True)


ALONE = """
net = fb.Sequential(fb.Input(3), fb.Dense(2), seed=0)
X = np.ones((5, 3), "float32")
A = np.empty({shape}, "float32")
A.ravel()[:] = np.resize(np.linspace(0.1, 1, 1009), A.size)
W = A[:4096] if A.shape[1] == 4096 else None
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_ctrl_c_in_a_kernel(kernel: str, python) -> None:
    shape, line = KERNELS[kernel]
    interrupted(python, ALONE.format(shape=shape), line)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_step_has_the_bits_of_its_parts(optimizer: str, threads: int) -> None:
    """The gradient in pieces, then the update: what forward, backward and the optimizer's step give one by one."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(5000, 1024)).astype("float32"), rng.normal(size=(5000, 3)).astype("float32")
    nets = [fb.Sequential(fb.Input(1024), fb.Dense(1024, "relu"), fb.BatchNorm(), fb.Dense(3), seed=0) for _ in "ab"]
    trainer, alone = (fb.Trainer(net, "mse", optimizer) for net in nets)
    trainer.step(X, y, threads=threads)
    value, dY = fb.losses.mse(nets[1].forward(X), y)
    nets[1].backward(dY)
    alone.optimizer.step(nets[1])
    assert np.isfinite(value)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)


def rows_by_hundreds(function, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate([function(*(A[k : k + 100] for A in arrays)) for k in range(0, len(arrays[0]), 100)])


@pytest.mark.parametrize("width", [2048, 2047])
@pytest.mark.parametrize("activation", ["tanh", "softmax"])
def test_a_long_call_has_the_bits_of_short_ones(width: int, activation: str) -> None:
    """Cut in pieces for Ctrl-C, or by hand: the same numbers."""
    kernels, rng = fb.functional, np.random.default_rng(0)
    X, dY = (rng.normal(size=(2200, width)).astype("float32") for _ in "ab")
    W = rng.normal(size=(width, 3)).astype("float32")
    Y = kernels.activation_forward(X, activation)
    np.testing.assert_array_equal(Y, rows_by_hundreds(lambda A: kernels.activation_forward(A, activation), X))
    dZ = kernels.activation_backward(dY, X, Y, activation)
    parts = rows_by_hundreds(lambda *A: kernels.activation_backward(*A, activation), dY, X, Y)
    np.testing.assert_array_equal(dZ, parts)
    T = kernels.dense_forward(X, W)
    np.testing.assert_array_equal(T, rows_by_hundreds(lambda A: kernels.dense_forward(A, W), X))
    dX, dW, db = kernels.dense_backward(T, X, W, None, T)
    np.testing.assert_allclose(dX, T @ W.T, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(dW, X.T @ T, rtol=1e-3, atol=1.0)
    assert dW[-1].any()
    assert db is None or db.shape == (3,)


@pytest.mark.parametrize("width", [2048, 2047])
@pytest.mark.parametrize("name", ["mse", "cross_entropy", "huber"])
def test_a_long_loss_has_the_bits_of_short_ones(width: int, name: str) -> None:
    rng = np.random.default_rng(0)
    Y, t = (rng.random(size=(2200, width)).astype("float32") for _ in "ab")
    t /= t.sum(axis=1, keepdims=True)
    loss = getattr(fb.losses, name)
    value, dY = loss(Y, t)
    parts = [loss(Y[k : k + 100], t[k : k + 100]) for k in range(0, 2200, 100)]
    np.testing.assert_allclose(value, np.mean([part[0] for part in parts]), rtol=1e-6)
    np.testing.assert_allclose(dY * 22, np.concatenate([part[1] for part in parts]), rtol=1e-5, atol=1e-9)
    t[2190, width - 1] = np.nan
    with pytest.raises(ValueError, match="2190"):
        loss(Y, t)
