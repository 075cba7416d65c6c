"""Optimizers: a class for each update rule, and clipping by the global norm."""

from fastbp.optimizers.adaptive import (
    Adadelta,
    Adagrad,
    Adamax,
    Adan,
    NAdam,
    RAdam,
    RMSprop,
)
from fastbp.optimizers.momentum import (
    SGD,
    Adam,
    AdamW,
    Lion,
    Muon,
    Rprop,
)
from fastbp.optimizers.optimizer import (
    Optimizer,
    clip_by_global_norm,
    from_config,
)

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
