"""Blocks: several layers wired into one pattern, called like a layer.

A block only creates nodes of existing layers and gates. A model, its summary and its file show those nodes, so a
block needs no support from the folders above.
"""

from collections.abc import Callable

from fastbp import activations
from fastbp.inputs import checks
from fastbp.layers.dense import Dense
from fastbp.layers.merge import Maximum
from fastbp.layers.node import Node


class Block:
    """Base of the blocks: called on a node, it returns a node."""

    def __call__(self, node: Node) -> Node:
        """The last node of the pattern.

        Parameters
        ----------
        node : Node
            The input of the block.

        Returns
        -------
        Node
            Its output.
        """
        raise NotImplementedError

    def __repr__(self):
        return f"<{type(self).__name__}>"


class GLU(Block):
    """Y = (X W + b) * f(X V + c): a linear layer and the gate that lets it through. Dauphin et al. 2017.

    Parameters
    ----------
    units : int
        Number of outputs.
    activation : str or ActivationFunction, default="sigmoid"
        The function f, the activation of the gate.
    bias : bool, default=True
        Whether both layers have biases, b and c.

    See Also
    --------
    Highway : A gate between a layer and its input.
    Maxout : The largest of several linear layers.
    Residual : Layers added to their input.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> GLU(32)(Input(20)).width
    32
    """

    def __init__(self, units: int, activation: str | activations.ActivationFunction = "sigmoid", *, bias: bool = True):
        self.value = Dense(units, bias=bias)
        self.gate = Dense(units, activation, bias=bias)

    def __call__(self, node):
        return self.value(node) * self.gate(node)


class Highway(Block):
    """Y = t * f(X W + b) + (1 - t) * X with t = sigmoid(X V + c). Srivastava et al. 2015.

    Parameters
    ----------
    activation : str or ActivationFunction, default="relu"
        The function f, the activation of the transformed path.
    carry : float, default=1.0
        Initial value of -c: the larger, the more of X passes through unchanged at the start.

    See Also
    --------
    GLU : A gate times a linear path.
    Maxout : The largest of several linear layers.
    Residual : Layers added to their input.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Highway()(Input(20)).width
    20
    """

    def __init__(self, activation: str | activations.ActivationFunction = "relu", carry: float = 1.0):
        self.activation = activations.resolve(activation)
        self.carry = checks.in_range(carry, "carry")

    def __call__(self, node):
        h = Dense(node.width, self.activation)(node)
        start = -self.carry
        t = Dense(node.width, "sigmoid", biases=lambda shape, rng: 0 * rng.random(shape) + start)(node)
        return t * h + (1 - t) * node


class Maxout(Block):
    """Y = the largest of several linear layers, output by output. Goodfellow et al. 2013.

    Parameters
    ----------
    units : int
        Number of outputs.
    pieces : int, default=2
        Number of linear layers.

    See Also
    --------
    GLU : A gate times a linear path.
    Highway : A gate between a layer and its input.
    Residual : Layers added to their input.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Maxout(8, pieces=3)(Input(20)).width
    8
    """

    def __init__(self, units: int, pieces: int = 2):
        self.units = checks.positive_int(units, "units")
        self.pieces = checks.positive_int(pieces, "pieces", 2)
        self.linear = Dense(units * pieces)

    def __call__(self, node):
        h = self.linear(node)
        return Maximum()(*(h[:, k * self.units : (k + 1) * self.units] for k in range(self.pieces)))


class Residual(Block):
    """Y = X + f(X), where f is a stack of layers. He et al. 2016.

    Parameters
    ----------
    *layers
        Layers, blocks or models, called one after the other; the last must return the width of X.

    Raises
    ------
    TypeError
        If an argument is no layer, block or model.
    ValueError
        If there is none, or when called if they change the width.

    See Also
    --------
    GLU : A gate times a linear path.
    Highway : A gate between a layer and its input.
    Maxout : The largest of several linear layers.

    Examples
    --------
    >>> from fastbp.layers.node import Input
    >>> Residual(Dense(32, "relu"), Dense(20))(Input(20)).width
    20
    """

    def __init__(self, *layers: Callable[[Node], Node]):
        if not layers:
            raise ValueError("Residual wants a layer or more, got none")
        for layer in layers:
            if not callable(layer):
                raise TypeError(f"Residual wants layers, blocks or models, got {layer!r}")
        self.layers = layers

    def __call__(self, node):
        inner = node
        for layer in self.layers:
            inner = layer(inner)
        if inner.width != node.width:
            raise ValueError(f"Residual adds f(X) to X: widths {inner.width} and {node.width} must be equal")
        return node + inner
