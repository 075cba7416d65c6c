"""Lambda and PythonLayer: layers computed by Python functions, without and with parameters of their own.

The engine calls `forward_rows` and `backward_rows` with parts of a batch, from any thread, and `gradient_rows` once
with the whole batch, so no bit of a result depends on the number of threads. Rejected: parameter gradients from
`backward`, whose sums over parts would depend on that number.
"""

import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp import initializers
from fastbp.inputs import checks
from fastbp.layers.layer import Layer


class _InPython(Layer):
    """Base of both: the interface that the engine calls, with checks of the functions' results."""

    kind = "python"
    arity = None
    one_span = True
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    jvp: Callable[..., Any] | None

    def __call__(self, *nodes):
        if not nodes:
            raise ValueError(f"{self!r} is called on a node or more, got none")
        return super().__call__(*nodes)

    def op(self, number, *widths):
        size = sum(math.prod(shape) for shape in (self.fixed_shapes or {}).values())
        return {"functions": self, **({"columns": size} if size else {})}

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

    def tangent(self) -> "Tangent | None":
        """The functions of an op that computes the tangent of Y; None without a jvp."""
        return None if self.jvp is None else Tangent(self)

    def _checked(self, array, shape, dtype, which):
        array = checks.as_numbers(array, f"what {which} of {self!r} returns")
        if array.shape != shape:
            raise ValueError(f"{self!r}: {which} must return an array of shape {shape}, got {array.shape}")
        return np.ascontiguousarray(array, dtype)


