"""Activation functions as users meet them: names, synonyms, parameters, files; slopes that are drawn or learned.

Values and derivatives of the rows are tested in test_activations.py.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from fastbp.activations import ActivationFunction, resolve
from nets import other_parameters

PARAMETRIZED = sorted(row.name for row in _engine.ACTIVATIONS.values() if row.parameters)
# What PyTorch, Keras, scikit-learn, FANN and transformers call them.
ELSEWHERE = {
    "identity": "linear", "logistic": "sigmoid", "swish": "silu", "hardtanh": "hard_tanh", "hardswish": "hard_swish",
    "hard_silu": "hard_swish", "hardsigmoid": "hard_sigmoid", "logsigmoid": "log_sigmoid", "tanhshrink": "tanh_shrink",
    "softshrink": "soft_shrink", "hardshrink": "hard_shrink", "exponential": "exp", "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "sigmoid_symmetric": "tanh", "elliot_symmetric": "softsign",
    "logsoftmax": "log_softmax",
}  # fmt: skip


@pytest.mark.parametrize(("name", "own"), ELSEWHERE.items())
def test_names_of_other_libraries(name: str, own: str) -> None:
    assert fb.Dense(2, name).activation == own
    assert fb.Activation(name).function == ActivationFunction(own)


def test_no_name_means_two_things() -> None:
    names = [name for row in _engine.ACTIVATIONS.values() for name in (row.name, *row.synonyms)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_functions_of_the_package(name: str) -> None:
    """Each has the row's parameters under their names, in order, with the row's values."""
    make, row = getattr(fb, name), _engine.ACTIVATIONS[name]
    arguments = inspect.signature(make).parameters
    assert [(p.name, p.default) for p in arguments.values()] == [(p.name, p.value) for p in row.parameters]
    values = other_parameters(name)
    f = make(**dict(zip(arguments, values, strict=True)))
    assert f == make(*values) == ActivationFunction(name, *values) == eval(repr(f), vars(fb))
    assert f != make()
    assert hash(f) == hash(make(*values))
    assert make() == resolve(name)
    assert name in dir(fb)
    assert all(parameter in make.__doc__ for parameter in arguments)


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_every_row_has_a_function(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    f = getattr(fb.activations, name)()
    Z = rng.normal(size=(3, 5)).astype(dtype)
    np.testing.assert_array_equal(f(Z), fb.functional.activation_forward(Z, name))
    assert f(Z).dtype == dtype
    assert inspect.getdoc(getattr(fb.activations, name))
    for again in (pickle.loads(pickle.dumps(f)), copy.deepcopy(f)):
        assert again == f


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_arrays_as_they_lie_have_the_bits_of_blocks(name: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Any size, with and without an array to fill, and on top of an argument."""
    f = ActivationFunction(name)
    for shape in ((1, 1), (3, 5), (4, 16), (2, 64), (7, 130), (300, 48)):
        Z, dY = 3 * rng.normal(size=(2, *shape)).astype(dtype)
        Y = _engine.functional.activation_forward(Z, *f.settings().values())
        dZ = _engine.functional.activation_backward(dY, Z, Y, *f.settings().values())
        np.testing.assert_array_equal(fb.functional.activation_forward(Z, name), Y)
        np.testing.assert_array_equal(fb.functional.activation_backward(dY, Z, Y, name), dZ)
        given = np.empty_like(Z), dY.copy(), Z.copy()
        assert fb.functional.activation_forward(Z, f, out=given[0]) is given[0]
        assert fb.functional.activation_backward(given[1], Z, Y, f, out=given[1]) is given[1]
        assert f(given[2], out=given[2]) is given[2]
        for got, wanted in zip(given, (Y, dZ, Y), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_results_go_where_they_are_wanted(rng: np.random.Generator) -> None:
    """Into columns of something larger, onto memory that an argument shares, and from what is no array."""
    memory = rng.normal(size=(6, 8))
    Z = memory[:4].copy()
    wanted = np.tanh(Z)
    wide = np.zeros((4, 16))
    fb.functional.activation_forward(Z, "tanh", out=wide[:, ::2])
    np.testing.assert_allclose(wide[:, ::2], wanted, rtol=1e-14)
    fb.functional.activation_forward(memory[:4], "tanh", out=memory[1:5])
    np.testing.assert_allclose(memory[1:5], wanted, rtol=1e-14)
    np.testing.assert_allclose(fb.functional.activation_forward(Z.tolist(), "tanh"), wanted, rtol=1e-14)
    np.testing.assert_allclose(fb.functional.activation_forward(np.asfortranarray(Z), "tanh"), wanted, rtol=1e-14)


@pytest.mark.parametrize("out", [np.empty((3, 4), np.float32), np.empty((4, 3)), [[0.0] * 4] * 3, "read-only"], ids=str)
def test_what_cannot_be_filled(out) -> None:
    Z = np.ones((3, 4))
    if isinstance(out, str):
        out = np.ones((3, 4))
        out.flags.writeable = False
    for call in (
        lambda: fb.functional.activation_forward(Z, "tanh", out=out),
        lambda: fb.functional.activation_backward(Z, Z, Z, "tanh", out=out),
    ):
        with pytest.raises(ValueError, match=r"out must be an array of float64 \(3, 4\)"):
            call()


def test_an_unknown_function() -> None:
    with pytest.raises(AttributeError, match="no_such"):
        _ = fb.activations.no_such
    assert {"tanh", "resolve"} <= set(dir(fb.activations))


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parameters_through_the_whole_library(name: str, tmp_path, rng: np.random.Generator) -> None:
    """Layers, table, copy, pickle, file, blocks, derivatives, diagnosis and explanation have the same parameters."""
    f, default = ActivationFunction(name, *other_parameters(name)), ActivationFunction(name)
    net = fb.Sequential(
        fb.Input(4), fb.Dense(6, f), fb.Activation(f), fb.Dense(5, default), fb.Dense(2), dtype="float64", seed=0
    )
    label = f"{name}({', '.join(f'{p:g}' for p in f.parameters)})"
    assert f"Dense {label}" in net.summary()
    assert f"Activation {label}" in net.summary()
    assert f"Dense {name} " in net.summary()
    net.save(tmp_path / "net.safetensors")
    X = rng.normal(size=(7, 4)) * 3
    first = net.layers[0]
    Z = X @ first.W + first.b
    for again in (net, net.copy(), pickle.loads(pickle.dumps(net)), fb.load(tmp_path / "net.safetensors")):
        assert [layer.function for layer in again.layers[:3]] == [f, f, default]
        np.testing.assert_array_equal(again.predict(X), net.predict(X))
    steps = {step.name: step for step in fb.explain(net, X[:1], [[0.0, 0.0]]).steps}
    np.testing.assert_allclose(steps["dense_1"].value, f(Z)[0], rtol=1e-12)
    slope = fb.functional.activation_backward(np.ones((1, 6)), Z[:1], f(Z[:1]), f)
    np.testing.assert_allclose(steps["dense_1"].slope, slope[0], rtol=1e-12)
    assert fb.check_gradients(net, X, np.zeros((7, 2)), "mse") < 1e-5
    ahead, back = (fb.jacobian(net, X, mode=mode) for mode in ("forward", "reverse"))
    np.testing.assert_allclose(ahead, back, rtol=1e-10, atol=1e-12)
    assert len(fb.diagnose(net, X, np.zeros((7, 2))).nodes) == 4


def test_a_block_takes_a_function() -> None:
    f = fb.hard_tanh(-2, 2)
    for block in (fb.GLU(6, f), fb.Highway(f)):
        net = fb.Sequential(fb.Input(6), block, seed=0)
        assert f in [getattr(layer, "function", None) for layer in net.layers]


def test_a_parameter_by_alpha() -> None:
    assert fb.Dense(2, "leaky_relu", alpha=0.2).function == fb.leaky_relu(0.2)
    layer = fb.Activation("threshold", alpha=[0.5, -1])
    assert layer.function == fb.threshold(0.5, -1)
    assert layer.alpha == [0.5, -1.0]
    assert fb.Dense(2, "leaky_relu").alpha == 0.01
    assert fb.Dense(2, "tanh").alpha is None


@pytest.mark.parametrize("f", [fb.hard_tanh(-3, 2), fb.elu(2), fb.celu(2), fb.softplus(2), fb.squareplus(2)], ids=repr)
def test_saturation_goes_with_the_parameters(f: ActivationFunction) -> None:
    """The engine's share of saturated numbers is that of slopes below 5 % of the largest."""
    Z = np.linspace(-6, 6, 1201)[:, None]
    net = fb.Sequential(fb.Input(1), fb.Activation(f), dtype="float64")
    figures = fb.diagnose(net, Z, 0 * Z).nodes[0]
    slope = fb.functional.activation_backward(np.ones_like(Z), Z, f(Z), f)
    assert figures.saturated == pytest.approx((slope < 0.05 * slope.max()).mean(), abs=0.004)
    assert figures.bound == pytest.approx(slope.max(), rel=0.05)


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_the_bound_is_the_largest_slope(name: str) -> None:
    row = _engine.ACTIVATIONS[name]
    if row.by_rows or not np.isfinite(row.bound):
        return
    Z = np.concatenate([np.linspace(-12, 12, 240001), [1e4, -1e4]])[:, None]
    Y = fb.functional.activation_forward(Z, name)
    slope = np.abs(fb.functional.activation_backward(np.ones_like(Z), Z, Y, name))
    assert row.bound == pytest.approx(slope.max(), rel=1e-4)


# Slopes that are drawn


def drawn(net: fb.Sequential, X: np.ndarray) -> np.ndarray:
    """The slopes of a training pass; those of the way back are the same."""
    slopes = net.forward(X) / X
    np.testing.assert_allclose(net.backward(np.ones_like(X)), slopes, rtol=1e-5)
    return slopes


@pytest.mark.parametrize("fused", [True, False])
def test_rrelu_draws_in_training(fused: bool, dtype: np.dtype, rng: np.random.Generator) -> None:
    f, width = fb.rrelu(0.2, 0.6), 70
    layer = fb.Dense(width, f, weights=np.eye(width)) if fused else fb.Activation(f)
    net = fb.Sequential(fb.Input(width), layer, dtype=dtype, seed=3)
    X = rng.normal(size=(311, width)).astype(dtype)
    slopes, below = drawn(net, X), X < 0
    np.testing.assert_allclose(slopes[~below], 1, rtol=1e-6)
    assert (slopes[below] >= 0.2 * 0.99999).all()
    assert (slopes[below] <= 0.6 * 1.00001).all()
    assert not np.array_equal(slopes, drawn(net, X))
    each, square = below.sum() / 8, 0.0
    for _ in range(20):
        counts = np.histogram(drawn(net, X)[below], bins=8, range=(0.2, 0.6))[0]
        square += ((counts - each) ** 2).sum() / each
    assert 97 < square < 197  # chi square of 140 degrees: two in a thousand are outside
    np.testing.assert_allclose(net.predict(X), np.where(below, 0.4 * X, X), rtol=1e-5)
    np.testing.assert_array_equal(net.forward(X, training=False), net.predict(X))


def test_rrelu_draws_the_same_whoever_does(rng: np.random.Generator) -> None:
    """By seed, step, node and row: not by threads, nor by how often the net was built."""
    X, y = rng.normal(size=(64, 5)), rng.normal(size=(64, 2))

    def trained(threads: int, seed: int) -> np.ndarray:
        net = fb.Sequential(fb.Input(5), fb.Dense(37, "rrelu"), fb.Dense(9, "rrelu"), fb.Dense(2), seed=seed)
        net.fit(X, y, loss="mse", epochs=2, batch_size=32, threads=threads, seed=1)
        return net.params.copy()

    np.testing.assert_array_equal(trained(1, 0), trained(2, 0))
    assert not np.array_equal(trained(1, 0), trained(1, 1))


def test_two_nodes_draw_apart(rng: np.random.Generator) -> None:
    x = fb.Input(40)
    net = fb.Model(x, [fb.Activation("rrelu")(x), fb.Activation("rrelu")(x)], dtype="float64", seed=0)
    X = -1 - rng.random((9, 40))
    a, b = net.forward(X)
    assert abs(np.corrcoef((a / X).ravel(), (b / X).ravel())[0, 1]) < 0.2


# Slopes that are learned


@pytest.mark.parametrize("count", [1, 6])
def test_prelu_trains_as_pytorch_does(count: int, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    net = fb.Sequential(fb.Input(4), fb.Dense(6), fb.PReLU(count, init=0.125), fb.Dense(3), dtype="float64", seed=0)
    twin = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.PReLU(count, init=0.125), torch.nn.Linear(6, 3)).double()
    with torch.no_grad():
        for mine, theirs in ((net.layers[0], twin[0]), (net.layers[2], twin[2])):
            theirs.weight.copy_(torch.tensor(np.array(mine.W.T)))
            theirs.bias.copy_(torch.tensor(np.array(mine.b)))
    X, y = rng.normal(size=(11, 4)), rng.normal(size=(11, 3))
    trainer, optimizer = fb.Trainer(net, loss="mse", optimizer=fb.SGD(lr=0.1)), torch.optim.SGD(twin.parameters(), 0.1)
    for _ in range(20):
        optimizer.zero_grad()
        value = torch.nn.functional.mse_loss(twin(torch.tensor(X)), torch.tensor(y))
        value.backward()
        optimizer.step()
        assert trainer.step(X, y) == pytest.approx(value.item(), rel=1e-10)
    np.testing.assert_allclose(net["prelu_1"].alpha, twin[1].weight.detach().numpy(), rtol=1e-10)
    assert net["prelu_1"].alpha.shape == net["prelu_1"].dalpha.shape == (count,)


@pytest.mark.parametrize("activation", ["prelu", fb.PReLU(1, init=0.5)])
def test_prelu_after_a_layer(activation, tmp_path, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(300), fb.Dense(200, activation), fb.Dense(3), dtype="float64", seed=0)
    assert [type(layer).__name__ for layer in net.layers] == ["Dense", "PReLU", "Dense"]
    assert net.layers[0].W.std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)  # He normal
    net.layers[1].alpha = rng.random(net.layers[1].alpha.shape)
    net.save(tmp_path / "net.safetensors")
    X = rng.normal(size=(5, 300))
    for again in (fb.load(tmp_path / "net.safetensors"), net.copy()):
        assert again.summary() == net.summary()
        np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert fb.Sequential(fb.Input(300), net, seed=0).layers[0].settings()["weights"] == "he_normal"


