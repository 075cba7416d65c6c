"""Figures of the last pass, for diagnosis and explanation: the nodes' outputs, their gradients, statistics of both."""
from libc.math cimport NAN, sqrt

import numpy as np

from fastbp._engine.kernel_table cimport Activation, Op
from fastbp._engine.memory cimport address
from fastbp._engine.plan cimport Node
from fastbp._engine.program cimport Program, TensorHolder

# The columns of `describe`.
FIGURES = ("mean", "std", "saturated", "dead", "gradient", "weight", "weight_gradient")


cdef Activation shaped(const Op* op) noexcept:
    """The activation's entry of the table, with the fields that depend on its parameters."""
    cdef Activation row = op.activation[0]
    if row.shape != NULL:
        row.shape(op.alpha, op.beta, &row)
    return row


def describe(Program program, out, bint inputs=False):
    """A row of FIGURES for each op, of the last pass over training rows.

    `saturated` is a share of the numbers, `dead` of the columns; each is NaN where the activation cannot be so.
    `gradient` is the root mean square, over rows and columns, of the gradient of the batch's loss by the op's output,
    or by its pre-activation (dZ) where the op has an activation; NaN where the pass computed none (`inputs`: it went
    back to the inputs).  Norms of weights are NaN for ops without weights; before a pass all is NaN.
    """
    cdef Py_ssize_t k, N = min(program.plan.rows, program.plan.capacity), size
    cdef const Node* node
    cdef Activation f
    cdef double[4] sums
    cdef double count
    cdef double* figures = <double*> address(out, len(out) * len(FIGURES) * sizeof(double))
    if N == 0:
        out[...] = NAN
        return
    for k, spec in enumerate(program.specs):
        if spec.kind == "fan_out":
            continue
        node, f = program.plan.nodes + k, shaped(&program.plan.nodes[k].op)
        count = <double> N * node.op.Y.width
        program.plan.kernels.describe(&node.op.Y, N, f.low, f.high, sums)
        figures[0], figures[1] = sums[0] / count, sqrt(max(0, sums[1] / count - (sums[0] / count) ** 2))
        figures[2] = sums[2] / count if f.low < f.high else NAN
        figures[3] = sums[3] / <double> node.op.Y.width if f.dies else NAN
        figures[4] = NAN
        if node.live and (inputs or node.trains):
            figures[4] = sqrt(program.plan.kernels.squares_of(&node.op.dY, N) / count)
        size = node.weight_rows * node.weight_columns
        figures[5] = sqrt(program.plan.kernels.sum_of_squares(node.op.W, size)) if node.weights >= 0 else NAN
        figures[6] = sqrt(program.plan.kernels.sum_of_squares(node.op.dW, size)) if node.weights >= 0 else NAN
        figures += len(FIGURES)


def slope_bounds(Program program):
    """The largest slope of each op's activation."""
    return [shaped(&program.plan.nodes[k].op).bound for k, spec in enumerate(program.specs)
            if spec.kind != "fan_out"]


def values(Program program):
    """What each tensor held in the last pass."""
    cdef Py_ssize_t N = min(program.plan.rows, program.plan.capacity)
    return [rows_of_tensor(program, holder, N) for holder in program.tensors]


def tensor_gradients(Program program):
    """From the last backward pass: dLoss/d(value) of each tensor, and what each op sent to each of its operands."""
    cdef Py_ssize_t N = min(program.plan.rows, program.plan.capacity)
    uses = [rows_of_tensor(program, holder, N) for holder in program.gradients]
    firsts = {spec.gradients[0]: spec.gradients for spec in program.specs if spec.kind == "fan_out"}
    for first, others in firsts.items():
        # A fan_out has summed all shares into the first.
        uses[first] = uses[first] - sum([uses[g] for g in others[1:]])
    sent = [[uses[g] if spec.live else np.zeros_like(uses[g]) for g in spec.gradients]
            for spec in program.specs if spec.kind != "fan_out"]
    totals = {t: sum([uses[g] for g in firsts.get(own, (own,))]) for t, own in program.owns}
    return totals, sent


cdef rows_of_tensor(Program program, TensorHolder holder, Py_ssize_t N):
    array = np.empty((N, holder.tensor.width), program.dtype)
    program.plan.kernels.store_rows(&holder.tensor, address(array, array.nbytes), holder.tensor.width, 0, N)
    return array
