"""Phase two of a step: gradients by the parameters over all rows of a batch, and the update by an optimizer's chain."""
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastbp._engine.chain cimport Chain, Rules, long_matrices, matrices_part, squares_part, take_norm, update_span
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Context, Op, Tensor
from fastbp._engine.passes.forward_backward cimport rows_at_once, tell_first
from fastbp._engine.passes.interruption cimport long_update, pieces_of, stops
from fastbp._engine.plan cimport Node, Plan, cut
from fastbp._engine.threads cimport share

cdef enum:
    MOST_OPERANDS = 4           # of an op that has parameters


cdef inline void no_gradient(const Op* op, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t O, bint bias,
                             Py_ssize_t item) noexcept nogil:
    """The gradient of an op that no output depends on: zeros, unless an earlier op's gradient is already there."""
    if not op.adds_gradient and op.dW != NULL:
        memset(<char*> op.dW + start * O * item, 0, (stop - start) * O * item)
    if bias and not op.adds_bias and op.db != NULL:
        memset(op.db, 0, O * item)


cdef inline Py_ssize_t cut_inputs(Py_ssize_t I, Py_ssize_t O, int part, int of) noexcept nogil:
    """Where a part of W's rows begins: at a multiple of 16 numbers, so that a part has the same vectors as the
    whole, and each number is computed by the same instruction."""
    cdef Py_ssize_t step = 16
    if part == of:
        return I
    while step > 1 and step // 2 * O % 16 == 0:
        step = step // 2
    return I * part // of // step * step


cdef inline void parameters_task(void* job, int part, int of) noexcept nogil:
    """Phase two: one slice of every dW over all rows, then, with a chain, its update.  Later stages only update.

    A long one is split into two tasks: the first forms the gradient, in pieces, the second (`formed`) updates.
    """
    cdef const Plan* plan = <const Plan*> job
    cdef Py_ssize_t k, start, stop, O, first, end
    cdef int piece, pieces
    cdef bint fine = True, last = part == of - 1, with_bias
    cdef bint forms = not plan.formed and (plan.rules == NULL or plan.rules.stage == 0)
    cdef const Node* node
    cdef Op shifted
    cdef Tensor[MOST_OPERANDS] X
    cdef Context* context = plan.contexts + part
    cdef fp_mode mode = flush_subnormals()
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.gradient == NULL or node.op.frozen or node.weights < 0 and node.op.running_mean == NULL:
            continue
        O = node.weight_columns
        start, stop = cut_inputs(node.weight_rows, O, part, of), cut_inputs(node.weight_rows, O, part + 1, of)
        if forms and not node.live:
            no_gradient(&node.op, start, stop, O, last, plan.kernels.item)
        elif forms:
            pieces = pieces_of(plan, node, of)
            for piece in range(pieces):
                if stops(plan, context):
                    break
                node.op.kind.gradient(op_of_part(plan, node, &shifted, X), context, plan.rows,
                                      cut_inputs(node.weight_rows, O, part * pieces + piece, of * pieces),
                                      cut_inputs(node.weight_rows, O, part * pieces + piece + 1, of * pieces),
                                      last and piece == pieces - 1)
        if plan.stopped or plan.rules == NULL:
            continue
        first, end = node.weights + start * O, node.weights + stop * O
        with_bias = last and node.last_of_bias
        if with_bias and node.last_of_parameters and node.bias == end:
            end, with_bias = end + O, False
        if node.last_of_parameters:
            fine &= update_span(plan.rules, plan.params, plan.grads, first, end, context.scratch)
        if with_bias:
            fine &= update_span(plan.rules, plan.params, plan.grads, node.bias, node.bias + O, context.scratch)
    context.fine = fine
    restore_mode(mode)


cdef inline const Op* op_of_part(const Plan* plan, const Node* node, Op* op, Tensor* X) noexcept nogil:
    """The node's op, or a copy in which all that a gradient is formed from is shifted to the part of the rows."""
    cdef Py_ssize_t u
    if plan.shift == 0:
        return &node.op
    op[0] = node.op
    for u in range(node.op.inputs):
        X[u] = node.op.X[u]
        shift_rows(plan, &X[u])
    op.X = X
    shift_rows(plan, &op.Z)
    shift_rows(plan, &op.Y)
    shift_rows(plan, &op.dY)
    return op


cdef inline void shift_rows(const Plan* plan, Tensor* T) noexcept nogil:
    T.data = <void*> (<char*> T.data + plan.shift * T.pitch * plan.kernels.item)


cdef inline void squares_task(void* job, int part, int of) noexcept nogil:
    squares_part((<const Plan*> job).rules, part, of)


cdef inline void matrices_task(void* job, int part, int of) noexcept nogil:
    cdef const Plan* plan = <const Plan*> job
    cdef fp_mode mode = flush_subnormals()
    matrices_part(plan.rules, plan.contexts + part, part, of)
    restore_mode(mode)


cdef inline void constrain_task(void* job, int part, int of) noexcept nogil:
    """The constraints of the weights, on a part of the outputs of each layer."""
    cdef const Plan* plan = <const Plan*> job
    cdef const Node* node
    cdef Py_ssize_t k, O
    for k in range(plan.n_nodes if plan.n_constrained > 0 else 0):
        node = plan.nodes + k
        if node.constraint != NULL and node.last_of_parameters and not node.op.frozen:
            O = node.weight_columns
            node.constraint.project(<void*> node.op.W, node.weight_rows, O, cut(O, part, of), cut(O, part + 1, of),
                                    node.limit)


