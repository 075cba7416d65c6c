"""The table of torch.nn modules: each entry maps a module and its input to a step.

An entry asks the module for its settings; `read` refuses a setting that no entry asked for and that differs from the
default of the class's constructor. Anything that makes a module differ from its class, such as a hook, is refused too.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.layers.dense import Dense, Dropout, PReLU
from fastbp.layers.embedding import Embedding
from fastbp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft
from fastbp.readers.formulas import STRAIGHT
from fastbp.readers.settings import Asked, Refused, Settings, want
from fastbp.readers.torch.state_dict import dense_arrays
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.torch import AFFINE

STATISTICS = {"mean": "running_mean", "variance": "running_var"}
COLUMNS = (1, -1, None)  # values of `dim` that mean the columns
# Settings that the parameters determine, that affect only gradients, or that the reader of the graph checks.
HARMLESS = ("in_features", "out_features", "num_features", "num_parameters", "num_embeddings", "embedding_dim")
HARMLESS += ("elementwise_affine", "affine", "sparse", "norm_type", "inplace", "device", "dtype", "training")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")  # of a module
HOOKS_OF_TENSORS = ("_backward_hooks", "_post_accumulate_grad_hooks")


def _linear(draft, module, name, x):
    bias = None if module.bias is None else as_array(module.bias)
    arrays = dense_arrays(as_array(module.weight), bias)
    layer = Dense(arrays["W"].shape[1], bias=bias is not None, name=name, trainable=_trainable(module))
    return draft.add(layer, x, **arrays)


def _norm(make, own: dict[str, str], *settings: str):
    def read(draft, module, name, x):
        for key in settings:
            if getattr(module, key) is None:  # cumulative averages
                raise Refused(f"{key} is None")
        if "mean" in own:
            want("track_running_stats", module.track_running_stats and module.running_mean is not None, True)
        else:
            want("normalized_shape", tuple(module.normalized_shape), (draft.width(x),))
        found = {ours: getattr(module, theirs, None) for ours, theirs in own.items()}
        given = {ours: as_array(tensor) for ours, tensor in found.items() if tensor is not None}
        if "gamma" in given and "beta" not in given:
            given["beta"] = np.zeros_like(given["gamma"])
        dtypes = [array.dtype for array in given.values()] or [np.dtype(np.float32)]
        eps = np.finfo(dtypes[0]).eps if module.eps is None else module.eps  # RMSNorm uses the eps of its input's dtype
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
    alpha = as_array(module.weight)
    return draft.add(PReLU(alpha.size, name=name, trainable=_trainable(module)), x, alpha=alpha)


def _embedding(draft, module, name, x):
    W = as_array(module.weight)
    return draft.add(Embedding(*W.shape, name=name, trainable=_trainable(module)), x, W=W)


def _flatten(draft, module, name, x):
    want("start_dim", module.start_dim, 1)
    want("end_dim", module.end_dim, -1, 1)
    return x


def _trainable(module) -> bool:
    found = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    if len(set(found.values())) == 2:
        frozen = ", ".join(name for name, trained in found.items() if not trained)
        raise Refused(f"{frozen} is frozen (requires_grad=False) and the rest of the layer is not")
    return all(found.values())


ACTIVATIONS = {name: formats.torch for name, formats in FORMATS.items()}
MODULES: dict[str, Callable] = {
    "Linear": _linear,
    "BatchNorm1d": _norm(BatchNorm, {**AFFINE, **STATISTICS}, "momentum"),
    "LayerNorm": _norm(LayerNorm, AFFINE),
    "RMSNorm": _norm(RMSNorm, {"gamma": "weight"}),
    "Embedding": _embedding,
    "PReLU": _prelu,
    "Dropout": lambda draft, module, name, x: draft.add(Dropout(module.p, name=name), x),
    "Flatten": _flatten,
    "Identity": lambda draft, module, name, x: x,
}


def _activation(draft, module, name, x):
    """An activation, by the entry with the module's settings."""
    rows = {key: row for key, row in ACTIVATIONS.items() if row.module == type(module._part).__name__}
    refused = None
    for activation, row in rows.items():
        try:
            _check_fixed(module, row)
        except Refused as error:
            refused = error
            continue
        return draft.activate(x, activation, *(float(getattr(module, key)) for key in row.names), name=name)
    if refused is not None:
        raise refused
    return None


def _check_fixed(module, row) -> None:
    """Refuse settings that differ from the fixed ones of an entry."""
    if hasattr(module, "dim"):
        want("dim", module.dim, *COLUMNS)
    for key, value in row.fixed.items():
        if key == "threshold":  # above it softplus is X
            if not module.threshold >= STRAIGHT:
                raise Refused(f"threshold is {module.threshold!r}, known here: {STRAIGHT:g} and more")
        elif key != "dim":
            want(key, getattr(module, key), value)


def is_plain(module: Any, row: Any) -> bool:
    """Whether a module belongs to an entry without parameters."""
    if row.module != type(module).__name__ or row.names:
        return False
    try:
        _check_fixed(module, row)
    except Refused:
        return False
    return True


def known() -> list[str]:
    """The classes of modules that can be read."""
    return [*MODULES, *(row.module for row in ACTIVATIONS.values() if row.module)]


def read(nn: Any, draft: Draft, module: Any, name: str | None, x: int) -> int | None:
    """The step of a module applied to another step; None for a class without entry."""
    kind = type(module)
    row = MODULES.get(kind.__name__, _activation)
    if "parametrizations" in module._modules:
        raise Refused(f"it has parametrizations, of {', '.join(module._modules['parametrizations'])}")
    if getattr(nn, kind.__name__, None) is not kind:  # a class of another package with this name
        return None
    settings = Settings(*_settings(module), HARMLESS)
    number = row(draft, Asked(module, settings), name, x)
    if number is not None:
        settings.refuse_others()
    return number


def _settings(module: Any) -> tuple[dict, dict]:
    """The attributes of a module that are arguments of its constructor or attributes of its class, with defaults."""
    kind = type(module)
    parameters = inspect.signature(kind).parameters
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    found = {name: value for name, value in own.items() if name in parameters or hasattr(kind, name)}
    defaults = {name: getattr(kind, name) for name in found if hasattr(kind, name)}
    given = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    return found, {**defaults, **given}


def refuse_hooks(module: Any, path: str) -> None:
    """Refuse hooks, and a `forward` replaced on an instance, which change outputs or gradients."""
    what = _named(module, path)
    for hooks in HOOKS:
        if getattr(module, hooks, None):
            raise Refused(f"{what} has {hooks.strip('_').replace('_', ' ')}")
    for name, parameter in module.named_parameters(recurse=False):
        for hooks in HOOKS_OF_TENSORS:
            if getattr(parameter, hooks, None):
                raise Refused(f"the {name} of {what} has {hooks.strip('_').replace('_', ' ')}")
    if "forward" in vars(module) or "__call__" in vars(module):
        raise Refused(f"{what} has a forward of its own, which is not its class's")


def refuse_ties(module: Any) -> None:
    """Refuse parameters that two modules share in part: training would update each copy separately."""
    owners: dict[int, tuple[str, dict]] = {}
    for path, part in module.named_modules():
        own = {name: id(parameter) for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False)}
        for name, number in own.items():
            other, theirs = owners.setdefault(number, (_named(part, path), own))
            if theirs != own:  # two modules that share all parameters are one layer
                raise Refused(f"the {name} of {_named(part, path)} is a parameter of {other} too")


def _named(module, path):
    return f"module {path!r}" if path else f"the {type(module).__name__}"
