"""The public names of this folder: written by docs/write_stubs.py from those of the package."""

from fastbp.optimizers.adam import (
    Adam as Adam,
    Adamax as Adamax,
    AdamW as AdamW,
    Adan as Adan,
    NAdam as NAdam,
    RAdam as RAdam,
)
from fastbp.optimizers.adaptive import Adadelta as Adadelta, Adagrad as Adagrad, RMSprop as RMSprop
from fastbp.optimizers.clipping import clip_by_global_norm as clip_by_global_norm
from fastbp.optimizers.momentum import SGD as SGD
from fastbp.optimizers.muon import Muon as Muon
from fastbp.optimizers.optimizer import Optimizer as Optimizer, from_config as from_config
from fastbp.optimizers.sign_based import Lion as Lion, Rprop as Rprop
