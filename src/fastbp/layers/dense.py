"""Dense, Activation, PReLU and Dropout: the layers of a plain feed-forward network."""

from typing import ClassVar

import numpy as np

from fastbp import _engine, activations, initializers
from fastbp._typing import ArrayLike
from fastbp.inputs import checks
from fastbp.layers import constraints
from fastbp.layers.layer import Layer
from fastbp.layers.python_layer import _InPython


class _Activated(Layer):
    """Base of the layers that end in an activation function."""

    function: activations.ActivationFunction

    @property
    def activation(self) -> str:
        """The name of f."""
        return self.function.name

    @property
    def alpha(self) -> float | list[float] | None:
        """The parameter of f; a list if there are several, None if there is none."""
        parameters = list(self.function.parameters)
        return parameters if len(parameters) > 1 else (*parameters, None)[0]

    def op(self, number, *widths):
        return {**self.function.settings(), "key": number}

    def describe(self):
        return f"{type(self).__name__} {self.function.label()}"


class Dense(_Activated):
    """Fully connected layer, Y = f(X W + b).

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str, ActivationFunction, PReLU, PythonLayer or Lambda, default="linear"
        The function f: a name, or one with parameters such as `leaky_relu(0.1)`. "prelu", or a layer, adds a node of
        its own after this one.
    bias : bool, default=True
        Whether the layer has biases b.
    weights : str, function, array or number, default="auto"
        Initial values: an initializer or its name, a function (shape, rng) -> array, or the values. "auto" chooses by
        the activation: He normal for the relu family, Glorot uniform otherwise (docs/tables.md lists all).
    biases : str, function, array or number, default="zeros"
        Initial values of b, in the same forms.
    alpha : float or list, optional
        Parameter of an activation given by name, or a list of all of them; its own defaults if not given.
    constraint : str or Constraint, optional
        Condition that W satisfies after each update, such as "non_negative" or `MaxNorm(2.0)`; none if not given.
    decay : float, optional
        Weight decay of W, instead of the optimizer's `weight_decay`; its `groups` come before both. Keras's
        `kernel_regularizer=L2(a)` is decay=2 * a, with an optimizer of coupled decay such as Adam.
    name : str, optional
        Unique in the model; "dense_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates W and b.

    Attributes
    ----------
    W, dW : ndarray of shape (inputs, units)
        Weights and their gradient: live views.
    b, db : ndarray of shape (units,), or None
        Biases and their gradient: live views.

    See Also
    --------
    Embedding : For categories in place of numbers.
    Activation : The function f alone.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Dense(32, activation="tanh")(Input(20)).width
    32
    """

    kind = "dense"
    parameters = ("W", "b")

    def __init__(
        self,
        units: int,
        activation: "str | activations.ActivationFunction | PReLU | _InPython" = "linear",
        *,
        bias: bool = True,
        weights: str | initializers.Draw | ArrayLike = "auto",
        biases: str | initializers.Draw | ArrayLike = "zeros",
        alpha: float | list[float] | None = None,
        constraint: str | constraints.Constraint | None = None,
        decay: float | None = None,
        name: str | None = None,
        trainable: bool = True,
    ):
        super().__init__(name, trainable)
        self.decays(decay)
        self.constraint = None if constraint is None else constraints.Constraint.classes.resolve(constraint)
        function = PReLU() if isinstance(activation, str) and activation == PReLU.kind else activation
        self._after = function if isinstance(function, (PReLU, _InPython)) else None
        self.function = activations.resolve("linear" if isinstance(function, (PReLU, _InPython)) else function, alpha)
        self.units = checks.positive_int(units, "units")
        self.bias = bool(bias)
        automatic = isinstance(weights, str) and weights == "auto"
        self._weights = PReLU.before if automatic and isinstance(self._after, PReLU) else weights
        self._biases = biases
        automatic = self._weights is weights and automatic
        start = _engine.ACTIVATIONS[self.activation].start if automatic else self._weights
        self._starts = {
            "W": initializers.resolve(start, "initializer of weights"),
            "b": initializers.resolve(biases, "initializer of biases"),
        }

    def __call__(self, *nodes):
        node = super().__call__(*nodes)
        return node if self._after is None else self._after(node)

    def output_width(self, width):
        return self.units

    def shapes(self, width):
        return {"W": (width, self.units), **({"b": (self.units,)} if self.bias else {})}

    def start(self, rng):
        return {
            name: checks.as_parameter(self._starts[name](shape, rng), shape, f"the start value of {name}")
            for name, shape in self.fixed_shapes.items()
        }

    def settings(self):
        return {
            **super().settings(),
            "units": self.units,
            "activation": self.activation,
            "alpha": self.alpha,
            "bias": self.bias,
            "weights": self._weights if isinstance(self._weights, str) else "auto",
            "biases": self._biases if isinstance(self._biases, str) else "zeros",
            "constraint": None if self.constraint is None else self.constraint.config(),
        }

    def op(self, number, *widths):
        rule = self.constraint
        constraint = {} if rule is None else {"constraint": (rule.kind, rule.limit)}
        return {**super().op(number, *widths), **constraint}


