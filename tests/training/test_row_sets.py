"""Row sets: the gradient of the summed loss, computed for what is wanted only. PyTorch is the oracle."""

import re

import numpy as np
import pytest

import fastbp as fb

pytest.importorskip("torch")
LOSSES = {"u": "mse", "residual": "huber"}


def net_of(dtype: str = "float64") -> fb.Model:
    """Two outputs that share a layer, one of which needs the other; and an input that neither uses alone."""
    x = fb.Input(2)
    h = fb.Dense(8, "tanh", name="body")(x)
    u = fb.Dense(1, name="u")(h)
    residual = fb.Dense(3, name="more")(h) * u
    residual.name = "residual"
    return fb.Model(x, [u, residual], dtype=dtype, seed=0)


def sets_of(dtype="float64") -> dict:
    rng = np.random.default_rng(5)
    inside, edge, start = (rng.normal(size=(rows, 2)).astype(dtype) for rows in (50, 7, 4))
    weights = rng.uniform(0.5, 2, size=4)
    return {
        "inside": (inside, {"residual": 0.0}),
        "edge": (edge, {"u": np.sin(edge[:, :1])}, 2.0),
        "start": (start, {"u": start[:, 1:], "residual": np.ones((4, 3))}, weights),
    }


def summed(net: fb.Model, sets: dict) -> tuple[float, np.ndarray]:
    """The loss of all sets and its gradient by the parameters."""
    import torch_twin
    from torch_twin import torch

    params = {name: p.double().requires_grad_() for name, p in torch_twin.parameters(net).items()}
    total = torch.zeros((), dtype=torch.float64)
    for X, targets, *weight in sets.values():
        ys = dict(zip(LOSSES, torch_twin.evaluate(net, params, torch.tensor(X, dtype=torch.float64)), strict=True))
        for name, target in targets.items():
            t = torch.as_tensor(np.broadcast_to(target, ys[name].shape).copy(), dtype=torch.float64)
            form = {"mse": torch.nn.functional.mse_loss, "huber": torch.nn.functional.huber_loss}[LOSSES[name]]
            rows = form(ys[name], t, reduction="none").mean(1)
            total = total + (rows * torch.as_tensor(weight[0] if weight else 1.0)).mean()
    grads = torch.autograd.grad(total, list(params.values()), allow_unused=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, params.values(), strict=True)]
    return float(total.detach()), np.concatenate([part.numpy().reshape(-1) for part in parts])


def assert_a_step(factor: float = 1.0) -> None:
    net, sets = net_of(), sets_of()
    before = net.params.copy()
    loss, gradient = summed(net, sets)
    history = net.fit(sets, loss=LOSSES, optimizer=fb.SGD(lr=0.5), batch_size=100, seed=1)
    np.testing.assert_allclose(history.history["loss"], [factor * loss], rtol=1e-12)
    np.testing.assert_allclose(net.params, before - 0.5 * factor * gradient, rtol=0, atol=1e-13)


def test_a_step_is_that_of_the_summed_loss() -> None:
    assert_a_step()
    with pytest.raises(AssertionError):
        assert_a_step(1.001)


def test_an_output_that_is_not_wanted_is_not_computed() -> None:
    """A node that would fail on the rows of the other set is never run on them."""
    seen = []

    def forward(X: np.ndarray) -> np.ndarray:
        seen.append(len(X))
        return X * 2

    x = fb.Input(2)
    u = fb.Dense(1, name="u")(x)
    twice = fb.Lambda(forward, lambda dY, X, Y: 2 * dY, name="twice")(x)
    net = fb.Model(x, [u, fb.Dense(1, name="v")(twice)], seed=0)
    sets = {"a": (np.ones((9, 2)), {"u": 0.0}), "b": (np.ones((5, 2)), {"v": 0.0})}
    net.fit(sets, loss=("mse", "mse"), batch_size=14, threads=1)
    assert sum(seen) == 5


