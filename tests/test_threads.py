"""The pool: the same bits for any number of threads, and a guest that leaves no trace in the process."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastbp as fb
from fastbp import threads
from fastbp._engine.thread_choice import choices
from fastbp._engine.threads import started
from loss_cases import KINDS, targets

COUNTS = [2, 3, 8]


def nets(dtype: str) -> dict[str, fb.Model]:
    """Widths below, at and above a vector, a panel and a row tile; a fan-out; dropout; two inputs."""
    x = fb.Input(37)
    h = fb.Dense(130, activation="tanh")(x)
    a, b = fb.Dense(18, activation="leaky_relu")(h), fb.Dropout(0.3)(h)
    return {
        "deep": fb.Sequential(
            fb.Input(37),
            fb.Dense(70, activation="relu"),
            fb.Dropout(0.4),
            fb.Dense(64, activation="sigmoid"),
            fb.Dense(5),
            dtype=dtype,
            seed=3,
        ),
        "narrow": fb.Sequential(fb.Input(37), fb.Dense(3, activation="tanh"), fb.Dense(5), dtype=dtype, seed=4),
        "branching": fb.Model(x, [fb.Dense(5)(a), fb.Dense(5)(b)], dtype=dtype, seed=5),
    }


def trained(kind: str, dtype: str, count: int | None) -> tuple:
    net = nets(dtype)[kind]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(101, 37)), rng.integers(0, 5, 101)
    ys = y if len(net.outputs) == 1 else (y, rng.normal(size=(101, 5)))
    losses = "cross_entropy" if len(net.outputs) == 1 else ("cross_entropy", "mse")
    trainer = fb.Trainer(net, losses, "adam")
    history = trainer.fit(X, ys, epochs=3, batch_size=29, sample_weight=rng.uniform(size=101), threads=count)
    step = trainer.step(X, ys, threads=count)
    return net.params.copy(), net.grads.copy(), history.history["loss"], step, net.predict(X, threads=count)


@pytest.mark.parametrize("count", [None, *COUNTS])
@pytest.mark.parametrize("kind", ["deep", "narrow", "branching"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits(dtype: str, kind: str, count: int | None) -> None:
    one, several = trained(kind, dtype, 1), trained(kind, dtype, count)
    for alone, together in zip(one, several, strict=True):
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("width", [1, 7, 16, 24, 33, 48, 65, 129])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_whatever_the_widths(dtype: str, width: int) -> None:
    rng = np.random.default_rng(width)
    X, t = rng.normal(size=(67, width)), rng.normal(size=(67, 3))

    def params(count: int) -> np.ndarray:
        net = fb.Sequential(
            fb.Input(width),
            fb.Dense(width + 1, activation="tanh"),
            fb.Dense(width),
            fb.Dense(3),
            dtype=dtype,
            seed=1,
        )
        fb.Trainer(net, "mse", "adam").fit(X, t, epochs=2, batch_size=31, threads=count)
        return net.params

    for count in COUNTS:
        np.testing.assert_array_equal(params(count), params(1))


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_same_bits_of_every_loss(name: str, kind: str, dtype: np.dtype) -> None:
    """101 rows are no whole groups; the gradient of the layer below has every number of dY in it."""
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(101, 37)), targets(name, kind, 101, 6, dtype, rng)
    w = rng.uniform(0.1, 2, size=101)

    def pass_of(count: int, weights: np.ndarray | None) -> tuple:
        net = fb.Sequential(fb.Input(37), fb.Dense(6, "softplus"), dtype=dtype, seed=1)
        loss = fb.Trainer(net, name, "sgd").step(X, t, weights, threads=count)
        return loss, net.grads.tolist(), net.params.tolist()

    for weights in (None, w):
        alone = pass_of(1, weights)
        assert np.abs(alone[1]).max() > 0
        for count in COUNTS:
            assert pass_of(count, weights) == alone


@pytest.mark.parametrize("rows", [1, 2, 5, 511, 513, 1030, 2049])
def test_predict_in_parts(rows: int) -> None:
    net = fb.Sequential(fb.Input(9), fb.Dense(20, activation="tanh"), fb.Dense(4), seed=0)
    X = np.random.default_rng(rows).normal(size=(rows, 9)).astype("float32")
    whole = net.predict(X, threads=1)
    for count in [None, *COUNTS]:
        np.testing.assert_array_equal(net.predict(X, threads=count), whole)
    one_by_one = np.concatenate([net.predict(X[n : n + 1]) for n in range(min(rows, 20))])
    np.testing.assert_array_equal(one_by_one, whole[:20])


def mean_time(times: list[tuple[float, float]]) -> float:
    """Of a pass with the threads that the engine chooses, where one thread and several would take these times."""
    return sum(pair[several] for pair, several in zip(times, choices(times), strict=True)) / len(times)


def test_several_threads_are_chosen_where_they_are_faster() -> None:
    assert mean_time([(1.0, 0.6)] * 3000) < 0.61
    assert mean_time([(1.0, 0.95)] * 3000) > 0.995, "what saves less than a tenth is not worth the other cores"
    unlucky = [(1.0, 3.0)] * 8 + [(1.0, 0.6)] * 1000
    assert mean_time(unlucky) < 0.64, "a bad first trial is soon forgotten"


@pytest.mark.parametrize("every", [1, 2, 7, 25, 100])
def test_several_threads_are_never_much_slower(every: int) -> None:
    """A worker whose core has other work now and then costs 50 passes of one thread, however good the trials were."""
    times = [(1.0, 50.0 if n % every == every - 1 else 0.6) for n in range(20_000)]
    assert mean_time(times) < 1.05
    times = [(1.0, 0.6 if n < 1000 else 2.0) for n in range(20_000)]
    assert mean_time(times) < 1.01, "what was faster at first need not stay so"


def test_threads_are_hired_and_rest_afterwards() -> None:
    trained("deep", "float32", 3)
    assert started() >= 3
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.015, "a parked thread costs nothing"


def test_two_python_threads_train_two_nets() -> None:
    wanted = {kind: trained(kind, "float64", 1)[0] for kind in ("deep", "narrow")}
    got: dict[str, list] = {"deep": [], "narrow": []}

    def work(kind: str) -> None:
        got[kind].extend(trained(kind, "float64", 2)[0] for _ in range(20))

    workers = [threading.Thread(target=work, args=(kind,)) for kind in got]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for kind, runs in got.items():
        assert len(runs) == 20
        for params in runs:
            np.testing.assert_array_equal(params, wanted[kind])


TRAIN = """
import os, sys, threading, time
import numpy as np
import fastbp as fb
def train(epochs=2):
    net = fb.Sequential(fb.Input(64), fb.Dense(256, activation="relu"), fb.Dense(4), seed=0)
    X = np.random.default_rng(0).normal(size=(600, 64)).astype("float32")
    net.fit(X, np.arange(600) % 4, loss="cross_entropy", epochs=epochs, batch_size=200, threads=3)
    return net.params.tobytes()