class Activation(_Activated):
    """Y = f(X), element by element (softmax and the like: row by row).

    Parameters
    ----------
    activation : str or ActivationFunction
        The function f, or its name.
    alpha : float or list, optional
        Its parameter, or a list of all of them; its own defaults if not given.
    name : str, optional
        Unique in the model; "activation_1" and so on if not given.

    See Also
    --------
    Dense : Has an activation of its own.
    PReLU : With a slope that is learned.
    Lambda : Any Python function.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Activation("leaky_relu", alpha=0.1)(Input(20)).width
    20
    """

    kind = "activation"

    def __init__(
        self,
        activation: str | activations.ActivationFunction,
        alpha: float | list[float] | None = None,
        *,
        name: str | None = None,
    ):
        super().__init__(name)
        self.function = activations.resolve(activation, alpha)

    def settings(self):
        return {
            "name": self.name,
            "activation": self.activation,
            "alpha": self.alpha,
        }


class PReLU(Layer):
    """Y = X where X > 0, else alpha X with a learned alpha, one per feature or one for all. He et al. 2015.

    `Dense(32, activation="prelu")` is a Dense layer followed by this one.

    Parameters
    ----------
    num_parameters : int, optional
        1 for a single alpha; one per feature if not given or the width.
    init : float, default=0.25
        Initial value of alpha.
    name : str, optional
        Unique in the model; "prelu_1" and so on if not given.
    trainable : bool, default=True
        Whether training updates alpha.

    Attributes
    ----------
    alpha, dalpha : ndarray of shape (num_parameters,)
        The slopes and their gradient: live views.

    See Also
    --------
    Activation : Functions without learned parameters.
    leaky_relu : With a fixed slope.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> PReLU(init=0.1)(Input(20)).width
    20
    """

    kind = "prelu"
    parameters = ("alpha",)
    before: ClassVar[str] = "he_normal"  # the start of the weights before it

    def __init__(
        self, num_parameters: int | None = None, init: float = 0.25, *, name: str | None = None, trainable: bool = True
    ):
        super().__init__(name, trainable)
        self.num_parameters = None if num_parameters is None else checks.positive_int(num_parameters, "num_parameters")
        self.init = checks.in_range(init, "init")

    def shapes(self, width):
        if self.num_parameters not in (None, 1, width):
            raise ValueError(f"num_parameters must be 1 or the width {width}, got {self.num_parameters}")
        return {"alpha": (self.num_parameters or width,)}

    def start(self, rng):
        return {"alpha": np.full(self.fixed_shapes["alpha"], self.init)}

    def settings(self):
        return {**super().settings(), "num_parameters": self.num_parameters, "init": self.init}

    def op(self, number, *widths):
        (columns,) = self.fixed_shapes["alpha"]
        return {"columns": columns, "alpha": float(columns < widths[0])}

    def describe(self):
        return f"PReLU ({'one slope' if self.num_parameters == 1 else 'a slope each'})"


class Dropout(Layer):
    """Sets each number to 0 with probability `rate` in training and divides the others by 1 - rate. Srivastava 2014.

    At inference it returns X. The masks are a function of the model's seed, the training step, the node, the row and
    the feature, so a run is reproducible for any number of threads.

    Parameters
    ----------
    rate : float
        Probability of setting a number to 0, 0 <= rate < 1.
    name : str, optional
        Unique in the model; "dropout_1" and so on if not given.

    See Also
    --------
    MaxNorm, BatchNorm : Other means of regularization.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Dropout(0.5)(Input(20)).width
    20
    """

    kind = "dropout"

    def __init__(self, rate: float, *, name: str | None = None):
        super().__init__(name)
        self.rate = checks.in_range(rate, "rate", 0.0, 1.0)

    def settings(self):
        return {"name": self.name, "rate": self.rate}

    def op(self, number, *widths):
        return {"alpha": self.rate, "key": number}

    def describe(self):
        return f"Dropout {self.rate:g}"
