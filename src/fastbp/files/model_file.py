"""Model files: the arrays and metadata in a safetensors file of fastbp.

The arrays are the parameters by their full names, "dense_1.W" as (inputs, outputs); the graph is JSON in the metadata.
Trainers and encodings of tables add their own arrays and metadata. Loading runs no code from a file, and compares sizes
that it claims with its actual size before allocating memory.
"""

import os
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from fastbp.errors import ModelFormatError
from fastbp.files import safetensors
from fastbp.inputs import checks
from fastbp.network.network import Network

FORMAT, VERSION = "fastbp", "1"
GRAPH = "fastbp.graph"
DEEPEST = 50  # levels of JSON; files of fastbp have about 10
STARTS = ("weights", "biases")  # settings of layers that only matter before training


class Saved(NamedTuple):
    """The contents of a model file: a network, and further arrays and metadata."""

    net: Network
    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def save(
    path: str | os.PathLike,
    net: Network,
    arrays: dict,
    metadata: dict | None,
    functions: bool = False,
    params: np.ndarray | None = None,
) -> None:
    """Write a network, with additional arrays and metadata; Python functions are stored by name or refused.

    Without `parameters`, the current ones are written.
    """
    if not functions:
        refuse_functions(net)
    own = {"format": FORMAT, "fastbp.version": VERSION, GRAPH: encoded(net.config())}
    metadata = dict(metadata or {})
    checks.distinct([*own, *metadata], "the metadata key")
    own_arrays = net.snapshot()[0] if params is None else net.named(params)
    safetensors.write(path, {**own_arrays, **arrays}, {**own, **metadata})


def refuse_functions(net: Network) -> None:
    """Raise if a layer is made of Python functions."""
    for layer in net.layers:
        if layer.why_not_stored():
            raise TypeError(f"{layer!r} {layer.why_not_stored()}")


def load(path: str | os.PathLike) -> Saved:
    """Read a network, and the additional arrays and metadata."""
    arrays, metadata = safetensors.read(path)
    try:
        net = Network.from_config(graph(metadata), arrays)
    except ModelFormatError as error:
        raise ModelFormatError(f"{os.fspath(path)}: {error}") from error
    own = net.arrays()
    return Saved(net, {name: array for name, array in arrays.items() if name not in own}, metadata)


def graph(metadata: dict[str, str]) -> dict:
    """The `config()` of the network in a file."""
    if metadata.get("format") != FORMAT or metadata.get("fastbp.version") != VERSION:
        note = "a state dict of PyTorch is for fb.from_torch"
        raise ModelFormatError(f"it is not a model of format {FORMAT!r}, version {VERSION!r}; {note}")
    return decoded(metadata, GRAPH)


def difference(there: dict, here: dict) -> str | None:
    """The first difference between two configurations of networks, as text; initial values are ignored."""
    if there.get("dtype") != here["dtype"]:
        return f"dtype is {there.get('dtype')} there and {here['dtype']} here"
    for one, other in zip_longest(_described(there), _described(here)):
        if one is None or other is None:
            node, place = (other, "here and not there") if one is None else (one, "there and not here")
            return f"node {node['name']} ({node['op']}) is {place}"
        name = other["name"] if one["name"] == other["name"] else f"{one['name']} (here {other['name']})"
        for key in ("op", *one, *other):
            if one.get(key) != other.get(key):
                return f"{key} of node {name} is {one.get(key)} there and {other.get(key)} here"
    ends = ((key, there.get(key), here[key]) for key in ("inputs", "outputs"))
    return next((f"the {key} are nodes {a} there and {b} here" for key, a, b in ends if a != b), None)


def _described(config):
    """Each node of a configuration: name, op, parents by name, settings."""
    layers = {layer["name"]: layer for layer in config["layers"]}
    names: list[str] = []
    for node in config["nodes"]:
        if "input" in node:
            names.append(node["input"])
            yield {"name": node["input"], "op": "Input", "width": node["width"]}
        else:
            settings = {key: value for key, value in layers[node["layer"]].items() if key not in STARTS}
            names.append(node["layer"])
            parents = [names[k] for k in node["parents"]]
            yield {"name": node["layer"], "op": settings.pop("class"), "parents": parents, **settings}


def encoded(value: Any) -> str:
    """JSON for the metadata, with functions by name."""
    import json  # here and in `safetensors`: loading it is a fifth of `import fastbp`

    return json.dumps(value, default=lambda function: function.__name__)


def stored(value: Any) -> Any:
    """A value as it would be read from a file."""
    import json

    return json.loads(encoded(value))


def decoded(metadata: dict[str, str], key: str) -> dict:
    """The JSON object under a key of the metadata."""
    import json

    if key not in metadata:
        raise ModelFormatError(f"there is no {key!r} in the metadata")
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"no JSON under {key!r} in the metadata: {error}") from None
    if not isinstance(value, dict):
        raise ModelFormatError(f"no JSON object under {key!r} in the metadata")
    if _is_deeper(value, DEEPEST):
        raise ModelFormatError(f"the JSON under {key!r} in the metadata is nested deeper than {DEEPEST} times")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested deeper than allowed, without recursion; later code may recurse."""
    level = [value]
    for _ in range(depth + 1):
        level = [part for each in level if isinstance(each, (dict, list)) for part in _parts(each)]
    return bool(level)


def _parts(value: dict | list) -> Any:
    return value.values() if isinstance(value, dict) else value
