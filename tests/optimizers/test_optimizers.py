"""Every public optimizer against `torch.optim`, or where PyTorch has none against the paper's formula in NumPy.

200 steps on gradients of a fixed problem, so that an error that grows shows; in float64 to 1e-10. The lines of
`OPTIMIZERS` are the whole list: an optimizer without one fails the suite.
"""

import inspect
import itertools

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from fastbp.optimizers import Optimizer
from fastbp.optimizers.settings import COMMON

torch = pytest.importorskip("torch")
linear_model = pytest.importorskip("sklearn.linear_model")

STEPS = 200


def fresh(optimizer: Optimizer) -> Optimizer:
    return fb.optimizers.from_config(optimizer.config())


def net_of(dtype: np.dtype, seed: int = 1) -> fb.Sequential:
    return fb.Sequential(fb.Input(3), fb.Dense(5, "tanh"), fb.Dense(2), dtype=np.dtype(dtype).name, seed=seed)


def gradients(p: np.ndarray, step: int) -> np.ndarray:
    """Of a bowl that shakes: the signs change, and no parameter's steps are like another's."""
    k = np.arange(len(p))
    return (1 + k % 5) * (p - np.cos(k)) + np.sin(step * (1 + k % 7)) / (1 + k)


def by_torch(optimizer: Optimizer, name: str, p: np.ndarray) -> np.ndarray:
    cls = getattr(torch.optim, name)
    known = inspect.signature(cls).parameters
    own = {key: value for key, value in optimizer.settings.items() if key in known}
    ours = {"backtrack", "eps_hat", "lr_in_velocity", "weight_decay"}
    assert {key for key in optimizer.settings if key not in COMMON} - set(own) <= ours
    theta = torch.nn.Parameter(torch.tensor(p))
    twin = cls([theta], lr=optimizer.lr, **own)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam keeps a product in the default dtype
    try:
        for step in range(STEPS):
            theta.grad = torch.tensor(gradients(theta.detach().numpy(), step))
            twin.step()
    finally:
        torch.set_default_dtype(before)
    return theta.detach().numpy()


def by_reference(optimizer: Optimizer, rules: list, p: np.ndarray) -> np.ndarray:
    chain = reference.Chain(rules, [_engine.RULES[name].states for name, _ in rules], len(p))
    for step in range(STEPS):
        p = chain.step(p, gradients(p, step), optimizer.lr)
    return p


def by_muon(optimizer: fb.Muon, p: np.ndarray) -> np.ndarray:
    """Matrices and other parameters apart, by the paper's formulas."""
    slices, lr, decay = net_of(np.float64).slices.values(), optimizer.lr, 1 - optimizer.lr * 0.1
    states = {at.start: [np.zeros(at.stop - at.start)] * 2 for at, _ in slices}
    for step in range(STEPS):
        g, p = gradients(p, step), p * decay
        for at, shape in slices:
            if len(shape) == 2:
                _, u, states[at.start] = reference.muon_direction(p[at], g[at], states[at.start][0], 0.95)
                p[at] -= lr * reference.orthogonalised(u.reshape(shape)).ravel()
            else:
                scalars = (states[at.start], step + 1, lr, 0.9, 0.95, 1e-10)
                p[at], _, states[at.start] = reference.adam(p[at], g[at], *scalars)
    return p


