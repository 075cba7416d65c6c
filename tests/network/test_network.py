"""A network as an object: arrays taken, names, live views, start values, seeds, copies, tables."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine
from nets import GRAPHS, as_list, batch, chain, fan_out, one_or_all, shared, two_inputs


def test_arrays_of_any_source_give_the_same(rng: np.random.Generator) -> None:
    """Arrays in: anything NumPy can see."""
    import pandas

    class Capsule:
        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **options) -> object:
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.array.__dlpack_device__()

    net = chain()
    X = np.round(rng.normal(size=(6, 4)) * 4)
    wanted = net.predict(X)
    X.flags.writeable = False
    sources = [
        X,
        np.asfortranarray(X),
        X.tolist(),
        X.astype(np.float32),
        X.astype(np.float16),
        X.astype(np.int8),
    ]
    sources += [pandas.DataFrame(X), Capsule(np.array(X)), X.astype(">f8"), np.repeat(X, 2, axis=0)[::2]]
    for source in sources:
        np.testing.assert_array_equal(net.predict(source), wanted, err_msg=str(type(source)))
    packed = np.zeros((6, 5), dtype=np.int8).view([("a", np.int8), ("b", "V4")])["a"].astype(bool)
    np.testing.assert_array_equal(net.predict(np.repeat(packed, 4, axis=1)), net.predict(np.zeros((6, 4))))


def test_a_memory_map_and_an_unaligned_array(tmp_path, rng: np.random.Generator) -> None:
    net = chain()
    X = rng.normal(size=(6, 4))
    wanted = net.predict(X)
    X.tofile(tmp_path / "x")
    np.testing.assert_array_equal(
        net.predict(np.memmap(tmp_path / "x", dtype=np.float64, mode="r", shape=(6, 4))), wanted
    )
    unaligned = np.frombuffer(b"!" + X.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(6, 4)
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(net.predict(unaligned), wanted)


def test_names() -> None:
    net = fan_out()
    names = ["h", "dense_1", "dense_2", "activation_1", "dense_3", "dense_4"]
    assert [layer.name for layer in net.layers] == names
    assert net["h"] is net.layers[0]
    assert net.inputs[0].name == "x"
    assert len({node.name for node in net.nodes}) == len(net.nodes)


def test_given_names_do_not_collide_with_made_ones() -> None:
    net = fb.Sequential(fb.Input(2), fb.Dense(3, name="dense_2"), fb.Dense(4), fb.Dense(5), seed=0)
    names = [layer.name for layer in net.layers]
    assert names[0] == "dense_2"
    assert len(set(names)) == 3
    with pytest.raises(ValueError, match="twin"):
        fb.Sequential(fb.Input(2), fb.Dense(3, name="twin"), fb.Dense(4, name="twin"))


def test_layers_are_the_same_objects_in_order() -> None:
    first, second = fb.Dense(3), fb.Dense(2)
    x = fb.Input(4)
    node = first(x)
    net = fb.Model(x, second(node), seed=0)
    assert list(net.layers) == [first, second]
    assert net["dense_1"] is first
    assert np.shares_memory(node.W, first.W)
    assert net.nodes[0] is x


def test_a_shared_layer_is_listed_once() -> None:
    net = shared()
    assert [layer.name for layer in net.layers] == ["shared", "dense_1"]
    assert len(net.params) == 6 * 6 + 6 + 6 * 2 + 2


def test_views_are_live(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = chain(str(dtype))
    first, last = net["dense_1"], net["dense_2"]
    assert first.W.shape == first.dW.shape == (4, 7)
    assert first.b.shape == first.db.shape == (7,)
    assert last.W.shape == (7, 3)
    assert len(net.params) == len(net.grads) == 4 * 7 + 7 + 7 * 3 + 3
    for view, vector in (
        (first.W, net.params),
        (first.b, net.params),
        (last.dW, net.grads),
        (last.db, net.grads),
    ):
        assert np.shares_memory(view, vector)
        assert view.flags.c_contiguous
        assert view.dtype == vector.dtype == dtype
    net.params[...] = 0
    assert (first.W == 0).all()
    last.b[...] = 5
    np.testing.assert_array_equal(net.predict(rng.normal(size=(6, 4))), np.full((6, 3), 5))
    net.forward(rng.normal(size=(6, 4)))
    net.backward(np.ones((6, 3)))
    np.testing.assert_array_equal(last.db, 6)
    np.testing.assert_array_equal(
        np.concatenate([A.ravel() for A in (first.dW, first.db, last.dW, last.db)]), net.grads
    )


def test_vectors_are_aligned(dtype: np.dtype) -> None:
    for build in GRAPHS:
        net = build(str(dtype))
        assert net.params.ctypes.data % 64 == 0
        assert net.grads.ctypes.data % 64 == 0


def test_no_bias_has_no_b() -> None:
    net = fb.Sequential(fb.Input(3), fb.Dense(2, bias=False), seed=0)
    assert net["dense_1"].b is None
    assert len(net.params) == 6


def test_seeds(dtype: np.dtype) -> None:
    one, same, other = (chain(str(dtype), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.params, same.params)
    assert not np.array_equal(one.params, other.params)
    undetermined = fb.Sequential(fb.Input(4), fb.Dense(7), seed=None)
    assert isinstance(undetermined.seed, int)
    again = fb.Sequential(fb.Input(4), fb.Dense(7), seed=undetermined.seed)
    np.testing.assert_array_equal(undetermined.params, again.params)


def test_both_dtypes_start_alike() -> None:
    np.testing.assert_array_equal(chain("float32").params, chain("float64").params.astype(np.float32))


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_start_values_are_those_of_the_table(name: str) -> None:
    """Each row names its initializer; that has the published mean, spread and bound."""
    inputs, outputs = 300, 200
    W = fb.Sequential(fb.Input(inputs), fb.Dense(outputs, activation=name), dtype="float64", seed=0)["dense_1"].W
    start = _engine.ACTIVATIONS[name].start
    fans = {"glorot": 2 / (inputs + outputs), "he": 2 / inputs, "lecun": 1 / inputs}
    family, kind = start.split("_")
    deviation = np.sqrt(fans[family])
    assert W.std() == pytest.approx(deviation, rel=0.01)
    assert abs(W.mean()) < 0.02 * deviation
    if kind == "uniform":
        assert 0.999 * deviation * np.sqrt(3) < np.abs(W).max() <= deviation * np.sqrt(3)
    else:
        assert np.abs(W).max() > deviation * 3


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_he_normal_before_the_family_of_relu(name: str) -> None:
    assert _engine.ACTIVATIONS[name].start == "he_normal"


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "softmax"])
def test_glorot_uniform_before_the_others(name: str) -> None:
    assert _engine.ACTIVATIONS[name].start == "glorot_uniform"


def test_biases_start_at_zero_and_starts_can_be_given() -> None:
    assert (chain()["dense_1"].b == 0).all()
    W, b = np.arange(6.0).reshape(3, 2), np.array([7.0, 8.0])
    net = fb.Sequential(fb.Input(3), fb.Dense(2, weights=W, biases=b), dtype="float64")
    np.testing.assert_array_equal(net["dense_1"].W, W)
    np.testing.assert_array_equal(net["dense_1"].b, b)
    net = fb.Sequential(fb.Input(3), fb.Dense(2, weights="zeros", biases="ones"))
    assert (net["dense_1"].W == 0).all()
    assert (net["dense_1"].b == 1).all()
    net = fb.Sequential(fb.Input(3), fb.Dense(2, weights=lambda shape, rng: np.full(shape, 4.0)))
    assert (net["dense_1"].W == 4).all()


@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_copies_are_equal_and_independent(build, how: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    net = build(str(dtype))
    net.params[...] = rng.normal(size=len(net.params))
    other = net.copy() if how == "copy" else pickle.loads(pickle.dumps(net))
    assert type(other) is type(net)
    assert other.seed == net.seed
    assert other.summary() == net.summary()
    np.testing.assert_array_equal(other.params, net.params)
    xs, dys = batch(net, 5, rng)
    for got, wanted in zip(as_list(other.forward(one_or_all(xs))), as_list(net.forward(one_or_all(xs))), strict=True):
        np.testing.assert_array_equal(got, wanted)
    other.backward(one_or_all(dys))
    net.backward(one_or_all(dys))
    np.testing.assert_array_equal(other.grads, net.grads)
    before = net.params.copy()
    other.params[...] = 0
    np.testing.assert_array_equal(net.params, before)


def test_a_graph_survives_its_own_description(rng: np.random.Generator) -> None:
    for build in GRAPHS:
        net = build()
        again = type(net).from_config(net.config())
        np.testing.assert_array_equal(again.params, net.params)
        assert again.config() == net.config()


def test_the_summary_shows_every_node() -> None:
    net = fan_out()
    text = net.summary()
    assert str(net) == text
    for node in net.nodes:
        line = next(line for line in text.splitlines() if line.split()[:1] == [node.name])
        assert str(node.width) in line
        assert all(parent.name in line for parent in node.parents)
    assert f"{len(net.params):,}" in text
    assert "float64" in text


def test_topological_order_is_by_need_alone() -> None:
    net = two_inputs()
    seen = set()
    for node in net.nodes:
        assert all(parent in seen for parent in node.parents)
        seen.add(node)
    assert set(net.outputs) <= seen


def test_depth_is_no_limit(rng: np.random.Generator) -> None:
    """A deep graph must not run into Python's recursion limit, built, copied, pickled or printed."""
    node = x = fb.Input(2)
    for _ in range(3000):
        node = fb.Activation("linear")(node)
    net = fb.Model(x, node, dtype="float64", seed=0)
    X = rng.normal(size=(3, 2))
    np.testing.assert_array_equal(net.predict(X), X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(net)).predict(X), X)
    assert len(net.summary().splitlines()) > 3000


def test_deep_copies_are_copies(rng: np.random.Generator) -> None:
    net = chain()
    other = copy.deepcopy(net)
    np.testing.assert_array_equal(other.params, net.params)
    other.params[...] = 0
    assert net.params.any()


def test_a_net_is_let_go() -> None:
    net = fan_out()
    net.forward(np.ones((3, 5)))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_a_fit_net_is_let_go(rng: np.random.Generator) -> None:
    net = chain()
    optimizer = fb.Adam()
    net.fit(rng.normal(size=(6, 4)), rng.normal(size=(6, 3)), loss="mse", optimizer=optimizer, epochs=1)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
