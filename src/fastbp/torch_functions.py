"""What functions, operators and methods of PyTorch are here: a row a name, from what fx writes down to steps.

A name stands for the function of torch, of torch.nn.functional and of operator, and for the method of a tensor.
Activations are not among them: `F.relu(x)` is read as the module of that name. A row gets the draft and the
values of the arguments, and gives a value, or None where these arguments mean something that no layer does.
"""

import numbers
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastbp import gates
from fastbp.drafts import Draft
from fastbp.layers import Dense, Dropout
from fastbp.normalization import LayerNorm
from fastbp.torch_states import as_array, dense_arrays


@dataclass(frozen=True)
class At:
    """A value that is a step of the draft; other values are numbers, tensors and tuples."""

    number: int


ROWS = object()  # the value of x.size(0)


def _constant(draft: Draft, at: At, value) -> np.ndarray | None:
    """A number, or one for each column of a step; None for what is neither."""
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) or hasattr(value, "detach")):
        return None
    array = as_array(value) if hasattr(value, "detach") else np.float64(value)
    fits = array.size in (1, draft.width(at.number)) and array.ndim <= 2 and array.shape[:-1] in ((), (1,))
    return array.reshape(-1) if fits else None


def _binary(gate: type | None, right: Callable, left: Callable | None) -> Callable:
    """An operator: a gate of two steps, or with a constant c the map (scale, shift) = right(c), left(c) on its left."""

    def read(draft, a, b):
        if isinstance(a, At) and isinstance(b, At):
            return gate and _merged(draft, gate(), [a, b])
        at, other, way = (a, b, right) if isinstance(a, At) else (b, a, left)
        c = _constant(draft, at, other) if isinstance(at, At) and way else None
        return None if c is None else At(draft.affine(at.number, *way(c)))

    return read


def _merged(draft, gate, values) -> At | None:
    widths = {draft.width(value.number) for value in values}
    if isinstance(gate, gates.Concatenate) or len(widths - {1}) < 2:
        return At(draft.add(gate, *(value.number for value in values)))
    return None


def _extreme(gate: type) -> Callable:
    def read(draft, a, b):
        if isinstance(a, At) and isinstance(b, At):
            return _merged(draft, gate(), [a, b])
        return None

    return read


def _clamped(draft, x, min=None, max=None):
    for gate, limit in ((gates.Maximum, min), (gates.Minimum, max)):
        if limit is not None:
            c = _constant(draft, x, limit)
            if c is None or c.size != 1:
                return None
            x = At(draft.add(gate(), x.number, draft.add(gates.Constant(float(c[0]), draft.width(x.number)))))
    return x


def _concatenated(draft, tensors, dim=0):
    steps = dim in (1, -1) and all(isinstance(tensor, At) for tensor in tensors)
    if steps and len(tensors) == 1:
        return tensors[0]
    return _merged(draft, gates.Concatenate(), tensors) if steps else None


def _item(draft, x, key):
    if not isinstance(x, At):
        return x[key] if isinstance(x, (tuple, list)) and isinstance(key, int) else None
    if not isinstance(key, tuple) or len(key) != 2 or key[0] not in (slice(None), ...):
        return None
    columns, width = key[1], draft.width(x.number)
    if isinstance(columns, slice):
        return At(draft.columns(x.number, range(*columns.indices(width))))
    if isinstance(columns, (list, tuple)) and all(isinstance(column, int) for column in columns):
        return At(draft.columns(x.number, [range(width)[column] for column in columns]))
    return None


