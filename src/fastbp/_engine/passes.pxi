"""The passes of a plan over rows and over parameters, each cut into parts that threads can take side by side."""

cdef enum:
    # Rows that run through all layers before the next ones do, so that they stay in the second-level cache.
    BLOCK_ROWS = 512


cdef inline Py_ssize_t cut(Py_ssize_t n, int part, int of) noexcept nogil:
    """Where a part begins, and the one before it ends."""
    return n * part // of


cdef void place_inputs(Plan* plan, bint direct, Py_ssize_t first) noexcept nogil:
    """Lets the layers read the sources from the callers' rows first ..., or from the buffers.

    Only dense layers can, and only for the time of a call: a copy of wide rows costs as much as a small layer.
    """
    cdef Py_ssize_t k
    cdef const Port* port
    plan.direct = direct
    for k in range(plan.n_operands):
        if plan.X_source[k] < 0:
            continue
        port = plan.sources + plan.X_source[k]
        plan.X[k] = port.value
        if direct:
            plan.X[k].data = port.array + first * port.value.width * plan.kernels.item
            plan.X[k].pitch, plan.X[k].block = port.value.width, plan.kernels.panel


cdef void load(const Plan* plan, const int64_t* order, Py_ssize_t first, Py_ssize_t start,
               Py_ssize_t stop) noexcept nogil:
    """Rows first + start ... of the callers' arrays (in the given order) into the buffers' rows start ..."""
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(plan.n_sources):
        port = plan.sources + k
        if order != NULL:
            plan.kernels.load_rows(port.array, port.value.width, order + first, &port.value, start, stop)
        else:
            plan.kernels.load_rows(port.array + first * port.value.width * plan.kernels.item, port.value.width,
                                   NULL, &port.value, start, stop)


cdef void store(const Plan* plan, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Outputs of the buffers' rows start ... into the callers' rows first + start ..."""
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        plan.kernels.store_rows(&port.value, port.array + first * port.value.width * plan.kernels.item,
                                port.value.width, start, stop)


cdef void forward_rows(const Plan* plan, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(plan.n_nodes):
        if plan.nodes[k].op.kind.forward != NULL:
            plan.nodes[k].op.kind.forward(&plan.nodes[k].op, context, start, stop)


cdef void backward_rows(const Plan* plan, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(plan.n_nodes - 1, -1, -1):
        if plan.inputs_wanted or plan.nodes[k].trains:
            plan.nodes[k].op.kind.backward(&plan.nodes[k].op, context, start, stop)


# The tasks: what a thread does of a pass.  Each flushes subnormals itself, since the mode belongs to a thread.

cdef void forward_task(void* job, int part, int of) noexcept nogil:
    """Loads and computes its rows, and stores the outputs."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t start = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of)
    cdef fp_mode mode = flush_subnormals()
    load(plan, NULL, 0, start, stop)
    forward_rows(plan, plan.contexts + part, start, stop)
    store(plan, 0, start, stop)
    restore_mode(mode)


cdef void predict_task(void* job, int part, int of) noexcept nogil:
    """The same block by block, in buffer rows of its own: there are fewer of these than rows."""
    cdef Plan* plan = <Plan*> job
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), after
    cdef Py_ssize_t start = plan.capacity // of * part
    cdef fp_mode mode = flush_subnormals()
    while n < stop:
        after = n + BLOCK_ROWS if n + BLOCK_ROWS < stop else stop
        if of == 1 and plan.all_dense:
            place_inputs(plan, True, n)
        else:
            load(plan, NULL, n - start, start, start + after - n)
        forward_rows(plan, plan.contexts + part, start, start + after - n)
        store(plan, n - start, start, start + after - n)
        n = after
    restore_mode(mode)


