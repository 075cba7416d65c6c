"""Embedding: outputs and gradients are PyTorch's, bits do not depend on threads, what names no row is an error."""

import numpy as np
import pytest

import fastbp as fb
from nets import assert_gradients

torch = pytest.importorskip("torch")

ROWS, DAYS, TOWNS, OUTPUTS = 53, 7, 40, 3


def data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of measurements, then a weekday, two towns."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(rows, 2))
    X = np.column_stack([numbers, rng.integers(DAYS, size=rows), rng.integers(TOWNS, size=(rows, 2))])
    X[0, 2:], X[1, 2:] = (DAYS - 1, TOWNS - 1, 0), 0
    return X, rng.normal(size=(rows, OUTPUTS))


def mixed(dtype, width: int = 5) -> fb.Model:
    """One table of several columns, one of one, and an input of its own that both a table and a layer read."""
    x = fb.Input(5, name="x")
    days, towns = fb.Embedding(DAYS, 2, name="days")(x[:, 2]), fb.Embedding(TOWNS, width, name="towns")(x[:, 3:])
    merged = fb.Concatenate()(x[:, :2], days, towns, fb.Dense(4, "tanh")(x))
    return fb.Model(x, fb.Dense(OUTPUTS)(fb.Dense(6, "tanh")(merged)), dtype=dtype, seed=4)


class Twin(torch.nn.Module):
    """The mixed net in PyTorch, with the same parameters."""

    def __init__(self, net: fb.Model) -> None:
        super().__init__()
        self.own = torch.nn.ParameterDict(
            {name.replace(".", "_"): torch.tensor(np.array(value)) for name, value in net.arrays().items()}
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        p, F = self.own, torch.nn.functional
        days, towns = F.embedding(X[:, 2].long(), p["days_W"]), F.embedding(X[:, 3:].long(), p["towns_W"])
        side = torch.tanh(X @ p["dense_1_W"] + p["dense_1_b"])
        merged = torch.cat([X[:, :2], days, towns.flatten(1), side], dim=1)
        return torch.tanh(merged @ p["dense_2_W"] + p["dense_2_b"]) @ p["dense_3_W"] + p["dense_3_b"]


@pytest.mark.parametrize("width", [1, 5, 70, 130])
def test_outputs_and_gradients_are_pytorchs(width: int, dtype: np.dtype, tolerance: float) -> None:
    X, y = data()
    net = mixed(dtype, width)
    twin = Twin(net)
    out = twin(torch.tensor(X.astype(dtype)))
    np.testing.assert_allclose(net.predict(X), out.detach().numpy(), atol=tolerance)
    torch.nn.functional.mse_loss(out, torch.tensor(y.astype(dtype))).backward()
    net.value_and_grad(net.params.copy(), X, y, loss="mse")
    for name in net.arrays():
        layer, parameter = name.split(".")
        grad = twin.own[name.replace(".", "_")].grad.numpy()
        reference_scale = max(1.0, np.abs(grad).max())
        np.testing.assert_allclose(getattr(net[layer], f"d{parameter}"), grad, atol=tolerance * reference_scale)


def test_the_gradient_is_that_of_finite_differences() -> None:
    X, y = data()
    net = mixed("float64")
    value, grads = net.value_and_grad(net.params.copy(), X, y, loss="mse")

    def loss() -> float:
        return fb.losses.mse(net.predict(X), y)[0]

    assert loss() == pytest.approx(value)
    assert_gradients(net, loss, grads)


def test_training_is_pytorchs(dtype: np.dtype) -> None:
    X, y = data()
    net = mixed(dtype)
    twin, trainer = Twin(net), fb.Trainer(net, "mse", fb.SGD(0.1, momentum=0.9))
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for _ in range(20):
        trainer.step(X, y)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(torch.tensor(X.astype(dtype))), torch.tensor(y.astype(dtype))).backward()
        optimizer.step()
    for name, value in net.arrays().items():
        wanted = twin.own[name.replace(".", "_")].detach().numpy()
        np.testing.assert_allclose(value, wanted, atol=1e-4 if dtype == np.float32 else 1e-11)


