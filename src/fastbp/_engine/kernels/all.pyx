"""The kernels of one variant.  setup.py compiles this source once for each instruction set and number type.

Kernels check nothing, allocate nothing and touch no Python object: program.pyx and functional.pyx call
them with memory of the right size.  Families are included in the order in which they use each other.
"""
from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport INFINITY, NAN, fabs, floor, log as log_double, pow, sqrt as sqrt_double, sqrtf
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastbp._engine.kernel_table cimport (
    EACH_OUTPUT, FLAG, HEADS, MAX_STATES, NUMBER, Activation, ChainLink, Constraint, ConstraintKernel,
    Context, GatherKernel, GradientKernel, Group, GroupLossKernel, HigherKernel, Kernels, Loss, Op, OpKind,
    OutputCurvatureKernel, OutputLossKernel, Parameter, PrepareKernel, Rows, RowsKernel, Rule, Setting, SlopesKernel,
    SourceKind,
    Step, Targets, Tensor, UpdateKernel, ValueKernel, VjpKernel,
)
from fastbp._engine.kernels.random cimport draw, row_key
from fastbp._engine.kernels.tensors cimport (
    AHEAD, absolute, at, beyond, block_of, blocks, copy_features, copy_rows, fill_row, least, numbers_in, padded, parts,
    piece, row_dot, row_sum, scaled, sum_rows, whole, width_of, within, zero_rows,
)
from fastbp._engine.vector_rows cimport (
    add_lanes, add_products, all_finite, keep_largest, largest_across, read_first, sums_across, write_first,
)
from fastbp._engine.lane_tile cimport LANE_LOSSES, LANE_PRODUCT, LANE_ROWS, LANE_SUMS, MOVE_LANES
from fastbp._engine.roots cimport square_roots, vector
from fastbp._engine.scalar cimport (
    Double, Single, exp, exp_minus, exp_of_minus_square, exp_of_negative, exp_of_product, exp_over, expm1, log,
    log1p_of_unit, normal_tail_ratio, sigmoid, square_root, tanh, upper_half,
)
from fastbp._engine.signals cimport OPERATIONS
from fastbp._engine.tile cimport (
    BLOCKED, COLUMNS, FROM_BIAS, FROM_C, FROM_ZERO, HEIGHTS, LANES, LONE_VECTORS, LONES, OUTERS, PANEL, PLAIN,
    TILE_ROWS, TILES, fetch, operand, real, result, stream_line, transpose,
)

include "arrays.pxi"
include "casts.pxi"
include "activations/table.pxi"
include "activations/higher.pxi"
include "activations/s_shaped.pxi"
include "activations/rectifiers.pxi"
include "activations/self_gated.pxi"
include "activations/shrinks.pxi"
include "activations/sine.pxi"
include "activations/softmax.pxi"
include "dense.pxi"
include "lone_row.pxi"
include "ops/table.pxi"
include "sparse.pxi"
include "ops/dropout.pxi"
include "ops/arithmetic.pxi"
include "ops/columns.pxi"
include "ops/functions.pxi"
include "ops/embedding.pxi"
include "ops/normalization.pxi"
include "ops/prelu.pxi"
include "ops/tangents.pxi"
include "ops/jets.pxi"
include "ops/derivatives.pxi"
include "losses/table.pxi"
include "losses/by_output.pxi"
include "losses/by_class_index.pxi"
include "losses/regression.pxi"
include "losses/probability.pxi"
include "losses/by_row.pxi"
include "updates/table.pxi"
include "updates/adaptive.pxi"
include "updates/sign_based.pxi"
include "updates/decay.pxi"
include "updates/clipping_and_averages.pxi"
include "updates/muon.pxi"
include "updates/constraints.pxi"

cdef Kernels table
table.item = sizeof(real)
table.panel = PANEL
table.lanes = LANES
table.scratch = SCRATCH * sizeof(real)
table.ops = op_kinds
table.dense = dense_entry
table.add_gram = add_gram
table.sparse_dense = &sparse_dense
table.gather_sparse = gather_sparse
table.activations = activations
table.losses = losses
table.rules = rules
table.constraints = constraints
table.sources = sources
table.fit_rows = fit_rows
table.load_rows = load_rows
table.store_rows = store_rows
table.loss_scale = loss_scale
table.sum_losses = sum_losses
table.loss_scratch = loss_scratch
table.apply_loss = apply_loss
table.update = update
table.describe = describe
table.squares_of = squares_of
table.sum_of_squares = sum_of_squares
table.stream = stream
table.move_lanes = MOVE_LANES
table.lane_product, table.lane_sums = LANE_PRODUCT, LANE_SUMS
table.lane_losses, table.lane_rows = LANE_LOSSES, LANE_ROWS
table.first_nonfinite = first_nonfinite
table.first_outside = first_outside

TABLE = PyCapsule_New(&table, b"fastbp._engine.kernels", NULL)