def _chunks(draft, x, chunks, dim=0):
    width = draft.width(x.number)
    return _split(draft, x, -(-width // chunks), dim)


def _split(draft, x, sizes, dim=0):
    width = draft.width(x.number)
    if dim not in (1, -1):
        return None
    if isinstance(sizes, int):
        sizes = [min(sizes, width - start) for start in range(0, width, sizes)]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return tuple(
        At(draft.columns(x.number, range(start, start + size))) for start, size in zip(starts, sizes, strict=True)
    )


def _reshaped(draft, x, *shape):
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    width = draft.width(x.number)
    return x if len(shape) == 2 and tuple(shape) in ((ROWS, width), (ROWS, -1), (-1, width)) else None


def _expanded(draft, x, *shape):
    if len(shape) != 2 or shape[0] not in (-1, ROWS) or draft.width(x.number) not in (1, shape[1]):
        return None
    return x if draft.width(x.number) == shape[1] else At(draft.add(gates.Broadcast(shape[1]), x.number))


def _linear(draft, x, weight, bias=None):
    arrays = dense_arrays(as_array(weight), None if bias is None else as_array(bias))
    return At(draft.add(Dense(len(arrays["W"].T), bias=bias is not None), x.number, **arrays))


def _layer_norm(draft, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    width = draft.width(x.number)
    if tuple(normalized_shape) != (width,):
        return None
    gamma, beta = (
        np.full(width, start, np.float32) if given is None else as_array(given)
        for start, given in ((1, weight), (0, bias))
    )
    affine = weight is not None or bias is not None
    return At(draft.add(LayerNorm(eps, affine=affine), x.number, gamma=gamma, beta=beta))


def _filled(draft, x, value):
    return At(draft.add(gates.Constant(float(value), draft.width(x.number))))


_add = _binary(gates.Add, lambda c: (1.0, c), lambda c: (1.0, c))
_subtract = _binary(gates.Subtract, lambda c: (1.0, -c), lambda c: (-1.0, c))
_multiply = _binary(gates.Multiply, lambda c: (c, 0.0), lambda c: (c, 0.0))
_divide = _binary(None, lambda c: (1 / c, 0.0), None)

FUNCTIONS: dict[str, Callable] = {
    **dict.fromkeys(("add", "iadd"), _add),
    **dict.fromkeys(("sub", "subtract", "isub"), _subtract),
    "rsub": lambda draft, a, b: _subtract(draft, b, a),
    **dict.fromkeys(("mul", "multiply", "imul"), _multiply),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide", "itruediv"), _divide),
    **dict.fromkeys(("neg", "negative"), lambda draft, x: At(draft.affine(x.number, -1.0, 0.0))),
    **dict.fromkeys(("maximum", "max"), _extreme(gates.Maximum)),
    **dict.fromkeys(("minimum", "min"), _extreme(gates.Minimum)),
    **dict.fromkeys(("clamp", "clip"), _clamped),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
    "getitem": _item,
    "chunk": _chunks,
    "split": _split,
    **dict.fromkeys(("view", "reshape"), _reshaped),
    "flatten": lambda draft, x, start_dim=0, end_dim=-1: x if start_dim == 1 and end_dim in (1, -1) else None,
    "size": lambda draft, x, dim=None: (ROWS, draft.width(x.number)) if dim is None else _size(draft, x, dim),
    "expand": _expanded,
    "full_like": _filled,
    "linear": _linear,
    "dropout": lambda draft, x, p=0.5, training=True, inplace=False: At(draft.add(Dropout(p), x.number)),
    "layer_norm": _layer_norm,
    **dict.fromkeys(("contiguous", "clone"), lambda draft, x: x),
}

SAME_WIDTH = {name for name, row in FUNCTIONS.items() if row in (_add, _subtract, _multiply, _divide)} | {
    "maximum", "minimum", "max", "min", "clamp", "clip", "neg", "dropout",
}  # functions that give as many columns as they take


def _size(draft, x, dim):
    return ROWS if dim in (0, -2) else draft.width(x.number)


def call(draft: Draft, name: str, args: tuple, kwargs: dict):
    """The value of a function, None if these arguments have no counterpart."""
    try:
        return FUNCTIONS[name](draft, *args, **kwargs)
    except (AttributeError, TypeError):  # arguments that a row does not take
        return None
