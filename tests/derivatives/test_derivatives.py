"""Jacobians, products with them, Hessians, gradients of rows: against torch.func, differences and each other."""

import numpy as np
import pytest

import fastbp as fb
import reference
import torch_losses
import torch_twin
from fastbp import _engine
from gated import GATED, blocks, diamonds, every_gate, normalized
from nets import as_list, batch, chain, fan_out, one_or_all, shared, small_net, two_inputs
from torch_twin import torch

LIMITS = {"float64": 1e-9, "float32": 5e-3}
GRAPHS = [*GATED, chain, fan_out, shared, two_inputs]
SINGLE = [normalized, blocks, chain, lambda dtype="float64": one_output(every_gate, dtype)]


def one_output(build, dtype: str) -> fb.Model:
    net = build(dtype)
    outputs, inputs = net.outputs[:1], net.inputs
    clone = net(*inputs)[0]
    assert len(outputs) == 1
    return fb.Model(inputs, clone, dtype=dtype, seed=1)


def moved(net: fb.Model, rng: np.random.Generator) -> fb.Model:
    """Parameters away from their starts; running variances stay positive."""
    net.params[...] += rng.normal(size=net.params.size) * 0.1
    for layer in net.layers:
        if layer.statistics:
            layer.variance = np.abs(np.array(layer.variance)) + 0.5
    return net


def with_activation(name: str, dtype: str = "float64") -> fb.Model:
    x = fb.Input(4)
    h = fb.Activation(name)(fb.Dense(9, activation=name)(x))
    return fb.Model(x, fb.Dense(3, activation=name)(h), dtype=dtype, seed=3)


def in_torch(net: fb.Model, dtype=torch.float64):
    """The outputs of one row as a function of its inputs, and the inputs' positions."""
    params = {name: p.to(dtype) for name, p in torch_twin.parameters(net).items()}
    return lambda *xs: torch_twin.evaluate(net, params, *xs), tuple(range(len(net.inputs)))


def assert_near(got: np.ndarray, wanted, dtype: np.dtype) -> None:
    wanted = np.asarray(wanted)
    assert got.shape == wanted.shape
    assert got.dtype == dtype
    assert got.flags.c_contiguous
    assert np.abs(got - wanted).max() <= LIMITS[dtype.name] * max(1, np.abs(wanted).max())


def second_derivative(f):
    """Reverse over reverse: PyTorch's own forward mode warns of itself."""
    return torch.func.jacrev(torch.func.jacrev(f))


