"""Every kind of bad input: the type of the error, a message that names the thing, what it got and what it wanted.

After each error the net, its gradients, the optimizer and the generator are what they were, and the net still works.
"""

import re
from collections.abc import Callable

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine

ROWS = 12
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 4))
LABELS = RNG.integers(3, size=ROWS)
VALUES = RNG.normal(size=(ROWS, 3))
SHARES = np.full((ROWS, 3), 1 / 3)
W = np.ones(ROWS)


def make_net(dtype: str = "float64") -> fb.Sequential:
    return fb.Sequential(
        fb.Input(4), fb.Dense(7, activation="tanh"), fb.Dropout(0.2), fb.Dense(3), dtype=dtype, seed=1
    )


def changed(array: np.ndarray, *changes: tuple) -> np.ndarray:
    """A copy with some elements replaced."""
    array = array.copy()
    for position, value in changes:
        array[position] = value
    return array


# (X, what the error is, words that the message holds)
BAD_X = {
    "too narrow": (X[:, :3], ValueError, ["X", "(12, 3)", "4"]),
    "too wide": (np.hstack([X, X]), ValueError, ["X", "(12, 8)", "4"]),
    "one row alone": (X[0], ValueError, ["X", "(4,)", "reshape"]),
    "another vector": (np.ones(5), ValueError, ["X", "(5,)", "4"]),
    "a number": (3.0, ValueError, ["X", "()", "4"]),
    "three dimensions": (np.ones((12, 2, 2)), ValueError, ["X", "(12, 2, 2)", "4"]),
    "no rows": (X[:0], ValueError, ["X", "no rows"]),
    "nothing": ([], ValueError, ["X", "(0,)", "4"]),
    "no columns": (np.ones((12, 0)), ValueError, ["X", "(12, 0)", "4"]),
    "None": (None, TypeError, ["X", "None"]),
    "text": (X.astype(str), TypeError, ["X", "<U"]),
    "bytes": (b"abc", TypeError, ["X", "|S"]),
    "objects": (X.astype(object), TypeError, ["X", "object"]),
    "complex numbers": (X.astype(complex), TypeError, ["X", "complex128"]),
    "dates": (np.zeros((12, 4), dtype="datetime64[s]"), TypeError, ["X", "datetime64"]),
    "a structure": (np.zeros(12, dtype=[("a", float)]), TypeError, ["X"]),
    "ragged lists": ([[1.0, 2.0, 3.0, 4.0], [1.0]], ValueError, ["X"]),
    "a dict": ({"a": X}, TypeError, ["X", "dict"]),
    "a set": ({1.0, 2.0}, TypeError, ["X", "set"]),
    "a tuple of two": ((X, X), ValueError, ["X", "(2, 12, 4)"]),
    "NaN": (changed(X, ((3, 2), np.nan)), ValueError, ["X", "NaN", "row 3", "column 2", "check_finite"]),
    "the first NaN": (changed(X, ((9, 0), np.nan), ((5, 3), np.nan)), ValueError, ["X", "row 5", "column 3"]),
    "infinity": (changed(X, ((11, 3), np.inf)), ValueError, ["X", "inf", "row 11", "column 3"]),
    "minus infinity": (changed(X, ((0, 0), -np.inf)), ValueError, ["X", "inf", "row 0", "column 0"]),
}

