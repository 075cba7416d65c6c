"""Derivatives of a net: passes that go over the same rows many times, with one seed after the other.

    pull     reverse mode: forward once, then backward from each output
    push     forward mode: once what does not depend on the direction, then the tangents of each input
    second   reverse over forward, of the graph of tangents
    rows     the parameters' gradient of each row by itself

Each thread has its rows, and takes them in blocks that stay in its cache.  The rows of several seeds lie one seed
after the other in the tensors that depend on the seed: a product takes them all at once, with W packed once; all
other kernels take the rows of one seed at a time, since each seed reads the same values of the block.  The flat
vector of gradients is not touched.
"""
from libc.math cimport sqrt
from libc.string cimport memset

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Activation, Context, Op, Targets, Tensor
from fastbp._engine.passes.forward_backward cimport backward_rows, forward_rows
from fastbp._engine.passes.interruption cimport stops
from fastbp._engine.passes.parameters cimport no_gradient
from fastbp._engine.plan cimport Node, Plan, Port, cut

cdef enum:
    SWEEP_ROWS = 128            # rows of a block, at most
    MOST_SEEDS = 16
    MOST_PARENTS = 16           # whose rows a gradient of the parameters reads: layers/python_layer.py
    SWEEP_BYTES = 1 << 18       # that the widest tensor of a block holds for all its seeds, roughly

cdef struct Sweep:
    Plan* plan
    Py_ssize_t at_once          # rows of a block
    Py_ssize_t seeds            # seeds that a block has at once
    const Activation* linear
    const bint* operand_moves   # which operands of the nodes depend on the direction ...
    const bint* sink_moves      # ... and which sinks
    Tensor* shifted             # operands of a node for one seed; `operands` for each thread
    Py_ssize_t operands
    Py_ssize_t most             # the greatest width
    const char* line            # `most` zeros, a 1, `most` zeros: any one-hot row is a part of it
    char** outs
    const bint* moving          # nodes that depend on the direction
    Py_ssize_t n_given          # sources that hold values; those after them hold directions
    Py_ssize_t n_values         # sinks that hold values; those after them hold tangents
    Py_ssize_t feature          # of the output that is differentiated twice; -1: the loss is
    bint each_direction         # all directions, one after the other; else the given one
    char* columns               # a row for each thread
    Py_ssize_t n_params
    bint by_loss                # the seeds are the gradients of the rows' losses; else the caller gives them
    double* norms


cdef inline void one_hot(const Sweep* sweep, const Tensor* T, Py_ssize_t feature, Py_ssize_t start,
                         Py_ssize_t stop) noexcept nogil:
    """T = 1 in one feature (-1: in none), 0 elsewhere."""
    cdef Py_ssize_t first = sweep.most + 1 if feature < 0 else sweep.most - feature
    sweep.plan.kernels.load_rows(sweep.line + first * sweep.plan.kernels.item, 0, NULL, T, start, stop)


cdef inline void load_sources(const Plan* plan, Py_ssize_t first, Py_ssize_t last, Py_ssize_t row, Py_ssize_t start,
                              Py_ssize_t stop) noexcept nogil:
    """The caller's rows `row` ... of some sources into the buffers' rows start ..."""
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(first, last):
        port = plan.sources + k
        plan.kernels.load_rows(port.array + (row - start) * port.value.width * plan.kernels.item, port.value.width,
                               NULL, &port.value, start, stop)


cdef inline Tensor of_seed(const Tensor* T, Py_ssize_t rows, Py_ssize_t item) noexcept nogil:
    """The part of a tensor that begins after `rows` rows, of numbers of `item` bytes."""
    cdef Tensor later = T[0]
    if T.data != NULL:
        later.data = <char*> T.data + rows * T.pitch * item
    return later


