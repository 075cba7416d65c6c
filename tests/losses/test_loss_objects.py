"""Losses as objects: made, refused, shown, pickled, kept in files, and used where a name is."""

import pickle
from inspect import signature

import numpy as np
import pytest

import fastbp as fb
from loss_cases import NAMES, ROWS, SETTINGS
from nets import two_heads

BAD_PARAMETERS = [
    ("Huber", {"delta": 0}, ValueError, ["delta", "above 0", "0"]),
    ("Huber", {"delta": "x"}, TypeError, ["delta", "'x'"]),
    ("Huber", {"delat": 1}, TypeError, ["delat", "delta", "mask_nan"]),
    ("Quantile", {"quantiles": [0.1, 1.0]}, ValueError, ["quantiles", "above 0 and below 1", "1.0"]),
    ("Quantile", {"quantiles": []}, ValueError, ["quantiles", "(0,)"]),
    ("Expectile", {"expectiles": 0.0}, ValueError, ["expectiles", "0.0"]),
    ("BinaryCrossEntropy", {"pos_weight": -1.0}, ValueError, ["pos_weight", "at least 0", "-1.0"]),
    ("CrossEntropy", {"label_smoothing": 1.0}, ValueError, ["label_smoothing", "1.0"]),
    ("CrossEntropy", {"class_weight": [[1.0]]}, ValueError, ["class_weight", "(1, 1)"]),
    ("Focal", {"alpha": 1.5}, ValueError, ["alpha", "0 ... 1", "1.5"]),
    ("FocalCrossEntropy", {"gamma": -1}, ValueError, ["gamma", "at least 0", "-1"]),
    ("FocalCrossEntropy", {"alpha": [1.0, -2.0]}, ValueError, ["alpha", "at least 0", "-2.0"]),
    ("Tweedie", {"power": 2.0}, ValueError, ["power", "above 1 and below 2"]),
    ("Poisson", {"log_input": "no"}, TypeError, ["log_input", "'no'"]),
]


@pytest.mark.parametrize(("name", "settings", "error", "words"), BAD_PARAMETERS, ids=str)
def test_bad_parameters_are_refused_when_the_loss_is_made(name, settings, error, words) -> None:
    with pytest.raises(error) as caught:
        getattr(fb.losses, name)(**settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)


BAD_TARGETS = [
    ("gamma", [[1.0], [0.0]], ["0.0", "row 1", "above 0"]),
    ("poisson", [[1.0], [-2.0]], ["-2.0", "row 1", "at least 0"]),
    ("hinge", [[1.0], [0.5]], ["0.5", "row 1", "whole"]),
    ("hinge", [[2.0], [1.0]], ["2.0", "row 0"]),
    ("focal", [[1.0], [1.5]], ["1.5", "row 1", "0 ... 1"]),
    ("tweedie", [[0.0], [-1.0]], ["-1.0", "row 1"]),
    ("mse", [[0.0], [np.inf]], ["inf", "row 1"]),
]


@pytest.mark.parametrize(("name", "t", "words"), BAD_TARGETS, ids=str)
@pytest.mark.parametrize("mask_nan", [False, True])
def test_bad_targets_are_refused_with_their_row(name: str, t: list, words: list, mask_nan: bool) -> None:
    loss = getattr(fb.losses, name).configured(mask_nan=mask_nan)
    with pytest.raises(ValueError, match=words[1]) as caught:
        loss(np.ones((2, 1)), t)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    trainer = fb.Trainer(fb.Sequential(fb.Input(1), fb.Dense(1), seed=0), loss)
    with pytest.raises(ValueError, match=words[1]):
        trainer.step(np.ones((2, 1), np.float32), np.array(t, np.float32))


def test_widths_that_do_not_fit_are_refused() -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(3), seed=0)
    for loss, words in (
        (fb.losses.Quantile([0.1, 0.9]), "quantile wants 2 outputs for each target, got an output of width 3"),
        ("gaussian_nll", "gaussian_nll wants 2 outputs"),
        (fb.losses.FocalCrossEntropy(alpha=[1.0, 2.0]), "alpha of focal_cross_entropy .* each of 3 outputs, got 2"),
        (fb.losses.CrossEntropy(class_weight=[1.0, 2.0]), "class_weight of cross_entropy .* each of 3 outputs, got 2"),
    ):
        with pytest.raises(ValueError, match=words):
            fb.Trainer(net, loss)
    with pytest.raises(TypeError, match=r"got the class Huber: Huber\(\) makes one"):
        fb.Trainer(net, fb.losses.Huber)
    with pytest.raises(ValueError, match="must be a tuple of 2, got 3"):
        fb.Trainer(two_heads(), ("mse", "mse"), loss_weights=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="unknown output in loss 'sizes'; known: kind, size"):
        fb.Trainer(two_heads(), {"kind": "mse", "sizes": "mse"})
    with pytest.raises(ValueError, match="loss_weights has nothing for the output 'size'"):
        fb.Trainer(two_heads(), ("mse", "mse"), loss_weights={"kind": 1.0})


@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in NAMES), *SETTINGS], ids=str)
def test_losses_are_pickled_shown_and_compared(name: str, settings: dict) -> None:
    loss = 0.5 * getattr(fb.losses, name).configured(mask_nan=True, **settings)
    for copy in (pickle.loads(pickle.dumps(loss)), eval(repr(loss), vars(fb.losses))):
        assert copy == loss
        assert copy.settings == loss.settings
        assert copy.weight == 0.5
    assert loss != getattr(fb.losses, name)


def test_a_trainer_keeps_its_losses_in_a_file(tmp_path, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(9, 4)), (rng.integers(3, size=9), rng.normal(size=(9, 2)))
    losses = (fb.losses.CrossEntropy(label_smoothing=0.1, class_weight=[1.0, 2.0, 3.0]), fb.losses.Huber(0.5))
    trainer = fb.Trainer(two_heads(), losses, fb.Adam(), loss_weights=(1.0, 0.3))
    trainer.step(X, y)
    trainer.save(tmp_path / "trainer.safetensors")
    again = fb.Trainer.load(tmp_path / "trainer.safetensors")
    assert again.objective.losses == losses
    assert [trainer.step(X, y) for _ in range(3)] == [again.step(X, y) for _ in range(3)]


@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "binary_cross_entropy", "focal"])
def test_the_accuracy_of_a_margin_is_by_its_sign(name: str, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(40, 3)), rng.integers(2, size=40)
    net = fb.Sequential(fb.Input(3), fb.Dense(1), seed=0)
    got = net.evaluate(X, y, loss=name, metrics=["accuracy"])["accuracy"]
    assert got == np.mean((net.predict(X)[:, 0] > 0) == (y == 1))


def test_help_names_the_parameters() -> None:
    text = str(signature(fb.losses.Tweedie))
    assert text == "(power=1.5, log_input=True, eps=1e-08, *, mask_nan=False)"
    for name in NAMES:
        cls = fb.losses.Loss.classes[name]
        assert ROWS[name].formula in cls.__doc__
        assert all(parameter.name in cls.__doc__ for parameter in ROWS[name].parameters)
