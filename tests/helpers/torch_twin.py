"""A fastbp model as a function in PyTorch: the same graph walked by other hands, for outputs and derivatives.

Each layer class has one line. Inference only: dropout is off, BatchNorm takes its running averages.
"""

import numpy as np
import pytest

import fastbp as fb
from fastbp.layers.derivatives import Derivative, Directional, Hessian, Laplacian, LogDet
from fastbp.layers.node import topological_order

torch = pytest.importorskip("torch")
F = torch.nn.functional

# The activations with their parameters after Z; where PyTorch has none of the kind, its formula.
ACTIVATIONS = {
    "linear": lambda Z: Z,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "elliot": lambda Z: 0.5 + 0.5 * F.softsign(Z),
    "hard_sigmoid": lambda Z: F.relu6(Z + 3) / 6,
    "hard_tanh": F.hardtanh,
    "gaussian": lambda Z: torch.exp(-Z * Z),
    "relu": torch.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "rrelu": lambda Z, lower, upper: F.leaky_relu(Z, (lower + upper) / 2),
    "threshold": F.threshold,
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "softplus": lambda Z, beta: F.softplus(Z, beta, threshold=500),
    "squareplus": lambda Z, b: (Z + torch.sqrt(Z * Z + b)) / 2,
    "abs": torch.abs,
    "square": torch.square,
    "exp": torch.exp,
    "silu": F.silu,
    "quick_gelu": lambda Z: Z * torch.sigmoid(1.702 * Z),
    "gelu_tanh": lambda Z: F.gelu(Z, approximate="tanh"),
    "gelu": F.gelu,
    "mish": F.mish,
    "hard_swish": F.hardswish,
    "tanh_shrink": F.tanhshrink,
    "soft_shrink": F.softshrink,
    "hard_shrink": F.hardshrink,
    "sin": torch.sin,
    "cos": torch.cos,
    "softmax": lambda Z: torch.softmax(Z, dim=-1),
    "softmin": lambda Z: F.softmin(Z, dim=-1),
    "log_softmax": lambda Z: F.log_softmax(Z, dim=-1),
}


def activated(layer, Z):
    return ACTIVATIONS[layer.activation](Z, *layer.function.parameters)


def layer_norm(x, eps):
    """By its formula: the third derivative of PyTorch's own (2.9, torch.func) is not that of its second."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)


# A gate by its layer, its parameters by name, and the values of its parents.
LAYERS = {
    fb.Dense: lambda g, p, x: activated(g, x @ p["W"] + p.get("b", 0)),
    fb.Activation: lambda g, p, x: activated(g, x),
    fb.PReLU: lambda g, p, x: torch.where(x > 0, x, p["alpha"] * x),
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
    fb.LayerNorm: lambda g, p, x: layer_norm(x, g.eps) * p.get("gamma", 1) + p.get("beta", 0),
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
    if any(isinstance(node.layer, Derivative) for node in net.nodes) and xs[0].ndim > 1:
        return torch.func.vmap(lambda *rows: evaluate(net, params, *rows))(*xs)
    values = dict(zip(net.inputs, xs, strict=True))
    outs = (value_of(node, params, values) for node in net.outputs)
    return tuple(out.expand(*xs[0].shape[:-1], node.width) for out, node in zip(outs, net.outputs, strict=True))


def value_of(node, params: dict, values: dict):
    """The value of a node; a derivative is that of a function of its input, by torch.func."""
    for each in topological_order([node]):
        if each in values:
            continue
        if isinstance(each.layer, Derivative):
            values[each] = derivative(each, params, values)
            continue
        prefix = f"{each.layer.name}."
        own = {name.removeprefix(prefix): p for name, p in params.items() if name.startswith(prefix)}
        values[each] = LAYERS[type(each.layer)](each.layer, own, *(values[parent] for parent in each.parents))
    return values[node]


def derivative(node, params: dict, values: dict):
    layer, (u, source) = node.layer, node.parents[:2]
    columns = layer.columns_in(source.width)
    start = {input_: value for input_, value in values.items() if input_.layer is None}

    def function(part):
        x = values[source].clone().index_put((torch.tensor(columns),), part)
        return value_of(u, params, {**start, source: x}).expand(u.width)

    at = values[source][columns]
    if isinstance(layer, (Hessian, Laplacian)):
        H = torch.func.jacrev(torch.func.jacrev(function))(at)
        return H.reshape(-1) if isinstance(layer, Hessian) else torch.einsum("oii->o", H)
    J = torch.func.jacrev(function)(at)
    if isinstance(layer, LogDet):
        return torch.linalg.slogdet(J)[1].reshape(1)
    if isinstance(layer, Directional):
        along = values[node.parents[2]] if len(node.parents) > 2 else torch.tensor(layer.along, dtype=J.dtype)
        return J @ along
    return J.reshape(-1)


def flat(net: fb.Model, tensors: dict) -> np.ndarray:
    return np.concatenate([tensors[name].detach().numpy().reshape(-1) for name in net.arrays()])