@pytest.mark.parametrize("mode", ["forward", "reverse", "auto"])
@pytest.mark.parametrize("build", GRAPHS)
def test_jacobians_of_graphs(build, mode: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    net = moved(build(dtype.name), rng)
    f, places = in_torch(net)
    for rows in (1, 7, 300):
        xs, _ = batch(net, rows, rng)
        tensors = [torch.tensor(x, dtype=torch.float64) for x in xs]
        wanted = torch.func.vmap(torch.func.jacrev(f, argnums=places))(*tensors)
        J = fb.jacobian(net, one_or_all(xs), mode=mode)
        if len(places) == len(net.outputs) == 1:
            J = ((J,),)
        for line, wanted_line in zip(J, wanted, strict=True):
            for got, want in zip(line, wanted_line, strict=True):
                assert_near(got, want, dtype)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
def test_jacobians_and_hessians_of_activations(name: str, mode: str, rng: np.random.Generator) -> None:
    net = with_activation(name)
    if not np.isfinite(_engine.ACTIVATIONS[name].bound):
        net.params[...] *= 0.3  # three of its kind, one in the other
    X = rng.normal(size=(6, 4)) * 2
    f, _ = in_torch(net)
    wanted = torch.func.vmap(torch.func.jacrev(f))(torch.tensor(X))[0]
    assert_near(fb.jacobian(net, X, mode=mode), wanted, np.dtype("float64"))
    for output in range(3):
        second = torch.func.vmap(second_derivative(lambda x: f(x)[0][..., output]))(torch.tensor(X))  # noqa: B023
        assert_near(fb.hessian(net, X, output=output), second, np.dtype("float64"))


@pytest.mark.parametrize("build", GRAPHS)
def test_products_with_jacobians(build, dtype: np.dtype, rng: np.random.Generator) -> None:
    net = moved(build(dtype.name), rng)
    xs, vs = batch(net, 9, rng)
    us = [rng.normal(size=x.shape).astype(dtype) for x in xs]
    J = fb.jacobian(net, one_or_all(xs))
    J = ((J,),) if isinstance(J, np.ndarray) else J
    back, forth = as_list(fb.vjp(net, one_or_all(xs), one_or_all(vs))), fb.jvp(net, one_or_all(xs), one_or_all(us))
    for s, got in enumerate(back):
        assert_near(got, sum(np.einsum("no,noi->ni", v, line[s]) for v, line in zip(vs, J, strict=True)), dtype)
    for got, line in zip(as_list(forth), J, strict=True):
        assert_near(got, sum(np.einsum("noi,ni->no", j, u) for j, u in zip(line, us, strict=True)), dtype)


@pytest.mark.parametrize("build", SINGLE)
def test_hessians_by_the_inputs(build, dtype: np.dtype, rng: np.random.Generator) -> None:
    net = moved(build(dtype.name), rng)
    (X,), _ = batch(net, 5, rng)
    f, _ = in_torch(net)
    U = rng.normal(size=X.shape).astype(dtype)
    for output in (0, net.outputs[0].width - 1):
        wanted = torch.func.vmap(second_derivative(lambda x: f(x)[0][..., output]))(torch.tensor(X).double())  # noqa: B023
        H = fb.hessian(net, X, output=output)
        assert_near(H, wanted, dtype)
        assert_near(fb.hvp(net, X, U, output=output), np.einsum("nij,nj->ni", H, U), dtype)


SINGLE_HEADS = sorted(name for name, row in _engine.LOSSES.items() if row.heads == 1)


@pytest.mark.parametrize("build", [normalized, blocks, chain])
@pytest.mark.parametrize("loss", SINGLE_HEADS)
def test_hessians_of_losses(build, loss: str, rng: np.random.Generator) -> None:
    net = moved(build(), rng)
    (X,), _ = batch(net, 5, rng)
    width, kinds = net.outputs[0].width, ["values"]
    kinds += ["indices"] * _engine.LOSSES[loss].labels
    f, _ = in_torch(net)
    for kind in kinds:
        t = reference.targets(loss, 5, width, rng, kind)
        own = second_derivative(lambda x, u: torch_losses.LOSSES[loss](f(x[None])[0], u[None]))
        wanted = torch.func.vmap(own)(torch.tensor(X), torch.tensor(t))
        assert_near(fb.hessian(net, X, t, loss=loss), wanted, net.dtype)

        def of_params(theta: np.ndarray, t=t) -> np.ndarray:
            return net.value_and_grad(theta, X, t, loss=loss)[1]

        theta = net.params.copy()
        directions = rng.normal(size=(3, theta.size))
        for layer in net.layers:  # running averages have no gradient, so no second one
            for name in layer.statistics:
                part = net.slices[f"{layer.name}.{name}"][0]
                directions[:, part] = 0
        H = fb.hessian(net, X, t, loss=loss, wrt="params")
        assert H.shape == (theta.size, theta.size)
        for v in directions:
            wanted = (of_params(theta + 1e-5 * v) - of_params(theta - 1e-5 * v)) / 2e-5
            net.params = theta
            got = fb.hvp(net, X, v, t, loss=loss, wrt="params")
            np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-7 * max(1, np.abs(wanted).max()))
            np.testing.assert_allclose(H @ v, got, rtol=0, atol=1e-10 * max(1, np.abs(got).max()))


def test_the_hessian_by_the_parameters_is_torchs(rng: np.random.Generator) -> None:
    net = small_net()
    X, y = rng.normal(size=(9, 4)), rng.integers(3, size=9)
    params = torch_twin.parameters(net)
    sizes = [p.numel() for p in params.values()]

    def loss(theta):
        parts = dict(zip(params, theta.split(sizes), strict=True))
        own = {name: part.reshape(params[name].shape) for name, part in parts.items()}
        return torch.nn.functional.cross_entropy(torch_twin.evaluate(net, own, torch.tensor(X))[0], torch.tensor(y))

    wanted = second_derivative(loss)(torch.tensor(net.params.copy()))
    assert_near(fb.hessian(net, X, y, loss="cross_entropy", wrt="params"), wanted, net.dtype)


