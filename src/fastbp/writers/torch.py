"""Writer of PyTorch modules, with the table of kinds of op; `activation_formats` has the activations.

Both tables are used in both directions: `from_torch` recognizes what `to_torch` writes. A chain becomes a Sequential,
any other graph a `torch.fx.GraphModule`, whose code can be read and saved. Rejected: a custom module class that
traverses the graph, which PyTorch's exporters could not trace.
"""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from fastbp import _optional
from fastbp.network.network import Network
from fastbp.writers import steps
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.derivative_steps import Part
from fastbp.writers.steps import Step

FORM = "PyTorch"


class Module(NamedTuple):
    """A layer in PyTorch: how its module is made, and the module's names of our parameters."""

    make: Callable  # (torch.nn, step) -> module
    states: dict[str, str]


def _linear(nn, step):
    inputs, units = step.arrays["W"].shape
    return nn.Linear(inputs, units, bias="b" in step.arrays)


AFFINE = {"gamma": "weight", "beta": "bias"}
MODULES = {
    "dense": Module(_linear, {"W": "weight", "b": "bias"}),
    "embedding": Module(lambda nn, step: nn.Embedding(*step.arrays["W"].shape), {"W": "weight"}),
    "prelu": Module(lambda nn, step: nn.PReLU(step.arrays["alpha"].size), {"alpha": "weight"}),
    "dropout": Module(lambda nn, step: nn.Dropout(step.layer.rate), {}),
    "layer_norm": Module(lambda nn, step: nn.LayerNorm(step.width, step.alpha, "gamma" in step.arrays), AFFINE),
    "rms_norm": Module(lambda nn, step: nn.RMSNorm(step.width, step.alpha, "gamma" in step.arrays), AFFINE),
    "batch_norm": Module(
        lambda nn, step: nn.BatchNorm1d(step.width, step.alpha, step.beta, "gamma" in step.arrays),
        {**AFFINE, "mean": "running_mean", "variance": "running_var"},
    ),
}


def _slice(torch, step, X):
    columns = step.columns()
    return X[:, columns.start : columns.stop : columns.step] if columns.step > 0 else X[:, list(columns)]


def _constant(torch, step, X):
    if "values" in step.settings:
        return torch.zeros_like(X[:, :1]) + X.new_tensor(step.settings["values"])
    return torch.full_like(X[:, :1], step.alpha).expand(-1, step.width)


def _scatter(torch, step, X):
    first, stride = step.settings["first"], step.settings["step"]
    zero, places = torch.zeros_like(X[:, :1]), {first + j * stride: j for j in range(step.settings["size"])}
    parts = [X[:, places[k] : places[k] + 1] if k in places else zero for k in range(step.width)]
    return torch.cat(parts, dim=1)


def _inverse(torch, step, *Xs):
    return torch.linalg.inv(torch.stack(Xs, dim=2)).transpose(1, 2).flatten(1)


def _square_product(torch, step, *Xs):
    size = step.settings["first"]
    A, B = (X.unflatten(1, (size, size)) for X in Xs)
    return torch.matmul(A, B.transpose(1, 2) if step.settings["step"] == 2 else B).flatten(1)


def _slope_gelu(torch, step, X, Y):
    density = torch.exp(X * X * -0.5) * (2 * math.pi) ** -0.5
    return 0.5 * torch.erfc(X * -math.sqrt(0.5)) + X * density


