"""Recognizes activations that a graph writes out in arithmetic: X * sigmoid(X) is silu.

The graph and the formulas of the writers' tables are brought to one normal form, sums and products with a numeric
factor, and compared. Parameters are read from their places in the formula. Rejected: a rule for each formula in each
reader, which would be a second list.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from fastbp._engine import ACTIVATIONS
from fastbp.layers.dense import PReLU
from fastbp.readers.arithmetic import At
from fastbp.readers.draft import Draft
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.onnx_table import USUAL, Value

STRAIGHT = 20.0  # threshold of PyTorch, above which softplus equals X up to rounding
LIMIT = 16  # maximum number of steps in a formula


class Unknown:
    """A number that depends on the parameters of the activation: one of them, or computed from them."""

    def __init__(self, value: Callable[[tuple], Any], index: int | None = None):
        self.value, self.index = value, index


def _computed(operation: Callable) -> Callable:
    def method(self: Unknown, other: Any = None) -> Unknown:
        if other is None:
            return Unknown(lambda p: operation(self.value(p)))
        return Unknown(lambda p: operation(self.value(p), other.value(p) if isinstance(other, Unknown) else other))

    return method


for _name in ("neg", "add", "sub", "mul", "truediv"):
    _operation = getattr(operator, f"__{_name}__")
    setattr(Unknown, f"__{_name}__", _computed(_operation))
    setattr(Unknown, f"__r{_name}__", _computed(lambda a, b, _operation=_operation: _operation(b, a)))


class Call(NamedTuple):
    """A function of parts."""

    head: str
    parts: tuple


class Product(NamedTuple):
    """A number times parts."""

    head: Any
    parts: tuple


class Sum(NamedTuple):
    """A number and parts added up."""

    head: Any
    parts: tuple


X = Call("X", ())


def _is_number(part: Any) -> bool:
    return isinstance(part, (int, float, np.ndarray, Unknown))


def _merged(kind: type, operation: Callable, start: float) -> Callable:
    """A sum or product, with nested ones flattened; a plain number if all parts are numbers."""

    def make(*parts: Any) -> Any:
        heads, rest = [], []
        for part in parts:
            inner: Any = (part, ()) if _is_number(part) else part if type(part) is kind else (start, (part,))
            heads.append(inner[0])
            rest.extend(inner[1])
        if len(rest) > LIMIT:
            raise ValueError("no formula has as many parts")
        heads = [head for head in heads if not isinstance(head, float) or head != start]
        head = functools.reduce(operation, heads) if heads else start
        return kind(head, tuple(rest)) if rest else head

    return make


_sum = _merged(Sum, operator.add, 0.0)
_product = _merged(Product, operator.mul, 1.0)


def _inverse(part: Any) -> Any:
    if _is_number(part):
        return 1 / part
    head, rest = (part.head, part.parts) if type(part) is Product else (1.0, (part,))
    return Product(1 / head, (Call("inverse", (_product(*rest),)),))


def _power(part: Any, exponent: Any) -> Any:
    if np.size(exponent) == 1 and exponent in (2, 3):
        return _product(*[part] * int(exponent))
    return Call("sqrt", (part,)) if np.size(exponent) == 1 and exponent == 0.5 else Call("pow", (part, exponent))


def _clip(part: Any, *limits: Any) -> Any:
    for limit, name in zip(limits, ("maximum", "minimum"), strict=False):
        part = part if limit is None else Call(name, (part, limit))
    return part


def _condition(condition: Any, A: Any, B: Any) -> tuple:
    """Rewrite "where P <= Q: B, else A" as "where P > Q: A, else B"."""
    turned = isinstance(condition, Call) and condition.head == "le"
    return (Call("gt", condition.parts), B, A) if turned else (condition, A, B)


# Operators on forms: sums, products, and calls of other functions.
ARITHMETIC: dict[str, Callable] = {
    "identity": lambda A: A,
    "cast": lambda A: A,
    "sum": _sum,
    "add": _sum,
    "sub": lambda A, B: _sum(A, _product(-1.0, B)),
    "rsub": lambda A, B: _sum(B, _product(-1.0, A)),
    "mul": _product,
    "div": lambda A, B: _product(A, _inverse(B)),
    "neg": lambda A: _product(-1.0, A),
    "reciprocal": _inverse,
    "square": lambda A: _product(A, A),
    "pow": _power,
    "log1p": lambda A: Call("log", (_sum(A, 1.0),)),
    "expm1": lambda A: _sum(Call("exp", (A,)), -1.0),
    "relu": lambda A: Call("maximum", (A, 0.0)),
    "lt": lambda A, B: Call("gt", (B, A)),
    "le": lambda A, B: Call("le", (A, B)),
    "ge": lambda A, B: Call("le", (B, A)),
    "where": lambda condition, A, B: Call("where", _condition(condition, A, B)),
    "clip": _clip,
}
SYNONYMS = {
    **dict.fromkeys(("iadd",), "add"),
    **dict.fromkeys(("subtract", "isub"), "sub"),
    **dict.fromkeys(("multiply", "imul"), "mul"),
    **dict.fromkeys(("divide", "truediv", "truedivide", "true_divide", "itruediv"), "div"),
    "negative": "neg",
    "power": "pow",
    "max": "maximum",
    "min": "minimum",
    "clamp": "clip",
    "greater": "gt",
    "less": "lt",
    "lessorequal": "le",
    "greaterorequal": "ge",
    "absolute": "abs",
    "bitwise_or": "or",
}
COMMUTE = {"maximum", "minimum", "or"}


def form(name: str, *parts: Any) -> Any:
    """A function of forms and numbers, in normal form."""
    make = ARITHMETIC.get(name)
    return make(*parts) if make else Call(name, parts)


class _Tracer:
    """The graph of a formula of the writers' tables, for the comparison."""

    def __init__(self, dtype: str, opset: int):
        self.dtype, self.opset = np.dtype(dtype), opset

    def code(self, dtype: str) -> int:
        return 0

    def node(self, kind: str, inputs: list, attributes: dict) -> Value:
        name = kind.lower()
        parts = [part.name if isinstance(part, Value) else part for part in inputs]
        return Value(self, form(SYNONYMS.get(name, name), *parts))


