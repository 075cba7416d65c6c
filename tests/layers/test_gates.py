"""Gates, blocks and normalizations inside graphs: against PyTorch, finite differences and their definitions."""

import gc
import operator
import pickle
import weakref

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine
from gated import GATED, blocks, diamonds, every_gate, normalized
from nets import as_list, assert_gradients, batch, one_or_all

ONLY_IN_TANGENTS = {"slope", "winner", "reciprocal_root", "scale"}  # tests/derivatives
# tests/layers/test_derivatives.py:
ONLY_IN_DERIVATIVES = {
    "jet", "unit", "weight_row", "transposed", "scatter", "interleave", "log_det", "inverse", "square_product",
}  # fmt: skip
LIMITS = {"float64": 1e-11, "float32": 2e-4}


def test_every_op_of_the_engine_is_in_a_graph() -> None:
    """A new row of the table fails until a graph here, or a test of its own, uses it."""
    used = {node.layer.kind for build in GATED for node in build().nodes if node.layer is not None}
    only = ONLY_IN_TANGENTS | ONLY_IN_DERIVATIVES
    assert set(_engine.OPS) - used == {"dropout", "embedding", "fan_out", *only}


@pytest.mark.parametrize("build", GATED)
def test_against_torch(build, dtype: np.dtype, rng: np.random.Generator) -> None:
    import torch_twin
    from torch_twin import torch

    net = build(dtype.name)
    net.params[...] += rng.normal(size=len(net.params)) * 0.1
    for rows in (1, 11, 600):
        xs, dys = batch(net, rows, rng)
        params = torch_twin.parameters(net)
        tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in xs]
        params = {name: p.double().requires_grad_() for name, p in params.items()}
        outs = torch_twin.evaluate(net, params, *tensors)
        torch.autograd.backward(outs, [torch.tensor(dy, dtype=torch.float64) for dy in dys])
        ys = as_list(net.forward(one_or_all(xs), training=False))
        dxs = as_list(net.backward(one_or_all(dys)))
        wanted = [out.detach().numpy() for out in outs] + [t.grad.numpy() for t in tensors]
        for got, want in zip([*ys, *dxs], wanted, strict=True):
            assert got.dtype == dtype
            assert np.abs(got - want).max() <= LIMITS[dtype.name] * max(1, np.abs(want).max())
        for layer in net.layers:
            for name in set(layer.fixed_shapes) - set(layer.statistics):
                want = params[f"{layer.name}.{name}"].grad.numpy()
                got = getattr(layer, f"d{name}")
                assert np.abs(got - want).max() <= LIMITS[dtype.name] * max(1, np.abs(want).max())
        np.testing.assert_array_equal(as_list(net.predict(one_or_all(xs)))[0], ys[0])


@pytest.mark.parametrize("build", GATED)
def test_against_finite_differences(build, rng: np.random.Generator) -> None:
    net = build()
    xs, dys = batch(net, 4, rng)
    net.forward(one_or_all(xs), training=False)
    dxs = as_list(net.backward(one_or_all(dys)))

    def objective(*_: np.ndarray) -> float:
        return float(sum((dy * y).sum() for dy, y in zip(dys, as_list(net.predict(one_or_all(xs))), strict=True)))

    for x, dx in zip(xs, dxs, strict=True):
        reference.assert_gradient(objective, x, dx, "dX")
    if not any(layer.statistics for layer in net.layers):
        assert_gradients(net, objective, net.grads.copy())


