"""A fastbp model as a function in PyTorch: the same graph walked by other hands, for outputs and derivatives.

Each layer class has one line. Inference only: dropout is off, BatchNorm takes its running averages.
"""

import itertools

import numpy as np
import pytest

import fastbp as fb
import reference
from fastbp.layers.derivatives import Derivative, Directional, Hessian, Laplacian, LogDet
from fastbp.layers.node import topological_order
from fastbp.layers.parameter import ParameterLayer

torch = pytest.importorskip("torch")
F = torch.nn.functional

# The activations whose name or arguments in PyTorch differ from ours: with their parameters after Z.
ACTIVATIONS = {
    "linear": lambda Z: Z,
    "hard_sigmoid": lambda Z: F.relu6(Z + 3) / 6,
    "gelu_tanh": lambda Z: F.gelu(Z, approximate="tanh"),
    "rrelu": lambda Z, lower, upper: F.leaky_relu(Z, (lower + upper) / 2),
    "softplus": lambda Z, beta: F.softplus(Z, beta, threshold=500),
    "softmax": lambda Z: torch.softmax(Z, dim=-1),
    "softmin": lambda Z: F.softmin(Z, dim=-1),
    "log_softmax": lambda Z: torch.log_softmax(Z, dim=-1),
}


def activation(name: str):
    """An activation in PyTorch: a line of the table, PyTorch's function of this name, else the reference's formula.

    The formula is that of the value only; its slope is PyTorch's.
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    for package, theirs in itertools.product((F, torch), (name, name.replace("_", ""))):
        if hasattr(package, theirs):
            return getattr(package, theirs)
    return formula(name)


def formula(name: str):
    """The reference's formula of an activation, of tensors."""
    return lambda Z, *parameters: reference.activation(name, Formula(Z), *parameters).tensor


class Formula(np.lib.mixins.NDArrayOperatorsMixin):
    """A tensor as NumPy's functions take it: each calls PyTorch's function of its name."""

    def __init__(self, tensor: torch.Tensor, dtype: torch.dtype | None = None) -> None:
        self.tensor, self.dtype = tensor, dtype or tensor.dtype  # of what is true or false: the dtype to compute in

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> "Formula":
        assert (method, options) == ("__call__", {})
        return self.called(ufunc, [torch.as_tensor(tensor_of(x), dtype=self.dtype) for x in inputs])

    def __array_function__(self, function: object, types: object, inputs: tuple, options: dict) -> "Formula":
        return self.called(function, [tensor_of(x) for x in inputs], **options)

    def called(self, function: object, inputs: list, **options: object) -> "Formula":
        name = {"power": "pow"}.get(function.__name__, function.__name__)
        return Formula(getattr(torch, name)(*inputs, **options), self.dtype)


def tensor_of(x: object) -> object:
    """The tensor of a formula; a number as Python has it."""
    return x.tensor if isinstance(x, Formula) else float(x) if isinstance(x, np.floating) else x


def activated(layer, Z):
    return activation(layer.activation)(Z, *layer.function.parameters)


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
    fb.Constant: lambda g, p: torch.ones(g.width, dtype=torch.float64) * torch.tensor(g.value, dtype=torch.float64),
    fb.Divide: lambda g, p, a, b: a / b,
    fb.Power: lambda g, p, x: x**g.exponent,
    fb.Log: lambda g, p, x: torch.log(x),
    fb.Sum: lambda g, p, x: x.sum(-1, keepdim=True),
    fb.Mean: lambda g, p, x: x.mean(-1, keepdim=True),
    ParameterLayer: lambda g, p: p["value"].reshape(-1),
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
