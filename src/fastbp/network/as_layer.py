"""A network as a layer of another network, the outputs of its own layers, its table and its graph."""

from typing import Any, ClassVar

import numpy as np

from fastbp._configured import Registry
from fastbp._typing import Arrays, Axes
from fastbp.layers.node import Node
from fastbp.network import sharing


class AsLayer:
    """Methods of `Network` that use its nodes: calling it as a layer, computing and showing its nodes."""

    classes: ClassVar[Registry]
    inputs: tuple
    nodes: tuple
    layers: tuple
    _clones: dict
    _probe: Any  # a network with all nodes as outputs

    def __call__(self, *nodes: Node, copy: bool = False) -> Node | tuple[Node, ...]:
        """Use the network as a layer: repeat its nodes on other inputs, with the same layers and parameters.

        A model of these nodes shares this network's parameters. To combine the nodes with other layers that have
        parameters, either pass `copy=True`, or build the whole model first and its parts from it (`Layer.output`).

        Parameters
        ----------
        *nodes : Node
            One node for each input, of its width.
        copy : bool, default=False
            Whether to create new layers that start with the current parameters; this network then does not change.
            All calls before the other model is built share the same new layers.

        Returns
        -------
        Node, or a tuple of them for several outputs
            The outputs of the network for these inputs.

        Examples
        --------
        >>> from fastbp import Dense, Input, Model, Sequential
        >>> body = Sequential(Input(4), Dense(8, "tanh"), Dense(3), seed=0)
        >>> a, b = Input(4), Input(4)
        >>> siamese = Model([a, b], body(a) - body(b))
        >>> siamese.params is body.params
        True
        >>> x = Input(4)
        >>> longer = Model(x, Dense(1)(body(x, copy=True)))
        """
        return sharing.repeated(self, nodes, self._layers_for_calls(copy))

    def _layers_for_calls(self, copy):
        if not copy:
            return {layer: layer for layer in self.layers}
        if any(clone.views is not None for clone in self._clones.values()) or not self._clones:
            self._clones = {layer: layer.clone() for layer in self.layers}
        return self._clones

    def activations(self, X: Arrays, *, check_finite: bool = True) -> dict[str, np.ndarray]:
        """Compute the outputs of all layers, hidden ones too, as `predict` does: without dropout.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
        check_finite : bool, default=True
            Whether a NaN or infinity in X raises.

        Returns
        -------
        dict from str to ndarray of shape (rows, width)
            Outputs by the layer's name, in the order of computation; later calls of a layer are "name:2", "name:3".

        Examples
        --------
        >>> from fastbp import Dense, Input, Sequential
        >>> net = Sequential(Input(4), Dense(8, "tanh"), Dense(3), seed=0)
        >>> {name: Y.shape for name, Y in net.activations(np.ones((5, 4))).items()}
        {'dense_1': (5, 8), 'dense_2': (5, 3)}
        """
        nodes = sharing.named_nodes(self.nodes)
        if self._probe is None:
            self._probe = self.classes["Network"](self.inputs, list(nodes.values()))
        Y = self._probe.predict(X, check_finite=check_finite)
        return dict(zip(nodes, Y if isinstance(Y, tuple) else (Y,), strict=True))

    def table(self) -> list:
        """A title, the column headings, and a row for each node: name, op, width, parameters, parents."""
        from fastbp.network import summary

        return summary.table(self)

    def summary(self) -> str:
        """A table of the nodes: name, op, width, parameters, parents."""
        from fastbp.network import summary

        return summary.to_text(self)

    def to_dot(self) -> str:
        """The graph in the DOT language, for Graphviz."""
        from fastbp.plotting import graph

        return graph.to_dot(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the graph with matplotlib: names, ops, widths.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; new Axes if not given.

        Returns
        -------
        Axes
            The Axes that were drawn on.
        """
        from fastbp.plotting import graph

        return graph.draw(self, ax)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from fastbp.plotting import graph

        return graph.to_html(self)