cdef inline void backward_of_seeds(const Sweep* sweep, const Context* context, int part, Py_ssize_t seeds,
                                   Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """All nodes backward, for the gradients of several seeds; rows start ... hold the values."""
    cdef const Plan* plan = sweep.plan
    cdef Py_ssize_t k, s, u, item = plan.kernels.item
    cdef Tensor* dX = sweep.shifted + part * sweep.operands
    cdef Op op
    for k in range(plan.n_nodes - 1, -1, -1):
        if not plan.nodes[k].live:
            continue
        op = plan.nodes[k].op
        op.dX = dX
        for s in range(seeds):
            op.dY = of_seed(&plan.nodes[k].op.dY, s * rows, item)
            for u in range(op.inputs):
                dX[u] = of_seed(&plan.nodes[k].op.dX[u], s * rows, item)
            if op.kind.stacks:
                # Only the multiplication by the slope, in place in dY: the product follows for all seeds.
                dX.data = NULL
            op.kind.backward(&op, context, start, start + rows)
        if op.kind.stacks and plan.nodes[k].op.dX.data != NULL:
            op.dY, op.activation = plan.nodes[k].op.dY, sweep.linear
            dX[0] = plan.nodes[k].op.dX[0]
            op.kind.backward(&op, context, start, start + seeds * rows)


cdef inline void forward_of_seeds(const Sweep* sweep, const Context* context, int part, Py_ssize_t seeds,
                                  Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """The nodes that depend on the direction, forward, for the tangents of several seeds."""
    cdef const Plan* plan = sweep.plan
    cdef Py_ssize_t k, s, u, item = plan.kernels.item, operand
    cdef Tensor* X = sweep.shifted + part * sweep.operands
    cdef Op op
    for k in range(plan.n_nodes):
        if not sweep.moving[k] or plan.nodes[k].op.kind.forward == NULL:
            continue
        op = plan.nodes[k].op
        if op.kind.stacks:
            op.kind.forward(&op, context, start, start + seeds * rows)
            continue
        operand = op.X - plan.X
        op.X = X
        for s in range(seeds):
            op.Y, op.Z = of_seed(&plan.nodes[k].op.Y, s * rows, item), of_seed(&plan.nodes[k].op.Z, s * rows, item)
            for u in range(op.inputs):
                X[u] = of_seed(&plan.X[operand + u], s * rows if sweep.operand_moves[operand + u] else 0, item)
            op.kind.forward(&op, context, start, start + rows)


cdef inline void forward_part(const Sweep* sweep, const Context* context, bint moving, Py_ssize_t start,
                              Py_ssize_t stop) noexcept nogil:
    """The nodes that depend on the direction, forward, or those that do not."""
    cdef Py_ssize_t k
    for k in range(sweep.plan.n_nodes):
        if sweep.moving[k] == moving:
            forward_rows(sweep.plan, context, k, k + 1, start, stop)


cdef inline void store_columns(const Sweep* sweep, const Tensor* T, char* out, Py_ssize_t I, Py_ssize_t i, char* row,
                               Py_ssize_t n, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """out[n + r, o, i] = T[start + r, o]."""
    cdef Py_ssize_t r, o, O = T.width, item = sweep.plan.kernels.item
    for r in range(stop - start):
        sweep.plan.kernels.store_rows(T, row - (start + r) * O * item, O, start + r, start + r + 1)
        if item == 8:
            for o in range(O):
                (<double*> out)[((n + r) * O + o) * I + i] = (<double*> row)[o]
        else:
            for o in range(O):
                (<float*> out)[((n + r) * O + o) * I + i] = (<float*> row)[o]


cdef inline void pull_task(void* job, int part, int of) noexcept nogil:
    """out[p][s][n, o] = d Y_p[n, o] / d X_s[n]."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of)
    cdef Py_ssize_t start = sweep.at_once * sweep.seeds * part
    cdef Py_ssize_t rows, p, q, o, k, s, O, I, first, seeds, item = plan.kernels.item
    cdef char* out
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not stops(plan, context):
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, plan.n_sources, n, start, start + rows)
        forward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
        for p in range(plan.n_sinks):
            O, o = plan.sinks[p].value.width, 0
            while o < O:
                seeds = min(sweep.seeds, O - o)
                for q in range(plan.n_sinks):
                    for k in range(seeds):
                        first = start + k * rows
                        one_hot(sweep, &plan.sinks[q].gradient, o + k if p == q else -1, first, first + rows)
                backward_of_seeds(sweep, context, part, seeds, start, rows)
                for s in range(plan.n_sources):
                    I = plan.sources[s].value.width
                    for k in range(seeds):
                        first = start + k * rows
                        out = sweep.outs[p * plan.n_sources + s] + ((n - first) * O + o + k) * I * item
                        plan.kernels.store_rows(&plan.sources[s].gradient, out, O * I, first, first + rows)
                o += seeds
        n += rows
    restore_mode(mode)


cdef inline void push_task(void* job, int part, int of) noexcept nogil:
    """out[p][s][n, :, i] = d Y_p[n] / d X_s[n, i]."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of)
    cdef Py_ssize_t start = sweep.at_once * sweep.seeds * part
    cdef Py_ssize_t rows, p, s, q, i, I, k, first, seeds
    cdef char* row = sweep.columns + part * sweep.most * plan.kernels.item
    cdef char* out
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not stops(plan, context):
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, sweep.n_given, n, start, start + rows)
        forward_part(sweep, context, False, start, start + rows)
        for s in range(sweep.n_given, plan.n_sources):
            I, i = plan.sources[s].value.width, 0
            while i < I:
                seeds = min(sweep.seeds, I - i)
                for q in range(sweep.n_given, plan.n_sources):
                    for k in range(seeds):
                        first = start + k * rows
                        one_hot(sweep, &plan.sources[q].value, i + k if q == s else -1, first, first + rows)
                forward_of_seeds(sweep, context, part, seeds, start, rows)
                for p in range(sweep.n_values, plan.n_sinks):
                    out = sweep.outs[(p - sweep.n_values) * sweep.n_given + s - sweep.n_given]
                    for k in range(seeds):
                        first = start + k * rows if sweep.sink_moves[p] else start
                        store_columns(sweep, &plan.sinks[p].value, out, I, i + k, row, n, first, first + rows)
                i += seeds
        n += rows
    restore_mode(mode)


cdef inline void seed_losses(const Plan* plan, const Context* context, Py_ssize_t n, Py_ssize_t start,
                             Py_ssize_t stop) noexcept nogil:
    """The gradient of each row's own loss by its outputs."""
    cdef Py_ssize_t k
    cdef const Port* port
    cdef Targets targets
    memset(plan.row_losses + start, 0, (stop - start) * sizeof(double))
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        targets = port.targets
        targets.first, targets.order = n - start, NULL
        plan.kernels.apply_loss(&port.value, &targets, port.scale, plan.row_losses, NULL, &port.gradient, start, stop,
                                context.scratch)


cdef inline void seed_second(const Sweep* sweep, const Context* context, Py_ssize_t n, Py_ssize_t start,
                             Py_ssize_t stop, double scale) noexcept nogil:
    """Seeds at the values and the tangents: gradients of one output's tangent, or of the loss's along the direction."""
    cdef const Plan* plan = sweep.plan
    cdef const Port* value
    cdef const Port* moved
    cdef Targets targets
    cdef Py_ssize_t p
    for p in range(sweep.n_values):
        value, moved = plan.sinks + p, plan.sinks + sweep.n_values + p
        if sweep.feature >= 0:
            one_hot(sweep, &value.gradient, -1, start, stop)
            one_hot(sweep, &moved.gradient, sweep.feature, start, stop)
            continue
        targets = value.targets
        targets.first, targets.order = n - start, NULL
        memset(plan.row_losses + start, 0, (stop - start) * sizeof(double))
        plan.kernels.apply_loss(&value.value, &targets, scale * value.scale, plan.row_losses, NULL, &moved.gradient,
                                start, stop, context.scratch)
        plan.kernels.apply_loss(&value.value, &targets, scale * value.scale, plan.row_losses, &moved.value,
                                &value.gradient, start, stop, context.scratch)


cdef inline void second_task(void* job, int part, int of) noexcept nogil:
    """out[n, i] = d2 y[n] / dX[n] dX[n, i], with y one output or the row's loss; or along the given direction."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), start = sweep.at_once * part
    cdef Py_ssize_t I = plan.sources.value.width, directions = I if sweep.each_direction else 1, rows, i
    cdef char* out
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not stops(plan, context):
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, 1 if sweep.each_direction else 2, n, start, start + rows)
        forward_part(sweep, context, False, start, start + rows)
        for i in range(directions):
            if sweep.each_direction:
                one_hot(sweep, &plan.sources[1].value, i, start, start + rows)
            forward_part(sweep, context, True, start, start + rows)
            seed_second(sweep, context, n, start, start + rows, 1)
            backward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
            out = sweep.outs[0] + ((n - start) * directions + i) * I * plan.kernels.item
            plan.kernels.store_rows(&plan.sources.gradient, out, directions * I, start, start + rows)
        n += rows
    restore_mode(mode)


cdef inline void parameters_of_row(const Plan* plan, const Context* context, Py_ssize_t n, char* out) noexcept nogil:
    """The gradient of the parameters from row n alone."""
    cdef Py_ssize_t k, u, item = plan.kernels.item
    cdef const Node* node
    cdef Op op
    cdef Tensor[MOST_PARENTS] X
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.gradient == NULL or node.op.frozen or node.weights < 0:
            continue
        op = node.op
        for u in range(min(op.inputs, MOST_PARENTS)):
            X[u] = of_seed(&node.op.X[u], n, item)
        op.X, op.Z, op.dY = X, of_seed(&node.op.Z, n, item), of_seed(&node.op.dY, n, item)
        op.Y = of_seed(&node.op.Y, n, item)
        op.dW, op.db = out + node.weights * item, out + node.bias * item if node.bias >= 0 else NULL
        op.adds_gradient, op.adds_bias = node.shares_gradient, node.shares_bias
        if node.live:
            node.op.kind.gradient(&op, context, 1, 0, node.weight_rows, True)
        else:
            no_gradient(&op, 0, node.weight_rows, node.weight_columns, True, item)


cdef inline void rows_gradient_task(void* job, int part, int of) noexcept nogil:
    """out[n] = the gradient of row n; or only norms[n], its Euclidean norm."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), start = sweep.at_once * part
    cdef Py_ssize_t rows, r, P = sweep.n_params, item = plan.kernels.item, k
    cdef char* own = sweep.columns + part * P * item
    cdef const Port* port
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not stops(plan, context):
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, plan.n_sources, n, start, start + rows)
        forward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
        if sweep.by_loss:
            seed_losses(plan, context, n, start, start + rows)
        for k in range(0 if sweep.by_loss else plan.n_sinks):
            port = plan.sinks + k
            plan.kernels.load_rows(port.array + (n - start) * port.gradient.width * item, port.gradient.width, NULL,
                                   &port.gradient, start, start + rows)
        backward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
        for r in range(rows):
            parameters_of_row(plan, context, start + r, own)
            if sweep.norms != NULL:
                sweep.norms[n + r] = sqrt(plan.kernels.sum_of_squares(own, P))
            else:
                plan.kernels.stream(own, sweep.outs[0] + (n + r) * P * item, P)
        n += rows
    restore_mode(mode)