# name: (ours, PyTorch's class and settings where they are not named as ours)
OPTIMIZERS = {
    "sgd": (fb.SGD(lr=0.05), "SGD"),
    "sgd, dampened": (fb.SGD(lr=0.05, momentum=0.8, dampening=0.4, weight_decay=0.1), "SGD"),
    "sgd, nesterov": (fb.SGD(lr=0.05, momentum=0.8, nesterov=True), "SGD"),
    "adam": (fb.Adam(lr=0.02), "Adam"),
    "adam, decay": (fb.Adam(lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1), "Adam"),
    "adam, amsgrad": (fb.Adam(lr=0.02, betas=(0.8, 0.9), amsgrad=True), "Adam"),
    "adamw": (fb.AdamW(lr=0.02, weight_decay=0.2), "AdamW"),
    "adamw, amsgrad": (fb.AdamW(lr=0.02, weight_decay=0.2, amsgrad=True), "AdamW"),
    "adamax": (fb.Adamax(lr=0.02, weight_decay=0.1), "Adamax"),
    "nadam": (fb.NAdam(lr=0.02, weight_decay=0.1), "NAdam"),
    "nadam, decoupled": (fb.NAdam(weight_decay=0.1, momentum_decay=0.1, decoupled_weight_decay=True), "NAdam"),
    "radam": (fb.RAdam(lr=0.02, weight_decay=0.1), "RAdam"),
    "radam, decoupled": (fb.RAdam(betas=(0.8, 0.9), weight_decay=0.1, decoupled_weight_decay=True), "RAdam"),
    "radam, never rectified": (fb.RAdam(betas=(0.8, 0.5)), "RAdam"),
    "rmsprop": (fb.RMSprop(lr=0.01, weight_decay=0.1), "RMSprop"),
    "rmsprop, momentum": (fb.RMSprop(lr=0.003, eps=1e-3, alpha=0.9, momentum=0.7), "RMSprop"),
    "rmsprop, centered": (fb.RMSprop(lr=0.01, eps=1e-3, centered=True), "RMSprop"),
    "rmsprop, both": (fb.RMSprop(lr=0.01, eps=1e-3, momentum=0.5, centered=True, weight_decay=0.1), "RMSprop"),
    "adagrad": (fb.Adagrad(lr=0.05), "Adagrad"),
    "adagrad, with all": (fb.Adagrad(0.05, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2), "Adagrad"),
    "adadelta": (fb.Adadelta(), "Adadelta"),
    "adadelta, decay": (fb.Adadelta(lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.1), "Adadelta"),
    "rprop": (fb.Rprop(), "Rprop"),
    "rprop, bounds": (fb.Rprop(lr=0.1, etas=(0.4, 1.3), step_sizes=(1e-3, 0.2)), "Rprop"),
    "lion": (fb.Lion(lr=0.01, weight_decay=0.1), [("decoupled_decay", (0.1,)), ("lion", (0.9, 0.99))]),
    "adan": (
        fb.Adan(lr=0.01, weight_decay=0.1),
        [("adan", (0.98, 0.92, 0.99, 1e-8)), ("proximal_decay", (0.1,))],
    ),
    "adam, eps_hat": (fb.Adam(lr=0.01, eps=1e-3, eps_hat=True), [("adam_eps_hat", (0.9, 0.999, 1e-3))]),
    "sgd, lr in velocity": (fb.SGD(lr=0.02, momentum=0.8, lr_in_velocity=True), [("velocity", (0.8,))]),
    "sgd, nesterov, lr in velocity": (
        fb.SGD(lr=0.02, momentum=0.8, nesterov=True, lr_in_velocity=True),
        [("nesterov_velocity", (0.8,))],
    ),
    "adam, clipped": (
        fb.Adam(lr=0.01, clip_norm=3.0, clip_value=1.5),
        [("clip_by_norm", (3.0,)), ("clip_by_value", (1.5,)), ("adam", (0.9, 0.999, 1e-8))],
    ),
    "muon": (fb.Muon(lr=0.02), by_muon),
    "adam, decoupled": (fb.Adam(lr=0.01, weight_decay=0.1, decoupled_weight_decay=True), "AdamW"),
    "sgd, decoupled": (
        fb.SGD(lr=0.05, momentum=0.8, weight_decay=0.1, decoupled_weight_decay=True),
        [("decoupled_decay", (0.1,)), ("momentum", (0.8, 0.0))],
    ),
    "lion, coupled": (
        fb.Lion(lr=0.01, weight_decay=0.1, decoupled_weight_decay=False),
        [("l2", (0.1,)), ("lion", (0.9, 0.99))],
    ),
    "adam, l1": (fb.Adam(lr=0.01, l1=0.02), [("l1", (0.02,)), ("adam", (0.9, 0.999, 1e-8))]),
    "adam, proximal l1": (
        fb.Adam(lr=0.01, proximal_l1=0.02),
        [("adam", (0.9, 0.999, 1e-8)), ("soft_threshold", (0.02,))],
    ),
}


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_two_hundred_steps(case: str, dtype: np.dtype) -> None:
    optimizer, twin = fresh(OPTIMIZERS[case][0]), OPTIMIZERS[case][1]
    net = net_of(dtype)
    p = net.params.astype(np.float64)
    if callable(twin):
        wanted = twin(optimizer, p)
    else:
        wanted = by_torch(optimizer, twin, p) if isinstance(twin, str) else by_reference(optimizer, twin, p)
    for step in range(STEPS):
        net.grads[...] = gradients(net.params.astype(np.float64), step)
        optimizer.step(net)
    assert np.abs(wanted - p).max() > 0.05, "hardly a move"
    # In float32 a sign may fall to the other side, and steps of one size do not forgive that.
    loose = 0.1 if case.startswith(("rprop", "lion", "muon")) else 0.03
    np.testing.assert_allclose(net.params, wanted, rtol=0, atol=loose if dtype == np.float32 else 1e-10)


