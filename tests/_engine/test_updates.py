"""Every optimizer rule of the engine's table and every public optimizer against ten lines of NumPy.

Rules are tested alone, in chains, in both dtypes and at lengths around the vector widths. Comparing only
final losses was rejected: a wrong bias correction still converges.
"""

import inspect

import numpy as np
import pytest
import reference

import fastbp as fb
from fastbp import _engine

RULES = sorted(_engine.RULES)
LENGTHS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 1025]
CHAINS = {
    **{name: [(name, reference.RULES[name][1])] for name in RULES if name in reference.RULES},
    "l2 then adam": [("l2", (0.1,)), ("adam", (0.9, 0.999, 1e-8))],
    "decay then adam": [("decoupled_decay", (0.1,)), ("adam", (0.8, 0.99, 1e-6))],
    "decay then l2 then nesterov": [("decoupled_decay", (0.1,)), ("l2", (0.2,)), ("nesterov", (0.9,))],
    "l2 then sgd": [("l2", (0.3,)), ("sgd", ())],
}
OPTIMIZERS = {
    "sgd": (lambda: fb.SGD(lr=0.05), [("sgd", ())]),
    "momentum": (lambda: fb.SGD(lr=0.05, momentum=0.8), [("momentum", (0.8, 0.0))]),
    "nesterov": (lambda: fb.SGD(lr=0.05, momentum=0.8, nesterov=True), [("nesterov", (0.8,))]),
    "sgd with decay": (lambda: fb.SGD(lr=0.05, weight_decay=0.2), [("l2", (0.2,)), ("sgd", ())]),
    "momentum with decay": (
        lambda: fb.SGD(lr=0.05, momentum=0.7, weight_decay=0.2),
        [("l2", (0.2,)), ("momentum", (0.7, 0.0))],
    ),
    "adam": (lambda: fb.Adam(lr=0.01), [("adam", (0.9, 0.999, 1e-8))]),
    "adam with all": (
        lambda: fb.Adam(lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.2),
        [("l2", (0.2,)), ("adam", (0.8, 0.95, 1e-4))],
    ),
    "adamw": (lambda: fb.AdamW(lr=0.01), [("decoupled_decay", (0.01,)), ("adam", (0.9, 0.999, 1e-8))]),
    "adamw with all": (
        lambda: fb.AdamW(lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.2),
        [("decoupled_decay", (0.2,)), ("adam", (0.8, 0.95, 1e-4))],
    ),
}


def pair(rules: list, n: int, dtype: np.dtype) -> tuple:
    states = [_engine.RULES[name].states for name, _ in rules]
    return _engine.Chain(str(dtype), [(1.0, rules)], n), reference.Chain(rules, states, n)


def small_net(dtype: np.dtype, seed: int = 1) -> fb.Sequential:
    return fb.Sequential(
        fb.Input(3), fb.Dense(5, activation="tanh"), fb.Dense(2), dtype=np.dtype(dtype).name, seed=seed
    )


def test_every_row_of_the_table_has_a_reference_line() -> None:
    assert set(_engine.RULES) == set(reference.RULES)