def test_the_bits_do_not_depend_on_threads(dtype: np.dtype) -> None:
    X, y = data(300)
    results = []
    for threads in (1, 2, 3, 8):
        net = mixed(dtype, 70)
        net.fit(X, y, batch_size=40, epochs=2, seed=1, threads=threads)
        results.append(net.params.copy())
        np.testing.assert_array_equal(net.predict(X, threads=threads), net.predict(X, threads=1))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_whole_numbers_of_every_kind(dtype: np.dtype, tmp_path) -> None:
    rng = np.random.default_rng(0)
    A, B, y = rng.integers(100, size=(ROWS, 3)), rng.normal(size=(ROWS, 2)), rng.normal(size=(ROWS, 1))

    def net() -> fb.Model:
        a, b = fb.Input(3), fb.Input(2)
        merged = fb.Concatenate()(fb.Embedding(100, 4)(a), b)
        return fb.Model([a, b], fb.Dense(1)(merged), dtype=dtype, seed=1)

    np.save(tmp_path / "A.npy", A.astype(np.int32))
    results = []
    for whole in (A, A.astype(np.uint8), A.astype(float), np.asfortranarray(A), np.load(tmp_path / "A.npy", "r")):
        trained = net()
        trained.fit((whole, B), y, batch_size=8, seed=2)
        results.append(trained.params)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_a_table_used_twice_has_the_sum_of_both_gradients(dtype: np.dtype, tolerance: float) -> None:
    a, b, table = fb.Input(1), fb.Input(1), fb.Embedding(9, 3, name="table")
    net = fb.Model([a, b], fb.Add()(table(a), table(b)), dtype=dtype, seed=1)
    rng = np.random.default_rng(0)
    A, B = rng.integers(9, size=(2, ROWS, 1))
    dY = rng.normal(size=(ROWS, 3))
    net.forward((A, B))
    dA, dB = net.backward(dY)
    wanted = np.zeros((9, 3))
    for column in (A, B):
        np.add.at(wanted, column[:, 0], dY)
    np.testing.assert_allclose(net["table"].dW, wanted, atol=tolerance)
    assert not dA.any()
    assert not dB.any()