def test_every_row_comes_once_an_epoch_and_small_sets_whole() -> None:
    """By the losses of a net that gives out what it gets, with nothing that moves it."""
    x = fb.Input(1)
    net = fb.Model(x, fb.Parameter(1.0, trainable=False) * x, dtype="float64")
    X, few = np.arange(1.0, 12.0)[:, None], np.array([[3.0], [5.0]])
    losses: list[float] = []
    watch = fb.LambdaCallback(on_batch_end=lambda trainer, batch, logs: losses.append(logs["loss"]))
    for shuffle in (True, False):
        losses.clear()
        sets = {"many": (X, 0.0), "few": (few, 0.0)}
        history = net.fit(sets, batch_size=3, shuffle=shuffle, callbacks=[watch], seed=0)
        assert len(losses) == 5
        assert history.history["many_loss"] == [pytest.approx((X**2).mean())]
        assert history.history["few_loss"] == [pytest.approx(17.0)]
        assert history.history["loss"] == [pytest.approx((X**2).mean() + 17)]


@pytest.mark.parametrize("optimizer", ["adam", fb.SGD(momentum=0.9, clip_norm=0.1, weight_decay=0.01), "muon"])
def test_the_same_bits_by_any_number_of_threads(optimizer, dtype: np.dtype) -> None:
    found = []
    for threads in (1, 2):
        net = net_of(dtype.name)
        settings = {"loss": LOSSES, "optimizer": optimizer, "epochs": 3, "batch_size": 16, "seed": 0}
        net.fit(sets_of(dtype), threads=threads, **settings)
        found.append(net.params.tobytes())
    assert found[0] == found[1]


def test_one_set_of_all_outputs_is_a_fit_on_arrays() -> None:
    X, y = sets_of()["inside"][0], (np.ones((50, 1)), np.zeros((50, 3)))
    one, other = net_of(), net_of()
    settings = {"loss": LOSSES, "optimizer": "adam", "epochs": 3, "batch_size": 50, "shuffle": False}
    history = one.fit({"all": (X, {"u": y[0], "residual": 0})}, **settings)
    wanted = other.fit(X, y, **settings)
    np.testing.assert_allclose(one.params, other.params, rtol=0, atol=1e-14)
    np.testing.assert_allclose(history.history["loss"], wanted.history["loss"], rtol=1e-13)


def test_frozen_layers_stay_whenever_they_are_frozen() -> None:
    net, sets = net_of(), sets_of()
    trainer = fb.Trainer(net, LOSSES)
    trainer.fit(sets)
    for trainable in (False, True):
        net["body"].trainable = trainable
        before = net["body"].W.copy(), net["u"].W.copy()
        trainer.fit(sets)
        assert (before[0] == net["body"].W).all() != trainable
        assert (before[1] != net["u"].W).all()


def drawing(rng: np.random.Generator) -> tuple:
    return rng.uniform(size=(30, 2)), {"residual": 0.0}


def test_points_are_drawn_anew_each_epoch() -> None:
    seen = []

    def draw(rng: np.random.Generator) -> tuple:
        X, targets = drawing(rng)
        seen.append(X)
        return X, targets

    net_of().fit({"inside": draw, "edge": sets_of()["edge"]}, loss=LOSSES, epochs=3, seed=0)
    assert len(seen) == 3
    assert len({X.tobytes() for X in seen}) == 3


def test_a_fit_is_resumed_within_an_epoch_with_the_same_bits(tmp_path) -> None:
    sets = {"inside": drawing, "edge": sets_of()["edge"]}
    settings = {"epochs": 4, "batch_size": 8, "seed": 3}
    whole = fb.Trainer(net_of(), LOSSES)
    wanted = whole.fit(sets, **settings)
    stopped = fb.Trainer(net_of(), LOSSES)
    path = tmp_path / "fit.safetensors"
    save = fb.LambdaCallback(
        on_batch_end=lambda trainer, batch, logs: trainer.save(path) if trainer.chain.t == 7 else None
    )
    stopped.fit(sets, callbacks=[save], **settings)
    again = fb.Trainer.load(path)
    assert again.chain.t == 7
    history = again.fit(sets, epochs=4, batch_size=8, resume=True)
    assert again.net.params.tobytes() == whole.net.params.tobytes()
    assert history.history == wanted.history