@pytest.mark.parametrize("build", GATED)
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_no_bit(build, threads: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    nets = [build(dtype.name), build(dtype.name)]
    xs, ts = batch(nets[0], 90, rng)
    for net, count in zip(nets, (1, threads), strict=True):
        losses = tuple("mse" for _ in ts)
        net.fit(one_or_all(xs), one_or_all(ts), loss=one_or_all(losses), epochs=3, batch_size=37, threads=count)
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert np.isfinite(nets[0].params).all()


@pytest.mark.parametrize("build", GATED)
def test_fit_is_the_loop_by_hand(build, dtype: np.dtype, rng: np.random.Generator) -> None:
    fitted, hand = build(dtype.name), build(dtype.name)
    xs, ts = batch(fitted, 23, rng)
    losses = one_or_all(["mse"] * len(ts))
    fitted.fit(one_or_all(xs), one_or_all(ts), loss=losses, optimizer=fb.AdamW(lr=0.02), epochs=2, batch_size=9, seed=3)
    opt, order = fb.AdamW(lr=0.02), np.random.default_rng(3)
    for _ in range(2):
        for xb, tb in fb.batches(tuple(xs), tuple(ts), 9, seed=order):
            ys = as_list(hand.forward(one_or_all(xb)))
            hand.backward(one_or_all([fb.losses.mse(y, t)[1] for y, t in zip(ys, tb, strict=True)]))
            opt.step(hand)
    np.testing.assert_array_equal(fitted.params, hand.params)


@pytest.mark.parametrize("build", GATED)
def test_files_pickles_and_copies(build, tmp_path, rng: np.random.Generator) -> None:
    net = build()
    xs, ts = batch(net, 12, rng)
    net.fit(one_or_all(xs), one_or_all(ts), loss=one_or_all(["mse"] * len(ts)), epochs=1)
    net.save(tmp_path / "net.safetensors")
    for other in (fb.load(tmp_path / "net.safetensors"), pickle.loads(pickle.dumps(net)), net.copy()):
        for got, want in zip(as_list(other.predict(one_or_all(xs))), as_list(net.predict(one_or_all(xs))), strict=True):
            np.testing.assert_array_equal(got, want)
        assert str(other) == str(net)


def test_ties_are_split_evenly() -> None:
    x = fb.Input(2)
    for gate in (fb.Maximum(), fb.Minimum()):
        net = fb.Model(x, gate(x, x * 1.0, fb.Constant(5.0, 2)(), x + 0.0), dtype="float64")
        net.forward([[5.0, 5.0]])
        np.testing.assert_allclose(net.backward([[1.0, 2.0]]), [[0.75, 1.5]])  # three of four shares


def test_operators_are_the_gates(rng: np.random.Generator) -> None:
    x, y = fb.Input(3), fb.Input(3)
    X, Y = rng.normal(size=(2, 6, 3))
    made = {
        "x+y": (x + y, X + Y), "x-y": (x - y, X - Y), "x*y": (x * y, X * Y), "-x": (-x, -X),
        "2+x": (2 + x, 2 + X), "x-2": (x - 2, X - 2), "2-x": (2 - x, 2 - X), "x*2": (x * 2, X * 2),
        "np": (np.float64(2) * x, 2 * X), "x/4": (x / 4, X / 4), "max": (fb.maximum(x, 0.5), np.maximum(X, 0.5)),
        "min": (fb.minimum(x, y, 0), np.minimum(np.minimum(X, Y), 0)), "x[:,1]": (x[:, 1], X[:, [1]]),
        "x[:,-1]": (x[:, -1], X[:, [-1]]), "x[:,::-1]": (x[:, ::-1], X[:, ::-1]),
    }  # fmt: skip
    for name, (node, wanted) in made.items():
        net = fb.Model([x, y], [node, x + y], dtype="float64")
        np.testing.assert_allclose(net.predict((X, Y))[0], wanted, rtol=1e-15, err_msg=name)


def test_numbers_and_arrays_on_either_side(rng: np.random.Generator) -> None:
    """Every operator in each order, with NumPy as the oracle; a vector beside a node of width 1 makes it wide."""
    X = rng.uniform(0.5, 2, (7, 3))
    v = np.array([0.5, -2.0, 3.0])
    ways = {
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    }  # fmt: skip
    for sign, way in ways.items():
        for other in (2, 0.3, np.float32(0.5), v, v.tolist(), None):
            x = fb.Input(3)
            node, known = (x[:, 1], X[:, [1]]) if other is None else (other, np.array(other, np.float64))
            Ys = fb.Model(x, [way(x, node), way(node, x), way(x[:, 0], v)], dtype="float64").predict(X)
            for Y, wanted in zip(Ys, (way(X, known), way(known, X), way(X[:, [0]], v)), strict=True):
                np.testing.assert_allclose(Y, wanted, rtol=3e-15, err_msg=f"{sign} {other}")


EXPONENTS = [-2.5, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 7, 64, 65, -64]


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_powers(exponent: float, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Values and slopes against NumPy in more digits, negative numbers to whole powers among them."""
    torch = pytest.importorskip("torch")
    whole = exponent == int(exponent)
    X = (rng.uniform(0.6, 1.5, (6, 19)) * (rng.choice([-1, 1], (6, 19)) if whole else 1)).astype(dtype)
    net = fb.Model(x := fb.Input(19), x**exponent, dtype=dtype.name)
    many = X.astype(np.longdouble)
    limit = 70 * np.finfo(dtype).eps
    np.testing.assert_allclose(net.predict(X), many**exponent, rtol=limit)
    T = torch.tensor(X.astype(np.float64), requires_grad=True)
    (T**exponent).sum().backward()
    np.testing.assert_allclose(fb.vjp(net, X, np.ones_like(X)), T.grad.numpy(), rtol=limit, atol=0)


EDGES = [-np.inf, -2.0, -0.0, 0.0, 1.0, 3.0, np.inf, np.nan]
FUNCTIONS = {
    "exp": (fb.exp, np.exp), "log": (fb.log, np.log), "sqrt": (fb.sqrt, np.sqrt), "sin": (fb.sin, np.sin),
    "cos": (fb.cos, np.cos), "abs": (fb.abs, np.abs), "1/x": (lambda x: 1 / x, lambda X: 1 / X),
    "x/x": (lambda x: x / x, lambda X: X / X), "x**-2": (lambda x: x**-2, lambda X: X**-2.0),
    "x**-0.5": (lambda x: x**-0.5, lambda X: 1 / np.sqrt(X)), "x**2.5": (lambda x: x**2.5, lambda X: X**2.5),
    "x**0": (lambda x: x**0, lambda X: X**0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_beyond_the_domain(name: str, dtype: np.dtype) -> None:
    """IEEE arithmetic, as in NumPy: infinities at the poles, NaN beyond the domain, and no error."""
    ours, theirs = FUNCTIONS[name]
    X = np.array(EDGES, dtype)[:, None].repeat(3, axis=1)
    x = fb.Input(3)
    got = fb.Model(x, ours(x), dtype=dtype.name).predict(X, check_finite=False)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(got, theirs(X), rtol=4 * np.finfo(dtype).eps)


def test_logarithms_of_all_sizes(dtype: np.dtype) -> None:
    """From the smallest normal number to the largest, and near 1, in units of the last place."""
    info = np.finfo(dtype)
    X = np.concatenate(
        [np.exp(np.linspace(np.log(info.tiny), np.log(info.max), 4001)[1:-1]), 1 + np.linspace(-0.5, 0.5, 2001)]
    ).astype(dtype)
    x = fb.Input(1)
    got = fb.Model(x, fb.log(x), dtype=dtype.name).predict(X[:, None])[:, 0]
    wanted = np.log(X.astype(np.longdouble))
    assert np.abs(got - wanted).max() <= 3 * info.eps * np.abs(wanted).max()
    assert (np.abs(got - wanted) <= 3 * np.spacing(np.abs(wanted).astype(dtype)) + info.tiny).all()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda x, h: x + h, ValueError, ["Add", "width 3", "width 4", "x of width"]),
        (lambda x, h: fb.Multiply()(x), ValueError, ["Multiply", "two nodes", "got 1"]),
        (lambda x, h: fb.Subtract()(x, x, x), TypeError, ["Subtract", "2 nodes", "got 3"]),
        (lambda x, h: x[:, 5:], ValueError, ["Slice 5:", "width 3"]),
        (lambda x, h: x[:, 3], IndexError, ["no column 3"]),
        (lambda x, h: x[2:5], TypeError, ["node[:, columns]"]),
        (lambda x, h: x[:, 1.5], TypeError, ["a column", "1.5"]),
        (lambda x, h: x[:, ::0], ValueError, ["step"]),
        (lambda x, h: x + "a", TypeError, ["unsupported operand"]),
        (lambda x, h: x + np.ones(5), ValueError, ["width 3", "(3,)", "(5,)"]),
        (lambda x, h: np.ones((4, 3)) / x, ValueError, ["width 3", "(3,)", "(4, 3)"]),
        (lambda x, h: x * ["a", "b", "c"], TypeError, ["value", "numbers"]),
        (lambda x, h: x**h, TypeError, ["unsupported operand"]),
        (lambda x, h: x ** float("inf"), ValueError, ["exponent", "finite"]),
        (lambda x, h: x / h, ValueError, ["Divide", "width 3", "width 4"]),
        (lambda x, h: fb.dot(x, h), ValueError, ["dot", "one width", "width 3", "width 4"]),
        (lambda x, h: fb.dot(x, 2), TypeError, ["dot", "Node"]),
        (lambda x, h: fb.log(3.0), TypeError, ["Log", "Node"]),
        (lambda x, h: fb.Parameter("a"), TypeError, ["value of a Parameter", "numbers"]),
        (lambda x, h: fb.Parameter(float("nan")), ValueError, ["value of a Parameter", "NaN"]),
        (lambda x, h: fb.Parameter(np.ones((2, 3))), ValueError, ["Parameter", "(2, 3)"]),
        (lambda x, h: fb.Constant([1.0, 2.0], 3), ValueError, ["value", "(3,)", "(2,)"]),
        (lambda x, h: x * float("nan"), ValueError, ["scale", "finite"]),
        (lambda x, h: x / 0, ZeroDivisionError, ["divided by 0"]),
        (lambda x, h: list(x), TypeError, ["not iterable"]),
        (lambda x, h: fb.maximum(1, 2), TypeError, ["maximum", "a node"]),
        (lambda x, h: fb.maximum(x, None), TypeError, ["Maximum"]),
        (lambda x, h: fb.Residual(fb.Dense(5))(x), ValueError, ["widths 5 and 3"]),
        (lambda x, h: fb.Residual("relu"), TypeError, ["Residual", "'relu'"]),
        (lambda x, h: fb.Maxout(4, pieces=1), ValueError, ["pieces", "at least 2"]),
        (lambda x, h: fb.BatchNorm(momentum=2.0), ValueError, ["momentum"]),
        (lambda x, h: fb.LayerNorm(eps=-1.0), ValueError, ["eps"]),
        (lambda x, h: fb.Dense(3, constraint="positive"), ValueError, ["constraint", "max_norm", "non_negative"]),
        (lambda x, h: fb.MaxNorm(-1), ValueError, ["limit"]),
        (lambda x, h: fb.Lambda(1, 2), TypeError, ["forward must be a function"]),
        (lambda x, h: fb.Sequential(fb.Input(3), "relu"), TypeError, ["layers[0]", "'relu'"]),
    ],
)  # fmt: skip
def test_bad_gates(make, error, words: list[str]) -> None:
    x, h = fb.Input(3, name="x"), fb.Input(4, name="h")
    with pytest.raises(error) as caught:
        make(x, h)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_batch_norm_in_training_is_torchs(dtype: np.dtype, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")

    X, T = rng.normal(2, 3, size=(40, 5)).astype(dtype), rng.normal(size=(40, 70)).astype(dtype)
    net = fb.Sequential(fb.Input(5), fb.Dense(70), fb.BatchNorm(), dtype=dtype.name, seed=1)
    dense, norm = net.layers
    peer = torch.nn.Sequential(torch.nn.Linear(5, 70), torch.nn.BatchNorm1d(70)).to(getattr(torch, dtype.name))
    with torch.no_grad():
        peer[0].weight.copy_(torch.tensor(dense.W.T.copy()))
        peer[0].bias.copy_(torch.tensor(dense.b.copy()))
    trainer = fb.Trainer(net, "mse", fb.SGD(lr=0.1, weight_decay=0.01))
    optimizer = torch.optim.SGD(peer.parameters(), lr=0.1, weight_decay=0.01)
    for start in range(0, 40, 8):
        loss = trainer.step(X[start : start + 8], T[start : start + 8])
        value = torch.nn.functional.mse_loss(
            peer(torch.tensor(X[start : start + 8])), torch.tensor(T[start : start + 8])
        )
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        assert loss == pytest.approx(value.item(), rel=1e-5)
    limit = {"float64": 1e-12, "float32": 1e-4}[dtype.name]
    pairs = [
        (dense.W, peer[0].weight.T), (norm.gamma, peer[1].weight), (norm.beta, peer[1].bias),
        (norm.mean, peer[1].running_mean), (norm.variance, peer[1].running_var),
    ]  # fmt: skip
    for got, want in pairs:
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=limit, atol=limit)
    peer.eval()
    np.testing.assert_allclose(net.predict(X), peer(torch.tensor(X)).detach().numpy(), rtol=1e-3, atol=limit * 10)


def test_frozen_layers_stay(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(
        fb.Input(4), fb.Dense(6, "tanh", trainable=False), fb.BatchNorm(), fb.Dense(3), dtype=dtype.name, seed=0
    )
    X, T = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    kept = net["dense_1"].W.copy()
    net["batchnorm_1"].trainable = False
    trainer = fb.Trainer(net, "mse", fb.AdamW(lr=0.1, weight_decay=0.5))
    trainer.fit(X, T, epochs=3)
    for _ in range(2):
        net.backward(net.forward(X) - T)
        trainer.optimizer.step(net)
    np.testing.assert_array_equal(net["dense_1"].W, kept)
    np.testing.assert_array_equal(net["batchnorm_1"].mean, np.zeros(6))
    assert (net["dense_1"].dW == 0).all()
    assert (net["dense_2"].dW != 0).any()
    copy = net.copy()
    assert not copy["dense_1"].trainable
    net["dense_1"].trainable = net["batchnorm_1"].trainable = True
    trainer.fit(X, T, epochs=1)
    assert (kept != net["dense_1"].W).all()
    assert (net["batchnorm_1"].mean != 0).all()
    copy.fit(X, T, epochs=1)
    np.testing.assert_array_equal(copy["dense_1"].W, kept)


def test_an_optimizer_leaves_running_averages_alone(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.BatchNorm(), fb.Dense(3), dtype="float64", seed=0)
    optimizer = fb.AdamW(weight_decay=0.9)
    net.backward(net.forward(rng.normal(size=(9, 4)), training=False))
    optimizer.step(net)
    np.testing.assert_array_equal(net["batchnorm_1"].variance, np.ones(4))


@pytest.mark.parametrize("constraint", [fb.NonNegative(), fb.MaxNorm(0.7), "non_negative", "max_norm"])
@pytest.mark.parametrize("by_hand", [False, True])
def test_constraints_hold_after_each_update(
    constraint, by_hand: bool, dtype: np.dtype, rng: np.random.Generator
) -> None:
    net = fb.Sequential(fb.Input(5), fb.Dense(37, "tanh", constraint=constraint), fb.Dense(3), dtype=dtype.name, seed=0)
    free = fb.Sequential(fb.Input(5), fb.Dense(37, "tanh"), fb.Dense(3), dtype=dtype.name, seed=0)
    X, T = rng.normal(size=(20, 5)), rng.normal(size=(20, 3))
    for one in (net, free):
        if by_hand:
            one.backward(fb.losses.mse(one.forward(X), T.astype(dtype))[1])
            fb.SGD(lr=0.5).step(one)
        else:
            fb.Trainer(one, "mse", fb.SGD(lr=0.5)).step(X, T, threads=2)
    W, wanted = net["dense_1"].W, free["dense_1"].W.astype(np.float64)
    if "negative" in str(constraint).lower():
        wanted = np.maximum(wanted, 0)
    else:
        norms = np.sqrt((wanted**2).sum(axis=0))
        wanted = wanted * np.minimum(1, {"max_norm": 3.0}.get(constraint, 0.7) / norms)
    np.testing.assert_allclose(W, wanted, rtol=1e-6)
    assert fb.Model.from_config(net.config()).config() == net.config()


def square(X: np.ndarray) -> np.ndarray:
    return X**2


def square_backward(dY: np.ndarray, X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    return 2 * X * dY


def with_lambda(forward=square, backward=square_backward) -> fb.Model:
    layer = fb.Lambda(forward, backward)
    return fb.Sequential(fb.Input(4), fb.Dense(6), layer, fb.Dense(3), dtype="float64", seed=2)


def test_a_lambda_trains_as_the_gate_does(rng: np.random.Generator) -> None:
    x = fb.Input(4)
    h = fb.Dense(6)(x)
    wanted = fb.Model(x, fb.Dense(3)(h * h), dtype="float64", seed=2)
    net = with_lambda()
    X, T = rng.normal(size=(700, 4)), rng.normal(size=(700, 3))
    for one, threads in ((wanted, 1), (net, 2)):
        one.fit(X, T, epochs=2, batch_size=600, threads=threads)
    np.testing.assert_allclose(net.params, wanted.params, rtol=1e-12)
    np.testing.assert_allclose(net.predict(X, threads=3), wanted.predict(X), rtol=1e-10)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict(X), net.predict(X))
    np.testing.assert_array_equal(net.copy().predict(X[:1]), net.predict(X[:1]))


def test_a_lambda_of_two_inputs(rng: np.random.Generator) -> None:
    a, b = fb.Input(3), fb.Input(2)
    outer = fb.Lambda(
        lambda A, B: (A[:, :, None] * B[:, None, :]).reshape(len(A), -1),
        lambda dY, A, B, Y: (
            (dY.reshape(len(A), 3, 2) * B[:, None, :]).sum(2), (dY.reshape(len(A), 3, 2) * A[:, :, None]).sum(1),
        ),
        units=6,
    )  # fmt: skip
    net = fb.Model([a, b], fb.Dense(2)(outer(fb.Dense(3)(a), b)), dtype="float64", seed=0)
    xs, dys = batch(net, 5, rng)
    net.forward(tuple(xs))
    dxs = net.backward(dys[0])
    for x, dx in zip(xs, dxs, strict=True):
        reference.assert_gradient(lambda _: float((dys[0] * net.predict(tuple(xs))).sum()), x, dx)


@pytest.mark.parametrize(
    ("forward", "backward", "error", "words"),
    [
        (square, lambda dY, X, Y: dY[:, :2], ValueError, ["lambda_1", "backward", "(8, 6)", "(8, 2)"]),
        (square, lambda dY, X, Y: (dY, dY), ValueError, ["lambda_1", "tuple of 1"]),
        (lambda X: X[:, :1], square_backward, ValueError, ["lambda_1", "forward", "(8, 6)", "(8, 1)"]),
        (lambda X: "no", square_backward, TypeError, ["lambda_1", "numbers"]),
        (lambda X: 1 / 0, square_backward, ZeroDivisionError, ["division by zero"]),
    ],
)
def test_a_lambda_that_fails_changes_nothing(forward, backward, error, words, rng: np.random.Generator) -> None:
    net = with_lambda(forward, backward)
    X, T = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    before = net.params.copy()
    trainer = fb.Trainer(net, "mse")
    for work in (lambda: trainer.step(X, T, threads=1), lambda: trainer.fit(X, T, threads=1)):
        with pytest.raises(error) as caught:
            work()
        for word in words:
            assert word in str(caught.value), str(caught.value)
    np.testing.assert_array_equal(net.params, before)
    assert trainer.chain.t == 0
    if backward is square_backward:
        with pytest.raises(error):
            net.predict(X)


def test_an_error_of_a_lambda_is_forgotten_when_it_is_handled(rng: np.random.Generator) -> None:
    seen = []

    def breaks(X):
        seen.append(weakref.ref(X))
        raise KeyboardInterrupt

    net = with_lambda(breaks)
    with pytest.raises(KeyboardInterrupt):
        net.predict(rng.normal(size=(8, 4)))
    gc.collect()
    assert seen
    assert all(ref() is None for ref in seen)


def test_a_lambda_is_not_written_to_a_file(tmp_path) -> None:
    with pytest.raises(TypeError, match=r"lambda_1.*Python functions"):
        with_lambda().save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_model_is_a_layer(rng: np.random.Generator) -> None:
    body = fb.Sequential(fb.Input(4), fb.Dense(6, "tanh"), fb.Dense(3), dtype="float64", seed=0)
    a, b = fb.Input(4), fb.Input(4)
    net = fb.Model([a, b], body(a) - body(b), dtype="float64", seed=9)
    X, Y = rng.normal(size=(2, 7, 4))
    np.testing.assert_allclose(net.predict((X, Y)), body.predict(X) - body.predict(Y), rtol=1e-12, atol=1e-14)
    assert net.params.size == body.params.size
    before = body.params.copy()
    net.fit((X, Y), np.ones((7, 3)), epochs=1)
    assert (net.params != before).any()
    np.testing.assert_array_equal(net.params, body.params)
    x = fb.Input(4)
    other = fb.Model(x, body(x), dtype="float64")
    np.testing.assert_array_equal(other.predict(X), body.predict(X))
    with pytest.raises(ValueError, match="copy=True"):
        fb.Sequential(fb.Input(4), body, fb.Dense(2), dtype="float64")
    stacked = fb.Model(x, fb.Dense(2)(body(x, copy=True)), dtype="float64")
    assert stacked.predict(X).shape == (7, 2)
    np.testing.assert_array_equal(stacked["dense_1"].W, body["dense_1"].W)
    with pytest.raises(ValueError, match="width 4 for input_1, got 3"):
        body(fb.Input(3))
    with pytest.raises(TypeError, match="1 nodes, got 2"):
        body(a, b)


@pytest.mark.parametrize("build", [every_gate, diamonds, normalized, blocks])
def test_a_planted_error_is_caught(build, rng: np.random.Generator) -> None:
    net = build()
    xs, dys = batch(net, 4, rng)
    net.forward(one_or_all(xs), training=False)
    dx = as_list(net.backward(one_or_all(dys)))[0]

    def objective(*_: np.ndarray) -> float:
        return float(sum((dy * y).sum() for dy, y in zip(dys, as_list(net.predict(one_or_all(xs))), strict=True)))

    with pytest.raises(AssertionError, match="off by"):
        reference.assert_gradient(objective, xs[0], dx * 1.001, "dX")


def test_subtraction_of_a_node_from_itself_is_zero() -> None:
    x = fb.Input(3)
    net = fb.Model(x, operator.sub(x, x), dtype="float64")
    np.testing.assert_array_equal(net.predict([[1.0, 2.0, 3.0]]), np.zeros((1, 3)))
