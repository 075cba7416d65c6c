"""fit_many: the bits of fits one by one, on threads and executors; errors, callbacks, Ctrl-C."""

import io
import json
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from fastbp.many import jobs
from fastbp.many.memory_maps import opened, packed
from nets import small_data, small_net

SETTINGS = {"loss": "cross_entropy", "epochs": 3, "batch_size": 10}
RATES = [0.01, 0.03, 0.002, 0.02, 0.05]


class Counts(fb.Callback):
    """A callback that another process can be sent."""

    seen = 0

    def on_epoch_end(self, trainer, epoch, logs):
        self.seen += 1
        return self.seen == 2


def some_nets(dtype: str = "float64") -> list[fb.Sequential]:
    """Of different architectures."""
    X = fb.Input
    return [
        small_net(dtype, seed=1),
        small_net(dtype, dropout=0.3, seed=2),
        fb.Sequential(X(4), fb.Dense(6, "relu"), fb.BatchNorm(), fb.Dense(3), dtype=dtype, seed=3),
        fb.Sequential(X(4), fb.Dense(3), dtype=dtype, seed=4),
        small_net(dtype, dropout=0.1, seed=5),
    ]


def alone(dtype: str = "float64", **more) -> tuple[list[fb.Sequential], list[fb.History]]:
    X, y = small_data("indices")
    nets = some_nets(dtype)
    fits = zip(nets, RATES, range(5), strict=True)
    return nets, [net.fit(X, y, optimizer=fb.Adam(rate), seed=k, **SETTINGS, **more) for net, rate, k in fits]


def same(nets, histories, wanted) -> bool:
    ends = zip(nets, histories, *wanted, strict=True)
    return all(
        np.array_equal(net.params, other.params) and net.draws == other.draws and one.history == two.history
        for net, one, other, two in ends
    )


def many(nets, **more):
    X, y = small_data("indices")
    return fb.fit_many(nets, X, y, optimizer=[fb.Adam(r) for r in RATES], seed=range(5), **{**SETTINGS, **more})


@pytest.mark.parametrize("threads", [1, 2, 3, None])
def test_the_bits_are_those_of_fits_one_by_one(threads: int | None, dtype: np.dtype) -> None:
    nets = some_nets(dtype.name)
    assert same(nets, many(nets, threads=threads), alone(dtype.name))
    other = some_nets(dtype.name)
    other[3].params[0] *= 1.001
    assert not same(other, many(other, threads=threads), alone(dtype.name))


def test_a_large_net_gets_its_trainer_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    trainer = jobs.Trainer
    monkeypatch.setattr(jobs, "Trainer", lambda net, **recipe: made.append(net) or trainer(net, **recipe))
    nets = some_nets()
    monkeypatch.setattr(jobs, "SMALL", nets[2].params.size)
    assert same(nets, many(nets, threads=1), alone())
    large = [net for net in nets if net.params.size > nets[2].params.size]
    assert 0 < len(large) < len(nets)
    assert made == [*nets, *large]


def loky():
    return pytest.importorskip("joblib.externals.loky").get_reusable_executor(2)


