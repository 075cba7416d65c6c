"""Growing networks: a copy with more inputs or outputs, for learning one sample at a time."""

import numpy as np

from fastbp.layers.dense import Dense
from fastbp.layers.node import names_for
from fastbp.network.network import Network


def grown(net: Network, inputs: int, units: int) -> Network:
    """A copy with a wider input or output: old parameters stay, new parameters are drawn by the initializers."""
    config, output = net.config(), net.outputs[0]
    config["nodes"][config["inputs"][0]]["width"] = inputs
    if units != output.width:
        used = [node for node in net.nodes if node.layer is output.layer or output in node.parents]
        if not isinstance(output.layer, Dense) or used != [output]:
            raise ValueError(f"a new class wants a Dense of its own as the last layer, got {output!r}")
        config["layers"][net.layers.index(output.layer)]["units"] = units
    new = type(net).from_config(config)
    for name, old in net.arrays().items():
        new.arrays()[name][_corner(old)] = old
    new.programs.draws = net.draws
    return new


def copy_states(net: Network, states: np.ndarray, new: Network, new_states: np.ndarray) -> None:
    """Copy the optimizer's state to a network that has grown; the state of new parameters is 0."""
    for name, (part, shape) in net.slices.items():
        new_part, new_shape = new.slices[name]
        for old, grown_state in zip(states, new_states, strict=True):
            old = old[part].reshape(shape)
            grown_state[new_part].reshape(new_shape)[_corner(old)] = old


def _corner(array):
    return tuple(map(slice, array.shape))


def move_parameters(net: Network, params: np.ndarray, grads: np.ndarray) -> None:
    """Replace `params` and `grads` by these vectors, aligned to 64 bytes; old views and trainers are then void."""
    names, draws = names_for([*net.inputs, *net.layers]), net.draws
    params[...] = net.params
    for layer in net.layers:
        layer.owner = None  # so that the layer binds again
        layer._tell_engines.clear()
    net.programs = net._compile(names, (params, grads))
    net.programs.draws = draws
    net._bind(names)