class _Functions:
    """Stands for `torch` in the PyTorch formulas."""

    def __getattr__(self, name: str) -> Any:
        return self if name in ("nn", "functional") else lambda A, *others: A.op(name, *others)


# Formulas of other exporters that differ from those of our tables: (X, alpha, beta) -> Y. PyTorch's softplus is the
# identity above a threshold, its parameter beside alpha.
SPELLINGS: list[tuple[str, Callable]] = [
    ("log_sigmoid", lambda X, a, b: X.sigmoid().op("Log")),
    ("leaky_relu", lambda X, a, b: X.where(X.op("Greater", 0.0), X * a)),
    ("softplus", lambda X, a, b: X.where((X * a).op("Greater", b), (X * a).op("Softplus") / a)),
    ("softplus", lambda X, a, b: X.where(X.op("Greater", b), X.op("Softplus"))),
    ("softplus", lambda X, a, b: X.op("Relu") + ((-X.op("Abs")).exp() + 1.0).op("Log")),
    ("softplus", lambda X, a, b: (X.exp() + 1.0).op("Log")),
    ("elu", lambda X, a, b: X.op("Relu") + X.op("Min", 0.0).exp() - 1.0),
    ("soft_shrink", lambda X, a, b: (X - a).where(X.op("Greater", a), 0.0) + (X + a).where(X.op("Less", -a), 0.0)),
    ("soft_shrink", lambda X, a, b: (X - X.op("Sign") * a).where(X.op("Abs").op("Greater", a), X * 0.0)),
    ("hard_shrink", lambda X, a, b: X.where(X.op("Greater", a).op("Or", X.op("Less", -a)), 0.0)),
    ("hard_shrink", lambda X, a, b: X.where(X.op("Abs").op("Greater", a), 0.0)),
]


@functools.cache
def formulas() -> list[tuple[str, Any]]:
    """Activations with their formulas; those with fewer parameters first, since the others may contain them."""
    usual, old = (_Tracer(dtype, USUAL) for dtype in ("float32", "float64"))
    own = [(name, formats.onnx) for name, formats in FORMATS.items()]
    found: list[tuple] = [(name, formula, usual) for name, formula in [*own, *SPELLINGS]]
    found += [(name, formula, old) for name, formula in own]
    for name, formats in FORMATS.items():
        if formats.torch.formula is not None:
            found.append((name, functools.partial(formats.torch.formula, _Functions()), usual))
    parameters = [Unknown(operator.itemgetter(k), k) for k in range(2)]
    traced: list[tuple] = [(name, row(Value(graph, X), *parameters).name) for name, row, graph in found]
    spelled = [(name, made) for name, made in traced if made is not X and not _is_plain(made)]
    return sorted(spelled, key=lambda pair: len(ACTIVATIONS[pair[0]].parameters))


def _is_plain(made: Any) -> bool:
    """Whether it is a single function, which readers know by name."""
    return type(made) is Call and made.parts == (X,)


@functools.cache
def names() -> set[str]:
    """The names of the functions that occur in formulas."""
    found, pending = set(ARITHMETIC), [made for _, made in formulas()]
    while pending:
        part = pending.pop()
        found |= {part.head} if type(part) is Call else set()
        pending += [] if _is_number(part) else part.parts
    return found


