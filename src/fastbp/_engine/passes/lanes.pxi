"""Training of small nets of one shape, LANES of them at once: one net in each lane of a SIMD vector.

A step of a tiny net is a few nanoseconds of arithmetic and a hundred times as much of loop overhead and calls, which
LANES nets share here.  Parameters and states are transposed into blocks, where number k of all nets is vector k, and
back.  Activations, losses of each output by itself and update rules work element by element, so their kernels take
blocks as they are; sums have the order that they have in a net alone (lane_tile.h), and so the bits are the same.  Nets
with the same updates stay in blocks for KEPT batches; others are updated one by one, from their own gradients.  Where a
number is not finite, the nets are what they were before one of these batches, and train alone from there.
"""

cdef enum:
    MOST_LANES = 16
    MOST_BYTES = 4096           # of a net's parameters: with more, its own tiles are as fast
    KEPT = 32                   # batches from one copy of the lanes to their nets to the next: a failure repeats them


cdef struct Net:
    # What a step reads and changes of one net ...
    Plan* plan
    uint64_t* draws
    Py_ssize_t* pending
    Rules* rules
    long long* t
    double* loss
    void** vectors              # its parameters, its gradient, its states
    # ... and of its batches.
    const char* x
    const Rows* source          # of inputs that are cast as they are read; NULL: x has them
    const char* values          # targets, or ...
    const int64_t* labels
    const int64_t* order        # of rows; NULL: as they are
    const double* rates         # learning rates of batches; with rate_step 0, one for all
    Py_ssize_t rate_step
    double rate
    double* losses              # of batches
    double* each_loss           # the same once more, or NULL
    char* outs                  # outputs of rows, or NULL
    Py_ssize_t batch            # the next one, or the one that failed, and ...
    int status                  # ... how, as in `Program.run`

cdef struct Layer:
    const Activation* activation
    double alpha, beta
    Py_ssize_t I, O
    Py_ssize_t weights, bias    # where they begin among the parameters; -1: none
    char* Z                     # blocks of all rows; Y unless the activation keeps its input
    char* Y
    char* dY


