"""Optimizers: a class for each update rule, and clipping by the global norm."""

from fastbp.optimizers.adam import Adam, Adamax, AdamW, Adan, NAdam, RAdam
from fastbp.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from fastbp.optimizers.clipping import clip_by_global_norm
from fastbp.optimizers.momentum import SGD
from fastbp.optimizers.muon import Muon
from fastbp.optimizers.optimizer import Optimizer
from fastbp.optimizers.sign_based import Lion, Rprop

from_config = Optimizer.from_config

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "clip_by_global_norm",
    "from_config",
]


def __dir__():
    return __all__
