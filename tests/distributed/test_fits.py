"""Fits of several ranks: the history, callbacks, metrics, validation, schedules, checkpoints, streams; errors."""

import numpy as np
import pytest

import fastbp as fb
from ranks import of_ranks, on_ranks

ROWS, INPUTS, OUTPUTS = 47, 5, 3
RNG = np.random.default_rng(5)
X, LABELS = RNG.normal(size=(ROWS, INPUTS)), RNG.integers(0, OUTPUTS, ROWS)
XV, YV = RNG.normal(size=(19, INPUTS)), RNG.integers(0, OUTPUTS, 19)


def make(dtype="float64", seed=4):
    layers = [fb.Dense(7, "tanh"), fb.BatchNorm(), fb.Dropout(0.2), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=seed)


def interleaved(size, batch):
    """The order in which one process sees what ranks see together, without shuffling, and the rows of a batch."""
    shards = [
        fb.distributed.shard(np.arange(ROWS), np.arange(ROWS), group)[0] for group in fb.distributed.threads(size)
    ]
    batches = -(-max(map(len, shards)) // batch)
    return [np.concatenate([shard[k * batch : (k + 1) * batch] for shard in shards]) for k in range(batches)]


@pytest.mark.parametrize("size", [2, 3])
def test_a_fit_is_that_of_one_process(size):
    batches = [(X[rows], LABELS[rows]) for rows in interleaved(size, 6)]
    how = {"loss": "cross_entropy", "metrics": ["accuracy", "roc_auc"], "epochs": 3}
    one = make()
    lr = fb.schedules.Cosine(0.05, 20)
    expected = one.fit(batches, optimizer=fb.Adam(lr=lr, clip_norm=1.0), validation_data=(XV, YV), **how)

    def train(group):
        net = make(seed=group.rank)
        Xr, yr = fb.distributed.shard(X, LABELS, group)
        validation = fb.distributed.shard(XV, YV, group)
        lr = fb.schedules.Cosine(0.05, 20)
        if group.rank == 0:
            net.params = make().params
        net.seed = net.programs.seed = 4 if group.rank == 0 else 9
        optimizer = fb.Adam(lr=lr, clip_norm=1.0)
        more = {"batch_size": 6, "shuffle": False, "validation_data": validation, "group": group}
        return net.fit(Xr, yr, optimizer=optimizer, **more, **how).history, net.params.copy()

    found = of_ranks(size, train)
    for history, params in found:
        assert list(history) == list(expected.history)
        for name, values in history.items():
            np.testing.assert_allclose(values, expected.history[name], rtol=1e-11)
        np.testing.assert_allclose(params, one.params, rtol=1e-11, atol=1e-12)
        assert params.tobytes() == found[0][1].tobytes()


def fitted(group, callbacks=(), X=X, y=LABELS, net=None, **how):
    how = {"loss": "cross_entropy", "epochs": 4, "batch_size": 5, "callbacks": callbacks, **how}
    net = net or make()
    X, y = fb.distributed.shard(X, y, group)
    return net.fit(X, y, group=group, **how), net


def test_early_stopping_is_agreed_on():
    def train(group):
        stopping = fb.EarlyStopping(patience=1, restore_best=True)
        history, net = fitted(group, [stopping], epochs=60, optimizer=fb.Adam(lr=0.3), validation_data=(XV, YV))
        return len(history.epoch), stopping.best_epoch, net.params.tobytes()

    found = of_ranks(3, train)
    assert len(set(found)) == 1
    assert found[0][0] < 60


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_batch_end"])
def test_one_rank_stops_all(hook):
    def train(group):
        calls = []

        def stop(trainer, number, *logs):
            calls.append(number)
            return group.rank == 1 and len(calls) == 3

        history, net = fitted(group, [fb.LambdaCallback(**{hook: stop})])
        return len(history.epoch), len(calls), net.params.tobytes()

    found = of_ranks(3, train)
    assert len(set(found)) == 1
    assert found[0][1] == 3


HOOKS = ["on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_train_end"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("every", [1, 3])
def test_an_error_of_one_rank_is_that_of_all(hook, every):
    def train(group):
        def fail(*_):
            if group.rank == 1:
                raise KeyError("no such thing")

        trainer = fb.Trainer(make(), "cross_entropy", group=group, average_every=every)
        trainer.fit(
            *fb.distributed.shard(X, LABELS, group),
            epochs=3,
            batch_size=5,
            callbacks=[fb.LambdaCallback(**{hook: fail})],
        )

    errors = on_ranks(3, train)
    assert {type(error) for error in errors} == {fb.distributed.RankError}
    assert {str(error) for error in errors} == {"rank 1: KeyError: 'no such thing'"}
    assert isinstance(errors[1].__cause__, KeyError)


def test_data_that_one_rank_cannot_take():
    def train(group):
        bad = X.copy()
        bad[40, 2] = np.nan  # a row of rank 2
        fitted(group, X=bad)

    errors = {str(error) for error in on_ranks(3, train)}
    assert errors == {"rank 2: ValueError: X must be finite, got nan at row 9, column 2"} or len(errors) == 1
    assert next(iter(errors)).startswith("rank 2: ValueError: X")


def test_steps_with_an_error_of_one_rank():
    def train(group):
        trainer = fb.Trainer(make(), "cross_entropy", group=group)
        trainer.step(X[:6], LABELS[:6])
        bad = X[:6].copy()
        bad[1, 3] = np.inf if group.rank == 1 else 0
        trainer.step(bad, LABELS[:6])

    errors = on_ranks(2, train)
    assert len({str(error) for error in errors}) == 1
    assert str(errors[0]).startswith("rank 1: ValueError: X")


def test_a_loss_that_is_not_finite():
    def train(group):
        net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), dtype="float64", seed=0)
        huge = np.full((4, OUTPUTS), 1e200 if group.rank == 1 else 1.0)
        fb.Trainer(net, "mse", group=group).fit(X[:4], huge)

    errors = on_ranks(3, train)
    assert {type(error) for error in errors} == {fb.DivergenceError}
    assert len({str(error) for error in errors}) == 1
    assert "the loss became inf at step 1 (epoch 1, batch 1)" in str(errors[0])


