"""Nets that the tests of all formats convert, and how they compare what comes out."""

from collections.abc import Callable

import numpy as np

import fastbp as fb
import gated
import nets
from fastbp import _engine
from fastbp.activations import ActivationFunction


def shapes_of_everything(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Dropout, a constant, a layer in the middle given out, two inputs, three outputs."""
    a, b = fb.Input(3, name="a"), fb.Input(5, name="b")
    h = fb.Dropout(0.3)(fb.Dense(7, "tanh", name="h")(a))
    level = fb.Constant(0.25, 7)()
    out = fb.Dense(2, bias=False)(fb.maximum(h, level) - fb.Dense(1)(b))
    return fb.Model([a, b], [out, h, fb.Activation("softmax")(b)], dtype=dtype, seed=seed)


def embedded(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """A table for two columns of whole numbers, beside columns that count something. See `rows`."""
    x = fb.Input(5, name="x")
    h = fb.Concatenate()(fb.Embedding(6, 3, name="table")(x[:, :2]), x[:, 2:])
    return fb.Model(x, fb.Dense(2)(h), dtype=dtype, seed=seed)


def simple_graph(number: int):
    """A graph drawn at random, of activations that every format has."""
    return nets.random_graph(number, ["leaky_relu", "linear", "relu", "sigmoid", "softmax", "tanh"])


NETS = [nets.chain, nets.fan_out, nets.two_inputs, nets.shared, nets.repeated, *gated.GATED]
NETS += [*map(simple_graph, range(4)), shapes_of_everything, embedded]
READ = [build for build in NETS if build is not gated.arithmetic]  # what readers know too


def activation_net(name: str, dtype: str) -> fb.Sequential:
    """A dense layer with the activation, and it by itself, with other parameters than its own, on what may be large."""
    other = ActivationFunction(name, *nets.other_parameters(name))
    layers = fb.Dense(7, name), fb.Dense(4, biases="ones"), fb.Activation(other), fb.Dense(3)
    return fb.Sequential(fb.Input(5), *layers, dtype=dtype, seed=2)


def activations(net: fb.Model) -> list[tuple]:
    """The activations of a net's layers with their parameters, but those that change nothing."""
    found = [(layer.activation, layer.settings()["alpha"]) for layer in net.layers if hasattr(layer, "activation")]
    return [(name, *np.ravel([] if alpha is None else alpha)) for name, alpha in found if name != "linear"]


def assert_same_activations(got: list[tuple], wanted: list[tuple]) -> None:
    assert [name for name, *_ in got] == [name for name, *_ in wanted]
    for (_, *values), (_, *others) in zip(got, wanted, strict=True):
        np.testing.assert_allclose(values, others, rtol=1e-7)


def unsettle(net: fb.Model) -> fb.Model:
    """The net with parameters that no start value is: no gamma of 1, no variance of 1, no bias of 0."""
    rng = np.random.default_rng(4)
    for name, view in net.arrays().items():
        view += rng.uniform(0.01, 0.3, view.shape).astype(net.dtype)
        assert np.all(view) or not name.endswith("b")
    return net


def rows(net: fb.Model, count: int = 11) -> list[np.ndarray]:
    xs = nets.batch(net, count, np.random.default_rng(3))[0]
    if any(isinstance(layer, fb.Embedding) for layer in net.layers):
        xs[0][:, :2] = np.arange(2 * count).reshape(count, 2) % 6
    return xs


def assert_same(net: fb.Model, evaluate: Callable[..., list], tolerance: float) -> None:
    """That `evaluate` of a net's inputs gives its outputs."""
    xs = rows(net)
    wanted, got = nets.as_list(net.predict(nets.one_or_all(xs))), evaluate(*xs)
    assert len(got) == len(wanted)
    for Y, wanted_Y in zip(got, wanted, strict=True):
        assert Y.shape == wanted_Y.shape
        scale = max(1.0, float(np.abs(wanted_Y).max()))
        np.testing.assert_allclose(Y, wanted_Y, rtol=0, atol=tolerance * scale)


def predict(net: fb.Model) -> Callable[..., list]:
    return lambda *xs: nets.as_list(net.predict(nets.one_or_all(list(xs))))


def structure(net: fb.Model) -> list[tuple]:
    """What must come back: the nodes by kind, width and parents, and names and settings of layers with parameters."""
    numbers = {node: k for k, node in enumerate(net.nodes)}
    return [
        (type(node.layer).__name__, node.width, [numbers[parent] for parent in node.parents], _settings(node.layer))
        for node in net.nodes
    ]


def _settings(layer: fb.layers.Layer | None) -> dict:
    if layer is None or not layer.parameters:
        return {}
    return {key: value for key, value in layer.settings().items() if key not in ("weights", "biases", "constraint")}


ACTIVATIONS = sorted(_engine.ACTIVATIONS)
