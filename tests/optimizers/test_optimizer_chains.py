"""What stands around an optimizer's own rules: clipping, accumulation, averages, whole matrices; alone and together.

The oracles are PyTorch's averages and its Muon, plain sums in NumPy, and one batch in the place of several.
"""

import numpy as np
import pytest
import reference

import fastbp as fb
from fastbp import _engine

torch = pytest.importorskip("torch")

ALL = {"clip_norm": 0.5, "clip_value": 0.2, "accumulate": 3, "ema": 0.9, "weight_decay": 0.01, "l1": 1e-4}
ALL["proximal_l1"] = 1e-3
MAKERS = {
    "adam with all": lambda: fb.Adam(lr=0.01, **ALL),
    "muon with all": lambda: fb.Muon(lr=0.02, decay_biases=False, **ALL),
    "muon, average from a step on": lambda: fb.Muon(lr=0.02, swa_start=3, swa_every=2, accumulate=2),
    "sgd, clipped": lambda: fb.SGD(lr=0.5, clip_norm=0.1),
    "rprop, back and forth": lambda: fb.Rprop(lr=0.1, backtrack=True),
}


def net_of(dtype, *widths: int) -> fb.Sequential:
    first, *others = widths or (3, 5, 2)
    layers = [fb.Dense(width, "tanh") for width in others]
    return fb.Sequential(fb.Input(first), *layers, dtype=np.dtype(dtype).name, seed=1)


def data(rows: int, inputs: int = 3, outputs: int = 2) -> tuple:
    rng = np.random.default_rng(4)
    return rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs))


@pytest.mark.parametrize("optimizer", MAKERS)
@pytest.mark.parametrize("widths", [(3, 5, 2), (7, 130, 65, 3)])
def test_the_same_bits_by_hand_and_with_any_number_of_threads(optimizer: str, widths: tuple, dtype) -> None:
    X, y = data(52, widths[0], widths[-1])
    X, y = X.astype(dtype), y.astype(dtype)
    runs = {}
    for threads in (1, 2, 3, 8):
        net, opt = net_of(dtype, *widths), MAKERS[optimizer]()
        net.fit(X, y, optimizer=opt, epochs=3, batch_size=13, shuffle=False, threads=threads)
        runs[threads] = net.params, opt.chain_for(net).states
    net, opt = net_of(dtype, *widths), MAKERS[optimizer]()
    for _ in range(3):
        for xb, yb in fb.batches(X, y, 13, shuffle=False):
            value, dY = fb.losses.mse(net.forward(xb), yb)
            net.backward(dY)
            opt.step(net, value)
    runs["by hand"] = net.params, opt.chain_for(net).states
    for params, states in runs.values():
        np.testing.assert_array_equal(params, runs[1][0])
        np.testing.assert_array_equal(states, runs[1][1])


@pytest.mark.parametrize("optimizer", MAKERS)
@pytest.mark.parametrize("epochs", [1, 2])
def test_training_goes_on_exactly_in_the_middle_of_a_step(optimizer: str, epochs: int, tmp_path) -> None:
    X, y = data(17)
    trainer = fb.Trainer(net_of(np.float32), optimizer=MAKERS[optimizer]())
    trainer.fit(X, y, epochs=epochs, batch_size=5)  # 4 or 8 batches, steps of 1, 2 or 3
    trainer.save(tmp_path / "at.safetensors")
    other = fb.Trainer.load(tmp_path / "at.safetensors")
    for one in (trainer, other):
        one.fit(X, y, epochs=3, batch_size=5)
    np.testing.assert_array_equal(other.net.params, trainer.net.params)
    np.testing.assert_array_equal(other.chain.states, trainer.chain.states)