def test_every_optimizer_has_a_line() -> None:
    assert {type(optimizer) for optimizer, _ in OPTIMIZERS.values()} == set(Optimizer.classes.values())


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_an_optimizer_survives_its_config_and_its_repr(case: str) -> None:
    optimizer = OPTIMIZERS[case][0]
    assert fresh(optimizer).settings == optimizer.settings
    assert eval(repr(optimizer), vars(fb)).settings == optimizer.settings


@pytest.mark.parametrize("name", sorted(Optimizer.classes))
def test_a_decay_of_nothing_is_kept(name: str) -> None:
    """AdamW's own default is another."""
    optimizer = Optimizer.classes[name](weight_decay=0.0)
    assert fresh(optimizer).settings["weight_decay"] == 0.0


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_an_optimizer_in_training_takes_the_same_steps_by_hand_and_in_a_fit(case: str, dtype: np.dtype) -> None:
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(21, 3)), rng.normal(size=(21, 2))
    nets = [net_of(dtype) for _ in range(4)]
    optimizers = [fresh(OPTIMIZERS[case][0]) for _ in nets]
    nets[0].fit(X, y, optimizer=optimizers[0], epochs=3, batch_size=8, shuffle=False, threads=1)
    nets[1].fit(X, y, optimizer=optimizers[1], epochs=3, batch_size=8, shuffle=False, threads=3)
    trainer = fb.Trainer(nets[2], optimizer=optimizers[2])
    for _, (xb, yb) in itertools.product(range(3), list(fb.batches(X, y, 8, shuffle=False))):
        trainer.step(xb, yb)
        _, dY = fb.losses.mse(nets[3].forward(xb), yb.astype(dtype))
        nets[3].backward(dY)
        optimizers[3].step(nets[3])
    for other in nets[1:]:
        np.testing.assert_array_equal(other.params, nets[0].params)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_training_goes_on_exactly_from_a_file(case: str, tmp_path, rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(17, 3)), rng.normal(size=(17, 2))
    trainer = fb.Trainer(net_of(np.float32), optimizer=fresh(OPTIMIZERS[case][0]))
    trainer.fit(X, y, epochs=2, batch_size=5)
    trainer.save(tmp_path / "at.safetensors")
    other = fb.Trainer.load(tmp_path / "at.safetensors")
    for one in (trainer, other):
        one.fit(X, y, epochs=2, batch_size=5)
    np.testing.assert_array_equal(other.net.params, trainer.net.params)


# Parts of the parameters


