"""The compiled plan of a net, as all passes see it: its nodes, where batches enter and leave it, how it is cut."""
from libc.stdint cimport int64_t

from fastbp._engine.chain cimport Rules
from fastbp._engine.kernel_table cimport Constraint, Context, Kernels, Op, Rows, Targets, Tensor

cdef enum:
    SHORT_ROWS = 64             # up to which a step through a small net, or of many in lanes, is a short one


cdef struct Node:
    Op op
    bint trains                 # parameters stand at it or above it
    bint live                   # an output depends on it
    bint shares_gradient        # an earlier node has the same parameters ...
    bint shares_bias            # ... and the same bias
    bint last_of_parameters     # ... no later one has ...
    bint last_of_bias           # ... no later one has the same bias
    Py_ssize_t weights, bias    # where they begin in the flat vector; -1: none
    Py_ssize_t weight_rows, weight_columns
    const Constraint* constraint    # of the weights, or NULL
    double limit


cdef struct Port:
    # Where a batch enters or leaves the net.
    Tensor value
    Tensor gradient
    char* array                 # the caller's rows ...
    Rows rows                   # ... or, where they are a Source's, how to read them
    bint dense_only             # nothing but dense layers reads it
    Targets targets
    double scale                # of the rows' losses in the batch
    double loss                 # of the last batch: what this output adds to it


cdef struct Span:
    Py_ssize_t start, stop      # of the flat vector


cdef struct Plan:
    const Kernels* kernels
    char* params
    char* grads
    Py_ssize_t n_nodes, n_sources, n_sinks
    Node* nodes
    Port* sources
    Port* sinks
    Context* contexts           # one a thread
    Py_ssize_t n_operands
    Tensor* X                   # of all nodes, one after the other
    Py_ssize_t* X_source        # the source that an operand is, or -1
    bint all_dense              # nothing but dense layers reads the sources
    Py_ssize_t* coupled         # the nodes that couple rows in training
    Py_ssize_t n_coupled, n_constrained
    bint failed                 # a node in Python has raised
    bint forms_first            # such a node has parameters: the whole gradient is there before any update
    void* owner                 # the program
    double products             # of a row in the widest layer
    bint small                  # few rows of it take a short step: passes/short_step.pxd
    Span* spans                 # what such a step updates
    Py_ssize_t n_spans
    bint looks                  # the pass takes long: it looks for signals from time to time: passes/interruption.pxd
    double looked               # when it did last
    void (*look)(Plan* plan) noexcept nogil     # looks, if the time has come
    bint stopped                # a signal's handler has raised
    bint undone                 # an update that stops is put back by the caller
    bint formed                 # the gradient is there, and only the update is wanted
    bint unfit                  # a source had a number that it must not have
    bint any_table              # some inputs name rows of tables
    bint all_plain              # no source is a Source's
    bint any_sparse             # some are in compressed form
    Py_ssize_t capacity         # rows that the buffers hold
    Py_ssize_t rows             # rows of the last pass
    double* row_losses          # of each sink, one after the other ...
    Py_ssize_t loss_rows        # ... for this many rows
    Py_ssize_t most_at_once     # of the rows of a batch, where its gradient is summed in parts; 0: it never is
    bint keeps_rows             # the buffers hold all rows after a training pass
    bint in_parts               # the last one went in parts through the buffers
    Py_ssize_t part             # where the part that goes on begins in the batch ...
    Py_ssize_t shift            # ... and in the buffers, in phase two
    # The pass that goes on:
    const int64_t* order        # of the rows of an epoch, or NULL
    Py_ssize_t first            # where the batch begins in it
    double scale                # 1 / (number of rows), or of a weighted mean 1 / (sum of the first output's weights)
    bint inputs_wanted, outputs_wanted
    bint direct                 # the callers' rows are read where they are
    Py_ssize_t first_node, last_node    # of the stage that goes on: passes/forward_backward.pxd
    Rules* rules                # NULL: gradients without an update
    const double* scales        # of the losses of each sink; NULL: each its own
    bint meets                  # the ranks' rows meet where a node couples rows: `Program.meeting` ...
    void (*meet)(Plan* plan, Py_ssize_t k, bint forward) noexcept nogil     # ... at node k


cdef inline Py_ssize_t cut(Py_ssize_t n, int part, int of) noexcept nogil:
    """Where a part begins, and the one before it ends."""
    return n * part // of


cdef inline Py_ssize_t cut_rows(const Plan* plan, int part, int of) noexcept nogil:
    """The same of rows, by whole vectors: a row then has the same lane of a vector whoever computes it, and compilers
    may treat lanes differently, since they may or may not fuse a product and a sum."""
    cdef Py_ssize_t lanes = plan.kernels.lanes
    return min(plan.rows, lanes * cut((plan.rows + lanes - 1) // lanes, part, of))
