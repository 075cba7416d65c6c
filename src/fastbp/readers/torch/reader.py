"""`from_torch`: reads PyTorch modules and state dicts.

A module is traced by `torch.fx`, which records what its forward does, so any module of dense layers and gates can be
read, not only a Sequential. Rejected: iterating over the children of a module, whose order does not say what forward
does with them.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastbp import _optional
from fastbp._engine import ACTIVATIONS as OWN
from fastbp._typing import DTypeLike
from fastbp.inputs import checks
from fastbp.layers.dense import Dense, Dropout, PReLU
from fastbp.layers.embedding import Embedding
from fastbp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.model import Model
from fastbp.readers.arithmetic import At, Unread
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.formulas import Of, Spelled, number
from fastbp.readers.torch import state_dict
from fastbp.readers.torch.functions import CLIPS, FUNCTIONS, SAME_WIDTH, call
from fastbp.readers.torch.state_dict import dense_arrays
from fastbp.writers.torch import ACTIVATIONS, AFFINE, FORM


def from_torch(
    source: Any,
    activation: str | Sequence[str] | None = None,
    *,
    output_activation: str = "linear",
    inputs: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
) -> Model:
    """Convert a PyTorch module or state dict to a model.

    Parameters
    ----------
    source : torch.nn.Module, state dict, or path of a .safetensors file that holds one
        Linear layers, normalizations, dropout, activations, and in the forward of a module also +, -, *, torch.cat,
        torch.maximum, column slices and the like.
    activation : str or list of str, optional
        For a state dict, which has no activations: that of the hidden layers, applied after a normalization that
        follows the layer, or one for each Linear layer.
    output_activation : str, default="linear"
        The activation of the last layer of a state dict.
    inputs : int or list of int, optional
        Widths of the module's inputs, if its layers do not determine them.
    dtype : {"float32", "float64"}, optional
        dtype of the model; that of the parameters if not given.

    Returns
    -------
    Model
        A Sequential for a chain. Names of modules become names of layers.

    Raises
    ------
    ValueError
        If the module does something that no layer of fastbp does; the message names it.
    ModelFormatError
        If the file is damaged.

    Examples
    --------
    >>> import numpy as np
    >>> state = {"0.weight": np.ones((3, 2)), "0.bias": np.zeros(3), "2.weight": np.ones((1, 3))}
    >>> net = from_torch(state, "relu")
    >>> net.predict([[1.0, 2.0]])
    array([[9.]])
    """
    if isinstance(source, (str, os.PathLike)):
        source = state_dict.from_file(source)
    if isinstance(source, Mapping):
        return state_dict.from_state(source, activation, output_activation, dtype)
    if not hasattr(source, "named_modules") or not hasattr(source, "forward"):
        raise TypeError(f"from_torch wants a module, a state dict or a path, got {type(source).__name__}")
    if activation is not None:
        raise ValueError("a module has its own activations; activation= is for a state dict")
    return _Reader(source, inputs).model(dtype)


# Modules of torch.nn: a row a class, from a module and its input to a step.


def _linear(draft, module, name, x):
    bias = None if module.bias is None else as_array(module.bias)
    layer = Dense(module.out_features, bias=bias is not None, name=name, trainable=_trainable(module))
    return draft.add(layer, x, **dense_arrays(as_array(module.weight), bias))


def _norm(make, own: dict[str, str], *settings: str):
    def read(draft, module, name, x):
        found = {ours: getattr(module, theirs, None) for ours, theirs in own.items()}
        given = {ours: as_array(tensor) for ours, tensor in found.items() if tensor is not None}
        if None in [getattr(module, key) for key in settings] or ("mean" in own and "mean" not in given):
            return None  # averages of all batches, or none
        if "gamma" in given and "beta" not in given:
            given["beta"] = np.zeros_like(given["gamma"])
        dtypes = [array.dtype for array in given.values()] or [np.dtype(np.float32)]
        eps = np.finfo(dtypes[0]).eps if module.eps is None else module.eps  # RMSNorm knows it by its input's
        layer = make(
            *(getattr(module, key) for key in settings),
            float(eps),
            affine="gamma" in given,
            name=name,
            trainable=_trainable(module),
        )
        return draft.add(layer, x, **given)

    return read


def _prelu(draft, module, name, x):
    layer = PReLU(module.num_parameters, name=name, trainable=_trainable(module))
    return draft.add(layer, x, alpha=as_array(module.weight))


def _trainable(module) -> bool:
    found = list(module.parameters())
    return not found or any(parameter.requires_grad for parameter in found)


def _embedding(draft, module, name, x):
    if module.max_norm is not None:
        return None
    rows, width = module.weight.shape
    layer = Embedding(rows, width, name=name, trainable=_trainable(module))
    return draft.add(layer, x, W=as_array(module.weight))


STATISTICS = {"mean": "running_mean", "variance": "running_var"}
MODULES = {
    "Linear": _linear,
    "BatchNorm1d": _norm(BatchNorm, {**AFFINE, **STATISTICS}, "momentum"),
    "LayerNorm": _norm(LayerNorm, AFFINE),
    "RMSNorm": _norm(RMSNorm, {"gamma": "weight"}),
    "Embedding": _embedding,
    "PReLU": _prelu,
    "Dropout": lambda draft, module, name, x: draft.add(Dropout(module.p, name=name), x),
    "Flatten": lambda draft, module, name, x: x if module.start_dim == 1 else None,
    "Identity": lambda draft, module, name, x: x,
}
WIDTHS = ("in_features", "num_features", "normalized_shape")  # what modules call the width of their input
# Names of functions and methods, which have no capitals, to classes of torch.nn.
BY_FUNCTION = {row.module.lower(): row.module for row in ACTIVATIONS.values() if row.module}


def _activate(draft, module, name, x):
    """An activation, if its arguments are those of a row."""
    for activation, row in ACTIVATIONS.items():
        if row.module == type(module).__name__ and activation in OWN and _agrees(module, row):
            return draft.activate(x, activation, *(float(getattr(module, key)) for key in row.names), name=name)
    return None


def _agrees(module, row) -> bool:
    dim = getattr(module, "dim", -1)
    others = {key: value for key, value in row.fixed.items() if key not in ("dim", "threshold")}
    return dim in (1, -1, None) and all(getattr(module, key) == value for key, value in others.items())


def _is_plain(module, row) -> bool:
    """Whether a module is this row's, which has no parameters."""
    return row.module == type(module).__name__ and not row.names and _agrees(module, row)


