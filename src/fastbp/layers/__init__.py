"""Layers, gates and blocks: descriptions of a network's nodes, which compute nothing."""

from fastbp.layers.blocks import GLU, Highway, Maxout, Residual
from fastbp.layers.constraints import MaxNorm, NonNegative
from fastbp.layers.dense import Activation, Dense, Dropout, PReLU
from fastbp.layers.differentiation import diff, directional, grad, hess, jac, laplacian, logdet
from fastbp.layers.embedding import Embedding
from fastbp.layers.layer import Layer
from fastbp.layers.merge import (
    Add,
    Average,
    Broadcast,
    Concatenate,
    Constant,
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
    "Dropout",
    "Embedding",
    "Highway",
    "Input",
    "Lambda",
    "Layer",
    "LayerNorm",
    "MaxNorm",
    "Maximum",
    "Maxout",
    "Minimum",
    "Multiply",
    "Node",
    "NonNegative",
    "PReLU",
    "RMSNorm",
    "Rescaling",
    "Residual",
    "Slice",
    "Subtract",
    "diff",
    "directional",
    "grad",
    "hess",
    "jac",
    "laplacian",
    "logdet",
    "maximum",
    "minimum",
]


def __dir__():
    return __all__