# (loss, y, error, words)
BAD_Y = {
    "shorter labels": ("cross_entropy", LABELS[:-1], ValueError, ["y", "11", "12"]),
    "longer values": ("mse", np.vstack([VALUES, VALUES]), ValueError, ["y", "24", "12"]),
    "no targets": ("mse", VALUES[:0], ValueError, ["y", "0", "12"]),
    "narrow values": ("mse", VALUES[:, :2], ValueError, ["y", "(12, 2)", "(12, 3)"]),
    "flat values for three outputs": ("mse", VALUES[:, 0], ValueError, ["y", "(12,)", "(12, 3)"]),
    "one column for three outputs": ("mse", VALUES[:, :1], ValueError, ["y", "(12, 1)", "(12, 3)"]),
    "three dimensions": ("mse", VALUES[:, :, None], ValueError, ["y", "(12, 3, 1)", "(12, 3)"]),
    "a single number": ("mse", 1.0, ValueError, ["y", "12"]),
    "labels for a loss of values": ("binary_cross_entropy", LABELS, ValueError, ["y", "(12,)", "(12, 3)"]),
    "float labels": ("cross_entropy", LABELS.astype(float), TypeError, ["y", "float64", "integer"]),
    "text labels": ("cross_entropy", np.array(["a", "b", "c"] * 4), TypeError, ["y", "<U1"]),
    "object labels": ("cross_entropy", LABELS.astype(object), TypeError, ["y", "object"]),
    "no object at all": ("cross_entropy", None, TypeError, ["y", "None"]),
    "a label too large": (
        "cross_entropy",
        changed(LABELS, (7, 3)),
        ValueError,
        ["label 3", "row 7", "0 ... 2", "3 classes"],
    ),
    "a negative label": (
        "cross_entropy",
        changed(LABELS, (0, -1)),
        ValueError,
        ["label -1", "row 0", "0 ... 2"],
    ),
    "a gigantic label": (
        "cross_entropy",
        changed(LABELS.astype(np.uint64), (4, 2**64 - 1)),
        ValueError,
        ["label 18446744073709551615", "row 4"],
    ),
    "a huge label": (
        "cross_entropy",
        changed(LABELS, (4, 2**40)),
        ValueError,
        ["label 1099511627776", "row 4"],
    ),
    "NaN among values": (
        "mse",
        changed(VALUES, ((2, 1), np.nan)),
        ValueError,
        ["y", "NaN", "row 2", "column 1"],
    ),
    "infinity among values": (
        "mse",
        changed(VALUES, ((2, 1), np.inf)),
        ValueError,
        ["y", "inf", "row 2", "column 1"],
    ),
    "NaN among shares": (
        "cross_entropy",
        changed(SHARES, ((2, 1), np.nan)),
        ValueError,
        ["y", "NaN", "row 2"],
    ),
    "a share below 0": (
        "cross_entropy",
        changed(SHARES, ((2, 1), -0.5)),
        ValueError,
        ["y", "-0.5", "row 2", "column 1"],
    ),
    "a share above 1": (
        "binary_cross_entropy",
        changed(SHARES, ((8, 0), 1.5)),
        ValueError,
        ["y", "1.5", "row 8", "column 0"],
    ),
    "complex values": ("mse", VALUES.astype(complex), TypeError, ["y", "complex128"]),
}

