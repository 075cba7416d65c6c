"""`from_torch`: reads PyTorch modules and state dicts.

A module is traced by `torch.fx`, which records what its forward does, so any module of dense layers and gates can be
read, not only a Sequential. Rejected: iterating over the children of a module, whose order does not say what forward
does with them.
"""

import contextlib
import functools
import inspect
import itertools
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastbp import _optional
from fastbp._typing import DTypeLike
from fastbp.inputs import checks
from fastbp.model import Model
from fastbp.readers import comparison
from fastbp.readers.arithmetic import At, Stacked, Unread, Whole
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft, unsupported
from fastbp.readers.formulas import Of, Spelled, number
from fastbp.readers.settings import Refused
from fastbp.readers.torch import modules, state_dict
from fastbp.readers.torch.functions import CLIPS, FUNCTIONS, SAME_WIDTH, call, options
from fastbp.readers.torch.in_place import Memory, tracer
from fastbp.readers.torch.modules import ACTIVATIONS
from fastbp.writers.torch import FORM


def from_torch(
    source: Any,
    activation: str | Sequence[str] | None = None,
    *,
    output_activation: str = "linear",
    inputs: int | Sequence[int] | None = None,
    dtype: DTypeLike | None = None,
    check: bool = True,
) -> Model:
    """Convert a PyTorch module or state dict to a model.

    Parameters
    ----------
    source : torch.nn.Module, state dict, or path of a .safetensors file that holds one
        Linear layers, normalizations, dropout, activations, and in the forward of a module also +, -, *, torch.cat,
        torch.maximum, column slices and similar operations.
    activation : str or list of str, optional
        For a state dict, which has no activations: the activation of all hidden layers, or a list with one for each
        Linear layer. It is applied after a normalization that follows the layer.
    output_activation : str, default="linear"
        The activation of the last layer of a state dict.
    inputs : int or list of int, optional
        Widths of the module's inputs, if its layers do not determine them.
    dtype : {"float32", "float64"}, optional
        The dtype of the model; that of the parameters if not given.
    check : bool, default=True
        Whether the module and the model are compared on a few random rows, in evaluation mode.

    Returns
    -------
    Model
        A Sequential for a chain. Names of modules become names of layers.

    Raises
    ------
    ValueError
        If the module has an operation or a setting without a counterpart in fastbp; the message names it. If `check`
        finds that the outputs of the model and the module differ.
    ModelFormatError
        If the file is damaged.
    TypeError
        If `source` is no module, state dict or path.

    See Also
    --------
    Model.to_torch : The way back.
    from_fann, from_keras, from_onnx, from_sklearn : Readers of other formats.

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
    _optional.package("torch", "from_torch")
    with _evaluating(source):
        net = _Reader(source, inputs).model(dtype)
        if check:
            _compare(net, source)
    return net


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Put the module and its parts in evaluation mode, and restore their modes at the end."""
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _compare(net: Model, module: Any) -> None:
    torch = _optional.package("torch", "from_torch")
    found = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.dtype.is_floating_point]
    dtype, device = (found[0].dtype, found[0].device) if found else (getattr(torch, net.dtype.name), "cpu")
    seeds = itertools.count()

    def evaluate(*xs):
        tensors = [torch.from_numpy(x).to(dtype).to(device) for x in xs]
        plain = torch.autocast(torch.device(device).type, enabled=False)
        with torch.no_grad(), torch.random.fork_rng(devices=[]), plain:
            torch.manual_seed(next(seeds))  # a module with random numbers differs on each call
            try:
                outputs = module(*tensors)
            except (TypeError, RuntimeError):  # an Embedding takes integers only
                whole = [x.long() if (x == x.round()).all() else x for x in tensors]
                outputs = module(*whole)
        outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        return [output.double().cpu().numpy() for output in outputs]

    precision = {torch.float64: "float64", torch.float32: "float32"}.get(dtype, "float16")
    comparison.compare(net, evaluate, FORM, precision)


WIDTHS = ("in_features", "num_features", "normalized_shape")  # attributes of modules with the width of their input
# Lower-case names of functions and methods to classes of torch.nn.
BY_FUNCTION = {row.module.lower(): row.module for row in ACTIVATIONS.values() if row.module}


