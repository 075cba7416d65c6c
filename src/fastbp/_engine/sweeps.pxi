"""Derivatives of a net: passes that go over the same rows many times, with one seed after the other.

    pull     reverse mode: forward once, then backward from each output
    push     forward mode: what does not move once, then the tangents of each input
    second   reverse over forward, of the graph of tangents
    rows     the parameters' gradient of each row by itself

Each thread has its rows, and takes them in blocks that stay in its second-level cache.  No gradient of the
parameters is touched.
"""

cdef enum:
    SWEEP_ROWS = 128

cdef struct Sweep:
    Plan* plan
    Py_ssize_t at_once          # rows of a block
    Py_ssize_t most             # the greatest width
    const char* line            # most zeros, a 1, most zeros: any row with one 1 lies in it
    char** outs
    const bint* moving          # nodes that depend on the direction
    Py_ssize_t n_given          # sources that hold values; those after them hold directions
    Py_ssize_t n_values         # sinks that hold values; those after them hold tangents
    Py_ssize_t feature          # of the output that is derived twice; -1: the loss is
    bint each_direction         # one after the other; else the given one
    const LossTangentKernel* tangents
    char* columns               # a row for each thread
    double* norms


cdef void one_hot(const Sweep* sweep, const Tensor* T, Py_ssize_t feature, Py_ssize_t start,
                  Py_ssize_t stop) noexcept nogil:
    """T = 1 in one feature (-1: in none), 0 elsewhere."""
    cdef Py_ssize_t first = sweep.most + 1 if feature < 0 else sweep.most - feature
    sweep.plan.kernels.load_rows(sweep.line + first * sweep.plan.kernels.item, 0, NULL, T, start, stop)


cdef void load_sources(const Plan* plan, Py_ssize_t first, Py_ssize_t last, Py_ssize_t row, Py_ssize_t start,
                       Py_ssize_t stop) noexcept nogil:
    """The callers' rows `row` ... of some sources into the buffers' rows start ..."""
    cdef Py_ssize_t k
    cdef const Port* port
    for k in range(first, last):
        port = plan.sources + k
        plan.kernels.load_rows(port.array + (row - start) * port.value.width * plan.kernels.item, port.value.width,
                               NULL, &port.value, start, stop)


cdef void forward_part(const Sweep* sweep, const Context* context, bint moving, Py_ssize_t start,
                       Py_ssize_t stop) noexcept nogil:
    """The nodes that move with the direction, or those that do not."""
    cdef Py_ssize_t k
    for k in range(sweep.plan.n_nodes):
        if sweep.moving[k] == moving:
            forward_rows(sweep.plan, context, k, k + 1, start, stop)


cdef void store_columns(const Sweep* sweep, const Tensor* T, char* out, Py_ssize_t I, Py_ssize_t i, char* row,
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


cdef void pull_task(void* job, int part, int of) noexcept nogil:
    """out[p][s][n, o] = d Y_p[n, o] / d X_s[n]."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), start = sweep.at_once * part
    cdef Py_ssize_t rows, p, q, o, s, O, I, item = plan.kernels.item
    cdef char* out
    cdef fp_mode mode = flush_subnormals()
    while n < stop:
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, plan.n_sources, n, start, start + rows)
        forward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
        for p in range(plan.n_sinks):
            O = plan.sinks[p].value.width
            for o in range(O):
                for q in range(plan.n_sinks):
                    one_hot(sweep, &plan.sinks[q].gradient, o if p == q else -1, start, start + rows)
                backward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
                for s in range(plan.n_sources):
                    I = plan.sources[s].value.width
                    out = sweep.outs[p * plan.n_sources + s] + ((n - start) * O + o) * I * item
                    plan.kernels.store_rows(&plan.sources[s].gradient, out, O * I, start, start + rows)
        n += rows
    restore_mode(mode)


cdef void push_task(void* job, int part, int of) noexcept nogil:
    """out[p][s][n, :, i] = d Y_p[n] / d X_s[n, i]."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), start = sweep.at_once * part
    cdef Py_ssize_t rows, p, s, i, I
    cdef const Tensor* direction
    cdef char* row = sweep.columns + part * sweep.most * plan.kernels.item
    cdef fp_mode mode = flush_subnormals()
    while n < stop:
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, sweep.n_given, n, start, start + rows)
        for s in range(sweep.n_given, plan.n_sources):
            one_hot(sweep, &plan.sources[s].value, -1, start, start + rows)
        forward_part(sweep, context, False, start, start + rows)
        for s in range(sweep.n_given, plan.n_sources):
            direction = &plan.sources[s].value
            I = direction.width
            for i in range(I):
                one_hot(sweep, direction, i, start, start + rows)
                forward_part(sweep, context, True, start, start + rows)
                for p in range(sweep.n_values, plan.n_sinks):
                    store_columns(sweep, &plan.sinks[p].value,
                                  sweep.outs[(p - sweep.n_values) * sweep.n_given + s - sweep.n_given], I, i, row,
                                  n, start, start + rows)
            one_hot(sweep, direction, -1, start, start + rows)
        n += rows
    restore_mode(mode)


