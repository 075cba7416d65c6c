"""Weight decay of one layer, against PyTorch's groups of parameters."""

import pickle

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")

PAIRS = {
    "adam": (fb.Adam(lr=0.01, weight_decay=0.02), lambda groups: torch.optim.Adam(groups, lr=0.01)),
    "adamw": (fb.AdamW(lr=0.01, weight_decay=0.02), lambda groups: torch.optim.AdamW(groups, lr=0.01)),
    "sgd": (fb.SGD(lr=0.1, weight_decay=0.02), lambda groups: torch.optim.SGD(groups, lr=0.1)),
}


def net_of(decay: float | None = 0.3) -> fb.Model:
    layers = fb.Dense(6, "tanh", decay=decay), fb.Dense(3)
    return fb.Sequential(fb.Input(4), *layers, dtype="float64", seed=0)


@pytest.mark.parametrize("name", PAIRS)
def test_it_is_that_of_a_group_of_pytorchs(name: str, rng: np.random.Generator) -> None:
    net, (ours, theirs) = net_of(), PAIRS[name]
    module = net.to_torch()
    linear = module[0]
    others = [p for p in module.parameters() if p is not linear.weight]
    optimizer = theirs([{"params": [linear.weight], "weight_decay": 0.3}, {"params": others, "weight_decay": 0.02}])
    X, T = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    trainer = fb.Trainer(net, "mse", ours)
    for _ in range(5):
        optimizer.zero_grad()
        ((module(torch.as_tensor(X)) - torch.as_tensor(T)) ** 2).mean().backward()
        optimizer.step()
        trainer.step(X, T)
    np.testing.assert_allclose(net["dense_1"].W, linear.weight.detach().numpy().T, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(net["dense_1"].b, linear.bias.detach().numpy(), rtol=1e-10, atol=1e-13)


def test_it_is_saved_and_copied(tmp_path, rng: np.random.Generator) -> None:
    net, X, T = net_of(), rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    net.save(tmp_path / "net.safetensors")
    copies = [net.copy(), pickle.loads(pickle.dumps(net)), fb.load(tmp_path / "net.safetensors")]
    net.fit(X, T, epochs=3, seed=0, optimizer="adam")
    for one in copies:
        assert one["dense_1"].decay == 0.3
        one.fit(X, T, epochs=3, seed=0, optimizer="adam")
        np.testing.assert_array_equal(one.params, net.params)
    plain = net_of(None)
    assert "decay" not in plain.config()["layers"][0]
    plain.fit(X, T, epochs=3, seed=0, optimizer="adam")
    assert not np.array_equal(plain.params, net.params)
    x = fb.Input(4)
    assert fb.Model(x, net(x, copy=True)).layers[0].decay == 0.3


def test_groups_come_before_it_and_zero_switches_decay_off(rng: np.random.Generator) -> None:
    X, T = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    pairs = [
        (net_of(0.3), fb.AdamW(groups={"dense_1": {"weight_decay": 0.0}}, weight_decay=0.0), net_of(None), 0.0),
        (net_of(0.3), fb.AdamW(groups={"dense_1.W": {"weight_decay": 0.0}}, weight_decay=0.0), net_of(None), 0.0),
    ]
    for net, optimizer, other, decay in pairs:
        net.fit(X, T, optimizer=optimizer, epochs=2, seed=0)
        other.fit(X, T, optimizer=fb.AdamW(weight_decay=decay), epochs=2, seed=0)
        np.testing.assert_array_equal(net.params, other.params)
    off, on = net_of(0.0), net_of(None)
    off.fit(X, T, optimizer=fb.AdamW(weight_decay=0.5, decay_biases=False), epochs=2, seed=0)
    groups = {"dense_1.W": {"weight_decay": 0.0}}
    on.fit(X, T, optimizer=fb.AdamW(weight_decay=0.5, decay_biases=False, groups=groups), epochs=2, seed=0)
    np.testing.assert_array_equal(off.params, on.params)


def test_an_embedding_has_one(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(2), fb.Embedding(5, 3, decay=0.5), dtype="float64", seed=0)
    before = net["embedding_1"].W.copy()
    net.grads[...] = 0
    fb.SGD(lr=0.1).step(net)
    np.testing.assert_allclose(net["embedding_1"].W, before * (1 - 0.1 * 0.5), rtol=1e-12)


@pytest.mark.parametrize(("decay", "error"), [(-1.0, ValueError), (float("nan"), ValueError), ("l2", TypeError)])
def test_mistakes(decay: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="decay"):
        fb.Dense(3, decay=decay)
