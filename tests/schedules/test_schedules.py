"""Schedules against `torch.optim.lr_scheduler`, and where they go: `lr` of an optimizer, by hand and in a fit."""

import itertools
import pickle
import warnings

import numpy as np
import pytest

import fastbp as fb
from fastbp import schedules as s
from fastbp.schedules.schedule import SYNONYMS
from rates import SCHEDULES, T, assert_rates, wanted

torch = pytest.importorskip("torch")


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("case", SCHEDULES)
def test_rates_are_those_of_torch(case: str) -> None:
    ours, theirs = SCHEDULES[case]
    rates = wanted(theirs)
    assert_rates(ours, rates)
    assert len(set(np.round(rates, 9))) > 2 or case == "constant"


def test_every_schedule_has_a_line() -> None:
    assert {type(one) for one, _ in SCHEDULES.values()} | {s.OnPlateau} == set(s.Schedule.classes.values())
    assert {cls.__name__ for cls in s.Schedule.classes.values()} == set(s.__all__) - {"Schedule"}


@pytest.mark.parametrize("settings", [{}, {"threshold_mode": "abs", "threshold": 0.3}, {"mode": "max", "cooldown": 2}])
def test_on_plateau_is_that_of_torch(settings: dict) -> None:
    rng = np.random.default_rng(1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    ours = s.OnPlateau(0.3, factor=0.5, patience=2, min_lr=0.01, **settings)
    theirs = T.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, min_lr=0.01, **settings)
    seen = set()
    for k in range(80):
        value = float(10 * np.exp(-k / 10) + rng.normal())
        ours.see(value)
        theirs.step(value)
        assert ours(k) == pytest.approx(optimizer.param_groups[0]["lr"])
        seen.add(ours(k))
        ours = s.Schedule.from_config(ours.config())
    assert len(seen) > 3


