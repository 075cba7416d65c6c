"""Sparse X: the bits of the same X with its zeros, whatever the format, and SciPy's product as the oracle.

Where a layer other than Dense reads the input, rows are written out batch by batch; all graphs give the same.
"""

import numpy as np
import pytest
import scipy.sparse as sp

import fastbp as fb

ROWS, INPUTS, OUTPUTS = 53, 200, 3


def sparse(density: float = 0.05, rows: int = ROWS) -> sp.csr_array:
    """With rows and columns of nothing, and rows of everything."""
    X = np.random.default_rng(1).normal(size=(rows, INPUTS))
    X[np.random.default_rng(2).random(X.shape) > density] = 0
    X[7] = X[:, 0] = X[-1] = 0
    X[20] = np.arange(INPUTS) / INPUTS
    return sp.csr_array(X)


def targets() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(ROWS, OUTPUTS))


def stack(dtype: np.dtype, units: int = 7) -> fb.Sequential:
    layers = [fb.Dense(units, "tanh"), fb.Dropout(0.2), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=4)


def no_bias(dtype: np.dtype) -> fb.Sequential:
    return fb.Sequential(fb.Input(INPUTS), fb.Dense(OUTPUTS, "softmax", bias=False), dtype=dtype, seed=4)


def shared(dtype: np.dtype) -> fb.Model:
    x, layer = fb.Input(INPUTS), fb.Dense(9, "relu")
    return fb.Model(x, fb.Dense(OUTPUTS)(fb.Concatenate()(layer(x), layer(x), fb.Dense(70)(x))), dtype=dtype, seed=4)


def with_a_slice(dtype: np.dtype) -> fb.Model:
    x = fb.Input(INPUTS)
    return fb.Model(x, fb.Dense(OUTPUTS)(x) + x[:, 3:6] * fb.Dense(OUTPUTS, "sigmoid")(x), dtype=dtype, seed=4)


def normalized(dtype: np.dtype) -> fb.Sequential:
    layers = [fb.Dense(5), fb.BatchNorm(), fb.Activation("relu"), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype=dtype, seed=4)


NETS = [stack, no_bias, shared, with_a_slice, normalized]


@pytest.mark.parametrize("units", [1, 16, 67, 130])
def test_the_product_is_scipys(units: int, dtype: np.dtype, tolerance: float) -> None:
    X, net = sparse(), fb.Sequential(fb.Input(INPUTS), fb.Dense(units), dtype=dtype, seed=1)
    layer = net["dense_1"]
    layer.b = np.random.default_rng(0).normal(size=units)
    wanted = X @ layer.W.astype(float) + layer.b
    np.testing.assert_allclose(net.predict(X), wanted, atol=tolerance)
    y = np.zeros((ROWS, units))
    fb.Trainer(net, "mse", fb.SGD(0.0)).step(X, y)
    dZ = 2 * wanted / wanted.size
    np.testing.assert_allclose(layer.dW, X.T @ dZ, atol=tolerance)
    np.testing.assert_allclose(layer.db, dZ.sum(axis=0), atol=tolerance)


@pytest.mark.parametrize("build", NETS)
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_bits_are_those_of_the_dense_array(build, threads: int, dtype: np.dtype) -> None:
    X, y, results = sparse(), targets(), []
    for A in (X, X.toarray()):
        net = build(dtype)
        trainer = fb.Trainer(net, "mse", "adam", metrics=["mae"], seed=3)
        weights = np.arange(1, ROWS + 1)
        history = trainer.fit(A, y, epochs=2, batch_size=10, validation_data=(A, y), threads=threads)
        history_in_order = trainer.fit(A, y, batch_size=8, shuffle=False, sample_weight=weights, threads=threads)
        steps = [trainer.step(A[:1], y[:1]), trainer.step(A[5:9], y[5:9], np.ones(4))]
        numbers = [history.history, history_in_order.history, steps, trainer.evaluate(A, y)]
        results.append((numbers, net.params.copy(), net.predict(A, threads=threads)))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    np.testing.assert_array_equal(results[0][2], results[1][2])


def forms() -> dict:
    X = sparse()
    wide, unsorted = X.copy(), X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for row in range(ROWS):
        part = slice(X.indptr[row], X.indptr[row + 1])
        unsorted.indices[part], unsorted.data[part] = X.indices[part][::-1], X.data[part][::-1]
    unsorted.has_sorted_indices = False
    coo = X.tocoo()
    twice = sp.coo_array(
        (np.tile(coo.data / 2, 2), (np.tile(coo.coords[0], 2), np.tile(coo.coords[1], 2))), shape=X.shape
    )
    return {
        "csr_matrix": sp.csr_matrix(X),
        "csc": X.tocsc(),
        "coo": coo,
        "64-bit columns": wide,
        "columns that do not rise": unsorted,
        "numbers in halves": twice,
        "float64": X.astype(np.float64),
        "some rows of more": sp.vstack([X, X]).tocsr()[:ROWS],
    }


@pytest.mark.parametrize("build", [stack, with_a_slice])
def test_each_form_is_the_same(build, dtype: np.dtype) -> None:
    X, y = sparse(), targets()
    wanted = build(dtype)
    wanted.fit(X, y, batch_size=9, seed=2)
    for form in forms().values():
        net = build(dtype)
        before = form.copy()
        net.fit(form, y, batch_size=9, seed=2)
        np.testing.assert_array_equal(net.params, wanted.params)
        assert (form != before).nnz == 0, "the caller's array is as it was"


