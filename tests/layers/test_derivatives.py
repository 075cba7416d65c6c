"""Derivatives as nodes: values, and the gradients of losses on them, against PyTorch and finite differences.

The twin in PyTorch (helpers/torch_twin.py) differentiates functions of one row by torch.func; it shares no rule with
the engine.
"""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from derivative_nets import assert_as_torch
from fastbp import _engine
from fastbp._engine import reverse_graph
from fastbp.layers.derivatives import Derivative
from fastbp.layers.layer import Layer
from fastbp.layers.merge import Merge
from fastbp.layers.node import topological_order
from fastbp.layers.python_layer import PythonLayer
from nets import other_parameters

NAMES = [name for name, row in sorted(_engine.ACTIVATIONS.items()) if not row.by_rows and name != "linear"]
ELEMENTWISE = [fb.activations.ActivationFunction(name) for name in NAMES] + [
    fb.activations.ActivationFunction(name, *other_parameters(name))
    for name in NAMES
    if _engine.ACTIVATIONS[name].parameters
]
SMOOTH = [f for f in ELEMENTWISE if _engine.ACTIVATIONS[f.name].curved]
DRAWN = [f for f in ELEMENTWISE if _engine.ACTIVATIONS[f.name].draws]


def small(activation, order: int, inputs: int = 2, units: int = 1) -> tuple[fb.Input, list]:
    """An input, and derivatives of a small net of it up to an order, mixed."""
    x = fb.Input(inputs)
    u = fb.Dense(units)(fb.Dense(7, activation)(fb.Dense(6, activation)(x)))
    made = [u]
    for k in range(order):
        made.append(fb.diff(made[-1], x[:, k % inputs]))
    return x, made


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("f", SMOOTH, ids=repr)
def test_each_smooth_activation_to_the_fourth_order(f, order: int) -> None:
    x, made = small(f, order)
    assert_as_torch(fb.Model(x, made[-1], dtype="float64", seed=order))


@pytest.mark.parametrize("f", [f for f in ELEMENTWISE if f not in SMOOTH + DRAWN], ids=repr)
def test_each_activation_of_straight_pieces(f) -> None:
    x, made = small(f, 1)
    assert_as_torch(fb.Model(x, [*made, fb.jac(made[0], x)], dtype="float64", seed=2))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax"])
def test_activations_by_rows(name: str, order: int) -> None:
    x = fb.Input(3)
    u = fb.Dense(2)(fb.Dense(5, name)(fb.Dense(4, "tanh")(x)))
    made = [u, fb.grad(u[:, 0], x, mode="reverse"), fb.laplacian(u, x)]
    for k in range(order):
        made.append(fb.diff(made[-1] if k else u, x[:, k % 3]))
    assert_as_torch(fb.Model(x, made, dtype="float64", seed=order))


@pytest.mark.parametrize("f", SMOOTH, ids=repr)
def test_higher_orders_are_the_differences_of_the_order_below(f, dtype: np.dtype) -> None:
    """By the kernels alone, away from kinks, in both number types."""
    x = fb.Input(1)
    u = fb.Activation(f)(x)
    made = [u]
    for _ in range(4):
        made.append(fb.diff(made[-1], x))
    X = np.linspace(-4.03, 4.01, 397)[:, None]
    double = fb.Model(x, made, dtype="float64")
    here, h = double.predict(X), 1e-5
    for k, (above, below) in enumerate(zip(double.predict(X + h), double.predict(X - h), strict=True)):
        if k == 4:
            break
        wanted = (above - below) / (2 * h)
        far = np.abs(X) > 1e-3
        assert (np.abs(here[k + 1] - wanted) <= 1e-6 * (1 + np.abs(wanted)))[far].all()
    _, dx = (
        double.forward(X),
        double.backward(tuple(np.zeros_like(y) if k < 4 else 1 + 0 * y for k, y in enumerate(here))),
    )
    fifth = (double.predict(X + h)[4] - double.predict(X - h)[4]) / (2 * h)
    assert (np.abs(dx - fifth) <= 2e-5 * (1 + np.abs(fifth)))[np.abs(X) > 1e-3].all()
    if dtype == np.float32:
        single = fb.Model.from_config({**double.config(), "dtype": "float32"}, {})
        for got, want in zip(single.predict(X.astype(dtype)), here, strict=True):
            assert np.abs(got - want).max() <= 2e-4 * max(1, np.abs(want).max())


