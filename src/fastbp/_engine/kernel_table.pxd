"""The table of kernels: what each compiled variant (instruction set and number type) exports.

Everything here is plain C data, so that program.pyx, compiled once, can run any variant: numbers
are passed as `void*`, and only kernels, which know their type, read them.  Rejected: one program
per variant, which would be six copies of the memory and thread logic.

Legend, the same in every kernel: N rows, I inputs, O outputs; n, i, o their indices; X input,
Z pre-activation, Y output, W weights (I, O), b bias (O,); dT is dLoss/dT in T's shape.
"""
from libc.stdint cimport int64_t, uint64_t


cdef struct Tensor:
    # Element (n, j) is data[(j / panel) * block + n * pitch + j % panel]: blocks of `panel`
    # features.  The pitch is the panel, or in a tensor of one block its width in whole vectors.  A
    # C-contiguous array is the same with pitch = width and block = panel.
    void* data
    Py_ssize_t width
    Py_ssize_t pitch
    Py_ssize_t block


ctypedef void (*GatherKernel)(const void* A, const Rows* rows, const int64_t* order, Py_ssize_t first,
                              const Tensor* X, Py_ssize_t start, Py_ssize_t stop) noexcept nogil

cdef struct Rows:
    # The caller's rows where they lie: number (n, j) is at data + n * stride + j * step.
    const char* data
    Py_ssize_t stride, step     # in bytes
    GatherKernel gather         # casts them; NULL: C-contiguous rows of the net's dtype
    bint watched                # they are checked to be finite as they are read ...
    const double* limits        # ... and each column to have whole numbers below its limit, 0 for none; or NULL
    # In compressed form (CSR) row n is the numbers data[starts[n]] ... data[starts[n + 1] - 1] of the net's dtype,
    # in these ascending columns:
    const int64_t* starts       # NULL: not in compressed form
    const void* columns
    bint wide                   # columns have 64 bits, not 32

cdef struct SourceKind:
    const char* name            # of the dtype
    GatherKernel gather


