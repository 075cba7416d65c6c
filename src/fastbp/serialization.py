"""Model files: which arrays and which metadata a safetensors file of fastbp holds.

The arrays are the parameters by their full names, "dense_1.W" as (inputs, outputs); the graph is JSON in the
metadata. Whoever has more to keep, a trainer or a table's encoding, adds arrays and metadata of its own.
Nothing in a file is run, and nothing is allocated from what it claims before that is compared with its size.
"""

import os
from typing import NamedTuple

import numpy as np

from fastbp import checks, safetensors
from fastbp.errors import ModelFormatError
from fastbp.network import Network

FORMAT, VERSION = "fastbp", "1"
GRAPH = "fastbp.graph"


class Saved(NamedTuple):
    """What a file holds: a network, and what was added to it."""

    net: Network
    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def save(path: str | os.PathLike, net: Network, arrays: dict, metadata: dict | None) -> None:
    """Write a network, with arrays and metadata added."""
    for layer in net.layers:
        if not layer.storable:
            raise TypeError(f"{layer!r} is made of Python functions, which a file cannot hold")
    own = {"format": FORMAT, "fastbp.version": VERSION, GRAPH: encoded(net.config())}
    metadata = dict(metadata or {})
    checks.distinct([*own, *metadata], "the metadata key")
    safetensors.write(path, {**net.arrays(), **arrays}, {**own, **metadata})


def load(path: str | os.PathLike) -> Saved:
    """Read a network and what was added to it."""
    arrays, metadata = safetensors.read(path)
    try:
        if metadata.get("format") != FORMAT or metadata.get("fastbp.version") != VERSION:
            note = "a state dict of PyTorch is for fb.from_torch"
            raise ModelFormatError(f"it is not a model of format {FORMAT!r}, version {VERSION!r}; {note}")
        net = Network.from_config(decoded(metadata, GRAPH), arrays)
    except ModelFormatError as error:
        raise ModelFormatError(f"{os.fspath(path)}: {error}") from error
    own = net.arrays()
    return Saved(net, {name: array for name, array in arrays.items() if name not in own}, metadata)


def encoded(value: dict) -> str:
    """JSON for the metadata."""
    import json  # here and in `safetensors`: loading it is a fifth of `import fastbp`

    return json.dumps(value)


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
    return value
