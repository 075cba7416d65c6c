"""The compiled plan of a net, as all passes see it: its nodes, where batches enter and leave it, how it is cut."""
from libc.stdint cimport int64_t

from fastbp._engine.chain cimport Rules
from fastbp._engine.kernel_table cimport Constraint, Context, Kernels, Op, Rows, Targets, Tensor

cdef enum:
    SHORT_ROWS = 64             # rows up to which a step of a small net, or of many in SIMD lanes, is a short one
    CLOCKED = 16                # short steps between two looks at the clock, each a tenth of a step


cdef struct Node:
    Op op
    bint trains                 # it has trained parameters, or a node upstream of it has
    bint live                   # an output depends on it
    bint shares_gradient        # an earlier node has the same parameters ...
    bint shares_bias            # ... and the same bias
    bint last_of_parameters     # no later node has the same parameters ...
    bint last_of_bias           # ... or the same bias
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
    double scale                # factor of the rows' losses in the batch's
    double loss                 # what this output adds to the loss of the last batch


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
    bint forms_first            # a node in Python has parameters: the whole gradient is formed before any update
    void* owner                 # the program
    double products             # multiplications of a row in the largest dense layer
    bint small                  # few rows through it take a short step: passes/short_step.pxd
    Span* spans                 # what such a step updates
    Py_ssize_t n_spans
    bint looks                  # the pass takes long: it looks for signals from time to time: passes/interruption.pxd
    double looked               # when it last looked
    void (*look)(Plan* plan) noexcept nogil     # looks, if the time has come
    bint stopped                # a signal's handler has raised
    bint undone                 # the caller undoes an update that stops
    bint formed                 # the gradient is formed already: only the update is left
    bint unfit                  # a source had a number that is not allowed
    bint any_table              # some inputs are row numbers of embedding tables
    bint all_plain              # all sources are plain arrays, none a Source
    bint any_sparse             # some sources are in compressed form (CSR)
    Py_ssize_t capacity         # rows that the buffers hold
    Py_ssize_t rows             # rows of the last pass
    double* row_losses          # of each sink, one after the other ...
    Py_ssize_t loss_rows        # ... for this many rows
    Py_ssize_t most_at_once     # rows of a part, where a batch's gradient is summed in parts; 0: it never is
    bint keeps_rows             # the buffers hold all rows after a training pass
    bint in_parts               # the last training pass went through the buffers in parts
    Py_ssize_t part             # where the current part begins in the batch ...
    Py_ssize_t shift            # ... and in the buffers, in phase two
    # The current pass:
    const int64_t* order        # of the rows of an epoch, or NULL
    Py_ssize_t first            # where the batch begins in it
    double scale                # 1 / (number of rows), or for a weighted mean 1 / (sum of the first output's weights)
    bint inputs_wanted, outputs_wanted
    bint direct                 # the caller's rows are read in place
    Py_ssize_t first_node, last_node    # of the current stage: passes/forward_backward.pxd
    Rules* rules                # NULL: gradients without an update
    const double* scales        # factors of the losses of each sink; NULL: each sink has its own
    bint meets                  # the ranks combine statistics where a node couples rows: `Program.meeting` ...
    void (*meet)(Plan* plan, Py_ssize_t k, bint forward) noexcept nogil     # ... at node k


cdef inline Py_ssize_t cut(Py_ssize_t n, int part, int of) noexcept nogil:
    """Where a part begins, and the one before it ends."""
    return n * part // of


cdef inline Py_ssize_t cut_rows(const Plan* plan, int part, int of) noexcept nogil:
    """Where a part of the rows begins: at a whole vector, so that a row has the same SIMD lane in any thread; compilers
    may treat lanes differently, since they may or may not fuse a product and a sum."""
    cdef Py_ssize_t lanes = plan.kernels.lanes
    return min(plan.rows, lanes * cut((plan.rows + lanes - 1) // lanes, part, of))
