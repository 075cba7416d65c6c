"""The engine's kernels one by one against NumPy: read-only arrays, both dtypes, three different sizes.

The arrays go in unchecked, as the floors above hand them on; what the checks there let pass is tested through the
public functions. Every comparison is first shown to see an error of a factor of 1.001.
"""

from collections.abc import Callable

import numpy as np
import pytest

import reference
from fastbp import _engine

F = _engine.functional
SIZES = [(5, 3, 2), (1, 7, 4), (17, 33, 20), (30, 64, 32)]  # rows, inputs, outputs: whole vectors and others
DENSE = ["linear", "relu", "tanh", "silu", "softmax"]  # without a kernel, by Y, by Z, by rows
BY_CLASS = "cross_entropy"


def read_only(*arrays: np.ndarray) -> list[np.ndarray]:
    for A in arrays:
        A.flags.writeable = False
    return list(arrays)


def normal(shape: tuple[int, ...], dtype: np.dtype, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def dense(sizes: tuple[int, int, int], name: str, dtype: np.dtype) -> tuple[dict, dict]:
    """What the two kernels of a layer give, and what NumPy does."""
    N, I, O = sizes
    X, W, b, dY = read_only(*(normal(s, dtype, k) for k, s in enumerate([(N, I), (I, O), (O,), (N, O)])))
    Y = F.dense_forward(X, W, b, name)
    dX, dW, db = F.dense_backward(dY, X, W, b, read_only(Y)[0], name)
    x, w, c, dy = (A.astype(np.float64) for A in (X, W, b, dY))
    z = x @ w + c
    dz = reference.activation_vjp(name, dy, z)
    wanted = {"Y": reference.activation(name, z), "dX": dz @ w.T, "dW": x.T @ dz, "db": dz.sum(axis=0)}
    return {"Y": Y, "dX": dX, "dW": dW, "db": db}, wanted


def activation(sizes: tuple[int, int, int], name: str, dtype: np.dtype) -> tuple[dict, dict]:
    Z, dY = read_only(*(normal(sizes[::2], dtype, k) for k in range(2)))
    Y = F.activation_forward(Z, name)
    got = {"Y": Y, "dZ": F.activation_backward(dY, Z, read_only(Y)[0], name)}
    z, dy = Z.astype(np.float64), dY.astype(np.float64)
    return got, {"Y": reference.activation(name, z), "dZ": reference.activation_vjp(name, dy, z)}


def mse(sizes: tuple[int, int, int], name: str, dtype: np.dtype) -> tuple[dict, dict]:
    """With a weight for each row."""
    Y, t = read_only(*(normal(sizes[::2], dtype, k) for k in range(2)))
    weights = read_only(1 + np.arange(len(Y), dtype=dtype))[0]
    value, dY = F.loss(_engine.Term(dtype.name, name), Y, t, weights)
    y, share = Y.astype(np.float64), weights.astype(np.float64)[:, None] / Y.size
    return {"loss": value, "dY": dY}, {"loss": (share * (y - t) ** 2).sum(), "dY": 2 * share * (y - t)}


def cross_entropy(sizes: tuple[int, int, int], name: str, dtype: np.dtype) -> tuple[dict, dict]:
    """Of class indices."""
    N, _, O = sizes
    Y, t = read_only(normal((N, O), dtype, 0), np.arange(N) % O)
    value, dY = F.loss(_engine.Term(dtype.name, name, [0.0] * len(_engine.LOSSES[name].parameters)), Y, t, None)
    P = reference.activation("softmax", Y.astype(np.float64))
    return {"loss": value, "dY": dY}, {"loss": -np.log(P[np.arange(N), t]).mean(), "dY": (P - np.eye(O)[t]) / N}


def momentum(sizes: tuple[int, int, int], name: str, dtype: np.dtype) -> tuple[dict, dict]:
    """Two steps of a chain."""
    n = sizes[0] * sizes[1]
    P, G = normal((n,), dtype, 0), read_only(normal((n,), dtype, 1))[0]
    p, g = P.astype(np.float64), G.astype(np.float64)
    chain = _engine.Chain(dtype.name, [(1.0, [(name, (0.8, 0.0))])], n)
    assert F.update(chain, P, G, 0.5)
    assert F.UPDATES[dtype](chain, P, G, 0.5)
    return {"P": P, "V": chain.states[0]}, {"P": p - 0.5 * g - 0.5 * 1.8 * g, "V": 1.8 * g}


def gram(sizes: tuple[int, int, int], name: str, dtype: np.dtype) -> tuple[dict, dict]:
    J, out = read_only(normal(sizes[:2], dtype, 0))[0], normal((sizes[1],) * 2, dtype, 1)
    start, j = out.astype(np.float64), J.astype(np.float64)
    F.add_gram(J, out)
    return {name: np.triu(out)}, {name: np.triu(start + j.T @ j)}


CASES: dict[str, tuple[Callable, str]] = {
    **{f"dense, {name}": (dense, name) for name in DENSE},
    **{f"activation, {name}": (activation, name) for name in DENSE},
    "mse": (mse, "mse"),
    BY_CLASS: (cross_entropy, BY_CLASS),
    "momentum": (momentum, "momentum"),
    "gram": (gram, "J'J"),
}


def check(got: dict, wanted: dict, tolerance: float) -> None:
    for name, truth in wanted.items():
        error = np.abs(got[name] - truth).max()
        assert error <= tolerance * np.abs(truth).max(), f"{name} is off by {error:g}"


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_read_only_arrays_give_the_results_of_numpy(
    case: str, sizes: tuple[int, int, int], dtype: np.dtype, tolerance: float
) -> None:
    work, name = CASES[case]
    got, wanted = work(sizes, name, dtype)
    for key, A in got.items():
        assert np.shape(A) == np.shape(wanted[key])
        assert not isinstance(A, np.ndarray) or (type(A) is np.ndarray and A.dtype == dtype and A.flags.c_contiguous)
    check(got, wanted, tolerance)


@pytest.mark.parametrize("case", CASES)
def test_a_planted_factor_is_seen(case: str, dtype: np.dtype, tolerance: float) -> None:
    work, name = CASES[case]
    got, wanted = work(SIZES[0], name, dtype)
    for key in wanted:
        with pytest.raises(AssertionError, match=f"{key} is off by"):
            check({**got, key: got[key] * dtype.type(1.001)}, wanted, tolerance)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_layer_without_bias(sizes: tuple[int, int, int], dtype: np.dtype) -> None:
    N, I, O = sizes
    X, W, dY = (normal(s, dtype, k) for k, s in enumerate([(N, I), (I, O), (N, O)]))
    zeros = np.zeros(O, dtype)
    Y = F.dense_forward(X, W, None, "tanh")
    np.testing.assert_array_equal(Y, F.dense_forward(X, W, zeros, "tanh"))
    dX, dW, db = F.dense_backward(dY, X, W, None, Y, "tanh")
    assert db is None
    for got, wanted in zip((dX, dW), F.dense_backward(dY, X, W, zeros, Y, "tanh"), strict=False):
        np.testing.assert_array_equal(got, wanted)


A, B = (np.ones(shape, np.float32) for shape in ((5, 3), (3, 2)))
ROW, SQUARE = np.ones(2, np.float32), np.ones((3, 3), np.float32)
FIXED = read_only(SQUARE.copy(), ROW.copy())
TERM = _engine.Term("float32", "mse")


def chain() -> _engine.Chain:
    return _engine.Chain("float32", [(1.0, [("sgd", ())])], 2)


# What the checks above keep away; were one to let it through, memory that is not the array's would be touched.
MISTAKES = {
    "W of other inputs": (lambda: F.dense_forward(B, A, None, "tanh"), BufferError),
    "b of other outputs": (lambda: F.dense_forward(A, B, np.ones(3, np.float32), "tanh"), BufferError),
    "dY of other outputs": (lambda: F.dense_backward(A, A, B, ROW, A @ B, "tanh"), BufferError),
    "dY of fewer rows": (lambda: F.dense_backward((A @ B)[:4], A, B, ROW, A @ B, "tanh"), BufferError),
    "Y of other outputs": (lambda: F.dense_backward(A @ B, A, B, ROW, A, "tanh"), BufferError),
    "dY of another width than Z": (lambda: F.activation_backward(A @ B, A, A, "tanh"), BufferError),
    "Y of another width than Z": (lambda: F.activation_backward(A, A, A @ B, "tanh"), BufferError),
    "no Z": (lambda: F.activation_backward(A, None, A, "tanh"), BufferError),
    "a gram of another width": (lambda: F.add_gram(A, np.ones((2, 2), np.float32)), BufferError),
    "targets of another width": (lambda: F.loss(TERM, A, A @ B, None), BufferError),
    "fewer weights": (lambda: F.loss(TERM, A, A, ROW), BufferError),
    "a loss of the other dtype": (lambda: F.loss(TERM, A.astype(float), A.astype(float), None), BufferError),
    "parameters of another length": (lambda: F.update(chain(), np.ones(3, np.float32), ROW, 0.1), BufferError),
    "a gradient of another length": (lambda: F.update(chain(), ROW, np.ones(3, np.float32), 0.1), BufferError),
    "a chain of the other dtype": (lambda: F.update(chain(), np.ones(2), np.ones(2), 0.1), BufferError),
    "two dtypes": (lambda: F.dense_forward(A, B.astype(float), None, "tanh"), ValueError),
    "Fortran order": (lambda: F.activation_forward(np.asfortranarray(A), "tanh"), ValueError),
    "whole numbers": (lambda: F.activation_forward(np.ones((5, 3), int), "tanh"), TypeError),
    "one dimension": (lambda: F.activation_forward(ROW, "tanh"), (TypeError, ValueError)),
    "a fixed array to add to": (lambda: F.add_gram(A, FIXED[0]), ValueError),
    "fixed parameters": (lambda: F.update(chain(), FIXED[1], ROW, 0.1), ValueError),
    "an unknown activation": (lambda: F.dense_forward(A, B, ROW, "tahn"), KeyError),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_array_is_refused(mistake: str) -> None:
    call, error = MISTAKES[mistake]
    with pytest.raises(error):
        call()


ROWS = ["dense_forward", "dense_backward", "add_gram", "activation_forward", "activation_backward", "loss", "update"]


@pytest.mark.parametrize("name", [*ROWS, "first_nonfinite", "first_outside"])
def test_each_function_says_its_formula_in_a_line_and_is_there_for_both_dtypes(name: str) -> None:
    """The last two take arrays of any shape and find out themselves."""
    function = getattr(F, name)
    assert len(function.__doc__.splitlines()) == 1
    assert name not in ROWS or set(function.__signatures__) == {"float", "double"}