def test_validation_by_sets_and_by_arrays() -> None:
    sets = sets_of()
    for validation in (sets, (np.ones((3, 2)), (np.ones((3, 1)), np.ones((3, 3))))):
        history = net_of().fit(sets, loss=LOSSES, validation_data=validation, epochs=2).history
        names = ["loss", "inside_loss", "edge_loss", "start_loss"]
        assert list(history) == [*names, *(f"val_{name}" for name in (names if validation is sets else names[:1]))]
        assert np.isfinite(list(history.values())).all()
    net = net_of()
    slow = {"loss": LOSSES, "optimizer": fb.SGD(lr=1e-14), "batch_size": 100, "validation_data": sets}
    found = net.fit(sets, **slow).history["val_loss"]
    assert found[0] == pytest.approx(summed(net, sets)[0], rel=1e-9)


def test_divergence_is_told_with_its_place() -> None:
    net = net_of()
    before = net.params.copy()
    with pytest.raises(fb.DivergenceError, match=r"the loss became inf at step 1 \(epoch 1, batch 1\)"):
        net.fit({"far": (np.ones((3, 2)), {"u": 1e200})}, loss=LOSSES)
    np.testing.assert_array_equal(net.params, before)


X = np.ones((5, 2))
BAD = [
    ({}, {}, ValueError, ["X", "no row set"]),
    ({"a": X}, {}, TypeError, ["X['a']", "(X, targets)", "ndarray"]),
    ({"a": (X, {})}, {}, ValueError, ["X['a']", "no target"]),
    ({"a": (X, 0.0)}, {}, TypeError, ["X['a']", "dict", "u, residual"]),
    ({"a": (X, {"w": 0.0})}, {}, ValueError, ["targets of X['a']", "'w'", "residual, u"]),
    ({"a": (X, {"u": np.ones((4, 1))})}, {}, ValueError, ["target u of X['a']", "4", "5"]),
    ({"a": (X[:, :1], {"u": 0.0})}, {}, ValueError, ["X of X['a']", "2", "1"]),
    ({"a": (X, {"u": 0.0}, -1.0)}, {}, ValueError, ["weight of X['a']", "-1"]),
    ({"a": (X, {"u": 0.0}, np.ones(4))}, {}, ValueError, ["weight of X['a']", "4 rows", "5"]),
    ({1: (X, {"u": 0.0})}, {}, TypeError, ["row set", "1"]),
    ({"a": (X, {"u": 0.0})}, {"sample_weight": np.ones(5)}, ValueError, ["sample_weight", "row sets"]),
    ({"a": (X, {"u": 0.0})}, {"augment": lambda *a: a}, ValueError, ["augment", "row sets", "function (rng)"]),
    ({"a": (X, {"u": 0.0})}, {"validation_data": {"b": 1}}, TypeError, ["validation_data['b']", "int"]),
    ({"a": (X, {"u": 0.0})}, {"metrics": (["mae"], [])}, ValueError, ["metrics", "row sets"]),
    ({"a": (X, {"u": 0.0})}, {"loss": (lambda Y, t: (0.0, Y), "mse")}, ValueError, ["row sets", "Python function"]),
]


@pytest.mark.parametrize(("sets", "settings", "error", "words"), BAD)
def test_what_is_wrong_is_refused(sets: dict, settings: dict, error: type, words: list[str]) -> None:
    net = net_of()
    before = net.params.copy()
    with pytest.raises(error, match=".*".join(re.escape(word) for word in words)):
        net.fit(sets, **{"loss": LOSSES, **settings})
    np.testing.assert_array_equal(net.params, before)


def test_a_node_is_named_before_the_model_is_built() -> None:
    x = fb.Input(2)
    y = x * 2
    y.name = "double"
    net = fb.Model(x, y)
    assert net["double"] is y.layer
    with pytest.raises(ValueError, match="belongs to a model"):
        y.name = "other"
