"""The public names of the package: the one list of them. `fastbp._lazy` reads it."""

from fastbp import (
    activations as activations,
    callbacks as callbacks,
    cli as cli,
    datasets as datasets,
    derivatives as derivatives,
    distributed as distributed,
    functional as functional,
    initializers as initializers,
    layers as layers,
    losses as losses,
    metrics as metrics,
    optimizers as optimizers,
    plotting as plotting,
    river as river,
    schedules as schedules,
    sklearn as sklearn,
    threads as threads,
)
from fastbp.activations import (
    celu as celu,
    elu as elu,
    hard_shrink as hard_shrink,
    hard_tanh as hard_tanh,
    leaky_relu as leaky_relu,
    rrelu as rrelu,
    soft_shrink as soft_shrink,
    softplus as softplus,
    squareplus as squareplus,
    threshold as threshold,
)
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
from fastbp.data.batches import batches as batches
from fastbp.data.chunks import Chunks as Chunks
from fastbp.data.splitting import Split as Split, kfold as kfold
from fastbp.derivatives.by_parameters import (
    per_sample_gradient_norms as per_sample_gradient_norms,
    per_sample_gradients as per_sample_gradients,
)
from fastbp.derivatives.finite_differences import check_gradients as check_gradients
from fastbp.derivatives.first_order import (
    input_gradient as input_gradient,
    jacobian as jacobian,
    jvp as jvp,
    log_abs_det_jacobian as log_abs_det_jacobian,
    vjp as vjp,
)
from fastbp.derivatives.second_order import hessian as hessian, hvp as hvp
from fastbp.errors import DivergenceError as DivergenceError, ModelFormatError as ModelFormatError
from fastbp.insight.diagnosis import Diagnosis as Diagnosis, diagnose as diagnose
from fastbp.insight.explanation import Explanation as Explanation, explain as explain
from fastbp.insight.gradient_monitor import GradientMonitor as GradientMonitor
from fastbp.layers.arithmetic import Log as Log, Mean as Mean, Power as Power, Sum as Sum
from fastbp.layers.blocks import GLU as GLU, Highway as Highway, Maxout as Maxout, Residual as Residual
from fastbp.layers.constraints import MaxNorm as MaxNorm, NonNegative as NonNegative
from fastbp.layers.dense import Activation as Activation, Dense as Dense, Dropout as Dropout, PReLU as PReLU
from fastbp.layers.differentiation import (
    diff as diff,
    directional as directional,
    grad as grad,
    hess as hess,
    jac as jac,
    laplacian as laplacian,
    logdet as logdet,
)
from fastbp.layers.embedding import Embedding as Embedding
from fastbp.layers.functions import (
    abs as abs,
    cos as cos,
    dot as dot,
    exp as exp,
    log as log,
    mean as mean,
    sin as sin,
    sqrt as sqrt,
    sum as sum,
)
from fastbp.layers.merge import (
    Add as Add,
    Average as Average,
    Broadcast as Broadcast,
    Concatenate as Concatenate,
    Constant as Constant,
    Divide as Divide,
    Maximum as Maximum,
    Minimum as Minimum,
    Multiply as Multiply,
    Rescaling as Rescaling,
    Slice as Slice,
    Subtract as Subtract,
)
from fastbp.layers.node import Input as Input
from fastbp.layers.normalization import BatchNorm as BatchNorm, LayerNorm as LayerNorm, RMSNorm as RMSNorm
from fastbp.layers.operators import maximum as maximum, minimum as minimum
from fastbp.layers.parameter import Parameter as Parameter
from fastbp.layers.python_layer import Lambda as Lambda, PythonLayer as PythonLayer
from fastbp.many.cross_validation import cross_validate as cross_validate
from fastbp.many.ensemble import Ensemble as Ensemble
from fastbp.many.fit_many import fit_many as fit_many
from fastbp.many.trainers import Trainers as Trainers
from fastbp.model import Model as Model, Sequential as Sequential, load as load
from fastbp.network.tape import Tape as Tape
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
from fastbp.optimizers.sign_based import Lion as Lion, Rprop as Rprop
from fastbp.readers.fann import from_fann as from_fann
from fastbp.readers.keras.reader import from_keras as from_keras
from fastbp.readers.onnx.reader import from_onnx as from_onnx
from fastbp.readers.sklearn import from_sklearn as from_sklearn
from fastbp.readers.torch.reader import from_torch as from_torch
from fastbp.sklearn import MLPClassifier as MLPClassifier, MLPRegressor as MLPRegressor
from fastbp.threads import get_num_threads as get_num_threads, set_num_threads as set_num_threads
from fastbp.training.full_batch import Optimum as Optimum, minimize as minimize
from fastbp.training.trainer import Trainer as Trainer

__version__: str