def _name(node) -> str:
    """The name of the method or function that a node calls, or the path of the module."""
    return node.target if isinstance(node.target, str) else node.target.__name__


def known() -> list[str]:
    """What can be read, for error messages."""
    formulas = [name for name, row in ACTIVATIONS.items() if not row.module]
    return [*modules.known(), *formulas, *FUNCTIONS]


class Fatal(Exception):
    """An error that ends the reading, not only that of its node."""


class _Reader:
    """Goes through the graph that fx traces of a module, and drafts a step for each node."""

    def __init__(self, module, inputs):
        fx = _optional.package("torch.fx", "from_torch")
        nn = _optional.package("torch.nn", "from_torch")
        self.torch = _optional.package("torch", "from_torch")
        try:
            for path, part in module.named_modules():
                modules.refuse_hooks(part, path)
            modules.refuse_ties(module)
        except Refused as error:
            raise unsupported(f"this {type(module).__name__}", FORM, (), str(error)) from None
        if type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential):
            module = nn.Sequential(module)  # a single layer, whose forward fx would trace
        try:
            self.graph = tracer(fx, self.torch.is_grad_enabled).trace(module)
        except Exception as error:  # runs code of the module
            raise ValueError(f"torch.fx cannot trace {type(module).__name__}: {error}") from error
        self.nn, self.map, self.node, self.root = nn, fx.node.map_arg, fx.Node, module
        self.modules = dict(module.named_modules())
        self.spaces = (self.torch, nn.functional, operator)
        self.memory = Memory(self.graph, _name, lambda node: self.modules[node.target])
        self.draft = Draft()
        self.values: dict = {}
        self.layers: dict = {}
        self.spelled = Spelled()
        entries = [node for node in self.graph.nodes if node.op == "placeholder"]
        widths = [None] * len(entries) if inputs is None else checks.one_each(inputs, len(entries), "inputs")
        for node, width in zip(entries, widths, strict=True):
            self.values[node] = At(self.draft.input(width or self.width_of(node), str(node.target)))

    def model(self, dtype) -> Model:
        """The model of the module's outputs."""
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
        """The value of a computed node."""
        if node.op == "get_attr":
            return functools.reduce(getattr, node.target.split("."), self.root)
        try:
            target = self.memory.changes(node)
        except Refused as error:
            raise self.unsupported(node, str(error)) from None
        try:
            value = self.computed(node, target is None)
            value = self.unsupported(node) if value is None else value
            if target is not None:
                self.change(node, target, value if not isinstance(value, ValueError) else Unread(value))
        except Fatal as error:
            raise ValueError(str(error)) from None
        except (Refused, ValueError) as error:
            value = self.unsupported(node, str(error))
        self.memory.note(node, target is not None)
        return Unread(value) if isinstance(value, ValueError) else value

    def change(self, node, target, value) -> None:
        """Replace the tensor that an operation changes in place by its result, for all later nodes."""
        if not isinstance(self.values[target], (At, Unread)):
            raise Fatal(f"{_name(node)} changes {target} in place, which is no step of the net")
        try:
            changed = self.memory.changed(node, target, self.values)
        except Refused as error:  # a tensor that shares the memory is used later
            raise Fatal(str(self.unsupported(node, str(error)))) from None
        self.values.update(dict.fromkeys(changed, value))
        self.spelled.forget({*changed, target})

    def computed(self, node, spelled: bool):
        """The value of a node; formulas may only contain tensors that are not changed in place."""
        activation = self.activation(node) if spelled else None
        if activation is not None:
            return activation
        for parent in node.all_input_nodes:
            if isinstance(self.values[parent], Unread):
                return self.values[parent]
        args, kwargs = self.resolved(node.args), self.resolved(node.kwargs)
        if node.op == "call_module":
            if kwargs:
                raise Refused(f"it is called with {', '.join(kwargs)}")
            return self.called(self.modules[node.target], node.target, args)
        name = _name(node)
        if node.op == "call_function" and not any(getattr(space, name, None) is node.target for space in self.spaces):
            return None  # another package's function of this name
        if name.endswith("_") or name in FUNCTIONS:
            return self.function(name.rstrip("_"), args, kwargs)
        return self.function(name, args, kwargs)

    def activation(self, node) -> At | None:
        """The step of a node that ends the formula of an activation."""
        name, options = _name(node), dict(node.kwargs)
        if node.op == "call_module":
            module = self.modules[node.target]
            plain = (row.module.lower() for row in ACTIVATIONS.values() if modules.is_plain(module, row))
            name = next(plain, "")
        elif options.get("dim", -1) in (1, -1):
            options.pop("dim", None)
        limits = ("min", "max")[len(node.args) - 1 :] if name in CLIPS else ()
        parts = *node.args, *(options.pop(limit, None) for limit in limits)
        if name and not options.keys() - {"inplace"}:
            self.spelled.note(node, name, tuple(map(self.part, parts)))
        return self.spelled.activation(self.draft, node, self.values)

    def part(self, argument) -> Any:
        """An argument in the form that formulas use."""
        value = self.values[argument] if isinstance(argument, self.node) else argument
        if isinstance(value, (At, Unread)):
            return Of(argument)
        return number(as_array(value)) if hasattr(value, "detach") else value

    def function(self, name: str, args: tuple, kwargs: dict):
        """The value of a function, an operator or a method."""
        if name in FUNCTIONS:
            return call(self.draft, name, args, kwargs)
        activation = BY_FUNCTION.get(name.replace("_", ""))
        if activation and args:
            make = getattr(self.nn, activation)
            settings = options(list(inspect.signature(make).parameters), args[1:], kwargs)
            return self.called(make(**settings).eval(), "", args[:1])
        if name in ACTIVATIONS and len(args) == 1 and not kwargs and isinstance(args[0], At):
            return At(self.draft.activate(args[0].number, name))
        return None

    def called(self, module, path: str, args: tuple):
        """The value of a call of a module."""
        kind = type(module).__name__
        table = kind == "Embedding"
        if len(args) == 1 and isinstance(args[0], Stacked) and kind in ("Flatten", "Dropout"):
            made = self.called(module, path, (args[0].at,))
            return made if kind == "Flatten" or made is None else Stacked(made)
        if len(args) != 1 or not isinstance(args[0], (At, Whole) if table else At):
            return None
        x = args[0].number
        shared = (type(module), *map(id, module.parameters())) if any(True for _ in module.parameters()) else path
        if shared in self.layers:  # shared parameters
            at = At(self.draft.add(self.layers[shared], x))
            return Stacked(at) if table else at
        number = modules.read(self.nn, self.draft, module, state_dict.layer_name(path), x)
        if path and number not in (None, x):
            self.layers[shared] = self.draft.layer(number)
        return None if number is None else Stacked(At(number)) if table else At(number)

    def resolved(self, thing):
        """Arguments with the values of the nodes among them."""
        return self.map(thing, self.values.__getitem__)

    def width_of(self, entry) -> int:
        """The width of an input, from the modules that read it."""
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
                if (
                    module is not None
                    or name in SAME_WIDTH
                    or name in ACTIVATIONS
                    or name.replace("_", "") in BY_FUNCTION
                ):
                    pending.append(user)
        raise ValueError(f"the layers do not say how wide input {entry.target!r} is: from_torch(..., inputs=)")

    def unsupported(self, node, why: str = "") -> ValueError:
        """The error for a node without counterpart."""
        if node.op == "call_module":
            what = f"layer {node.target!r} ({self.modules[node.target]!r})"
            name = type(self.modules[node.target]).__name__
        else:
            what = f"{_name(node)}{node.args!r} (node {node.name})"
            name = _name(node)
        if not why and name in known():
            why = f"it is read, but not of {self.described(node)}"
        return unsupported(what, FORM, known(), why)

    def described(self, node) -> str:
        """The arguments of a node, with the reader's values."""
        values = self.resolved([*node.args, *node.kwargs.values()])
        return ", ".join(self.described_one(value) for value in values) or "nothing"

    def described_one(self, value: Any) -> str:
        if isinstance(value, At):
            return f"{self.draft.width(value.number)} columns"
        if isinstance(value, (Whole, Stacked)):
            return "columns of whole numbers" if isinstance(value, Whole) else "rows of a table, of three dimensions"
        return f"a tensor of shape {tuple(value.shape)}" if hasattr(value, "detach") else f"{value!r:.60}"
