"""Base class of the layers: output width, shapes of the parameters, and one op of the engine.

A layer is a description and computes nothing. Its parameters live in the flat vectors of the network built from
it; `W`, `b`, `dW`, `db` are views of these. Shapes are fixed when the layer is called, so a mistake raises on the
line that makes it; lazy building on first data, as in Keras, was rejected. A layer that is called twice shares its
parameters. To add a layer, add a class: model files find it by its name.
"""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastbp._configured import Registered, Registry
from fastbp.inputs import checks
from fastbp.layers.node import Node


class View:
    """A parameter of a layer or its gradient, as a live view; assignment copies values into it."""

    def __init__(self, name):
        self.name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        if layer.views is None:
            raise AttributeError(f"{layer!r} has no {self.name} before a model is built from it")
        return layer.views.get(self.name)

    def __set__(self, layer, value):
        view = self.__get__(layer)
        if view is None:
            raise AttributeError(f"{layer!r} has no {self.name}")
        view[...] = checks.as_shaped(value, view.shape, view.dtype, self.name)


class Layer(Registered):
    """Base of the layers.

    A subclass sets `kind`, the engine's op, and `parameters`, the names of its parameters in the order in which the
    op takes them, and overrides the methods below whose defaults do not fit. Views are created for the parameters.

    Parameters
    ----------
    name : str, optional
        Unique in the model; its class and a number if not given.
    trainable : bool, default=True
        Whether training updates the parameters.

    Raises
    ------
    TypeError
        If the name is no string or empty; when the layer is called, if on too many nodes or on something else.
    ValueError
        When it is called on nodes for which its parameters have the wrong shapes.

    See Also
    --------
    fastbp.PythonLayer : A layer of one's own in NumPy.
    fastbp.Lambda : A function of one's own without parameters.

    Examples
    --------
    >>> from fastbp import Dense
    >>> isinstance(Dense(3), Layer)
    True
    """

    classes = Registry("class of layer", "class")
    kind: ClassVar[str]
    arity: ClassVar[int | None] = 1  # number of nodes that it is called on; None for any
    parameters: ClassVar[tuple[str, ...]] = ()
    statistics: ClassVar[tuple[str, ...]] = ()  # the parameters that no gradient updates
    one_span: ClassVar[bool] = False  # whether its op takes all parameters as one
    decay: float | None = None  # weight decay of its matrices, instead of the optimizer's
    verb: ClassVar[str] = ""  # one word for what it does with a gradient, if there is one

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in cls.parameters:
            setattr(cls, name, View(name))
            if name not in cls.statistics:
                setattr(cls, f"d{name}", View(f"d{name}"))

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> np.ndarray: ...  # the views of its parameters

    def __init__(self, name: str | None = None, trainable: bool = True):
        self.name = checks.as_name(name, checks.article(type(self).__name__))
        self.fixed_shapes: dict[str, tuple[int, ...]] | None = None
        self.views: dict[str, np.ndarray] | None = None
        self.owner: Any = None  # what the layer uses of the network that owns its parameters
        self._nodes: list[weakref.ref[Node]] = []  # the layer's nodes in that network
        self._trainable = bool(trainable)
        self._tell_engines: list[Callable[[bool], None]] = []
        self._presets: dict[str, np.ndarray] = {}

    @property
    def trainable(self) -> bool:
        """Whether training updates the parameters; can be changed at any time."""
        return self._trainable

    @trainable.setter
    def trainable(self, trainable):
        self._trainable = bool(trainable)
        for tell in self._tell_engines:
            tell(self._trainable)

    @property
    def weights(self) -> list[np.ndarray]:
        """The parameters in order, W before b: live views; none before a model is built from the layer."""
        return [array for array in (self.views or {}).values() if array is not None][::2]

    @property
    def output(self) -> Node:
        """The layer's node in the model that it belongs to, for models of parts of it.

        Raises
        ------
        AttributeError
            If the layer belongs to no model yet, or is called several times in it.

        Examples
        --------
        >>> from fastbp import Dense, Input, Model, Sequential
        >>> net = Sequential(Input(4), Dense(8, "tanh", name="code"), Dense(4), seed=0)
        >>> encoder = Model(net.inputs, net["code"].output)
        >>> encoder.predict([[0.0, 0.0, 0.0, 0.0]]).shape
        (1, 8)
        """
        nodes = [node for node in (reference() for reference in self._nodes) if node is not None]
        if len(nodes) != 1:
            raise AttributeError(f"{self!r} has no output of its own: it stands in a model {len(nodes)} times")
        return nodes[0]

    def __call__(self, *nodes: Node) -> Node:
        """Apply the layer to nodes.

        Parameters
        ----------
        *nodes : Node
            As many as the layer takes, usually one.

        Returns
        -------
        Node
            The output of the layer.

        Raises
        ------
        TypeError
            If the number of nodes is wrong, or one of them is no node.
        ValueError
            If the layer has parameters of other shapes already.
        """
        for node in nodes:
            checks.instance(node, Node, f"what {checks.article(type(self).__name__)} is called on")
        if self.arity not in (None, len(nodes)):
            raise TypeError(f"{self!r} is called on {self.arity} node{'s' * (self.arity != 1)}, got {len(nodes)}")
        widths = [node.width for node in nodes]
        shapes = self.shapes(*widths)
        if self.fixed_shapes not in (None, shapes):
            raise ValueError(f"{self!r} has parameters of shapes {self.fixed_shapes}, wanted here: {shapes}")
        node = Node(self, nodes, self.output_width(*widths))
        self.fixed_shapes = shapes
        return node

    def output_width(self, *widths: int) -> int:
        """Output width for inputs of these widths."""
        return widths[0]

    def shapes(self, *widths: int) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, in the order in which they are stored."""
        return {}

    def start(self, rng: "np.random.Generator") -> dict[str, np.ndarray]:
        """Initial value of each parameter, in float64."""
        return {}

    def start_values(self, rng: "np.random.Generator") -> dict[str, np.ndarray]:
        """The values of `start`, or those of the layer that this one is a clone of."""
        return {**self.start(rng), **self._presets}

    def decays(self, decay: float | None) -> None:
        """Set the weight decay of the layer."""
        if decay is not None:
            self.decay = checks.in_range(decay, "decay", 0.0)

    def clone(self) -> "Layer":
        """A new layer without a name that starts with the parameters that this one has now."""
        layer = self.configured(name=None)
        return layer.starting_from({name: (self.views or {})[name] for name in self.fixed_shapes or ()})

    def starting_from(self, arrays: dict[str, np.ndarray]) -> "Layer":
        """Use these initial values instead of those of `start`; returns the layer."""
        self._presets = {name: array.astype(np.float64) for name, array in arrays.items()}
        return self

    @classmethod
    def label(cls) -> str:
        """The name of the class."""
        return cls.__name__

    def arguments(self) -> dict[str, Any]:
        """The result of `settings`, which is the method to override."""
        return self.settings()

    def settings(self) -> dict:
        """The constructor's arguments, JSON-serializable."""
        decay = {} if self.decay is None else {"decay": self.decay}
        return {"name": self.name, **({"trainable": self.trainable} if self.parameters else {}), **decay}

    def why_not_stored(self) -> str:
        """Why a file cannot hold the layer; empty if it can."""
        return ""

    def op(self, number: int, *widths: int) -> dict:
        """The settings of the engine's op for the node of this number, with inputs of these widths."""
        return {}

    def bind(self, name: str, views: dict[str, np.ndarray], owner: Any, nodes: list[Node]) -> None:
        """Set the name, the views into the vectors of the network that owns the parameters, and its nodes."""
        self.name = name
        self.views = views
        self.owner, self._nodes = owner, [weakref.ref(node) for node in nodes]

    def tells(self, tell_engine: Callable[[bool], None]) -> None:
        """Add a function that tells one more network's engine whether the layer is trainable."""
        if self.parameters:
            self._tell_engines.append(tell_engine)
            if not self.trainable:
                tell_engine(False)

    def describe(self) -> str:
        """A short description for summaries."""
        return type(self).__name__

    def __repr__(self):
        return f"<{self.describe()}{f' {self.name}' if self.name else ''}>"
