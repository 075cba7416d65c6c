"""Reads PyTorch state dicts, from memory or a .safetensors file: chains of layers, without activations."""

import os
import re
from collections.abc import Mapping

import numpy as np

from fastbp.files import safetensors
from fastbp.inputs import checks
from fastbp.layers.dense import Dense
from fastbp.layers.normalization import BatchNorm, LayerNorm
from fastbp.model import Model
from fastbp.readers.arrays import as_array
from fastbp.readers.draft import Draft, unsupported
from fastbp.writers.torch import AFFINE

STATES = ("Linear", "BatchNorm1d", "LayerNorm")


def from_file(path) -> dict[str, np.ndarray]:
    """The state dict of a .safetensors file, in the order of its layers."""
    if os.fspath(path).endswith((".pt", ".pth", ".bin")):
        raise ValueError(f"{os.fspath(path)}: load it by torch.load(path, weights_only=True) and pass what that gives")
    arrays, metadata = safetensors.read(path)
    if metadata.get("format") == "fastbp":
        raise ValueError(f"{os.fspath(path)} is a model of fastbp: fb.load reads it")
    return {name: arrays[name] for name in sorted(arrays, key=_natural)}


def _natural(name: str) -> list:
    """A key for names, which the file sorts as texts: 2.weight comes before 10.weight."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def from_state(state: Mapping, activation, output_activation: str, dtype) -> Model:
    """The chain of layers that a state dict describes, with the activations between them."""
    layers = _layers(state)
    hidden = sum(type(layer) is Dense for layer, _ in layers.values()) - 1
    if hidden < 0:
        raise ValueError(f"the state dict holds no Linear layer; it has {', '.join(layers) or 'nothing'}")
    names = _activations(activation, output_activation, hidden)
    draft = Draft()
    at = draft.input(_columns(*next(iter(layers.values()))))
    pending = "linear"  # activation of the previous layer, applied after its normalizations
    for prefix, (layer, arrays) in layers.items():
        if type(layer) is Dense:
            at, pending = draft.activate(at, pending), names.pop(0)
        if draft.width(at) != _columns(layer, arrays):
            raise ValueError(
                f"{prefix} wants {_columns(layer, arrays)} columns and the layer before it gives {draft.width(at)}; "
                f"the order of the layers was taken to be {', '.join(layers)}"
            )
        at = draft.add(layer, at, **arrays)
    return draft.model([draft.activate(at, pending)], dtype)


def _layers(state: Mapping) -> dict[str, tuple]:
    """A layer and its parameters for each prefix of the names."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state.items():
        prefix, _, name = checks.instance(key, str, "a name in the state dict").rpartition(".")
        if name != "num_batches_tracked":
            groups.setdefault(prefix, {})[name] = _array(key, value)
    return {prefix: _layer(prefix, arrays) for prefix, arrays in groups.items()}


def _array(key: str, value) -> np.ndarray:
    try:
        return as_array(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key[:80]!r} of the state dict cannot be read: {error}") from None


def _columns(layer, arrays: dict) -> int:
    """The input width of a layer with these parameters."""
    return len(arrays["W"] if type(layer) is Dense else next(iter(arrays.values())))


def _activations(activation, output_activation, hidden: int) -> list[str]:
    if activation is None and hidden:
        raise ValueError("a state dict has no activations: from_torch(..., activation='relu') says which")
    if activation is None or isinstance(activation, str):
        return [activation or "linear"] * hidden + [output_activation]
    return [*checks.one_each(activation, hidden + 1, "activation")] if hidden else [*activation]


def _layer(prefix: str, arrays: dict[str, np.ndarray]) -> tuple:
    name = layer_name(prefix)
    weight = arrays.get("weight", np.empty(()))
    vectors = {array.shape for key, array in arrays.items() if not (key == "weight" and array.ndim == 2)}
    fits = len(vectors) <= 1 and all(len(shape) == 1 and shape[0] for shape in vectors) and weight.size
    if not fits:
        pass
    elif weight.ndim == 2 and arrays.keys() <= {"weight", "bias"}:
        return Dense(weight.shape[0], bias="bias" in arrays, name=name), dense_arrays(weight, arrays.get("bias"))
    elif {"running_mean", "running_var"} <= arrays.keys() <= {"running_mean", "running_var", *AFFINE.values()}:
        own = {"mean": arrays["running_mean"], "variance": arrays["running_var"]}
        affine = {ours: arrays[theirs] for ours, theirs in AFFINE.items() if theirs in arrays}
        return BatchNorm(affine=bool(affine), name=name), {**own, **affine}
    elif weight.ndim == 1 and arrays.keys() == {"weight", "bias"}:
        return LayerNorm(name=name), {"gamma": weight, "beta": arrays["bias"]}
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    raise unsupported(f"{prefix or 'a layer'} with {shapes}", "a state dict", STATES)


def dense_arrays(weight: np.ndarray, bias: np.ndarray | None) -> dict[str, np.ndarray]:
    """W and b from PyTorch's weight (outputs, inputs) and bias."""
    return {"W": weight.T, **({} if bias is None else {"b": bias})}


def layer_name(path: str) -> str | None:
    """The name of a module, or None for one that only has a number."""
    return None if not path or path.rpartition(".")[2].isdigit() else path