@pytest.mark.parametrize("n", [1, 3, 17, 4096, 9001])
def test_the_norm_is_that_of_the_whole_gradient(n: int, dtype) -> None:
    rng = np.random.default_rng(n)
    for limit in (0.1, 1e3):
        chain = _engine.Chain(str(dtype), [(1.0, [("clip_by_norm", (limit,)), ("sgd", ())])], n)
        p, g = np.zeros(n, dtype), rng.normal(size=n).astype(dtype)
        assert _engine.functional.update(chain, p, g, 1.0)
        norm = np.linalg.norm(g.astype(np.float64))
        np.testing.assert_allclose(p, -g * min(1, limit / norm), rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_a_norm_that_is_not_finite_moves_nothing(dtype) -> None:
    for bad in (np.nan, np.inf):
        chain = _engine.Chain(str(dtype), [(1.0, [("clip_by_norm", (1.0,)), ("momentum", (0.9, 0.0))])], 5000)
        p, g = np.zeros(5000, dtype), np.ones(5000, dtype)
        g[4999] = bad
        assert not _engine.functional.update(chain, p, g, 1.0)
        assert not p.any()
        assert not chain.states.any()
        g[4999] = 1
        assert _engine.functional.update(chain, p, g, 1.0)
        assert p.all()


def test_a_gradient_that_explodes_stops_a_fit_with_a_norm_too() -> None:
    net = net_of(np.float32)
    X, y = data(8)
    before = net.params.copy()
    with pytest.raises(fb.DivergenceError, match="step 1"):
        net.fit(1e30 * X, 1e30 * y, loss=lambda Y, t: (1.0, np.full_like(Y, np.nan)), optimizer=fb.SGD(clip_norm=1.0))
    np.testing.assert_array_equal(net.params, before)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_some_batches_are_one(name: str) -> None:
    X, y = data(24)
    apart, together = net_of(np.float64), net_of(np.float64)
    make = getattr(fb, name)
    apart.fit(X, y, optimizer=make(lr=0.1, accumulate=3), epochs=4, batch_size=4, shuffle=False)
    together.fit(X, y, optimizer=make(lr=0.1), epochs=4, batch_size=12, shuffle=False)
    np.testing.assert_allclose(apart.params, together.params, rtol=0, atol=1e-12)


def test_nothing_moves_before_the_last_batch_of_a_step() -> None:
    net, optimizer = net_of(np.float64), fb.SGD(lr=1.0, accumulate=3, clip_norm=1.0, weight_decay=0.1)
    before = net.params.copy()
    for k in range(1, 7):
        net.grads[...] = 0.01 * k
        optimizer.step(net)
        if k < 3:
            np.testing.assert_array_equal(net.params, before)
        elif k == 3:
            np.testing.assert_allclose(net.params, before * 0.9 - 0.02, rtol=1e-12)


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_averages_are_those_of_torch(kind: str, rng: np.random.Generator) -> None:
    net = net_of(np.float64)
    settings = {"ema": 0.9} if kind == "ema" else {"swa_start": 4, "swa_every": 3}
    optimizer = fb.SGD(lr=0.1, momentum=0.5, **settings)
    module = torch.nn.Linear(1, 1)
    module.weight = torch.nn.Parameter(torch.tensor(net.params)[None])
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9) if kind == "ema" else None
    twin = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=average)
    for step in range(1, 21):
        net.grads[...] = rng.normal(size=net.grads.size)
        optimizer.step(net)
        with torch.no_grad():
            module.weight[...] = torch.tensor(net.params)
        if kind == "ema" or step in (4, 7, 10, 13, 16, 19):
            twin.update_parameters(module)
        if kind == "ema" or step >= 4:
            wanted = twin.module.weight.detach().numpy()[0]
            np.testing.assert_allclose(optimizer.average(net), wanted, rtol=0, atol=1e-12)
    now = net.params.copy()
    with optimizer.averaged(net):
        np.testing.assert_allclose(net.params, wanted, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(net.params, now)


def test_an_average_leaves_what_is_not_trained() -> None:
    net = fb.Sequential(fb.Input(3), fb.Dense(5), fb.BatchNorm(), fb.Dense(2, trainable=False), seed=0)
    optimizer = fb.Adam(lr=0.1, ema=0.5)
    net.fit(*data(16), optimizer=optimizer, epochs=2, batch_size=4)
    average = optimizer.average(net)
    kept = {name for name, (at, _) in net.slices.items() if np.array_equal(average[at], net.params[at])}
    statistics = {f"{net.layers[1].name}.{name}" for name in net.layers[1].statistics}
    assert statistics
    assert kept == statistics | {"dense_2.W", "dense_2.b"}


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 4), (4, 1), (40, 70), (130, 33), (64, 64)])
def test_a_matrix_becomes_orthogonal(shape: tuple, dtype, rng: np.random.Generator) -> None:
    I, O = shape
    numbers = (0.95, 1, 1e-7, 5, 3.4445, -4.7750, 2.0315, 0)
    groups = [(1.0, [("muon", numbers), ("sgd", ())])]
    chain = _engine.Chain(str(dtype), groups, I * O, None, [(0, I, O, 0)])
    p, g = np.zeros(I * O, dtype), rng.normal(size=I * O).astype(dtype)
    assert _engine.functional.update(chain, p, g, 1.0)
    wanted = -reference.orthogonalised(g.astype(np.float64).reshape(shape))
    np.testing.assert_allclose(p.reshape(shape), wanted, rtol=0, atol=2e-4 if dtype == np.float32 else 1e-11)
    if min(shape) > 1:
        singular = np.linalg.svd(p.reshape(shape).astype(np.float64))[1] / np.sqrt(max(1, O / I))
        assert 0.3 < singular.min() <= singular.max() < 1.4


