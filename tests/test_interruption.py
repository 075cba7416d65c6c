"""When things go wrong or happen at once: divergence, Ctrl-C, fork, threads.

Signals and forks run in an interpreter of their own, with a time limit.
"""

import json
import threading

import numpy as np
import pytest

import fastbp as fb
from nets import small_data, small_net


@pytest.mark.parametrize(
    "optimizer", [fb.SGD(lr=1e30), fb.SGD(lr=1e8, momentum=0.9), fb.Adam(lr=1e120), fb.AdamW(lr=1e120)]
)
def test_divergence_leaves_finite_parameters(optimizer, dtype: np.dtype) -> None:
    X, y = small_data()
    net = fb.Sequential(fb.Input(4), fb.Dense(7), fb.Dense(5), fb.Dense(3), dtype=str(dtype), seed=1)
    with pytest.raises(fb.DivergenceError, match=r"step \d+ \(epoch \d+, batch \d+\).*learning rate") as caught:
        net.fit(X * 10, y, loss="mse", optimizer=optimizer, epochs=500, batch_size=10, seed=1)
    assert isinstance(caught.value, FloatingPointError)
    assert isinstance(caught.value, ValueError)
    assert np.isfinite(net.params).all()
    assert net.predict(X).shape == (53, 3)


def test_a_nan_loss_changes_nothing(dtype: np.dtype) -> None:
    X, y = small_data()
    X[17, 2] = np.nan
    net, clean = small_net(str(dtype)), small_net(str(dtype))
    clean.fit(X[:10], y[:10], optimizer=fb.SGD(), epochs=1, batch_size=10, shuffle=False)
    with pytest.raises(fb.DivergenceError, match=r"nan at step 2 \(epoch 1, batch 2\)"):
        net.fit(X, y, optimizer=fb.SGD(), epochs=3, batch_size=10, shuffle=False, check_finite=False)
    np.testing.assert_array_equal(net.params, clean.params)


def test_a_callable_loss_that_is_nan_changes_nothing() -> None:
    X, y = small_data()
    net = small_net()
    before = net.params.copy()
    trainer = fb.Trainer(net, loss=lambda Y, t: (float("nan"), Y - t), optimizer="sgd")
    with pytest.raises(fb.DivergenceError):
        trainer.step(X, y)
    np.testing.assert_array_equal(net.params, before)


def test_a_step_that_diverges_raises() -> None:
    X, y = small_data()
    net = small_net()
    trainer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(lr=1e200))

    def steps() -> None:
        for _ in range(10):
            trainer.step(X, y)

    with pytest.raises(fb.DivergenceError, match="step"):
        steps()
    assert np.isfinite(net.params).all()


def test_an_optimizer_step_by_hand_that_diverges_raises() -> None:
    net = small_net()
    before = net.params.copy()
    net.grads[...] = np.nan
    with pytest.raises(fb.DivergenceError):
        fb.SGD().step(net)
    np.testing.assert_array_equal(net.params, before)


INTERRUPTED = """
import json, os, signal, threading, time
import numpy as np, fastbp as fb

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
X = np.random.default_rng(0).normal(size=(200_000, 8)).astype("float32")
net = fb.Sequential(fb.Input(8), fb.Dense(16, activation="tanh"), fb.Dense(3), seed=0)
start = net.params.copy()
sent = []

def interrupt():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.5, interrupt).start()
try:
    net.fit(X, X[:, :3], optimizer=fb.SGD(lr=1e-3), epochs=10_000, batch_size=BATCH)
    raise SystemExit("not interrupted")
except KeyboardInterrupt:
    waited = time.perf_counter() - sent[0]
moved = bool((net.params != start).any())
finite = bool(np.isfinite(net.params).all() and np.isfinite(net.predict(X[:5])).all())
again = net.fit(X[:100], X[:100, :3], epochs=2).history["loss"]
print(json.dumps({"waited": waited, "moved": moved, "finite": finite, "epochs": len(again)}))
"""


@pytest.mark.parametrize("batch_size", [1, 100_000])
def test_control_c_works(batch_size: int, python) -> None:
    done = python("-c", INTERRUPTED.replace("BATCH", str(batch_size)), timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["waited"] < 1.0
    assert result["moved"]
    assert result["finite"]
    assert result["epochs"] == 2


FORKED = """
import os, sys
import numpy as np, fastbp as fb

rng = np.random.default_rng(0)
X, y = rng.normal(size=(60, 4)), rng.normal(size=(60, 3))
net = fb.Sequential(fb.Input(4), fb.Dense(7, activation="tanh"), fb.Dense(3), dtype="float64", seed=0)
trainer = fb.Trainer(net, optimizer="adam")
trainer.fit(X, y, epochs=2)
reader, writer = os.pipe()
child = os.fork()
trainer.fit(X, y, epochs=3)
if child == 0:
    os.write(writer, net.params.tobytes())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert os.read(reader, 1 << 16) == net.params.tobytes()
"""


@pytest.mark.skipif("not hasattr(__import__('os'), 'fork')", reason="no fork on this platform")
def test_fork_works_after_training(python) -> None:
    done = python("-c", FORKED, timeout=30)
    assert done.returncode == 0, done.stderr


def test_threads_train_different_nets_at_once(dtype: np.dtype) -> None:
    X, y = small_data()
    together, alone = ([small_net(str(dtype), 0.2, seed) for seed in range(4)] for _ in range(2))
    threads = [threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 40, "seed": 1}) for net in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(together, alone, strict=True):
        other.fit(X, y, epochs=40, seed=1)
        np.testing.assert_array_equal(one.params, other.params)


def test_threads_on_one_net_wait_for_each_other() -> None:
    X, _ = small_data(rows=500)
    net = small_net()
    wanted = {len(part): net.predict(part) for part in (X[:3], X[:500], X[:70])}
    failures = []

    def work(part: np.ndarray) -> None:
        answers = (net.predict(part) for _ in range(100))
        failures.extend(len(part) for answer in answers if not np.array_equal(answer, wanted[len(part)]))

    threads = [threading.Thread(target=work, args=(part,)) for part in (X[:3], X, X[:70])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_subnormal_numbers_work_outside_of_ours(dtype: np.dtype) -> None:
    """The engine flushes them inside its loops and must put the processor's mode back."""
    X, y = small_data()
    net = small_net(str(dtype))
    net.fit(X, y, epochs=1)
    net.backward(net.forward(X))
    fb.Adam().step(net)
    fb.functional.activation_forward(X, "tanh")
    fb.losses.mse(X, X)
    tiny = np.array([np.finfo(dtype).smallest_subnormal * 3] * 5)
    assert (tiny * np.array(1, dtype) != 0).all()
    assert float(tiny[0]) / 1 != 0
