"""Phase one: the passes of a plan over rows, cut into parts that threads can take side by side."""
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Context
from fastbp._engine.passes.interruption cimport rows_of_piece, stops
from fastbp._engine.plan cimport Node, Plan, Port, cut, cut_rows
from fastbp._engine.threads cimport share


cdef inline void place_inputs(Plan* plan, bint direct, Py_ssize_t first) noexcept nogil:
    """Lets the layers read the sources from the caller's rows first ... (`direct`), or from the buffers.

    Only dense layers can read the caller's rows, and only during a call: a copy of wide rows costs as much as a small
    layer.
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


cdef inline void load(const Plan* plan, const int64_t* order, Py_ssize_t first, Py_ssize_t start,
                      Py_ssize_t stop) noexcept nogil:
    """Rows first + start ... of the caller's arrays (in the given order) into the buffers' rows start ..."""
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(plan.n_sources):
        port = plan.sources + k
        if port.rows.gather != NULL:
            port.rows.gather(port.rows.data, &port.rows, order, first, &port.value, start, stop)
            if not plan.kernels.fit_rows(&port.rows, &port.value, start, stop):
                (<Plan*> plan).unfit = True
        elif port.rows.starts != NULL:
            continue
        elif order != NULL:
            plan.kernels.load_rows(port.array, port.value.width, order + first, &port.value, start, stop)
        else:
            plan.kernels.load_rows(port.array + first * port.value.width * plan.kernels.item, port.value.width,
                                   NULL, &port.value, start, stop)


cdef inline void store(const Plan* plan, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Outputs of the buffers' rows start ... into the caller's rows first + start ..."""
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        plan.kernels.store_rows(&port.value, port.array + first * port.value.width * plan.kernels.item,
                                port.value.width, start, stop)