def _pairs(wanted: Any, got: Any) -> list | None:
    """The parameters of a formula, by matching it with a form; None if the form is another formula."""
    if _is_number(wanted) or _is_number(got):
        if not (_is_number(wanted) and _is_number(got)):
            return None
        return [(wanted, got)] if isinstance(wanted, Unknown) else [] if _close(wanted, got) else None
    if type(wanted) is not type(got) or len(wanted.parts) != len(got.parts):
        return None
    called = type(wanted) is Call
    heads = ([] if wanted.head == got.head else None) if called else _pairs(wanted.head, got.head)
    if heads is None:
        return None
    any_order = not called or wanted.head in COMMUTE
    for parts in itertools.permutations(got.parts) if any_order and len(got.parts) < 5 else (got.parts,):
        found = [_pairs(*pair) for pair in zip(wanted.parts, parts, strict=True)]
        if None not in found:
            return heads + list(itertools.chain(*found))  # type: ignore[arg-type]
    return None


def _close(a: Any, b: Any) -> bool:
    return np.size(a) == np.size(b) and bool(np.allclose(a, b, rtol=1e-6, atol=0))


def matched(got: Any) -> Iterator[tuple[str, tuple]]:
    """The activations that equal a form, with their parameters: numbers, or arrays with one for each column."""
    for name, wanted in formulas():
        pairs = _pairs(wanted, got)
        if pairs is None:
            continue
        own = [parameter.value for parameter in ACTIVATIONS[name].parameters]
        found = {unknown.index: value for unknown, value in pairs}
        given = [found.get(k, value) for k, value in enumerate([*own, 0.0, 0.0])]
        if name == "softplus" and np.min(found.get(1, STRAIGHT)) < STRAIGHT:
            continue
        if all(_close(unknown.value(given), value) for unknown, value in pairs):
            yield name, tuple(given[: len(own)])


def number(array: Any) -> Any:
    """A constant of a graph: a scalar as it was written, 0.2 instead of 0.20000000298; else an array."""
    array = np.asarray(array)
    return array if array.ndim or array.dtype.kind not in "fiu" else _meant(array)


def _meant(value: Any) -> float:
    return float(str(np.ravel(value)[0]))


class Of(NamedTuple):
    """A value of the graph, by its key, that a function is called on."""

    key: Hashable


class Spelled:
    """The operations and operands of the values of a graph that formulas may contain."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, tuple[str, tuple]] = {}

    def note(self, key: Hashable, name: str, parts: tuple) -> None:
        """Record that a value is a function of other values and numbers."""
        name = SYNONYMS.get(name, name)
        if name in names():
            self._calls[key] = name, parts

    def forget(self, keys: set) -> None:
        """Forget the formulas of values that changed in place, and of values computed from them."""
        for key, (_, parts) in list(self._calls.items()):
            if key in keys or any(isinstance(part, Of) and part.key in keys for part in parts):
                del self._calls[key]

    def activation(self, draft: Draft, key: Hashable, values: Mapping, name: str | None = None) -> At | None:
        """The step of a value that is an activation of another step; the longest formula counts."""
        found = self._before(key)
        calls = {each: self._calls[each] for each in found if each in self._calls}
        for cut in found[:0:-1]:
            x = values.get(cut)
            made = _form_of(key, calls, {cut: X}) if isinstance(x, At) else None
            for activation, given in () if made is None else matched(made):
                at = _activated(draft, cast(At, x), activation, given, name)
                if at is not None:
                    return at
        return None

    def _before(self, key: Hashable) -> list[Hashable]:
        """A value and the values from which it is computed, nearest first, up to a limit."""
        found = [key]
        for each in found:
            parts = self._calls[each][1] if each in self._calls and len(found) < LIMIT else ()
            found += dict.fromkeys(part.key for part in parts if isinstance(part, Of) and part.key not in found)
        return found


def _form_of(key: Hashable, calls: dict[Hashable, tuple[str, tuple]], known: dict[Hashable, Any]) -> Any:
    """The form of a value in terms of `known` values; it is added to these. None if it has no form."""
    if key not in known:
        name, parts = calls.get(key, ("", ()))
        made = [_form_of(part.key, calls, known) if isinstance(part, Of) else part for part in parts]
        lacking = not name or any(new is None and old is not None for new, old in zip(made, parts, strict=True))
        known[key] = None if lacking else _tried(name, made)
    return known[key]


def _tried(name: str, parts: list) -> Any:
    try:
        with np.errstate(all="ignore"):
            return form(name, *parts)
    except (TypeError, ValueError, ArithmeticError):  # arguments that formulas do not have
        return None


def _activated(draft: Draft, x: At, activation: str, given: tuple, name: str | None) -> At | None:
    sizes = {np.size(value) for value in given}
    if activation == "leaky_relu" and isinstance(given[0], np.ndarray) and sizes <= {1, draft.width(x.number)}:
        return At(draft.add(PReLU(*sizes, name=name), x.number, alpha=np.reshape(given[0], -1)))
    if sizes - {1}:
        return None
    values = [_meant(value) for value in given]
    inside = all(p.low <= value <= p.high for p, value in zip(ACTIVATIONS[activation].parameters, values, strict=True))
    return At(draft.activate(x.number, activation, *values, name=name)) if inside else None