cdef void backward_task(void* job, int part, int of) noexcept nogil:
    """From the gradients of the outputs to those of its rows of all inputs."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t start = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), k
    cdef const Port* port
    cdef fp_mode mode = flush_subnormals()
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        plan.kernels.load_rows(port.array, port.gradient.width, NULL, &port.gradient, start, stop)
    backward_rows(plan, plan.contexts + part, start, stop)
    for k in range(plan.n_sources if plan.inputs_wanted else 0):
        port = plan.sources + k
        plan.kernels.store_rows(&port.gradient, port.array, port.gradient.width, start, stop)
    restore_mode(mode)


cdef void rows_task(void* job, int part, int of) noexcept nogil:
    """Phase one of a training step over its rows of the batch: forward, losses, backward to every dZ."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), after, k
    cdef const Port* port
    cdef const Context* context = plan.contexts + part
    cdef fp_mode mode = flush_subnormals()
    while n < stop:
        after = n + BLOCK_ROWS if n + BLOCK_ROWS < stop else stop
        if not plan.direct:
            load(plan, plan.order, plan.first, n, after)
        forward_rows(plan, context, n, after)
        memset(plan.row_losses + n, 0, (after - n) * sizeof(double))
        for k in range(plan.n_sinks):
            port = plan.sinks + k
            port.loss(&port.value, &port.targets, plan.scale, plan.row_losses, &port.gradient, n, after)
        backward_rows(plan, context, n, after)
        if plan.outputs_wanted:
            store(plan, plan.first, n, after)
        n = after
    restore_mode(mode)


cdef inline Py_ssize_t cut_inputs(Py_ssize_t I, Py_ssize_t O, int part, int of) noexcept nogil:
    """Where a part of W's rows begins: a multiple of 16 numbers, so that a part meets the same vectors as the
    whole does and no number is computed by another instruction."""
    cdef Py_ssize_t step = 16
    if part == of:
        return I
    while step > 1 and step // 2 * O % 16 == 0:
        step = step // 2
    return I * part // of // step * step


cdef void parameters_task(void* job, int part, int of) noexcept nogil:
    """Phase two: one slice of every dW over all rows, then, with a chain, its update."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t k, start, stop, O
    cdef bint fine = True, last = part == of - 1
    cdef const Node* node
    cdef Context* context = plan.contexts + part
    cdef fp_mode mode = flush_subnormals()
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.gradient == NULL:
            continue
        O = node.op.Y.width
        start, stop = cut_inputs(node.op.X.width, O, part, of), cut_inputs(node.op.X.width, O, part + 1, of)
        node.op.kind.gradient(&node.op, context, plan.rows, start, stop, last)
        if plan.links == NULL or not node.last_of_parameters:
            continue
        fine &= plan.kernels.update(plan.links, plan.n_links, plan.params, plan.grads, node.weights + start * O,
                                    node.weights + stop * O, context.scratch)
        if last and node.bias >= 0:
            fine &= plan.kernels.update(plan.links, plan.n_links, plan.params, plan.grads, node.bias,
                                        node.bias + O, context.scratch)
    context.fine = fine
    restore_mode(mode)


cdef double batch_loss(Plan* plan, int threads) noexcept nogil:
    """Phase one over the batch: the weighted mean of its rows' losses, summed in their order."""
    cdef Py_ssize_t n, k
    cdef double total = 0, weights = <double> plan.rows
    cdef Targets* targets
    for k in range(plan.n_sinks):
        targets = &plan.sinks[k].targets
        targets.first = plan.first
        targets.order = plan.order
    targets = &plan.sinks[0].targets
    if targets.weights != NULL:
        weights = plan.kernels.sum_weights(targets, plan.rows)
    # A batch without any weight has loss 0 and moves nothing.
    plan.scale = 1 / weights if weights > 0 else 0
    share(rows_task, plan, threads)
    for n in range(plan.rows):
        total += plan.row_losses[n]
    return total / weights if weights > 0 else 0


cdef bint gradients(Plan* plan, bint adds, int threads) noexcept nogil:
    """Phase two.  False if an update was not finite."""
    cdef Py_ssize_t k
    cdef bint fine = True
    for k in range(plan.n_nodes):
        plan.nodes[k].op.adds_gradient = adds or plan.nodes[k].shares_gradient
    share(parameters_task, plan, threads)
    for k in range(threads):
        fine &= plan.contexts[k].fine
    return fine