class Tangent:
    """The op dY = jvp(dX, ..., X, ..., Y), of the tensors X, ..., Y, dX, ...; it has no derivative itself."""

    parameters = ()

    def __init__(self, layer: _InPython):
        self.layer = layer

    def forward_rows(self, tensors: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
        """The tangent of Y for some rows, checked."""
        count = len(tensors) // 2
        Y = tensors[count]
        assert self.layer.jvp is not None
        return self.layer._checked(self.layer.jvp(*tensors[count + 1 :], *tensors[:count], Y), Y.shape, dtype, "jvp")

    def backward_rows(self, *arguments: object) -> list[np.ndarray]:
        """Raise: a tangent has no backward pass."""
        raise ValueError(f"{self.layer!r} has first derivatives only: no second ones go through its functions")


class Lambda(_InPython):
    """A custom layer in NumPy: Y = forward(X), with its own backward pass.

    The functions are called with parts of a batch, from any thread, and must treat each row independently. A model
    with a Lambda cannot be saved to a file; it can be copied, and pickled if its functions can. `PythonLayer` has
    parameters, and can be saved.

    Parameters
    ----------
    forward : function (X, ...) -> Y
        Takes one array (rows, width) for each node that the layer is called on.
    backward : function (dY, X, ..., Y) -> dX
        Returns the gradients of the inputs: an array, or a tuple of them for several inputs.
    units : int, optional
        Width of Y; that of the first input if not given.
    jvp : function (dX, ..., X, ..., Y) -> dY, optional
        The tangent of Y, for derivatives in forward mode; these are refused if it is not given.
    name : str, optional
        Unique in the model; "lambda_1" and so on if not given.

    Raises
    ------
    TypeError
        If an argument is not a function.

    See Also
    --------
    PythonLayer : Base of layers with parameters.

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

    def __init__(
        self,
        forward: Callable,
        backward: Callable,
        units: int | None = None,
        *,
        jvp: Callable | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        self.forward = _callable(forward, "forward")
        self.backward = _callable(backward, "backward")
        self.jvp = None if jvp is None else _callable(jvp, "jvp")
        self.units = None if units is None else checks.positive_int(units, "units")

    def output_width(self, *widths):
        return self.units or widths[0]

    def settings(self):
        functions = {"forward": self.forward, "backward": self.backward, "jvp": self.jvp}
        return {"name": self.name, **functions, "units": self.units}

    def why_not_stored(self):
        return "is made of Python functions, which a file cannot hold"


class PythonLayer(_InPython):
    """Base of custom layers in NumPy that have parameters: a subclass defines what follows.

    - `parameters`: a tuple of the names of its parameters; and `shapes(*widths)`, a dict with the shape of each for
      inputs of these widths. In all methods `self.name` is the array of a parameter, a live view.
    - `forward(X, ...) -> Y`, with one array (rows, width) for each node that the layer is called on.
    - `backward(dY, X, ..., Y) -> dX`: the gradients of the inputs, an array or a tuple of them.
    - `gradients(dY, X, ..., Y)`: a dict with the gradient of each parameter, summed over the rows.
    - Optional: `output_width(*widths)`, by default the width of the first input; `start(rng)`, a dict of initial
      values, by default Glorot uniform for matrices and 0 for others; `jvp(dX, ..., X, ..., Y) -> dY`, the tangent of
      Y, for derivatives in forward mode, which are refused without it.

    `forward`, `backward` and `jvp` are called with parts of a batch, from any thread, and must treat each row
    independently; `gradients` is called with the whole batch. Each argument of the constructor is kept as the attribute
    of its name, from which copies and model files are made; it must take `name` and `trainable`, or `**options`, and
    give them to the base. A model file has the name of the class: define or import the class before `load`.

    Parameters
    ----------
    name : str, optional
        Unique in the model; the class's name in lower case and a number if not given.
    trainable : bool, default=True
        Whether training updates the parameters.

    Raises
    ------
    TypeError
        If a subclass lacks a method, has the name of another class of layers, or gives a parameter the name of an
        attribute of layers.
    ValueError
        When called, if `shapes` does not fit `parameters`.

    See Also
    --------
    Lambda : Layer of two functions, without parameters.
    check_gradients : Compares all of its gradients with finite differences.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as fb
    >>> class SelfGated(fb.PythonLayer):
    ...     parameters = ("beta",)
    ...     def shapes(self, width):
    ...         return {"beta": (width,)}
    ...     def start(self, rng):
    ...         return {"beta": np.ones(self.fixed_shapes["beta"])}
    ...     def forward(self, X):
    ...         return X / (1 + np.exp(-self.beta * X))
    ...     def backward(self, dY, X, Y):
    ...         s = 1 / (1 + np.exp(-self.beta * X))
    ...         return dY * (s + self.beta * Y * (1 - s))
    ...     def gradients(self, dY, X, Y):
    ...         s = 1 / (1 + np.exp(-self.beta * X))
    ...         return {"beta": (dY * X * Y * (1 - s)).sum(0)}
    >>> net = fb.Sequential(fb.Input(2), fb.Dense(3, activation=SelfGated()), fb.Dense(1), seed=0)
    >>> net["selfgated_1"].beta
    array([1., 1., 1.], dtype=float32)
    >>> fb.check_gradients(net, [[1.0, 2.0]], [0.5]) < 1e-5
    True
    """

    jvp = None

    def __init_subclass__(cls, **options: Any) -> None:
        other = Layer.classes.get(cls.__name__)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}: model files find layers by the name of their class, and"
                f" {other.__module__} has a {cls.__name__} already; take another name"
            )
        for name in vars(cls).get("parameters", ()):
            if not name.isidentifier() or hasattr(PythonLayer, name) or name in RESERVED:
                raise TypeError(f"{cls.__name__}: a parameter cannot have the name {name!r}, which layers use")
        super().__init_subclass__(**options)

    def __init__(self, name: str | None = None, trainable: bool = True):
        super().__init__(name, trainable)
        wanted = ["forward", "backward", *(["gradients", "shapes"] if self.parameters else [])]
        missing = [method for method in wanted if getattr(type(self), method) is getattr(PythonLayer, method)]
        if missing:
            raise TypeError(f"{type(self).__name__} must define {' and '.join(missing)}")
        known = inspect.signature(type(self)).parameters
        self._arguments = [key for key, one in known.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
        lacking = {"name", *(["trainable"] if self.parameters else [])} - set(self._arguments)
        if lacking and not any(one.kind is one.VAR_KEYWORD for one in known.values()):
            raise TypeError(f"the constructor of {type(self).__name__} must take {' and '.join(sorted(lacking))}")

    def __call__(self, *nodes):
        shapes = self.shapes(*(node.width for node in nodes))
        if not isinstance(shapes, dict) or tuple(shapes) != self.parameters:
            raise ValueError(f"{self!r}: shapes must return a dict of {list(self.parameters)} in order, got {shapes!r}")
        if self.parameters and len(nodes) > MOST_NODES:
            raise ValueError(f"{self!r} has parameters: it is called on {MOST_NODES} nodes at most, got {len(nodes)}")
        return super().__call__(*nodes)

    def forward(self, *X: np.ndarray) -> np.ndarray:
        """Y for some rows: defined by a subclass."""
        raise NotImplementedError

    def backward(self, dY: np.ndarray, *X_and_Y: np.ndarray) -> "np.ndarray | tuple[np.ndarray, ...]":
        """DX for some rows, or a tuple of one for each input: defined by a subclass.

        Parameters
        ----------
        dY : ndarray of shape (rows, outputs)
            Gradient of the loss with respect to Y.
        *X_and_Y : ndarray
            The inputs, one for each node, and the result of `forward`.
        """
        raise NotImplementedError

    def gradients(self, dY: np.ndarray, *X_and_Y: np.ndarray) -> dict[str, np.ndarray]:
        """The gradient of each parameter, summed over all rows of the batch: defined by a subclass.

        Parameters
        ----------
        dY : ndarray of shape (rows, outputs)
            Gradient of the loss with respect to Y.
        *X_and_Y : ndarray
            The inputs, one for each node, and the result of `forward`.
        """
        raise NotImplementedError

    def start(self, rng):
        draws = {name: "glorot_uniform" if len(shape) == 2 else "zeros" for name, shape in self.fixed_shapes.items()}
        return {name: initializers.resolve(draws[name])(shape, rng) for name, shape in self.fixed_shapes.items()}

    def start_values(self, rng):
        values = super().start_values(rng)
        if set(values) != set(self.parameters):
            raise ValueError(f"{self!r}: start must return values of {list(self.parameters)}, got {list(values)}")
        shapes = self.fixed_shapes or {}
        return {n: checks.as_parameter(values[n], shapes[n], f"{self!r}: the start value of {n}") for n in shapes}

    def settings(self):
        own = [name for name in self._arguments if name not in ("name", "trainable")]
        for name in own:
            if not hasattr(self, name):
                raise AttributeError(f"{self!r} must keep the argument {name} of its constructor as self.{name}")
        return {**super().settings(), **{name: getattr(self, name) for name in own}}

    def why_not_stored(self):
        for name, value in self.settings().items():
            try:
                json.dumps(value)
            except TypeError:
                return f"has the argument {name}={value!r}, which JSON cannot hold"
        return ""

    def gradient_rows(self, dY: np.ndarray, xs: list, Y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The gradients of the parameters over all rows, checked, as they lie in the flat vector."""
        found = self.gradients(dY, *xs, Y)
        if not isinstance(found, dict) or set(found) != set(self.parameters):
            got = list(found) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"{self!r}: gradients must return a dict of {list(self.parameters)}, got {got}")
        shapes = (self.fixed_shapes or {}).items()
        parts = [self._checked(found[name], shape, dtype, f"gradients, {name},") for name, shape in shapes]
        return np.concatenate([part.reshape(-1) for part in parts])


MOST_NODES = 16  # the most inputs for which the engine's per-sample gradients have room
RESERVED = {"name", "views", "owner", "fixed_shapes", "X", "Y"}


def _callable(function, name):
    if not callable(function):
        raise TypeError(f"{name} must be a function, got {function!r}")
    return function
