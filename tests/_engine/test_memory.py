"""A training step allocates nothing: traced by Python for its own memory, by the process for the rest.

Sizes are chosen so that one forgotten copy of a batch or of a parameter vector is a hundred times the
limit.
"""

import gc
import tracemalloc

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine

ROWS, WIDTHS = 256, (64, 128, 10)
BATCH_BYTES = ROWS * WIDTHS[0] * 4


def trainer(optimizer="adam", dropout: bool = True) -> tuple[fb.Trainer, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    layers = [fb.Dense(WIDTHS[1], activation="relu"), fb.Dropout(0.1), fb.Dense(WIDTHS[2])]
    net = fb.Sequential(fb.Input(WIDTHS[0]), *layers, seed=0)
    X = rng.normal(size=(ROWS, WIDTHS[0])).astype(np.float32)
    return fb.Trainer(net, loss="cross_entropy", optimizer=optimizer), X, rng.integers(WIDTHS[2], size=ROWS)


def traced(work) -> tuple[int, int]:
    """What is left and what was held at most, in bytes, beyond what there was before; work is warm."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    return after - before, peak - before


def test_the_tracing_sees_one_array() -> None:
    X = np.ones((ROWS, WIDTHS[0]), dtype=np.float32)
    assert traced(lambda: X + X)[1] >= BATCH_BYTES


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", fb.SGD(momentum=0.9, weight_decay=0.1)])
def test_a_trainer_step_holds_no_array(optimizer) -> None:
    train, X, y = trainer(optimizer)
    w = np.ones(ROWS, dtype=np.float32)

    def steps(count: int = 500) -> None:
        for _ in range(count):
            train.step(X, y)
            train.step(X, y, sample_weight=w)

    steps()
    left, peak = traced(steps)
    assert left < 4000, "each of 1,000 steps leaves something"
    assert peak < 8000 < BATCH_BYTES / 4


def test_a_run_holds_nothing_however_many_steps() -> None:
    """Many batches in one call of the engine, in an order; outputs and losses go to given arrays."""
    train, X, y = trainer()
    programs, chain = train.net.programs, train.chain
    losses, outs = np.empty(1000), (np.empty((ROWS, WIDTHS[2]), dtype=np.float32),)
    order, weights = np.random.default_rng(0).permutation(ROWS), np.ones(ROWS, dtype=np.float32)

    def run(batch_size: int) -> None:
        batches = -(-ROWS // batch_size)
        term = _engine.Term("float32", "cross_entropy")
        data = ((X,), (y,), (weights,), (term,), chain, 1e-3, order, batch_size, 0, batches, 0.0, losses, outs)
        assert programs.run(_engine.Batches(*data)) == (batches, 0)

    run(ROWS)
    run(1)
    few, many = traced(lambda: run(ROWS)), traced(lambda: run(1))
    assert many[0] <= few[0] < 1500  # free lists of tuples
    assert many[1] < 3000
    assert many[1] <= few[1] + 500, "what is held grows with the number of steps"


def test_an_epoch_holds_no_array_of_the_data() -> None:
    train, X, y = trainer()
    train.fit(X, y, batch_size=32)
    left, peak = traced(lambda: train.fit(X, y, epochs=5, batch_size=32))
    assert left < 5000
    assert peak < BATCH_BYTES / 2


def test_forward_and_backward_give_their_results_and_hold_no_more() -> None:
    train, X, _ = trainer()
    net = train.net
    dY = np.ones((ROWS, WIDTHS[2]), dtype=np.float32)

    def work() -> None:
        for _ in range(10):
            net.forward(X)
            net.backward(dY)
            net.predict(X)

    work()
    left, peak = traced(work)
    assert left < 4000, "half an output"
    assert peak < BATCH_BYTES + dY.nbytes + 8000, "more than dX and one output"


def test_arguments_of_the_right_kind_are_not_copied() -> None:
    train, X, _ = trainer()
    big = np.zeros((100_000, WIDTHS[0]), dtype=np.float32)
    train.net.predict(X)
    assert traced(lambda: train.net.predict(big[:2]))[1] < 8000
    assert traced(lambda: train.net.as_inputs(big))[1] < 8000


LONG = """
import gc, resource, sys
import numpy as np, fastbp as fb

rng = np.random.default_rng(0)
X, y = rng.normal(size=(9, 4)).astype("float32"), rng.normal(size=(9, 3)).astype("float32")
net = fb.Sequential(fb.Input(4), fb.Dense(8, activation="tanh"), fb.Dropout(0.1), fb.Dense(3), seed=0)
trainer = fb.Trainer(net, loss="mse", optimizer=fb.Adam(lr=1e-5))
unit = 1 if sys.platform == "darwin" else 1024

def steps(count):
    for _ in range(count):
        trainer.step(X, y)

def loops(count):
    opt = fb.SGD(lr=1e-5)
    for _ in range(count):
        value, dY = fb.losses.mse(net.forward(X), y)
        net.backward(dY)
        opt.step(net)

def nets(count):
    for _ in range(count):
        other = net.copy()
        other.fit(X, y, batch_size=4)
        other.predict(X)

work, count = {"steps": (steps, 100_000), "loops": (loops, 20_000), "nets": (nets, 1_000)}[sys.argv[1]]
work(count // 20)
gc.collect()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
work(count)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


@pytest.mark.parametrize("work", ["steps", "loops", "nets"])
def test_the_process_does_not_grow(work: str, python) -> None:
    """100,000 steps, 20,000 rounds by hand, 1,000 nets made and thrown away: less than a megabyte."""
    done = python("-c", LONG, work)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_000_000
