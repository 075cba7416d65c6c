"""A fastbp model as a function in PyTorch: the same graph walked by other hands, for outputs and derivatives.

Each layer class has one line. Inference only: dropout is off, BatchNorm takes its running averages.
"""

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")
F = torch.nn.functional

ACTIVATIONS = {
    "linear": lambda Z, a: Z,
    "sigmoid": lambda Z, a: torch.sigmoid(Z),
    "tanh": lambda Z, a: torch.tanh(Z),
    "relu": lambda Z, a: torch.relu(Z),
    "leaky_relu": lambda Z, a: F.leaky_relu(Z, a),
    "softmax": lambda Z, a: torch.softmax(Z, dim=-1),
}
# A gate by its layer, its parameters by name, and the values of its parents.
LAYERS = {
    fb.Dense: lambda g, p, x: ACTIVATIONS[g.activation](x @ p["W"] + p.get("b", 0), g.alpha),
    fb.Activation: lambda g, p, x: ACTIVATIONS[g.activation](x, g.alpha),
    fb.Dropout: lambda g, p, x: x,
    fb.Add: lambda g, p, *xs: sum(xs),
    fb.Average: lambda g, p, *xs: sum(xs) / len(xs),
    fb.Subtract: lambda g, p, a, b: a - b,
    fb.Multiply: lambda g, p, *xs: torch.stack(torch.broadcast_tensors(*xs)).prod(0),
    fb.Maximum: lambda g, p, *xs: torch.stack(torch.broadcast_tensors(*xs)).amax(0),
    fb.Minimum: lambda g, p, *xs: torch.stack(torch.broadcast_tensors(*xs)).amin(0),
    fb.Concatenate: lambda g, p, *xs: torch.cat(xs, dim=-1),
    fb.Rescaling: lambda g, p, x: g.scale * x + g.offset,
    fb.Slice: lambda g, p, x: x[..., list(range(*slice(*g.ends.values()).indices(x.shape[-1])))],
    fb.Broadcast: lambda g, p, x: x * torch.ones(g.width, dtype=x.dtype),
    fb.Constant: lambda g, p: torch.full((g.width,), g.value, dtype=torch.float64),
    fb.LayerNorm: lambda g, p, x: F.layer_norm(x, x.shape[-1:], p.get("gamma"), p.get("beta"), g.eps),
    fb.RMSNorm: lambda g, p, x: F.rms_norm(x, x.shape[-1:], p.get("gamma"), g.eps),
    fb.BatchNorm: lambda g, p, x: (
        (x - p["mean"]) / torch.sqrt(p["variance"] + g.eps) * p.get("gamma", 1) + p.get("beta", 0)
    ),
}


def parameters(net: fb.Model) -> dict:
    """Tensors by full name, copies of the net's."""
    return {name: torch.tensor(np.array(view)) for name, view in net.arrays().items()}


def evaluate(net: fb.Model, params: dict, *xs) -> tuple:
    """The outputs for tensors xs, of one row or of many."""
    values = dict(zip(net.inputs, xs, strict=True))
    for node in net.nodes:
        if node.layer is not None:
            prefix = f"{node.layer.name}."
            own = {name.removeprefix(prefix): p for name, p in params.items() if name.startswith(prefix)}
            values[node] = LAYERS[type(node.layer)](node.layer, own, *(values[parent] for parent in node.parents))
    return tuple(values[node].expand(*xs[0].shape[:-1], node.width) for node in net.outputs)


def flat(net: fb.Model, tensors: dict) -> np.ndarray:
    return np.concatenate([tensors[name].detach().numpy().reshape(-1) for name in net.arrays()])
