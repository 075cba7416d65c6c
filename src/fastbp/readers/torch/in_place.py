"""In-place operations of PyTorch, converted to a graph of values.

After `h.relu_()`, h has the new values wherever it is read later. A tensor that shares memory with h, such as a slice
of it, would have new values too: it is refused if it is read later.
"""

import inspect
import operator
from collections.abc import Callable
from typing import Any

from fastbp.readers.settings import Refused

# Functions and methods whose result may be a view of their input.
VIEWS = {
    "view",
    "reshape",
    "flatten",
    "getitem",
    "chunk",
    "split",
    "expand",
    "contiguous",
    "dropout",
    "float",
    "double",
}
VIEWS |= {"to", "type", "detach", "squeeze", "unsqueeze", "view_as", "expand_as", "narrow", "select", "t", "unbind"}
VIEW_MODULES = {"Identity", "Dropout", "Flatten"}
OPERATORS = {"iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "setitem"}


class Memory:
    """The values of a graph that share memory."""

    def __init__(self, graph: Any, name: Callable, module: Callable):
        self._order = {node: k for k, node in enumerate(graph.nodes)}
        self._name, self._module = name, module
        self._owner: dict = {}

    def changes(self, node: Any) -> Any | None:
        """The node whose value another node changes in place; None if it changes none."""
        if node.op == "call_module":
            module = self._module(node)
            found = bool(getattr(module, "inplace", False))
        elif node.op in ("call_function", "call_method"):
            name = self._name(node)
            found = name in OPERATORS or (name.endswith("_") and not name.endswith("__"))
            found = found or arguments(node).get("inplace") is True
            if name == "setitem" or node.kwargs.get("out") is not None:
                raise Refused(f"{name} writes into a tensor")
        else:
            return None
        first = node.args[0] if node.args else None
        return first if found and hasattr(first, "users") else None

    def note(self, node: Any, changes: bool) -> None:
        """Record that a value may share memory with its operation's first argument; it does if that is changed."""
        first = node.args[0] if node.args else None
        if not hasattr(first, "users"):
            return
        kind = type(self._module(node)).__name__ if node.op == "call_module" else None
        if changes or kind in VIEW_MODULES or (kind is None and self._name(node) in VIEWS):
            self._owner[node] = self.owner(first)

    def owner(self, node: Any) -> Any:
        """The value that owns the memory of a value."""
        return self._owner.get(node, node)

    def changed(self, node: Any, target: Any, values: dict) -> list:
        """The values that `node`, which changes `target`, replaces; refuses changes of a part of other values."""
        old, owner, found = values[target], self.owner(target), []
        for other, value in values.items():
            if other is node or self.owner(other) is not owner:
                continue
            if other is target or value == old:
                found.append(other)
            elif any(self._order[user] > self._order[node] for user in other.users):
                raise Refused(f"{self._name(node)} changes {target} in place, whose memory {other} shares")
        return found


def arguments(node: Any) -> dict[str, Any]:
    """The arguments of a Python function by name; for other functions only keyword arguments."""
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):
        return dict(node.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def tracer(fx: Any, graded: Callable[[], bool]) -> Any:
    """A tracer that records `x += y` as a change of x; torch.fx's own tracer records x + y.

    It refuses operations under `torch.no_grad`, which torch.fx's own does not notice.
    """

    def changing(name: str) -> Callable:
        function = getattr(operator, name)

        def method(self: Any, other: Any) -> Any:
            return self.tracer.create_proxy("call_function", function, (self, other), {})

        return method

    def create_node(self: Any, *args: Any, **kwargs: Any) -> Any:
        node = fx.Tracer.create_node(self, *args, **kwargs)
        if graded() != before:
            raise ValueError(f"{node} is computed under torch.no_grad or enable_grad, which a net here has not")
        return node

    before = graded()
    names = sorted(OPERATORS - {"setitem"})
    proxy = type("Proxy", (fx.Proxy,), {f"__{name}__": changing(name) for name in names})
    return type("Tracer", (fx.Tracer,), {"proxy": lambda self, node: proxy(node, self), "create_node": create_node})()
