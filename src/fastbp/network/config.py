"""The JSON of a network: its graph and settings as a configuration, and the way back to a network, with its arrays.

Files, copies and pickles all use it. A configuration names classes that are defined in folders above this one.
"""

from importlib import import_module
from typing import Any

import numpy as np

from fastbp._configured import Registry
from fastbp.errors import DAMAGE, ModelFormatError
from fastbp.layers.layer import Layer
from fastbp.layers.node import Input, Node

MODELS = "fastbp.model"  # has the classes that a configuration names; imported by name, since it is a module above


def written(net: Any) -> dict:
    """The graph and all settings of a network."""
    numbers = {node: k for k, node in enumerate(net.nodes)}
    return {
        "class": type(net).__name__,
        "name": net.name,
        "dtype": net.dtype.name,
        "seed": net.seed,
        "layers": [layer.config() for layer in net.layers],
        "nodes": [
            {"input": node.name, "width": node.width}
            if node.layer is None
            else {"layer": node.name, "parents": [numbers[parent] for parent in node.parents]}
            for node in net.nodes
        ],
        "inputs": [numbers[node] for node in net.inputs],
        "outputs": [numbers[node] for node in net.outputs],
    }


def built(classes: Registry, config: dict, arrays: dict[str, np.ndarray] | None) -> Any:
    """Build a network of one of these classes from a configuration; without arrays its parameters are drawn."""
    try:
        import_module(MODELS)
        kind = classes.named(config[classes.key])
        nodes = _nodes(config)
        inputs, outputs = ([nodes[k] for k in config[key]] for key in ("inputs", "outputs"))
        net = kind.__new__(kind)
        net._build(inputs, outputs, config["dtype"], config["seed"], config["name"], arrays)
    except ModelFormatError:
        raise
    except DAMAGE as error:
        raise ModelFormatError(f"no model: {type(error).__name__}: {error}") from error
    return net


def unpickled(cls: Any, config: dict, arrays: dict[str, np.ndarray], draws: int, classes: tuple = ()) -> Any:
    """Build a network with the state of its dropout masks: called by `pickle` and `copy`.

    `classes` are users' classes of layers: unpickling them imports their modules, which registers them.
    """
    net = cls.from_config(config, arrays)
    net.programs.draws = draws
    return net


def check_arrays(arrays: dict[str, np.ndarray], slices: dict[str, tuple], dtype: np.dtype) -> None:
    """Raise unless there is an array of the right shape and dtype for each parameter."""
    for name, (_, shape) in slices.items():
        array = arrays.get(name)
        if array is None:
            raise ModelFormatError(f"there is no array {name!r}")
        if array.shape != shape or array.dtype != dtype:
            raise ModelFormatError(f"{name} must be {dtype} of shape {shape}, got {array.dtype} of shape {array.shape}")


def _nodes(config) -> list[Node]:
    for settings in config["layers"]:
        if settings["class"] not in Layer.classes:
            raise ModelFormatError(
                f"the layer {settings['name']!r} is of the class {settings['class']!r}, which fastbp does not have; if"
                " it is a PythonLayer, define or import the class before the model is loaded"
            )
    layers = {settings["name"]: Layer.from_config(settings) for settings in config["layers"]}
    nodes: list[Node] = []
    for entry in config["nodes"]:
        if "input" in entry:
            nodes.append(Input(entry["width"], entry["input"]))
        else:
            nodes.append(layers[entry["layer"]](*(nodes[k] for k in entry["parents"])))
    return nodes
