"""Checks of a .keras file before Keras loads it: only known layers and their weights are allowed.

Keras looks up classes by names in the file, and versions before 3.12 can be made to run code, to read other files or to
download some. So those versions are refused, and every name must be one that the reader knows.
"""

import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from typing import Any

from fastbp import _optional
from fastbp.errors import ModelFormatError

OLDEST = (3, 12)  # the first without CVE-2025-1550, 8747, 9905, 9906, 12058, 12060
MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
MOST_TEXT = 2**24  # bytes of config.json
DEEPEST = 60  # levels of config.json
WIDEST = 2**16  # columns beyond those with weights in the file
SPARE = 2**20  # numbers beyond those in the file
MODELS = {"Sequential", "Functional", "Model"}
PLAIN = {"keras": {*MODELS, "DTypePolicy"}, "keras.models": MODELS, "keras.dtype_policies": {"DTypePolicy"}}
PLAIN |= {f"keras.src.models.{name}": MODELS for name in ("functional", "sequential", "model")}
VALUES = {"__keras_tensor__", "__ellipsis__", "__slice__", "__numpy__", "__tensor__"}
# Modules with classes for initialization and penalties only.
HARMLESS = ("keras.initializers", "keras.regularizers", "keras.constraints")
OPERATIONS = ("keras.src.ops.nn", "keras.src.ops.numpy", "keras.src.ops.core", "keras.src.ops.math")


def check(path: str, layers: Collection[str], is_operation: Callable[[str], bool]) -> None:
    """Raise if a file has anything but these layers and operations with their weights, or claims more than it holds."""
    keras = _optional.package("keras", "from_keras")
    version = str(keras.__version__)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ImportError(
            f"from_keras reads files by Keras {oldest} or later, got {version}, which can be led to run code of a file "
            "(CVE-2025-1550 and later ones); load a file that you trust by keras.saving.load_model, and pass the model"
        )
    size = os.path.getsize(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config, weights = _members(archive, size)
        numbers = _numbers(weights)
        _check_config(_json(config), numbers, layers, is_operation)
    except ModelFormatError as error:
        raise ModelFormatError(f"{path}: {error}") from None
    except Exception as error:  # exceptions of zlib and HDF5 have no common base
        raise ModelFormatError(f"{path} is no sound model of Keras: {error}") from error


def _members(archive: zipfile.ZipFile, size: int) -> tuple[bytes, bytes]:
    """The text of config.json, and the weights, whose sizes are checked before they are unpacked."""
    found = {entry.filename: entry for entry in archive.infolist()}
    if (
        len(found) < len(archive.infolist())
        or not found.keys() <= set(MEMBERS)
        or not {MEMBERS[0], MEMBERS[2]} <= found.keys()
    ):
        raise ModelFormatError(
            f"it must hold {', '.join(MEMBERS)} and nothing else, got {', '.join(sorted(found)):.200}"
        )
    for name, entry in found.items():
        most = size if name == MEMBERS[2] else min(MOST_TEXT, 1000 * size)
        if entry.file_size > most:
            raise ModelFormatError(f"{name} unpacks to {entry.file_size} bytes, at most {most} are taken")
    return archive.read(MEMBERS[0]), archive.read(MEMBERS[2])


def _numbers(weights: bytes) -> int:
    """The number of weights; links out of the file, and data that unpacks to more than its size, are refused."""
    import io

    h5py = import_module("h5py")  # a dependency of Keras
    total, seen = 0, set()
    with h5py.File(io.BytesIO(weights), "r") as file:
        pending = [file]
        while pending:
            group = pending.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ModelFormatError(f"its weights have a link, {name!r}, to something else")
                item = group[name]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:
                    raise ModelFormatError(f"its weights have {name!r} twice")
                seen.add(address)
                if isinstance(item, h5py.Group):
                    pending.append(item)
                    continue
                if item.external or item.is_virtual or item.chunks or item.nbytes > len(weights):
                    raise ModelFormatError(f"its weights {name!r} lie in another file, or are packed")
                total += item.size
    return total


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"config.json is no JSON: {error}") from None


def _check_config(config: Any, numbers: int, layers: Collection[str], is_operation: Callable[[str], bool]) -> None:
    wanted = 0
    for entry in _objects(config):
        kind, module = entry["class_name"], entry.get("module")
        if kind in VALUES:
            continue
        _check_class(entry, layers, is_operation)
        if module == "keras.layers":
            wanted += _check_sizes(entry, numbers)
    if wanted > numbers + SPARE:
        raise ModelFormatError(f"its layers have {wanted} parameters, the file has {numbers}")


def _objects(config: Any) -> Iterator[dict]:
    """All parts that name a class, except the training configuration, which is not loaded."""
    level, depth = [config], 0
    while level:
        if depth > DEEPEST:
            raise ModelFormatError(f"config.json is nested deeper than {DEEPEST} times")
        yield from (each for each in level if isinstance(each, dict) and "class_name" in each)
        below = []
        for each in level:
            if isinstance(each, dict):
                below += [value for key, value in each.items() if key != "compile_config"]
            elif isinstance(each, list):
                below += each
        level, depth = below, depth + 1


def _check_class(entry: dict, layers: Collection[str], is_operation: Callable[[str], bool]) -> None:
    kind, module = entry["class_name"], entry.get("module")
    if not isinstance(kind, str) or not isinstance(module, str):
        raise ModelFormatError(f"it names a class without its module: {kind!r:.60}")
    known = module == "keras.layers" and kind in (*layers, "InputLayer")
    known = known or kind in PLAIN.get(module, ())
    known = known or (module in OPERATIONS and is_operation(kind))
    known = known or (module in HARMLESS and kind.isidentifier() and kind[0].isupper())
    if not known or entry.get("registered_name") not in (None, kind):
        raise ModelFormatError(
            f"it names {module}.{kind:.80}, which is not read from a file; known: {', '.join(sorted(layers))}"
        )


def _check_sizes(entry: dict, numbers: int) -> int:
    """The number of parameters of a layer, if the file can have weights of its sizes."""
    kind, config = entry["class_name"], entry.get("config")
    if not isinstance(config, dict):
        raise ModelFormatError(f"a {kind} has no config")
    shape = config.get("batch_shape") if kind == "InputLayer" else (entry.get("build_config") or {}).get("input_shape")
    sizes = [size for size in _flat(shape) if size is not None]
    sizes += [config[key] for key in ("units", "input_dim", "output_dim") if key in config]
    if not all(type(size) is int and 0 < size <= WIDEST + numbers for size in sizes):
        raise ModelFormatError(f"a {kind} has sizes {sizes!s:.80}, each must be 1 ... {WIDEST + numbers}")
    if kind == "Embedding":
        return math.prod(config.get(key, 0) for key in ("input_dim", "output_dim"))
    if kind == "Dense":
        if not isinstance(shape, list):
            raise ModelFormatError("a Dense layer was saved without the shape of its input")
        return config.get("units", 0) * (shape[-1] or 0)
    return 4 * math.prod(size for size in _flat(shape)[-1:] if size) if "ormalization" in kind or kind == "PReLU" else 0


def _flat(shape: Any) -> list:
    """The sizes of a shape, or of a list of shapes."""
    found, pending = [], [shape]
    while pending:
        each = pending.pop()
        if isinstance(each, (list, tuple)):
            pending.extend(reversed(each))
        elif isinstance(each, dict):
            pending.extend(each.values())
        else:
            found.append(each)
    return found
