"""The carried data: what it says it is, small, attributed, and the same numbers as scikit-learn's copy."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import fastbp
from fastbp import datasets

PACKAGE = Path(datasets.__file__).parent


def test_digits_are_1797_scaled_images_with_their_labels():
    X, y = datasets.digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    assert X.flags.c_contiguous
    assert (X.min(), X.max()) == (0, 1)
    counts = X * 16
    assert np.array_equal(counts, np.round(counts))
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_are_the_original_numbers():
    X, y = datasets.digits("float64")
    both = np.column_stack([X * 16, y]).astype(np.uint8)
    digest = hashlib.sha256(both.tobytes()).hexdigest()
    assert digest == "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"


def test_digits_equal_scikit_learn():
    peer = pytest.importorskip("sklearn.datasets")
    X, y = datasets.digits("float64")
    theirs = peer.load_digits()
    assert np.array_equal(X * 16, theirs.data)
    assert np.array_equal(y, theirs.target)


@pytest.mark.parametrize("dtype", ["float16", "float32", np.float64])
def test_digits_in_each_floating_dtype(dtype):
    X, _ = datasets.digits(dtype)
    assert X.dtype == dtype
    assert np.array_equal(X, datasets.digits("float64")[0])  # sixteenths are exact in all of them


@pytest.mark.parametrize("dtype", ["int64", bool, "complex64", object])
def test_digits_in_another_dtype_raise(dtype):
    with pytest.raises(TypeError, match="floating dtype"):
        datasets.digits(dtype)


def test_digits_are_new_arrays_each_time():
    X, y = datasets.digits()
    X[:], y[:] = -1, -1
    assert datasets.digits()[0].min() == 0
    assert datasets.digits()[1].min() == 0


def test_digits_are_small_and_name_their_authors_and_licence():
    size = sum((PACKAGE / name).stat().st_size for name in ("digits.npz", "digits.txt"))
    assert size < 150_000
    text = (PACKAGE / "digits.txt").read_text()
    for words in ("Alpaydin", "Kaynak", "UCI Machine Learning Repository", "10.24432/C50P49", "CC BY 4.0"):
        assert words in text
    assert "0 to 16" in text


def test_the_package_gives_the_module():
    assert fastbp.datasets is datasets
