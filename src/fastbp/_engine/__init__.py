"""The compiled engine.  It checks nothing: the folders above call it with checked arrays only.

README.md in this folder says how a training step runs through these files.
"""

from fastbp._engine import functional
from fastbp._engine.batches import Batches
from fastbp._engine.chain import Chain
from fastbp._engine.derivatives import (
    parameter_second,
    pull,
    push,
    rows_gradients,
    second,
    vjp,
    weight_products,
)
from fastbp._engine.dict_row import DictRow
from fastbp._engine.fast_activation import Function
from fastbp._engine.fast_path import FastPath
from fastbp._engine.figures import FIGURES, describe, slope_bounds, tensor_gradients, values
from fastbp._engine.functional import first_nonfinite, first_outside, loss
from fastbp._engine.loss_term import Term
from fastbp._engine.program import Program
from fastbp._engine.sources import Source, SparseSource
from fastbp._engine.tables import (
    ACTIVATIONS,
    CONSTRAINTS,
    LOSSES,
    OPS,
    RULES,
    SOURCES,
    Activation,
    Loss,
    Parameter,
    Rule,
    Setting,
)
from fastbp._engine.tangent_graph import NoTangentRule, one_hidden_layer, tangent
from fastbp._engine.threads import Lock
from fastbp._engine.variant import isa

__all__ = [
    "ACTIVATIONS",
    "CONSTRAINTS",
    "FIGURES",
    "LOSSES",
    "OPS",
    "RULES",
    "SOURCES",
    "Activation",
    "Batches",
    "Chain",
    "DictRow",
    "FastPath",
    "Function",
    "Lock",
    "Loss",
    "NoTangentRule",
    "Parameter",
    "Program",
    "Rule",
    "Setting",
    "Source",
    "SparseSource",
    "Term",
    "describe",
    "first_nonfinite",
    "first_outside",
    "functional",
    "isa",
    "loss",
    "one_hidden_layer",
    "parameter_second",
    "pull",
    "push",
    "rows_gradients",
    "second",
    "slope_bounds",
    "tangent",
    "tensor_gradients",
    "values",
    "vjp",
    "weight_products",
]
