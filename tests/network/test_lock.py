"""The lock of a network: who cannot have it gets an error, who waits gets it, and nothing is seen in half."""

import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4000, 16)).astype("float32")
T = RNG.normal(size=(4000, 1)).astype("float32")


def net_of(seed: int = 0) -> fb.Sequential:
    return fb.Sequential(fb.Input(16), fb.Dense(64, "tanh"), fb.Dense(1), seed=seed)


@pytest.fixture
def busy():
    """A net that another thread trains, until the test is over."""
    net, stop = net_of(), threading.Event()
    callback = fb.LambdaCallback(on_epoch_end=lambda trainer, epoch, logs: stop.is_set())
    thread = threading.Thread(target=net.fit, args=(X, T), kwargs={"epochs": 10**6, "callbacks": [callback]})
    thread.start()
    time.sleep(0.1)
    yield net
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


FORKS = """
import os, signal, threading, time
import numpy as np, fastbp as fb

rng = np.random.default_rng(0)
X, T = rng.normal(size=(4000, 16)).astype("float32"), rng.normal(size=(4000, 1)).astype("float32")
busy, other = (fb.Sequential(fb.Input(16), fb.Dense(64, "tanh"), fb.Dense(1), seed=0) for _ in "ab")
threading.Thread(target=busy.fit, args=(X, T), kwargs={"epochs": 10**6}, daemon=True).start()
time.sleep(0.2)

def in_child(net):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # kills a child that hangs
        try:
            net.predict(X[:5])
        except RuntimeError as error:
            os._exit(3 if "forked" in str(error) else 4)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

print(sorted({in_child(busy) for _ in range(5)}), sorted({in_child(other) for _ in range(5)}), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_beside_a_fit(python) -> None:
    """The net that is at work raises or works; another works; neither hangs. In a process without other packages."""
    done = python("-c", FORKS)
    at_work, other = done.stdout.strip().split("] [")
    assert set(at_work.strip("[]").split(", ")) <= {"0", "3"}, done.stderr
    assert other == "0]"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("work", ["predict", "fit", "jacobian", "copy"])
def test_a_lambda_that_calls_its_own_net(work: str, count: int) -> None:
    x = fb.Input(3)
    works = {
        "predict": lambda: net.predict(np.ones((5, 3))),
        "fit": lambda: net.fit(np.ones((5, 3)), np.ones((5, 2))),
        "jacobian": lambda: fb.jacobian(net, np.ones((5, 3))),
        "copy": lambda: net.copy(),
    }

    def forward(A: np.ndarray) -> np.ndarray:
        works[work]()
        return A

    net = fb.Model(x, fb.Dense(2)(fb.Lambda(forward, lambda dY, A, Y: dY)(x)), seed=0)
    before = net.params.copy()
    ones = np.ones((700, 3))
    for call in (lambda: net.predict(ones, threads=count), lambda: net.fit(ones, ones[:, :2], threads=count)):
        with pytest.raises(RuntimeError, match="this network is at work"):
            call()
    np.testing.assert_array_equal(net.params, before)
    works[work] = lambda: None
    assert net.predict(np.ones((5, 3))).shape == (5, 2)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_a_signals_handler_may_predict() -> None:
    """While the main thread trains the same net: between the engine's calls the lock is free."""
    net, seen = net_of(), []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(net.predict(X[:50])))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.01)
    try:
        net.fit(X, T, epochs=600)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(seen) > 2
    assert np.isfinite(seen).all()


def test_ctrl_c_ends_a_wait(python) -> None:
    """The main thread waits for a net that a long call of another thread has."""
    code = """
import os, signal, threading, time, numpy as np, fastbp as fb
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
within, sent = threading.Event(), []
def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
def long(A):
    within.set()
    time.sleep(60)
    return A
net = fb.Sequential(fb.Input(3), fb.Lambda(long, lambda dY, A, Y: dY), fb.Dense(1), seed=0)
threading.Thread(target=net.predict, args=(np.ones((5, 3)),), daemon=True).start()
within.wait()
try:
    threading.Timer(0.3, interrupt).start()
    net.predict(np.ones((5, 3)))
except KeyboardInterrupt:
    print(time.monotonic() - sent[0] < 20, flush=True)
os._exit(0)
"""
    assert python("-c", code).stdout == "True\n"


@pytest.mark.parametrize("how", ["save", "pickle"])
def test_a_trainer_stored_beside_its_fit_is_of_one_step(how: str, tmp_path) -> None:
    """The gradient is the same in each step, so that all numbers follow from how many steps there were."""
    net = fb.Sequential(fb.Input(512), fb.Dense(512, weights="zeros", biases="zeros"), dtype="float32", seed=0)
    rows, stop, move = np.ones((64, 512), np.float32), threading.Event(), 2.0**-10
    trainer = fb.Trainer(net, "mae", fb.SGD(512 * move, ema=0.5))
    X, y = (np.tile(part, (10, 1)) for part in (rows, 1e9 * rows))

    def train() -> None:
        while not stop.is_set():
            trainer.fit(X, y, epochs=1, batch_size=64)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for k in range(40):
            if how == "save":
                trainer.save(tmp_path / "it.safetensors")
                other = fb.Trainer.load(tmp_path / "it.safetensors")
            else:
                other = pickle.loads(pickle.dumps(trainer))
            steps = other.chain.t
            np.testing.assert_array_equal(other.net.params, np.float32(steps * move), f"{how} {k}")
            average = steps - 1 + 0.5 ** (steps - 1) if steps else 0.0
            np.testing.assert_allclose(other.chain.states[-1], average * move, rtol=1e-3, atol=move / 100)
            assert other.net.draws == steps
    finally:
        stop.set()
        thread.join(20)
    assert trainer.chain.t > 40


@pytest.mark.parametrize("how", ["save", "copy", "pickle"])
def test_what_is_stored_beside_a_fit_is_of_one_step(how: str, tmp_path) -> None:
    """Each update adds the same number to every parameter, so parameters of two steps differ among themselves."""
    net = fb.Sequential(fb.Input(500), fb.Dense(500, weights="zeros", biases="zeros"), dtype="float32", seed=0)
    rows, stop = np.ones((64, 500), np.float32), threading.Event()
    trainer = fb.Trainer(net, lambda Y, t: (1.0, np.full_like(Y, -1 / 64)), fb.SGD(1.0))

    def train() -> None:
        while not stop.is_set():
            trainer.fit(rows, rows, epochs=1, batch_size=64)
            if np.abs(net.params).max() > 1e5:
                net.params = 0 * net.params

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for k in range(60):
            if how == "save":
                net.save(tmp_path / "net.safetensors")
                params = fb.load(tmp_path / "net.safetensors").params
            else:
                params = (net.copy() if how == "copy" else pickle.loads(pickle.dumps(net))).params
            assert len(np.unique(params)) == 1, f"{how} {k}: parameters of two steps"
    finally:
        stop.set()
        thread.join(20)


def test_whoever_waits_gets_the_lock_soon(busy) -> None:
    waits = []
    for _ in range(20):
        begun = time.monotonic()
        busy.predict(X[:5])
        waits.append(time.monotonic() - begun)
    assert np.median(waits) < 1