def processes(workers: int = 2) -> ProcessPoolExecutor:
    """Without a fork, which other packages that have threads warn of."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


class Pool:
    """What has `map` alone, as the pools of multiprocessing and Ray."""

    def map(self, function, jobs):
        return [function(job) for job in jobs]


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(3), processes, loky, Pool])
def test_any_executor_gives_the_same_bits(make) -> None:
    nets, executor = some_nets(), make()
    histories = many(nets, executor=executor)
    if hasattr(executor, "shutdown"):
        executor.shutdown()
    assert same(nets, histories, alone())


def test_numbers_for_each_net_and_validation() -> None:
    X, y = small_data("indices")
    nets, others = some_nets(), some_nets()
    losses: list = [
        "cross_entropy",
        "cross_entropy",
        fb.losses.CrossEntropy(label_smoothing=0.1),
        "cross_entropy",
        "cross_entropy",
    ]
    got = fb.fit_many(
        nets, X, y, loss=losses, epochs=[1, 2, 3, 4, 5], batch_size=[7, 8, 9, 10, 53], validation_split=0.2,
        metrics=["accuracy"], threads=2,
    )  # fmt: skip
    for k, net in enumerate(others):
        history = net.fit(
            X, y, loss=losses[k], epochs=k + 1, batch_size=[7, 8, 9, 10, 53][k], validation_split=0.2,
            metrics=["accuracy"],
        )  # fmt: skip
        assert history.history == got[k].history
        assert len(history.epoch) == k + 1


@pytest.mark.parametrize("split", [None, 0.25, fb.Split(0.25, seed=3), fb.Split(0.2, seed=1, stratify=True)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_are_those_of_copies(split, shuffle: bool) -> None:
    X, y = small_data("indices")
    rng = np.random.default_rng(0)
    rows = [rng.integers(53, size=size) for size in (53, 41, 20, 30, 9)]
    w = np.linspace(0.5, 2, 53)
    rest = {"class_weight": "balanced", "shuffle": shuffle, "validation_split": split, "metrics": ["accuracy"]}
    nets, others = some_nets(), some_nets()
    got = fb.fit_many(nets, X, y, rows=rows, sample_weight=w, **SETTINGS, **rest, threads=2)
    for net, history, other, index in zip(nets, got, others, rows, strict=True):
        wanted = other.fit(X[index], y[index], sample_weight=w[index], **SETTINGS, **rest)
        np.testing.assert_array_equal(net.params, other.params)
        assert history.history == wanted.history
        assert history.params["rows"] == wanted.params["rows"]


def test_data_of_each_net_and_batches() -> None:
    parts = [small_data("indices", rows) for rows in (53, 31, 20, 11, 7)]
    nets, others = some_nets(), some_nets()
    fb.fit_many(nets, [X for X, _ in parts], [y for _, y in parts], **SETTINGS)
    for net, other, (X, y) in zip(nets, others, parts, strict=True):
        other.fit(X, y, **SETTINGS)
        np.testing.assert_array_equal(net.params, other.params)
    nets, others = some_nets(), some_nets()
    fb.fit_many(nets, parts, loss="cross_entropy", threads=2, augment=lambda X, y, rng: (X + rng.normal(), y))
    for net, other in zip(nets, others, strict=True):
        other.fit(parts, loss="cross_entropy", augment=lambda X, y, rng: (X + rng.normal(), y))
        np.testing.assert_array_equal(net.params, other.params)


def test_an_optimizer_is_copied_with_its_schedule() -> None:
    X, y = small_data("indices")
    given = fb.Adam(lr=fb.schedules.OnPlateau(0.1, patience=1, threshold=0.9, monitor="loss"))
    nets = [small_net(seed=1), small_net(seed=1)]
    fb.fit_many(nets, X, y, optimizer=given, **{**SETTINGS, "epochs": 6})
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert (given.lr, given.epoch) == (0.1, 0)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_net_that_diverges_ends_alone(threads: int) -> None:
    X, y = small_data()
    nets, others = some_nets(), some_nets()
    rates = [fb.SGD(0.01), fb.SGD(1e200), fb.SGD(0.01), fb.SGD(1e300), fb.SGD(0.02)]
    got = fb.fit_many(nets, X, y, optimizer=rates, epochs=5, errors="keep", threads=threads)
    assert [history.error is None for history in got] == [True, False, True, False, True]
    assert isinstance(got[1].error, fb.DivergenceError)
    for k in (0, 2, 4):
        assert others[k].fit(X, y, optimizer=rates[k], epochs=5).history == got[k].history
        np.testing.assert_array_equal(nets[k].params, others[k].params)
    with pytest.raises(fb.DivergenceError) as caught:
        fb.fit_many(some_nets(), X, y, optimizer=rates, epochs=5, threads=threads)
    assert re.search(r"nets\[[13]\]", caught.value.__notes__[0])


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor, processes])
def test_callbacks_are_each_nets_own(executor) -> None:
    made = []

    def callbacks(k: int) -> list[fb.Callback]:
        made.append(Counts())
        return [made[-1]] if k else []

    pool = executor and executor(2)
    got = many(some_nets(), callbacks=callbacks, executor=pool, threads=2, epochs=4)
    if pool is not None:
        pool.shutdown()
    assert [len(history.epoch) for history in got] == [4, 2, 2, 2, 2]
    if executor is not processes:
        assert [each.seen for each in made] == [0, 2, 2, 2, 2]


def test_an_error_of_a_callback_ends_all() -> None:
    def fails(trainer, epoch, logs):
        raise RuntimeError("as a user wrote it")

    with pytest.raises(RuntimeError, match="as a user wrote it"):
        many(
            some_nets(), threads=2, epochs=10**6,
            callbacks=lambda k: [fb.LambdaCallback(on_epoch_end=fails)] if k == 1 else [],
        )  # fmt: skip


BAD = {
    "the same twice": (lambda n: many([n[0]] * 5), ValueError, "different"),
    "too few rates": (lambda n: fb.fit_many(n, *small_data(), optimizer=["adam"]), ValueError, "optimizer .* 5 .* 1"),
    "a word": (lambda n: fb.fit_many(n, *small_data(), lr=3), TypeError, "'lr'"),
    "resume": (lambda n: fb.fit_many(n, *small_data(), resume=True), TypeError, "'resume'"),
    "shared callbacks": (lambda n: many(n, callbacks=[Counts()] * 5), TypeError, "function of k"),
    "one callback": (lambda n, c=Counts(): many(n, callbacks=lambda k: [c]), ValueError, "twice"),  # noqa: B008
    "a generator": (lambda n: fb.fit_many(n, iter([small_data()])), TypeError, "only once"),
    "rows": (lambda n: many(n, rows=[[0]] * 4), ValueError, "5 nets, got 4"),
    "a row": (lambda n: many(n, rows=[[0]] * 4 + [[53]]), ValueError, "0 ... 52"),
    "float rows": (lambda n: many(n, rows=[[0.5]] * 5), TypeError, "indices"),
    "errors": (lambda n: many(n, errors="hide"), ValueError, "errors"),
    "narrow": (lambda n: many([*n[:4], fb.Sequential(fb.Input(9), fb.Dense(3))]), ValueError, "9"),
    "epochs": (lambda n: many(n, epochs=[1, 1, 1, 1, 0]), ValueError, "epochs"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_raises_before_a_net_has_changed(case: str) -> None:
    call, error, words = BAD[case]
    nets = some_nets()
    with pytest.raises(error, match=words):
        call(nets)
    for net, other in zip(nets, some_nets(), strict=True):
        np.testing.assert_array_equal(net.params, other.params)


def test_one_line_of_progress(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    many(some_nets(), threads=2, progress=True)
    err = capsys.readouterr().err
    assert re.fullmatch(r"5/5 nets, 15/15 epochs, lowest loss [\d.]+, [\d.]+ s\n", err)
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    many(some_nets(), threads=2, progress=True)
    assert terminal.getvalue().startswith("\r")
    assert terminal.getvalue().count("\n") == 1


def test_memory_maps_travel_by_name(tmp_path: Path) -> None:
    X = np.arange(400_000.0).reshape(-1, 4)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for part in (mapped, mapped[12_345:], mapped[70_000:80_001], mapped.T):
        stands = packed((part, 3))
        np.testing.assert_array_equal(opened(stands)[0], part)
        assert not isinstance(stands[0], np.ndarray)
    strided = mapped[::2]
    assert packed(strided) is strided


def test_ctrl_c_ends_all_at_once(python) -> None:
    code = """if 1:
        import os, signal, threading, time, json, sys
        import numpy as np, fastbp as fb
        X, y = np.ones((20000, 4)), np.ones((20000, 1))
        nets = [fb.Sequential(fb.Input(4), fb.Dense(64, "tanh"), fb.Dense(1), seed=k) for k in range(6)]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background lacks
        times = {}
        def interrupt():
            time.sleep(0.5)
            times["sent"] = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            fb.fit_many(nets, X, y, epochs=10**6, threads=int(sys.argv[1]))
        except KeyboardInterrupt:
            took = time.monotonic() - times["sent"]
            left = [t.name for t in threading.enumerate() if t.name.startswith("fastbp")]
            print(json.dumps([took, left]))
    """
    for threads in ("1", "2"):
        done = python("-c", code, threads)
        took, left = json.loads(done.stdout)
        assert left == []
        assert took < 0.5, took  # below 0.1 s on a machine that has nothing else to do
