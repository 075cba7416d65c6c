"""The JSON configuration of a network: creates its nodes, and checks the arrays of a file against it."""

from fastbp.errors import ModelFormatError
from fastbp.inputs import checks
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input

MODELS = "fastbp.model"  # defines the classes that a configuration names; it is above, so it is imported by name


def nodes_of(config):
    layers = {}
    for settings in config["layers"]:
        settings = dict(settings)
        kind = Layer.classes[checks.one_of(settings.pop("class"), "class of layer", Layer.classes)]
        layers[settings["name"]] = kind(**settings)
    nodes = []
    for entry in config["nodes"]:
        if "input" in entry:
            nodes.append(Input(entry["width"], entry["input"]))
        else:
            nodes.append(layers[entry["layer"]](*(nodes[k] for k in entry["parents"])))
    return nodes


def check_arrays(arrays, slices, dtype):
    for name, (_, shape) in slices.items():
        array = arrays.get(name)
        if array is None:
            raise ModelFormatError(f"there is no array {name!r}")
        if array.shape != shape or array.dtype != dtype:
            raise ModelFormatError(f"{name} must be {dtype} of shape {shape}, got {array.dtype} of shape {array.shape}")
