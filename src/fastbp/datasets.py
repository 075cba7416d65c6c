"""Data sets that come with the package.

The digits are carried as a compressed `.npz` of bytes, 45 kB, so that a machine without a network can train
on real data. Rejected: downloading on first use, which makes tests depend on a server. `digits.txt` beside it
names the authors and the licence.
"""

import os

import numpy as np

FILE = os.path.join(os.path.dirname(__file__), "digits.npz")
DIGITS_LEVELS = 16  # a pixel counts the ink in a block of 4 x 4


def digits(dtype: "np.typing.DTypeLike" = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Load 1,797 images of handwritten digits.

    The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak, UCI Machine
    Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0: 8 x 8 pixels, each the count 0 ... 16 of
    inked points in a block of 4 x 4.

    Parameters
    ----------
    dtype : dtype-like
        A floating dtype for the images.

    Returns
    -------
    X : numpy.ndarray
        Shape (1797, 64): an image a row, its pixels row by row from the top left; the counts divided by 16,
        so 0 is blank paper and 1 full ink.
    y : numpy.ndarray
        Shape (1797,), int64: the digit that was written, 0 ... 9.

    Raises
    ------
    TypeError
        `dtype` is not a floating dtype.

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