def test_on_plateau_never_raises_the_rate() -> None:
    """As in torch, where the least rate is above the present one."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    ours, theirs = s.OnPlateau(1e-3, patience=0, min_lr=0.1), T.ReduceLROnPlateau(optimizer, patience=0, min_lr=0.1)
    for value in (1.0, 1.0, 1.0):
        ours.see(value)
        theirs.step(value)
    assert ours(0) == optimizer.param_groups[0]["lr"] == 1e-3


def net_of(dtype: str = "float64") -> fb.Sequential:
    return fb.Sequential(fb.Input(3), fb.Dense(5, "tanh"), fb.Dense(2), dtype=dtype, seed=1)


DATA = np.random.default_rng(0).normal(size=(21, 3)), np.random.default_rng(1).normal(size=(21, 2))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("case", SCHEDULES)
def test_a_fit_takes_the_rates_that_a_loop_by_hand_sets(case: str, accumulate: int) -> None:
    schedule = SCHEDULES[case][0]
    nets = [net_of() for _ in range(4)]
    optimizers = [fb.SGD(lr=schedule, accumulate=accumulate) for _ in nets[:3]]
    optimizers.append(fb.SGD(lr=1.0, accumulate=accumulate))
    trainer = fb.Trainer(nets[0], optimizer=optimizers[0])
    for _ in range(2):
        trainer.fit(*DATA, epochs=1, batch_size=6, shuffle=False)
    stepped = fb.Trainer(nets[1], optimizer=optimizers[1])
    batches = list(fb.batches(*DATA, 6, shuffle=False))
    for k, (xb, yb) in enumerate(itertools.chain(batches, batches)):
        stepped.step(xb, yb)
        for net, optimizer in zip(nets[2:], optimizers[2:], strict=True):
            _, dY = fb.losses.mse(net.forward(xb), yb)
            net.backward(dY)
            if optimizer is optimizers[3]:
                optimizer.lr = schedule(k // accumulate)
            optimizer.step(net)
    for net in nets[1:]:
        np.testing.assert_array_equal(net.params, nets[0].params)
    assert optimizers[0].lr == optimizers[3].lr == schedule(7 // accumulate)


def test_by_epoch_and_by_number_in_a_fit() -> None:
    seen = []

    class Watch(fb.Callback):
        def on_epoch_end(self, trainer, epoch, logs):
            seen.append(trainer.optimizer.lr)

    net = net_of()
    optimizer = fb.SGD(lr=s.Step(0.2, 2, 0.5, per="epoch"))
    net.fit(*DATA, optimizer=optimizer, epochs=5, batch_size=6, callbacks=[Watch()])
    assert seen == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.05])
    assert optimizer.epoch == 5
    seen.clear()
    net.fit(*DATA, optimizer=fb.SGD(lr=s.OnPlateau(1e-9, 0.5, 1)), epochs=6, batch_size=6, callbacks=[Watch()])
    assert seen == pytest.approx([1e-9, 1e-9, 1e-9, 5e-10, 5e-10, 2.5e-10])


@pytest.mark.parametrize("lr", [s.Cosine(0.1, 9), s.OnPlateau(0.1, 0.5, 0), s.WarmUp(s.Step(0.1, 1, per="epoch"), 2)])
def test_training_goes_on_exactly(lr: s.Schedule, tmp_path) -> None:
    X, y = DATA
    trainer = fb.Trainer(net_of(), optimizer=fb.Adam(lr=lr))
    trainer.fit(X, y, epochs=3, batch_size=6)
    trainer.save(tmp_path / "at.safetensors")
    other = fb.Trainer.load(tmp_path / "at.safetensors")
    third = fb.Trainer(net_of(), optimizer=fb.Adam(lr=5.0))
    third.restore(tmp_path / "at.safetensors")
    for one in (trainer, other, third):
        one.fit(X, y, epochs=3, batch_size=6)
    np.testing.assert_array_equal(other.net.params, trainer.net.params)
    np.testing.assert_array_equal(third.net.params, trainer.net.params)
    assert repr(other.optimizer) == repr(trainer.optimizer)
    assert repr(pickle.loads(pickle.dumps(trainer.optimizer))) == repr(trainer.optimizer)


def rate(t: int) -> float:
    return 0.1 / (1 + t)


def test_a_function_is_a_schedule_that_no_file_holds(tmp_path) -> None:
    trainer = fb.Trainer(net_of(), optimizer=fb.SGD(lr=rate))
    trainer.fit(*DATA, epochs=2, batch_size=6)
    assert trainer.optimizer.lr == rate(7)
    with pytest.raises(TypeError, match="schedules of fastbp's own"):
        trainer.save(tmp_path / "at.safetensors")
    trainer.checkpoint(tmp_path / "at.safetensors")
    other = fb.Trainer(net_of(), optimizer=fb.SGD(lr=rate))
    other.restore(tmp_path / "at.safetensors")
    for one in (trainer, other):
        one.fit(*DATA, epochs=1, batch_size=6)
    np.testing.assert_array_equal(other.net.params, trainer.net.params)


def test_a_number_takes_a_schedules_place() -> None:
    optimizer = fb.SGD(lr=s.Step(0.2, 1))
    optimizer.lr = 0.5
    assert optimizer.schedule is None
    assert optimizer.next_rate(99) == 0.5


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (lambda: s.Step(0.1, 0), ValueError, ["step_size", "0"]),
        (lambda: s.Step(-0.1, 2), ValueError, ["lr", "-0.1"]),
        (lambda: s.Cosine(0.1, 5, per="batch"), ValueError, ["per", "batch", "epoch, step"]),
        (lambda: s.MultiStep(0.1, [5, 5]), ValueError, ["milestones", "5"]),
        (lambda: s.Piecewise([0.1], [5]), ValueError, ["rates", "2"]),
        (lambda: s.OneCycle(0.1, 1), ValueError, ["total_steps", "1"]),
        (lambda: s.OneCycle(0.1, 9, pct_start=1.0), ValueError, ["pct_start"]),
        (lambda: s.OneCycle(0.1, 9, anneal_strategy="sin"), ValueError, ["sin", "cos, linear"]),
        (lambda: s.WarmUp(s.Step(0.1, 2), 3, per="epoch"), ValueError, ["epoch", "step"]),
        (lambda: s.WarmUp(s.OnPlateau(0.1), 3), ValueError, ["OnPlateau"]),
        (lambda: s.OnPlateau(0.1, factor=1.0), ValueError, ["factor"]),
        (lambda: s.OnPlateau(0.1, mode="least"), ValueError, ["least"]),
        (lambda: s.Function(3), TypeError, ["schedule"]),
        (lambda: fb.SGD(lr="cosine"), TypeError, ["lr", "cosine"]),
        (lambda: fb.SGD(lr=lambda t: -1.0), ValueError, ["rate of a schedule", "-1.0"]),
        (lambda: s.Schedule.from_config({"schedule": "sine"}), ValueError, ["sine", "known:", "cosine"]),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_made(make, error: type, parts: list) -> None:
    with pytest.raises(error) as raised:
        make()
    for part in parts:
        assert part in str(raised.value)


@pytest.fixture
def counts() -> list[int]:
    return []


@pytest.fixture
def kept(counts):
    """A function of the count that keeps what it was called with."""
    return lambda t: counts.append(t) or rate(t)


def squares(Y, t, weights=None):
    return float(np.mean((Y - t) ** 2)), 2 * (Y - t) / Y.size


def steps(trainer: fb.Trainer, **settings) -> None:
    X, y = (np.asarray(part, np.float32) for part in DATA)
    for _ in range(8):
        trainer.step(X, y.reshape(len(X), -1), **settings)


def slices(trainer: fb.Trainer) -> None:
    """A fit that leaves the engine after each batch, and after each third."""
    for every in (1, 3):
        watch = fb.LambdaCallback(every=every, on_batch_end=lambda *_: None)
        trainer.fit(*DATA, epochs=1, batch_size=6, callbacks=[watch])


def compiled(trainer: fb.Trainer) -> None:
    step = trainer.compiled(rows=len(DATA[0]))
    for _ in range(8):
        step(*DATA)


def halves(trainer: fb.Trainer) -> None:
    for _ in range(8):
        trainer.gradients(*DATA)
        trainer.update()


def samples(trainer: fb.Trainer) -> None:
    for row, target in zip(DATA[0][:8], DATA[1][:8], strict=True):
        trainer.learn_one(dict(enumerate(row.tolist())), target)


def row_sets(trainer: fb.Trainer) -> None:
    """Of which each step takes a batch."""
    X, y = DATA
    name = trainer.net.outputs[0].name
    for _ in range(8):
        trainer.fit({"one": (X[:5], {name: y[:5]}), "two": (X[5:9], {name: y[5:9]})}, epochs=1, batch_size=9)


def by_hand(trainer: fb.Trainer) -> None:
    for _ in range(8):
        trainer.optimizer.step(trainer.net)


WAYS = {
    "steps": steps,
    "steps with weights": lambda trainer: steps(trainer, sample_weight=np.ones(len(DATA[0]))),
    "fit": lambda trainer: trainer.fit(*DATA, epochs=2, batch_size=6),
    "fit by batches": slices,
    "streams": lambda trainer: trainer.fit([(DATA[0][:6], DATA[1][:6])] * 4, epochs=2),
    "loops by hand": by_hand,
    "compiled steps": compiled,
    "steps in halves": halves,
    "samples": samples,
    "row sets": row_sets,
}


@pytest.mark.parametrize("loss", ["mse", squares])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_a_function_is_called_once_a_step(way: str, accumulate: int, loss, kept, counts) -> None:
    if loss is squares and way in ("compiled steps", "row sets", "samples"):
        pytest.skip("wants a loss of fastbp's own")
    trainer = fb.Trainer(net_of(), loss, fb.SGD(lr=kept, accumulate=accumulate))
    WAYS[way](trainer)
    assert trainer.chain.t == 8
    assert counts == list(range(8 // accumulate))
    assert trainer.optimizer.lr == rate(8 // accumulate - 1)


@pytest.mark.parametrize("loss", ["mse", squares])
def test_a_function_of_the_epoch_is_called_once_an_epoch(loss, kept, counts) -> None:
    trainer = fb.Trainer(net_of(), loss, fb.SGD(lr=s.Function(kept, per="epoch")))
    trainer.fit(*DATA, epochs=3, batch_size=6)
    assert counts == [0, 1, 2]
    steps(trainer)
    assert counts == [0, 1, 2, 3]


@pytest.mark.parametrize("name", sorted(SYNONYMS))
def test_names_of_other_libraries(name: str) -> None:
    """Each is a class of PyTorch's or Keras's, whose rates another test compares."""
    keras = pytest.importorskip("keras").optimizers.schedules
    assert hasattr(T, name) or hasattr(keras, name) or name in ("CosineAnnealing", "reduce_on_plateau")
    kind = s.Schedule.classes.named(name)
    theirs = {type(ours).__name__: ours for ours, _ in SCHEDULES.values()}.get(kind.__name__, s.OnPlateau(0.3))
    config = theirs.config()
    if kind is not s.Function:  # which a file only names
        again = s.Schedule.from_config({**config, "schedule": name})
        assert type(again) is kind
        assert again.config() == config
    with pytest.raises(TypeError, match=rf"got the name '{name}': fastbp.schedules.{kind.__name__}\(.*\) makes one"):
        fb.Adam(lr=name)


def test_a_name_that_no_schedule_has() -> None:
    with pytest.raises(TypeError, match=r"^lr must be a number, got 'surprise'$"):
        fb.Adam(lr="surprise")


def test_schedules_of_keras_are_written_like_this() -> None:
    """The table in docs/optimizers.md; Keras's cosine and restarts stay at the end where PyTorch's and ours go on."""
    keras = pytest.importorskip("keras").optimizers.schedules
    warm = s.WarmUp(s.Cosine(0.3, 17, 0.3 * 0.1), 5, 0.0)
    pairs = [
        (s.Exponential(0.3, 0.9 ** (1 / 7)), keras.ExponentialDecay(0.3, 7, 0.9), 60),
        (s.Step(0.3, 7, 0.9), keras.ExponentialDecay(0.3, 7, 0.9, staircase=True), 60),
        (s.Polynomial(0.3, 41, 1.7), keras.PolynomialDecay(0.3, 41, 0.0, 1.7), 60),
        (s.Cosine(0.3, 17, 0.3 * 0.1), keras.CosineDecay(0.3, 17, 0.1), 18),
        (warm, keras.CosineDecay(0.0, 17, 0.1, warmup_target=0.3, warmup_steps=5), 23),
        (s.CosineRestarts(0.3, 7, 2, 0.3 * 0.1), keras.CosineDecayRestarts(0.3, 7, 2.0, 1.0, 0.1), 7 + 14 + 28),
        (s.Piecewise([0.3, 0.5, 0.1], [4, 9]), keras.PiecewiseConstantDecay([3, 8], [0.3, 0.5, 0.1]), 60),
        (lambda t: 0.3 / (1 + 0.5 * t / 7), keras.InverseTimeDecay(0.3, 7, 0.5), 60),
    ]
    for ours, theirs, count in pairs:
        rates = [float(np.asarray(theirs(t))) for t in range(count)]
        np.testing.assert_allclose([ours(t) for t in range(count)], rates, rtol=1e-5, err_msg=repr(ours))
        assert len(set(np.round(rates, 9))) > 2


QUICK = {"hidden_layer_sizes": (3,), "batch_size": 6, "max_iter": 2, "n_iter_no_change": 9}
ESTIMATORS = {
    "own": lambda lr: fb.MLPRegressor(optimizer=fb.SGD(lr=lr), solver="sgd", **QUICK),
    "network": lambda lr: fb.sklearn.NetworkRegressor(
        lambda inputs, outputs: net_of(), optimizer=fb.SGD(lr=lr), epochs=2, batch_size=6
    ),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_function_is_called_once_a_step_by_estimators(kind: str, kept, counts) -> None:
    """Each copy of an optimizer asks for its first rate when it is made."""
    pytest.importorskip("sklearn")
    est = ESTIMATORS[kind](kept)
    with warnings.catch_warnings(action="ignore"):  # two epochs are few
        est.fit(*DATA)
    copies = counts.count(0)
    assert counts == [*[0] * copies, *range(1, 8)]
    assert copies <= 3


def test_a_function_is_called_once_a_step_by_models_for_river(kept, counts) -> None:
    pytest.importorskip("river")
    model = fb.river.Regressor(hidden=[3], optimizer=fb.SGD(lr=kept))
    for row, (target, _) in zip(DATA[0][:8], DATA[1][:8], strict=True):
        model.learn_one(dict(enumerate(row.tolist())), target)
    assert counts == [0, *range(8)]