def test_files_copies_and_pickles_keep_it(dtype: np.dtype, tmp_path) -> None:
    import pickle

    X, y = data()
    net = mixed(dtype)
    net.fit(X, y)
    net.save(tmp_path / "net.safetensors")
    for other in (fb.load(tmp_path / "net.safetensors"), net.copy(), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
        assert other.config() == net.config()


def test_derivatives_know_it() -> None:
    """The Jacobian is 0 in its columns and right in the others; the Hessian by the parameters has its part."""
    x = fb.Input(3)
    net = fb.Model(x, fb.Dense(2, "tanh")(fb.Concatenate()(fb.Embedding(6, 4)(x[:, 1]), x[:, ::2])), dtype="float64")
    X = np.array([[0.5, 3, -1.0], [1.5, 5, 2.0]])
    J = fb.jacobian(net, X)
    assert not J[:, :, 1].any()
    for column in (0, 2):
        step = np.zeros(3)
        step[column] = 1e-6
        wanted = (net.predict(X + step) - net.predict(X - step)) / 2e-6
        np.testing.assert_allclose(J[:, :, column], wanted, atol=1e-8)
    fb.check_gradients(net, X, np.zeros((2, 2)), loss="mse")
    rows = fb.per_sample_gradients(net, X, np.zeros((2, 2)), loss="mse")
    np.testing.assert_allclose(rows.mean(axis=0), net.value_and_grad(net.params, X, np.zeros((2, 2)))[1], atol=1e-12)
    assert fb.diagnose(net, X, np.zeros((2, 2)), loss="mse").to_dict()


def test_second_derivatives_by_the_table() -> None:
    X, y = data()
    net = mixed("float64")
    theta, v = net.params.copy(), np.random.default_rng(0).normal(size=net.params.size)
    got = fb.hvp(net, X, v, y=y, loss="mse", wrt="params")
    ends = [net.value_and_grad(theta + step * v, X, y)[1] for step in (1e-6, -1e-6)]
    np.testing.assert_allclose(got, (ends[0] - ends[1]) / 2e-6, atol=1e-8)


def test_frozen_it_stays(dtype: np.dtype) -> None:
    X, y = data()
    net = mixed(dtype)
    net["towns"].trainable = False
    before = net["towns"].W.copy()
    net.fit(X, y)
    np.testing.assert_array_equal(net["towns"].W, before)


# Misuse


@pytest.mark.parametrize("bad", [TOWNS, -1, 1.5, 1e9, -1e300, 2**40])
@pytest.mark.parametrize("mapped", [False, True])
def test_what_names_no_row(bad: float, mapped: bool, dtype: np.dtype, tmp_path) -> None:
    X, y = data()
    X[20, 4] = X[11, 3] = bad
    wanted = rf"^X has \S+ at row 11, column 3; the Embedding there takes whole numbers 0 \.\.\. {TOWNS - 1}$"
    if mapped:
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    net = mixed(dtype)
    trainer = fb.Trainer(net, "mse", "adam")
    before = net.params.copy()
    for work in (
        net.predict,
        net.forward,
        lambda X: trainer.step(X, y),
        lambda X: trainer.fit(X, y, batch_size=ROWS, shuffle=False),
        lambda X: net.predict(np.ascontiguousarray(X, dtype)),
        lambda X: trainer.step(np.ascontiguousarray(X, dtype), y.astype(dtype)),
        lambda X: fb.jacobian(net, X),
    ):
        with np.errstate(over="ignore"), pytest.raises(ValueError, match=f"{wanted}|X has an infinity at row 11"):
            work(X)
    np.testing.assert_array_equal(net.params, before)
    assert trainer.chain.t == 0


@pytest.mark.parametrize("mapped", [False, True])
def test_a_nan_names_no_row_even_unchecked(mapped: bool, dtype: np.dtype, tmp_path) -> None:
    X, y = data()
    X[11, 3] = np.nan
    np.save(tmp_path / "X.npy", X)
    X = np.load(tmp_path / "X.npy", mmap_mode="r") if mapped else X
    net = mixed(dtype)
    for work in (net.predict, lambda X, **unchecked: net.fit(X, y, **unchecked)):
        with pytest.raises(ValueError, match="X has nan at row 11, column 3; the Embedding there"):
            work(X, check_finite=False)


def test_the_smaller_of_two_tables_counts() -> None:
    x = fb.Input(1)
    net = fb.Model(x, fb.Embedding(9, 2)(x) + fb.Embedding(5, 2)(x))
    assert net.predict([[4]]).shape == (1, 2)
    with pytest.raises(ValueError, match=r"X has 5 at row 0, column 0; .* 0 \.\.\. 4"):
        net.predict([[5]])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fb.Embedding(0, 2), ValueError, "rows must be at least 1, got 0"),
        (lambda: fb.Embedding(3, 0), ValueError, "width must be at least 1, got 0"),
        (lambda: fb.Embedding(3, 2, weights="no"), ValueError, "unknown initializer of weights 'no'; known: "),
        (lambda: fb.Embedding(3, 2)(fb.Dense(1)(fb.Input(2))), TypeError, "reads whole numbers from an Input or from"),
        (lambda: fb.Embedding(3, 2)(2 * fb.Input(2)), TypeError, "reads whole numbers from an Input"),
        (lambda: fb.Embedding(3, 2)(np.ones(3)), TypeError, "what an Embedding is called on must be a Node, got an ar"),
    ],
)
def test_misuse(make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_more_rows_than_the_numbers_count() -> None:
    x = fb.Input(1)
    out = fb.Embedding(2**24 + 1, 1, weights=lambda shape, rng: np.broadcast_to(0.0, shape))(x)
    with pytest.raises(ValueError, match="has 16777217 rows; float32 counts to 16777216"):
        fb.Model(x, out, dtype="float32")
