"""Mistakes in the loop by hand, in optimizers and in the functions; the same demands as in test_checks.py."""

import re

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from nets import LABELS, ROWS, VALUES, X, make_net, raises_and_changes_nothing, trained


@pytest.fixture
def trainer() -> fb.Trainer:
    return trained()


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
    "gradients of whole numbers": (lambda: fb.clip_by_global_norm(np.ones(3, int), 1.0), TypeError, ["grads", "int64"]),
    "rows of several lengths": (lambda: fb.jacobian(make_net(), [[1.0, 2.0], [3.0]]), ValueError, ["X is not"]),
    "words in a derivative": (lambda: fb.vjp(make_net(), ["a"], X), TypeError, ["X must hold numbers"]),
    "folds of a number": (lambda: fb.kfold(5), TypeError, ["X must have rows", "int"]),
    "folds of a 0-d array": (lambda: fb.kfold(np.array(5)), TypeError, ["X must have rows", "ndarray"]),
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
    with pytest.raises((TypeError, ValueError), match=r"loss|dY"):
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


@pytest.mark.parametrize("path", [0, True, 1.5, None, ["a"], b"net.safetensors"])
def test_a_number_is_no_path(path) -> None:
    """The number of an open file is one for Python: reading it would close it."""
    for work in (fb.load, fb.Trainer.load, make_net().save, trained().save, trained().restore, fb.CSVLogger):
        with pytest.raises(TypeError, match="path must be a path, got"):
            work(path)


def test_more_threads_than_there_can_be_are_as_many_as_there_can_be(trainer: fb.Trainer) -> None:
    wanted = trainer.net.predict(X, threads=1)
    np.testing.assert_array_equal(trainer.net.predict(X.tolist(), threads=10**18), wanted)
    assert np.isfinite(trainer.step(X, VALUES, threads=10**18))