# kind: (torch, step, one tensor for each parent) -> tensor
GATES: dict[str, Callable] = {
    "affine": lambda torch, step, X: X * step.alpha + step.beta,
    "add": lambda torch, step, *Xs: _scaled(sum(Xs[1:], Xs[0]), step.alpha),
    "subtract": lambda torch, step, A, B: A - B,
    "multiply": lambda torch, step, *Xs: math.prod(Xs[1:], start=Xs[0]),
    "maximum": lambda torch, step, *Xs: functools.reduce(torch.maximum, Xs),
    "minimum": lambda torch, step, *Xs: functools.reduce(torch.minimum, Xs),
    "concatenate": lambda torch, step, *Xs: torch.cat(Xs, dim=1),
    "slice": _slice,
    "broadcast": lambda torch, step, X: X.expand(-1, step.width),
    "constant": _constant,
    "divide": lambda torch, step, A, B: A / B,
    "power": lambda torch, step, X: torch.sqrt(X) if step.alpha == 0.5 else torch.pow(X, step.alpha),
    "log": lambda torch, step, X: torch.log(X),
    "sum": lambda torch, step, X: _scaled(torch.sum(X, dim=1, keepdim=True), step.alpha),
    "scatter": _scatter,
    "interleave": lambda torch, step, *Xs: torch.stack(Xs, dim=2).flatten(1),
    "log_det": lambda torch, step, *Xs: torch.linalg.slogdet(torch.stack(Xs, dim=2))[1].unsqueeze(1),
    "inverse": _inverse,
    "square_product": _square_product,
    "slope_threshold": lambda torch, step, X, Y: torch.gt(X, step.alpha).to(X.dtype),
    "slope_gelu": _slope_gelu,
}
# Ops of derivatives that share a layer's parameters: (torch, step, its parameters in PyTorch, tensors) -> tensor
SHARED: dict[str, Callable] = {
    "dense": lambda torch, step, p, X: torch.nn.functional.linear(X, p["W"]),
    "weight_row": lambda torch, step, p, X: torch.zeros_like(X[:, :1]) + p["W"][:, step.settings["first"]] * step.alpha,
    "transposed": lambda torch, step, p, X: torch.matmul(X, p["W"]),
    "scale": lambda torch, step, p, X: X * p["gamma"] + p["beta"] if "beta" in p else X * p["gamma"],
    "prelu": lambda torch, step, p, Z, T: torch.where(torch.gt(Z, 0), T, T * p["alpha"]),
}
IMPOSSIBLE = {"python": "its functions know NumPy only"}
KINDS = {"activation", "derivative", "parameter", *MODULES, *GATES, *SHARED}


def _scaled(X, scale):
    return X if scale == 1 else X * scale


def to_torch(net: Network):
    """The implementation of `Model.to_torch`."""
    torch = _optional.package("torch", "to_torch")
    found = steps.require(net, FORM, KINDS, IMPOSSIBLE)
    inputs, outputs = steps.ends(net, KINDS)
    writer = _Writer(torch, net.dtype, [found[k] for k in inputs])
    for step in found:
        writer.write(step)
    return writer.module(outputs).eval()


