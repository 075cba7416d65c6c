"""A step of many small nets of one shape, LANES of them at once: one net a lane of a vector.

The arithmetic of a tiny net takes a few nanoseconds, and what stands around it a hundred times as long.  Here it stands
around LANES nets: their parameters and states are transposed into blocks, where number k of all of them is vector k,
trained there and transposed back.  Activations, losses of each output by itself and update rules are element by
element, so their kernels run on blocks as they are; sums take the order of the net alone (lane_tile.h), and so the bits
are those of its own steps.  Where anything is not finite nothing is written, and the nets go one by one.
"""

cdef enum:
    MOST_LANES = 16
    DONE = 2
    MOST_BYTES = 4096           # of a net's parameters: with more, its own tiles are as fast


cdef struct Net:
    # What a step reads and changes of one net beside its vectors.
    Plan* plan
    uint64_t* draws
    Py_ssize_t* pending
    Rules* rules
    long long* t
    double* loss

cdef struct Layer:
    const Activation* activation
    double alpha, beta
    Py_ssize_t I, O
    Py_ssize_t weights, bias    # where they begin among the parameters; -1: none
    char* Z                     # blocks of all rows; Y unless the activation keeps its input
    char* Y
    char* dY


cdef class Lanes:
    """Some nets, by their fast paths, `lanes` at a time; `lanes_of` has seen that they are alike."""

    cdef list paths
    cdef Arena own, arena               # of the nets, and of a number of rows
    cdef Lock lock
    cdef const Kernels* kernels
    cdef readonly Py_ssize_t lanes
    cdef Py_ssize_t count, n, I, O, n_layers, n_vectors, capacity
    cdef Py_ssize_t vector, block       # bytes of a vector, and of a block of all parameters
    cdef Net* nets
    cdef void** vectors                 # of each net: its parameters, its gradient, its states
    cdef Layer* layers
    cdef char* on               # of each group: whether it goes this way in this step, or has DONE it
    cdef char* P                # blocks: the vectors ...
    cdef char* X                # ... a batch ...
    cdef char* T
    cdef char* ones             # ... of a loss: what stands for the parameter of an output, ...
    cdef char* losses
    cdef char* zeros      # ... and what sums begin with: 0, and for a sum of one product -0
    cdef char* negative_zeros
    cdef double* row_losses
    cdef void* scratch
    cdef Tensor Y, dY           # of one net, for losses of whole rows
    cdef Targets targets
    cdef int64_t* labels
    cdef bint by_lanes          # the loss is of each output by itself
    cdef bint each              # a batch for each net
    cdef Py_ssize_t rows, x_size, t_size
    cdef const char* x
    cdef const char* t

    def __init__(self, list paths):
        cdef FastPath path = paths[0]
        cdef Py_ssize_t k, c, s, place, scratch
        cdef const Node* node
        cdef void** to
        cdef Arena own
        self.paths, self.count, self.lock, self.capacity = paths, len(paths), Lock(), 0
        self.kernels, self.n, self.I, self.O = path.program.plan.kernels, path.chain.n, path.I, path.O
        self.lanes, self.n_layers, self.n_vectors = self.kernels.lanes, path.program.plan.n_nodes, 2
        self.vector = self.lanes * self.kernels.item
        self.block = self.n * self.vector
        self.targets = path.term.targets
        self.targets.width = self.O // path.term.heads
        for c in range(path.chain.rules.groups.n_links):
            self.n_vectors += path.chain.rules.groups.links[c].rule.states
        scratch = max(self.kernels.scratch, self.kernels.loss_scratch(self.O))
        self.own = own = Arena(self.count * (sizeof(Net) + 1 + self.n_vectors * sizeof(void*)) + scratch
                               + self.n_layers * sizeof(Layer) + self.n_vectors * self.block + 64 * 6)
        self.nets, self.on = <Net*> own.take(self.count * sizeof(Net)), <char*> own.take(self.count)
        self.vectors = to = <void**> own.take(self.count * self.n_vectors * sizeof(void*))
        self.layers = <Layer*> own.take(self.n_layers * sizeof(Layer))
        self.P, self.scratch = <char*> own.take(self.n_vectors * self.block), own.take(scratch)
        for k in range(self.n_layers):
            node = path.program.plan.nodes + k
            self.layers[k] = Layer(node.op.activation, node.op.alpha, node.op.beta, node.weight_rows,
                                   node.weight_columns, node.weights, node.bias, NULL, NULL, NULL)
        for k in range(self.count):
            path = paths[k]
            self.nets[k] = Net(&path.program.plan, &path.program.draws, &path.program.pending, &path.chain.rules,
                               &path.chain.t, &path.chain.loss)
            to[0], to[1], place = path.program.plan.params, path.program.plan.grads, 2
            for c in range(path.chain.rules.groups.n_links):
                for s in range(path.chain.rules.groups.links[c].rule.states):
                    to[place] = path.chain.rules.groups.links[c].states[s]
                    place += 1
            to += self.n_vectors

    cdef void reserve(self, Py_ssize_t rows) except *:
        """Memory for the blocks of a number of rows."""
        cdef Py_ssize_t k, outputs = rows * self.O, item = self.kernels.item
        cdef Layer* layer
        cdef char* ones
        cdef Py_ssize_t size = rows * (self.I + 3 * self.O + 2 * self.kernels.panel) * self.vector + 2 * self.block
        cdef Arena arena
        if rows <= self.capacity:
            return
        for k in range(self.n_layers):
            size += 3 * (rows * self.layers[k].O * self.vector + 64)
        self.arena = arena = Arena(size + rows * (self.lanes + self.count) * sizeof(double) + 64 * 10)
        self.X = <char*> arena.take(rows * self.I * self.vector)
        self.T, self.losses = <char*> arena.take(outputs * self.vector), <char*> arena.take(outputs * self.vector)
        self.ones = ones = <char*> arena.take(outputs * self.vector)
        self.zeros, self.negative_zeros = <char*> arena.take(self.block), <char*> arena.take(self.block)
        for k in range(outputs * self.lanes):
            put(ones + k * item, item, 1)
        for k in range(self.n * self.lanes):
            put(self.negative_zeros + k * item, item, -0.0)
        self.row_losses = <double*> arena.take(rows * self.lanes * sizeof(double))
        self.labels = <int64_t*> arena.take(rows * self.count * sizeof(int64_t))
        for k in range(self.n_layers):
            layer = self.layers + k
            layer.Y = layer.Z = <char*> arena.take(rows * layer.O * self.vector)
            if layer.activation.keeps_input:
                layer.Z = <char*> arena.take(rows * layer.O * self.vector)
            layer.dY = <char*> arena.take(rows * layer.O * self.vector)
        self.Y.width, self.Y.pitch = self.O, pitch_of(self.kernels, self.O)
        self.Y.block = rows * self.Y.pitch
        self.dY = self.Y
        self.Y.data, self.dY.data = arena.take(self.Y.block * item), arena.take(self.Y.block * item)
        self.capacity = rows

    cdef bint attach(self, X, y) except -1:
        """Whether the arrays are as the engine reads them; the step is on them then."""
        cdef int at = ndim_of(X) - 2
        cdef FastPath path = self.paths[0]
        cdef Py_ssize_t total, k
        self.each = at == 1
        if (not is_plain(X) or not is_plain(y) or not 0 <= at <= 1 or number_of(X) != path.number
                or not at + 1 <= ndim_of(y) <= at + 2
                or at == 1 and not length_of(X, 0) == length_of(y, 0) == self.count
                or not 0 < length_of(X, at) == length_of(y, at) <= SHORT_ROWS or length_of(X, at + 1) != self.I):
            return False
        self.rows = length_of(X, at)
        total = self.rows * (self.count if self.each else 1)
        self.x, self.t, self.x_size = data_of(X), data_of(y), self.rows * self.I * self.kernels.item
        if self.kernels.first_nonfinite(self.x, total * self.I) >= 0:
            return False
        self.reserve(self.rows)
        self.by_lanes = self.targets.loss.of_outputs != NULL and self.targets.width == self.O
        self.targets.indices = self.targets.values = NULL
        if ndim_of(y) == at + 1:
            if not self.targets.loss.labels or not holds_int64(y):
                return False
            memcpy(self.labels, self.t, total * sizeof(int64_t))    # what is checked here is what kernels index with
            for k in range(total):
                if not 0 <= self.labels[k] < self.O:
                    return False
            self.t, self.t_size, self.by_lanes = <char*> self.labels, self.rows * sizeof(int64_t), False
            self.targets.indices = self.labels
            return True
        self.t_size = self.rows * self.targets.width * self.kernels.item
        return (number_of(y) == path.number and length_of(y, at + 1) == self.targets.width
                and self.kernels.first_nonfinite(self.t, total * self.targets.width) < 0
                and (self.targets.loss.low == -INFINITY or self.kernels.first_outside(
                    self.t, total * self.targets.width, self.targets.loss.low, self.targets.loss.high) < 0))

    def step(self, X, y, double[::1] numbers):
        """Steps of those nets that can go side by side, on (rows, inputs) for all or (nets, rows, inputs); the others.

        A net's number is its learning rate, and its loss when it has done the step.
        """
        cdef Py_ssize_t group, k, L = self.lanes, groups = (self.count + L - 1) // L
        cdef bint fit
        left = []
        if not self.lock.try_acquire():
            return list(range(self.count))
        try:
            _pins = PyWeakref_NewRef(X, None), PyWeakref_NewRef(y, None)
            fit = self.attach(X, y)
            for group in range(groups):
                self.on[group] = fit and self.may_go(group * L, min(L, self.count - group * L), &numbers[0])
            with nogil:
                self.run(groups, &numbers[0])
            for k in range(self.count):
                if self.on[k // L]:
                    (<FastPath> self.paths[k]).lock.release()
                if self.on[k // L] != DONE:
                    left.append(k)
            return left
        finally:
            self.lock.release()

    cdef bint may_go(self, Py_ssize_t start, Py_ssize_t filled, const double* rates) except -1:
        """Whether a step does the same with all nets of a group, and the lanes that it leaves empty cost less than the
        others gain; the nets' locks are held then."""
        cdef Py_ssize_t k
        cdef Py_ssize_t size = self.n * self.kernels.item
        cdef bint fit = filled > 1 and 5 * MOST_BYTES * filled >= 2 * self.lanes * (MOST_BYTES + size)
        for k in range(start, start + filled if fit else start):
            if not (<FastPath> self.paths[k]).lock.try_acquire():
                break
            if rates[k] != rates[start] or not self.alike(start, k):
                (<FastPath> self.paths[k]).lock.release()
                break
        else:
            return fit
        while k > start:
            k -= 1
            (<FastPath> self.paths[k]).lock.release()
        return False

    cdef bint alike(self, Py_ssize_t a, Py_ssize_t b) noexcept:
        """Whether two nets are at the same step, with the same of what may have changed."""
        cdef FastPath path = self.paths[b]
        cdef const Net* net = self.nets + b
        cdef const Group* one = self.nets[a].rules.groups
        cdef const Group* group = net.rules.groups
        cdef Py_ssize_t c
        for c in range(one.n_links):
            if (memcmp(one.links[c].parameters, group.links[c].parameters, sizeof(one.links.parameters)) != 0
                    or memcmp(one.links[c].scalars, group.links[c].scalars, sizeof(one.links.scalars)) != 0):
                return False
        return (self.nets[a].t[0] == net.t[0] and net.plan.n_spans == 1
                and net.plan.spans.start == 0 and net.plan.spans.stop == self.n and path.program.meeting is None
                and path.chain.shown_penalty == 0)

    cdef void run(self, Py_ssize_t groups, double* numbers) noexcept nogil:
        cdef fp_mode mode = flush_subnormals()
        cdef Py_ssize_t k, L = self.lanes
        cdef bint read = False
        for k in range(groups):
            if self.on[k]:
                if self.each or not read:
                    read = True
                    self.read_rows(k * L, min(L, self.count - k * L))
                if self.go(k * L, min(L, self.count - k * L), numbers + k * L):
                    self.on[k] = DONE
        restore_mode(mode)

    cdef void read_rows(self, Py_ssize_t start, Py_ssize_t filled) noexcept nogil:
        """Inputs and targets of a group to their blocks."""
        cdef void* xs[MOST_LANES]
        cdef void* ts[MOST_LANES]
        cdef Py_ssize_t k, net
        for k in range(self.lanes):
            net = start + (k if k < filled else 0) if self.each else 0
            xs[k], ts[k] = <void*> (self.x + net * self.x_size), <void*> (self.t + net * self.t_size)
        self.move(xs, self.rows * self.I, self.X, False)
        if self.by_lanes:
            self.move(ts, self.rows * self.O, self.T, False)

    cdef void move(self, void** nets, Py_ssize_t n, char* block, bint back) noexcept nogil:
        """n numbers of each net to a block, or back."""
        cdef Py_ssize_t k, j, item = self.kernels.item
        cdef char* a
        cdef char* b
        if n >= self.lanes:
            self.kernels.move_lanes(nets, n, block, back)
            return
        for k in range(self.lanes):
            for j in range(n):
                a, b = <char*> nets[k] + j * item, block + j * self.vector + k * item
                memcpy(a if back else b, b if back else a, item)

    cdef void move_vectors(self, Py_ssize_t start, Py_ssize_t filled, bint back) noexcept nogil:
        """Parameters and states of a group to their blocks, or back with the gradient.

        Lanes that the group leaves empty hold its first net once more, and find the same for it.
        """
        cdef void* nets[MOST_LANES]
        cdef Py_ssize_t v, k
        for v in range(self.n_vectors):
            if v != 1 or back:
                for k in range(self.lanes):
                    nets[k] = self.vectors[(start + (k if k < filled else 0)) * self.n_vectors + v]
                self.move(nets, self.n, self.P + v * self.block, back)

    cdef bint go(self, Py_ssize_t start, Py_ssize_t filled, double* numbers) noexcept nogil:
        """A step of a group.  False: not all of it was finite, and nothing has changed."""
        cdef ChainLink links[MAX_RULES]
        cdef double totals[MOST_LANES]
        cdef Net* net = self.nets + start
        cdef Group* group = net.rules.groups
        cdef Step step
        cdef double scale = self.kernels.loss_scale(&self.targets, self.rows)
        cdef Py_ssize_t k, c, s, place = 2
        self.move_vectors(start, filled, False)
        self.forward()
        self.apply_loss(start, filled, scale, totals)
        if not self.targets.weighted_mean:
            scale = 1.0 / <double> self.rows
        for k in range(filled):
            if not isfinite(totals[k]):
                return False
        self.backward()
        memcpy(links, group.links, group.n_links * sizeof(ChainLink))
        memset(&step, 0, sizeof(Step))
        step.lr, step.t, step.scale = numbers[0], <double> (net.t[0] + 1), scale
        step.batch = step.t
        for c in range(group.n_links):
            prepare_link(&links[c], &step, group.lr_scale)
            for s in range(links[c].rule.states):
                links[c].states[s] = self.P + place * self.block
                place += 1
        if not self.kernels.update(links, group.n_links, self.P, self.P + self.block, 0, self.n * self.lanes,
                                   self.scratch):
            return False
        self.move_vectors(start, filled, True)
        for k in range(filled):
            group = net.rules.groups
            for c in range(group.n_links):
                memcpy(group.links[c].scalars, links[c].scalars, sizeof(links.scalars))
            step.loss_before, step.loss, net.loss[0] = net.loss[0], totals[k], totals[k]
            net.rules.step, net.rules.stage, net.rules.collecting, net.rules.averages_wait = step, 0, False, False
            numbers[k] = totals[k]
            net.t[0] += 1
            net.draws[0] += 1
            net.pending[0] = 0
            net.plan.scale, net.plan.sinks.loss = scale, totals[k]
            net += 1
        return True

    cdef void forward(self) noexcept nogil:
        """Z = X W + b and Y = f(Z) of each layer."""
        cdef Py_ssize_t k
        cdef const char* X = self.X
        cdef const Layer* it
        cdef LaneProduct job
        for k in range(self.n_layers):
            it = self.layers + k
            job = LaneProduct(X, it.I, 1, self.P + it.weights * self.vector, it.O, 1, self.zeros, it.Z, self.rows, it.O,
                              it.I)
            if it.bias >= 0:
                job.start = self.P + it.bias * self.vector
            self.kernels.lane_product(&job)
            if it.activation.value != NULL:
                it.activation.value(it.Z, it.Y, self.rows * it.O * self.lanes, it.alpha, it.beta)
            X = it.Y

    cdef void apply_loss(self, Py_ssize_t start, Py_ssize_t filled, double scale, double* totals) noexcept nogil:
        """dY of the last layer, and the loss of each net."""
        cdef const Layer* it = self.layers + self.n_layers - 1
        cdef Py_ssize_t k, net
        cdef double* row_losses = self.row_losses
        cdef Targets targets = self.targets
        memset(row_losses, 0, self.rows * self.lanes * sizeof(double))
        if self.by_lanes:
            targets.loss.of_outputs(it.Y, self.T, self.ones, targets.numbers, self.losses, it.dY,
                                    self.rows * self.O * self.lanes)
            self.kernels.lane_losses(self.losses, it.dY, self.rows, self.O, scale * targets.share / self.O, row_losses)
        for k in range(self.lanes):
            if not self.by_lanes:
                net = start + (k if k < filled else 0) if self.each else 0
                targets.values = self.t + net * self.t_size
                if targets.indices != NULL:
                    targets.indices = <const int64_t*> targets.values
                self.kernels.lane_rows(it.Y + k * self.kernels.item, self.rows, &self.Y, False)
                self.kernels.apply_loss(&self.Y, &targets, scale, row_losses, NULL, &self.dY, 0, self.rows,
                                        self.scratch)
                self.kernels.lane_rows(it.dY + k * self.kernels.item, self.rows, &self.dY, True)
            totals[k] = self.kernels.sum_losses(row_losses, self.rows)
            row_losses += self.rows

    cdef void backward(self) noexcept nogil:
        """dZ of each layer in dY's place, dX of all but the first, and all gradients."""
        cdef Py_ssize_t k
        cdef char* G = self.P + self.block
        cdef char* X
        cdef char* zeros
        cdef const Layer* it
        cdef LaneProduct job
        for k in range(self.n_layers - 1, -1, -1):
            it = self.layers + k
            if it.activation.vjp != NULL:
                it.activation.vjp(it.Z, it.Y, it.dY, it.dY, self.rows * it.O * self.lanes, it.alpha, it.beta)
            if k > 0:
                job = LaneProduct(it.dY, it.O, 1, self.P + it.weights * self.vector, 1, it.O, self.zeros,
                                  self.layers[k - 1].dY, self.rows, it.I, it.O)
                self.kernels.lane_product(&job)
            X = self.layers[k - 1].Y if k > 0 else self.X
            zeros = self.negative_zeros if self.rows == 1 else self.zeros
            job = LaneProduct(X, 1, it.I, it.dY, it.O, 1, zeros, G + it.weights * self.vector, it.I, it.O, self.rows)
            self.kernels.lane_product(&job)
            if it.bias >= 0:
                self.kernels.lane_sums(it.dY, self.rows, it.O, G + it.bias * self.vector)


cdef void put(char* at, Py_ssize_t item, double value) noexcept:
    if item == sizeof(float):
        (<float*> at)[0] = <float> value
    else:
        (<double*> at)[0] = value


cdef bint fits(FastPath path, FastPath first) noexcept:
    """Whether a net is a chain of dense layers that looks at each number alone, but for products and sums, like
    another."""
    cdef Py_ssize_t k
    cdef const Plan* plan = &path.program.plan
    cdef const Node* it
    cdef const Node* other
    cdef const Rules* rules = &path.chain.rules
    cdef const Rule* rule
    cdef const Targets* targets = &path.term.targets
    if (rules.n_stages != 1 or rules.n_groups != 1 or rules.n_segments != 1 or plan.n_constrained > 0
            or plan.n_nodes != first.program.plan.n_nodes or rules.groups.n_links != first.chain.rules.groups.n_links
            or rules.groups.lr_scale != first.chain.rules.groups.lr_scale or path.O > plan.kernels.panel
            or path.term.heads != first.term.heads or targets.column != NULL or targets.loss.whole
            or targets.skips_nan or targets.ceiling != INFINITY
            or memcmp(targets, &first.term.targets, sizeof(Targets)) != 0
            or path.size != first.size or path.number != first.number or path.program.in_python):
        return False
    for k in range(rules.groups.n_links):
        rule = rules.groups.links[k].rule
        if rule.collects or rule.compares_losses or rule != first.chain.rules.groups.links[k].rule:
            return False
    for k in range(plan.n_nodes):
        it, other = plan.nodes + k, first.program.plan.nodes + k
        if (it.op.kind != plan.kernels.dense or not it.live or it.shares_gradient or not it.last_of_parameters
                or (plan.X_source[it.op.X - plan.X] >= 0) != (k == 0) or it.op.activation.rows_value != NULL
                or it.op.activation != other.op.activation or it.op.alpha != other.op.alpha
                or it.op.beta != other.op.beta or it.weights != other.weights or it.bias != other.bias
                or it.weight_rows != other.weight_rows or it.weight_columns != other.weight_columns):
            return False
    return plan.n_nodes > 0


def lanes_of(list paths):
    """`Lanes` of nets that share shape, loss and rules and are small enough to gain by it; or None."""
    cdef FastPath first = paths[0]
    if first is None or first.program.plan.kernels.move_lanes == NULL or first.size > MOST_BYTES:
        return None
    for path in paths:
        if path is None or not fits(path, first):
            return None
    return Lanes(paths)