@pytest.mark.parametrize("loss", SINGLE_HEADS)
@pytest.mark.parametrize("build", [normalized, blocks, chain, small_net])
def test_gradients_of_rows(build, loss: str, dtype: np.dtype, rng: np.random.Generator) -> None:
    net = moved(build(dtype.name), rng)
    (X,), _ = batch(net, 300, rng)
    t = reference.targets(loss, 300, net.outputs[0].width, rng)
    rows = fb.per_sample_gradients(net, X, t, loss, threads=2)
    assert rows.shape == (300, net.params.size)
    for n in (0, 150, 299):
        wanted = net.value_and_grad(net.params.copy(), X[n : n + 1], t[n : n + 1], loss=loss)[1]
        assert_near(rows[n], wanted.astype(dtype), dtype)
    norms = fb.per_sample_gradient_norms(net, X, t, loss)
    np.testing.assert_allclose(norms, np.linalg.norm(rows.astype(np.float64), axis=1), rtol=1e-5)
    np.testing.assert_array_equal(rows, fb.per_sample_gradients(net, X, t, loss, threads=1))


def test_gradients_of_rows_with_shared_and_frozen_layers(rng: np.random.Generator) -> None:
    net = diamonds()
    net["dense_2"].trainable = False
    xs, ts = batch(net, 6, rng)
    rows = fb.per_sample_gradients(net, tuple(xs), tuple(ts), ("mse", "mse"))
    g = net.value_and_grad(net.params.copy(), tuple(xs), tuple(ts), loss=("mse", "mse"))[1]
    np.testing.assert_allclose(rows.mean(axis=0), g, rtol=0, atol=1e-12)
    assert (rows[:, net.slices["dense_2.W"][0]] == 0).all()


def test_gradients_of_rows_for_a_loss_in_python(rng: np.random.Generator) -> None:
    def squares(Y: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((Y - t) ** 2).mean()), 2 * (Y - t) / Y.size

    net = small_net()
    X, T = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    np.testing.assert_allclose(
        fb.per_sample_gradients(net, X, T, squares), fb.per_sample_gradients(net, X, T, "mse"), rtol=1e-12
    )


def test_determinants(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(5), fb.Dense(8, "tanh"), fb.Dense(5), dtype=dtype.name, seed=1)
    X = rng.normal(size=(6, 5)).astype(dtype)
    sign, size = fb.log_abs_det_jacobian(net, X)
    f, _ = in_torch(net)
    wanted = torch.linalg.slogdet(torch.func.vmap(torch.func.jacrev(f))(torch.tensor(X).double())[0])
    np.testing.assert_array_equal(sign, wanted[0])
    np.testing.assert_allclose(size, wanted[1], rtol=1e-3 if dtype == np.float32 else 1e-10)


def test_saliency(rng: np.random.Generator) -> None:
    net = small_net()
    X, y = rng.normal(size=(8, 4)), rng.integers(3, size=8)
    J, best = fb.jacobian(net, X), net.predict(X).argmax(axis=1)
    np.testing.assert_allclose(fb.input_gradient(net, X), J[np.arange(8), best], rtol=1e-10)
    np.testing.assert_allclose(fb.input_gradient(net, X, output=2), J[:, 2], rtol=1e-10)
    own = fb.input_gradient(net, X, y, loss="cross_entropy")
    for n in range(8):
        x = X[n : n + 1].copy()
        reference.assert_gradient(
            lambda x, n=n: net.evaluate(x, y[n : n + 1], loss="cross_entropy")["loss"], x, own[n : n + 1]
        )
    np.testing.assert_array_equal(fb.input_gradient(net, X[0], y[0], loss="cross_entropy"), own[0])


