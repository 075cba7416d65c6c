"""A fastbp model as a function in PyTorch: the same graph walked by other hands, for outputs and derivatives.

Each layer class has one line. Inference only: dropout is off, BatchNorm takes its running averages.
"""

import itertools

import numpy as np
import pytest

import fastbp as fb
import reference
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
