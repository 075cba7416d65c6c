"""Two threads of Python on one net, and on a net each: the lock keeps every pass whole, whoever comes between."""

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

import fastbp as fb


@pytest.fixture(autouse=True)
def often_switching():
    """Threads that change places every microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def net_of(seed: int = 0) -> fb.Model:
    layers = fb.Dense(8, "tanh"), fb.LayerNorm(), fb.Dropout(0.2), fb.Dense(3)
    return fb.Sequential(fb.Input(4), *layers, dtype="float64", seed=seed)


def side_by_side(*works: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run(work):
        try:
            gate.wait()
            work()
        except BaseException as error:
            errors.append(error)

    gate = threading.Barrier(len(works))
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not errors, errors


def test_reading_beside_training_changes_no_bit(rng: np.random.Generator) -> None:
    X, T = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    alone, shared = net_of(), net_of()
    for net in (alone,):
        trainer = fb.Trainer(net, "mse", "adam")
        for _ in range(300):
            trainer.step(X, T)
    done = threading.Event()

    def train():
        trainer = fb.Trainer(shared, "mse", "adam")
        for _ in range(300):
            trainer.step(X, T)
        done.set()

    def read():
        while not done.is_set():
            assert np.isfinite(shared.predict(X[:1])).all()
            one, two = (fb.jacobian(net, X[:5]) for net in (shared, shared.copy()))
            assert one.shape == two.shape == (5, 3, 4)
            arrays, _ = shared.snapshot()
            assert all(np.isfinite(array).all() for array in arrays.values())
            fb.vjp(shared, X, T)

    side_by_side(train, read)
    np.testing.assert_array_equal(shared.params, alone.params)


def test_two_threads_that_predict_get_what_one_gets(rng: np.random.Generator) -> None:
    net, X = net_of(), rng.normal(size=(64, 4))
    wanted = net.predict(X)

    def predict():
        for k in range(400):
            np.testing.assert_array_equal(net.predict(X[k % 60 : k % 60 + 3]), wanted[k % 60 : k % 60 + 3])
            np.testing.assert_allclose(net.predict(X.astype(np.float32)), wanted, atol=1e-5)

    side_by_side(predict, predict)


def test_steps_of_two_threads_are_all_counted(rng: np.random.Generator) -> None:
    X, T = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    net = net_of()
    trainer = fb.Trainer(net, "mse", fb.SGD(lr=1e-3))

    def train():
        for _ in range(250):
            trainer.step(X, T)

    side_by_side(train, train)
    assert trainer.chain.t == 500
    assert net.draws == 500


def test_a_net_for_each_thread(rng: np.random.Generator) -> None:
    X, T = rng.normal(size=(300, 4)), rng.normal(size=(300, 3))
    nets = [net_of(seed) for seed in (1, 2, 1, 2)]

    def fit(net):
        return lambda: net.fit(X, T, epochs=5, batch_size=16, seed=0, optimizer="adam", threads=2)

    side_by_side(fit(nets[0]), fit(nets[1]))
    for net in nets[2:]:
        fit(net)()
    np.testing.assert_array_equal(nets[0].params, nets[2].params)
    np.testing.assert_array_equal(nets[1].params, nets[3].params)


def test_tapes_of_two_threads(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(6, "tanh"), fb.Dense(3), dtype="float64", seed=0)
    X, dY = rng.normal(size=(9, 4)), rng.normal(size=(9, 3))
    wanted = fb.vjp(net, X, dY)

    def work():
        for _ in range(200):
            np.testing.assert_array_equal(net.forward(X, keep=True).backward(dY), wanted)

    side_by_side(work, work)