def test_one_row_without_an_axis(rng: np.random.Generator) -> None:
    net = small_net()
    X, V = rng.normal(size=(3, 4)), rng.normal(size=(3, 3))
    np.testing.assert_array_equal(fb.jacobian(net, X[0]), fb.jacobian(net, X[:1])[0])
    np.testing.assert_array_equal(fb.vjp(net, X[0], V[0]), fb.vjp(net, X[:1], V[:1])[0])
    np.testing.assert_array_equal(fb.jvp(net, X[0], X[1]), fb.jvp(net, X[:1], X[1:2])[0])
    np.testing.assert_array_equal(fb.hessian(net, X[0]), fb.hessian(net, X[:1])[0])
    np.testing.assert_array_equal(fb.hvp(net, X[0], X[1]), fb.hvp(net, X[:1], X[1:2])[0])


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_change_no_bit(threads: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    net = moved(blocks(dtype.name), rng)
    (X,), _ = batch(net, 301, rng)
    U = rng.normal(size=X.shape)
    for work in (
        lambda n: fb.jacobian(net, X, mode="reverse", threads=n),
        lambda n: fb.jacobian(net, X, mode="forward", threads=n),
        lambda n: fb.hessian(net, X, threads=n),
        lambda n: fb.jvp(net, X, U, threads=n),
    ):
        np.testing.assert_array_equal(work(threads), work(1))


def test_nothing_else_is_touched(rng: np.random.Generator) -> None:
    """grads, what backward needs, the parameters, the optimizer's steps."""
    net = small_net(dropout=0.3)
    X, y = rng.normal(size=(8, 4)), rng.integers(3, size=8)
    dY = rng.normal(size=(8, 3))
    net.forward(X)
    net.backward(dY)
    grads, params, draws = net.grads.copy(), net.params.copy(), net.draws
    fb.jacobian(net, X, mode="reverse")
    fb.jacobian(net, X, mode="forward")
    fb.hessian(net, X)
    fb.hessian(net, X, y, loss="cross_entropy", wrt="params")
    fb.per_sample_gradients(net, X, y, "cross_entropy")
    fb.per_sample_gradient_norms(net, X, y, "cross_entropy")
    fb.vjp(net, X, dY)
    fb.jvp(net, X, X)
    fb.input_gradient(net, X)
    fb.check_gradients(net, X, y, "cross_entropy")
    np.testing.assert_array_equal(net.grads, grads)
    np.testing.assert_array_equal(net.params, params)
    assert net.draws == draws
    net.backward(dY)
    np.testing.assert_array_equal(net.grads, grads)


@pytest.mark.parametrize("build", [small_net, blocks, normalized, chain])
def test_gradients_are_checked(build, rng: np.random.Generator) -> None:
    net = moved(build("float32"), rng)
    (X,), _ = batch(net, 4, rng)
    for loss in SINGLE_HEADS:
        t = reference.targets(loss, 4, net.outputs[0].width, rng)
        assert fb.check_gradients(net, X, t, loss) < 1e-5


def test_a_wrong_gradient_is_named(rng: np.random.Generator) -> None:
    wrong = fb.Lambda(lambda X: X**2, lambda dY, X, Y: 2.001 * X * dY, name="square")
    net = fb.Sequential(fb.Input(4), fb.Dense(6), wrong, fb.Dense(3), seed=0)
    with pytest.raises(ValueError, match=r"gradient of dense_1\.W is off at \(\d, \d\): backward gives"):
        fb.check_gradients(net, rng.normal(size=(4, 4)), rng.normal(size=(4, 3)))


def test_a_net_with_a_lambda_has_jacobians(rng: np.random.Generator) -> None:
    square = fb.Lambda(lambda X: X**2, lambda dY, X, Y: 2 * X * dY)
    net = fb.Sequential(fb.Input(2), fb.Dense(6), square, fb.Dense(3), dtype="float64", seed=0)
    X = rng.normal(size=(200, 2))
    J = fb.jacobian(net, X, threads=2)
    for i in range(2):
        E = np.zeros_like(X)
        E[:, i] = 1e-6
        np.testing.assert_allclose(J[:, :, i], (net.predict(X + E) - net.predict(X - E)) / 2e-6, atol=1e-7)
    for work in (lambda: fb.jvp(net, X, X), lambda: fb.hessian(net, X), lambda: fb.jacobian(net, X, mode="forward")):
        with pytest.raises(ValueError, match="Lambda"):
            work()


@pytest.mark.parametrize(("rules", "missing"), [("TANGENT_RULES", "multiply"), ("BY_ROWS", "softmax")])
def test_what_has_no_tangent_rule_is_refused_by_its_own_name(rules: str, missing: str, monkeypatch) -> None:
    monkeypatch.delitem(getattr(_engine.tangent_graph, rules), missing)
    x = fb.Input(3)
    h = fb.Dense(5, activation="softmax")(x) * fb.Dense(5)(x)
    net = fb.Model(x, fb.Dense(2)(h), dtype="float64", seed=0)
    with pytest.raises(ValueError, match=f"tangents go through '{missing}'"):
        fb.hessian(net, np.ones((4, 3)))
    assert fb.jacobian(net, np.ones((4, 3)), mode="reverse").shape == (4, 2, 3)


X43, X33 = np.ones((4, 3)), np.ones((3, 3))
BAD = {
    "not a net": (lambda n, m: fb.jacobian("net", X43), TypeError, ["net", "str"]),
    "width": (lambda n, m: fb.jacobian(n, np.ones((4, 5))), ValueError, ["X", "5"]),
    "NaN": (lambda n, m: fb.jacobian(n, X43 * np.nan), ValueError, ["X", "NaN"]),
    "mode": (lambda n, m: fb.jacobian(n, X43, mode="back"), ValueError, ["mode", "forward"]),
    "threads": (lambda n, m: fb.jacobian(n, X43, threads=0), ValueError, ["threads"]),
    "rows of V": (lambda n, m: fb.vjp(n, X43, np.ones((3, 2))), ValueError, ["V", "3", "4"]),
    "width of U": (lambda n, m: fb.jvp(n, X43, np.ones((4, 2))), ValueError, ["U", "2"]),
    "not square": (lambda n, m: fb.log_abs_det_jacobian(n, X43), ValueError, ["2 outputs", "3 inputs"]),
    "memory": (lambda n, m: fb.hessian(n, X43, max_bytes=100), MemoryError, ["(4, 3, 3)", "288", "max_bytes=100"]),
    "output": (lambda n, m: fb.hessian(n, X43, output=2), ValueError, ["output", "0 ... 1", "2"]),
    "wrt": (lambda n, m: fb.hessian(n, X43, wrt="weights"), ValueError, ["wrt", "params"]),
    "no loss": (lambda n, m: fb.hessian(n, X43, wrt="params"), ValueError, ["loss", "y"]),
    "y alone": (lambda n, m: fb.hessian(n, X43, X43[:, :2]), ValueError, ["y", "without a loss"]),
    "own loss": (
        lambda n, m: fb.hessian(n, X43, X43, loss=lambda Y, t: (0.0, Y)), ValueError, ["fastbp's own", "function"],
    ),
    "direction": (lambda n, m: fb.hvp(n, X43, [1.0], X43[:, :2], loss="mse", wrt="params"), ValueError, ["V", "1"]),
    "two inputs": (lambda n, m: fb.hessian(m, (X33, X33)), ValueError, ["one input", "2"]),
    "two outputs": (lambda n, m: fb.input_gradient(m, (X33, X33)), ValueError, ["one output", "2"]),
    "targets": (lambda n, m: fb.per_sample_gradients(n, X43, X33, "mse"), ValueError, ["y", "3", "4"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_bad_input(fault: str) -> None:
    a, b = fb.Input(3), fb.Input(3)
    net = fb.Sequential(fb.Input(3), fb.Dense(2), dtype="float64", seed=0)
    two = fb.Model([a, b], [a + b, a - b], dtype="float64")
    work, error, words = BAD[fault]
    with pytest.raises(error) as caught:
        work(net, two)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["jacobian", "hessian", "rows"])
def test_a_planted_error_is_seen(kind: str, rng: np.random.Generator) -> None:
    net = moved(blocks(), rng)
    (X,), _ = batch(net, 3, rng)
    f, _ = in_torch(net)
    if kind == "jacobian":
        got, wanted = fb.jacobian(net, X), torch.func.vmap(torch.func.jacrev(f))(torch.tensor(X))[0]
    elif kind == "hessian":
        got = fb.hessian(net, X, output=1)
        wanted = torch.func.vmap(second_derivative(lambda x: f(x)[0][..., 1]))(torch.tensor(X))
    else:
        got = fb.per_sample_gradients(net, X, rng.integers(3, size=3), "cross_entropy")
        wanted = got.copy()
    assert_near(got, wanted, net.dtype)
    with pytest.raises(AssertionError):
        assert_near(
            got * (1 + 1e-3 * (np.arange(got.size) == np.abs(got).argmax()).reshape(got.shape)), wanted, net.dtype
        )
