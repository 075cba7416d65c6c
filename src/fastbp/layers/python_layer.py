"""Lambda: a layer computed by Python functions."""

from collections.abc import Callable

import numpy as np

from fastbp.inputs import checks
from fastbp.layers.layer import Layer


class Lambda(Layer):
    """A custom layer in NumPy: Y = forward(X), with its own backward pass.

    Both functions are called with parts of a batch, from any thread, and must treat each row independently. A model
    with a Lambda cannot be saved to a file; it can be copied, and pickled if its functions can.

    Parameters
    ----------
    forward : function (X, ...) -> Y
        Takes one array (rows, width) for each node that the layer is called on.
    backward : function (dY, X, ..., Y) -> dX
        Returns the gradients of the inputs: an array, or a tuple of them for several inputs.
    units : int, optional
        Width of Y; that of the first input if not given.
    name : str, optional
        Unique in the model; "lambda_1" and so on if not given.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Input, Model
    >>> x = Input(3)
    >>> cube = Lambda(lambda X: X**3, lambda dY, X, Y: dY * 3 * X**2)
    >>> net = Model(x, cube(x), dtype="float64")
    >>> net.forward([[1.0, 2.0, 3.0]])
    array([[ 1.,  8., 27.]])
    >>> net.backward([[1.0, 1.0, 1.0]])
    array([[ 3., 12., 27.]])
    """

    kind = "python"
    arity = None
    storable = False

    def __init__(self, forward: Callable, backward: Callable, units: int | None = None, *, name: str | None = None):
        super().__init__(name)
        self.forward = _callable(forward, "forward")
        self.backward = _callable(backward, "backward")
        self.units = None if units is None else checks.positive_int(units, "units")

    def __call__(self, *nodes):
        if not nodes:
            raise ValueError(f"{self!r} is called on a node or more, got none")
        return super().__call__(*nodes)

    def output_width(self, *widths):
        return self.units or widths[0]

    def settings(self):
        return {"name": self.name, "forward": self.forward, "backward": self.backward, "units": self.units}

    def op(self, number, *widths):
        return {"functions": self}

    def forward_rows(self, xs: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
        """Y for some rows, checked."""
        width = self.output_width(*(x.shape[1] for x in xs))
        return self._checked(self.forward(*xs), (len(xs[0]), width), dtype, "forward")

    def backward_rows(self, dY: np.ndarray, xs: list, Y: np.ndarray, dtype: np.dtype) -> list[np.ndarray]:
        """DX of each input for some rows, checked."""
        dxs = self.backward(dY, *xs, Y)
        if len(xs) == 1 and not isinstance(dxs, tuple):
            dxs = (dxs,)
        if not isinstance(dxs, (tuple, list)) or len(dxs) != len(xs):
            raise ValueError(f"{self!r}: backward must return a tuple of {len(xs)} arrays, got {type(dxs).__name__}")
        return [self._checked(dx, x.shape, dtype, "backward") for dx, x in zip(dxs, xs, strict=True)]

    def _checked(self, array, shape, dtype, which):
        array = checks.as_numbers(array, f"what {which} of {self!r} returns")
        if array.shape != shape:
            raise ValueError(f"{self!r}: {which} must return an array of shape {shape}, got {array.shape}")
        return np.ascontiguousarray(array, dtype)


def _callable(function, name):
    if not callable(function):
        raise TypeError(f"{name} must be a function, got {function!r}")
    return function