cdef inline void forward_rows(const Plan* plan, const Context* context, Py_ssize_t first, Py_ssize_t last,
                              Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Nodes first ... last - 1, in order."""
    cdef Py_ssize_t k
    for k in range(first, last):
        if stops(plan, context):
            return
        if plan.nodes[k].op.kind.forward != NULL:
            plan.nodes[k].op.kind.forward(&plan.nodes[k].op, context, start, stop)


cdef inline void backward_rows(const Plan* plan, const Context* context, Py_ssize_t first, Py_ssize_t last,
                               Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Nodes last - 1 ... first."""
    cdef Py_ssize_t k
    for k in range(last - 1, first - 1, -1):
        if stops(plan, context):
            return
        if plan.nodes[k].live and (plan.inputs_wanted or plan.nodes[k].trains):
            plan.nodes[k].op.kind.backward(&plan.nodes[k].op, context, start, stop)


cdef inline void loss_rows(const Plan* plan, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The losses of rows, and the gradients of their outputs."""
    cdef Py_ssize_t k
    cdef const Port* port
    cdef double* row_losses
    for k in range(plan.n_sinks):
        port, row_losses = plan.sinks + k, plan.row_losses + k * plan.loss_rows + plan.part
        memset(row_losses + start, 0, (stop - start) * sizeof(double))
        plan.kernels.apply_loss(&port.value, &port.targets, port.scale, row_losses, NULL, &port.gradient, start,
                                stop, context.scratch)


cdef inline void load_output_gradients(const Plan* plan, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(plan.n_sinks):
        port = plan.sinks + k
        plan.kernels.load_rows(port.array, port.gradient.width, NULL, &port.gradient, start, stop)


cdef inline void store_input_gradients(const Plan* plan, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(plan.n_sources if plan.inputs_wanted else 0):
        port = plan.sources + k
        plan.kernels.store_rows(&port.gradient, port.array, port.gradient.width, start, stop)


# Tasks: the parts of a pass that one thread takes.  Each flushes subnormals itself, since the mode belongs to a thread.

cdef inline void forward_task(void* job, int part, int of) noexcept nogil:
    """Loads and computes its rows, and stores the outputs."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t n = cut_rows(plan, part, of), stop = cut_rows(plan, part + 1, of), after
    cdef Py_ssize_t rows = rows_of_piece(plan) if plan.looks else plan.rows
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not plan.stopped:
        after = min(n + rows, stop)
        load(plan, NULL, 0, n, after)
        forward_rows(plan, plan.contexts + part, 0, plan.n_nodes, n, after)
        store(plan, 0, n, after)
        n = after
    restore_mode(mode)


cdef inline void predict_task(void* job, int part, int of) noexcept nogil:
    """`forward_task` block by block, in buffer rows of the thread's own, of which there are fewer than rows."""
    cdef Plan* plan = <Plan*> job
    cdef Py_ssize_t n = cut_rows(plan, part, of), stop = cut_rows(plan, part + 1, of), after
    cdef Py_ssize_t start = n if plan.direct else plan.capacity // of * part, rows = rows_of_piece(plan)
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not plan.stopped:
        after = min(n + rows, stop)
        if of == 1 and plan.all_dense and plan.all_plain:
            place_inputs(plan, True, n)
        elif not plan.direct:
            load(plan, NULL, n - start, start, start + after - n)
            plan.contexts[part].first = n - start
        forward_rows(plan, plan.contexts + part, 0, plan.n_nodes, start, start + after - n)
        store(plan, n - start, start, start + after - n)
        n = after
    restore_mode(mode)


cdef inline void backward_task(void* job, int part, int of) noexcept nogil:
    """From the gradients of the outputs to those of all inputs, for its rows."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t n = cut_rows(plan, part, of), stop = cut_rows(plan, part + 1, of), after
    cdef Py_ssize_t rows = rows_of_piece(plan) if plan.looks else plan.rows
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not plan.stopped:
        after = min(n + rows, stop)
        load_output_gradients(plan, n, after)
        backward_rows(plan, plan.contexts + part, 0, plan.n_nodes, n, after)
        store_input_gradients(plan, n, after)
        n = after
    restore_mode(mode)


cdef inline void rows_task(void* job, int part, int of) noexcept nogil:
    """Phase one of a training step over its rows of the batch: forward, losses, backward to every dZ."""
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t n = cut_rows(plan, part, of), stop = cut_rows(plan, part + 1, of), after
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t rows = rows_of_piece(plan)
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not plan.stopped:
        after = min(n + rows, stop)
        if not plan.direct:
            load(plan, plan.order, plan.first, n, after)
        forward_rows(plan, context, 0, plan.n_nodes, n, after)
        loss_rows(plan, context, n, after)
        backward_rows(plan, context, 0, plan.n_nodes, n, after)
        if plan.outputs_wanted:
            store(plan, plan.first, n, after)
        n = after
    restore_mode(mode)


# Stages: where a node couples rows, all rows must have come to it before one may go on.

cdef inline bint staged(const Plan* plan) noexcept nogil:
    return plan.n_coupled > 0 and plan.contexts.training


cdef inline void load_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    load(plan, plan.order, plan.first, cut_rows(plan, part, of), cut_rows(plan, part + 1, of))


cdef inline void store_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    store(plan, plan.first, cut_rows(plan, part, of), cut_rows(plan, part + 1, of))


cdef inline void stage_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t n = cut_rows(plan, part, of), stop = cut_rows(plan, part + 1, of), after
    cdef Py_ssize_t rows = rows_of_piece(plan) if plan.looks else plan.rows
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not plan.stopped:
        after = min(n + rows, stop)
        forward_rows(plan, plan.contexts + part, plan.first_node, plan.last_node, n, after)
        n = after
    restore_mode(mode)


cdef inline void stage_backward_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t n = cut_rows(plan, part, of), stop = cut_rows(plan, part + 1, of), after
    cdef Py_ssize_t rows = rows_of_piece(plan) if plan.looks else plan.rows
    cdef fp_mode mode = flush_subnormals()
    while n < stop and not plan.stopped:
        after = min(n + rows, stop)
        backward_rows(plan, plan.contexts + part, plan.first_node, plan.last_node, n, after)
        n = after
    restore_mode(mode)


cdef inline void couple_task(void* job, int part, int of) noexcept nogil:
    """Statistics over all rows for the node at which the stage ended: a thread takes a part of the features."""
    cdef const Plan* plan = <const Plan*> job
    cdef const Node* node = plan.nodes + plan.last_node
    cdef Py_ssize_t blocks = (node.op.Y.width + plan.kernels.panel - 1) // plan.kernels.panel
    cdef fp_mode mode = flush_subnormals()
    if not stops(plan, plan.contexts + part):
        node.op.kind.couple(&node.op, plan.contexts + part, plan.rows, cut(blocks, part, of), cut(blocks, part + 1, of))
    restore_mode(mode)


cdef inline void couple_backward_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    cdef const Node* node = plan.nodes + plan.first_node - 1
    cdef Py_ssize_t blocks = (node.op.Y.width + plan.kernels.panel - 1) // plan.kernels.panel
    cdef fp_mode mode = flush_subnormals()
    if not stops(plan, plan.contexts + part):
        node.op.kind.couple_backward(&node.op, plan.contexts + part, plan.rows, cut(blocks, part, of),
                                     cut(blocks, part + 1, of))
    restore_mode(mode)


cdef inline void loss_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    cdef fp_mode mode = flush_subnormals()
    loss_rows(plan, plan.contexts + part, cut_rows(plan, part, of), cut_rows(plan, part + 1, of))
    restore_mode(mode)


cdef inline void load_gradients_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    load_output_gradients(plan, cut_rows(plan, part, of), cut_rows(plan, part + 1, of))


cdef inline void store_gradients_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    store_input_gradients(plan, cut_rows(plan, part, of), cut_rows(plan, part + 1, of))


cdef inline void forward_stages(Plan* plan, int threads) noexcept nogil:
    cdef Py_ssize_t c
    plan.last_node = 0
    for c in range(plan.n_coupled + 1):
        plan.first_node = plan.last_node
        plan.last_node = plan.coupled[c] if c < plan.n_coupled else plan.n_nodes
        share(stage_task, plan, threads)
        if c < plan.n_coupled:
            share(couple_task, plan, threads)
            if plan.meets:
                plan.meet(plan, plan.coupled[c], True)


cdef inline void backward_stages(Plan* plan, int threads) noexcept nogil:
    cdef Py_ssize_t c
    plan.first_node = plan.n_nodes
    for c in range(plan.n_coupled, -1, -1):
        plan.last_node = plan.first_node
        plan.first_node = plan.coupled[c - 1] + 1 if c > 0 else 0
        share(stage_backward_task, plan, threads)
        if c > 0:
            share(couple_backward_task, plan, threads)
            if plan.meets:
                plan.meet(plan, plan.coupled[c - 1], False)


cdef inline void forward_pass(Plan* plan, int threads) noexcept nogil:
    """Outputs of the attached rows; keeps what a backward pass needs."""
    if not staged(plan):
        share(forward_task, plan, threads)
        return
    share(load_task, plan, threads)
    forward_stages(plan, threads)
    share(store_task, plan, threads)


cdef inline void backward_pass(Plan* plan, int threads) noexcept nogil:
    """Every dZ, and the inputs' gradients, from the attached gradients of the outputs."""
    if not staged(plan):
        share(backward_task, plan, threads)
        return
    share(load_gradients_task, plan, threads)
    backward_stages(plan, threads)
    share(store_gradients_task, plan, threads)


cdef inline void loss_pass(Plan* plan, int threads) noexcept nogil:
    """Phase one of a training step."""
    if not staged(plan):
        share(rows_task, plan, threads)
        return
    if not plan.direct:
        share(load_task, plan, threads)
    forward_stages(plan, threads)
    share(loss_task, plan, threads)
    backward_stages(plan, threads)
    if plan.outputs_wanted:
        share(store_task, plan, threads)


cdef inline Py_ssize_t rows_at_once(const Plan* plan, Py_ssize_t N) noexcept nogil:
    """How many of N rows are summed into the gradients at once: all, or equal parts of them.

    The parts go through the buffers one after the other, so that the buffers stay in the caches, unless all rows must
    stay in the buffers afterwards.
    """
    cdef Py_ssize_t n
    if plan.most_at_once == 0 or N <= plan.most_at_once or plan.n_coupled > 0:
        return N
    n = (N + plan.most_at_once - 1) // plan.most_at_once
    return ((N + n - 1) // n + 15) // 16 * 16


cdef inline void tell_first(Plan* plan, int threads) noexcept nogil:
    """Tells the threads with which of the caller's rows the buffers begin."""
    cdef int k
    for k in range(threads):
        plan.contexts[k].row += <uint64_t> (plan.first - plan.contexts[k].first)
        plan.contexts[k].first = plan.first