# (arguments of fit, error, words)
BAD_SETTINGS = {
    "unknown loss": ({"loss": "mes"}, ValueError, ["loss", "'mes'", *_engine.LOSSES]),
    "a loss that is none": ({"loss": 3}, TypeError, ["loss", "int"]),
    "two losses for one output": ({"loss": ("mse", "mse")}, (TypeError, ValueError), ["loss"]),
    "unknown optimizer": ({"optimizer": "adm"}, ValueError, ["optimizer", "'adm'", "adam", "adamw", "sgd"]),
    "an optimizer class": ({"optimizer": fb.Adam}, TypeError, ["optimizer"]),
    "unknown metric": (
        {"metrics": ["accurcy"]},
        ValueError,
        ["metric", "'accurcy'", "accuracy", "mae", "r2"],
    ),
    "a metric that is none": ({"metrics": [3]}, TypeError, ["metric", "int"]),
    "a metric alone": ({"metrics": "mae"}, TypeError, ["metrics", "mae"]),
    "a metric twice": ({"metrics": ["mae", "mae"]}, ValueError, ["mae"]),
    "no epochs": ({"epochs": 0}, ValueError, ["epochs", "0"]),
    "negative epochs": ({"epochs": -2}, ValueError, ["epochs", "-2"]),
    "half an epoch": ({"epochs": 0.5}, TypeError, ["epochs", "0.5"]),
    "text epochs": ({"epochs": "3"}, TypeError, ["epochs", "'3'"]),
    "epochs that are True": ({"epochs": True}, TypeError, ["epochs", "True"]),
    "no batch": ({"batch_size": 0}, ValueError, ["batch_size", "0"]),
    "a negative batch": ({"batch_size": -1}, ValueError, ["batch_size", "-1"]),
    "a fractional batch": ({"batch_size": 2.5}, TypeError, ["batch_size", "2.5"]),
    "no threads": ({"threads": 0}, ValueError, ["threads", "0"]),
    "text threads": ({"threads": "all"}, TypeError, ["threads", "all"]),
    "a negative seed": ({"seed": -1}, ValueError, ["seed", "-1"]),
    "a text seed": ({"seed": "one"}, TypeError, ["seed", "one"]),
    "a callback class": ({"callbacks": [fb.EarlyStopping]}, TypeError, ["callbacks", "Callback"]),
    "a callback that is none": ({"callbacks": [print]}, TypeError, ["callbacks", "Callback"]),
    "few weights": ({"sample_weight": W[:-1]}, ValueError, ["sample_weight", "11", "12"]),
    "weights of two dimensions": (
        {"sample_weight": W[:, None]},
        ValueError,
        ["sample_weight", "(12, 1)", "(12,)"],
    ),
    "a negative weight": (
        {"sample_weight": changed(W, (3, -1.0))},
        ValueError,
        ["sample_weight", "-1.0", "row 3"],
    ),
    "a NaN weight": (
        {"sample_weight": changed(W, (3, np.nan))},
        ValueError,
        ["sample_weight", "NaN", "row 3"],
    ),
    "weights all zero": ({"sample_weight": 0 * W}, ValueError, ["sample_weight", "zero"]),
    "text weights": ({"sample_weight": ["a"] * 12}, TypeError, ["sample_weight", "<U1"]),
    "class weights for values": ({"class_weight": {0: 2.0}}, ValueError, ["class_weight"]),
    "validation of one array": ({"validation_data": X}, TypeError, ["validation_data"]),
    "validation of one": ({"validation_data": (X,)}, TypeError, ["validation_data"]),
    "narrow validation": (
        {"validation_data": (X[:, :2], VALUES)},
        ValueError,
        ["validation", "(12, 2)", "4"],
    ),
    "short validation": ({"validation_data": (X, VALUES[:5])}, ValueError, ["validation", "5", "12"]),
    "NaN in validation": (
        {"validation_data": (changed(X, ((1, 2), np.nan)), VALUES)},
        ValueError,
        ["validation", "NaN", "row 1", "column 2"],
    ),
    "monitor of nothing": (
        {"callbacks": [fb.EarlyStopping("val_mae")]},
        ValueError,
        ["monitor", "'val_mae'", "loss"],
    ),
}

BAD_CLASS_WEIGHTS = {
    "a label too large": ({3: 1.0}, ValueError, ["label 3", "class_weight", "0 ... 2"]),
    "a negative label": ({-1: 1.0}, ValueError, ["class_weight", "-1"]),
    "a negative weight": ({0: -1.0}, ValueError, ["class_weight", "-1.0"]),
    "a NaN weight": ({0: np.nan}, ValueError, ["class_weight", "nan"]),
    "a text label": ({"0": 1.0}, TypeError, ["class_weight", "'0'"]),
    "a text weight": ({0: "much"}, TypeError, ["class_weight", "much"]),
    "another word": ("equal", (TypeError, ValueError), ["class_weight", "equal", "balanced"]),
    "a list": ([1.0, 2.0, 3.0], TypeError, ["class_weight", "dict"]),
    "all zero": ({0: 0.0, 1: 0.0, 2: 0.0}, ValueError, ["class_weight", "zero"]),
}


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


@pytest.fixture
def trainer() -> fb.Trainer:
    trainer = fb.Trainer(make_net(), loss="mse", optimizer="adam")
    trainer.fit(X, VALUES, epochs=1, batch_size=5)
    return trainer


@pytest.mark.parametrize("fault", BAD_X)
@pytest.mark.parametrize(
    "way", ["forward", "predict", "fit", "step", "evaluate", "value_and_grad", "model.fit"]
)
def test_x(fault: str, way: str, trainer: fb.Trainer) -> None:
    bad, error, words = BAD_X[fault]
    net = trainer.net
    work = {
        "forward": lambda: net.forward(bad),
        "predict": lambda: net.predict(bad),
        "fit": lambda: trainer.fit(bad, VALUES),
        "step": lambda: trainer.step(bad, VALUES),
        "evaluate": lambda: trainer.evaluate(bad, VALUES),
        "value_and_grad": lambda: net.value_and_grad(np.zeros(len(net.params)), bad, VALUES),
        "model.fit": lambda: net.fit(bad, VALUES),
    }[way]
    raises_and_changes_nothing(trainer, work, error, words)


