"""Mistakes in building a graph: each raises on its own line, with what it got and what it wanted."""

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from nets import X, make_net


def one_layer(**settings) -> fb.Sequential:
    return fb.Sequential(fb.Input(3), fb.Dense(2, **settings))


def used() -> fb.Dense:
    layer = fb.Dense(2)
    fb.Sequential(fb.Input(3), layer)
    return layer


def two_widths() -> fb.Model:
    layer = fb.Dense(2)
    return fb.Model([a := fb.Input(3), b := fb.Input(4)], [layer(a), layer(b)])


BAD_GRAPHS = {
    "input of no width": (lambda: fb.Input(0), ValueError, ["Input", "0"]),
    "input of negative width": (lambda: fb.Input(-3), ValueError, ["Input", "-3"]),
    "input of half a width": (lambda: fb.Input(2.5), TypeError, ["Input", "2.5"]),
    "input of a shape": (lambda: fb.Input((3,)), TypeError, ["Input", "(3,)"]),
    "no units": (lambda: fb.Dense(0), ValueError, ["units", "0"]),
    "negative units": (lambda: fb.Dense(-1), ValueError, ["units", "-1"]),
    "text units": (lambda: fb.Dense("7"), TypeError, ["units", "'7'"]),
    "units that are True": (lambda: fb.Dense(True), TypeError, ["units", "True"]),
    "unknown activation": (
        lambda: fb.Dense(2, activation="rel"),
        ValueError,
        ["'rel'", *_engine.ACTIVATIONS],
    ),
    "unknown activation alone": (lambda: fb.Activation("rel"), ValueError, ["'rel'", *_engine.ACTIVATIONS]),
    "activation None": (lambda: fb.Dense(2, activation=None), TypeError, ["activation", "None"]),
    "activation of a function": (lambda: fb.Dense(2, activation=np.tanh), TypeError, ["activation"]),
    "NaN alpha": (lambda: fb.Activation("leaky_relu", alpha=np.nan), ValueError, ["negative_slope", "nan"]),
    "alpha for nothing": (lambda: fb.Activation("tanh", alpha=0.1), ValueError, ["alpha", "tanh", "0.1"]),
    "text alpha": (lambda: fb.Activation("leaky_relu", alpha="a"), TypeError, ["negative_slope", "'a'"]),
    "alpha below its range": (lambda: fb.Dense(2, "elu", alpha=-0.5), ValueError, ["alpha of elu", "-0.5"]),
    "alpha on the edge of its range": (lambda: fb.celu(0), ValueError, ["alpha of celu", "above 0"]),
    "one parameter of two": (lambda: fb.Dense(2, "hard_tanh", alpha=2.0), ValueError, ["min_val", "max_val", "2.0"]),
    "parameters in the wrong order": (lambda: fb.hard_tanh(2, 1), ValueError, ["min_val", "max_val", "(2.0, 1.0)"]),
    "parameters given twice": (lambda: fb.Dense(2, fb.elu(0.5), alpha=0.5), ValueError, ["alpha", "0.5"]),
    "an argument that there is not": (lambda: fb.elu(beta=1), TypeError, ["beta"]),
    "prelu without weights": (lambda: fb.Activation("prelu"), ValueError, ["'prelu'", "PReLU()"]),
    "glu by name": (lambda: fb.Dense(2, "glu"), ValueError, ["'glu'", "GLU(units)"]),
    "maxout by name": (lambda: fb.Activation("maxout"), ValueError, ["'maxout'", "Maxout(units, pieces)"]),
    "slopes for another width": (lambda: fb.PReLU(3)(fb.Input(4)), ValueError, ["num_parameters", "4", "3"]),
    "rate of one": (lambda: fb.Dropout(1.0), ValueError, ["rate", "1.0"]),
    "negative rate": (lambda: fb.Dropout(-0.1), ValueError, ["rate", "-0.1"]),
    "NaN rate": (lambda: fb.Dropout(np.nan), ValueError, ["rate", "nan"]),
    "text rate": (lambda: fb.Dropout("0.5"), TypeError, ["rate", "'0.5'"]),
    "unknown initializer": (
        lambda: one_layer(weights="glorot"),
        ValueError,
        ["'glorot'", "glorot_uniform", "he_normal"],
    ),
    "weights of another shape": (
        lambda: one_layer(weights=np.ones((2, 3))),
        ValueError,
        ["W", "(2, 3)", "(3, 2)"],
    ),
    "weights with NaN": (lambda: one_layer(weights=np.full((3, 2), np.nan)), ValueError, ["W", "NaN"]),
    "biases of another shape": (lambda: one_layer(biases=np.ones(3)), ValueError, ["b", "(3,)", "(2,)"]),
    "no name": (lambda: fb.Dense(2, name=""), TypeError, ["name"]),
    "a number as name": (lambda: fb.Dense(2, name=3), TypeError, ["name", "3"]),
    "names twice": (
        lambda: fb.Sequential(fb.Input(2), fb.Dense(2, name="a"), fb.Dense(3, name="a")),
        ValueError,
        ["name", "'a'", "twice"],
    ),
    "called on a layer": (lambda: fb.Dense(2)(fb.Dense(3)), TypeError, ["Dense"]),
    "called on an array": (lambda: fb.Dense(2)(X), TypeError, ["Dense", "array"]),
    "called on two": (lambda: fb.Dense(2)(fb.Input(3), fb.Input(3)), TypeError, ["1", "2"]),
    "called on nothing": (lambda: fb.Dense(2)(), TypeError, ["1", "0"]),
    "a layer of two models": (
        lambda: fb.Sequential(fb.Input(3), used(), fb.Dense(2)),
        ValueError,
        ["dense_1", "model"],
    ),
    "a layer of two widths": (two_widths, ValueError, ["(3, 2)", "(4, 2)"]),
    "unknown dtype": (
        lambda: fb.Sequential(fb.Input(3), fb.Dense(2), dtype="float16"),
        ValueError,
        ["float16", "float32", "float64"],
    ),
    "integer dtype": (
        lambda: fb.Sequential(fb.Input(3), fb.Dense(2), dtype=int),
        ValueError,
        ["int64", "float32", "float64"],
    ),
    "nonsense dtype": (
        lambda: fb.Sequential(fb.Input(3), fb.Dense(2), dtype="single malt"),
        ValueError,
        ["malt", "float32"],
    ),
    "negative seed": (lambda: fb.Sequential(fb.Input(3), fb.Dense(2), seed=-1), ValueError, ["seed", "-1"]),
    "text seed": (lambda: fb.Sequential(fb.Input(3), fb.Dense(2), seed="a"), TypeError, ["seed", "'a'"]),
    "fractional seed": (
        lambda: fb.Sequential(fb.Input(3), fb.Dense(2), seed=1.5),
        TypeError,
        ["seed", "1.5"],
    ),
    "no input first": (
        lambda: fb.Sequential(fb.Dense(3), fb.Dense(2)),
        TypeError,
        ["Sequential", "Input", "Dense"],
    ),
    "a list of layers": (lambda: fb.Sequential(fb.Input(3), [fb.Dense(2)]), TypeError, ["layers", "list"]),
    "a name for a layer": (lambda: fb.Sequential(fb.Input(3), "relu"), TypeError, ["layers", "str"]),
    "outputs that are layers": (lambda: fb.Model(fb.Input(3), fb.Dense(2)), TypeError, ["outputs", "Dense"]),
    "inputs that are none": (
        lambda: fb.Model(fb.Dense(2)(fb.Input(3)), fb.Input(3)),
        TypeError,
        ["inputs", "Input"],
    ),
    "no inputs": (lambda: fb.Model([], [fb.Dense(2)(fb.Input(3))]), ValueError, ["inputs"]),
    "no outputs": (lambda: fb.Model(fb.Input(3), []), ValueError, ["outputs"]),
    "an input that is missing": (
        lambda: fb.Model(fb.Input(3), fb.Dense(2)(fb.Input(3))),
        ValueError,
        ["input"],
    ),
    "an input that is not used": (
        lambda: fb.Model([a := fb.Input(3), fb.Input(4, name="idle")], fb.Dense(2)(a)),
        ValueError,
        ["idle"],
    ),
    "an input twice": (
        lambda: fb.Model([a := fb.Input(3, name="a"), a], fb.Dense(2)(a)),
        ValueError,
        ["a", "twice"],
    ),
}