def moved(optimizer: Optimizer, grads: float = 1.0, value: float = 2.0) -> dict:
    """How far each parameter of a net went in a step."""
    net = fb.Sequential(fb.Input(3), fb.Dense(5, "tanh"), fb.LayerNorm(), fb.Dense(2), dtype="float64", seed=0)
    net.params, net.grads[...] = np.full(net.params.size, value), grads
    optimizer.step(net)
    return {name: float(np.unique(array).item()) for name, array in net.arrays().items()}


def test_decay_of_matrices_only() -> None:
    for decay in ({"weight_decay": 0.25}, {"l1": 0.5}, {"proximal_l1": 0.5}):
        found = moved(fb.SGD(lr=1.0, decay_biases=False, **decay), grads=0.0)
        wanted = {name: 1.5 if name.endswith(".W") else 2.0 for name in found}
        assert found == wanted
        assert set(moved(fb.SGD(lr=1.0, **decay), grads=0.0).values()) == {1.5}


def test_groups_by_layer_and_by_parameter() -> None:
    groups = {"dense_1": {"lr_scale": 0.5, "weight_decay": 0.0}, "dense_2.b": {"weight_decay": 1.0, "l1": 0.25}}
    groups["layernorm_1.gamma"] = {"proximal_l1": 3.0}
    found = moved(fb.SGD(lr=0.5, weight_decay=0.5, decay_biases=False, groups=groups), grads=1.0)
    assert found["dense_1.W"] == found["dense_1.b"] == 2 - 0.25
    assert found["dense_2.W"] == 2 - 0.5 * (1 + 1)
    assert found["dense_2.b"] == 2 - 0.5 * (1 + 2 + 0.25)
    assert found["layernorm_1.gamma"] == 2 - 0.5 - 0.5 * 3.0
    assert found["layernorm_1.beta"] == 2 - 0.5
    assert set(found.values()) == {1.75, 1.0, 0.375, 1.5, 0.0}


