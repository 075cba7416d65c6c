"""Bad arrays and settings: the type of the error, and that it names the thing, what it got and wanted.

After each error the net, its gradients, the optimizer and the generator are what they were, and the net
still works.
"""

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from nets import LABELS, SHARES, VALUES, W, X, changed, make_net, raises_and_changes_nothing, trained


@pytest.fixture
def trainer() -> fb.Trainer:
    return trained()


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
    "a batch beyond all integers": ({"batch_size": 10**30}, ValueError, ["batch_size", "2**63"]),
    "a loss without a name": ({"loss": {}}, TypeError, ["loss", "None", "mse"]),
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


@pytest.mark.parametrize("fault", BAD_X)
@pytest.mark.parametrize("way", ["forward", "predict", "fit", "step", "evaluate", "value_and_grad", "model.fit"])
def test_x(fault: str, way: str, trainer: fb.Trainer) -> None:
    if way == "predict" and fault in ("one row alone", "no rows"):
        pytest.skip("which predict takes")
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
    raises_and_changes_nothing(trainer, work, error, [word for word in words if way != "loss" or word not in ("y",)])


@pytest.mark.parametrize("fault", BAD_SETTINGS)
def test_settings_of_fit(fault: str, trainer: fb.Trainer) -> None:
    settings, error, words = BAD_SETTINGS[fault]
    raises_and_changes_nothing(trainer, lambda: trainer.net.fit(X, VALUES, **settings), error, words)


@pytest.mark.parametrize(
    "fault",
    [name for name, (settings, *_) in BAD_SETTINGS.items() if not {"loss", "optimizer", "metrics"} & set(settings)],
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


THINGS = [
    *(X, VALUES, LABELS, W, X[0], X[:0], X.astype(np.float16), [[0.0] * 4] * 12, (X, VALUES), range(12)),
    *(np.full((12, 4), 1e300), np.ones((12, 4), int), np.ones((12, 3), bool), np.array(3), np.float32(1)),
    *(None, "mse", 3, 2.5, True, [], {}, b"x"),
]
CALLS = [
    lambda trainer, a, b, c: trainer.step(a, b, sample_weight=c),
    lambda trainer, a, b, c: trainer.fit(a, b, batch_size=c),
    lambda trainer, a, b, c: trainer.fit(X, b, class_weight=a, epochs=c),
    lambda trainer, a, b, c: trainer.evaluate(a, b, c),
    lambda trainer, a, b, c: trainer.net.forward(a),
    lambda trainer, a, b, c: trainer.net.backward(a),
    lambda trainer, a, b, c: trainer.net.value_and_grad(trainer.net.params.copy(), a, b),
    lambda trainer, a, b, c: fb.losses.mse(a, b, c),
    lambda trainer, a, b, c: fb.functional.dense_forward(a, b, c),
    lambda trainer, a, b, c: fb.functional.activation_backward(a, b, c, "tanh"),
]


@pytest.mark.parametrize("seed", range(30))
def test_random_nonsense_never_does_harm(seed: int) -> None:
    """Arguments drawn from a heap of odd things: an error of a known kind, or finite parameters."""
    rng = np.random.default_rng(seed)
    loss = str(rng.choice([name for name, row in _engine.LOSSES.items() if row.heads == 1]))
    trainer = fb.Trainer(make_net(str(rng.choice(["float32", "float64"]))), loss=loss)
    messages = []
    for _ in range(60):
        arguments = [THINGS[k] for k in rng.integers(len(THINGS), size=3)]
        try:
            CALLS[rng.integers(len(CALLS))](trainer, *arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            messages.append(str(error))
        assert np.isfinite(trainer.net.params).all()
    assert all(messages)
    assert len(messages) > 10