def wired(name: str) -> tuple[fb.Input, fb.layers.Node]:
    """A node behind the layer, gate or block of a name."""
    x = fb.Input(3)
    h, g = fb.Dense(5, "tanh")(x), fb.Dense(5, "sigmoid")(x)
    made = {
        "add": lambda: h + g + 2 * h,
        "average": lambda: fb.Average()(h, g, x[:, 0]),
        "subtract": lambda: 1 - h - g * 0.5,
        "multiply": lambda: h * g * x[:, 1] * h,
        "maximum": lambda: fb.maximum(h, g, 0.1),
        "minimum": lambda: fb.minimum(h, g * h),
        "concatenate": lambda: fb.Concatenate()(h, x, g[:, ::-2]),
        "broadcast": lambda: fb.Broadcast(5)(h[:, 2] * g[:, 1]) * h,
        "layer norm": lambda: fb.LayerNorm()(h * g),
        "layer norm without gamma": lambda: fb.LayerNorm(affine=False)(h),
        "rms norm": lambda: fb.RMSNorm()(h + 1),
        "batch norm": lambda: fb.BatchNorm(trainable=False)(h),
        "prelu": lambda: fb.PReLU(init=0.3)(fb.Dense(6)(h)),
        "one prelu": lambda: fb.PReLU(1, init=0.3)(fb.Dense(6)(h)),
        "glu": lambda: fb.GLU(4)(h),
        "highway": lambda: fb.Highway("tanh")(h),
        "maxout": lambda: fb.Maxout(4, pieces=3)(h),
        "residual": lambda: fb.Residual(fb.Dense(6, "tanh"), fb.LayerNorm(), fb.Dense(5))(h),
        "linear": lambda: fb.Activation("linear")(h),
        "softmax": lambda: fb.Activation("softmax")(h),
        "divide": lambda: h / (g + 1.5),
        "power": lambda: (g + 0.5) ** 2.5 - h**2,
        "functions": lambda: fb.log(g + 1) * fb.exp(h) + fb.sqrt(g) + fb.sin(h) * fb.cos(g),
        "sums": lambda: fb.mean(h * g) * h + fb.dot(h, g) + fb.sum(g),
        "parameters": lambda: fb.Parameter([0.5, -1.0, 2.0, 0.3, 1.0]) * h + fb.Parameter(0.3) * g,
    }[name]()
    return x, fb.Dense(2, "tanh")(made)


GATES = ("add", "average", "subtract", "multiply", "maximum", "minimum", "concatenate", "broadcast", "layer norm")
GATES += ("layer norm without gamma", "rms norm", "batch norm", "prelu", "one prelu", "glu", "highway", "maxout")
GATES += ("residual", "linear", "softmax", "divide", "power", "functions", "sums", "parameters")


def test_every_layer_that_has_derivatives_is_among_them() -> None:
    """So that a new layer or activation has to be; those without derivatives are refused by name below."""
    wanted = {kind for kind in Layer.classes.values() if not kind.__name__.startswith("_")}
    wanted -= {kind for kind in wanted if issubclass(kind, (Derivative, PythonLayer))}
    wanted -= {fb.Dropout, fb.Embedding, fb.Lambda, Merge}
    assert wanted <= {type(node.layer) for name in GATES for node in topological_order([wired(name)[1]])}
    named = {f.name for f in ELEMENTWISE}
    assert named | {"softmax", "softmin", "log_softmax", "linear"} == set(_engine.ACTIVATIONS)


@pytest.mark.filterwarnings("ignore:.*second derivative is 0")
@pytest.mark.parametrize("name", GATES)
def test_each_gate_layer_and_block(name: str) -> None:
    """All kinds of derivatives at once, so that what they share is shared."""
    x, u = wired(name)
    along = fb.Dense(3)(x)
    outs = [
        fb.jac(u, x, mode="forward"),
        fb.jac(u, x, mode="reverse"),
        fb.grad(u[:, 1], x, mode="reverse"),
        fb.laplacian(u, x),
        fb.laplacian(u, x, mode="nested"),
        fb.hess(u, x),
        fb.hess(u, x, mode="reverse"),
        fb.directional(u, x, along),
        fb.directional(u, x[:, 1:], [0.5, -2.0]),
        fb.logdet(u, x[:, ::2]),
        fb.diff(fb.diff(fb.diff(u, x[:, 0]), x[:, 1]), x[:, 0]),
    ]
    net = fb.Model(x, outs, dtype="float64", seed=3)
    net.params[...] += np.random.default_rng(0).normal(size=net.params.size) * 0.1
    assert_as_torch(net, scale=0.5)


