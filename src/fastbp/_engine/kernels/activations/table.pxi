"""Activations: the table, and how a node applies them.  The entries are in the files included after this one, by kind.

    name_value   Y = f(Z); Y may be Z
    name_vjp     dZ = dY f'(Z); dZ may be dY; the slope comes from Z or from Y, whichever is cheaper, and an entry with
                 keeps_input = True has Z kept
    name_curvature   dZ = dY f''(Z), for second derivatives; an entry without one is piecewise linear
    name_higher  the same of orders 3 to 5, which every entry with a curvature has

At a kink the slope is the left one.  Lengths are whole vectors: the caller pads the last one, so loops have no
remainder.  Kernels are elementwise, but for softmax, related activations and those with random slopes: they work by
rows.
"""

ctypedef void (*Value)(operand Z, real* Y, Py_ssize_t n, double alpha, double beta) noexcept nogil
ctypedef void (*Vjp)(operand Z, operand Y, operand dY, real* dZ, Py_ssize_t n, double alpha,
                     double beta) noexcept nogil

cdef enum:
    MOST_ACTIVATIONS = 64

cdef Activation[MOST_ACTIVATIONS] activations
cdef int n_activations = 0


cdef Activation* activation(const char* name, const char* formula, Value value, Vjp vjp, Vjp curvature=NULL,
                            bint keeps_input=False):
    """Adds an entry and returns it; fields that few entries need are set on the result."""
    global n_activations
    assert n_activations < MOST_ACTIVATIONS - 1
    cdef Activation* made = &activations[n_activations]
    memset(made, 0, sizeof(Activation))
    made.name, made.formula, made.start, made.bound, made.keeps_input = name, formula, b"glorot_uniform", 1, keeps_input
    made.value, made.vjp, made.curvature = <ValueKernel> value, <VjpKernel> vjp, <VjpKernel> curvature
    n_activations += 1
    return made


cdef Setting setting(const char* name, double value, double low=-INFINITY, double high=INFINITY, bint above=False):
    """A parameter of an entry: parameters[0] is the alpha of its kernels, parameters[1] their beta."""
    return Setting(name, value, low, high, above)


# A variable: if both limits are constants, the compiler turns `within` into branches with masks.
cdef real SIX = 6


cdef Activation* linear_entry = activation(b"linear", b"z", NULL, NULL)
linear_entry.synonyms = b"identity"


cdef inline bint by_rows(const Op* op, const Context* context) noexcept nogil:
    """Whether to use the kernels by rows; an activation with random slopes uses its elementwise ones in inference."""
    return op.activation.rows_value != NULL and (context.training or not op.activation.draws)


cdef inline void activate_block(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t block,
                                Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = f(Z) for the rows of one block, if f is elementwise."""
    cdef real* Y = block_of(&op.Y, start, block)
    cdef Py_ssize_t n = (stop - start) * op.Y.pitch
    if by_rows(op, context):
        return
    if op.activation.value != NULL:
        op.activation.value(block_of(Z, start, block), Y, n, op.alpha, op.beta)
    elif Z.data != op.Y.data:
        memcpy(Y, block_of(Z, start, block), n * sizeof(real))


cdef inline void activate_rows(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t start,
                               Py_ssize_t stop) noexcept nogil:
    """Y = f(Z) after all blocks, if f works by rows."""
    if by_rows(op, context):
        op.activation.rows_value(op, context, Z, start, stop)


cdef inline void activation_slope(const Op* op, const Context* context, const Tensor* Z, const Tensor* dY,
                                  const Tensor* dZ, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dZ = dY f'(Z)."""
    cdef Py_ssize_t block
    if by_rows(op, context):
        op.activation.rows_vjp(op, context, Z, dY, dZ, start, stop)
    elif op.activation.vjp != NULL:
        for block in range(blocks(dZ.width)):
            op.activation.vjp(block_of(Z, start, block), block_of(&op.Y, start, block), block_of(dY, start, block),
                              block_of(dZ, start, block), (stop - start) * op.Y.pitch, op.alpha, op.beta)
    elif dZ.data != dY.data:
        copy_rows(dY, dZ, start, stop)
