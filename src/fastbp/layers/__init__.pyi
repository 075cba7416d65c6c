"""The public names of this folder: written by docs/write_stubs.py from those of the package."""

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
from fastbp.layers.layer import Layer as Layer
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
from fastbp.layers.node import Input as Input, Node as Node
from fastbp.layers.normalization import BatchNorm as BatchNorm, LayerNorm as LayerNorm, RMSNorm as RMSNorm
from fastbp.layers.operators import maximum as maximum, minimum as minimum
from fastbp.layers.parameter import Parameter as Parameter
from fastbp.layers.python_layer import Lambda as Lambda, PythonLayer as PythonLayer
