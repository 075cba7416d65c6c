"""A small net of dense layers and activations: forward, backward, and the twin of a net of fastbp's."""

from dataclasses import dataclass, field

import numpy as np

from reference.activations import activation, activation_vjp


@dataclass
class Op:
    """One node: a dense layer (W not None) and its activation, or an activation alone (W None)."""

    source: int
    target: int
    activation: str = "linear"
    parameters: tuple[float, ...] = ()
    W: np.ndarray | None = None
    b: np.ndarray | None = None
    key: int = -1  # where dW and db are summed; ops that share a layer share the key


@dataclass
class Net:
    """Ops in topological order over numbered tensors; forward keeps every Z and Y, backward reads them."""

    inputs: list[int]
    outputs: list[int]
    ops: list[Op]
    Z: dict[int, np.ndarray] = field(default_factory=dict)
    Y: dict[int, np.ndarray] = field(default_factory=dict)

    def forward(self, *xs: np.ndarray) -> list[np.ndarray]:
        self.Y = {number: np.asarray(x, dtype=np.float64) for number, x in zip(self.inputs, xs, strict=True)}
        for op in self.ops:
            Z = self.Y[op.source] if op.W is None else self.Y[op.source] @ op.W
            self.Z[op.target] = Z if op.b is None else Z + op.b
            self.Y[op.target] = activation(op.activation, self.Z[op.target], *op.parameters)
        return [self.Y[number] for number in self.outputs]

    def backward(self, *dys: np.ndarray) -> tuple[list[np.ndarray], dict[int, tuple[np.ndarray, np.ndarray]]]:
        """(dX of each input, {key: (dW, db)})."""
        dY = {number: np.zeros_like(Y) for number, Y in self.Y.items()}
        for number, dy in zip(self.outputs, dys, strict=True):
            dY[number] = dY[number] + dy
        sums: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for op in reversed(self.ops):
            dZ = activation_vjp(op.activation, dY[op.target], self.Z[op.target], *op.parameters)
            if op.W is not None:
                dW, db = sums.get(op.key, (0, 0))
                sums[op.key] = dW + self.Y[op.source].T @ dZ, db + dZ.sum(axis=0)
                dZ = dZ @ op.W.T
            dY[op.source] = dY[op.source] + dZ
        return [dY[number] for number in self.inputs], sums


def mirror(net) -> tuple[Net, list]:
    """The reference net of a fastbp model without dropout, and the layers in the order of the keys."""
    numbers = {id(node): number for number, node in enumerate(net.nodes)}
    layers, ops = [], []
    for node in net.nodes:
        if not node.parents:
            continue
        function = node.layer.function
        op = Op(numbers[id(node.parents[0])], numbers[id(node)], function.name, function.parameters)
        if node.layer.kind == "dense":
            if node.layer not in layers:
                layers.append(node.layer)
            op.key = layers.index(node.layer)
            op.W = np.array(node.layer.W, dtype=np.float64)
            op.b = None if node.layer.b is None else np.array(node.layer.b, dtype=np.float64)
        ops.append(op)
    return Net([numbers[id(n)] for n in net.inputs], [numbers[id(n)] for n in net.outputs], ops), layers
