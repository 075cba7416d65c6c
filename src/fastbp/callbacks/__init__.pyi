"""The public names of this folder: written by docs/write_stubs.py from those of the package."""

from fastbp.callbacks.callback import (
    Callback as Callback,
    LambdaCallback as LambdaCallback,
    TerminateOnNaN as TerminateOnNaN,
)
from fastbp.callbacks.checkpoints import ModelCheckpoint as ModelCheckpoint
from fastbp.callbacks.history import History as History
from fastbp.callbacks.learning_rate_finder import LearningRateFinder as LearningRateFinder
from fastbp.callbacks.loggers import (
    CSVLogger as CSVLogger,
    JSONLogger as JSONLogger,
    MlflowLogger as MlflowLogger,
    TensorBoardLogger as TensorBoardLogger,
    WandbLogger as WandbLogger,
)
from fastbp.callbacks.progress import ProgressBar as ProgressBar
from fastbp.callbacks.pruning import OptunaPruning as OptunaPruning
from fastbp.callbacks.stopping import EarlyStopping as EarlyStopping, ReduceLROnPlateau as ReduceLROnPlateau
