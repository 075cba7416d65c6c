"""Models with derivative nodes in fits: schedules, callbacks, checkpoints; a step allocates nothing."""

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from nets import Stop, StopsAt, everything


def equation() -> tuple[fb.Model, tuple]:
    x = fb.Input(2)
    u = fb.Dense(1)(fb.Dense(7, "tanh")(fb.Dense(6, "tanh")(x)))
    ux = fb.diff(u, x[:, 0])
    return fb.Model(x, [u, fb.diff(u, x[:, 1]) + u * ux, fb.laplacian(u, x)], dtype="float64", seed=0), (1, 1, 1)


def forces() -> tuple[fb.Model, tuple]:
    x = fb.Input(6)
    energy = fb.Dense(1)(fb.Dense(9, "tanh")(fb.Dense(8, "tanh")(x)))
    return fb.Model(x, [energy, -fb.grad(energy, x)], dtype="float64", seed=0), (1, 6)


def flow() -> tuple[fb.Model, tuple]:
    x = fb.Input(3)
    z = x + 0.5 * fb.Dense(3)(fb.Dense(8, "tanh")(x))
    return fb.Model(x, [z, fb.logdet(z, x)], dtype="float64", seed=0), (3, 1)


MODELS = [equation, forces, flow]


def trainer(build: Callable) -> tuple[fb.Trainer, np.ndarray, tuple]:
    net, widths = build()
    rng = np.random.default_rng(1)
    X = rng.normal(size=(53, net.inputs[0].width))
    optimizer = fb.Adam(lr=fb.schedules.OneCycle(0.01, 40))
    train = fb.Trainer(net, loss=("mse",) * len(widths), optimizer=optimizer)
    return train, X, tuple(rng.normal(size=(53, width)) for width in widths)


def fit(build: Callable, callbacks=(), **settings) -> tuple[fb.Trainer, fb.History]:
    train, X, ts = trainer(build)
    stop = fb.EarlyStopping(patience=4, restore_best=True)
    validation = X[:20] + 0.3, tuple(t[:20] for t in ts)
    usual = {"epochs": 6, "batch_size": 10, "validation_data": validation, "seed": 0}
    return train, train.fit(X, ts, callbacks=[stop, *callbacks], **usual, **settings)


@pytest.mark.parametrize("crash", [9, 23])
@pytest.mark.parametrize("build", MODELS)
def test_a_resumed_fit_is_the_uninterrupted_one(build: Callable, crash: int, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    wanted = everything(*fit(build))
    with pytest.raises(Stop):
        fit(build, [fb.ModelCheckpoint(path, every=4, unit="batches"), StopsAt(crash)])
    assert everything(*fit(build, resume=path)) == wanted


@pytest.mark.parametrize("build", MODELS)
def test_a_step_allocates_nothing(build: Callable) -> None:
    """Beyond tuples that Python keeps to use again: less than a quarter of a batch is held, and nothing stays."""
    train, X, ts = trainer(build)
    X, ts = np.tile(X, (200, 1)), tuple(np.tile(t, (200, 1)) for t in ts)

    def steps() -> None:
        for _ in range(50):
            train.step(X, ts)

    steps()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        steps()
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2000
    assert peak - before < 30_000 < X.nbytes / 4
