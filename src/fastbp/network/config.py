"""The JSON of a network: from a configuration to nodes, and its arrays against what they must be."""

from fastbp.errors import ModelFormatError
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input

MODELS = "fastbp.model"  # has the classes that a configuration names; it stands above, so it is loaded by its name


def nodes_of(config):
    layers = {}
    for settings in config["layers"]:
        layers[settings["name"]] = Layer.from_config(settings)
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