@pytest.mark.parametrize("fault", BAD_Y)
@pytest.mark.parametrize("way", ["fit", "step", "evaluate", "value_and_grad", "model.fit", "loss"])
def test_y(fault: str, way: str) -> None:
    loss, bad, error, words = BAD_Y[fault]
    trainer = fb.Trainer(make_net(), loss=loss, optimizer="adam")
    net = trainer.net
    work = {
        "fit": lambda: trainer.fit(X, bad),
        "step": lambda: trainer.step(X, bad),
        "evaluate": lambda: trainer.evaluate(X, bad),
        "value_and_grad": lambda: net.value_and_grad(np.zeros(len(net.params)), X, bad, loss=loss),
        "model.fit": lambda: net.fit(X, bad, loss=loss),
        "loss": lambda: getattr(fb.losses, loss)(VALUES, bad),
    }[way]
    raises_and_changes_nothing(
        trainer, work, error, [word for word in words if way != "loss" or word not in ("y",)]
    )


@pytest.mark.parametrize("fault", BAD_SETTINGS)
def test_settings_of_fit(fault: str, trainer: fb.Trainer) -> None:
    settings, error, words = BAD_SETTINGS[fault]
    raises_and_changes_nothing(trainer, lambda: trainer.net.fit(X, VALUES, **settings), error, words)


@pytest.mark.parametrize(
    "fault",
    [
        name
        for name, (settings, *_) in BAD_SETTINGS.items()
        if not {"loss", "optimizer", "metrics"} & set(settings)
    ],
)
def test_settings_of_a_trainers_fit(fault: str, trainer: fb.Trainer) -> None:
    settings, error, words = BAD_SETTINGS[fault]
    raises_and_changes_nothing(trainer, lambda: trainer.fit(X, VALUES, **settings), error, words)


@pytest.mark.parametrize("fault", BAD_CLASS_WEIGHTS)
def test_class_weights(fault: str) -> None:
    weights, error, words = BAD_CLASS_WEIGHTS[fault]
    trainer = fb.Trainer(make_net(), loss="cross_entropy", optimizer="adam")
    raises_and_changes_nothing(trainer, lambda: trainer.fit(X, LABELS, class_weight=weights), error, words)


def test_weights_of_a_step(trainer: fb.Trainer) -> None:
    for fault in (
        "few weights",
        "weights of two dimensions",
        "a negative weight",
        "a NaN weight",
        "weights all zero",
    ):
        settings, error, words = BAD_SETTINGS[fault]
        raises_and_changes_nothing(trainer, lambda s=settings: trainer.step(X, VALUES, **s), error, words)
        raises_and_changes_nothing(trainer, lambda s=settings: trainer.evaluate(X, VALUES, **s), error, words)


def test_nan_may_be_let_pass() -> None:
    net = make_net()
    bad = changed(X, ((3, 2), np.nan))
    Y = net.predict(bad, check_finite=False)
    assert np.isnan(Y[3]).any()
    assert np.isfinite(np.delete(Y, 3, axis=0)).all()
    assert np.isnan(net.forward(bad, check_finite=False)[3]).any()


def test_what_overflows_float32_is_an_infinity() -> None:
    net = make_net("float32")
    with pytest.raises(ValueError, match=r"X .*inf.* row 4, column 1.*float32"):
        net.predict(changed(X, ((4, 1), 1e39)))


@pytest.mark.parametrize("position", [(0, 0), (0, 3), (1, 0), (7, 1), (11, 3)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_bad_number_is_found_wherever_it_is(position: tuple, value: float, dtype: np.dtype) -> None:
    bad = changed(X.astype(dtype), (position, value), ((11, 3), value))
    with pytest.raises(ValueError, match=f"row {position[0]}, column {position[1]}"):
        make_net(dtype.name).predict(bad)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 63, 64, 65, 1000])
