"""Data sets included in the package, and a reader for the text files of FANN.

The digits are a compressed `.npz` of 45 kB, so that a machine without network access can train on real data.
Rejected: downloading on first use, which makes tests depend on a server. `digits.txt` names the authors and the
licence.
"""

import os

import numpy as np

from fastbp.errors import ModelFormatError

__all__ = ["digits", "read_fann"]

FILE = os.path.join(os.path.dirname(__file__), "digits.npz")
DIGITS_LEVELS = 16  # a pixel counts the ink in a block of 4 x 4


def digits(dtype: "np.typing.DTypeLike" = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Load 1,797 images of handwritten digits.

    The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0: 8 x 8 pixels, each the count 0 ... 16 of
    inked points in a block of 4 x 4.

    Parameters
    ----------
    dtype : dtype-like, default="float32"
        Floating-point dtype of the images.

    Returns
    -------
    X : numpy.ndarray
        Shape (1797, 64): one image per row, its pixels row by row from the top left; the counts divided by 16, so 0
        is blank paper and 1 full ink.
    y : numpy.ndarray
        Shape (1797,), int64: the digits, 0 ... 9.

    Raises
    ------
    TypeError
        `dtype` is not a floating dtype.

    See Also
    --------
    read_fann : Data in files of FANN.

    Examples
    --------
    >>> import fastbp as fb
    >>> X, y = fb.datasets.digits()
    >>> X.shape, X.dtype, float(X.max()), y[:5]
    ((1797, 64), dtype('float32'), 1.0, array([0, 1, 2, 3, 4]))
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"digits needs a floating dtype, got {dtype}")
    with np.load(FILE, allow_pickle=False) as file:
        counts, labels = file["images"], file["labels"]
    return counts.astype(dtype) / dtype.type(DIGITS_LEVELS), labels.astype(np.int64)


def read_fann(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read a .train or .data file of FANN, the Fast Artificial Neural Network library.

    The first line has the numbers of samples, inputs and outputs; then follow the values of each sample, its inputs
    first.

    Parameters
    ----------
    path : path
        The text file.

    Returns
    -------
    X : numpy.ndarray
        Shape (pairs, inputs), float64.
    y : numpy.ndarray
        Shape (pairs, outputs), float64.

    Raises
    ------
    ModelFormatError
        The file is damaged or is not a FANN data file.

    See Also
    --------
    digits : Data that the package includes.
    fastbp.from_fann : Reads FANN's networks.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastbp as fb
    >>> path = pathlib.Path(tempfile.mkdtemp(), "xor.train")
    >>> _ = path.write_text("4 2 1  -1 -1 -1  -1 1 1  1 -1 1  1 1 -1")
    >>> X, y = fb.datasets.read_fann(path)
    >>> X.shape, y.ravel()
    ((4, 2), array([-1.,  1.,  1., -1.]))
    """
    with open(path, encoding="ascii", errors="replace") as file:
        words = file.read().split()
    where = os.fspath(path)
    head = words[:3]
    if len(head) < 3 or not all(word.isdecimal() and int(word) > 0 for word in head):
        raise ModelFormatError(f"{where} begins with {' '.join(head)!r:.40}, wanted: numbers of pairs, inputs, outputs")
    pairs, inputs, outputs = map(int, head)
    if len(words) - 3 != pairs * (inputs + outputs):
        raise ModelFormatError(f"{where} should have {pairs * (inputs + outputs)} numbers, got {len(words) - 3}")
    try:
        numbers = np.array(words[3:], dtype=np.float64).reshape(pairs, inputs + outputs)
    except ValueError as error:
        raise ModelFormatError(f"{where}: {error}") from None
    return numbers[:, :inputs].copy(), numbers[:, inputs:].copy()


def __dir__():
    return __all__