@pytest.mark.parametrize("adjustment", fb.Muon.ADJUSTMENTS)
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_that_of_torch_but_for_its_short_numbers(adjustment: str, nesterov: bool) -> None:
    """PyTorch iterates in bfloat16: two digits; its weights are (outputs, inputs)."""
    rng = np.random.default_rng(0)
    net = fb.Sequential(fb.Input(6), fb.Dense(20, bias=False), fb.Dense(4, bias=False), dtype="float64", seed=0)
    parts = [torch.nn.Parameter(torch.tensor(array.T.copy())) for array in net.arrays().values()]
    twin = torch.optim.Muon(parts, lr=0.02, nesterov=nesterov, adjust_lr_fn=adjustment)
    optimizer = fb.Muon(lr=0.02, nesterov=nesterov, adjust_lr_fn=adjustment)
    before = net.params.copy()
    for _ in range(5):
        net.grads[...] = rng.normal(size=net.grads.size)
        for part, (at, shape) in zip(parts, net.slices.values(), strict=True):
            part.grad = torch.tensor(net.grads[at].reshape(shape).T.copy())
        twin.step()
        optimizer.step(net)
    wanted = np.concatenate([part.detach().numpy().T.ravel() for part in parts])
    assert np.linalg.norm(net.params - wanted) < 0.03 * np.linalg.norm(wanted - before)


def test_rprop_goes_back_after_a_step_too_far() -> None:
    net, optimizer = net_of(np.float64), fb.Rprop(lr=0.1, backtrack=True)
    states, q = [np.zeros(net.params.size)] * 3, net.params.copy()
    scalars, last = (0.5, 1.2, 1e-6, 50.0), np.inf
    for step, loss in enumerate([3.0, 2.0, 2.5, 2.4, 2.6, 1.0, 1.0], 1):
        net.grads[...] = np.cos(step * np.arange(1, q.size + 1))
        optimizer.step(net, loss)
        q, _, states = reference.rprop(q, net.grads, states, step, 0.1, *scalars, loss > last)
        last = loss
        np.testing.assert_allclose(net.params, q, rtol=0, atol=1e-12)


def test_rprop_finds_the_bottom_of_a_bowl() -> None:
    X, y = data(30)
    net = fb.Sequential(fb.Input(3), fb.Dense(2), dtype="float64", seed=0)
    history = net.fit(X, y, optimizer=fb.Rprop(backtrack=True), epochs=300, batch_size=30)
    exact = np.linalg.lstsq(np.column_stack([X, np.ones(30)]), y, rcond=None)[1].sum() / 60
    assert history.history["loss"][-1] == pytest.approx(exact, rel=1e-6)