def test_a_layer_with_prelu_used_twice_has_one_slope_each() -> None:
    a, b = fb.Input(3), fb.Input(3)
    layer = fb.Dense(5, "prelu")
    net = fb.Model([a, b], [layer(a), layer(b)], seed=0)
    assert net.params.size == 3 * 5 + 5 + 5


def test_frozen_slopes_stay(rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Dense(5), fb.PReLU(trainable=False), fb.Dense(2), seed=0)
    net.fit(rng.normal(size=(20, 4)), rng.normal(size=(20, 2)), loss="mse", epochs=2, seed=0)
    assert (net["prelu_1"].alpha == 0.25).all()


@pytest.mark.filterwarnings("ignore:.*iterations were reached")
@pytest.mark.parametrize("theirs", ["identity", "logistic", "swish"])
def test_synonyms_stand_in_the_table_alone(theirs: str) -> None:
    """What reads scikit-learn's names, and the estimators, know each synonym from the engine's table."""
    pytest.importorskip("sklearn")
    from fastbp.sklearn import MLPRegressor

    X, y = np.linspace(-1, 1, 24).reshape(12, 2), np.linspace(0, 1, 12)
    one, other = (
        MLPRegressor(hidden_layer_sizes=(3,), activation=name, max_iter=3, random_state=0).fit(X, y)
        for name in (theirs, resolve(theirs).name)
    )
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    np.testing.assert_allclose(fb.from_sklearn(one).predict(X)[:, 0], one.predict(X), rtol=1e-6)