@pytest.mark.filterwarnings("ignore:.*second derivative is 0")
@pytest.mark.parametrize("name", GATES)
def test_the_fourth_order_of_each_gate_layer_and_block(name: str) -> None:
    x, u = wired(name)
    third = fb.diff(fb.diff(fb.diff(u, x[:, 0]), x[:, 1]), x[:, 0])
    net = fb.Model(x, [third, fb.diff(third, x[:, 2])], dtype="float64", seed=3)
    net.params[...] += np.random.default_rng(0).normal(size=net.params.size) * 0.1
    assert_as_torch(net, scale=0.5)


def test_derivatives_of_derivatives_of_other_kinds() -> None:
    """Each kind inside each other one."""
    x = fb.Input(2)
    z = x + 0.3 * fb.Dense(2)(fb.Dense(6, "tanh")(x))
    ld = fb.logdet(z, x)
    energy = fb.Dense(1)(fb.Dense(5, "softplus")(x))
    forces = -fb.grad(energy, x, mode="reverse")
    outs = [
        fb.grad(ld, x, mode="forward"),
        fb.grad(ld, x, mode="reverse"),
        fb.laplacian(ld, x),
        fb.laplacian(fb.laplacian(energy, x), x),
        fb.jac(forces, x),
        fb.logdet(forces, x),
        fb.grad(fb.laplacian(energy, x), x, mode="reverse"),
        fb.grad(fb.Dense(1)(fb.Concatenate()(forces, ld)), x, mode="reverse"),
        fb.directional(forces, x, forces),
    ]
    assert_as_torch(fb.Model(x, outs, dtype="float64", seed=5))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_modes_of_derivatives_of_a_determinant(mode: str) -> None:
    """Also of its second derivatives, which go through ops of their own."""
    x = fb.Input(3)
    ld = fb.logdet(x + 0.3 * fb.Dense(3)(fb.Dense(4, "tanh")(x)), x)
    first = fb.diff(ld, x[:, 0])
    outs = [fb.grad(first, x, mode=mode), fb.hess(ld, x, mode=mode), fb.hess(first, x, mode=mode)]
    assert_as_torch(fb.Model(x, outs, dtype="float64", seed=2))