cdef void seed_second(const Sweep* sweep, Py_ssize_t n, Py_ssize_t start, Py_ssize_t stop, double scale) noexcept nogil:
    """The gradients of the values and the tangents: of one output's tangent, or of the loss's along the direction."""
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
        value.loss(&value.value, &targets, scale, plan.row_losses, &moved.gradient, start, stop)
        sweep.tangents[p](&value.value, &targets, scale, &moved.value, &value.gradient, start, stop)


cdef void second_task(void* job, int part, int of) noexcept nogil:
    """out[n, i] = d2 y[n] / dX[n] dX[n, i], with y one output or the row's loss; or along the given direction."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), start = sweep.at_once * part
    cdef Py_ssize_t I = plan.sources.value.width, directions = I if sweep.each_direction else 1, rows, i
    cdef char* out
    cdef fp_mode mode = flush_subnormals()
    while n < stop:
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, 1 if sweep.each_direction else 2, n, start, start + rows)
        forward_part(sweep, context, False, start, start + rows)
        for i in range(directions):
            if sweep.each_direction:
                one_hot(sweep, &plan.sources[1].value, i, start, start + rows)
            forward_part(sweep, context, True, start, start + rows)
            seed_second(sweep, n, start, start + rows, 1)
            backward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
            out = sweep.outs[0] + ((n - start) * directions + i) * I * plan.kernels.item
            plan.kernels.store_rows(&plan.sources.gradient, out, directions * I, start, start + rows)
        n += rows
    restore_mode(mode)


cdef void parameters_of_row(const Plan* plan, const Context* context, Py_ssize_t n, char* out) noexcept nogil:
    """The gradient of the parameters from row n alone."""
    cdef Py_ssize_t k, item = plan.kernels.item
    cdef const Node* node
    cdef Op op
    cdef Tensor X
    for k in range(plan.n_nodes):
        node = plan.nodes + k
        if node.op.kind.gradient == NULL or node.op.frozen or node.weights < 0:
            continue
        op, X = node.op, node.op.X[0]
        X.data = <char*> X.data + n * X.pitch * item
        op.X = &X
        op.Z.data = <char*> op.Z.data + n * op.Z.pitch * item
        op.dY.data = <char*> op.dY.data + n * op.dY.pitch * item
        op.dW, op.db = out + node.weights * item, out + node.bias * item if node.bias >= 0 else NULL
        op.adds_gradient = node.shares_gradient
        node.op.kind.gradient(&op, context, 1, 0, node.weight_rows, True)


cdef void rows_gradient_task(void* job, int part, int of) noexcept nogil:
    """out[n] = the gradient of row n; or only norms[n], its Euclidean norm.  `most` is the number of parameters."""
    cdef const Sweep* sweep = <const Sweep*> job
    cdef const Plan* plan = sweep.plan
    cdef const Context* context = plan.contexts + part
    cdef Py_ssize_t n = cut(plan.rows, part, of), stop = cut(plan.rows, part + 1, of), start = sweep.at_once * part
    cdef Py_ssize_t rows, r, i, P = sweep.most, item = plan.kernels.item, k
    cdef double total
    cdef char* out
    cdef const Port* port
    cdef fp_mode mode = flush_subnormals()
    while n < stop:
        rows = min(sweep.at_once, stop - n)
        load_sources(plan, 0, plan.n_sources, n, start, start + rows)
        forward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
        for k in range(plan.n_sinks):
            port = plan.sinks + k
            plan.kernels.load_rows(port.array + (n - start) * port.gradient.width * item, port.gradient.width, NULL,
                                   &port.gradient, start, start + rows)
        backward_rows(plan, context, 0, plan.n_nodes, start, start + rows)
        for r in range(rows):
            out = sweep.outs[0] + (n + r) * P * item if sweep.norms == NULL else sweep.columns + part * P * item
            parameters_of_row(plan, context, start + r, out)
            if sweep.norms != NULL:
                total = 0
                for i in range(P):
                    total += (<double*> out)[i] ** 2 if item == 8 else <double> (<float*> out)[i] ** 2
                sweep.norms[n + r] = sqrt(total)
        n += rows
    restore_mode(mode)


cdef class _Sweeper:
    """The arrays of a sweep, and its start and end."""
    cdef Sweep sweep
    cdef Program program
    cdef list kept
    cdef char** outs
    cdef LossTangentKernel* tangents

    def __init__(self, Program program, outs, moving=None):
        cdef Py_ssize_t k
        self.program, self.kept = program, [outs]
        self.sweep.plan = &program.plan
        self.sweep.most = max(program.widths)
        self.outs = <char**> self.own(max(1, len(outs)) * sizeof(char*))
        self.tangents = <LossTangentKernel*> self.own(program.plan.n_sinks * sizeof(LossTangentKernel))
        self.sweep.outs, self.sweep.tangents = self.outs, self.tangents
        for k, out in enumerate(outs):
            self.outs[k] = <char*> address(out, out.nbytes)
        line = np.zeros(2 * self.sweep.most + 1, program.dtype)
        line[self.sweep.most] = 1
        self.kept.append(line)
        self.sweep.line = <const char*> address(line, line.nbytes)
        if moving is not None:
            flags = np.array([moving[spec.output] for spec in program.specs], np.intc)
            self.kept.append(flags)
            self.sweep.moving = <const bint*> address(flags, flags.nbytes)

    cdef void* own(self, Py_ssize_t size) except NULL:
        cdef Arena arena = Arena(size)
        self.kept.append(arena)
        return arena.take(size)

    cdef void run(self, Task task, Py_ssize_t N, bint inputs, int threads,
                  Py_ssize_t width_of_columns=0) except *:
        """All rows, in blocks, on some threads; the sources (and what the task asks for else) are attached."""
        cdef Program program = self.program
        threads = program.claim(threads, N)
        try:
            self.sweep.at_once = min(SWEEP_ROWS, (N + threads - 1) // threads)
            program.reserve(threads * self.sweep.at_once)
            columns = np.zeros((threads, max(1, width_of_columns)), program.dtype)
            self.sweep.columns = <char*> address(columns, columns.nbytes)
            with nogil:
                program.begin(False, 0, 0)
                program.plan.rows = N
                place_inputs(&program.plan, False, 0)
                program.want_inputs(inputs)
                share(task, &self.sweep, threads)
                program.want_inputs(False)
        finally:
            leave(threads)
        program.raise_failed()


# What Python calls.  Arrays come checked; outs are new arrays of the right shapes.

def pull(Program program, xs, outs, int threads=1):
    """Jacobians by reverse mode: outs[p * inputs + s] of shape (N, O_p, I_s)."""
    cdef _Sweeper sweeper = _Sweeper(program, outs)
    program.reserve(1)
    program.attach(program.plan.sources, program.plan.n_sources, xs, len(xs[0]))
    sweeper.run(pull_task, len(xs[0]), True, threads)


def push(Program program, moving, xs, outs, int threads=1):
    """Jacobians by forward mode, of the program of the tangents: outs as for `pull`."""
    cdef _Sweeper sweeper = _Sweeper(program, outs, moving)
    program.reserve(1)
    sweeper.sweep.n_given, sweeper.sweep.n_values = len(xs), program.plan.n_sinks // 2
    program.attach(program.plan.sources, len(xs), xs, len(xs[0]))
    sweeper.run(push_task, len(xs[0]), False, threads, sweeper.sweep.most)


def second(Program program, moving, xs, out, Py_ssize_t feature, ts, losses, int threads=1):
    """Hessians (N, I, I) of an output, or with feature -1 of each row's loss, by the program of the tangents; with
    a direction after the input in xs, their products (N, I) with it."""
    cdef _Sweeper sweeper = _Sweeper(program, [out], moving)
    cdef Py_ssize_t N = len(xs[0])
    program.reserve(1)
    sweeper.sweep.n_given, sweeper.sweep.n_values = 1, program.plan.n_sinks // 2
    sweeper.sweep.feature, sweeper.sweep.each_direction = feature, len(xs) == 1
    program.attach(program.plan.sources, len(xs), xs, N)
    if feature < 0:
        attach_losses(program, sweeper, ts, losses, N)
    sweeper.run(second_task, N, True, threads)


cdef void attach_losses(Program program, _Sweeper sweeper, ts, losses, Py_ssize_t N) except *:
    """Targets of the values, which are the first half of the sinks."""
    program.attach_targets(program.plan.n_sinks // 2, ts, None, losses, N)
    for k, name in enumerate(losses):
        sweeper.tangents[k] = (<const Loss*> row_named(program.plan.kernels.losses, sizeof(Loss), name)).tangent


def parameter_second(Program program, xs, ts, losses, int threads=1):
    """grads = the Hessian of the batch's loss by the parameters, times their direction in the program's params."""
    cdef _Sweeper sweeper = _Sweeper(program, [])
    cdef Py_ssize_t N = len(xs[0])
    cdef fp_mode mode
    program.reserve(N)
    sweeper.sweep.n_values, sweeper.sweep.feature = program.plan.n_sinks // 2, -1
    program.attach(program.plan.sources, program.plan.n_sources, xs, N)
    attach_losses(program, sweeper, ts, losses, N)
    program.claim(1, N)
    with nogil:
        mode = flush_subnormals()
        program.begin(False, 0, 0)
        program.plan.rows, program.plan.links = N, NULL
        place_inputs(&program.plan, False, 0)
        load_sources(&program.plan, 0, program.plan.n_sources, 0, 0, N)
        forward_rows(&program.plan, program.plan.contexts, 0, program.plan.n_nodes, 0, N)
        seed_second(&sweeper.sweep, 0, 0, N, 1.0 / <double> N)
        backward_rows(&program.plan, program.plan.contexts, 0, program.plan.n_nodes, 0, N)
        gradients(&program.plan, False, 1)
        restore_mode(mode)
        leave(1)


def rows_gradients(Program program, xs, dys, out, norms, Py_ssize_t size, int threads=1):
    """out (N, size) = the gradient of each row from that of its outputs; or only norms (N,), float64."""
    cdef _Sweeper sweeper = _Sweeper(program, [] if out is None else [out])
    cdef Py_ssize_t N = len(xs[0])
    cdef double[::1] view
    program.reserve(1)
    if norms is not None:
        view = norms
        sweeper.sweep.norms = &view[0]
    sweeper.sweep.most = size
    program.attach(program.plan.sources, program.plan.n_sources, xs, N)
    program.attach(program.plan.sinks, program.plan.n_sinks, dys, N)
    sweeper.run(rows_gradient_task, N, False, threads, size if out is None else 0)


def vjp(Program program, xs, dys, int threads=1):
    """The inputs' gradients from the outputs'; the parameters' are left alone."""
    cdef Py_ssize_t N = len(xs[0])
    program.reserve(N)
    program.forward(xs, False, 0, 0, threads)
    program.attach(program.plan.sinks, program.plan.n_sinks, dys, N)
    dxs = program.new_rows(program.plan.sources, program.plan.n_sources, N)
    threads = program.claim(threads, N)
    with nogil:
        program.want_inputs(True)
        backward_pass(&program.plan, threads)
        program.want_inputs(False)
        leave(threads)
    program.raise_failed()
    return dxs