def _name(node) -> str:
    """The name of what a node calls: of a method, of a function, the path of a module."""
    return node.target if isinstance(node.target, str) else node.target.__name__


def known() -> list[str]:
    """The supported names, for error messages."""
    rows = [row.module or name for name, row in ACTIVATIONS.items() if name in OWN]
    return [*MODULES, *rows, *FUNCTIONS]


class _Reader:
    """Walks the graph that fx draws of a module, and drafts a step for each node."""

    def __init__(self, module, inputs):
        fx = _optional.package("torch.fx", "from_torch")
        nn = _optional.package("torch.nn", "from_torch")
        if type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential):
            module = nn.Sequential(module)  # one layer, which fx would look into
        try:
            self.graph = fx.Tracer().trace(module)
        except Exception as error:  # the module's own code runs here
            raise ValueError(f"torch.fx cannot trace {type(module).__name__}: {error}") from error
        self.nn, self.map, self.node, self.root = nn, fx.node.map_arg, fx.Node, module
        self.modules = dict(module.named_modules())
        self.draft = Draft()
        self.values: dict = {}
        self.layers: dict = {}
        self.spelled = Spelled()
        entries = [node for node in self.graph.nodes if node.op == "placeholder"]
        widths = [None] * len(entries) if inputs is None else checks.one_each(inputs, len(entries), "inputs")
        for node, width in zip(entries, widths, strict=True):
            self.values[node] = At(self.draft.input(width or self.width_of(node), str(node.target)))

    def model(self, dtype) -> Model:
        """The model of what the module returns."""
        *computed, output = self.graph.nodes
        for node in computed:
            if node.op != "placeholder":
                self.values[node] = self.read(node)
        returned = self.resolved(output.args[0])
        returned = list(returned.values()) if isinstance(returned, dict) else returned
        outputs = returned if isinstance(returned, (tuple, list)) else [returned]
        for value in outputs:
            if isinstance(value, Unread):
                raise value.error
        if not outputs or not all(isinstance(value, At) for value in outputs):
            raise self.unsupported(output)
        return self.draft.model([value.number for value in outputs], dtype)

    def read(self, node):
        """The value of a node that is computed."""
        if node.op == "get_attr":
            return functools.reduce(getattr, node.target.split("."), self.root)
        activation = self.activation(node)
        if activation is not None:
            return activation
        for parent in node.all_input_nodes:
            if isinstance(self.values[parent], Unread):
                return self.values[parent]
        args = self.resolved(node.args)
        if node.op == "call_module":
            value = self.called(self.modules[node.target], node.target, args)
        else:
            value = self.function(_name(node), args, self.resolved(node.kwargs))
        return Unread(self.unsupported(node)) if value is None else value

    def activation(self, node) -> At | None:
        """The step of a node that ends the formula of an activation."""
        name, options = _name(node), dict(node.kwargs)
        if node.op == "call_module":
            module = self.modules[node.target]
            name = next((row.module.lower() for row in ACTIVATIONS.values() if _is_plain(module, row)), "")
        elif options.get("dim", -1) in (1, -1):
            options.pop("dim", None)
        limits = ("min", "max")[len(node.args) - 1 :] if name in CLIPS else ()
        parts = *node.args, *(options.pop(limit, None) for limit in limits)
        if name and not options.keys() - {"inplace"}:
            self.spelled.note(node, name, tuple(map(self.part, parts)))
        return self.spelled.activation(self.draft, node, self.values)

    def part(self, argument) -> Any:
        """An argument as formulas have it."""
        value = self.values[argument] if isinstance(argument, self.node) else argument
        if isinstance(value, (At, Unread)):
            return Of(argument)
        return number(as_array(value)) if hasattr(value, "detach") else value

    def function(self, name: str, args: tuple, kwargs: dict):
        """The value of a function, an operator or a method."""
        if name in FUNCTIONS:
            return call(self.draft, name, args, kwargs)
        activation = BY_FUNCTION.get(name.replace("_", ""))
        if activation:
            options = {key: value for key, value in kwargs.items() if key not in ("_stacklevel", "dtype")}
            return self.called(getattr(self.nn, activation)(*args[1:], **options), "", args[:1])
        if name in OWN and len(args) == 1:
            return At(self.draft.activate(args[0].number, name))
        return None

    def called(self, module, path: str, args: tuple):
        """The value of a module."""
        if len(args) != 1 or not isinstance(args[0], At) or not type(module).__module__.startswith("torch.nn"):
            return None
        x = args[0].number
        if path in self.layers:  # called before: the same parameters
            return At(self.draft.add(self.layers[path], x))
        read = MODULES.get(type(module).__name__, _activate)
        number = read(self.draft, module, state_dict.layer_name(path), x)
        if path and number not in (None, x):
            self.layers[path] = self.draft.layer(number)
        return None if number is None else At(number)

    def resolved(self, thing):
        """Arguments with the values of the nodes among them."""
        return self.map(thing, self.values.__getitem__)

    def width_of(self, entry) -> int:
        """The width of an input, from what reads it."""
        pending, seen = [entry], set()
        while pending:
            node = pending.pop(0)
            if node in seen:
                continue
            seen.add(node)
            for user in node.users:
                module = self.modules.get(user.target) if user.op == "call_module" else None
                for key in WIDTHS:
                    if hasattr(module, key):
                        width = getattr(module, key)
                        return width if isinstance(width, int) else width[-1]
                name = _name(user)
                if module is not None or name in SAME_WIDTH or name.replace("_", "") in BY_FUNCTION:
                    pending.append(user)
        raise ValueError(f"the layers do not say how wide input {entry.target!r} is: from_torch(..., inputs=)")

    def unsupported(self, node) -> ValueError:
        """The error for a node without counterpart."""
        if node.op == "call_module":
            what = f"layer {node.target!r} ({self.modules[node.target]!r})"
        else:
            what = f"{_name(node)}{node.args!r} (node {node.name})"
        return unsupported(what, FORM, known())
