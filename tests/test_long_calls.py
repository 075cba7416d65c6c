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
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.3, interrupt).start()
try:
    {call}
    print(json.dumps("it ended before"))
except KeyboardInterrupt:
    waited = time.monotonic() - sent[0]
    same = bool((net.params == before).all())
    works = bool(np.isfinite(net.predict(X[:3])).all())
    print(json.dumps([waited, same, works]))
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
}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c(call: str, threads: str, python) -> None:
    setup, rows, line = CALLS[call]
    done = python("-c", CODE.format(setup=setup.format(rows=rows), call=line), FASTBP_NUM_THREADS=threads, timeout=100)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    if result == "it ended before":
        pytest.skip("this machine is too fast to be interrupted")
    waited, same, works = result
    assert same
    assert works
    assert waited < 0.6, "a fifth of a second, on a machine that others use too"


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
