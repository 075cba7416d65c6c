"""Small nets, data and graphs that several files of tests build, and the loop by hand that fit must equal.

All widths differ, so that a transposed matrix cannot pass. Fixtures were rejected: a test that builds its
nets itself shows their dtype and seed.
"""

from collections.abc import Callable

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine

OPTIMIZERS = {
    "sgd": lambda: fb.SGD(lr=0.05),
    "momentum": lambda: fb.SGD(lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda: fb.SGD(lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda: fb.Adam(lr=0.01, weight_decay=0.01),
    "adamw": lambda: fb.AdamW(lr=0.01),
}
# What a net drawn at random can have: no slopes without bound, and none drawn in training.
TAME = sorted(row.name for row in _engine.ACTIVATIONS.values() if np.isfinite(row.bound) and not row.draws)
TARGETS = [
    (name, kind)
    for name in sorted(_engine.LOSSES)
    for kind in ("values", "indices")
    if (_engine.LOSSES[name].labels or kind == "values") and _engine.LOSSES[name].heads == 1
]


def other_parameters(name: str) -> list[float]:
    """Values for the parameters of an activation that are not its own; PyTorch keeps some of its own in float32."""
    return [round(64 * (0.7 * p.value + 0.2)) / 64 for p in _engine.ACTIVATIONS[name].parameters]


def small_net(dtype: str = "float64", dropout: float = 0.0, seed: int = 5) -> fb.Sequential:
    layers = [fb.Dense(7, activation="tanh"), fb.Dense(5, activation="relu"), fb.Dense(3)]
    if dropout:
        layers.insert(1, fb.Dropout(dropout))
    return fb.Sequential(fb.Input(4), *layers, dtype=dtype, seed=seed)


class Stop(Exception):
    """As a crash would."""


class StopsAt(fb.Callback):
    """Breaks a fit off after so many batches, after everybody else has been called."""

    late = True

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_batch_end(self, trainer, batch, logs) -> None:
        self.left -= 1
        if not self.left:
            raise Stop


def everything(trainer: fb.Trainer, history: fb.History) -> list:
    """All that a fit leaves behind."""
    return [
        trainer.net.params.tolist(),
        trainer.chain.states.tolist(),
        trainer.chain.t,
        trainer.optimizer.lr,
        trainer.net.draws,
        trainer.rng.bit_generator.state,
        history.history,
        history.epoch,
        history.samples,
    ]


def small_data(kind: str = "values", rows: int = 53, loss: str = "cross_entropy") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(rows, 4))
    return X, reference.targets(loss, rows, 3, rng, kind)


def by_hand(net, X, y, loss: str, optimizer, epochs: int, batch_size: int, seed: int, weights=None) -> list[float]:
    """The specification of fit; the mean loss of each epoch."""
    rng, losses = np.random.default_rng(seed), []
    for _ in range(epochs):
        total = 0.0
        for xb, index in fb.batches(X, np.arange(len(X)), batch_size, seed=rng):
            out = net.forward(xb)
            w = None if weights is None else weights[index]
            value, dout = getattr(fb.losses, loss)(out, y[index], sample_weight=w)
            net.backward(dout)
            optimizer.step(net)
            total += value * len(xb)
        losses.append(total / len(X))
    return losses


class Recorder(fb.Callback):
    """Writes down every call, and what the parameters were after each epoch."""

    def __init__(self) -> None:
        self.calls, self.params = [], []

    def on_train_begin(self, trainer, history) -> None:
        self.calls.append("train begin")

    def on_train_end(self, trainer, history) -> None:
        self.calls.append("train end")

    def on_epoch_begin(self, trainer, epoch) -> None:
        self.calls.append(f"epoch {epoch} begin")

    def on_epoch_end(self, trainer, epoch, logs) -> None:
        self.calls.append(f"epoch {epoch} end")
        self.params.append(trainer.net.params.copy())


class BatchRecorder(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.losses = []

    def on_batch_end(self, trainer, batch, logs) -> None:
        self.calls.append(f"batch {batch}")
        self.losses.append(logs["loss"])


# Graphs


def chain(dtype: str = "float64", seed: int = 1) -> fb.Sequential:
    return fb.Sequential(
        fb.Input(4),
        fb.Dense(7, activation="tanh"),
        fb.Activation("sigmoid"),
        fb.Dense(3),
        dtype=dtype,
        seed=seed,
    )


def fan_out(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """One node used three times and given out too; outputs of different depth."""
    x = fb.Input(5, name="x")
    h = fb.Dense(7, activation="tanh", name="h")(x)
    deep = fb.Dense(2)(fb.Dense(6, activation="sigmoid")(h))
    side = fb.Activation("relu")(h)
    return fb.Model(x, [deep, h, fb.Dense(3, bias=False)(side), fb.Dense(4)(h)], dtype=dtype, seed=seed)


def two_inputs(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Two separate trees whose layers are given in mixed order."""
    a, b = fb.Input(3), fb.Input(5)
    out_b = fb.Dense(4, activation="leaky_relu", alpha=0.2)(fb.Dense(6, activation="tanh")(b))
    out_a = fb.Dense(2, activation="softmax")(fb.Dense(7)(a))
    return fb.Model([a, b], [out_a, out_b], dtype=dtype, seed=seed)


def two_heads(dtype: str = "float64") -> fb.Model:
    x = fb.Input(4)
    h = fb.Dense(7, activation="tanh")(x)
    return fb.Model(x, [fb.Dense(3, name="kind")(h), fb.Dense(2, name="size")(h)], dtype=dtype, seed=1)


def shared(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """One layer called on two inputs, and again on what it made."""
    a, b = fb.Input(6), fb.Input(6)
    layer = fb.Dense(6, activation="tanh", name="shared")
    return fb.Model([a, b], [fb.Dense(2)(layer(a)), layer(layer(b))], dtype=dtype, seed=seed)


def repeated(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """The same node given out twice."""
    x = fb.Input(4)
    y = fb.Dense(3, activation="tanh")(x)
    return fb.Model(x, [y, y], dtype=dtype, seed=seed)


def random_graph(number: int, names: list[str] = TAME):
    """A builder of a graph drawn at random: any fan-out, several ends, now and then a layer used again."""

    def build(dtype: str = "float64", seed: int = 1) -> fb.Model:
        rng = np.random.default_rng(number)
        inputs = [fb.Input(int(rng.integers(1, 9))) for _ in range(rng.integers(1, 4))]
        nodes, layers = list(inputs), []
        for _ in range(rng.integers(3, 14)):
            parent = nodes[rng.integers(len(nodes))]
            name = str(rng.choice(names))
            again = [layer for layer, width in layers if width == parent.width]
            if again and rng.random() < 0.4:
                nodes.append(again[rng.integers(len(again))](parent))
            elif rng.random() < 0.3:
                nodes.append(fb.Activation(name)(parent))
            else:
                units = parent.width if rng.random() < 0.3 else int(rng.integers(1, 40))
                layers.append((fb.Dense(units, activation=name, bias=bool(rng.random() < 0.8)), parent.width))
                nodes.append(layers[-1][0](parent))
        nodes += [fb.Dense(2)(x) for x in inputs]
        picked = [nodes[k] for k in rng.integers(len(nodes), size=rng.integers(1, 4))]
        outputs = picked + nodes[-len(inputs) :]
        return fb.Model(inputs, outputs, dtype=dtype, seed=seed)

    build.__name__ = f"random_{number}"
    return build


GRAPHS = [chain, fan_out, two_inputs, shared, repeated, *map(random_graph, range(12))]


def batch(net: fb.Model, rows: int, rng: np.random.Generator) -> tuple[list, list]:
    """Inputs, and gradients of the outputs."""
    xs = [rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.inputs]
    dys = [rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.outputs]
    return xs, dys


def one_or_all(values: list) -> np.ndarray | tuple:
    return values[0] if len(values) == 1 else tuple(values)


def as_list(values: np.ndarray | tuple) -> list:
    return [values] if isinstance(values, np.ndarray) else list(values)


def assert_gradients(net: fb.Model, objective: Callable[[], float], grads: np.ndarray) -> None:
    """Each block of a net's gradient by itself, so that a small one cannot hide behind a large one."""
    offset, theta = 0, net.params.copy()
    for name, view in net.arrays().items():
        part = grads[offset : offset + view.size].reshape(view.shape)
        reference.assert_gradient(lambda _: objective(), view, part, name)
        offset += view.size
    assert offset == grads.size
    np.testing.assert_array_equal(net.params, theta)


# Bad input

ROWS = 12
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4))
LABELS = RNG.integers(3, size=ROWS)
VALUES = RNG.normal(size=(ROWS, 3))
SHARES = np.full((ROWS, 3), 1 / 3)
W = np.ones(ROWS)


def make_net(dtype: str = "float64") -> fb.Sequential:
    return fb.Sequential(fb.Input(4), fb.Dense(7, activation="tanh"), fb.Dropout(0.2), fb.Dense(3), dtype=dtype, seed=1)


def changed(array: np.ndarray, *changes: tuple) -> np.ndarray:
    """A copy with some elements replaced."""
    array = array.copy()
    for position, value in changes:
        array[position] = value
    return array


def raises_and_changes_nothing(trainer: fb.Trainer, work: Callable, error, words: list[str]) -> None:
    """The error, its words, and that everything is as it was before."""
    net = trainer.net
    net.forward(X)
    net.backward(VALUES)

    def state() -> list:
        rng = repr(trainer.rng.bit_generator.state)
        return [
            net.params.tolist(),
            net.grads.tolist(),
            trainer.chain.states.tolist(),
            trainer.chain.t,
            net.draws,
            rng,
        ]

    before = state()
    with pytest.raises(error) as caught:
        work()
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    assert len(message.splitlines()) == 1
    assert state() == before
    net.backward(VALUES)  # still pending
    assert net.predict(X).shape == (ROWS, 3)


def trained() -> fb.Trainer:
    trainer = fb.Trainer(make_net(), loss="mse", optimizer="adam")
    trainer.fit(X, VALUES, epochs=1, batch_size=5)
    return trainer
