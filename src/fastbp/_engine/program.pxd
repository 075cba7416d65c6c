"""The compiled plan of a net: program.pyx."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastbp._engine.chain cimport Chain, Rules
from fastbp._engine.kernel_table cimport Constraint, Context, Kernels, Op, Rows, Targets, Tensor
from fastbp._engine.memory cimport Arena
from fastbp._engine.thread_choice cimport Tuner


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
    bint small                  # few rows of it take a short step: passes/short_step.pxi
    Span* spans                 # what such a step updates
    Py_ssize_t n_spans
    bint looks                  # the pass takes long: it looks for signals from time to time: interruption.pxi
    double looked               # when it did last
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
    Py_ssize_t first_node, last_node    # of the stage that goes on: passes/forward_backward.pxi
    Rules* rules                # NULL: gradients without an update
    const double* scales        # of the losses of each sink; NULL: each its own
    bint meets                  # the ranks' rows meet where a node couples rows: `Program.meeting`


cdef enum:
    # What is tuned by itself.
    STEPS, GRADIENTS, FORWARDS, BACKWARDS, PREDICTIONS, KINDS_OF_PASS


cdef class Program:
    cdef object __weakref__
    cdef Plan plan
    cdef Tuner[KINDS_OF_PASS] tuners
    cdef object dtype
    cdef list arrays            # kept alive: params and grads, and the structs below
    cdef list in_python         # the nodes that Python computes
    cdef list tensors, gradients    # of the buffers
    cdef list owns              # (tensor, its first gradient)
    cdef object interruption    # what a signal's handler has raised
    cdef object sweeper         # of derivatives.pyx, when first wanted
    cdef list widths, specs, gradient_widths, inputs, outputs
    cdef public uint64_t seed, draws    # of dropout; forward passes in training, which number its masks
    cdef public uint64_t row            # of the whole batch, with which the batch begins: in data parallel training
    cdef public object meeting          # what is called where a node couples rows: passes/meeting.pxi
    cdef public Py_ssize_t pending      # rows of the forward pass that a backward pass may follow, 0 for none
    cdef int n_contexts         # that have scratch memory ...
    cdef Py_ssize_t scratch     # ... of this many bytes
    cdef const char* params_end     # of the memory that params lies in
    cdef double row_seconds     # that one thread takes for a row, roughly
    cdef Tensor* dX             # of all nodes, one after the other
    cdef void** dX_data         # dX.data, which is NULL while it is not wanted
    cdef bint* dX_trains
    cdef Arena buffers          # activations and their gradients
    cdef Arena losses_of_rows

    cdef void* own(self, Py_ssize_t size) except NULL
    cdef void raise_failed(self) except *
    cdef void reserve(self, Py_ssize_t rows) except *
    cdef void reserve_batch(self, Py_ssize_t rows) except *
    cdef void want_inputs(self, bint wanted) noexcept nogil
    cdef int claim(self, int threads, Py_ssize_t rows) except -1
    cdef void begin(self, bint training, uint64_t seed, uint64_t step) noexcept nogil
    cdef void predict_rows(self, Py_ssize_t N, int threads, bint tiny=*) except *
    cdef double value_and_gradients(self, bint training, uint64_t seed, uint64_t step, int wanted, int most,
                                    bint adds=*) noexcept nogil
    cdef int batch(self, Chain chain, double lr, uint64_t seed, uint64_t step, bint direct, int wanted, int most,
                   double* loss) noexcept nogil
    cdef int batch_on(self, int threads, Chain chain, double lr, uint64_t seed, uint64_t step, bint direct,
                      double* loss) noexcept nogil


cdef class TensorHolder:
    cdef Tensor tensor


cdef void attach_plain(Program program) noexcept
cdef void attach_sources(Program program, xs, Py_ssize_t rows) except *
cdef void attach_rows(Program program, Port* ports, Py_ssize_t n_ports, arrays, Py_ssize_t rows) except *
cdef new_rows(Program program, Port* ports, Py_ssize_t n_ports, Py_ssize_t rows)
cdef void attach_targets(Program program, Py_ssize_t n_sinks, ts, weights, terms, Py_ssize_t rows) except *

cdef bint stops(const Plan* plan, const Context* context) noexcept nogil
cdef void place_inputs(Plan* plan, bint direct, Py_ssize_t first) noexcept nogil
cdef void read_inputs(Plan* plan, bint direct, Py_ssize_t first) noexcept nogil
cdef void forward_rows(const Plan* plan, const Context* context, Py_ssize_t first, Py_ssize_t last,
                       Py_ssize_t start, Py_ssize_t stop) noexcept nogil
cdef void backward_rows(const Plan* plan, const Context* context, Py_ssize_t first, Py_ssize_t last,
                        Py_ssize_t start, Py_ssize_t stop) noexcept nogil
cdef void backward_pass(Plan* plan, int threads) noexcept nogil
cdef bint gradients(Plan* plan, bint adds, int threads) noexcept nogil
cdef bint updated(Plan* plan, Chain chain, double loss, double lr, double scale, bint formed,
                  int threads) noexcept nogil
cdef double batch_loss(Plan* plan, bint direct, bint adds, int threads) noexcept nogil
cdef void attach_training(Program program, xs, ts, weights, terms, Py_ssize_t rows) except *

cdef inline Py_ssize_t cut(Py_ssize_t n, int part, int of) noexcept nogil:
    """Where a part begins, and the one before it ends."""
    return n * part // of

cdef inline void no_gradient(const Op* op, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t O, bint bias,
                             Py_ssize_t item) noexcept nogil:
    """Nothing comes from an op that no output depends on: zeros, unless an earlier one has been there."""
    if not op.adds_gradient and op.dW != NULL:
        memset(<char*> op.dW + start * O * item, 0, (stop - start) * O * item)
    if bias and not op.adds_bias and op.db != NULL:
        memset(op.db, 0, O * item)

cdef inline Py_ssize_t cut_rows(const Plan* plan, int part, int of) noexcept nogil:
    """The same of rows, by whole vectors: a row then has the same lane of a vector whoever computes it, and compilers
    may treat lanes differently, since they may or may not fuse a product and a sum."""
    cdef Py_ssize_t lanes = plan.kernels.lanes
    return min(plan.rows, lanes * cut((plan.rows + lanes - 1) // lanes, part, of))
