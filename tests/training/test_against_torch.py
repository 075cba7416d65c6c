"""Outputs, losses, gradients and optimizer steps against PyTorch, on random nets of 1 to 6 layers.

A second system by other hands: it shares no formula with the reference or with the engine. float64 to
1e-10, ten steps of each optimizer to 1e-9, float32 to 1e-4 of the largest element.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from nets import TAME, other_parameters
from torch_losses import LOSSES
from torch_twin import activated, activation, formula

torch = pytest.importorskip("torch")

OPTIMIZERS = {
    "sgd": (lambda: fb.SGD(lr=0.05), lambda p: torch.optim.SGD(p, lr=0.05)),
    "sgd with decay": (
        lambda: fb.SGD(lr=0.05, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.1),
    ),
    "momentum": (
        lambda: fb.SGD(lr=0.05, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    ),
    "nesterov": (
        lambda: fb.SGD(lr=0.05, momentum=0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
    ),
    "adam": (lambda: fb.Adam(lr=0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    "adam with all": (
        lambda: fb.Adam(lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
    ),
    "adamw": (lambda: fb.AdamW(lr=0.01), lambda p: torch.optim.AdamW(p, lr=0.01)),
    "adamw with all": (
        lambda: fb.AdamW(lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.3),
    ),
}
# With eps=1e-8 the sign of a gradient that is all rounding decides a whole step of Adam's: float64 only.
STEPS = [(name, dtype) for name in OPTIMIZERS for dtype in (np.float32, np.float64)]
STEPS = [case for case in STEPS if case not in (("adam", np.float32), ("adamw", np.float32))]
LIMITS = {"float64": 1e-10, "float32": 1e-4}


class Twin:
    """The same net in PyTorch, from the same parameters."""

    def __init__(self, net: fb.Sequential) -> None:
        self.layers, self.parameters = [], []
        for layer in net.layers:
            names = ("W", "b") if layer.b is not None else ("W",)
            tensors = [torch.tensor(np.array(getattr(layer, name)), requires_grad=True) for name in names]
            self.parameters += tensors
            self.layers.append((layer, *tensors))

    def __call__(self, X: np.ndarray) -> tuple:
        x = y = torch.tensor(X, requires_grad=True)
        for layer, W, *b in self.layers:
            y = activated(layer, y @ W + (b[0] if b else 0))
        return x, y

    def flat(self, gradients: bool) -> np.ndarray:
        return np.concatenate([(p.grad if gradients else p.detach()).numpy().ravel() for p in self.parameters])


def random_net(seed: int, dtype: str, heads: int = 1) -> tuple[fb.Sequential, np.ndarray, np.random.Generator]:
    """1 to 6 layers of any activation, with and without biases, and a batch; all sizes differ."""
    rng = np.random.default_rng(seed)
    depth = 1 + seed % 6
    sizes = rng.choice(np.arange(2, 70), size=depth + 2, replace=False)
    sizes[-1] *= heads
    names = rng.choice(TAME, size=depth)
    layers = []
    for units, name in zip(sizes[2:], names, strict=True):
        f = fb.activations.ActivationFunction(str(name), *other_parameters(name))
        layers.append(fb.Dense(int(units), activation=f, bias=bool(rng.random() < 0.8)))
    net = fb.Sequential(fb.Input(int(sizes[1])), *layers, dtype=dtype, seed=seed)
    net.params[...] += rng.normal(size=len(net.params)) * 0.1
    return net, rng.normal(size=(int(sizes[0]), int(sizes[1]))).astype(dtype), rng


def assert_close(got: np.ndarray, wanted: np.ndarray, limit: float, name: str) -> None:
    assert np.abs(got - wanted).max() <= limit * max(1.0, np.abs(wanted).max()), name


def test_every_row_of_the_tables_has_its_twin() -> None:
    """A new row is compared with PyTorch too, or said not to be."""
    assert set(_engine.LOSSES) == set(LOSSES)
    assert all(callable(activation(name)) for name in _engine.ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(row.name for row in _engine.ACTIVATIONS.values() if not row.by_rows))
def test_the_formulas_of_the_reference_run_in_torch(name: str, rng: np.random.Generator) -> None:
    """Where PyTorch has none of the name, the twin takes them; their slopes are PyTorch's, not the reference's."""
    Z, dY = torch.tensor(rng.normal(size=(5, 3)), requires_grad=True), torch.tensor(rng.normal(size=(5, 3)))
    parameters = other_parameters(name)
    both = [f(Z, *parameters) for f in (activation(name), formula(name))]
    np.testing.assert_allclose(*(Y.detach() for Y in both), rtol=1e-12, atol=1e-15)
    slopes = [torch.autograd.grad(Y, Z, dY)[0] for Y in both]
    np.testing.assert_allclose(*slopes, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("seed", range(72))
def test_random_nets(seed: int, dtype: np.dtype) -> None:
    """With one loss after the other."""
    loss = sorted(LOSSES)[seed % len(LOSSES)]
    net, X, rng = random_net(seed, dtype.name, _engine.LOSSES[loss].heads)
    limit, twin = LIMITS[dtype.name], Twin(net)
    for kind in ["values"] + ["indices"] * _engine.LOSSES[loss].labels:
        y = reference.targets(loss, len(X), net.outputs[0].width, rng, kind)
        y = y if kind == "indices" else y.astype(dtype)
        x, out = twin(X)
        value = LOSSES[loss](out, torch.tensor(y))
        for p in twin.parameters:
            p.grad = None
        value.backward()
        Y = net.forward(X)
        got, dY = getattr(fb.losses, loss)(Y, y)
        dX = net.backward(dY)
        assert_close(Y, out.detach().numpy(), limit, "output")
        assert abs(got - value.item()) <= limit * max(1, abs(got)), "loss"
        assert_close(dX, x.grad.numpy(), limit, "dX")
        for layer, (_, W, *b) in zip(net.layers, twin.layers, strict=True):
            assert_close(layer.dW, W.grad.numpy(), limit, f"{layer.name}.dW")
            if b:
                assert_close(layer.db, b[0].grad.numpy(), limit, f"{layer.name}.db")
        value2, g = net.value_and_grad(net.params.copy(), X, y, loss=loss)
        assert abs(value2 - value.item()) <= limit * max(1, abs(got))
        assert_close(g, twin.flat(gradients=True), limit, "value_and_grad")


@pytest.mark.parametrize(("optimizer", "dtype"), STEPS)
@pytest.mark.parametrize("seed", [7, 14, 33])
def test_ten_steps_of_each_optimizer(optimizer: str, seed: int, dtype: type) -> None:
    net, X, rng = random_net(seed, dtype.__name__)
    ours, theirs = OPTIMIZERS[optimizer]
    y = rng.integers(net.outputs[0].width, size=len(X))
    twin, trainer = Twin(net), fb.Trainer(net, loss="cross_entropy", optimizer=ours())
    other = theirs(twin.parameters)
    for _ in range(10):
        other.zero_grad()
        value = torch.nn.functional.cross_entropy(twin(X)[1], torch.tensor(y))
        value.backward()
        other.step()
        loss = trainer.step(X, y)
        assert abs(loss - value.item()) <= (1e-9 if dtype == np.float64 else 1e-4)
    assert_close(net.params, twin.flat(gradients=False), 1e-9 if dtype == np.float64 else 1e-4, optimizer)


def test_sample_weights(rng: np.random.Generator) -> None:
    net, X, rng = random_net(10, "float64")
    y, w = rng.integers(net.outputs[0].width, size=len(X)), rng.uniform(0, 2, size=len(X))
    twin = Twin(net)
    each = torch.nn.functional.cross_entropy(twin(X)[1], torch.tensor(y), reduction="none")
    value = (each * torch.tensor(w)).mean()
    value.backward()
    got, dY = fb.losses.cross_entropy(net.forward(X), y, sample_weight=w)
    net.backward(dY)
    assert abs(got - value.item()) <= 1e-12
    assert_close(net.grads, twin.flat(gradients=True), 1e-10, "grads")


def test_the_global_norm(rng: np.random.Generator) -> None:
    net, X, rng = random_net(10, "float64")
    twin = Twin(net)
    _, out = twin(X)
    dY = rng.normal(size=tuple(out.shape))
    (out * torch.tensor(dY)).sum().backward()
    net.forward(X)
    net.backward(dY)
    norm = float(torch.nn.utils.clip_grad_norm_(twin.parameters, 0.5))
    assert fb.clip_by_global_norm(net.grads, 0.5) == pytest.approx(norm, rel=1e-10)
    assert_close(net.grads, twin.flat(gradients=True), 1e-6, "grads")  # PyTorch divides by norm + 1e-6


def test_a_graph_with_fan_out(dtype: np.dtype, rng: np.random.Generator) -> None:
    x = fb.Input(9)
    h = fb.Dense(13, activation="tanh")(x)
    net = fb.Model(
        x,
        [fb.Dense(4, activation="softmax")(h), h, fb.Dense(6)(fb.Activation("relu")(h))],
        dtype=dtype,
        seed=3,
    )
    X = rng.normal(size=(21, 9)).astype(dtype)
    first, second, third = (layer for layer in net.layers if layer.kind == "dense")
    tensors = [torch.tensor(np.array(A), requires_grad=True) for d in (first, second, third) for A in (d.W, d.b)]
    xt = torch.tensor(X, requires_grad=True)
    ht = torch.tanh(xt @ tensors[0] + tensors[1])
    outs = [torch.softmax(ht @ tensors[2] + tensors[3], dim=1), ht, torch.relu(ht) @ tensors[4] + tensors[5]]
    dys = [rng.normal(size=tuple(out.shape)).astype(dtype) for out in outs]
    sum((out * torch.tensor(dy)).sum() for out, dy in zip(outs, dys, strict=True)).backward()
    for got, wanted in zip(net.forward(X), outs, strict=True):
        assert_close(got, wanted.detach().numpy(), LIMITS[dtype.name], "output")
    assert_close(net.backward(dys), xt.grad.numpy(), LIMITS[dtype.name], "dX")
    for layer, (W, b) in zip((first, second, third), zip(tensors[::2], tensors[1::2], strict=True), strict=True):
        assert_close(layer.dW, W.grad.numpy(), LIMITS[dtype.name], "dW")
        assert_close(layer.db, b.grad.numpy(), LIMITS[dtype.name], "db")