class _Writer:
    """The graph of torch.fx that a net becomes, and the modules it calls."""

    def __init__(self, torch, dtype, inputs: list[Step]):
        fx = _optional.package("torch.fx", "to_torch")
        self.torch, self.fx, self.dtype = torch, fx, getattr(torch, dtype.name)
        self.modules: dict = {}
        self.graph = fx.Graph()
        tracer = fx.proxy.GraphAppendingTracer(self.graph)
        self.proxy = lambda node: fx.Proxy(node, tracer)
        self.values = {step.number: self.proxy(self.graph.placeholder(_name(step.name))) for step in inputs}
        self.rows = self.values[inputs[0].number]

    def write(self, step: Step) -> None:
        """Add the nodes and modules of a step."""
        Xs = [self.values[parent] for parent in step.parents] or [self.rows]
        if step.kind in SHARED and (step.kind not in MODULES or self.apart(step)):
            Y = SHARED[step.kind](self.torch, step, self.shared(step), *Xs)
        elif step.kind in MODULES:
            embeds = step.kind == "embedding"
            name = _name(step.layer.name) if step.arrays else _name(step.name)
            Y = self.call(name, lambda: self.made(step), Xs[0].long() if embeds else Xs[0])
            Y = Y.flatten(1) if embeds else Y
            if step.settings.get("activation", "linear") != "linear":
                Y = self.activate(step, f"{_name(step.name)}_{step.settings['activation']}", Y)
        elif step.kind == "activation":
            name = f"{step.name}_{step.settings['activation']}" if isinstance(step.layer, Part) else step.name
            Y = self.activate(step, _name(name), Xs[0])
        elif step.kind == "parameter":
            Y = self.torch.zeros_like(self.rows[:, :1]) + self.parameter(step)
        elif step.kind in GATES:
            Y = GATES[step.kind](self.torch, step, *Xs)
        else:
            return
        self.values[step.number] = Y

    def activate(self, step: Step, name: str, X):
        """The activation of a step."""
        row = FORMATS[step.settings["activation"]].torch
        if row.formula is not None:
            return row.formula(self.torch, X, step.alpha, step.beta)
        options = dict(zip(row.names, (step.alpha, step.beta), strict=False))
        return self.call(name, lambda: getattr(self.torch.nn, row.module)(**options, **row.fixed), X)

    def apart(self, step: Step) -> bool:
        """Whether an op of a derivative uses parameters of a layer without being a call of the layer."""
        return len(step.parents) > 1 or (step.kind == "dense" and "b" in step.layer.views and "b" not in step.arrays)

    def shared(self, step: Step) -> dict:
        """The parameters of an op in the module of its layer; the module is created if there is none."""
        layer, name = step.layer, _name(step.layer.name)
        if name not in self.modules:
            arrays = {each: layer.views[each] for each in layer.fixed_shapes}
            whole = step._replace(kind=layer.kind, settings=layer.op(0, step.width), arrays=arrays)
            self.modules[name] = self.made(whole)
        states = MODULES[layer.kind].states
        return {each: self.proxy(self.graph.get_attr(f"{name}.{states[each]}")) for each in step.arrays}

    def made(self, step: Step):
        """The module of a layer, with copies of its parameters."""
        make, states = MODULES[step.kind]
        module = make(self.torch.nn, step).to(self.dtype)
        turned = {states[name]: _turned(step, array).copy() for name, array in step.arrays.items()}
        tensors = {name: self.torch.from_numpy(array) for name, array in turned.items()}
        module.load_state_dict(tensors, strict=False)  # torch.nn also has a counter of batches
        return module.requires_grad_(step.layer.trainable)

    def parameter(self, step: Step):
        """A parameter outside of all modules, with a copy of the value."""
        name, layer = _name(step.layer.name), step.layer
        if name not in self.modules:
            value = self.torch.tensor(step.arrays["value"].tolist(), dtype=self.dtype)
            self.modules[name] = self.torch.nn.Parameter(value, requires_grad=layer.trainable)
        return self.proxy(self.graph.get_attr(name))

    def call(self, name: str, make: Callable, X):
        """A call of the module of this name; the module is created if there is none."""
        if name not in self.modules:
            self.modules[name] = make()
        return self.proxy(self.graph.call_module(name, (X.node,)))

    def module(self, outputs: list[int]):
        """The complete module: a Sequential if each module is called on the output of the one before."""
        nodes = [self.values[k].node for k in outputs]
        self.graph.output(nodes[0] if len(nodes) == 1 else tuple(nodes))
        first, *calls, last = self.graph.nodes
        chained = all(node.op == "call_module" and node.args == (node.prev,) for node in calls)
        if chained and last.args == (calls[-1] if calls else first,) and len(calls) == len(self.modules):
            return self.torch.nn.Sequential(OrderedDict(self.modules))
        shared = [str(node.target) for node in self.graph.nodes if node.op == "get_attr" and "." in str(node.target)]
        parts = {target: self.modules[target.split(".")[0]].get_parameter(target.split(".")[1]) for target in shared}
        return self.fx.GraphModule({**self.modules, **parts}, self.graph)


def _turned(step: Step, array):
    """A parameter in PyTorch's layout: weights are (outputs, inputs)."""
    return array.T if step.kind == "dense" else array


def _name(name: str) -> str:
    """A name that a module may have: without dots, which join module names."""
    return name.replace(".", "_")