def test_a_proximal_step_finds_the_zeros_of_the_lasso() -> None:
    """scikit-learn's, by coordinate descent, minimises |Xw + b - y|^2 / 2N + alpha |w|.

    Our mean of squares is twice the first part. The subgradient comes near, but to no zero.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 9))
    y = X[:, :3] @ [2.0, -1.0, 0.5] + 0.3 + 0.1 * rng.normal(size=60)
    alpha = 0.1
    wanted = linear_model.Lasso(alpha=alpha, tol=1e-14, max_iter=100_000).fit(X, y)
    found = {}
    for name in ("proximal_l1", "l1"):
        net = fb.Sequential(fb.Input(9), fb.Dense(1), dtype="float64", seed=0)
        optimizer = fb.SGD(lr=0.2, decay_biases=False, **{name: 2 * alpha})
        net.fit(X, y, optimizer=optimizer, epochs=500, batch_size=60)
        found[name] = net["dense_1"].W[:, 0], net["dense_1"].b[0]
    W, b = found["proximal_l1"]
    np.testing.assert_allclose(W, wanted.coef_, rtol=0, atol=1e-10)
    assert b == pytest.approx(wanted.intercept_, abs=1e-10)
    assert ((W == 0) == (wanted.coef_ == 0)).all()
    assert 3 <= (W == 0).sum() <= 6
    assert not (found["l1"][0] == 0).any()


def test_groups_are_those_of_torch(rng: np.random.Generator) -> None:
    net = net_of(np.float64)
    parts = [torch.nn.Parameter(torch.tensor(array)) for array in net.arrays().values()]
    of_torch = torch.optim.AdamW(
        [{"params": parts[:2], "lr": 0.001, "weight_decay": 0.5}, {"params": parts[2:]}], lr=0.01, weight_decay=0.1
    )
    ours = fb.AdamW(lr=0.01, weight_decay=0.1, groups={"dense_1": {"lr_scale": 0.1, "weight_decay": 0.5}})
    for _ in range(20):
        net.grads[...] = rng.normal(size=net.grads.size)
        for part, (at, shape) in zip(parts, net.slices.values(), strict=True):
            part.grad = torch.tensor(net.grads[at].reshape(shape))
        of_torch.step()
        ours.step(net)
    for part, array in zip(parts, net.arrays().values(), strict=True):
        np.testing.assert_allclose(array, part.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (lambda: fb.Adam(clipnorm=1.0), TypeError, ["setting of Adam", "clipnorm", "known:", "decay_biases"]),
        (lambda: fb.Adam(clip_norm=0), ValueError, ["clip_norm", "above 0"]),
        (lambda: fb.Adam(clip_value=-1), ValueError, ["clip_value", "-1"]),
        (lambda: fb.Adam(accumulate=0), ValueError, ["accumulate", "0"]),
        (lambda: fb.Adam(ema=1.0), ValueError, ["ema", "1.0"]),
        (lambda: fb.Adam(ema=0.9, swa_start=3), ValueError, ["ema", "swa_start"]),
        (lambda: fb.Adam(swa_start=0), ValueError, ["swa_start", "0"]),
        (lambda: fb.Adam(swa_start=5, swa_every=0.5), TypeError, ["swa_every", "0.5"]),
        (lambda: fb.Adam().average(net_of(np.float32)), RuntimeError, ["Adam", "ema="]),
        (lambda: fb.Adam(swa_start=5).average(net_of(np.float32)), RuntimeError, ["step 5", "0 are done"]),
        (lambda: fb.Muon(ns_steps=0), ValueError, ["ns_steps", "0"]),
        (lambda: fb.Muon(ns_coefficients=(1, 2)), ValueError, ["ns_coefficients", "3"]),
        (lambda: fb.Muon(adjust_lr_fn="mine"), ValueError, ["mine", "match_rms_adamw"]),
        (lambda: fb.Rprop(backtrack=True).step(net_of(np.float32)), ValueError, ["Rprop", "loss"]),
        (lambda: fb.Adam(decoupled_weight_decay="yes"), TypeError, ["decoupled_weight_decay", "'yes'"]),
        (lambda: fb.Adam(l1=-1.0), ValueError, ["l1", "-1.0"]),
        (lambda: fb.Adam(proximal_l1=-1.0), ValueError, ["proximal_l1", "-1.0"]),
        (lambda: fb.Adam(groups={"dense_1": {"rate": 2}}), ValueError, ["rate", "dense_1", "lr_scale"]),
        (lambda: fb.Adam(groups={"dense_1": 0.1}), TypeError, ["dense_1"]),
        (lambda: fb.Adam(groups=[1]), TypeError, ["groups"]),
        (lambda: fb.Adam(amsgrad=True, eps_hat=True), ValueError, ["amsgrad", "eps_hat"]),
        (lambda: fb.SGD(momentum=0.9, dampening=0.1, nesterov=True), ValueError, ["nesterov", "0.1"]),
        (lambda: fb.Rprop(etas=(1.2, 0.5)), ValueError, ["etas", "1.2"]),
        (lambda: fb.Rprop(step_sizes=(1.0, 0.5)), ValueError, ["step_sizes", "1.0"]),
        (lambda: fb.Adan(betas=(0.9, 0.9)), ValueError, ["betas", "3"]),
        (lambda: fb.Lion(betas=(0.9, 1.0)), ValueError, ["betas", "1.0"]),
        (lambda: fb.RMSprop(alpha=1.0), ValueError, ["alpha"]),
        (lambda: fb.Adagrad(lr_decay=-0.1), ValueError, ["lr_decay"]),
        (lambda: fb.NAdam(momentum_decay=-1), ValueError, ["momentum_decay"]),
        (lambda: fb.Adadelta(rho=2), ValueError, ["rho"]),
        (lambda: fb.Adam(groups={"dense_3": {}}).step(net_of(np.float32)), ValueError, ["dense_3", "dense_2.W"]),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_made(make, error: type, parts: list) -> None:
    with pytest.raises(error) as raised:
        make()
    for part in parts:
        assert part in str(raised.value)
