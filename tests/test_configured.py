"""A name and settings, to JSON and back: every kind in the one way, and files of earlier versions with it.

The oracle is JSON itself, written down here as versions before this test wrote it.
"""

import copy
import json
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp import metrics, schedules
from fastbp.initializers import INITIALIZERS, truncated_normal
from fastbp.layers.constraints import Constraint
from fastbp.layers.layer import Layer
from fastbp.losses.loss import Loss
from fastbp.metrics.metric import METRICS
from fastbp.optimizers import Optimizer
from fastbp.schedules.schedule import Schedule

REGISTRIES = {
    "loss": Loss.classes,
    "metric": METRICS,
    "optimizer": Optimizer.classes,
    "schedule": Schedule.classes,
    "initializer": INITIALIZERS,
    "constraint": Constraint.classes,
    "class of layer": Layer.classes,
}
WRITTEN = {
    "loss": (0.5 * fb.losses.Huber(delta=2.0), {"name": "huber", "weight": 0.5, "delta": 2.0, "mask_nan": False}),
    "metric": (metrics.f1(average="macro"), {"metric": "f1", "average": "macro"}),
    "optimizer": (
        fb.SGD(lr=schedules.Constant(0.1), momentum=0.9, clip_norm=1.0),
        {
            "name": "sgd", "lr": {"schedule": "constant", "per": "step", "lr": 0.1}, "momentum": 0.9, "nesterov": False,
            "dampening": 0.0, "lr_in_velocity": False, "weight_decay": 0.0, "clip_norm": 1.0,
        },
    ),
    "schedule": (
        schedules.WarmUp(schedules.Step(0.1, step_size=3), steps=2, start_factor=0.5),
        {
            "schedule": "warmup", "per": "step", "steps": 2, "start_factor": 0.5,
            "after": {"schedule": "step", "per": "step", "lr": 0.1, "step_size": 3, "gamma": 0.1},
        },
    ),
    "schedule with a state": (
        schedules.OnPlateau(0.1),
        {
            "schedule": "onplateau", "per": "epoch", "lr": 0.1, "factor": 0.1, "patience": 10, "threshold": 1e-4,
            "threshold_mode": "rel", "cooldown": 0, "min_lr": 0.0, "mode": "min", "monitor": "val_loss",
            "state": {"lr": 0.1, "best": None, "waited": 0, "cooling": 0},
        },
    ),
    "initializer": (truncated_normal(std=0.02), {"initializer": "truncated_normal", "std": 0.02}),
    "constraint": (fb.MaxNorm(2.0), {"kind": "max_norm", "limit": 2.0}),
    "class of layer": (fb.Dropout(0.5, name="d"), {"class": "Dropout", "name": "d", "rate": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_json_stays_as_it_is_and_comes_back(kind: str) -> None:
    thing, wanted = WRITTEN[kind]
    config = json.loads(json.dumps(thing.config()))
    if "state" in wanted:  # whose names are the plateau's own
        wanted = {**wanted, "state": config["state"]}
    assert config == wanted
    again = type(thing).from_config(config)
    assert type(again) is type(thing)
    assert again.config() == thing.config()
    assert REGISTRIES[kind.partition(" with")[0]].resolve(config).config() == thing.config()


@pytest.mark.parametrize("what", REGISTRIES)
def test_one_style_of_error(what: str) -> None:
    registry = REGISTRIES[what]
    names = ", ".join(sorted(registry))
    for given in ("surprise", {registry.key: "surprise"}):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            registry.resolve(given)
        assert str(error.value) == f"unknown {what} 'surprise'; known: {names}"
    for given in (3.5, {}, None):
        with pytest.raises(TypeError, match=f"^{what} must be "):
            registry.resolve(given)


@pytest.mark.parametrize("what", ["loss", "optimizer", "constraint"])
def test_a_class_in_the_place_of_an_object(what: str) -> None:
    cls = next(iter(REGISTRIES[what].values()))
    with pytest.raises(TypeError, match=rf"{what} must be a name or an object, got the class {cls.__name__}: .* one"):
        REGISTRIES[what].resolve(cls)


@pytest.mark.parametrize("kind", ["loss", "metric", "optimizer", "initializer", "constraint"])
def test_copies(kind: str) -> None:
    thing, _ = WRITTEN[kind]
    for again in (pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)):
        assert type(again) is type(thing)
        assert again.config() == thing.config()


def test_some_settings_changed() -> None:
    assert fb.SGD(lr=0.1).configured(momentum=0.9).rules() == [("momentum", (0.9, 0.0))]
    assert (0.5 * fb.losses.Huber(delta=2.0)).configured(delta=3.0) == 0.5 * fb.losses.Huber(delta=3.0)
    assert fb.MaxNorm(1.0).configured(limit=2.0) == fb.MaxNorm(2.0)


def test_a_schedule_by_epochs_only() -> None:
    assert eval(repr(schedules.OnPlateau(0.1)), vars(schedules)).config() == schedules.OnPlateau(0.1).config()
    with pytest.raises(ValueError, match="unknown per of OnPlateau 'step'; known: epoch"):
        schedules.OnPlateau(0.1, per="step")


def test_a_trainer_with_settings_is_saved_again(tmp_path, rng) -> None:
    X, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    net = fb.Sequential(fb.Input(3), fb.Dense(5, constraint=fb.MaxNorm(1.0)), fb.Dense(2), seed=0)
    trainer = fb.Trainer(
        net, 0.5 * fb.losses.Huber(), fb.Adam(schedules.OnPlateau(0.1)), metrics=[metrics.mae(name="m")]
    )
    trainer.fit(X, y, epochs=2)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    trainer.save(first)
    fb.Trainer.load(first).save(second)
    assert first.read_bytes() == second.read_bytes()
    assert np.isfinite(fb.Trainer.load(second).evaluate(X, y)["m"])
