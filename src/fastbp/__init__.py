"""Backpropagation for dense networks on the CPU, as fast as the machine allows."""

from fastbp import datasets, functional, initializers, losses, metrics
from fastbp.callbacks import Callback, EarlyStopping
from fastbp.data import batches
from fastbp.errors import DivergenceError, ModelFormatError
from fastbp.graph import Input
from fastbp.history import History
from fastbp.layers import Activation, Dense, Dropout
from fastbp.model import Model, Sequential, load
from fastbp.optimizers import SGD, Adam, AdamW, clip_by_global_norm
from fastbp.threads import get_num_threads, set_num_threads
from fastbp.training import Trainer

__all__ = [
    "SGD",
    "Activation",
    "Adam",
    "AdamW",
    "Callback",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "History",
    "Input",
    "Model",
    "ModelFormatError",
    "Sequential",
    "Trainer",
    "__version__",
    "batches",
    "clip_by_global_norm",
    "datasets",
    "functional",
    "get_num_threads",
    "initializers",
    "load",
    "losses",
    "metrics",
    "set_num_threads",
]


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("fastbp")
    raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