ctypedef void (*ValueKernel)(const void* Z, void* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil
ctypedef void (*VjpKernel)(const void* Z, const void* Y, const void* dY, void* dZ, Py_ssize_t n, double alpha,
                           double beta) noexcept nogil
ctypedef void (*HigherKernel)(const void* Z, const void* Y, const void* dY, void* dZ, Py_ssize_t n, double alpha,
                              double beta, int order) noexcept nogil
ctypedef void (*SlopesKernel)(const void* Z, const void* Y, void* s, void* c, void* h, Py_ssize_t n, double alpha,
                              double beta) noexcept nogil
ctypedef void (*RowsValueKernel)(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t start,
                                 Py_ssize_t stop) noexcept nogil
ctypedef void (*RowsVjpKernel)(const Op* op, const Context* context, const Tensor* Z, const Tensor* dY,
                               const Tensor* dZ, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
ctypedef void (*ShapeKernel)(double alpha, double beta, Activation* row) noexcept nogil

cdef struct Setting:
    const char* name            # NULL for none
    double value                # the default
    double low, high            # the smallest value that is allowed, and an exclusive upper bound ...
    bint above                  # ... low is exclusive too

cdef struct Activation:
    const char* name
    const char* formula         # for the documentation
    const char* synonyms        # other names, separated by spaces; NULL for none
    const char* start           # the initializer of the weights before it
    Setting parameters[2]       # alpha and beta of the kernels, under the names that users know
    bint ordered                # alpha is at most beta
    bint keeps_input            # its slope needs Z, not only Y
    ValueKernel value           # element by element ...
    VjpKernel vjp
    VjpKernel curvature         # NULL: 0 everywhere
    HigherKernel higher         # of orders 3 ... 5, where there is a curvature
    SlopesKernel slopes         # orders 1 ... 3 at once, where that is quicker; or NULL
    RowsValueKernel rows_value  # ... or by rows: where outputs of a row depend on each other, or, if it draws, ...
    RowsVjpKernel rows_vjp
    bint draws                  # ... in training only, with random numbers
    double bound                # the largest slope
    double low, high            # outside them it is saturated: its slope is below 5 % of the bound; equal: never
    bint dies                   # a column that is nowhere above 0 gets no gradient
    ShapeKernel shape           # sets the last four from the parameters; NULL where they do not depend on them


cdef struct Context:
    # What a thread carries through a pass.
    bint training
    uint64_t seed
    uint64_t step
    void* scratch
    const int64_t* order        # row n of its batch is row order[first + n] of the caller's rows; NULL: first + n
    Py_ssize_t first
    uint64_t row                # the batch's first row in the whole batch, of which other ranks have the rest
    bint fine                   # all updates of this thread were finite
    bint (*stops)(const Context* context) noexcept nogil    # whether a long kernel must stop; NULL: it never must
    const void* plan            # of the pass


cdef struct Op:
    # One node of the compiled plan.
    const OpKind* kind
    Py_ssize_t inputs
    Tensor* X
    const Rows* rows            # X in compressed form, or NULL
    Tensor* dX                  # data is NULL where it is not wanted
    Tensor Z                    # the same memory as Y unless the activation keeps its input
    Tensor Y
    Tensor dY
    const void* W
    const void* W_end           # end of the memory that may be read from W on; NULL: the end of W
    const void* b               # NULL without bias
    void* dW
    void* db
    bint adds_gradient          # dW already holds another op's share ...
    bint adds_bias              # ... and so does db
    const Activation* activation
    double alpha, beta          # numbers whose meaning depends on the kind
    Py_ssize_t first, step      # of the columns that a slice takes
    uint64_t key                # tells the node from others in random draws
    bint frozen                 # its parameters stay as they are
    void* running_mean          # averages over the batches seen in training
    void* running_variance
    void* saved                 # numbers from the forward pass that the backward pass needs
    Py_ssize_t outputs          # their number, of an op that may have several: Y and dY belong to the first
    Tensor* Ys
    Tensor* dYs
    const int64_t* table        # which inputs each output is made from: kernels/ops/jets.pxi
    void* owner                 # of a node in Python: the object that computes it

ctypedef void (*RowsKernel)(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
ctypedef void (*GradientKernel)(const Op* op, const Context* context, Py_ssize_t N,
                                Py_ssize_t start, Py_ssize_t stop, bint bias) noexcept nogil

ctypedef void (*FeaturesKernel)(const Op* op, const Context* context, Py_ssize_t N,
                                Py_ssize_t first, Py_ssize_t last) noexcept nogil

cdef struct OpKind:
    const char* name
    RowsKernel forward          # Y of rows start ... stop
    RowsKernel backward         # dX of rows start ... stop; may turn dY into dZ in place
    GradientKernel gradient     # dW of inputs start ... stop over N rows, and db; NULL without parameters
    bint keeps_Z                # Z is memory of its own
    bint stacks                 # but for the slope it is linear, and its rows may belong to several seeds
    int row_numbers             # numbers that it saves for each sample ...
    int feature_numbers         # ... and for each feature
    FeaturesKernel couple       # before forward in training, over all rows of blocks first ... last
    FeaturesKernel couple_backward


cdef enum:
    MAX_PARAMETERS = 4

cdef enum:
    # What a parameter of a loss is.
    NUMBER
    FLAG                        # 0 or 1
    EACH_OUTPUT                 # a number for each output
    HEADS                       # a list: each target has an output for each number in it

cdef struct Parameter:
    const char* name
    double standard             # the default
    double low, high
    int kind

cdef struct Group:
    # Samples side by side: kernels/losses/table.pxi.
    Py_ssize_t outputs, width   # number of a sample's outputs, of its targets
    bint weighs                 # not all W are 1
    const double* numbers
    const void* column
    void* Y
    void* T
    void* W
    void* V
    void* dY
    void* losses

ctypedef void (*OutputLossKernel)(const void* Y, const void* T, const void* C, const double* numbers, void* losses,
                                  void* dY, Py_ssize_t n) noexcept nogil
ctypedef void (*OutputCurvatureKernel)(const void* Y, const void* T, const void* C, const double* numbers, void* ddY,
                                       Py_ssize_t n) noexcept nogil
ctypedef void (*GroupLossKernel)(const Group* group) noexcept nogil

cdef struct Loss:
    const char* name
    const char* formula         # of a sample's loss; where it is of single outputs, the sample's loss is their mean
    OutputLossKernel of_outputs     # of each output by itself ...
    OutputCurvatureKernel curvature     # NULL: 0 almost everywhere
    GroupLossKernel of_group    # ... or of rows whose outputs depend on each other
    GroupLossKernel tangent
    bint of_labels              # by class indices it is the cross-entropy of softmax(Y), unless numbers[0] smooths them
    bint labels                 # it takes class indices too
    int heads                   # outputs for each target
    double low, high            # range of the targets
    bint whole                  # targets are whole numbers
    Parameter[MAX_PARAMETERS] parameters    # up to the first without name

cdef struct Targets:
    # What a loss compares the outputs with, and how it counts.
    const Loss* loss
    double[MAX_PARAMETERS] numbers      # its parameters ...
    const void* column          # ... and the one that has a number for each output, or NULL
    double share                # factor of this loss in a sum of several
    double ceiling              # upper bound of a single loss in the value, not in the gradient
    const int64_t* indices      # class indices (-1: missing), or NULL ...
    const void* values          # ... and then rows of values
    Py_ssize_t width            # of a sample's values
    bint skips_nan              # a value that is NaN is missing
    const int64_t* order        # row n of the batch is order[first + n] of the arrays; NULL: first + n
    Py_ssize_t first
    const void* weights         # or NULL
    bint weighs_values          # each value has a weight; else each sample
    bint weighted_mean          # the loss is divided by the sum of the weights, not by the number of samples


cdef struct Step:
    # What a rule may know of a step beside its stretch of the vectors.
    double lr
    double t                    # number of the step, from 1 on
    double scale                # factor of the losses of the batch's rows
    double batch                # number of the batch, from 1 on: with accumulation a step has several
    double norm                 # of the whole gradient, for rules that want it
    double loss, loss_before    # of the batch and of the one before

ctypedef void (*PrepareKernel)(const double* parameters, const Step* step, double* scalars) noexcept nogil
ctypedef const void* (*UpdateKernel)(const double* scalars, void* P, const void* G, void** states,
                                     void* scratch, Py_ssize_t n) noexcept nogil

ctypedef void (*MatrixKernel)(const double* scalars, void* A, Py_ssize_t I, Py_ssize_t O, void* work,
                              const Context* context) noexcept nogil
ctypedef Py_ssize_t (*WorkSize)(Py_ssize_t I, Py_ssize_t O) noexcept nogil

cdef struct Rule:
    const char* name
    int states                  # vectors of the size of the parameters
    int parameters
    PrepareKernel prepare       # computes the scalars, from parameters and step; they hold until the next step
    UpdateKernel update         # returns the gradient that the next rule in the chain sees
    int hands_on                # which of its states that is; -1: none of them
    bint wants_norm             # it needs the norm of its gradient: the chain is cut before it
    bint collects               # the rules after it wait until it has seen as many batches as its parameter says
    bint averages               # it averages parameters; its one state is the last of the chain's
    bint compares_losses        # its scalars depend on the loss
    MatrixKernel matrix         # applied to each whole matrix of what it hands on: the chain is cut after it
    WorkSize matrix_work        # numbers of scratch memory that `matrix` takes

cdef enum:
    MAX_RULES = 12
    MAX_SCALARS = 8
    MAX_STATES = 4
    MAX_STAGES = 3

cdef struct ChainLink:
    const Rule* rule
    double parameters[MAX_SCALARS]
    double scalars[MAX_SCALARS]
    void* states[MAX_STATES]


ctypedef void (*ConstraintKernel)(void* W, Py_ssize_t I, Py_ssize_t O, Py_ssize_t start, Py_ssize_t stop,
                                  double limit) noexcept nogil

cdef struct Constraint:
    const char* name
    ConstraintKernel project    # the weights to outputs start ... stop


cdef struct LaneProduct:
    # C[r, c] = start[c] + the sum over k of A[r, k] B[k, c], where each element is a vector.
    const void* A
    Py_ssize_t a_row, a_step    # from one r and from one k to the next, in vectors
    const void* B
    Py_ssize_t b_step, b_column
    const void* start
    void* C
    Py_ssize_t rows, columns, depth

ctypedef void (*LaneMoves)(void** rows, Py_ssize_t n, void* block, bint back) noexcept nogil
ctypedef void (*LaneProducts)(const LaneProduct* job) noexcept nogil
ctypedef void (*LaneSums)(const void* dZ, Py_ssize_t N, Py_ssize_t O, void* db) noexcept nogil
ctypedef void (*LaneLosses)(const void* losses, void* dY, Py_ssize_t N, Py_ssize_t O, double share,
                            double* row_losses) noexcept nogil
ctypedef void (*LaneRows)(void* block, Py_ssize_t N, const Tensor* T, bint back) noexcept nogil


cdef struct Kernels:
    const char* variant
    Py_ssize_t item             # bytes of a number
    Py_ssize_t panel            # features in a block
    Py_ssize_t lanes            # numbers in a vector
    Py_ssize_t scratch          # bytes that a Context's scratch must have
    const OpKind* ops           # each table ends with an entry without name
    const OpKind* dense
    const OpKind* sparse_dense  # the same on rows in compressed form
    GradientKernel add_gram     # adds X' X to dW, in panels of columns start ... stop
    GatherKernel gather_sparse
    const Activation* activations
    const Loss* losses
    const Rule* rules
    const Constraint* constraints
    const SourceKind* sources
    bint (*fit_rows)(const Rows* rows, const Tensor* X, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    void (*load_rows)(const void* A, Py_ssize_t pitch, const int64_t* order, const Tensor* X,
                      Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    void (*store_rows)(const Tensor* Y, void* A, Py_ssize_t pitch, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    double (*loss_scale)(const Targets* targets, Py_ssize_t N) noexcept nogil
    double (*sum_losses)(const double* row_losses, Py_ssize_t N) noexcept nogil
    Py_ssize_t (*loss_scratch)(Py_ssize_t outputs) noexcept nogil
    void (*apply_loss)(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* V,
                       const Tensor* dY, Py_ssize_t start, Py_ssize_t stop, void* scratch) noexcept nogil
    bint (*update)(ChainLink* chain, int links, void* P, const void* G, Py_ssize_t start, Py_ssize_t stop,
                   void* scratch) noexcept nogil
    void (*describe)(const Tensor* T, Py_ssize_t N, double low, double high, double* out) noexcept nogil
    double (*squares_of)(const Tensor* T, Py_ssize_t N) noexcept nogil
    double (*sum_of_squares)(const void* A, Py_ssize_t n) noexcept nogil
    void (*stream)(const void* A, void* C, Py_ssize_t n) noexcept nogil     # a copy that bypasses the caches
    # For LANES nets at once, one a SIMD lane, or NULL: lane_tile.h
    LaneMoves move_lanes
    LaneProducts lane_product
    LaneSums lane_sums
    LaneLosses lane_losses
    LaneRows lane_rows
    Py_ssize_t (*first_nonfinite)(const void* A, Py_ssize_t n) noexcept nogil
    Py_ssize_t (*first_outside)(const void* A, Py_ssize_t n, double low, double high) noexcept nogil