cdef inline bint gradients(Plan* plan, bint adds, int threads) noexcept nogil:
    """Phase two, and with it the first stage of an update.  False if the update was not finite."""
    cdef Py_ssize_t N = plan.rows, at_once = rows_at_once(plan, N), first = plan.first
    cdef Rules* rules = plan.rules
    if at_once == N:
        return form_gradients(plan, adds, threads)
    plan.rules = NULL
    while plan.shift < N and not plan.stopped:
        plan.rows, plan.first = min(at_once, N - plan.shift), first + plan.shift
        tell_first(plan, threads)
        form_gradients(plan, adds or plan.shift > 0, threads)
        plan.shift += at_once
    plan.rules, plan.rows, plan.first, plan.shift = rules, N, first, 0
    tell_first(plan, threads)
    return not plan.stopped and (rules == NULL or update_formed(plan, threads))


cdef inline bint form_gradients(Plan* plan, bint adds, int threads) noexcept nogil:
    """`gradients` of the rows in the buffers, from `shift` on."""
    cdef Py_ssize_t k
    for k in range(plan.n_nodes):
        plan.nodes[k].op.adds_gradient = adds or plan.nodes[k].shares_gradient
        plan.nodes[k].op.adds_bias = adds or plan.nodes[k].shares_bias
    if plan.rules != NULL and long_update(plan, threads):
        return formed_update(plan, threads)
    share(parameters_task, plan, threads)
    if plan.stopped:
        return False
    return plan.rules == NULL or later_stages(plan, threads)


cdef inline bint updated(Plan* plan, Chain chain, double loss, double lr, double scale, bint formed,
                         int threads) noexcept nogil:
    """Phases two and three with a chain, or only the update where the gradient is already formed (`formed`).

    False if the update was not finite; if it stops or fails, parameters and states are as before.
    """
    cdef long long t = chain.t
    cdef double loss_before = chain.loss
    cdef char* kept = NULL
    cdef bint fine
    chain.prepare(lr, loss, scale)
    chain.rules.averages_wait = plan.n_constrained > 0
    if not chain.rules.collecting and long_matrices(&chain.rules):
        kept = chain.keep(plan.params)
        if kept != NULL:
            plan.looks = plan.undone = True
    fine = update_formed(plan, threads) if formed else gradients(plan, False, threads)
    if plan.stopped or plan.failed:
        chain.t, chain.loss = t, loss_before
        if kept != NULL:
            chain.put_back(plan.params, kept)
    plan.undone = False
    free(kept)
    return fine


cdef inline bint formed_update(Plan* plan, int threads) noexcept nogil:
    """`gradients` where forming them may be stopped or fail: the whole gradient first, then the update."""
    cdef Rules* rules = plan.rules
    cdef bint fine
    cdef char* averages = <char*> malloc(running_averages(plan, NULL, False))
    if averages == NULL:
        plan.looks = False          # without memory for a copy to restore, the pass does not stop
    else:
        running_averages(plan, averages, False)
    plan.rules = NULL
    share(parameters_task, plan, threads)
    plan.rules, fine = rules, not plan.stopped and not plan.failed
    if not fine:
        running_averages(plan, averages, True)
    free(averages)
    return fine and update_formed(plan, threads)


cdef inline bint update_formed(Plan* plan, int threads) noexcept nogil:
    """The update by the gradient in grads.  False if it was not finite."""
    plan.formed, plan.looks = True, plan.undone     # no update stops half way unless the caller undoes it
    share(parameters_task, plan, threads)
    plan.formed = False
    return later_stages(plan, threads)


cdef inline Py_ssize_t running_averages(const Plan* plan, char* store, bint back) noexcept nogil:
    """Copies all running averages to a store, or back from it; without a store, the bytes that it must have."""
    cdef Py_ssize_t k, size, used = 1
    cdef const Op* op
    for k in range(plan.n_nodes):
        op = &plan.nodes[k].op
        if op.running_mean == NULL:
            continue
        size = op.Y.width * plan.kernels.item
        if store != NULL:
            memcpy(<void*> op.running_mean if back else store + used, store + used if back else op.running_mean, size)
            used += size
            memcpy(<void*> op.running_variance if back else store + used,
                   store + used if back else op.running_variance, size)
            used += size
        else:
            used += 2 * size
    return used


cdef inline bint all_fine(const Plan* plan, int threads) noexcept nogil:
    cdef int k
    cdef bint fine = True
    for k in range(threads):
        fine &= plan.contexts[k].fine
    return fine


cdef inline bint later_stages(Plan* plan, int threads) noexcept nogil:
    """Phase three: rules that need the whole gradient first; then the constraints."""
    cdef Rules* rules = plan.rules
    cdef bint fine = all_fine(plan, threads)
    cdef int stage
    if rules.collecting:
        return fine
    for stage in range(1, rules.n_stages):
        rules.stage = stage
        if rules.wants_norm[rules.stage]:
            share(squares_task, plan, threads)
            if not take_norm(rules):
                return False
        if rules.wants_matrices[rules.stage]:
            share(matrices_task, plan, threads)
            if plan.stopped:
                return False
        share(parameters_task, plan, threads)
        fine &= all_fine(plan, threads)
    if plan.n_constrained > 0:
        share(constrain_task, plan, threads)
        rules.stage = rules.n_stages
        share(parameters_task, plan, threads)
        fine &= all_fine(plan, threads)
    return fine
