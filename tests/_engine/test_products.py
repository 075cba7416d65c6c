"""The three products of a dense layer at every remainder of the register tile, by functions and by nets.

Small whole numbers make every sum exact in both dtypes, so one term too many or too few cannot hide in a
tolerance; a few shapes with real numbers show that nothing is rounded twice. Rows, inputs and outputs
always differ.
"""

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp import _engine

SIZES = [1, 2, 3, 4, 5, 7, 8, 11, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 47, 64, 65, 100, 257]
SHAPES = [
    (3, 1, 2),
    (1, 2, 3),
    (2, 3, 1),
    (7, 5, 3),
    (14, 32, 64),
    (15, 33, 65),
    (29, 17, 100),
    (65, 130, 47),
    (130, 64, 33),
]
BIG = [(1, 1030, 515), (513, 700, 9), (1025, 6, 260), (70, 2050, 33), (40, 9, 4100)]


def whole(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return rng.integers(-3, 4, size=shape).astype(dtype)


def arrays(rows: int, inputs: int, outputs: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng((rows, inputs, outputs))
    shapes = ((rows, inputs), (inputs, outputs), (outputs,), (rows, outputs))
    return tuple(whole(rng, shape, dtype) for shape in shapes)


def check_exactly(rows: int, inputs: int, outputs: int, dtype: np.dtype) -> None:
    X, W, b, dY = arrays(rows, inputs, outputs, dtype)
    x, w, c, dy = (A.astype(np.float64) for A in (X, W, b, dY))
    Y = fb.functional.dense_forward(X, W, b)
    dX, dW, db = fb.functional.dense_backward(dY, X, W, b, Y)
    for name, got, wanted in (
        ("Y", Y, x @ w + c),
        ("dX", dX, dy @ w.T),
        ("dW", dW, x.T @ dy),
        ("db", db, dy.sum(0)),
    ):
        assert got.dtype == dtype
        assert got.flags.c_contiguous
        assert np.array_equal(got, wanted), f"{name} is wrong for rows, inputs, outputs = {rows}, {inputs}, {outputs}"


@pytest.mark.parametrize("rows", SIZES)
def test_every_remainder_exactly(rows: int, dtype: np.dtype) -> None:
    """All small widths with all small ones; each of the others with several."""
    others = [size for size in SIZES if size != rows]
    for k, inputs in enumerate(others):
        small = [outputs for outputs in others if outputs <= 17] if inputs <= 17 else []
        some = {*small, others[(k + 1) % len(others)], others[(k * 5 + rows) % len(others)], others[k - 3]}
        for outputs in some - {inputs}:
            check_exactly(rows, inputs, outputs, dtype)


@pytest.mark.parametrize("shape", BIG)
def test_several_blocks_exactly(shape: tuple[int, int, int], dtype: np.dtype) -> None:
    check_exactly(*shape, dtype)


@pytest.mark.parametrize("shape", [*SHAPES, *BIG])
def test_real_numbers(shape: tuple[int, int, int], dtype: np.dtype) -> None:
    """No sum is further off than twice its length, in units of the last place of its terms' magnitudes."""
    rows, inputs, outputs = shape
    rng = np.random.default_rng(shape)
    X, W, b, dY = (
        rng.normal(size=s).astype(dtype) for s in ((rows, inputs), (inputs, outputs), outputs, (rows, outputs))
    )
    Y = fb.functional.dense_forward(X, W, b)
    dX, dW, db = fb.functional.dense_backward(dY, X, W, b, Y)
    x, w, c, dy = (A.astype(np.float64) for A in (X, W, b, dY))
    for got, wanted, size, terms in (
        (Y, x @ w + c, abs(x) @ abs(w) + abs(c), inputs),
        (dX, dy @ w.T, abs(dy) @ abs(w).T, outputs),
        (dW, x.T @ dy, abs(x).T @ abs(dy), rows),
        (db, dy.sum(0), abs(dy).sum(0), rows),
    ):
        assert (abs(got - wanted) <= 2 * (terms + 1) * np.finfo(dtype).eps * size).all()


@pytest.mark.parametrize("name", sorted(_engine.ACTIVATIONS))
@pytest.mark.parametrize("shape", SHAPES)
def test_with_activations(name: str, shape: tuple[int, int, int], dtype: np.dtype, tolerance: float) -> None:
    rows, inputs, outputs = shape
    rng = np.random.default_rng(shape)
    X, W, b, dY = (
        rng.normal(size=s).astype(dtype) for s in ((rows, inputs), (inputs, outputs), outputs, (rows, outputs))
    )
    parameters = fb.activations.resolve(name).parameters
    op = reference.Op(0, 1, name, parameters, W.astype(np.float64), b.astype(np.float64), 0)
    net = reference.Net([0], [1], [op])
    Y = fb.functional.dense_forward(X, W, b, activation=name)
    np.testing.assert_allclose(Y, net.forward(X)[0], rtol=tolerance, atol=tolerance)
    (wanted_dX,), gradients = net.backward(dY)
    wanted = (wanted_dX, *gradients[0])
    for got, truth in zip(fb.functional.dense_backward(dY, X, W, b, Y, activation=name), wanted, strict=True):
        np.testing.assert_allclose(got, truth, rtol=0, atol=tolerance * max(1, np.abs(truth).max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_without_bias(shape: tuple[int, int, int], dtype: np.dtype) -> None:
    X, W, _, dY = arrays(*shape, dtype)
    Y = fb.functional.dense_forward(X, W, None)
    dX, dW, _ = fb.functional.dense_backward(dY, X, W, None, Y)
    np.testing.assert_array_equal(Y, X @ W)
    np.testing.assert_array_equal(dX, dY @ W.T)
    np.testing.assert_array_equal(dW, X.T @ dY)


@pytest.mark.parametrize("shape", [(3, 5, 2), (17, 33, 20)])
def test_arguments_of_any_layout(shape: tuple[int, int, int], dtype: np.dtype) -> None:
    X, W, b, dY = arrays(*shape, dtype)
    Y = fb.functional.dense_forward(X, W, b)
    wanted = fb.functional.dense_backward(dY, X, W, b, Y)
    for change in (
        np.asfortranarray,
        lambda A: np.repeat(A, 2, axis=-1)[..., ::2],
        lambda A: A[::-1].copy()[::-1],
    ):
        odd = [change(A) for A in (X, W, b, dY)]
        for A in odd:
            A.flags.writeable = False
        np.testing.assert_array_equal(fb.functional.dense_forward(*odd[:3]), Y)
        got = fb.functional.dense_backward(odd[3], *odd[:3], change(Y))
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_do_not_depend_on_their_neighbours(shape: tuple[int, int, int], dtype: np.dtype) -> None:
    """Bit for bit: permuting or splitting the batch permutes or splits Y and dX."""
    rows, inputs, outputs = shape
    rng = np.random.default_rng(shape)
    X, W, b, dY = (
        rng.normal(size=s).astype(dtype) for s in ((rows, inputs), (inputs, outputs), outputs, (rows, outputs))
    )
    f = fb.functional
    Y = f.dense_forward(X, W, b, activation="tanh")
    dX = f.dense_backward(dY, X, W, b, Y, activation="tanh")[0]
    order = rng.permutation(rows)
    np.testing.assert_array_equal(f.dense_forward(X[order], W, b, activation="tanh"), Y[order])
    np.testing.assert_array_equal(
        f.dense_backward(dY[order], X[order], W, b, Y[order], activation="tanh")[0], dX[order]
    )
    for part in (slice(0, 1), slice(rows // 3, rows // 3 + 1), slice(rows // 2, rows)):
        np.testing.assert_array_equal(f.dense_forward(X[part], W, b, activation="tanh"), Y[part])
        got = f.dense_backward(dY[part], X[part], W, b, Y[part], activation="tanh")[0]
        np.testing.assert_array_equal(got, dX[part])


def exact_net(inputs: int, hidden: int, outputs: int, dtype: np.dtype) -> fb.Sequential:
    net = fb.Sequential(
        fb.Input(inputs), fb.Dense(hidden, activation="relu"), fb.Dense(outputs), dtype=str(dtype), seed=0
    )
    net.params[...] = np.random.default_rng(inputs).integers(-2, 3, size=len(net.params))
    return net


@pytest.mark.parametrize(
    "widths",
    [(1, 2, 3), (5, 1, 2), (3, 7, 1), (13, 17, 5), (16, 32, 8), (33, 15, 31), (64, 100, 10), (47, 65, 130)],
)
def test_nets_of_every_width_and_number_of_rows_exactly(widths: tuple[int, int, int], dtype: np.dtype) -> None:
    """One net sees growing and shrinking batches: nothing of an earlier batch may remain in its buffers."""
    net = exact_net(*widths, dtype)
    rng = np.random.default_rng(widths)
    mirror, _ = reference.mirror(net)
    for rows in (4, 257, 6, 18, 1, 14, 28, 29, 600, 9, 70):
        X, dY = whole(rng, (rows, widths[0]), dtype), whole(rng, (rows, widths[2]), dtype)
        np.testing.assert_array_equal(net.forward(X), mirror.forward(X)[0])
        (dX,), gradients = mirror.backward(dY)
        np.testing.assert_array_equal(net.backward(dY), dX)
        for key, layer in enumerate(net.layers):
            np.testing.assert_array_equal(layer.dW, gradients[key][0])
            np.testing.assert_array_equal(layer.db, gradients[key][1])
        np.testing.assert_array_equal(net.predict(X), mirror.forward(X)[0])


@pytest.mark.parametrize("outputs", [1, 3, 16, 37])
def test_a_net_permutes_with_its_batch(outputs: int, dtype: np.dtype, rng: np.random.Generator) -> None:
    layers = (fb.Dense(19, activation="tanh"), fb.Dense(35, activation="sigmoid"), fb.Dense(outputs))
    net = fb.Sequential(fb.Input(9), *layers, dtype=str(dtype), seed=3)
    X, dY = rng.normal(size=(45, 9)).astype(dtype), rng.normal(size=(45, outputs)).astype(dtype)
    Y, dX = net.forward(X), net.backward(dY)
    order = rng.permutation(45)
    np.testing.assert_array_equal(net.forward(X[order]), Y[order])
    np.testing.assert_array_equal(net.backward(dY[order]), dX[order])
    for start, stop in ((0, 1), (1, 15), (15, 45), (44, 45)):
        np.testing.assert_array_equal(net.predict(X[start:stop]), Y[start:stop])
        np.testing.assert_array_equal(net.forward(X[start:stop]), Y[start:stop])
        np.testing.assert_array_equal(net.backward(dY[start:stop]), dX[start:stop])


def test_predict_is_the_same_bits_beyond_any_block(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(5), fb.Dense(33, activation="relu"), fb.Dense(3), dtype=str(dtype), seed=3)
    X = rng.normal(size=(2500, 5)).astype(dtype)
    Y = net.predict(X)
    np.testing.assert_array_equal(net.forward(X), Y)
    np.testing.assert_array_equal(np.concatenate([net.predict(X[k : k + 1]) for k in range(0, 2500, 100)]), Y[::100])


def test_the_same_step_twice_is_the_same_bits(dtype: np.dtype, rng: np.random.Generator) -> None:
    net = fb.Sequential(fb.Input(30), fb.Dense(70, activation="tanh"), fb.Dense(11), dtype=str(dtype), seed=3)
    X, dY = rng.normal(size=(700, 30)).astype(dtype), rng.normal(size=(700, 11)).astype(dtype)
    net.forward(X)
    net.backward(dY)
    first = net.grads.copy()
    net.forward(X)
    net.backward(dY)
    np.testing.assert_array_equal(net.grads, first)


def test_a_huge_row_is_not_mixed_with_its_neighbours(dtype: np.dtype) -> None:
    """The padding of a tile must not carry NaN or infinity from one row to another."""
    X = np.ones((5, 3), dtype=dtype)
    X[2] = np.finfo(dtype).max
    W = np.full((3, 7), 2, dtype=dtype)
    Y = _engine.functional.dense_forward(X, W, None, "linear", 0.0)
    assert np.isinf(Y[2]).all()
    np.testing.assert_array_equal(np.delete(Y, 2, axis=0), 6)
