"""The kinds of ops: each is a pair (forward, backward), a gradient if it has parameters, and an entry of the table."""

cdef enum:
    MOST_OPS = 64

cdef OpKind[MOST_OPS] op_kinds
cdef int n_ops = 0


cdef OpKind* op_kind(const char* name, RowsKernel forward, RowsKernel backward, GradientKernel gradient=NULL):
    """Adds an entry and returns it; fields that few entries need are set on the result."""
    global n_ops
    assert n_ops < MOST_OPS - 1
    cdef OpKind* made = &op_kinds[n_ops]
    memset(made, 0, sizeof(OpKind))
    made.name, made.forward, made.backward, made.gradient = name, forward, backward, gradient
    n_ops += 1
    return made


cdef OpKind* dense_entry = op_kind(b"dense", dense_forward, dense_backward, dense_gradient)
dense_entry.stacks = True


cdef void activation_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = f(X)."""
    cdef Py_ssize_t block
    for block in range(blocks(op.Y.width)):
        activate_block(op, context, op.X, block, start, stop)
    activate_rows(op, context, op.X, start, stop)

cdef void activation_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dY f'(X)."""
    activation_slope(op, context, op.X, &op.dY, op.dX, start, stop)

op_kind(b"activation", activation_forward, activation_backward)


cdef void fan_out_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """A node used several times: dX[0] += dX[1] + dX[2] + ..., the gradients of its uses."""
    cdef Py_ssize_t u, block, i
    cdef real* total
    cdef const real* share
    for block in range(blocks(op.dX.width)):
        total = block_of(op.dX, start, block)
        for u in range(1, op.inputs):
            share = block_of(&op.dX[u], start, block)
            for i in range((stop - start) * op.dX.pitch):
                total[i] += share[i]

op_kind(b"fan_out", NULL, fan_out_backward)
