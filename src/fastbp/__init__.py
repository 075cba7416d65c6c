"""Backpropagation for dense networks on the CPU, as fast as the machine allows."""

from typing import TYPE_CHECKING

from fastbp import _engine, activations, datasets, functional, initializers, losses, metrics, schedules
from fastbp.blocks import GLU, Highway, Maxout, Residual
from fastbp.callbacks import Callback, LambdaCallback, TerminateOnNaN
from fastbp.constraints import MaxNorm, NonNegative
from fastbp.custom import Lambda
from fastbp.data import batches
from fastbp.embedding import Embedding
from fastbp.errors import DivergenceError, ModelFormatError
from fastbp.gates import (
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
    maximum,
    minimum,
)
from fastbp.graph import Input
from fastbp.history import History
from fastbp.layers import Activation, Dense, Dropout, PReLU
from fastbp.model import Model, Sequential, load
from fastbp.normalization import BatchNorm, LayerNorm, RMSNorm
from fastbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    clip_by_global_norm,
)
from fastbp.progress import ProgressBar
from fastbp.splitting import Split, kfold
from fastbp.threads import get_num_threads, set_num_threads
from fastbp.training import Trainer

__all__ = [
    "GLU",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "Add",
    "Average",
    "BatchNorm",
    "Broadcast",
    "CSVLogger",
    "Callback",
    "Concatenate",
    "Constant",
    "Dense",
    "Diagnosis",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "Explanation",
    "GradientMonitor",
    "Highway",
    "History",
    "Input",
    "JSONLogger",
    "Lambda",
    "LambdaCallback",
    "LayerNorm",
    "LearningRateFinder",
    "Lion",
    "MaxNorm",
    "Maximum",
    "Maxout",
    "Minimum",
    "MlflowLogger",
    "Model",
    "ModelCheckpoint",
    "ModelFormatError",
    "Multiply",
    "Muon",
    "NAdam",
    "NonNegative",
    "Optimum",
    "PReLU",
    "ProgressBar",
    "RAdam",
    "RMSNorm",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rescaling",
    "Residual",
    "Rprop",
    "Sequential",
    "Slice",
    "Split",
    "Subtract",
    "TensorBoardLogger",
    "TerminateOnNaN",
    "Trainer",
    "WandbLogger",
    "__version__",
    "activations",
    "batches",
    "check_gradients",
    "clip_by_global_norm",
    "cross_validate",
    "datasets",
    "diagnose",
    "explain",
    "from_fann",
    "from_keras",
    "from_onnx",
    "from_sklearn",
    "from_torch",
    "functional",
    "get_num_threads",
    "hessian",
    "hvp",
    "initializers",
    "input_gradient",
    "jacobian",
    "jvp",
    "kfold",
    "load",
    "log_abs_det_jacobian",
    "losses",
    "maximum",
    "metrics",
    "minimize",
    "minimum",
    "per_sample_gradient_norms",
    "per_sample_gradients",
    "plotting",
    "schedules",
    "set_num_threads",
    "vjp",
]
_PARAMETRIZED = tuple(sorted(row.name for row in _engine.ACTIVATIONS.values() if row.parameters))
__all__ += _PARAMETRIZED

if TYPE_CHECKING:  # what LATE has, for those who read types before anything runs
    from fastbp import plotting
    from fastbp.activations import _Maker
    from fastbp.checkpoints import ModelCheckpoint
    from fastbp.cross_validation import cross_validate
    from fastbp.curvature import hessian, hvp
    from fastbp.derivatives import input_gradient, jacobian, jvp, log_abs_det_jacobian, vjp
    from fastbp.diagnostics import Diagnosis, diagnose
    from fastbp.explanation import Explanation, explain
    from fastbp.fann_format import from_fann
    from fastbp.full_batch import Optimum, minimize
    from fastbp.gradients import check_gradients, per_sample_gradient_norms, per_sample_gradients
    from fastbp.keras_format import from_keras
    from fastbp.loggers import CSVLogger, JSONLogger, MlflowLogger, TensorBoardLogger, WandbLogger
    from fastbp.monitor import GradientMonitor
    from fastbp.onnx_reader import from_onnx
    from fastbp.rate_finder import LearningRateFinder
    from fastbp.sklearn import MLPClassifier as MLPClassifier  # given on, though __all__ has it not
    from fastbp.sklearn import MLPRegressor as MLPRegressor
    from fastbp.sklearn_format import from_sklearn
    from fastbp.stopping import EarlyStopping, ReduceLROnPlateau
    from fastbp.torch_reader import from_torch

    celu: _Maker
    elu: _Maker
    hard_shrink: _Maker
    hard_tanh: _Maker
    leaky_relu: _Maker
    rrelu: _Maker
    soft_shrink: _Maker
    softplus: _Maker
    squareplus: _Maker
    threshold: _Maker
    __version__: str

LATE = {
    "activations": _PARAMETRIZED,
    "checkpoints": ("ModelCheckpoint",),
    "cross_validation": ("cross_validate",),
    "curvature": ("hessian", "hvp"),
    "derivatives": ("input_gradient", "jacobian", "jvp", "log_abs_det_jacobian", "vjp"),
    "diagnostics": ("Diagnosis", "diagnose"),
    "explanation": ("Explanation", "explain"),
    "fann_format": ("from_fann",),
    "full_batch": ("Optimum", "minimize"),
    "gradients": ("check_gradients", "per_sample_gradient_norms", "per_sample_gradients"),
    "loggers": ("CSVLogger", "JSONLogger", "MlflowLogger", "TensorBoardLogger", "WandbLogger"),
    "keras_format": ("from_keras",),
    "monitor": ("GradientMonitor",),
    "onnx_reader": ("from_onnx",),
    "rate_finder": ("LearningRateFinder",),
    "sklearn": ("MLPClassifier", "MLPRegressor"),  # not in __all__: `import *` shall not load scikit-learn
    "sklearn_format": ("from_sklearn",),
    "stopping": ("EarlyStopping", "ReduceLROnPlateau"),
    "torch_reader": ("from_torch",),
}  # modules that are loaded when one of their names is first touched
LATE_MODULES = ("plotting",)


if not TYPE_CHECKING:  # a checker would take any name for one of ours

    def __getattr__(name):
        if name == "__version__":
            from importlib.metadata import version

            return version("fastbp")
        from importlib import import_module

        if name in LATE_MODULES:
            return import_module(f"fastbp.{name}")
        for module, names in LATE.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f"fastbp.{module}"), name)
                return value
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *(name for names in LATE.values() for name in names)})
