"""The models for River: its own checks, pipelines, ensembles and evaluation."""

import copy

import numpy as np
import pytest

import fastbp as fb

river = pytest.importorskip("river")
pytest.importorskip("sklearn")
from river import checks, datasets, ensemble, evaluate, metrics, preprocessing  # noqa: E402

from fastbp.river import Classifier, Regressor  # noqa: E402

CHECKS = [
    pytest.param(model, check, id=f"{type(model).__name__}-{getattr(check, '__name__', check)}-{k}")
    for model in (Classifier(hidden=(8,), seed=1), Regressor(hidden=(8,), seed=1))
    for k, check in enumerate(checks.yield_checks(model))
]


@pytest.mark.parametrize(("model", "check"), CHECKS)
def test_rivers_own_checks(model, check) -> None:
    check(copy.deepcopy(model))


def test_a_pipeline_and_an_ensemble_learn() -> None:
    model = preprocessing.StandardScaler() | Classifier(optimizer=fb.Adam(lr=0.01), seed=1)
    assert evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy()).get() > 0.8
    bag = ensemble.BaggingClassifier(Classifier(hidden=(8,), optimizer=fb.Adam(lr=0.01), seed=1), n_models=3, seed=1)
    model = preprocessing.StandardScaler() | bag
    assert evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy()).get() > 0.8
    model = preprocessing.StandardScaler() | preprocessing.TargetStandardScaler(Regressor(seed=1))
    assert evaluate.progressive_val_score(datasets.TrumpApproval(), model, metrics.MAE()).get() < 1.5


def test_a_model_is_what_a_trainer_learns() -> None:
    model = Regressor(hidden=(3,), optimizer=fb.SGD(lr=0.1), seed=5)
    net = fb.Sequential(fb.Input(1), fb.Dense(3, "relu"), fb.Dense(1), dtype="float64", seed=5)
    trainer = fb.Trainer(net, "mse", fb.SGD(lr=0.1))
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(size=2).tolist()
        model.learn_one({"a": a, "b": b}, a - 2 * b)
        trainer.learn_one({"a": a, "b": b}, a - 2 * b)
    assert model.predict_one({"a": 1.0, "b": 0.5}) == trainer.predict_one({"a": 1.0, "b": 0.5})


def test_a_clone_has_its_own_state() -> None:
    optimizer = fb.Adam(lr=0.01)
    model = Classifier(hidden=[], optimizer=optimizer, seed=0)
    other = model.clone()
    model.learn_one({"a": 1.0}, "yes")
    assert other.predict_proba_one({"a": 1.0}) == {}
    assert optimizer.lr == 0.01
