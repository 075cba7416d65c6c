"""Graphs: order, fan-out, several ends, shared layers, names, live views, start values, copies and tables.

Each graph is compared with the reference net that is read off it, and gradient-checked inside a graph rather than
alone. Widths are all different, so a transposed matrix cannot pass.
"""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import reference

import fastbp as fb
from fastbp import _engine


def chain(dtype: str = "float64", seed: int = 1) -> fb.Sequential:
    return fb.Sequential(
        fb.Input(4),
        fb.Dense(7, activation="tanh"),
        fb.Activation("sigmoid"),
        fb.Dense(3),
        dtype=dtype,
        seed=seed,
    )


def fan_out(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """One node used three times and given out too; outputs of different depth."""
    x = fb.Input(5, name="x")
    h = fb.Dense(7, activation="tanh", name="h")(x)
    deep = fb.Dense(2)(fb.Dense(6, activation="sigmoid")(h))
    side = fb.Activation("relu")(h)
    return fb.Model(x, [deep, h, fb.Dense(3, bias=False)(side), fb.Dense(4)(h)], dtype=dtype, seed=seed)


def two_inputs(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """Two separate trees whose layers are given in mixed order."""
    a, b = fb.Input(3), fb.Input(5)
    out_b = fb.Dense(4, activation="leaky_relu", alpha=0.2)(fb.Dense(6, activation="tanh")(b))
    out_a = fb.Dense(2, activation="softmax")(fb.Dense(7)(a))
    return fb.Model([a, b], [out_a, out_b], dtype=dtype, seed=seed)


def shared(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """One layer called on two inputs, and again on what it made."""
    a, b = fb.Input(6), fb.Input(6)
    layer = fb.Dense(6, activation="tanh", name="shared")
    return fb.Model([a, b], [fb.Dense(2)(layer(a)), layer(layer(b))], dtype=dtype, seed=seed)


def repeated(dtype: str = "float64", seed: int = 1) -> fb.Model:
    """The same node given out twice."""
    x = fb.Input(4)
    y = fb.Dense(3, activation="tanh")(x)
    return fb.Model(x, [y, y], dtype=dtype, seed=seed)


def random_graph(number: int):
    """A builder of a graph drawn at random: any fan-out, several ends, now and then a layer used again."""

    def build(dtype: str = "float64", seed: int = 1) -> fb.Model:
        rng = np.random.default_rng(number)
        inputs = [fb.Input(int(rng.integers(1, 9))) for _ in range(rng.integers(1, 4))]
        nodes, layers = list(inputs), []
        for _ in range(rng.integers(3, 14)):
            parent = nodes[rng.integers(len(nodes))]
            name = str(rng.choice(sorted(_engine.ACTIVATIONS)))
            again = [layer for layer, width in layers if width == parent.width]
            if again and rng.random() < 0.4:
                nodes.append(again[rng.integers(len(again))](parent))
            elif rng.random() < 0.3:
                nodes.append(fb.Activation(name)(parent))
            else:
                units = parent.width if rng.random() < 0.3 else int(rng.integers(1, 40))
                layers.append((fb.Dense(units, activation=name, bias=bool(rng.random() < 0.8)), parent.width))
                nodes.append(layers[-1][0](parent))
        nodes += [fb.Dense(2)(x) for x in inputs]
        picked = [nodes[k] for k in rng.integers(len(nodes), size=rng.integers(1, 4))]
        outputs = picked + nodes[-len(inputs) :]
        return fb.Model(inputs, outputs, dtype=dtype, seed=seed)

    build.__name__ = f"random_{number}"
    return build


GRAPHS = [chain, fan_out, two_inputs, shared, repeated, *map(random_graph, range(25))]


def batch(net: fb.Model, rows: int, rng: np.random.Generator) -> tuple[list, list]:
    """Inputs, and gradients of the outputs."""
    xs = [rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.inputs]
    dys = [rng.normal(size=(rows, node.width)).astype(net.dtype) for node in net.outputs]
    return xs, dys


def one_or_all(values: list) -> np.ndarray | tuple:
    return values[0] if len(values) == 1 else tuple(values)


def as_list(values: np.ndarray | tuple) -> list:
    return [values] if isinstance(values, np.ndarray) else list(values)


@pytest.mark.parametrize("build", GRAPHS)
def test_forward_and_backward(build, dtype: np.dtype, tolerance: float, rng: np.random.Generator) -> None:
    net = build(str(dtype))
    net.params[...] = rng.normal(size=len(net.params)) * 0.5
    for rows in (9, 1, 23):
        xs, dys = batch(net, rows, rng)
        mirror, layers = reference.mirror(net)
        ys = as_list(net.forward(one_or_all(xs)))
        dxs = as_list(net.backward(one_or_all(dys)))
        wanted_dxs, gradients = None, None
        for got, wanted in zip(ys, mirror.forward(*xs), strict=True):
            assert got.dtype == dtype
            assert got.flags.c_contiguous
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)
        wanted_dxs, gradients = mirror.backward(*dys)
        for got, wanted in zip(dxs, wanted_dxs, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1, np.abs(wanted).max()))
        for key, layer in enumerate(layers):
            dW, db = gradients[key]
            np.testing.assert_allclose(layer.dW, dW, rtol=0, atol=tolerance * max(1, np.abs(dW).max()))
            if layer.b is not None:
                np.testing.assert_allclose(layer.db, db, rtol=0, atol=tolerance * max(1, np.abs(db).max()))


@pytest.mark.parametrize("build", GRAPHS)
def test_gradients_against_finite_differences(build, rng: np.random.Generator) -> None:
    net = build()
    xs, dys = batch(net, 5, rng)
    net.forward(one_or_all(xs))
    dxs = as_list(net.backward(one_or_all(dys)))

    def objective(_: np.ndarray) -> float:
        ys = as_list(net.predict(one_or_all(xs)))
        return float(sum((dy * y).sum() for dy, y in zip(dys, ys, strict=True)))

    reference.assert_gradient(objective, net.params, net.grads.copy(), "grads")
    for x, dx in zip(xs, dxs, strict=True):
        reference.assert_gradient(objective, x, dx, "dX")


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
@pytest.mark.parametrize("fused", [True, False])
def test_every_activation_inside_a_graph(name: str, fused: bool, rng: np.random.Generator) -> None:
    x = fb.Input(4)
    h = fb.Dense(6, activation=name)(x) if fused else fb.Activation(name)(fb.Dense(6)(x))
    net = fb.Model(x, [fb.Dense(3, activation=name)(h), fb.Dense(2)(h)], dtype="float64", seed=5)
    (X,), dys = batch(net, 7, rng)
    net.forward(X)
    dX = net.backward(dys)

    def objective(_: np.ndarray) -> float:
        return float(sum((dy * y).sum() for dy, y in zip(dys, net.predict(X), strict=True)))

    reference.assert_gradient(objective, net.params, net.grads.copy(), f"grads behind {name}")
    reference.assert_gradient(objective, X, dX, f"dX behind {name}")


@pytest.mark.parametrize("loss", sorted(_engine.LOSSES))
def test_value_and_grad_against_finite_differences(loss: str, rng: np.random.Generator) -> None:
    net = chain()
    X, y = rng.normal(size=(6, 4)), reference.softmax(rng.normal(size=(6, 3)))
    theta = net.params.copy()
    value, g = net.value_and_grad(theta, X, y, loss=loss)
    assert value == pytest.approx(reference.loss(loss, net.predict(X), y)[0], rel=1e-12)
    reference.assert_gradient(lambda p: net.value_and_grad(p, X, y, loss=loss)[0], theta.copy(), g, loss)


def test_value_and_grad_gives_a_gradient_of_its_own(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = chain(str(dtype))
    X, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    first = net.value_and_grad(np.zeros(len(net.params)), X, y)[1]
    kept = first.copy()
    assert not np.shares_memory(first, net.grads)
    assert (net.params == 0).all()
    net.value_and_grad(np.ones(len(net.params)), X, y)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("build", GRAPHS)
@pytest.mark.parametrize("optimizer", [fb.SGD, fb.AdamW])
def test_fit_is_the_loop_by_hand(build, optimizer, dtype: np.dtype, rng: np.random.Generator) -> None:
    """Shared parameters are updated once, after the last of their gradients; every output has its loss."""
    fitted, hand = build(dtype.name), build(dtype.name)
    xs, ts = batch(fitted, 23, rng)
    opt, order = optimizer(lr=0.02), np.random.default_rng(3)
    settings = {
        "loss": one_or_all(["mse"] * len(ts)),
        "optimizer": optimizer(lr=0.02),
        "epochs": 2,
        "batch_size": 9,
    }
    fitted.fit(one_or_all(xs), one_or_all(ts), seed=3, **settings)
    for _ in range(2):
        for xb, tb in fb.batches(tuple(xs), tuple(ts), 9, seed=order):
            ys = as_list(hand.forward(one_or_all(xb)))
            hand.backward(one_or_all([fb.losses.mse(y, t)[1] for y, t in zip(ys, tb, strict=True)]))
            opt.step(hand)
    np.testing.assert_array_equal(fitted.params, hand.params)


def test_gradients_accumulate_on_request(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fan_out(str(dtype))
    (X,), dys = batch(net, 6, rng)
    net.forward(X)
    net.backward(dys)
    once = net.grads.copy()
    net.backward(dys)
    np.testing.assert_array_equal(net.grads, once)
    net.backward(dys, accumulate=True)
    np.testing.assert_allclose(net.grads, 2 * once, rtol=1e-6)


def test_accumulation_with_a_shared_layer(rng: np.random.Generator) -> None:
    net = shared()
    xs, dys = batch(net, 6, rng)
    net.forward(tuple(xs))
    net.backward(tuple(dys))
    once = net.grads.copy()
    net.backward(tuple(dys), accumulate=True)
    np.testing.assert_allclose(net.grads, 2 * once, rtol=1e-12)


def test_a_predict_between_does_no_harm(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = chain(str(dtype))
    X, dY = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    net.forward(X)
    dX = net.backward(dY)
    grads = net.grads.copy()
    net.forward(X)
    net.predict(rng.normal(size=(50, 4)))
    np.testing.assert_array_equal(net.backward(dY), dX)
    np.testing.assert_array_equal(net.grads, grads)


def test_what_is_given_out_belongs_to_the_caller(rng: np.random.Generator) -> None:
    net = chain()
    X = rng.normal(size=(6, 4))
    first = net.forward(X)
    kept = first.copy()
    dX = net.backward(np.ones((6, 3)))
    kept_dX = dX.copy()
    first[...] = 7
    X[...] = 9  # backward must not read the caller's array again
    np.testing.assert_array_equal(net.backward(np.ones((6, 3))), kept_dX)
    net.forward(X)
    np.testing.assert_array_equal(dX, kept_dX)
    assert not np.array_equal(first, kept)


def test_an_untrained_row_of_any_source_gives_the_same(rng: np.random.Generator) -> None:
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
    assert [layer.name for layer in net.layers] == [
        "h",
        "dense_1",
        "dense_2",
        "activation_1",
        "dense_3",
        "dense_4",
    ] or [layer.name for layer in net.layers] == [
        "h",
        "dense_1",
        "dense_2",
        "activation_1",
        "dense_3",
        "dense_4",
    ][:6]
    assert net["h"] is net.layers[0]
    assert net.inputs[0].name == "x"
    assert len({node.name for node in net.nodes}) == len(net.nodes)
    assert [layer.name for layer in chain().layers] == ["dense_1", "activation_1", "dense_2"]


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
    assert node.W is first.W or np.shares_memory(node.W, first.W)
    assert net.nodes[0] is x


def test_a_shared_layer_is_listed_once() -> None:
    net = shared()
    assert [layer.name for layer in net.layers] == ["shared", "dense_1"] or len(net.layers) == 2
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
    W = fb.Sequential(fb.Input(inputs), fb.Dense(outputs, activation=name), dtype="float64", seed=0)[
        "dense_1"
    ].W
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
    assert (name in ("relu", "leaky_relu")) <= (start == "he_normal")
    assert (name in ("linear", "sigmoid", "tanh", "softmax")) <= (start == "glorot_uniform")


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
    for got, wanted in zip(
        as_list(other.forward(one_or_all(xs))), as_list(net.forward(one_or_all(xs))), strict=True
    ):
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


def test_dropout_is_off_outside_training(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(30), fb.Dropout(0.5), dtype=str(dtype), seed=3)
    X = rng.normal(size=(20, 30)).astype(dtype)
    np.testing.assert_array_equal(net.predict(X), X)
    np.testing.assert_array_equal(net.forward(X, training=False), X)
    assert not np.array_equal(net.forward(X), X)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_keeps_the_mean(rate: float, dtype: np.dtype) -> None:
    net = fb.Sequential(fb.Input(203), fb.Dropout(rate), dtype=str(dtype), seed=3)
    X = np.ones((501, 203), dtype=dtype)
    Y = net.forward(X)
    np.testing.assert_allclose(Y[Y != 0], 1 / (1 - rate), rtol=1e-6)
    assert abs((Y == 0).mean() - rate) < 0.005
    spread = 4 * np.sqrt(rate * (1 - rate) / 203) + 1e-12
    assert (np.abs((Y == 0).mean(axis=1) - rate) <= 1.3 * spread).all(), "rows are not dropped alike"
    assert (np.abs((Y == 0).mean(axis=0) - rate) <= spread).all(), "columns are not dropped alike"
    np.testing.assert_array_equal(net.backward(X), Y)


def test_dropout_masks_are_new_each_step_and_follow_the_seed(rng: np.random.Generator) -> None:
    X = np.ones((40, 50))
    one, same, other = (
        fb.Sequential(fb.Input(50), fb.Dropout(0.5), dtype="float64", seed=s) for s in (3, 3, 4)
    )
    first, second = one.forward(X), one.forward(X)
    assert (first != second).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(same.forward(X), first)
    np.testing.assert_array_equal(same.forward(X), second)
    assert (other.forward(X) != first).mean() == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_two_dropouts_draw_apart() -> None:
    x = fb.Input(50)
    net = fb.Model(x, [fb.Dropout(0.5)(x), fb.Dropout(0.5)(x)], seed=3)
    one, two = net.forward(np.ones((40, 50)))
    assert (one != two).mean() == pytest.approx(0.5, abs=0.05)


def test_gradients_flow_through_the_mask_that_was_drawn(rng: np.random.Generator) -> None:
    net = fb.Sequential(
        fb.Input(7), fb.Dense(9, activation="tanh"), fb.Dropout(0.4), fb.Dense(3), dtype="float64", seed=3
    )
    X, dY = rng.normal(size=(5, 7)), rng.normal(size=(5, 3))
    start = net.copy()
    net.forward(X)
    dX = net.backward(dY)

    def objective(_: np.ndarray) -> float:
        twin = start.copy()
        twin.params[...] = net.params
        return float((twin.forward(X) * dY).sum())

    reference.assert_gradient(objective, net.params, net.grads.copy(), "grads")
    reference.assert_gradient(objective, X, dX, "dX")


def test_an_input_may_be_given_out(rng: np.random.Generator) -> None:
    x = fb.Input(4)
    net = fb.Model(x, [x, fb.Dense(3)(x)], dtype="float64", seed=1)
    X, dx, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    np.testing.assert_array_equal(net.forward(X)[0], X)
    np.testing.assert_allclose(net.backward((dx, dy)), dx + dy @ net["dense_1"].W.T, rtol=1e-12)


def test_a_net_without_parameters_trains_nothing(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(4), fb.Activation("tanh"), dtype=dtype)
    X = rng.normal(size=(9, 4))
    assert net.params.size == net.grads.size == 0
    for optimizer in ("sgd", "adam", "adamw"):
        history = net.fit(X, X, optimizer=optimizer, epochs=2, batch_size=4)
        assert history.history["loss"][0] == pytest.approx(((np.tanh(X) - X) ** 2).mean(), rel=1e-5)
    np.testing.assert_allclose(net.predict(X), np.tanh(X), rtol=1e-5)


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