@pytest.mark.parametrize("name", RULES)
def test_the_table_counts_scalars_and_states(name: str) -> None:
    rule, scalars = reference.RULES[name]
    row = _engine.RULES[name]
    assert (row.name, row.scalars) == (name, len(scalars))
    states = [np.zeros(2) for _ in range(row.states)]
    assert len(rule(np.ones(2), np.ones(2), states, 1, 0.1, *scalars)[2]) == row.states


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("n", LENGTHS)
def test_ten_steps(chain: str, n: int, dtype: np.dtype) -> None:
    rng = np.random.default_rng(n)
    ours, wanted = pair(CHAINS[chain], n, dtype)
    p = rng.normal(size=n).astype(dtype)
    q = p.astype(np.float64)
    scale = np.maximum(np.abs(q), 1)
    for step in range(10):
        g, lr = (rng.normal(size=n) * 10.0 ** rng.integers(-4, 4, size=n)).astype(dtype), 0.01 * (step + 1)
        before = g.copy()
        assert _engine.functional.update(ours, p, g, lr) is True
        np.testing.assert_array_equal(g, before, err_msg="the gradient was changed")
        q = wanted.step(q, g.astype(np.float64), lr)
        scale = np.maximum(np.abs(q), scale)
    assert ours.t == 10
    np.testing.assert_allclose(p / scale, q / scale, rtol=0, atol=2e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("chain", CHAINS)
def test_states_are_live_and_settable(chain: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    """A chain that takes over parameters, states and t goes on bit for bit."""
    rules = CHAINS[chain]
    first, second = pair(rules, 19, dtype)[0], pair(rules, 19, dtype)[0]
    p = rng.normal(size=19).astype(dtype)
    gradients = rng.normal(size=(6, 19)).astype(dtype)
    for g in gradients[:3]:
        _engine.functional.update(first, p, g, 0.01)
    assert first.states.shape == (sum(_engine.RULES[name].states for name, _ in rules), 19)
    assert first.states.dtype == dtype
    q = p.copy()
    second.states[...], second.t = first.states, first.t
    for g in gradients[3:]:
        _engine.functional.update(first, p, g, 0.01)
        _engine.functional.update(second, q, g, 0.01)
    np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_withheld(chain: str, bad: float, dtype: np.dtype) -> None:
    for n, position in [(1, 0), (17, 3), (40, 39), (100, 64)]:
        ours = pair(CHAINS[chain], n, dtype)[0]
        p, g = np.ones(n, dtype=dtype), np.ones(n, dtype=dtype)
        g[position] = bad
        assert _engine.functional.update(ours, p, g, 0.1) is False
        np.testing.assert_array_equal(p, 1)


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_spoils_no_state(chain: str, bad: float, dtype: np.dtype) -> None:
    """Training can go on with the next gradient: momentum that has once been NaN would stay so."""
    ours = pair(CHAINS[chain], 40, dtype)[0]
    p, g = np.ones(40, dtype=dtype), np.ones(40, dtype=dtype)
    assert _engine.functional.update(ours, p, g, 0.1) is True
    kept_p, kept_states = p.copy(), ours.states.copy()
    assert _engine.functional.update(ours, p, np.where(np.arange(40) == 33, dtype.type(bad), g), 0.1) is False
    np.testing.assert_array_equal(p, kept_p)
    np.testing.assert_array_equal(ours.states, kept_states)
    assert _engine.functional.update(ours, p, g, 0.1) is True
    assert np.isfinite(p).all()


@pytest.mark.parametrize("chain", CHAINS)
def test_an_overflowing_update_is_withheld(chain: str, dtype: np.dtype) -> None:
    ours = pair(CHAINS[chain], 21, dtype)[0]
    p = np.full(21, np.finfo(dtype).max / 2, dtype=dtype)
    for _ in range(3):
        _engine.functional.update(ours, p, np.full(21, -np.finfo(dtype).max / 2, dtype=dtype), 1e3)
        assert np.isfinite(p).all()


def test_no_gradient_no_move(dtype: np.dtype) -> None:
    moves = ("decoupled_decay", "proximal_decay", "soft_threshold", "l1", "l2", "adamax")
    for name in (name for name in RULES if name not in moves):
        ours = pair(CHAINS[name], 9, dtype)[0]
        p = np.arange(9, dtype=dtype)
        for _ in range(3):
            _engine.functional.update(ours, p, np.zeros(9, dtype=dtype), 0.1)
        np.testing.assert_array_equal(p, np.arange(9, dtype=dtype))


def test_the_first_step_of_adam_is_the_learning_rate(dtype: np.dtype) -> None:
    ours = pair(CHAINS["adam"], 6, dtype)[0]
    p = np.zeros(6, dtype=dtype)
    _engine.functional.update(ours, p, np.array([1e-3, -1e-3, 1.0, -1.0, 1e6, -1e6], dtype=dtype), 0.01)
    np.testing.assert_allclose(p, [-0.01, 0.01] * 3, rtol=2e-5)


def test_adam_stands_tiny_and_huge_gradients(dtype: np.dtype) -> None:
    ours, wanted = pair(CHAINS["adam"], 6, dtype)
    g = np.array([1e-12, -1e-9, 1e-8, 1e8, -1e12, 1e15], dtype=dtype)
    p, q = np.zeros(6, dtype=dtype), np.zeros(6)
    for _ in range(5):
        _engine.functional.update(ours, p, g, 0.01)
        q = wanted.step(q, g.astype(np.float64), 0.01)
    np.testing.assert_allclose(p, q, rtol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_public_optimizers(optimizer: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    make, rules = OPTIMIZERS[optimizer]
    net, opt = small_net(dtype), make()
    wanted = reference.Chain(rules, [_engine.RULES[name].states for name, _ in rules], len(net.params))
    q, lr = net.params.astype(np.float64), opt.lr
    for step in range(10):
        if step == 5:
            opt.lr = lr = lr / 2
        net.grads[...] = rng.normal(size=len(q))
        opt.step(net)
        q = wanted.step(q, net.grads.astype(np.float64), lr)
    np.testing.assert_allclose(net.params, q, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_optimizer_keeps_the_states_of_two_nets_apart(optimizer: str, rng: np.random.Generator) -> None:
    make = OPTIMIZERS[optimizer][0]
    together, apart = (
        [small_net(np.float64, seed) for seed in (1, 2)],
        [small_net(np.float64, seed) for seed in (1, 2)],
    )
    shared, own = make(), [make(), make()]
    for _ in range(3):
        for k in (0, 1):
            together[k].grads[...] = apart[k].grads[...] = rng.normal(size=len(apart[k].grads))
            shared.step(together[k])
            own[k].step(apart[k])
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a.params, b.params)


def test_the_default_arguments_are_those_of_the_field() -> None:
    adam = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "eps_hat": False}
    sgd = {"lr": 1e-2, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "dampening": 0.0}
    sgd["lr_in_velocity"] = False
    for optimizer, wanted in {fb.SGD: sgd, fb.Adam: adam, fb.AdamW: {**adam, "weight_decay": 1e-2}}.items():
        parameters = inspect.signature(optimizer).parameters
        assert {name: p.default for name, p in parameters.items() if name != "common"} == wanted


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_names_stand_for_the_defaults(name: str, rng: np.random.Generator) -> None:
    optimizer = {"sgd": fb.SGD, "adam": fb.Adam, "adamw": fb.AdamW}[name]()
    X, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    by_name, by_object = small_net(np.float64), small_net(np.float64)
    fb.Trainer(by_name, loss="mse", optimizer=name).step(X, y)
    fb.Trainer(by_object, loss="mse", optimizer=optimizer).step(X, y)
    np.testing.assert_array_equal(by_name.params, by_object.params)


@pytest.mark.parametrize("n", [1, 5, 1000])
def test_clipping_by_the_global_norm(n: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    grads = rng.normal(size=n).astype(dtype)
    before, norm = grads.copy(), float(np.linalg.norm(grads.astype(np.float64)))
    assert fb.clip_by_global_norm(grads, norm * 2) == pytest.approx(norm, rel=1e-6)
    np.testing.assert_array_equal(grads, before)
    assert fb.clip_by_global_norm(grads, norm / 4) == pytest.approx(norm, rel=1e-6)
    np.testing.assert_allclose(grads, before / 4, rtol=1e-6)


def test_clipping_nothing_and_clipping_the_huge(dtype: np.dtype) -> None:
    grads = np.zeros(4, dtype=dtype)
    assert fb.clip_by_global_norm(grads, 1.0) == 0
    assert (grads == 0).all()
    grads = np.full(4, 1e30, dtype=dtype)
    assert fb.clip_by_global_norm(grads, 1.0) == pytest.approx(2e30, rel=1e-6)
    np.testing.assert_allclose(grads, 0.5, rtol=1e-6)