def test_reverse_mode_where_an_op_has_no_gradient_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward mode takes over, or the error says so."""
    monkeypatch.delitem(reverse_graph.GRADIENT_RULES, "inverse")
    for mode in ("auto", "reverse"):
        x = fb.Input(3)
        first = fb.diff(fb.logdet(x + fb.Dense(3)(fb.Dense(4, "tanh")(x)), x), x[:, 0])
        if mode == "auto":
            assert_as_torch(fb.Model(x, fb.grad(first, x), dtype="float64", seed=2))
        else:
            with pytest.raises(ValueError, match=r'mode="reverse" does not go through .inverse.'):
                fb.Model(x, fb.grad(first, x, mode="reverse"))


def test_two_inputs_and_shared_layers() -> None:
    a, b = fb.Input(2), fb.Input(3)
    layer = fb.Dense(4, "tanh")
    h = layer(fb.Dense(3)(a)) * layer(b)
    outs = [fb.jac(h, a), fb.diff(fb.diff(h, b[:, 2]), a[:, 1]), fb.laplacian(h, b)]
    assert_as_torch(fb.Model([a, b], outs, dtype="float64", seed=6))


@pytest.mark.parametrize("fused", [True, False])
def test_fused_jets_have_the_bits_of_single_ones(fused: bool, dtype: np.dtype) -> None:
    """The program of training is fused, that of inference is not."""
    x, made = small("tanh", 2, units=3)
    net = fb.Model(x, [*made, fb.laplacian(made[0], x)], dtype=dtype, seed=1)
    X = np.random.default_rng(0).normal(size=(70, 2)).astype(dtype)
    expansion = net.programs._expansion
    kinds = [op[0] for op in (expansion.fused if fused else expansion.graph)[1]]
    assert ("activation" in kinds) == (not fused)
    for got, want in zip(net.forward(X), net.predict(X), strict=True):
        np.testing.assert_array_equal(got, want)


def forces(dtype: str = "float64", seed: int = 0) -> fb.Model:
    x = fb.Input(6, name="positions")
    energy = fb.Dense(1)(fb.Dense(9, "tanh")(fb.Dense(8, "tanh")(x)))
    return fb.Model(x, [energy, -fb.grad(energy, x)], dtype=dtype, seed=seed)


def equation(dtype: str = "float64", seed: int = 0) -> fb.Model:
    x = fb.Input(2, name="xt")
    u = fb.Dense(1)(fb.Dense(7, "tanh")(fb.Dense(6, "tanh", constraint=fb.MaxNorm(2.0))(x)))
    ux, ut = fb.diff(u, x[:, 0]), fb.diff(u, x[:, 1])
    residual = ut + u * ux - 0.1 * fb.diff(ux, x[:, 0])
    return fb.Model(x, [u, residual, fb.laplacian(u, x)], dtype=dtype, seed=seed)


def flow(dtype: str = "float64", seed: int = 0) -> fb.Model:
    x = fb.Input(3)
    z = x + 0.5 * fb.Dense(3)(fb.Dense(8, "tanh")(x))
    return fb.Model(
        x, [z, fb.logdet(z, x), fb.jac(z, x[:, :2]), fb.directional(z, x, [1.0, 2.0, 3.0])], dtype=dtype, seed=seed
    )


MODELS = [forces, equation, flow]


def data(net: fb.Model, rows: int) -> tuple:
    rng = np.random.default_rng(rows)
    X = rng.normal(size=(rows, net.inputs[0].width)).astype(net.dtype)
    return X, tuple(rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.outputs)


def losses(net: fb.Model) -> tuple:
    return ("mse",) * len(net.outputs)


@pytest.mark.parametrize("build", MODELS)
def test_finite_differences_of_a_loss(build: Callable) -> None:
    net = build()
    fb.check_gradients(net, *data(net, 7), loss=losses(net))


@pytest.mark.parametrize("build", MODELS)
def test_files_copies_and_pickles(build: Callable, tmp_path: Path, dtype: np.dtype) -> None:
    net = build(dtype)
    X, ts = data(net, 11)
    net.save(tmp_path / "net.safetensors")
    for other in (
        fb.load(tmp_path / "net.safetensors"),
        net.copy(),
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
    ):
        assert other.config() == net.config()
        for got, want in zip(other.predict(X), net.predict(X), strict=True):
            np.testing.assert_array_equal(got, want)
        other.fit(X, ts, loss=losses(net), epochs=2, batch_size=4, seed=0)
    twice = [build(dtype) for _ in range(2)]
    for each in twice:
        each.fit(X, ts, loss=losses(net), epochs=2, batch_size=4, seed=0)
    np.testing.assert_array_equal(twice[0].params, twice[1].params)
    np.testing.assert_array_equal(other.params, twice[0].params)


@pytest.mark.parametrize("build", MODELS)
def test_no_bit_depends_on_the_threads(build: Callable, dtype: np.dtype) -> None:
    results = []
    for threads in (1, 2, 3):
        net = build(dtype)
        X, ts = data(net, 700)
        net.fit(X, ts, loss=losses(net), epochs=2, batch_size=300, seed=0, threads=threads)
        results.append(net.params.tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("build", MODELS)
def test_every_parameter_is_updated_by_the_sum_of_its_uses(build: Callable) -> None:
    """A step of SGD: also biases whose layers a derivative used last, which has none."""
    net = build()
    X, ts = data(net, 9)
    before = net.params.copy()
    _, g = net.value_and_grad(before, X, ts, loss=losses(net))
    net.params = before
    net.fit(X, ts, loss=losses(net), optimizer=fb.SGD(lr=1e-3), epochs=1, batch_size=9, shuffle=False)
    np.testing.assert_allclose(net.params, before - 1e-3 * g, rtol=1e-12, atol=1e-15)
    assert (g != 0).all()


def test_a_bias_that_no_output_depends_on_has_no_gradient() -> None:
    x = fb.Input(2)
    u = fb.Dense(1, name="last")(fb.Dense(5, "tanh")(x))
    net = fb.Model(x, fb.diff(u, x[:, 0]), dtype="float64", seed=0)
    net["last"].b = [3.0]
    X, t = np.ones((4, 2)), np.ones((4, 1))
    net.fit(X, t, optimizer=fb.SGD(lr=0.1), epochs=3)
    assert net["last"].db == 0
    assert net["last"].b == 3
    net.fit(X, t, optimizer=fb.SGD(lr=0.1, weight_decay=0.1), epochs=1)
    assert net["last"].b < 3


def test_a_constraint_holds_though_a_derivative_uses_the_weights_last() -> None:
    net = equation()
    X, ts = data(net, 20)
    net.fit(X, ts, loss=losses(net), optimizer=fb.SGD(lr=3.0), epochs=3, batch_size=5)
    norms = np.linalg.norm(net["dense_1"].W, axis=0)
    assert norms.max() <= 2 + 1e-12


def test_a_frozen_layer_stays_in_its_derivatives_too() -> None:
    net = equation()
    X, ts = data(net, 20)
    net["dense_2"].trainable = False
    W, b = net["dense_2"].W.copy(), net["dense_2"].b.copy()
    net.fit(X, ts, loss=losses(net), epochs=3, batch_size=5)
    np.testing.assert_array_equal(net["dense_2"].W, W)
    np.testing.assert_array_equal(net["dense_2"].b, b)
    net["dense_2"].trainable = True
    net.fit(X, ts, loss=losses(net), epochs=1, batch_size=5)
    assert (net["dense_2"].W != W).all()


def test_derivatives_of_the_whole_model_too() -> None:
    """Jacobians, products and gradients of rows of a net with derivatives in it."""
    net = equation()
    X, ts = data(net, 5)
    h = 1e-6
    for k in range(2):
        step = h * np.eye(2)[k]
        up, down = net.predict(X + step), net.predict(X - step)
        J = fb.jacobian(net, X)
        moved = fb.jvp(net, X, np.broadcast_to(np.eye(2)[k], X.shape).copy())
        for o, (a, b) in enumerate(zip(up, down, strict=True)):
            np.testing.assert_allclose(J[o][0][:, :, k], (a - b) / (2 * h), rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(moved[o], (a - b) / (2 * h), rtol=1e-6, atol=1e-7)
    rows = fb.per_sample_gradients(net, X, ts, loss=losses(net))
    _, g = net.value_and_grad(net.params.copy(), X, ts, loss=losses(net))
    np.testing.assert_allclose(rows.mean(axis=0), g, rtol=1e-10, atol=1e-12)


def test_summary_plot_explanation_and_diagnosis() -> None:
    net = equation()
    X, ts = data(net, 8)
    assert "Diff by column 0" in net.summary()
    assert "laplacian_1" in net.to_dot()
    report = fb.diagnose(net, X, ts, loss=losses(net))
    assert [node.name for node in report.nodes] == [node.name for node in net.nodes if node.layer is not None]
    weights = {node.name: node.weight for node in report.nodes}
    assert weights["dense_2"] == pytest.approx(np.linalg.norm(net["dense_2"].W))
    text = str(fb.explain(net, X[:1], tuple(t[:1] for t in ts), loss=losses(net)))
    assert "differentiated: dense_3 by column 0 of xt" in text
    explained = fb.explain(net, X[:1], tuple(t[:1] for t in ts), loss=losses(net))
    values = {step.name: step.value for step in explained.steps}
    np.testing.assert_allclose(values["laplacian_1"], net.predict(X[:1])[2][0], rtol=1e-12)


def test_a_model_with_derivatives_as_a_layer() -> None:
    """Its derivatives are then by the node that it is called on."""
    inner = equation()
    x = fb.Input(2)
    h = fb.Rescaling(2.0)(x)
    u, _, lap = inner(h)
    net = fb.Model(x, [u, lap], dtype="float64")
    X = np.random.default_rng(0).normal(size=(5, 2))
    want = inner.predict(2 * X)
    for got, w in zip(net.predict(X), (want[0], want[2]), strict=True):
        np.testing.assert_allclose(got, w, rtol=1e-12)
