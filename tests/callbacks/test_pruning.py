"""Sweeps by Optuna: trials that are pruned, and a study that two processes share."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastbp as fb

RNG = np.random.default_rng(1)
X = RNG.normal(size=(120, 4))
Y = X[:, :1] * X[:, 1:2]


class Trial:
    """What Optuna gives, recorded."""

    def __init__(self, prunes_at=None):
        self.reported, self._prunes_at = [], prunes_at

    def report(self, value, step):
        self.reported.append((step, value))

    def should_prune(self):
        return len(self.reported) == self._prunes_at


def train(trial, lr=0.01, **how):
    net = fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.Dense(1), seed=0)
    return net.fit(X, Y, optimizer=fb.Adam(lr=lr), epochs=6, callbacks=[fb.OptunaPruning(trial)], **how)


def test_each_epoch_is_reported():
    pytest.importorskip("optuna")
    trial = Trial()
    history = train(trial, validation_split=0.2).history
    assert trial.reported == list(enumerate(history["val_loss"]))
    trial = Trial()
    assert [value for _, value in trial.reported] == []
    history = train(trial, validation_split=0.2, validation_freq=2).history
    assert [step for step, _ in trial.reported] == [1, 3, 5]


def test_a_pruned_trial_ends_the_fit():
    optuna = pytest.importorskip("optuna")
    trial = Trial(prunes_at=3)
    with pytest.raises(optuna.TrialPruned, match="after epoch 3"):
        train(trial)
    assert len(trial.reported) == 3


def test_what_is_no_trial():
    pytest.importorskip("optuna")
    with pytest.raises(TypeError, match="has no report"):
        fb.OptunaPruning(object())
    with pytest.raises(ValueError, match="monitor must be one of loss, got 'mae'"):
        fb.Sequential(fb.Input(4), fb.Dense(1)).fit(X, Y, callbacks=[fb.OptunaPruning(Trial(), monitor="mae")])


STUDY = """
    import sys, numpy as np, optuna, fastbp as fb
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(sys.argv[1]))
    X = np.random.default_rng(1).normal(size=(120, 4))
    Y = X[:, :1] * X[:, 1:2]

    def objective(trial):
        net = fb.Sequential(fb.Input(4), fb.Dense(trial.suggest_int("width", 4, 16), "tanh"), fb.Dense(1), seed=0)
        optimizer = fb.Adam(lr=trial.suggest_float("lr", 1e-5, 1e-1, log=True))
        pruning = fb.OptunaPruning(trial)
        history = net.fit(X, Y, optimizer=optimizer, epochs=15, validation_split=0.25, callbacks=[pruning], threads=1)
        return history.history["val_loss"][-1]

    pruner = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2)
    how = {"study_name": "widths", "storage": storage, "load_if_exists": True, "pruner": pruner}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=int(sys.argv[2])), **how)
    study.optimize(objective, n_trials=10)
"""


def test_a_study_of_two_processes(tmp_path):
    optuna = pytest.importorskip("optuna")
    path = tmp_path / "study.log"
    script = tmp_path / "study.py"
    script.write_text(textwrap.dedent(STUDY), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(script), str(path)]
    running = [subprocess.Popen([*command, str(seed)]) for seed in range(2)]
    assert [process.wait(timeout=100) for process in running] == [0, 0]
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    trials = optuna.load_study(study_name="widths", storage=storage).trials
    states = [trial.state.name for trial in trials]
    assert len(trials) == 20
    assert {"COMPLETE", "PRUNED"} == set(states)
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert any(len(trial.intermediate_values) < 15 for trial in pruned)
