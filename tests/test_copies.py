"""Copies of a trainer, by pickle and deepcopy, go on with the bits that the trainer itself goes on with."""

import copy
import pickle

import pytest

import fastbp as fb
from nets import OPTIMIZERS, everything
from resumable import build, fit


@pytest.mark.parametrize("how", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_copy_goes_on_with_the_same_bits(optimizer: str, how, dtype) -> None:
    trainer = build(str(dtype), optimizer)
    fit(trainer, epochs=2)
    twin = how(trainer)
    assert twin.net is not trainer.net
    runs = [everything(each, fit(each, epochs=2)) for each in (trainer, twin)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("how", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_a_copy_made_within_a_fit_can_be_resumed(how) -> None:
    copies = []
    takes = fb.LambdaCallback(every=8, on_batch_end=lambda trainer, batch, logs: copies.append(how(trainer)))
    trainer = build()
    wanted = everything(trainer, fit(trainer, epochs=3))
    again = build()
    fit(again, [takes], epochs=3)
    assert everything(copies[1], fit(copies[1], epochs=3, resume=True)) == wanted


def test_a_copy_knows_features_and_labels_of_any_kind() -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(4, "tanh"), fb.Dense(2), seed=0)
    trainer = fb.Trainer(net, "cross_entropy", "adam")
    trainer.learn_one({("a", 1): 1.0, "b": 2.0}, frozenset({3}))
    twin = pickle.loads(pickle.dumps(trainer))
    for each in (trainer, twin):
        each.learn_one({"c": 1.0, ("a", 1): 0.5}, "other")
    assert twin.predict_proba_one({"b": 1.0}) == trainer.predict_proba_one({"b": 1.0})