def test_a_fit_that_ends_calmly():
    def train(group):
        calm = fb.TerminateOnNaN()
        net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), dtype="float64", seed=0)
        net.fit(X, np.full((ROWS, OUTPUTS), 1e200), optimizer=fb.SGD(lr=1.0), group=group, callbacks=[calm])
        return str(calm.error)

    assert len(set(of_ranks(2, train))) == 1


def test_shards_without_rows_and_with_different_numbers_of_batches():
    def train(group):
        rows = {0: 31, 1: 0, 2: 4}[group.rank]
        net = make()
        history = net.fit(X[:rows], LABELS[:rows], loss="cross_entropy", metrics=["accuracy"], epochs=2, batch_size=5,
                          validation_data=(XV, YV) if group.rank == 2 else None, group=group)  # fmt: skip
        return repr(history.history), net.params.tobytes(), history.samples

    found = of_ranks(3, train)
    assert len(set(found)) == 1
    assert found[0][2] == 70
    assert "val_accuracy" in found[0][0]


def test_no_rank_has_rows():
    errors = on_ranks(2, lambda group: make().fit(None, None, group=group))
    assert {str(error) for error in errors} == {"rank 0 (and ranks 1): ValueError: no rank has rows"}


def test_streams_of_different_lengths():
    whole = interleaved(2, 7)

    def train(group):
        mine = fb.distributed.shard(np.arange(ROWS), np.arange(ROWS), group)[0]
        batches = [(X[mine[k : k + 7]], LABELS[mine[k : k + 7]]) for k in range(0, len(mine), 7)]
        net = make()
        return net.fit(batches, loss="cross_entropy", epochs=2, metrics=["accuracy"], group=group).history, net.params

    one = make()
    expected = one.fit(
        [(X[rows], LABELS[rows]) for rows in whole], loss="cross_entropy", epochs=2, metrics=["accuracy"]
    )
    for history, params in of_ranks(2, train):
        np.testing.assert_allclose(params, one.params, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(history["loss"], expected.history["loss"], rtol=1e-11)
        assert history["accuracy"] == expected.history["accuracy"]


def test_a_stream_that_breaks():
    def train(group):
        def batches():
            for k in range(4):
                if k == 2 and group.rank == 1:
                    raise OSError("the disk is gone")
                yield X[:5], LABELS[:5]

        make().fit(batches(), loss="cross_entropy", group=group)

    assert {str(error) for error in on_ranks(2, train)} == {"rank 1: OSError: the disk is gone"}


def test_shuffles_differ_between_ranks_and_repeat():
    def train(group):
        return fitted(group, epochs=3, augment=lambda X, y, rng: (X + rng.normal(size=X.shape), y))[1].params.tobytes()

    assert of_ranks(2, train) == of_ranks(2, train)


def test_files_and_progress_are_rank_0s(tmp_path, capsys):
    def train(group):
        folder = tmp_path / str(group.rank)
        folder.mkdir()
        callbacks = [fb.ModelCheckpoint(folder / "it.safetensors"), fb.CSVLogger(folder / "it.csv")]
        fitted(group, callbacks, progress=True)

    of_ranks(3, train)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["it.csv", "it.safetensors"]
    assert sorted(path.parent.name for path in tmp_path.glob("*/*")) == ["0", "0"]
    assert capsys.readouterr().err.count("epoch 1/4") == 1


@pytest.mark.parametrize("unit", ["epochs", "batches"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_resumed_fit_is_the_uninterrupted_one(tmp_path, unit, stream):
    path = tmp_path / f"{unit}.safetensors"

    def data(group):
        Xr, yr = fb.distributed.shard(X, LABELS, group)
        if not stream:
            return Xr, yr
        return ([(Xr[k : k + 5], yr[k : k + 5]) for k in range(0, len(Xr), 5)],)

    def train(group, breaks=None, resume=False):
        seen = []

        def count(trainer, batch, logs):
            seen.append(batch)
            if len(seen) == breaks:
                raise RuntimeError("the machine is gone")

        net = make()
        stopping = fb.EarlyStopping(patience=50)
        checkpoint = fb.ModelCheckpoint(path, unit=unit, every=1 if unit == "epochs" else 3)
        callbacks = [fb.LambdaCallback(on_batch_end=count), stopping, checkpoint]
        how = {"loss": "cross_entropy", "epochs": 4, "batch_size": 5, "optimizer": fb.Adam(lr=0.05), "resume": resume}
        history = net.fit(*data(group), group=group, callbacks=callbacks, **how)
        return net.params.tobytes(), repr(history.history)

    whole = of_ranks(3, train)
    path.unlink()
    assert "the machine is gone" in str(on_ranks(3, lambda group: train(group, breaks=11))[1])
    assert of_ranks(3, lambda group: train(group, resume=path)) == whole


def test_within_an_epoch_metrics_do_not_resume(tmp_path):
    path = tmp_path / "it.safetensors"

    def train(group, resume=False):
        checkpoint = fb.ModelCheckpoint(path, unit="batches", every=2)
        return fitted(group, [checkpoint], metrics=["accuracy"], resume=resume, epochs=1 + bool(resume))

    of_ranks(2, train)
    errors = on_ranks(2, lambda group: train(group, resume=path))
    assert all("resume between epochs" in str(error) for error in errors) or not any(
        isinstance(error, BaseException) for error in errors
    )


def test_averages_every_few_steps():
    def train(group):
        trainer = fb.Trainer(
            make(), "cross_entropy", fb.Adam(lr=0.02), metrics=["accuracy"], group=group, average_every=4
        )
        Xr, yr = X[: 30 - 13 * group.rank], LABELS[: 30 - 13 * group.rank]
        history = trainer.fit(Xr, yr, epochs=20, batch_size=5, validation_data=(XV, YV))
        return repr(history.history), trainer.net.params.tobytes(), trainer.chain.states.tobytes(), trainer.chain.t

    found = of_ranks(3, train)
    assert len(set(found)) == 1
    losses = eval(found[0][0])["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_parameters_that_differ_are_noticed(monkeypatch):
    import fastbp.training.group_runner as group_runner

    monkeypatch.setattr(group_runner, "CHECK_EVERY", 3)

    def train(group):
        trainer = fb.Trainer(make(), "cross_entropy", group=group)
        for step in range(9):
            trainer.step(X[:5], LABELS[:5])
            if step == 3 and group.rank == 1:
                trainer.net.params[0] += 1e-9
        return step

    errors = on_ranks(3, train)
    assert len({str(error) for error in errors}) == 1
    assert "checksums of the parameters after step 6 differ between the ranks" in str(errors[0])
    assert "on rank 0, 2; " in str(errors[0])


def test_evaluation_is_of_all_ranks():
    net = make()
    expected = fb.Trainer(net, "cross_entropy", metrics=["f1"]).evaluate(X, LABELS)

    def measured(group):
        trainer = fb.Trainer(make(), "cross_entropy", metrics=["f1"], group=group)
        return trainer.evaluate(*fb.distributed.shard(X, LABELS, group))

    for found in of_ranks(3, measured):
        assert found == pytest.approx(expected, rel=1e-12)


def test_shards_are_all_rows():
    for size in (1, 2, 5, 60):
        found = [fb.distributed.shard((X, X[:, :2]), LABELS, group) for group in fb.distributed.threads(size)]
        assert (np.concatenate([part[0][0] for part in found]) == X).all()
        assert (np.concatenate([part[1] for part in found]) == LABELS).all()
        assert max(len(part[1]) for part in found) - min(len(part[1]) for part in found) <= 1
    with pytest.raises(ValueError, match="y has 46 rows, X has 47"):
        fb.distributed.shard(X, LABELS[1:], fb.distributed.threads(2)[0])


def test_interruption_of_one_rank():
    def train(group):
        def stop(*_):
            if group.rank == 1:
                raise KeyboardInterrupt

        fitted(group, [fb.LambdaCallback(on_batch_end=stop)])

    errors = on_ranks(2, train)
    assert isinstance(errors[0], fb.distributed.RankError)
    assert str(errors[0]) == "rank 1: KeyboardInterrupt: "
    assert isinstance(errors[1], KeyboardInterrupt)


def test_row_sets_are_refused_on_all_ranks():
    def train(group):
        net = fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS), seed=0)
        net.fit({"known": (X, np.zeros((ROWS, OUTPUTS)))}, group=group)

    errors = {str(error) for error in on_ranks(2, train)}
    assert errors == {
        "rank 0 (and ranks 1): TypeError: a group trains on arrays or batches, not on row sets",
    }
