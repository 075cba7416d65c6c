"""Fits of small nets that share the engine's calls: the bits of each alone, and which fits share them."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.many import side_by_side
from fastbp.training.batch_runner import BatchRunner

NETS = 16 + 3  # some more than the most that a vector has
ROWS = 53
RNG = np.random.default_rng(11)
X, VALUES, LABELS = RNG.normal(size=(ROWS, 4)), RNG.uniform(0.1, 0.9, (ROWS, 3)), RNG.integers(0, 3, ROWS)
SIMPLEX = VALUES / VALUES.sum(axis=1, keepdims=True)
SETTINGS: dict[str, Any] = {"epochs": 3, "batch_size": 8, "optimizer": fb.Adam(0.01), "seed": range(NETS)}
EACH = ("optimizer", "seed", "epochs", "batch_size", "loss")


class Shared:
    """How many batches groups of fits trained on side by side, and how many one by one."""

    def __init__(self) -> None:
        self.together = self.alone = 0
        self.within = False  # a call of a group


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Shared:
    counts = Shared()
    lanes_of, trained, call = side_by_side._lanes, BatchRunner.trained, side_by_side.SideBySide._call

    class Counted:
        def __init__(self, lanes: _engine.Lanes):
            self._lanes, self.lanes, self.gain, self.most_rows = lanes, lanes.lanes, lanes.gain, lanes.most_rows

        def run(self, which: list[int], batches: list[_engine.Batches]) -> Any:
            done = self._lanes.run(which, batches)
            counts.together += sum(k - asked.first for (k, _), asked in zip(done or (), batches, strict=False))
            return done

    def alone(self: BatchRunner, batches: _engine.Batches, threads: int | None) -> tuple[int, int]:
        batch, status = trained(self, batches, threads)
        counts.alone += counts.within * (batch - batches.first)
        return batch, status

    def called(self: side_by_side.SideBySide, fits: list[int]) -> None:
        counts.within = True
        call(self, fits)
        counts.within = False

    def wrapped(trainers: list[fb.Trainer]) -> Counted | None:
        lanes = lanes_of(trainers)
        return lanes and Counted(lanes)

    monkeypatch.setattr(side_by_side, "_lanes", wrapped)
    monkeypatch.setattr(BatchRunner, "trained", alone)
    monkeypatch.setattr(side_by_side.SideBySide, "_call", called)
    return counts


def population(widths: tuple[int, ...] = (4, 8, 3), dtype: Any = "float64", act: str = "tanh") -> list[fb.Sequential]:
    first, *hidden, last = widths
    return [
        fb.Sequential(fb.Input(first), *(fb.Dense(n, act) for n in hidden), fb.Dense(last), seed=seed, dtype=dtype)
        for seed in range(NETS)
    ]


def one_by_one(nets: list[fb.Sequential], A: Any, y: Any, **settings: Any) -> list[fb.History]:
    """Each by `fit`, in the same words as for `fit_many`."""
    rows, callbacks = settings.pop("rows", None), settings.pop("callbacks", lambda k: [])
    found = []
    for k, net in enumerate(nets):
        own = {name: settings[name] for name in settings if name not in EACH}
        for name in EACH:
            if name in settings:
                value = settings[name]
                own[name] = value[k] if isinstance(value, (list, range)) else value
        Ak, yk = (A, y) if rows is None else (A[rows[k]], y[rows[k]])
        found.append(net.fit(Ak, yk, callbacks=callbacks(k), threads=1, **own))
    return found


def compare(y: Any = VALUES, nets: Callable = population, A: Any = X, threads: int = 1, **settings: Any) -> None:
    """Fits of nets together, beside those one by one."""
    many, single, given = nets(), nets(), {**SETTINGS, **settings}
    got = fb.fit_many(many, A, y, threads=threads, **given)
    wanted = one_by_one(single, A, y, **given)
    for net, history, other, expected in zip(many, got, single, wanted, strict=True):
        np.testing.assert_equal(history.history, expected.history)
        np.testing.assert_array_equal(net.params, other.params)
        np.testing.assert_array_equal(net.grads, other.grads)
        assert net.draws == other.draws
        assert (history.epoch, history.params, history.samples) == (expected.epoch, expected.params, expected.samples)


def assert_together(shared: Shared, share: float = 0.8) -> None:
    assert shared.together >= share * (shared.together + shared.alone) > 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 53, 64])
def test_batches(batch_size: int, shuffle: bool, threads: int, dtype: np.dtype, shared: Shared) -> None:
    compare(nets=lambda: population(dtype=dtype), shuffle=shuffle, batch_size=batch_size, threads=threads)


@pytest.mark.parametrize("widths", [(4, 3), (4, 2, 3), (4, 16, 9, 3), (4, 17, 3)])
def test_shapes(widths: tuple[int, ...], dtype: np.dtype, shared: Shared) -> None:
    compare(nets=lambda: population(widths, dtype, "relu"))
    assert_together(shared)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        ("mae", VALUES),
        (fb.losses.Huber(delta=0.3), VALUES),
        ("cross_entropy", LABELS),
        ("cross_entropy", SIMPLEX),
        ("binary_cross_entropy", (VALUES > 0.5).astype(float)),
    ],
    ids=["mae", "huber", "labels", "simplex", "binary"],
)
def test_losses(loss: Any, y: np.ndarray, shuffle: bool, dtype: np.dtype, shared: Shared) -> None:
    compare(y, lambda: population(dtype=dtype), loss=loss, shuffle=shuffle, metrics=["mae"] if y.ndim == 2 else [])
    assert_together(shared)


@pytest.mark.parametrize(
    "optimizer",
    [
        fb.SGD(0.05, momentum=0.9, nesterov=True),
        fb.AdamW(0.01),
        fb.Adam(lambda step: 0.01 / (1 + step)),
        fb.Adam(fb.schedules.Cosine(0.01, 40)),
        fb.Adam(0.01, ema=0.9, clip_value=0.1),
        [fb.Adam(0.01 / (1 + k)) for k in range(NETS)],
        [fb.Adam(fb.schedules.Cosine(0.01 / (1 + k), 40)) for k in range(NETS)],
        [fb.SGD(0.01, momentum=0.5 + 0.02 * k) for k in range(NETS)],
    ],
    ids=["momentum", "adamw", "function", "schedule", "ema", "rates", "schedules", "momenta"],
)
def test_optimizers(optimizer: Any, dtype: np.dtype, shared: Shared) -> None:
    compare(nets=lambda: population(dtype=dtype), optimizer=optimizer)
    assert_together(shared)


@pytest.mark.parametrize("optimizer", [fb.Adam(0.01), fb.NAdam(0.01), fb.RAdam(0.01), fb.Lion(0.001)], ids=repr)
def test_more_batches_than_the_lanes_keep(optimizer: Any, dtype: np.dtype, shared: Shared) -> None:
    A, y = RNG.normal(size=(301, 4)), RNG.normal(size=(301, 3))
    compare(A=A, y=y, nets=lambda: population(dtype=dtype), batch_size=3, optimizer=optimizer)
    assert_together(shared)


def test_epochs_of_different_numbers(shared: Shared) -> None:
    compare(epochs=[3 + k % 4 for k in range(NETS)])
    assert shared.together > 0


def test_metrics_validation_and_early_stopping(shared: Shared) -> None:
    """Nets stop at different epochs; those that go on do so together while that pays, and then one by one."""
    compare(
        LABELS, loss="cross_entropy", metrics=["accuracy"], validation_split=0.3, epochs=40, optimizer=fb.Adam(0.1),
        callbacks=lambda k: [fb.EarlyStopping(patience=1 + k % 5, restore_best=True)],
    )  # fmt: skip
    assert shared.together > 0


@pytest.mark.parametrize("every", [1, 3])
def test_callbacks_of_batches(every: int, shared: Shared) -> None:
    """They see each net as it is after their batches."""
    seen: dict[bool, list] = {}

    def watching(many: bool) -> Callable:
        def made(k: int) -> list[fb.Callback]:
            def note(trainer: fb.Trainer, batch: int, logs: dict) -> bool:
                found = k, batch, logs["loss"], trainer.chain.t, trainer.chain.loss, trainer.net.params.sum()
                seen.setdefault(many, []).append(found)
                return k == 2 and batch == 2

            return [fb.LambdaCallback(every=every, on_batch_end=note)]

        return made

    fb.fit_many(population(), X, VALUES, threads=1, callbacks=watching(True), **SETTINGS)
    one_by_one(population(), X, VALUES, callbacks=watching(False), **SETTINGS)
    assert sorted(seen[True]) == sorted(seen[False])
    assert_together(shared)


def test_folds_and_samples_without_copies(shared: Shared) -> None:
    compare(rows=[np.delete(np.arange(ROWS), np.s_[k::NETS]) for k in range(NETS)])  # 50 or 51 rows each
    assert_together(shared)
    compare(rows=[RNG.integers(0, ROWS, 40 + k) for k in range(NETS)], shuffle=False)


@pytest.mark.parametrize(
    "A",
    [X.astype(np.float32), np.round(4 * X).astype(np.int8), np.asfortranarray(X), X[::-1], X.repeat(2, axis=1)[:, ::2]],
    ids=["float32", "int8", "columns", "reversed", "strided"],
)
def test_data_that_are_cast_as_they_are_read(A: np.ndarray, dtype: np.dtype, shared: Shared) -> None:
    compare(A=A, nets=lambda: population(dtype=dtype))
    assert_together(shared)


def test_data_of_each(shared: Shared) -> None:
    many, single = population(), population()
    xs, ys = list(RNG.normal(size=(NETS, 30, 4))), list(RNG.normal(size=(NETS, 30, 3)))
    fb.fit_many(many, xs, ys, threads=1, **SETTINGS)
    for k, net in enumerate(single):
        net.fit(xs[k], ys[k], **{**SETTINGS, "seed": k})
        np.testing.assert_array_equal(many[k].params, net.params)
    assert_together(shared)


@pytest.mark.parametrize("how", ["rates of two", "one rate", "updates of two", "updates"])
def test_nets_that_diverge(how: str, dtype: np.dtype, shared: Shared) -> None:
    """The others go on with their bits, whichever batch it was; the error names the batch and the step."""
    A, y = RNG.normal(size=(200, 4)), RNG.normal(size=(200, 3))
    most = float(np.finfo(dtype).max)
    wild: Any = 20.0 if "rate" in how else lambda step: most if step == 45 else 1e-4
    rates = [wild if k in (3, 7) or how in ("one rate", "updates") else 1e-4 for k in range(NETS)]
    settings = {**SETTINGS, "optimizer": [fb.SGD(rate) for rate in rates], "batch_size": 4, "epochs": 4}
    y[:, 0] *= 900
    many, single = population(dtype=dtype, act="relu"), population(dtype=dtype, act="relu")
    for nets in (many, single):
        for k, net in enumerate(nets):
            net.params[:] *= 0.02 * k
    got = fb.fit_many(many, A, y, threads=1, errors="keep", **settings)
    errors = {}
    for k, net in enumerate(single):
        own = {**settings, "optimizer": fb.SGD(rates[k]), "seed": k}
        try:
            assert net.fit(A, y, threads=1, **own).history == got[k].history
        except fb.DivergenceError as error:
            errors[k] = str(error)
        np.testing.assert_array_equal(many[k].params, net.params)
    assert {k: str(history.error) for k, history in enumerate(got) if history.error is not None} == errors
    assert errors.keys() == {k for k in range(NETS) if rates[k] == wild}
    assert ("loss became" if "rate" in how else "update") in errors[3]
    with pytest.raises(fb.DivergenceError) as caught:
        fb.fit_many(population(dtype=dtype, act="relu"), A, y, threads=1, **settings)
    assert caught.value.__notes__[0].startswith("it was nets[")


@pytest.mark.parametrize("case", ["weights", "monitor", "batch norm", "dropout", "wide", "rows", "few", "stream"])
def test_fits_that_go_one_by_one(case: str, shared: Shared) -> None:
    nets, given, A, y = population, {}, X, VALUES
    if case == "weights":
        given = {"sample_weight": np.linspace(0.5, 2, ROWS)}
    elif case == "monitor":
        given = {"callbacks": lambda k: [fb.GradientMonitor()]}
    elif case == "batch norm":
        nets = lambda: [fb.Sequential(fb.Input(4), fb.BatchNorm(), fb.Dense(3), seed=k) for k in range(NETS)]  # noqa: E731
    elif case == "dropout":
        nets = lambda: [fb.Sequential(fb.Input(4), fb.Dropout(0.1), fb.Dense(3), seed=k) for k in range(NETS)]  # noqa: E731
    elif case == "wide":
        nets = lambda: population((4, 200, 3))  # noqa: E731
    elif case == "rows":
        given, A, y = {"batch_size": 65}, np.tile(X, (2, 1)), np.tile(VALUES, (2, 1))
    elif case == "few":
        nets = lambda: population()[:1]  # noqa: E731
        given = {"seed": [1]}
    if case == "stream":
        many, single = nets(), nets()
        batches = [(X[:20], VALUES[:20]), (X[20:], VALUES[20:])]
        fb.fit_many(many, batches, epochs=2, threads=1)
        for net, other in zip(many, single, strict=True):
            other.fit(batches, epochs=2)
            np.testing.assert_array_equal(net.params, other.params)
    else:
        compare(y, nets, A, **given)
    assert shared.together == 0


def test_nets_of_two_kinds(shared: Shared) -> None:
    """Each kind goes together."""

    def nets() -> list[fb.Sequential]:
        return [(a, b)[k % 2] for k, (a, b) in enumerate(zip(population(), population((4, 5, 3)), strict=True))]

    compare(nets=nets, threads=2)
    compare(nets=nets, batch_size=[8 + k % 3 for k in range(NETS)])
    assert shared.together > 0


def test_a_checkpoint_within_an_epoch_is_that_of_a_fit_alone(tmp_path) -> None:
    def saving(name: str) -> Callable:
        return lambda k: [fb.ModelCheckpoint(tmp_path / f"{name}-{k}.safetensors", every=5, unit="batches")]

    settings = {**SETTINGS, "metrics": ["mae"]}
    fb.fit_many(population(), X, VALUES, threads=1, callbacks=saving("many"), **settings)
    one_by_one(population(), X, VALUES, callbacks=saving("alone"), **settings)
    for k in range(NETS):
        parts = []
        for name in ("many", "alone"):
            trainer = fb.Trainer.load(tmp_path / f"{name}-{k}.safetensors")
            trainer.fit(X, VALUES, epochs=4, batch_size=8, resume=True)
            parts.append(trainer.net.params)
        np.testing.assert_array_equal(*parts)


def test_all_callbacks_are_closed_when_one_raises() -> None:
    closed = []

    def made(k: int) -> list[fb.Callback]:
        def fails(trainer: fb.Trainer, epoch: int, logs: dict) -> None:
            if k == 1 and epoch == 2:
                raise RuntimeError("as a user wrote it")

        return [fb.LambdaCallback(on_epoch_end=fails, on_close=lambda trainer: closed.append(k))]

    with pytest.raises(RuntimeError, match="as a user wrote it"):
        fb.fit_many(population(), X, VALUES, threads=1, callbacks=made, **{**SETTINGS, "epochs": 1000})
    assert sorted(closed) == list(range(len(closed)))
    assert len(closed) > 1


def test_ctrl_c_ends_all_at_once(python: Callable) -> None:
    code = """if 1:
        import os, signal, threading, time, json, sys
        import numpy as np, fastbp as fb
        X, y = np.ones((20000, 4)), np.ones((20000, 1))
        nets = [fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(1), seed=k) for k in range(32)]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background lacks
        times, closed = {}, []
        def interrupt():
            time.sleep(0.5)
            times["sent"] = time.monotonic()
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        close = lambda k: [fb.LambdaCallback(on_close=lambda trainer: closed.append(k))]
        try:
            fb.fit_many(nets, X, y, epochs=10**6, threads=int(sys.argv[1]), callbacks=close)
        except KeyboardInterrupt:
            took = time.monotonic() - times["sent"]
            left = [t.name for t in threading.enumerate() if t.name.startswith("fastbp")]
            print(json.dumps([took, left, len(closed)]))
    """
    lanes = _engine.lanes_of([fb.Trainer(net)._fast_path for net in population(dtype="float32")]).lanes
    for threads in (1, 2):
        took, left, closed = json.loads(python("-c", code, str(threads)).stdout)
        assert took < 0.5, took  # below 0.1 s on a machine that has nothing else to do
        assert (left, closed) == ([], threads * lanes)


def test_groups() -> None:
    """As many fits as a vector has lanes, unless threads of their own are faster."""
    small = [fb.Trainer(net) for net in population()]
    wide = [fb.Trainer(net) for net in population((4, 200, 3))]
    lanes = _engine.lanes_of([trainer._fast_path for trainer in small]).lanes
    whole = NETS - NETS % lanes

    def sizes(trainers: list, batch_sizes: list[int], workers: int) -> list[int]:
        groups = side_by_side.groups_of(trainers, batch_sizes, workers)
        assert sorted(itertools.chain.from_iterable(groups)) == list(range(len(trainers)))
        return sorted(map(len, groups), reverse=True)

    assert sizes(small[:whole], [8] * whole, 1) == [lanes] * (whole // lanes)
    assert sizes([*wide[:3], *small[:lanes], None], [8] * (4 + lanes), 1) == [lanes, 1, 1, 1, 1]
    assert sizes(small[:2], [8, 9], 1) == [1, 1]
    assert sizes(small[:lanes], [65] * lanes, 1) == [1] * lanes
    assert sizes(small[:lanes], [8] * lanes, 64) == ([1] * lanes if lanes > 2 else [2])
