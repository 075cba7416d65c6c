"""The table of PyTorch functions, operators and methods: each entry maps a traced call to steps.

A name covers the functions of torch, torch.nn.functional and operator, and the method of a tensor. Activations are read
as the module of that name. An entry gets the draft and the values of the arguments, and returns a value, or None for
arguments that no layer supports.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.layers import merge
from fastbp.layers.dense import Dense, Dropout
from fastbp.layers.normalization import LayerNorm
from fastbp.readers import arithmetic
from fastbp.readers.arithmetic import At, Stacked, Whole
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft
from fastbp.readers.settings import Refused, want
from fastbp.readers.torch.state_dict import dense_arrays

CLIPS = ("clamp", "clip")
ROWS = object()  # the value of x.size(0)
# Arguments of functions that differ from those of the module.
OTHERS = {
    ("lower", "upper", "inplace"): ("lower", "upper", "training", "inplace"),
    ("dim",): ("dim", "_stacklevel", "dtype"),
}
WIDE = ("torch.float32", "torch.float64")  # casts between these do not change the computation


def _concatenated(draft, tensors, dim=0):
    want("dim", dim, 1, -1)
    steps = all(isinstance(tensor, At) for tensor in tensors)
    if steps and len(tensors) == 1:
        return tensors[0]
    return arithmetic.merged(draft, merge.Concatenate(), tensors) if steps else None


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
    want("dim", dim, 1, -1)
    if isinstance(sizes, int):
        sizes = [min(sizes, width - start) for start in range(0, width, sizes)]
    return arithmetic.split(draft, x, sizes)


def _reshaped(draft, x, *shape):
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    x = x.at if isinstance(x, Stacked) else x
    width = draft.width(x.number)
    return x if len(shape) == 2 and tuple(shape) in ((ROWS, width), (ROWS, -1), (-1, width)) else None


def _flattened(draft, x, start_dim=0, end_dim=-1):
    want("start_dim", start_dim, 1)
    want("end_dim", end_dim, *((-1, 2) if isinstance(x, Stacked) else (-1, 1)))
    return x.at if isinstance(x, Stacked) else x if isinstance(x, At) else None


def _expanded(draft, x, *shape):
    if len(shape) != 2 or shape[0] not in (-1, ROWS) or draft.width(x.number) not in (1, shape[1]):
        return None
    return x if draft.width(x.number) == shape[1] else At(draft.add(merge.Broadcast(shape[1]), x.number))


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


def _dropout(draft, x, p=0.5, training=True, inplace=False):
    want("training", training, False)  # the module is traced in evaluation mode
    return At(draft.add(Dropout(p), x.number))


def _cast(x, dtype):
    if str(dtype) in ("torch.int64", "torch.int32"):
        return Whole(x.number)
    want("dtype", str(dtype), *WIDE)
    return x if isinstance(x, At) else None


def _two(extreme):
    """torch.max of two tensors; with one tensor it is another function."""
    return lambda draft, a, b: extreme(draft, a, b) if isinstance(b, At) else None


def _filled(draft, x, value):
    return At(draft.add(merge.Constant(float(value), draft.width(x.number))))


def _columns(read):
    """A sum or a mean of the columns."""

    def row(draft, x, dim=None, keepdim=False, *, dtype=None):
        dim = dim[0] if isinstance(dim, (tuple, list)) and len(dim) == 1 else dim
        want("dim", dim, 1, -1)
        want("keepdim", keepdim, True)
        want("dtype", dtype, None)
        return read(draft, x)

    return row


FUNCTIONS: dict[str, Callable] = {
    **dict.fromkeys(("add", "iadd"), arithmetic.add),
    **dict.fromkeys(("sub", "subtract", "isub"), arithmetic.subtract),
    "rsub": lambda draft, a, b: arithmetic.subtract(draft, b, a),
    **dict.fromkeys(("mul", "multiply", "imul"), arithmetic.multiply),
    **dict.fromkeys(("div", "divide", "truediv", "true_divide", "itruediv"), arithmetic.divide),
    "pow": arithmetic.power,
    "sqrt": lambda draft, x: arithmetic.power(draft, x, 0.5),
    "rsqrt": lambda draft, x: arithmetic.power(draft, x, -0.5),
    "reciprocal": lambda draft, x: arithmetic.power(draft, x, -1.0),
    "log": arithmetic.log,
    "sum": _columns(arithmetic.total),
    "mean": _columns(arithmetic.average),
    **dict.fromkeys(("neg", "negative"), lambda draft, x: At(draft.affine(x.number, -1.0, 0.0))),
    **dict.fromkeys(("maximum", "max"), _two(arithmetic.maximum)),
    **dict.fromkeys(("minimum", "min"), _two(arithmetic.minimum)),
    **dict.fromkeys(CLIPS, lambda draft, x, min=None, max=None: arithmetic.clipped(draft, x, min, max)),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
    "getitem": _item,
    "chunk": _chunks,
    "split": _split,
    **dict.fromkeys(("view", "reshape"), _reshaped),
    "flatten": _flattened,
    "size": lambda draft, x, dim=None: (ROWS, draft.width(x.number)) if dim is None else _size(draft, x, dim),
    "expand": _expanded,
    "full_like": _filled,
    "linear": _linear,
    "dropout": _dropout,
    "layer_norm": _layer_norm,
    **dict.fromkeys(("contiguous", "clone", "float", "double"), lambda draft, x: x if isinstance(x, At) else None),
    **dict.fromkeys(("long", "int"), lambda draft, x: Whole(x.number)),
    **dict.fromkeys(("to", "type"), lambda draft, x, dtype: _cast(x, dtype)),
}

# Functions whose output has the width of their input.
SAME_WIDTH = {
    *("add", "iadd", "sub", "subtract", "mul", "multiply", "div", "truediv", "neg"),
    *("maximum", "minimum", "max", "min", *CLIPS, "dropout"),
    *("pow", "sqrt", "rsqrt", "reciprocal", "log"),
}


def _size(draft, x, dim):
    return ROWS if dim in (0, -2) else draft.width(x.number)


def call(draft: Draft, name: str, args: tuple, kwargs: dict):
    """The value of a function; None if its arguments have no counterpart."""
    row = FUNCTIONS[name]
    unknown = sorted(kwargs.keys() - _named(row))
    if unknown:
        raise Refused(f"{unknown[0]} is {kwargs[unknown[0]]!r:.60}, an argument that is not known here")
    try:
        return row(draft, *args, **kwargs)
    except (AttributeError, TypeError, ZeroDivisionError):  # arguments that an entry does not accept
        return None


def _named(row: Callable) -> set[str]:
    """The arguments of an entry that may be passed by name."""
    return {name for name, each in inspect.signature(row).parameters.items() if each.kind is not each.KEYWORD_ONLY}


def options(parameters: list[str], args: tuple, kwargs: dict) -> dict[str, Any]:
    """The arguments of an activation after its input, by the names that its module has for them."""
    order = OTHERS.get(tuple(parameters), parameters)
    if len(args) > len(order):
        raise Refused(f"it has {len(args)} arguments after its input")
    found = {**dict(zip(order, args, strict=False)), **kwargs}
    if found.pop("dtype", None) is not None:
        want("dtype", str(kwargs.get("dtype", args[-1] if args else None)), *WIDE)
    if "training" in found:
        want("training", found.pop("training"), False)
    found.pop("_stacklevel", None)
    unknown = sorted(found.keys() - set(parameters))
    if unknown:
        raise Refused(f"{unknown[0]} is {found[unknown[0]]!r:.60}, an argument that is not known here")
    return found
