"""Layers, gates and blocks: descriptions of a network's nodes, which compute nothing."""

from fastbp.layers.arithmetic import Log, Mean, Power, Sum
from fastbp.layers.blocks import GLU, Highway, Maxout, Residual
from fastbp.layers.constraints import MaxNorm, NonNegative
from fastbp.layers.dense import Activation, Dense, Dropout, PReLU
from fastbp.layers.embedding import Embedding
from fastbp.layers.layer import Layer
from fastbp.layers.merge import (
    Add,
    Average,
    Broadcast,
    Concatenate,
    Constant,
    Divide,
    Maximum,
    Minimum,
    Multiply,
    Rescaling,
    Slice,
    Subtract,
)
from fastbp.layers.node import Input, Node
from fastbp.layers.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.layers.operators import maximum, minimum
from fastbp.layers.parameter import Parameter
from fastbp.layers.python_layer import Lambda

__all__ = [
    "GLU",
    "Activation",
    "Add",
    "Average",
    "BatchNorm",
    "Broadcast",
    "Concatenate",
    "Constant",
    "Dense",
    "Divide",
    "Dropout",
    "Embedding",
    "Highway",
    "Input",
    "Lambda",
    "Layer",
    "LayerNorm",
    "Log",
    "MaxNorm",
    "Maximum",
    "Maxout",
    "Mean",
    "Minimum",
    "Multiply",
    "Node",
    "NonNegative",
    "PReLU",
    "Parameter",
    "Power",
    "RMSNorm",
    "Rescaling",
    "Residual",
    "Slice",
    "Subtract",
    "Sum",
    "maximum",
    "minimum",
]


def __dir__():
    return __all__
