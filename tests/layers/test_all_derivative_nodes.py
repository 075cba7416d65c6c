"""Each kind of derivative node, in each mode and order, through what any node goes through.

The table is checked against the classes and functions that there are, so a new kind has to join it.
"""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
from derivative_nets import assert_as_torch
from fastbp.layers.derivatives import Derivative, Directional, Gradient, Hessian, Jacobian, Laplacian, LogDet

X = np.random.default_rng(0).normal(size=(6, 3))
# Of z, of the width 3 of its input x, and e, of width 1.
NODES: dict[str, Callable] = {
    "diff": lambda z, e, x: fb.diff(z, x[:, 1]),
    "diff of order 2": lambda z, e, x: fb.diff(fb.diff(z, x[:, 1]), x[:, 2]),
    "diff of order 3": lambda z, e, x: fb.diff(fb.diff(fb.diff(e, x[:, 1]), x[:, 0]), x[:, 1]),
    "diff of order 4": lambda z, e, x: fb.diff(fb.diff(fb.diff(fb.diff(e, x[:, 1]), x[:, 0]), x[:, 1]), x[:, 1]),
    **{f"grad {m}": lambda z, e, x, m=m: fb.grad(e, x, mode=m) for m in Gradient.modes},
    **{f"jac {m}": lambda z, e, x, m=m: fb.jac(z, x[:, :2], mode=m) for m in Jacobian.modes},
    **{f"hess {m}": lambda z, e, x, m=m: fb.hess(e, x, mode=m) for m in Hessian.modes},
    **{f"laplacian {m}": lambda z, e, x, m=m: fb.laplacian(z, x, mode=m) for m in Laplacian.modes},
    "logdet": lambda z, e, x: fb.logdet(z, x),
    "directional": lambda z, e, x: fb.directional(z, x, z * e),
    "directional along numbers": lambda z, e, x: fb.directional(z, x[:, 1:], [0.5, -2.0]),
    "grad of logdet": lambda z, e, x: fb.grad(fb.logdet(z, x), x, mode="reverse"),
    "hess of logdet": lambda z, e, x: fb.hess(fb.logdet(z, x), x, mode="reverse"),
    "jac of grad": lambda z, e, x: fb.jac(fb.grad(e, x, mode="reverse"), x),
    "laplacian of laplacian": lambda z, e, x: fb.laplacian(fb.laplacian(e, x), x),
    "logdet of grad": lambda z, e, x: fb.logdet(fb.grad(e, x), x),
}
each_node = pytest.mark.parametrize("name", NODES)


def model(name: str, dtype: str = "float64") -> fb.Model:
    """A model whose outputs are z and a derivative."""
    x = fb.Input(3, name="x")
    z = x + 0.4 * fb.Dense(3, name="last")(fb.Dense(5, "tanh", name="first")(x))
    made = NODES[name](z, fb.Dense(1, name="energy")(z * z), x)
    return fb.Model(x, [z, made], dtype=dtype, seed=1)


def targets(net: fb.Model) -> tuple:
    return tuple(np.zeros((len(X), node.width), net.dtype) for node in net.outputs)


def test_the_table_has_every_kind_and_every_function() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    made = {type(model(name).outputs[1].layer) for name in NODES}
    assert made >= {kind for kind in below(Derivative) - {Derivative} if kind.__module__.startswith("fastbp.")}
    assert made >= {Directional, LogDet}
    from fastbp.layers import differentiation

    functions = {name for name in dir(differentiation) if name in fb.__all__ and name.islower()}
    assert functions == {name.split()[0] for name in NODES}


@each_node
def test_values_and_gradients(name: str) -> None:
    assert_as_torch(model(name))


@each_node
def test_finite_differences(name: str) -> None:
    net = model(name)
    fb.check_gradients(net, X, targets(net), loss=("mse", "mse"))


@each_node
def test_copies_pickles_and_files(name: str, tmp_path: Path, dtype: np.dtype) -> None:
    net = model(name, dtype)
    net.save(tmp_path / "net.safetensors")
    want = net.predict(X.astype(dtype))[1]
    for other in (
        net.copy(),
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        fb.load(tmp_path / "net.safetensors"),
    ):
        assert other.config() == net.config()
        np.testing.assert_array_equal(other.predict(X.astype(dtype))[1], want)
        layer = other.outputs[1].layer
        assert layer is not None
        assert (type(layer), layer.settings()) == (type(net.outputs[1].layer), net.outputs[1].layer.settings())


@each_node
def test_explained_diagnosed_and_drawn(name: str) -> None:
    net = model(name)
    layer = net.outputs[1].layer
    assert layer is not None
    said = str(fb.explain(net, X[:1], tuple(t[:1] for t in targets(net)), loss=("mse", "mse")))
    report = str(fb.diagnose(net, X, targets(net), loss=("mse", "mse")))
    for text in (said, report, str(net), net.to_dot()):
        assert layer.name in text
    assert "differentiated" in said


@each_node
def test_trained_with_the_same_bits_on_any_number_of_threads(name: str) -> None:
    results = []
    for threads in (1, 2):
        net = model(name)
        net.fit(X, targets(net), loss=("mse", "mse"), optimizer=fb.SGD(lr=1e-4), epochs=2, seed=0, threads=threads)
        results.append(net.params.tobytes())
    assert results[0] == results[1]
    assert results[0] != model(name).params.tobytes()


@pytest.mark.parametrize("function", ["diff", "grad", "jac", "hess", "laplacian", "logdet", "directional"])
def test_orders_beyond_the_kernels_name_the_node(function: str) -> None:
    x = fb.Input(1, name="x")
    u = fb.Dense(1)(fb.Dense(3, "tanh", name="body")(x))
    for _ in range(4):
        u = fb.diff(u, x)
    more = ([1.0],) if function == "directional" else ()
    order = 6 if function in ("hess", "laplacian") else 5
    with pytest.raises(ValueError, match=rf"{function}: a derivative of order {order} goes through <Dense tanh body>"):
        getattr(fb, function)(u, x, *more)


@pytest.mark.parametrize("function", ["diff", "grad", "jac", "hess", "laplacian", "logdet", "directional"])
def test_what_is_no_input_or_not_depended_on_is_named(function: str) -> None:
    x, other = fb.Input(1, name="x"), fb.Input(1, name="other")
    h = fb.Dense(1, "tanh", name="body")(x)
    more = ([1.0],) if function == "directional" else ()
    with pytest.raises(ValueError, match=rf"{function} is by an input or columns of one.*body"):
        getattr(fb, function)(fb.Dense(1)(h), h, *more)
    with pytest.raises(ValueError, match=rf"{function}: .*body.* does not depend on .*other"):
        getattr(fb, function)(h, other, *more)
