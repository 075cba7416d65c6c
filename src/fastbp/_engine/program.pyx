"""The compiled plan of a net: an array of structs, one for each node, and buffers sized once.

A step has two phases.  Phase one gives a thread a block of rows, since rows do not depend on each other:
all layers forward, the loss, all layers backward.  Phase two gives a thread a slice of every weight matrix:
its dW summed over all rows, then its update.  Each number is summed in one order whoever computes it.
The rejected option, a gradient for each thread and a sum of them, costs memory and makes bits depend on threads.
"""
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

import numpy as np

from fastbp._engine.chain cimport Chain
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernels cimport Activation, Loss, OpKind, Targets, Tensor
from fastbp._engine.memory cimport Arena, address, aligned, kernels_of, numbers_of, pitch_of
from fastbp._engine.tables cimport row_named

from fastbp._engine.plan import lower

cdef extern from "<time.h>" nogil:
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec* now, int base)
    enum: TIME_UTC

cdef enum:
    # Rows that run through all layers before the next ones do, so that they stay in the second-level cache.
    BLOCK_ROWS = 512


cdef inline double clock_seconds() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return <double> now.tv_sec + 1e-9 * <double> now.tv_nsec


cdef class _Tensor:
    cdef Tensor tensor


cdef class Program:
    """Runs a graph forward and backward, and trains it; _engine/README.md describes the arguments."""

    def __init__(self, dtype, widths, ops, inputs, outputs, params, grads):
        cdef Py_ssize_t t
        self.dtype = np.dtype(dtype)
        self.kernels = kernels_of(self.dtype)
        self.widths, self.arrays = list(widths), [params, grads]
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.specs, self.gradient_widths, first, ports = lower(widths, ops, inputs, outputs)
        self.params = <char*> address(params, params.nbytes)
        self.grads = <char*> address(grads, grads.nbytes)
        self.n_nodes, self.n_sources, self.n_sinks = len(self.specs), len(inputs), len(outputs)
        self.n_operands = sum(len(spec.gradients) for spec in self.specs)
        self.nodes = <Node*> self.own(self.n_nodes * sizeof(Node))
        self.X = <Tensor*> self.own(self.n_operands * sizeof(Tensor))
        self.dX = <Tensor*> self.own(self.n_operands * sizeof(Tensor))
        self.dX_data = <void**> self.own(self.n_operands * sizeof(void*))
        self.dX_trains = <bint*> self.own(self.n_operands * sizeof(bint))
        self.sources = <Port*> self.own(self.n_sources * sizeof(Port))
        self.sinks = <Port*> self.own(self.n_sinks * sizeof(Port))
        self.context.scratch = self.own(self.kernels.scratch)
        self.inputs = [(t, first[t]) for t in inputs]
        self.outputs = [(t, port) for t, port in zip(outputs, ports)]
        self._fill_nodes()

    cdef void* own(self, Py_ssize_t size) except NULL:
        """Zeroed memory that lives as long as the program."""
        cdef Arena arena = Arena(size)
        self.arrays.append(arena)
        return arena.take(size)

    def _fill_nodes(self):
        """What does not depend on the number of rows."""
        cdef Py_ssize_t operand = 0, k
        cdef Node* node
        trains = [False] * len(self.widths)
        seen = {}
        for k, spec in enumerate(self.specs):
            node = self.nodes + k
            node.op.kind = <const OpKind*> row_named(self.kernels.ops, sizeof(OpKind), spec.kind)
            node.op.inputs = len(spec.gradients)
            node.op.X, node.op.dX = self.X + operand, self.dX + operand
            node.op.activation = <const Activation*> row_named(
                self.kernels.activations, sizeof(Activation), spec.settings.get("activation", "linear"))
            node.op.alpha = spec.settings.get("alpha", 0) or spec.settings.get("rate", 0)
            node.op.key = spec.settings.get("key", 0)
            node.weights, node.bias = spec.offsets if spec.offsets else (-1, -1)
            if node.weights >= 0:
                self.place_parameters(node)
                node.shares_gradient = node.weights in seen
                node.last_of_parameters = True
                if node.shares_gradient:
                    self.nodes[<Py_ssize_t> seen[node.weights]].last_of_parameters = False
                seen[node.weights] = k
            if spec.kind != "fan_out":
                trains[spec.output] = node.weights >= 0 or any([trains[t] for t in spec.inputs])
            node.trains = trains[spec.output]
            for t in spec.inputs:
                self.dX_trains[operand] = trains[t]
                operand += 1
        self.want_inputs(False)

    cdef void place_parameters(self, Node* node) noexcept:
        node.op.W = self.params + node.weights * self.kernels.item
        node.op.dW = self.grads + node.weights * self.kernels.item
        if node.bias >= 0:
            node.op.b = self.params + node.bias * self.kernels.item
            node.op.db = self.grads + node.bias * self.kernels.item

    cdef void reserve(self, Py_ssize_t rows) except *:
        """Buffers for so many rows; what was kept for a backward pass is gone if they grow."""
        cdef Py_ssize_t item = self.kernels.item, held = rows, k, operand = 0
        cdef Py_ssize_t size = aligned(rows * sizeof(double))
        cdef Node* node
        if rows <= self.capacity:
            return
        # Blocks some 2 kB apart modulo 4096: their rows then fall on different lines of the first-level cache.
        while not 1536 <= held * self.kernels.panel * item % 4096 <= 2560:
            held += 1
        for width in [*self.widths, *self.widths, *self.gradient_widths]:
            size += aligned(numbers_of(self.kernels, width, held) * item)
        self.capacity = self.rows = 0
        self.buffers = Arena(size)
        values = [self._tensor(w, held) for w in self.widths]
        gradients = [self._tensor(w, held) for w in self.gradient_widths]
        self.row_losses = <double*> self.buffers.take(rows * sizeof(double))
        for k, spec in enumerate(self.specs):
            node = self.nodes + k
            node.op.Y = (<_Tensor> values[spec.output]).tensor
            node.op.dY = (<_Tensor> gradients[spec.gradient]).tensor
            node.op.Z = node.op.Y
            if spec.kind == "dense" and node.op.activation.keeps_input:
                node.op.Z = (<_Tensor> self._tensor(self.widths[spec.output], held)).tensor
            for t, g in zip(spec.inputs, spec.gradients):
                self.X[operand] = (<_Tensor> values[t]).tensor
                self.dX[operand] = (<_Tensor> gradients[g]).tensor
                self.dX_data[operand] = self.dX[operand].data
                operand += 1
        for k, (t, g) in enumerate(self.inputs):
            self.sources[k].value = (<_Tensor> values[t]).tensor
            self.sources[k].gradient = (<_Tensor> gradients[g]).tensor
        for k, (t, g) in enumerate(self.outputs):
            self.sinks[k].value = (<_Tensor> values[t]).tensor
            self.sinks[k].gradient = (<_Tensor> gradients[g]).tensor
        self.capacity = rows

    def _tensor(self, Py_ssize_t width, Py_ssize_t held):
        cdef _Tensor holder = _Tensor()
        cdef Py_ssize_t pitch = pitch_of(self.kernels, width)
        holder.tensor.width, holder.tensor.pitch, holder.tensor.block = width, pitch, held * pitch
        holder.tensor.data = self.buffers.take(numbers_of(self.kernels, width, held) * self.kernels.item)
        return holder

    cdef void want_inputs(self, bint wanted) noexcept nogil:
        """Whether gradients are wanted where no parameter stands above."""
        cdef Py_ssize_t k
        for k in range(self.n_operands):
            self.dX[k].data = self.dX_data[k] if wanted or self.dX_trains[k] else NULL

    # The passes over rows.  All of them may run in several threads at once, on different rows or parts.

    cdef void load(self, const int64_t* order, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """Rows first + start ... of the callers' arrays (in the given order) into the buffers."""
        cdef Py_ssize_t k
        cdef Port* port
        for k in range(self.n_sources):
            port = self.sources + k
            if order != NULL:
                self.kernels.load_rows(port.array, port.value.width, order + first, &port.value, start, stop)
            else:
                self.kernels.load_rows(port.array + first * port.value.width * self.kernels.item, port.value.width,
                                       NULL, &port.value, start, stop)

    cdef void forward_rows(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        cdef Py_ssize_t k
        for k in range(self.n_nodes):
            if self.nodes[k].op.kind.forward != NULL:
                self.nodes[k].op.kind.forward(&self.nodes[k].op, &self.context, start, stop)

    cdef void backward_rows(self, bint inputs, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        cdef Py_ssize_t k
        for k in range(self.n_nodes - 1, -1, -1):
            if inputs or self.nodes[k].trains:
                self.nodes[k].op.kind.backward(&self.nodes[k].op, &self.context, start, stop)

    cdef void phase_one(self, const int64_t* order, Py_ssize_t first, double scale, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil:
        """Rows start ... stop of the batch that begins at `first`: forward, losses, backward to every dZ."""
        cdef Py_ssize_t block, n, after, k
        cdef Port* port
        for block in range((stop - start + BLOCK_ROWS - 1) // BLOCK_ROWS):
            n = start + block * BLOCK_ROWS
            after = n + BLOCK_ROWS if n + BLOCK_ROWS < stop else stop
            self.load(order, first, n, after)
            self.forward_rows(n, after)
            memset(self.row_losses + n, 0, (after - n) * sizeof(double))
            for k in range(self.n_sinks):
                port = self.sinks + k
                port.loss(&port.value, &port.targets, scale, self.row_losses, &port.gradient, n, after)
            self.backward_rows(False, n, after)

    cdef bint phase_two(self, Chain chain, bint adds, Py_ssize_t part, Py_ssize_t of) noexcept nogil:
        """One slice of every dW, then, with a chain, its update.  False if an update was not finite."""
        cdef Py_ssize_t k, start, stop, I, O
        cdef bint fine = True, last = part == of - 1
        cdef Node* node
        for k in range(self.n_nodes):
            node = self.nodes + k
            if node.op.kind.gradient == NULL:
                continue
            I, O = node.op.X.width, node.op.Y.width
            start, stop = I * part // of, I * (part + 1) // of
            node.op.adds_gradient = adds or node.shares_gradient
            node.op.kind.gradient(&node.op, &self.context, self.rows, start, stop, last)
            if chain is None or not node.last_of_parameters:
                continue
            fine &= self.kernels.update(chain.links, chain.n_links, self.params, self.grads,
                                        node.weights + start * O, node.weights + stop * O, self.context.scratch)
            if last and node.bias >= 0:
                fine &= self.kernels.update(chain.links, chain.n_links, self.params, self.grads,
                                            node.bias, node.bias + O, self.context.scratch)
        return fine

    cdef double batch_loss(self, const int64_t* order, Py_ssize_t first, Py_ssize_t N) noexcept nogil:
        """Phase one over a batch of N rows: the weighted mean of its rows' losses, summed in their order."""
        cdef Py_ssize_t n, k
        cdef double total = 0, weights = <double> N
        cdef Targets* targets
        for k in range(self.n_sinks):
            targets = &self.sinks[k].targets
            targets.first = first
            targets.order = order
        targets = &self.sinks[0].targets
        if targets.weights != NULL:
            weights = self.kernels.sum_weights(targets, N)
        # A batch without any weight has loss 0 and moves nothing.
        self.phase_one(order, first, 1 / weights if weights > 0 else 0, 0, N)
        for n in range(N):
            total += self.row_losses[n]
        self.rows = N
        return total / weights if weights > 0 else 0

    # What Python calls.  Arrays come checked; the arguments are described in _engine/README.md.

    def forward(self, xs, bint training, uint64_t seed, uint64_t step):
        """Outputs of a batch; keeps what backward needs."""
        cdef Py_ssize_t N = len(xs[0])
        cdef fp_mode mode
        self.reserve(N)
        self.attach(self.sources, self.n_sources, xs, N)
        outputs = self.new_rows(self.sinks, self.n_sinks, N)
        self.context.training, self.context.seed, self.context.step = training, seed, step
        with nogil:
            mode = flush_subnormals()
            self.load(NULL, 0, 0, N)
            self.forward_rows(0, N)
            self.store(0, 0, N)
            self.rows = N
            restore_mode(mode)
        return outputs

    def backward(self, dys, bint accumulate, bint input_gradients):
        """grads from the gradients of the outputs of the last forward pass; the inputs' gradients if wanted."""
        cdef Py_ssize_t N = self.rows, k
        cdef fp_mode mode
        cdef Port* port
        self.attach(self.sinks, self.n_sinks, dys, N)
        dxs = self.new_rows(self.sources, self.n_sources, N) if input_gradients else None
        with nogil:
            mode = flush_subnormals()
            self.want_inputs(input_gradients)
            for k in range(self.n_sinks):
                port = self.sinks + k
                self.kernels.load_rows(port.array, port.gradient.width, NULL, &port.gradient, 0, N)
            self.backward_rows(input_gradients, 0, N)
            self.phase_two(None, accumulate, 0, 1)
            if input_gradients:
                for k in range(self.n_sources):
                    port = self.sources + k
                    self.kernels.store_rows(&port.gradient, port.array, port.gradient.width, 0, N)
            self.want_inputs(False)
            restore_mode(mode)
        return dxs

    def predict(self, xs):
        """Outputs of any number of rows, block by block."""
        cdef Py_ssize_t N = len(xs[0]), block, n, after
        cdef fp_mode mode
        self.reserve(min(N, BLOCK_ROWS))
        self.attach(self.sources, self.n_sources, xs, N)
        outputs = self.new_rows(self.sinks, self.n_sinks, N)
        self.context.training = False
        with nogil:
            mode = flush_subnormals()
            for block in range((N + BLOCK_ROWS - 1) // BLOCK_ROWS):
                n = block * BLOCK_ROWS
                after = BLOCK_ROWS if n + BLOCK_ROWS < N else N - n
                self.load(NULL, n, 0, after)
                self.forward_rows(0, after)
                self.store(n, 0, after)
            restore_mode(mode)
        return outputs

    def loss_and_gradient(self, xs, ts, weights, losses, uint64_t seed, uint64_t step, bint training):
        """The loss of a batch; grads hold its gradient."""
        cdef Py_ssize_t N = len(xs[0])
        cdef double loss
        cdef fp_mode mode
        self.reserve(N)
        self.attach_training(xs, ts, weights, losses, N)
        self.context.training, self.context.seed, self.context.step = training, seed, step
        with nogil:
            mode = flush_subnormals()
            loss = self.batch_loss(NULL, 0, N)
            self.phase_two(None, False, 0, 1)
            restore_mode(mode)
        return loss

    def run(self, xs, ts, weights, losses, Chain chain, lrs, order, Py_ssize_t batch_size, Py_ssize_t first,
            Py_ssize_t last, double seconds, double[::1] batch_losses, outs, uint64_t seed, uint64_t step):
        """Trains batches first ... last - 1; returns (next batch, status): 0 fine, 1 loss or 2 update not finite."""
        cdef Py_ssize_t n = len(xs[0]), total = len(order) if order is not None else n, k = first, N
        cdef const int64_t* rows = NULL
        cdef bint one_rate = not isinstance(lrs, np.ndarray)
        cdef double rate = lrs if one_rate else 0
        cdef const double[::1] rates = None if one_rate else lrs
        cdef int status = 0
        cdef double end
        cdef fp_mode mode
        if order is not None:
            rows = <const int64_t*> address(order, total * sizeof(int64_t))
        self.reserve(min(batch_size, total))
        self.attach_training(xs, ts, weights, losses, n)
        if outs is not None:
            self.attach(self.sinks, self.n_sinks, outs, total)
        self.context.training, self.context.seed = True, seed
        with nogil:
            mode = flush_subnormals()
            end = clock_seconds() + seconds
            while k < last and status == 0:
                self.context.step = step + <uint64_t> (k - first)
                N = batch_size if (k + 1) * batch_size < total else total - k * batch_size
                batch_losses[k] = self.batch_loss(rows, k * batch_size, N)
                if self.sinks[0].array != NULL:
                    self.store(k * batch_size, 0, N)
                if not isfinite(batch_losses[k]):
                    status = 1
                    break
                chain.prepare(rate if one_rate else rates[k])
                if not self.phase_two(chain, False, 0, 1):
                    status = 2
                    break
                k += 1
                if seconds > 0 and clock_seconds() > end:
                    break
            restore_mode(mode)
        return k, status

    cdef void store(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """Outputs of the buffers' rows start ... stop into the callers' rows from `first` on."""
        cdef Py_ssize_t k
        cdef Port* port
        for k in range(self.n_sinks):
            port = self.sinks + k
            self.kernels.store_rows(&port.value, port.array + first * port.value.width * self.kernels.item,
                                    port.value.width, start, stop)

    cdef void attach(self, Port* ports, Py_ssize_t n_ports, arrays, Py_ssize_t rows) except *:
        cdef Py_ssize_t k
        for k in range(n_ports):
            ports[k].array = <char*> address(arrays[k], rows * ports[k].value.width * self.kernels.item)

    cdef void attach_training(self, xs, ts, weights, losses, Py_ssize_t rows) except *:
        cdef Py_ssize_t k
        cdef Targets* targets
        cdef const Loss* loss
        self.attach(self.sources, self.n_sources, xs, rows)
        for k in range(self.n_sinks):
            targets = &self.sinks[k].targets
            loss = <const Loss*> row_named(self.kernels.losses, sizeof(Loss), losses[k])
            targets.width = self.sinks[k].value.width
            targets.indices, targets.values, self.sinks[k].array = NULL, NULL, NULL
            if ts[k].ndim == 1 and loss.of_indices != NULL:
                targets.indices = <const int64_t*> address(ts[k], rows * sizeof(int64_t))
                self.sinks[k].loss = loss.of_indices
            else:
                targets.values = address(ts[k], rows * targets.width * self.kernels.item)
                self.sinks[k].loss = loss.of_values
            targets.weights = NULL if weights is None else address(weights, rows * self.kernels.item)

    cdef new_rows(self, Port* ports, Py_ssize_t n_ports, Py_ssize_t rows):
        cdef Py_ssize_t k
        arrays = tuple([np.empty((rows, ports[k].value.width), self.dtype) for k in range(n_ports)])
        self.attach(ports, n_ports, arrays, rows)
        return arrays