@pytest.mark.parametrize("fault", BAD_GRAPHS)
def test_graphs(fault: str) -> None:
    build, error, words = BAD_GRAPHS[fault]
    with pytest.raises(error) as caught:
        build()
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    assert len(message.splitlines()) == 1


def test_a_mistake_raises_on_its_own_line() -> None:
    """Shapes are fixed at once: the error comes where the layer is called, not where the model is made."""
    layer = fb.Dense(2)
    layer(fb.Input(3))
    with pytest.raises(ValueError, match="parameters of shapes"):
        layer(fb.Input(4))


def test_a_failed_model_leaves_its_layers_free() -> None:
    x, layer = fb.Input(3), fb.Dense(2, name="free")
    y = layer(x)
    with pytest.raises(ValueError, match="seed"):
        fb.Model(x, y, seed=-1)
    with pytest.raises(ValueError, match="dtype"):
        fb.Model(x, y, dtype="float16")
    fb.Model(x, y, seed=1)


def test_views_before_there_is_a_model() -> None:
    layer = fb.Dense(2)
    for name in ("W", "b", "dW", "db"):
        with pytest.raises(AttributeError, match="before a model"):
            getattr(layer, name)
    node = layer(fb.Input(3))
    with pytest.raises(AttributeError, match="before a model"):
        _ = node.W


def test_unknown_layers() -> None:
    with pytest.raises(KeyError, match=r"dense_9.*dense_1"):
        _ = make_net()["dense_9"]


def test_unknown_attributes_of_nodes() -> None:
    with pytest.raises(AttributeError, match="weight"):
        _ = fb.Dense(2)(fb.Input(3)).weight
    with pytest.raises(AttributeError, match="W"):
        _ = fb.Input(3).W