cdef class LaneNets:
    """Some nets, by their fast paths, `lanes` at a time; `lanes_of` has seen that they are alike."""

    cdef list paths
    cdef Arena own, arena               # of the nets, and of a number of rows
    cdef Lock lock
    cdef const Kernels* kernels
    cdef readonly Py_ssize_t lanes, most_rows
    cdef readonly double gain           # how many times as fast all lanes are as nets one by one, roughly
    cdef Py_ssize_t count, n, I, O, n_layers, n_vectors, capacity
    cdef Py_ssize_t vector, block       # bytes of a vector, and of a block of all parameters
    cdef Net* nets
    cdef Net** chosen                   # the nets that a call trains
    cdef Layer* layers
    cdef ChainLink* links               # of a group whose updates are the same
    cdef char* P                # blocks: the vectors ...
    cdef char* X                # ... a batch ...
    cdef char* T
    cdef char* ones             # ... of a loss: what stands for the parameter of an output, ...
    cdef char* losses
    cdef char* zeros      # ... and what sums begin with: 0, and for a sum of one product -0
    cdef char* negative_zeros
    cdef double* row_losses
    cdef void* scratch
    cdef Tensor Y, dY, cast     # of one net: for losses of whole rows, and for inputs that are cast
    cdef Targets targets
    cdef bint by_lanes          # the loss is of each output by itself
    cdef Py_ssize_t rows        # of a batch

    def __init__(self, list paths):
        cdef FastPath path = paths[0]
        cdef Py_ssize_t k, c, s, place, scratch
        cdef const Node* node
        cdef void** to
        cdef Net* net
        cdef Arena own
        self.paths, self.count, self.lock, self.capacity = paths, len(paths), Lock(), 0
        self.kernels, self.n, self.I, self.O = path.program.plan.kernels, path.chain.n, path.I, path.O
        self.lanes, self.n_layers, self.n_vectors = self.kernels.lanes, path.program.plan.n_nodes, 2
        self.vector, self.most_rows = self.lanes * self.kernels.item, SHORT_ROWS
        self.gain = 2.5 * MOST_BYTES / (MOST_BYTES + path.size)
        self.block = self.n * self.vector
        self.targets = path.term.targets
        self.targets.width = self.O // path.term.heads
        for c in range(path.chain.rules.groups.n_links):
            self.n_vectors += path.chain.rules.groups.links[c].rule.states
        scratch = max(self.kernels.scratch, self.kernels.loss_scratch(self.O))
        self.own = own = Arena(self.count * (sizeof(Net) + sizeof(Net*) + self.n_vectors * sizeof(void*)) + scratch
                               + self.n_layers * sizeof(Layer) + MAX_RULES * sizeof(ChainLink)
                               + self.n_vectors * self.block + 64 * 7)
        self.nets, self.chosen = <Net*> own.take(self.count * sizeof(Net)), <Net**> own.take(
            self.count * sizeof(Net*))
        to = <void**> own.take(self.count * self.n_vectors * sizeof(void*))
        self.layers, self.links = <Layer*> own.take(self.n_layers * sizeof(Layer)), <ChainLink*> own.take(
            MAX_RULES * sizeof(ChainLink))
        self.P, self.scratch = <char*> own.take(self.n_vectors * self.block), own.take(scratch)
        for k in range(self.n_layers):
            node = path.program.plan.nodes + k
            self.layers[k] = Layer(node.op.activation, node.op.alpha, node.op.beta, node.weight_rows,
                                   node.weight_columns, node.weights, node.bias, NULL, NULL, NULL)
        for k in range(self.count):
            path, net = paths[k], self.nets + k
            net.plan, net.draws, net.pending = &path.program.plan, &path.program.draws, &path.program.pending
            net.rules, net.t, net.loss, net.vectors = &path.chain.rules, &path.chain.t, &path.chain.loss, to
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
        cdef Py_ssize_t size = rows * (self.I + 3 * self.O + 3 * self.kernels.panel) * self.vector + 2 * self.block
        cdef Arena arena
        if rows <= self.capacity:
            return
        for k in range(self.n_layers):
            size += 3 * (rows * self.layers[k].O * self.vector + 64)
        self.arena = arena = Arena(size + rows * self.lanes * sizeof(double) + 64 * 11)
        self.X = <char*> arena.take(rows * self.I * self.vector)
        self.T, self.losses = <char*> arena.take(outputs * self.vector), <char*> arena.take(outputs * self.vector)
        self.ones = ones = <char*> arena.take(outputs * self.vector)
        self.zeros, self.negative_zeros = <char*> arena.take(self.block), <char*> arena.take(self.block)
        for k in range(outputs * self.lanes):
            put(ones + k * item, item, 1)
        for k in range(self.n * self.lanes):
            put(self.negative_zeros + k * item, item, -0.0)
        self.row_losses = <double*> arena.take(rows * self.lanes * sizeof(double))
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
        if self.I <= self.kernels.panel:
            self.cast.width, self.cast.pitch = self.I, pitch_of(self.kernels, self.I)
            self.cast.block = rows * self.cast.pitch
            self.cast.data = arena.take(self.cast.block * item)
        self.capacity = rows

    cdef bint pays(self, Py_ssize_t filled) noexcept:
        """Whether the lanes that so many nets leave empty cost less than the others gain."""
        return filled > 1 and filled * self.gain >= self.lanes

    cdef bint take(self, Py_ssize_t k) except -1:
        """Whether net k can go this way; its lock is held then."""
        cdef FastPath path = self.paths[k]
        cdef const Plan* plan = &path.program.plan
        if not path.lock.try_acquire():
            return False
        if (plan.n_spans == 1 and plan.spans.start == 0 and plan.spans.stop == self.n and not plan.keeps_rows
                and path.program.meeting is None and path.chain.shown_penalty == 0):
            return True
        path.lock.release()
        return False

    cdef void train(self, Net** nets, Py_ssize_t filled, Py_ssize_t first, Py_ssize_t last, Py_ssize_t size,
                    Py_ssize_t total, double until, bint reads) noexcept nogil:
        """Batches first ... last - 1 of `size` of `total` rows, or until a time (0: none); each net's `batch` is next.

        Where something is not finite, nets are as they were before one of these batches.
        """
        cdef double totals[MOST_LANES]
        cdef Py_ssize_t k = first, kept = first, j
        cdef bint together = self.updates_are_alike(nets, filled, first, last), fine = True, late = False
        cdef double scale
        for j in range(filled):
            nets[j].batch, nets[j].status = first, 0
        self.move_vectors(nets, filled, False)
        if together:
            self.link_blocks(nets[0].rules.groups)
        while k < last and fine and not late:
            self.rows = min(size, total - k * size)
            if reads and not self.read_rows(nets, filled, k * size):
                break
            self.forward()
            scale = self.kernels.loss_scale(&self.targets, self.rows)
            self.apply_loss(nets, filled, k * size, scale, totals)
            if not self.targets.weighted_mean:
                scale = 1.0 / <double> self.rows
            for j in range(filled):
                fine &= isfinite(totals[j]) != 0
            if not fine:
                break
            self.backward()
            if together:
                fine = self.update_together(nets[0].rules.groups, nets[0].t[0] + k - kept + 1,
                                            nets[0].rates[k * nets[0].rate_step], scale)
                if not fine:
                    break
            for j in range(filled):
                nets[j].losses[k] = totals[j]
                if nets[j].each_loss != NULL:
                    nets[j].each_loss[k] = totals[j]
                if nets[j].outs != NULL:
                    self.write_outputs(nets[j], j, k * size)
            if not together:
                fine = self.update_each(nets, filled, k, scale)
            k += 1
            late = until > 0 and (k - first - 1) % CLOCKED == 0 and clock_seconds() > until
            if together and (k - kept == KEPT or k == last or late):
                self.keep(nets, filled, k, k - kept, scale)
                kept = k

    cdef bint updates_are_alike(self, Net** nets, Py_ssize_t filled, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """Whether all nets have the same updates to make, so that lanes hold them too."""
        cdef const Group* one = nets[0].rules.groups
        cdef const Group* group
        cdef Py_ssize_t c, j, k
        for j in range(1, filled):
            group = nets[j].rules.groups
            if nets[j].t[0] != nets[0].t[0]:
                return False
            for c in range(one.n_links):
                if (memcmp(one.links[c].parameters, group.links[c].parameters, sizeof(one.links.parameters)) != 0
                        or memcmp(one.links[c].scalars, group.links[c].scalars, sizeof(one.links.scalars)) != 0):
                    return False
            for k in range(first, last if nets[0].rate_step + nets[j].rate_step > 0 else first + 1):
                if nets[j].rates[k * nets[j].rate_step] != nets[0].rates[k * nets[0].rate_step]:
                    return False
        return True

    cdef void gather(self, Net** nets, Py_ssize_t filled, bint targets, Py_ssize_t first, Py_ssize_t width,
                     char* block) noexcept nogil:
        """Rows of each net's inputs or targets to a block; lanes that are left empty hold the first net once more."""
        cdef void* at[MOST_LANES]
        cdef const Net* net
        cdef Py_ssize_t n, k, row
        cdef bint ordered = False
        for k in range(filled):
            ordered |= nets[k].order != NULL
        for n in range(self.rows if ordered else 1):
            for k in range(self.lanes):
                net = nets[k if k < filled else 0]
                row = first + n if net.order == NULL else net.order[first + n]
                at[k] = <void*> ((net.values if targets else net.x) + row * width * self.kernels.item)
            self.kernels.move_lanes(at, width if ordered else self.rows * width, block + n * width * self.vector, False)

    cdef bint read_rows(self, Net** nets, Py_ssize_t filled, Py_ssize_t first) noexcept nogil:
        """A batch of each net to the blocks.  False: a source had a number that is not allowed."""
        cdef const Net* net
        cdef Py_ssize_t k
        if self.by_lanes:
            self.gather(nets, filled, True, first, self.O, self.T)
        if nets[0].source == NULL:
            self.gather(nets, filled, False, first, self.I, self.X)
            return True
        for k in range(self.lanes):
            net = nets[k if k < filled else 0]
            net.source.gather(net.source.data, net.source, net.order, first, &self.cast, 0, self.rows)
            if not self.kernels.fit_rows(net.source, &self.cast, 0, self.rows):
                return False
            self.kernels.lane_rows(self.X + k * self.kernels.item, self.rows, &self.cast, True)
        return True

    cdef void write_outputs(self, const Net* net, Py_ssize_t lane, Py_ssize_t first) noexcept nogil:
        cdef Tensor out = self.Y
        out.data, out.pitch = net.outs + first * self.O * self.kernels.item, self.O
        self.kernels.lane_rows(self.layers[self.n_layers - 1].Y + lane * self.kernels.item, self.rows, &out, False)

    cdef void move_vector(self, Net** nets, Py_ssize_t filled, Py_ssize_t v, bint back) noexcept nogil:
        """Vector v of all nets to its block, or back; lanes that are left empty find the same as the first net's."""
        cdef void* at[MOST_LANES]
        cdef Py_ssize_t k
        for k in range(self.lanes):
            at[k] = nets[k if k < filled else 0].vectors[v]
        self.kernels.move_lanes(at, self.n, self.P + v * self.block, back)

    cdef void move_vectors(self, Net** nets, Py_ssize_t filled, bint back) noexcept nogil:
        """Parameters and states to their blocks, or back with the gradient."""
        cdef Py_ssize_t v
        for v in range(self.n_vectors):
            if v != 1 or back:
                self.move_vector(nets, filled, v, back)

    cdef void link_blocks(self, const Group* group) noexcept nogil:
        """The links of an update of all lanes: those of one net, with blocks as states."""
        cdef Py_ssize_t c, s, place = 2
        memcpy(self.links, group.links, group.n_links * sizeof(ChainLink))
        for c in range(group.n_links):
            for s in range(self.links[c].rule.states):
                self.links[c].states[s] = self.P + place * self.block
                place += 1

    cdef bint update_together(self, const Group* group, long long t, double lr, double scale) noexcept nogil:
        """Updates all lanes by the rules of one net.  False: some of the update was not finite."""
        cdef Step step
        cdef Py_ssize_t c
        memset(&step, 0, sizeof(Step))
        step.lr, step.t, step.batch, step.scale = lr, <double> t, <double> t, scale
        for c in range(group.n_links):
            prepare_link(&self.links[c], &step, group.lr_scale)
        return self.kernels.update(self.links, group.n_links, self.P, self.P + self.block, 0, self.n * self.lanes,
                                   self.scratch)

    cdef void keep(self, Net** nets, Py_ssize_t filled, Py_ssize_t k, Py_ssize_t steps, double scale) noexcept nogil:
        """Gives the nets what their lanes have after some steps together, of which the last was on batch k - 1."""
        cdef Net* net
        cdef Group* group
        cdef Py_ssize_t j, c
        self.move_vectors(nets, filled, True)
        for j in range(filled):
            net, group = nets[j], nets[j].rules.groups
            for c in range(group.n_links):
                memcpy(group.links[c].scalars, self.links[c].scalars, sizeof(self.links.scalars))
            net.t[0] += steps - 1
            begin_step(net, net.rates[(k - 1) * net.rate_step], net.losses[k - 1], scale)
            net.draws[0] += <uint64_t> steps
            net.batch = k

    cdef bint update_each(self, Net** nets, Py_ssize_t filled, Py_ssize_t k, double scale) noexcept nogil:
        """Each net's own update after batch k.  False: one of them was not finite, and has a status."""
        cdef Net* net
        cdef Group* group
        cdef Py_ssize_t j, c
        cdef bint fine = True
        self.move_vector(nets, filled, 1, True)
        for j in range(filled):
            net, group = nets[j], nets[j].rules.groups
            begin_step(net, net.rates[k * net.rate_step], net.losses[k], scale)
            for c in range(group.n_links):
                prepare_link(&group.links[c], &net.rules.step, group.lr_scale)
            if self.kernels.update(group.links, group.n_links, net.vectors[0], net.vectors[1], 0, self.n,
                                   self.scratch):
                net.batch = k + 1
                net.draws[0] += 1
            else:
                net.status, fine = 2, False
        self.move_vector(nets, filled, 0, False)
        return fine

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

    cdef void apply_loss(self, Net** nets, Py_ssize_t filled, Py_ssize_t first, double scale,
                         double* totals) noexcept nogil:
        """dY of the last layer, and the loss of each net."""
        cdef const Layer* it = self.layers + self.n_layers - 1
        cdef const Net* net
        cdef Py_ssize_t k
        cdef double* row_losses = self.row_losses
        cdef Targets targets = self.targets
        memset(row_losses, 0, self.rows * self.lanes * sizeof(double))
        if self.by_lanes:
            targets.loss.of_outputs(it.Y, self.T, self.ones, targets.numbers, self.losses, it.dY,
                                    self.rows * self.O * self.lanes)
            self.kernels.lane_losses(self.losses, it.dY, self.rows, self.O, scale * targets.share / self.O, row_losses)
        for k in range(self.lanes):
            if not self.by_lanes:
                net = nets[k if k < filled else 0]
                targets.values, targets.indices, targets.order, targets.first = net.values, net.labels, net.order, first
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


cdef void begin_step(Net* net, double lr, double loss, double scale) noexcept nogil:
    """What `Chain.prepare` notes of a step, but for its links."""
    cdef Step* step = &net.rules.step
    net.t[0] += 1
    step.lr, step.batch, step.t, step.norm, step.scale = lr, <double> net.t[0], <double> net.t[0], 0, scale
    step.loss_before, step.loss, net.loss[0] = net.loss[0], loss, loss
    net.rules.collecting, net.rules.stage, net.rules.averages_wait = False, 0, False
    net.plan.scale, net.plan.sinks.loss = scale, loss
    net.pending[0] = 0


cdef void put(char* at, Py_ssize_t item, double value) noexcept:
    if item == sizeof(float):
        (<float*> at)[0] = <float> value
    else:
        (<double*> at)[0] = value