@pytest.mark.parametrize("name", ["bool", "int8", "uint16", "int64"])
def test_whole_numbers(name: str, dtype: np.dtype) -> None:
    X = sp.csr_array((np.random.default_rng(0).random((ROWS, INPUTS)) * 1.1).astype(name))
    np.testing.assert_array_equal(stack(dtype).predict(X), stack(dtype).predict(X.toarray()))


def test_beside_a_dense_input(dtype: np.dtype) -> None:
    X, B, y, results = sparse(), np.random.default_rng(0).normal(size=(ROWS, 4)), targets(), []
    for A in (X, X.toarray()):
        a, b = fb.Input(INPUTS), fb.Input(4)
        merged = fb.Concatenate()(fb.Dense(6, "relu")(a), b)
        net = fb.Model([a, b], fb.Dense(OUTPUTS)(merged), dtype=dtype, seed=1)
        net.fit((A, B), y, batch_size=7, seed=1)
        results.append(net.params)
    np.testing.assert_array_equal(*results)


def test_a_loss_in_python(dtype: np.dtype) -> None:
    results = []
    for A in (sparse(), sparse().toarray()):
        net = stack(dtype)
        net.fit(A, targets(), loss=lambda Y, t: fb.losses.mse(Y, t), batch_size=9, seed=2)
        results.append(net.params)
    np.testing.assert_array_equal(*results)


def test_the_net_goes_on_with_dense_arrays(dtype: np.dtype) -> None:
    """After each sparse call the next one, by whatever way, reads its own rows."""
    X, D, y = sparse(), sparse().toarray().astype(dtype), targets().astype(dtype)
    net, other = stack(dtype), stack(dtype)
    trainers = [fb.Trainer(net, "mse", "sgd"), fb.Trainer(other, "mse", "sgd")]
    for trainer, A in zip(trainers, (X, D), strict=True):
        trainer.fit(A, y, seed=1)
        trainer.step(D[:1], y[:1])
        trainer.net.predict(A)
        trainer.net.predict(D[:2])
        trainer.net.forward(D)
        trainer.net.backward(y)
        trainer.step(A, y)
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_array_equal(net.grads, other.grads)
    np.testing.assert_array_equal(fb.jacobian(net, D[:3]), fb.jacobian(other, D[:3]))


def test_what_would_not_fit_in_memory_with_its_zeros(dtype: np.dtype) -> None:
    rows, inputs, rng = 20_000, 50_000, np.random.default_rng(0)
    columns = rng.integers(inputs, size=(rows, 4))
    X = sp.csr_array((np.ones(rows * 4), columns.ravel(), np.arange(0, rows * 4 + 1, 4)), shape=(rows, inputs))
    net = fb.Sequential(fb.Input(inputs), fb.Dense(2), dtype=dtype, seed=1)
    y = (columns < inputs // 2).sum(axis=1) > 2
    history = net.fit(X, y.astype(int), loss="cross_entropy", metrics=["accuracy"], batch_size=1000, epochs=2)
    assert history.history["loss"][1] < history.history["loss"][0]
    assert net.predict(X).shape == (rows, 2)


def broken(**parts) -> sp.csr_array:
    X = sparse()
    for name, change in parts.items():
        array = getattr(X, name)
        array[change[0]] = change[1]
    return X


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (sparse()[:, 1:], r"X must have shape \(rows, 200\) with at least one row, got \(53, 199\)"),
        (sparse()[:0], r"at least one row, got \(0, 200\)"),
        (broken(indices=(5, INPUTS)), r"X is no proper CSR array: a column is outside 0 ... 199"),
        (broken(indices=(5, -1)), r"a column is outside"),
        (broken(indptr=(5, 10**6)), "indptr does not rise"),
        (broken(indptr=(-1, 10**6)), "indptr does not rise"),
        (broken(indptr=(0, 1)), "indptr does not rise"),
        (broken(data=(100, np.nan)), r"X has a NaN at row \d+, column \d+ \(check_finite=False"),
    ],
)
def test_misuse(X, message: str, dtype: np.dtype) -> None:
    net = stack(dtype)
    before = net.params.copy()
    with pytest.raises(ValueError, match=message):
        net.fit(X, np.zeros((X.shape[0], OUTPUTS)))
    np.testing.assert_array_equal(net.params, before)


def test_the_bad_number_is_the_one_that_is_named() -> None:
    X = sparse()
    dense = X.toarray()
    dense[30, 8], dense[31, 2] = np.inf, np.nan
    with pytest.raises(ValueError, match=r"X has an infinity at row 30, column 8 \(as float32; check_finite"):
        stack(np.dtype("float32")).predict(sp.csr_array(dense))
    assert np.isnan(stack(np.dtype("float32")).predict(sp.csr_array(dense), check_finite=False)[31]).all()


def test_elsewhere_it_is_refused_with_a_remedy() -> None:
    net = stack(np.dtype("float32"))
    for work in (net.forward, lambda X: fb.jacobian(net, X), lambda X: net.fit(X.toarray(), X[:, :3])):
        with pytest.raises(TypeError, match=r"is sparse: fit, step, .* elsewhere pass \w+\.toarray\(\)"):
            work(sparse())
