"""`Lanes`: which nets train together, LANES at a time; a step of a whole population, or batches of a few fits.

Each call holds the locks of the nets that it trains, and leaves all other nets as they were.
"""

cdef bint fits(FastPath path, FastPath first) noexcept:
    """Whether two nets are the same chain of dense layers, and all but their products works element by element."""
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


cdef class Lanes(LaneNets):
    """`step` for populations, `run` for fits."""

    cdef Arena copied           # labels of a step
    cdef Py_ssize_t room
    cdef int64_t* labels

    cdef int64_t* labels_of(self, const char* labels, Py_ssize_t count) except NULL:
        """A copy of labels: what is checked here is what kernels index with."""
        if count > self.room:
            self.copied, self.room = Arena(count * sizeof(int64_t)), count
            self.labels = <int64_t*> self.copied.take(count * sizeof(int64_t))
        memcpy(self.labels, labels, count * sizeof(int64_t))
        return self.labels

    cdef bint attach(self, X, y, double* numbers) except -1:
        """Whether the arrays are as the engine reads them; the step is on them then."""
        cdef int at = ndim_of(X) - 2
        cdef FastPath path = self.paths[0]
        cdef Py_ssize_t total, k, width = self.targets.width, item = self.kernels.item
        cdef bint each = at == 1
        cdef const int64_t* labels = NULL
        cdef Net* net
        if (not is_plain(X) or not is_plain(y) or not 0 <= at <= 1 or number_of(X) != path.number
                or not at + 1 <= ndim_of(y) <= at + 2
                or at == 1 and not length_of(X, 0) == length_of(y, 0) == self.count
                or not 0 < length_of(X, at) == length_of(y, at) <= SHORT_ROWS or length_of(X, at + 1) != self.I):
            return False
        self.rows = length_of(X, at)
        total = self.rows * (self.count if each else 1)
        if self.kernels.first_nonfinite(data_of(X), total * self.I) >= 0:
            return False
        if ndim_of(y) == at + 1:
            if not self.targets.loss.labels or not holds_int64(y):
                return False
            labels = self.labels_of(data_of(y), total)
            for k in range(total):
                if not 0 <= labels[k] < self.O:
                    return False
        elif (number_of(y) != path.number or length_of(y, at + 1) != width
                or self.kernels.first_nonfinite(data_of(y), total * width) >= 0
                or self.targets.loss.low != -INFINITY and self.kernels.first_outside(
                    data_of(y), total * width, self.targets.loss.low, self.targets.loss.high) >= 0):
            return False
        self.reserve(self.rows)
        self.by_lanes = labels == NULL and self.targets.loss.of_outputs != NULL and width == self.O
        for k in range(self.count):
            net = self.nets + k
            net.x, net.values, net.labels = data_of(X), data_of(y), labels
            if each:
                net.x += k * self.rows * self.I * item
                net.values = data_of(y) + k * self.rows * width * item
                if labels != NULL:
                    net.labels = labels + k * self.rows
            net.rate, net.rates, net.rate_step, net.losses, net.order = numbers[k], &net.rate, 0, numbers + k, NULL
            net.each_loss, net.outs, net.source = NULL, NULL, NULL
        return True

    cdef Py_ssize_t choose(self, list which) except -1:
        """Chooses the nets that train together, and returns their number; their locks are held then."""
        cdef Py_ssize_t k, rest, count = 0
        for k in which:
            if self.take(k):
                self.chosen[count] = self.nets + k
                count += 1
        rest = count % self.lanes
        if rest > 0 and not self.pays(rest):
            self.let_go(count - rest, count)
            count -= rest
        return count

    cdef void let_go(self, Py_ssize_t first, Py_ssize_t last) noexcept:
        cdef Py_ssize_t k
        for k in range(first, last):
            (<FastPath> self.paths[self.chosen[k] - self.nets]).lock.release()

    cdef void train_chosen(self, Py_ssize_t count, Py_ssize_t first, Py_ssize_t last, Py_ssize_t size,
                           Py_ssize_t total, double seconds, bint each) noexcept nogil:
        """Batches of the chosen nets, `lanes` nets at a time; all nets have the same rows unless `each` has its own."""
        cdef fp_mode mode = flush_subnormals()
        cdef double until = clock_seconds() + seconds if seconds > 0 else 0
        cdef Py_ssize_t start = 0
        while start < count:
            self.train(self.chosen + start, min(self.lanes, count - start), first, last, size, total, until,
                       each or start == 0)
            start += self.lanes
        restore_mode(mode)

    def step(self, X, y, numbers):
        """A step of the nets on (rows, inputs) for all or (nets, rows, inputs).

        A net's number is its learning rate, and its loss when it has done the step.  Returns (net, None) of those that
        have not begun it, and (net, (loss, status)) of those whose update failed.
        """
        cdef Py_ssize_t k, count = 0
        cdef bint each = X.ndim == 3
        cdef double* of_nets = <double*> address(numbers, self.count * sizeof(double))
        cdef Net* net
        if not self.lock.try_acquire():
            return [(k, None) for k in range(self.count)]
        try:
            for k in range(self.count):
                self.nets[k].batch = self.nets[k].status = 0
            _pins = PyWeakref_NewRef(X, None), PyWeakref_NewRef(y, None)
            if self.attach(X, y, of_nets):
                count = self.choose(list(range(self.count)))
            with nogil:
                self.train_chosen(count, 0, 1, self.rows, self.rows, 0, each)
            self.let_go(0, count)
            left = []
            for k in range(self.count):
                net = self.nets + k
                if net.batch == 0:
                    left.append((k, (of_nets[k], net.status) if net.status else None))
            return left
        finally:
            self.lock.release()

    def run(self, list which, list batches):
        """Trains some nets, each on its own `Batches`; returns (next batch, status) of each, as `Program.run` does.

        None: these nets cannot train together.
        """
        cdef Py_ssize_t count = len(which), first = batches[0].first, size = batches[0].size, last, total, k
        cdef Py_ssize_t most = 0
        cdef Net* net
        cdef double seconds = batches[0].seconds
        if count > self.lanes or not self.pays(count) or not self.lock.try_acquire():
            return None
        try:
            last, total = batches[0].last, self.total_of(batches[0])
            for k in range(count):
                it = batches[k]
                net = self.nets + <Py_ssize_t> which[k]
                if it.first != first or it.size != size or not self.attach_batches(net, self.paths[which[k]], it):
                    return None
                if (net.source == NULL) != (self.nets[<Py_ssize_t> which[0]].source == NULL):
                    return None
                most = max(most, self.total_of(it))
                total, last = min(total, self.total_of(it)), min(last, <Py_ssize_t> it.last)
            if most > total:        # the last batches differ
                last = min(last, total // size)
            if min(size, total) > SHORT_ROWS or first >= last:
                return None
            self.reserve(min(size, total))
            self.by_lanes = (self.nets[<Py_ssize_t> which[0]].labels == NULL and self.targets.loss.of_outputs != NULL
                             and self.targets.width == self.O)
            k, count = count, self.choose(which)
            if count == k:
                with nogil:
                    self.train_chosen(count, first, last, size, total, seconds, True)
            self.let_go(0, count)
            return [(self.chosen[j].batch, self.chosen[j].status) for j in range(count)] if count == k else None
        finally:
            self.lock.release()

    cdef Py_ssize_t total_of(self, batches) except -1:
        return len(batches.xs[0] if batches.order is None else batches.order)

    cdef bint attach_batches(self, Net* net, FastPath path, batches) except -1:
        """Whether a net's batches are plain arrays, without weights; they are its next ones then."""
        cdef Py_ssize_t rows = len(batches.xs[0]), item = self.kernels.item, total = self.total_of(batches)
        X, y, order, outs, rates = batches.xs[0], batches.ts[0], batches.order, batches.outs, batches.rates
        cdef bint planned = not isinstance(rates, float)
        cdef const Rows* source = &(<Source> X).rows if isinstance(X, Source) else NULL
        if (source != NULL and (source.starts != NULL or self.I > self.kernels.panel) or batches.weights is not None
                or batches.chain is not path.chain or batches.terms is None or batches.terms[0] is not path.term):
            return False
        net.x, net.source = NULL, source
        if source == NULL:
            net.x = <char*> address(X, rows * self.I * item)
        net.values = <char*> address(y, y.nbytes)
        net.labels = NULL
        if y.ndim == 1 and self.targets.loss.labels:
            net.labels = <const int64_t*> net.values
        assert y.nbytes == rows * (sizeof(int64_t) if net.labels != NULL else self.targets.width * item)
        net.order = NULL
        if order is not None:
            net.order = <const int64_t*> address(order, total * sizeof(int64_t))
        net.rate, net.rate_step, net.rates = 0 if planned else rates, planned, &net.rate
        if planned:
            net.rates = <double*> address(rates, rates.nbytes)
        net.losses, net.each_loss, net.outs = <double*> address(batches.losses, batches.losses.nbytes), NULL, NULL
        if batches.each_loss is not None:
            net.each_loss = <double*> address(batches.each_loss, batches.each_loss.nbytes)
        if outs is not None:
            net.outs = <char*> address(outs[0], total * self.O * item)
        return True


def lanes_of(list paths):
    """`Lanes` of nets that share shape, loss and rules and are small enough to gain by it; or None."""
    cdef FastPath first = paths[0]
    if first is None or first.program.plan.kernels.move_lanes == NULL or first.size > MOST_BYTES:
        return None
    for path in paths:
        if path is None or not fits(path, first):
            return None
    return Lanes(paths)
