"""Parameter: a trained number or vector that is a node, such as an unknown coefficient of an equation.

The node is the same in every row. Rejected: a Dense layer on a constant input, whose W and b would be one parameter.
"""

import numpy as np

from fastbp._typing import ArrayLike, Operand
from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Node


class ParameterLayer(Layer):
    """The layer of a trained number or vector: Y[n] = value in every row; dvalue is the sum of dY over the rows."""

    kind = "parameter"
    arity = 0
    parameters = ("value",)

    def __init__(self, value: ArrayLike, *, name: str | None = None, trainable: bool = True):
        super().__init__(name, trainable)
        start = checks.as_numbers(value, "the value of a Parameter")
        if start.ndim > 1 or not start.size:
            raise ValueError(f"a Parameter is a number or a vector (width,), got an array of shape {start.shape}")
        self.initial = checks.as_parameter(start, start.shape, "the value of a Parameter").copy()

    @classmethod
    def label(cls):
        return "Parameter"

    def output_width(self):
        return self.initial.size

    def shapes(self):
        return {"value": self.initial.shape}

    def start(self, rng):
        return {"value": self.initial}

    def settings(self):
        return {**super().settings(), "value": self.initial.tolist()}

    def describe(self):
        return self.label()


class Parameter(Node):
    """A number, or a vector, that is trained like a weight and used like any other node.

    Every row has the same value. In arithmetic, a number goes with nodes of any width. An optimizer updates it together
    with the weights; regularization and clipping of an optimizer include it.

    Parameters
    ----------
    value : float or array of shape (width,)
        The initial value.
    name : str, optional
        Unique in the model; "parameter_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates it; can be changed at any time.

    Attributes
    ----------
    value : ndarray of shape () for a number, else (width,)
        The value in the model that was built from it: a live view into `params`, also as `net[name].value`; assignment
        copies into it. Its gradient is `dvalue`.

    Raises
    ------
    ValueError
        If the value is not finite, or has more than one dimension.

    See Also
    --------
    Constant : Values that are not learned.
    Input : Values that are passed in.

    Examples
    --------
    >>> from fastbp import Input, Model
    >>> t = Input(1)
    >>> k = Parameter(1.0, name="k")
    >>> net = Model(t, k * t, dtype="float64")
    >>> history = net.fit([[1.0], [2.0]], [[3.0], [6.0]], optimizer="adam", epochs=1)
    >>> k.value.shape, bool(k.value > 1)
    ((), True)
    """

    def __init__(self, value: Operand, *, name: str | None = None, trainable: bool = True):
        layer = ParameterLayer(value, name=name, trainable=trainable)
        super().__init__(layer, (), layer().width)

    @property
    def value(self) -> np.ndarray:
        """The value, a live view."""
        return self.layer.value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        self.layer.value = value

    @property
    def trainable(self) -> bool:
        """Whether training updates it."""
        return self.layer.trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        self.layer.trainable = trainable
