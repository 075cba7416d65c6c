"""What the engine gives to the folders above: the one list of it. `fastbp._lazy` reads it."""

from fastbp._engine import functional as functional
from fastbp._engine.batches import Batches as Batches
from fastbp._engine.chain import Chain as Chain
from fastbp._engine.derivative_graph import DerivativeGraph as DerivativeGraph
from fastbp._engine.derivative_rules import OrderTooHigh as OrderTooHigh, parts_of_jet as parts_of_jet
from fastbp._engine.derivatives import (
    parameter_second as parameter_second,
    pull as pull,
    push as push,
    rows_gradients as rows_gradients,
    second as second,
    vjp as vjp,
    weight_products as weight_products,
)
from fastbp._engine.dict_row import DictRow as DictRow
from fastbp._engine.fast_activation import Function as Function
from fastbp._engine.fast_path import (
    FastPath as FastPath,
    Lanes as Lanes,
    lanes_of as lanes_of,
    step_each as step_each,
)
from fastbp._engine.figures import (
    FIGURES as FIGURES,
    describe as describe,
    slope_bounds as slope_bounds,
    tensor_gradients as tensor_gradients,
    values as values,
)
from fastbp._engine.functional import first_nonfinite as first_nonfinite, first_outside as first_outside, loss as loss
from fastbp._engine.fusion import compact as compact, fused as fused, needed as needed
from fastbp._engine.locked_passes import (
    applied as applied,
    backward_taped as backward_taped,
    collected as collected,
    coupled as coupled,
    forward_kept as forward_kept,
    forward_taped as forward_taped,
    gradient_of as gradient_of,
    predict_fit as predict_fit,
    train as train,
    updated as updated,
)
from fastbp._engine.loss_term import Term as Term
from fastbp._engine.native import Native as Native, capsule as capsule
from fastbp._engine.program import Program as Program
from fastbp._engine.reverse_graph import (
    NoGradientRule as NoGradientRule,
    gradient_of_tensor as gradient_of_tensor,
    products_between as products_between,
    without_rule as without_rule,
)
from fastbp._engine.sources import Source as Source, SparseSource as SparseSource
from fastbp._engine.tables import (
    ACTIVATIONS as ACTIVATIONS,
    CONSTRAINTS as CONSTRAINTS,
    LOSSES as LOSSES,
    OPS as OPS,
    RULES as RULES,
    SOURCES as SOURCES,
    Activation as Activation,
    Loss as Loss,
    Parameter as Parameter,
    Rule as Rule,
    Setting as Setting,
)
from fastbp._engine.tangent_graph import (
    TANGENT_RULES as TANGENT_RULES,
    NoTangentRule as NoTangentRule,
    one_hidden_layer as one_hidden_layer,
    tangent as tangent,
)
from fastbp._engine.threads import Lock as Lock
from fastbp._engine.variant import isa as isa