def test_every_place_of_a_long_vector_is_looked_at(n: int, dtype: np.dtype) -> None:
    assert _engine.first_nonfinite(np.zeros(n, dtype=dtype)) == -1
    assert _engine.first_nonfinite(np.full(n, np.finfo(dtype).max, dtype=dtype)) == -1
    for at in {0, n // 2, n - 1}:
        for value in (np.nan, np.inf, -np.inf):
            assert _engine.first_nonfinite(changed(np.ones(n, dtype=dtype), (at, value))) == at


# Building


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
    "NaN alpha": (lambda: fb.Activation("leaky_relu", alpha=np.nan), ValueError, ["alpha", "nan"]),
    "alpha for nothing": (lambda: fb.Activation("tanh", alpha=0.1), ValueError, ["alpha", "tanh", "0.1"]),
    "text alpha": (lambda: fb.Activation("leaky_relu", alpha="a"), TypeError, ["alpha", "'a'"]),
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
    "a layer of two models": (lambda: fb.Sequential(fb.Input(3), used()), ValueError, ["dense_1", "model"]),
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
    """The layer is built at once, so the error comes where the layer is called, not where the model is made."""
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


# The loop by hand


def test_backward_before_forward() -> None:
    net = make_net()
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(VALUES)
    net.predict(X)
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(VALUES)


def test_backward_after_a_training_step_is_refused() -> None:
    """The step has used the memory: gradients of another batch would come out."""
    net = make_net()
    net.forward(X)
    fb.Trainer(net).step(X[:5], VALUES[:5])
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(VALUES)
    net.forward(X)
    net.value_and_grad(net.params.copy(), X[:5], VALUES[:5])
    with pytest.raises(RuntimeError, match="forward"):
        net.backward(VALUES)


@pytest.mark.parametrize(
    ("dY", "error", "words"),
    [
        (VALUES[:5], ValueError, ["dY", "5", "12"]),
        (VALUES[:, :2], ValueError, ["dY", "(12, 2)", "3"]),
        (VALUES[0], ValueError, ["dY", "(3,)"]),
        (None, TypeError, ["dY"]),
        (VALUES.astype(str), TypeError, ["dY"]),
    ],
)
def test_gradients_that_do_not_fit(dY, error, words: list[str], trainer: fb.Trainer) -> None:
    raises_and_changes_nothing(trainer, lambda: trainer.net.backward(dY), error, words)


@pytest.mark.parametrize(
    ("theta", "error", "words"),
    [
        (np.zeros(5), ValueError, ["params", "(5,)"]),
        (np.zeros((59, 1)), ValueError, ["params", "(59, 1)", "(59,)"]),
        (["a"] * 59, TypeError, ["params"]),
    ],
)
def test_parameters_that_do_not_fit(theta, error, words: list[str], trainer: fb.Trainer) -> None:
    net = trainer.net
    raises_and_changes_nothing(trainer, lambda: net.value_and_grad(theta, X, VALUES), error, words)
    raises_and_changes_nothing(trainer, lambda: setattr(net, "params", theta), error, words)


def test_views_take_their_shape_only() -> None:
    net = make_net()
    with pytest.raises(ValueError, match=re.escape("(7, 4)")):
        net["dense_1"].W = np.ones((7, 4))
    net["dense_1"].W = np.ones((4, 7))
    assert (net.params[:28] == 1).all()


BAD_OPTIMIZERS = {
    "negative lr": (lambda: fb.SGD(lr=-0.1), ValueError, ["lr", "-0.1"]),
    "NaN lr": (lambda: fb.Adam(lr=np.nan), ValueError, ["lr", "nan"]),
    "infinite lr": (lambda: fb.Adam(lr=np.inf), ValueError, ["lr", "inf"]),
    "text lr": (lambda: fb.Adam(lr="0.1"), TypeError, ["lr", "'0.1'"]),
    "lr that is True": (lambda: fb.Adam(lr=True), TypeError, ["lr", "True"]),
    "momentum of one": (lambda: fb.SGD(momentum=1.0), ValueError, ["momentum", "1.0"]),
    "negative momentum": (lambda: fb.SGD(momentum=-0.1), ValueError, ["momentum", "-0.1"]),
    "nesterov alone": (lambda: fb.SGD(nesterov=True), ValueError, ["nesterov", "momentum"]),
    "negative decay": (lambda: fb.SGD(weight_decay=-1.0), ValueError, ["weight_decay", "-1.0"]),
    "beta of one": (lambda: fb.Adam(betas=(0.9, 1.0)), ValueError, ["betas", "1.0"]),
    "negative beta": (lambda: fb.AdamW(betas=(-0.9, 0.99)), ValueError, ["betas", "-0.9"]),
    "one beta": (lambda: fb.Adam(betas=(0.9,)), ValueError, ["betas", "2", "1"]),
    "beta alone": (lambda: fb.Adam(betas=0.9), TypeError, ["betas"]),
    "negative eps": (lambda: fb.Adam(eps=-1e-8), ValueError, ["eps", "-1e-08"]),
    "step of no net": (lambda: fb.SGD().step(X), TypeError, ["net", "array"]),
    "patience": (lambda: fb.EarlyStopping(patience=-1), ValueError, ["patience", "-1"]),
    "min_delta": (lambda: fb.EarlyStopping(min_delta=-1.0), ValueError, ["min_delta", "-1.0"]),
    "mode": (lambda: fb.EarlyStopping(mode="most"), ValueError, ["mode", "'most'", "auto", "max", "min"]),
    "trainer of no net": (lambda: fb.Trainer(X), TypeError, ["net", "array"]),
    "max_norm": (lambda: fb.clip_by_global_norm(np.ones(3), -1.0), ValueError, ["max_norm", "-1.0"]),
    "batches of two lengths": (lambda: fb.batches(X, LABELS[:5], 3), ValueError, ["5", "12"]),
    "batches of nothing": (lambda: fb.batches(X, LABELS, 0), ValueError, ["batch_size", "0"]),
    "a metric of two lengths": (lambda: fb.metrics.mae(X, X[:5]), ValueError, ["12", "5"]),
    "a metric of two widths": (lambda: fb.metrics.mae(X, VALUES), ValueError, ["(12, 4)", "(12, 3)"]),
}


@pytest.mark.parametrize("fault", BAD_OPTIMIZERS)
def test_optimizers_and_the_rest(fault: str) -> None:
    build, error, words = BAD_OPTIMIZERS[fault]
    with pytest.raises(error) as caught:
        build()
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_a_bad_learning_rate_is_not_taken() -> None:
    optimizer = fb.Adam(lr=0.1)
    with pytest.raises(ValueError, match="lr"):
        optimizer.lr = -1.0
    assert optimizer.lr == 0.1


@pytest.mark.parametrize("result", [None, 3.0, (1.0,), (1.0, VALUES[:, :2]), (1.0, "dY")])
def test_a_callable_loss_that_returns_nonsense(result) -> None:
    trainer = fb.Trainer(make_net(), loss=lambda Y, t: result, optimizer="sgd")
    net, before = trainer.net, trainer.net.params.copy()
    with pytest.raises((TypeError, ValueError), match="loss|dY"):
        trainer.step(X, VALUES)
    np.testing.assert_array_equal(net.params, before)


# Functions


F = fb.functional
BAD_CALLS = {
    "unknown activation": (
        lambda: F.activation_forward(X, "rel"),
        ValueError,
        ["'rel'", *_engine.ACTIVATIONS],
    ),
    "vector": (lambda: F.activation_forward(X[0], "tanh"), ValueError, ["Z", "(4,)"]),
    "text": (lambda: F.activation_forward(X.astype(str), "tanh"), TypeError, ["Z"]),
    "two shapes": (
        lambda: F.activation_backward(X, X[:5], X[:5], "tanh"),
        ValueError,
        ["dY", "(12, 4)", "(5, 4)"],
    ),
    "another Y": (
        lambda: F.activation_backward(X, X, X[:, :3], "tanh"),
        ValueError,
        ["Y", "(12, 3)", "(12, 4)"],
    ),
    "W of another height": (
        lambda: F.dense_forward(X, np.ones((5, 3)), np.ones(3)),
        ValueError,
        ["X", "(12, 4)", "5"],
    ),
    "b of another length": (
        lambda: F.dense_forward(X, np.ones((4, 3)), np.ones(4)),
        ValueError,
        ["b", "(4,)", "(3,)"],
    ),
    "W as vector": (lambda: F.dense_forward(X, np.ones(4), np.ones(3)), ValueError, ["W", "(4,)"]),
    "no rows": (lambda: F.dense_forward(X[:0], np.ones((4, 3)), np.ones(3)), ValueError, ["X", "(0, 4)"]),
    "dY of another shape": (
        lambda: F.dense_backward(X, X, np.ones((4, 3)), np.ones(3), VALUES),
        ValueError,
        ["dY", "(12, 4)", "(12, 3)"],
    ),
    "Y of another shape": (
        lambda: F.dense_backward(VALUES, X, np.ones((4, 3)), np.ones(3), VALUES[:5]),
        ValueError,
        ["Y", "(5, 3)", "(12, 3)"],
    ),
    "empty outputs for a loss": (lambda: fb.losses.mse(VALUES[:0], VALUES[:0]), ValueError, ["Y", "(0, 3)"]),
    "flat outputs for a loss": (lambda: fb.losses.mse(VALUES[0], VALUES[0]), ValueError, ["Y", "(3,)"]),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_functions(fault: str) -> None:
    call, error, words = BAD_CALLS[fault]
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_several_inputs_and_outputs_want_tuples() -> None:
    a, b = fb.Input(4, name="a"), fb.Input(5, name="b")
    net = fb.Model([a, b], [fb.Dense(2)(a), fb.Dense(3)(b)], dtype="float64", seed=1)
    B = np.ones((ROWS, 5))
    with pytest.raises(TypeError, match=r"X must be a tuple of 2"):
        net.predict(X)
    with pytest.raises(ValueError, match=r"X must be a tuple of 2, got 3"):
        net.predict((X, B, B))
    with pytest.raises(ValueError, match=r"b.*11.*12"):
        net.predict((X, B[:-1]))
    with pytest.raises(ValueError, match=r"b.*\(12, 4\)|b.*5.*\(12, 4\)"):
        net.predict((X, X))
    net.forward((X, B))
    with pytest.raises(ValueError, match=r"dY must be a tuple of 2, got 1"):
        net.backward((VALUES,))
    with pytest.raises((TypeError, ValueError), match="loss"):
        net.fit((X, B), (X[:, :2], VALUES), loss="mse")


# Whatever the numbers: nothing but a clear error or a right result


@pytest.mark.parametrize("seed", range(30))
def test_random_nonsense_never_does_harm(seed: int) -> None:
    """Arguments drawn from a heap of odd things: an error of a known kind, or finite parameters."""
    rng = np.random.default_rng(seed)
    things = [
        X, VALUES, LABELS, W, X[0], X[:0], None, "mse", 3, 2.5, True, [], {}, (X, VALUES), np.float32(1), np.ones((12, 4), int),
        X.astype(np.float16), np.full((12, 4), 1e300), np.ones((12, 3), bool), [[0.0] * 4] * 12, range(12), np.array(3), b"x",
    ]  # fmt: skip
    net = make_net(str(rng.choice(["float32", "float64"])))
    trainer = fb.Trainer(net, loss=str(rng.choice(list(_engine.LOSSES))))
    for _ in range(60):
        one, two, three = (things[k] for k in rng.integers(len(things), size=3))
        call = [
            lambda: trainer.step(one, two, sample_weight=three),
            lambda: trainer.fit(one, two, batch_size=three),
            lambda: trainer.fit(X, two, class_weight=one, epochs=three),
            lambda: net.forward(one),
            lambda: net.backward(two),
            lambda: net.value_and_grad(net.params.copy(), one, two),
            lambda: trainer.evaluate(one, two, three),
            lambda: fb.losses.mse(one, two, three),
            lambda: F.dense_forward(one, two, three),
            lambda: F.activation_backward(one, two, three, "tanh"),
        ][rng.integers(10)]
        try:
            call()
        except (TypeError, ValueError, RuntimeError) as error:
            assert str(error), "an error without a word"
        assert np.isfinite(net.params).all()