"""


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN + code],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_training_goes_on_in_a_forked_child() -> None:
    assert python("""
wanted = train()
child = os.fork()
if child == 0:
    os._exit(0 if train() == wanted else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), train() == wanted)
""").split() == ["0", "True"]


def test_the_interpreter_may_end_during_training() -> None:
    assert (
        python("""
threading.Thread(target=train, args=(10**6,), daemon=True).start()
time.sleep(0.3)
print("ended")
""")
        == "ended\n"
    )


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"FASTBP_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"OMP_NUM_THREADS": "5,2"}, "5"),
        ({"OMP_NUM_THREADS": ""}, "all"),
    ],
)
def test_environment(environment: dict, wanted: str) -> None:
    clean = {"FASTBP_NUM_THREADS": "", "OMP_NUM_THREADS": ""}
    given = python("print(fb.get_num_threads())", **(clean | environment)).strip()
    assert given == (python("print(fb.get_num_threads())", **clean).strip() if wanted == "all" else wanted)


def test_bad_environment_is_named() -> None:
    code = "\ntry:\n    fb.get_num_threads()\nexcept ValueError as error:\n    print(error)"
    message = python(code, FASTBP_NUM_THREADS="many").strip()
    assert message == "the environment variable FASTBP_NUM_THREADS must be a whole number from 1, got 'many'"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity")
def test_affinity() -> None:
    code = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(fb.get_num_threads())"
    assert python(code, FASTBP_NUM_THREADS="", OMP_NUM_THREADS="").strip() == "1"


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"cpu.max": "max 100000"}, 7),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 7),
        ({}, 7),
    ],
)
def test_quota(files: dict, wanted: int, tmp_path, monkeypatch) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "CGROUP", tmp_path)
    monkeypatch.setattr(threads, "_affinity", lambda: 7)
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    fb.set_num_threads(None)
    assert fb.get_num_threads() == wanted
    fb.set_num_threads(None)


def test_set_num_threads() -> None:
    fb.set_num_threads(5)
    assert fb.get_num_threads() == 5
    fb.set_num_threads(None)
    for bad in (0, -1, 1.5, "two"):
        with pytest.raises((TypeError, ValueError), match="threads"):
            fb.set_num_threads(bad)
        with pytest.raises((TypeError, ValueError), match="threads"):
            nets("float32")["deep"].predict(np.zeros((2, 37)), threads=bad)
