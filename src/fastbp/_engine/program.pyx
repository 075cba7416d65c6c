"""The compiled plan of a net: an array of structs, one for each node, and buffers sized once.

A step has two phases.  Phase one gives a thread a part of the rows, since rows do not depend on each other:
all layers forward, the loss, all layers backward.  Phase two gives a thread a slice of every weight matrix:
its dW summed over all rows, then its update.  Each number is summed in the same order by any thread.
Where a node couples rows, phase one is cut into stages, with a barrier for all threads between them.
Rejected: a gradient for each thread and a sum of these, which costs memory and makes bits depend on threads.
"""
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from fastbp._engine.chain cimport Chain, long_matrices
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Context, Op, OpKind, Rows, Tensor
from fastbp._engine.loss_term cimport Term
from fastbp._engine.memory cimport Arena, address, kernels_of, readable_end
from fastbp._engine.passes cimport batch_loss as phase_one, forward_backward, parameters
from fastbp._engine.passes.buffers cimport most_at_once, new_buffers, new_losses
from fastbp._engine.passes.forward_backward cimport forward_pass, place_inputs, predict_task, rows_at_once
from fastbp._engine.passes.interruption cimport asked, rows_of_piece, rows_of_thread
from fastbp._engine.passes.meeting cimport look, meet
from fastbp._engine.passes.nodes cimport fill_settings, place_parameters, several_outputs, share_parameters
from fastbp._engine.passes.parameters cimport constrain_task
from fastbp._engine.passes.short_step cimport SHORT_BYTES, find_spans, is_short, short_step
from fastbp._engine.plan cimport CLOCKED, SHORT_ROWS, Node, Plan, Port, Span
from fastbp._engine.sources cimport Source
from fastbp._engine.tables cimport row_named
from fastbp._engine.thread_choice cimport clock_seconds, passed, tuned
from fastbp._engine.threads cimport MOST_THREADS, Lock, enter, leave, serve, share

from fastbp._engine.plan import lower

include "passes/arrays.pxi"
include "passes/python_ops.pxi"

cdef enum:
    ROWS_EACH = 8               # rows, at least, for each thread that the engine adds by choice
    PASSES = 3                  # products of a training step per product of a forward pass

cdef double SHORT = 5e-3            # seconds of a pass: a shorter one does not look for signals
cdef double WORTHWHILE = 50e-6      # seconds of a step from which on several threads are tried
cdef double PRODUCTS_A_LANE = 6e9   # floating-point operations per second of a SIMD lane, roughly


# Functions of passes/ that other modules call: compiled once, here.

cdef void backward_pass(Plan* plan, int threads) noexcept nogil:
    forward_backward.backward_pass(plan, threads)


cdef double batch_loss(Plan* plan, bint direct, bint adds, int threads) noexcept nogil:
    return phase_one.batch_loss(plan, direct, adds, threads)


cdef bint gradients(Plan* plan, bint adds, int threads) noexcept nogil:
    return parameters.gradients(plan, adds, threads)


cdef bint updated(Plan* plan, Chain chain, double loss, double lr, double scale, bint formed,
                  int threads) noexcept nogil:
    return parameters.updated(plan, chain, loss, lr, scale, formed, threads)


cdef class TensorHolder:
    """A tensor as a Python object, for lists."""


cdef class Program:
    """Runs a graph forward and backward, and trains it; _engine/README.md describes the arguments."""

    def __init__(self, dtype, widths, ops, inputs, outputs, params, grads):
        cdef Py_ssize_t t
        self.dtype = np.dtype(dtype)
        self.plan.kernels, self.plan.owner = kernels_of(self.dtype), <void*> self
        self.plan.look, self.plan.meet = look, meet
        self.widths, self.arrays = list(widths), [params, grads]
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.specs, self.gradient_widths, first, ports = lower(widths, ops, inputs, outputs)
        self.owns = list(enumerate(first))
        self.plan.params, self.params_end = <char*> address(params, params.nbytes), readable_end(params)
        self.plan.grads = <char*> address(grads, grads.nbytes)
        self.plan.n_nodes, self.plan.n_sources, self.plan.n_sinks = len(self.specs), len(inputs), len(outputs)
        self.plan.n_operands = sum(len(spec.gradients) for spec in self.specs)
        self.plan.nodes = <Node*> self.own(self.plan.n_nodes * sizeof(Node))
        self.plan.X = <Tensor*> self.own(self.plan.n_operands * sizeof(Tensor))
        self.plan.X_source = <Py_ssize_t*> self.own(self.plan.n_operands * sizeof(Py_ssize_t))
        self.dX = <Tensor*> self.own(self.plan.n_operands * sizeof(Tensor))
        self.dX_data = <void**> self.own(self.plan.n_operands * sizeof(void*))
        self.dX_trains = <bint*> self.own(self.plan.n_operands * sizeof(bint))
        self.plan.sources = <Port*> self.own(self.plan.n_sources * sizeof(Port))
        self.plan.sinks = <Port*> self.own(self.plan.n_sinks * sizeof(Port))
        self.plan.contexts = <Context*> self.own(MOST_THREADS * sizeof(Context))
        self.n_contexts = 0
        self.scratch = max(self.plan.kernels.scratch, self.plan.kernels.loss_scratch(max([widths[t] for t in outputs])))
        self.plan.coupled = <Py_ssize_t*> self.own(self.plan.n_nodes * sizeof(Py_ssize_t))
        self.plan.spans = <Span*> self.own(2 * self.plan.n_nodes * sizeof(Span))
        self.in_python = []
        dense = [op for op in ops if op[0] == "dense"]
        self.plan.products = max([widths[op[1][0]] * widths[op[2]] for op in dense], default=0)
        self.row_seconds = 6 * sum([widths[op[1][0]] * widths[op[2]] for op in dense]) / (
            PRODUCTS_A_LANE * self.plan.kernels.lanes)
        self.inputs = [(t, first[t]) for t in inputs]
        self.outputs = [(t, port) for t, port in zip(outputs, ports)]
        self._fill_nodes()
        self.plan.most_at_once = most_at_once(self)
        self.plan.all_dense = all([self.plan.sources[k].dense_only for k in range(self.plan.n_sources)])
        self.plan.small = params.nbytes <= SHORT_BYTES and not self.in_python

    cdef void* own(self, Py_ssize_t size) except NULL:
        """Zeroed memory that lives as long as the program."""
        cdef Arena arena = Arena(size)
        self.arrays.append(arena)
        return arena.take(size)

    def _fill_nodes(self):
        """Fills in what does not depend on the number of rows."""
        cdef Py_ssize_t operand = 0, k
        cdef Node* node
        seen = {}
        source_of = {t: s for s, (t, _) in enumerate(self.inputs)}
        for k, (t, _) in enumerate(self.inputs):
            self.plan.sources[k].dense_only = t not in [t for t, _ in self.outputs]
        for k, spec in enumerate(self.specs):
            node = self.plan.nodes + k
            node.op.inputs = len(spec.gradients)
            node.op.X, node.op.dX = self.plan.X + operand, self.dX + operand
            if spec.kind == "python":
                self.in_python.append(in_python(self, node, spec.settings["functions"]))
            else:
                node.op.kind = <const OpKind*> row_named(self.plan.kernels.ops, sizeof(OpKind), spec.kind)
            fill_settings(self, node, spec)
            place_parameters(&self.plan, node, spec.offsets, self.params_end)
            node.live = spec.live
            several_outputs(self, node, spec)
            share_parameters(&self.plan, k, seen)
            for t in spec.inputs:
                self.plan.X_source[operand] = source_of.get(t, -1)
                if t in source_of and spec.kind not in ("dense", "fan_out"):
                    self.plan.sources[<Py_ssize_t> source_of[t]].dense_only = False
                operand += 1
        self.freeze(frozenset())

    def freeze(self, frozen):
        """Freezes the parameters of the nodes that output these tensors, and lets all others train."""
        cdef Py_ssize_t operand = 0, k
        cdef Node* node
        trains = [False] * len(self.widths)
        self.plan.n_coupled = 0
        for k, spec in enumerate(self.specs):
            node = self.plan.nodes + k
            if spec.kind != "fan_out":
                node.op.frozen = spec.output in frozen
                node.trains = node.weights >= 0 and not node.op.frozen or any([trains[t] for t in spec.inputs])
                for t in (spec.output, *[t for t, _ in spec.others]):
                    trains[t] = node.trains
            node.trains = trains[spec.output]
            if node.op.kind.couple != NULL and not node.op.frozen:
                self.plan.coupled[self.plan.n_coupled] = k
                self.plan.n_coupled += 1
            for t in spec.inputs:
                self.dX_trains[operand] = trains[t]
                operand += 1
        find_spans(&self.plan)
        self.want_inputs(False)

    cdef void reserve(self, Py_ssize_t rows) except *:
        """Makes buffers for a number of rows; if they grow, what was kept for a backward pass is lost."""
        if rows > self.plan.capacity:
            new_buffers(self, rows)
        if rows > self.plan.loss_rows:
            new_losses(self, rows)

    cdef void reserve_batch(self, Py_ssize_t rows) except *:
        """Makes buffers for a training pass, which may take its rows in parts."""
        self.reserve(rows if self.plan.keeps_rows else rows_at_once(&self.plan, rows))
        if rows > self.plan.loss_rows:
            new_losses(self, rows)

    @property
    def keeps_rows(self):
        """Whether the buffers hold all rows after a training pass."""
        return self.plan.keeps_rows

    @keeps_rows.setter
    def keeps_rows(self, bint keeps):
        self.plan.keeps_rows = keeps

    def rows_at_once(self, Py_ssize_t rows):
        """How many of `rows` rows are summed into the gradients at once."""
        return rows_at_once(&self.plan, rows)

    cdef void want_inputs(self, bint wanted) noexcept nogil:
        """Sets whether gradients are computed where no trained parameter is upstream, down to the inputs."""
        cdef Py_ssize_t k
        self.plan.inputs_wanted = wanted
        for k in range(self.plan.n_operands):
            self.dX[k].data = self.dX_data[k] if wanted or self.dX_trains[k] else NULL

    cdef int claim(self, int threads, Py_ssize_t rows) except -1:
        """Acquires the pool for a pass over some rows; returns the number of threads.  The caller releases it.

        `threads` is a number of threads, or negative: the engine then chooses, up to -threads.
        """
        cdef int most = threads if threads > 0 else -threads
        self.plan.looks, self.plan.stopped = rows * self.row_seconds > SHORT, False
        if self.plan.looks:
            self.plan.looked = clock_seconds()
        most = min(most, MOST_THREADS)
        if threads < 0:
            # Threads do not pay for a pass shorter than their barriers, nor with less than a tile of rows each.
            if rows * self.row_seconds < WORTHWHILE:
                most = 1
            most = <int> min(<Py_ssize_t> most, max(1, rows // ROWS_EACH))
        elif most > rows:
            most = <int> max(1, rows)
        while self.n_contexts < most:
            self.plan.contexts[self.n_contexts] = self.plan.contexts[0]     # of the pass that has begun
            self.plan.contexts[self.n_contexts].scratch = self.own(self.scratch)
            self.plan.contexts[self.n_contexts].stops, self.plan.contexts[self.n_contexts].plan = asked, &self.plan
            self.n_contexts += 1
        return enter(most)

    cdef void begin(self, bint training, uint64_t seed, uint64_t step) noexcept nogil:
        """Writes mode, seed and step into the contexts of all threads."""
        cdef int k
        self.plan.meets = training and self.meeting is not None
        for k in range(self.n_contexts):
            self.plan.contexts[k].training = training
            self.plan.contexts[k].seed = seed
            self.plan.contexts[k].step, self.plan.contexts[k].row = step, self.row
            self.plan.contexts[k].order, self.plan.contexts[k].first = self.plan.order, self.plan.first

    cdef void predict_rows(self, Py_ssize_t N, int threads, bint tiny=False) except *:
        """Outputs of the attached rows, in blocks: buffers for all of them are not needed."""
        cdef int most = self.claim(threads, N // PASSES if threads < 0 else N)
        cdef bint in_place
        try:
            threads = tuned(&self.tuners[PREDICTIONS], N, threads, most)
            self.reserve(threads * min(rows_of_thread(&self.plan, N, threads), rows_of_piece(&self.plan)))
            self.plan.rows, self.plan.order, self.plan.first = N, NULL, 0
            self.begin(False, 0, 0)
            # Several threads read the caller's rows in place where the buffers have a row for each of them.
            in_place = (threads > 1 and N <= threads * rows_of_piece(&self.plan) and self.plan.all_dense
                        and self.plan.all_plain)
            place_inputs(&self.plan, in_place, 0)
            if tiny:
                share(predict_task, &self.plan, threads)
            else:
                with nogil:
                    share(predict_task, &self.plan, threads)
            passed(&self.tuners[PREDICTIONS])
        finally:
            leave(most)
        self.raise_failed()

    cdef void raise_failed(self) except *:
        """Raises what a node in Python or a signal handler has raised during a pass."""
        cdef InPython node
        if self.plan.stopped:
            self.plan.stopped = self.plan.failed = False
            error, self.interruption = self.interruption, None
            raise error
        if self.plan.failed:
            self.plan.failed = False
            errors = [it.error for it in self.in_python if it.error is not None]
            for node in self.in_python:
                node.error = None  # its traceback would keep the arrays of the pass
            raise errors[0]

    cdef int batch(self, Chain chain, double lr, uint64_t seed, uint64_t step, bint direct, int wanted, int most,
                   double* loss) noexcept nogil:
        """A training step on the rows from plan.first on: 0 fine, 1 its loss or 2 its update is not finite, 3 a
        node in Python or a signal handler raised, 4 a source had a number that is not allowed."""
        cdef int threads = tuned(&self.tuners[STEPS], self.plan.rows, wanted, most)
        cdef int status = self.batch_on(threads, chain, lr, seed, step, direct, loss)
        passed(&self.tuners[STEPS])
        return status

    cdef int batch_on(self, int threads, Chain chain, double lr, uint64_t seed, uint64_t step, bint direct,
                      double* loss) noexcept nogil:
        self.begin(True, seed, step)
        self.plan.rules = &chain.rules
        chain.rules.G = self.plan.grads
        if is_short(&self.plan, threads) and not long_matrices(&chain.rules):
            return short_step(&self.plan, chain, direct, lr, loss)
        loss[0] = batch_loss(&self.plan, direct, False, threads)
        if self.plan.failed or self.plan.stopped:
            return 3
        if self.plan.unfit:
            return 4
        loss[0] += chain.penalty(self.plan.params, self.plan.scale)
        if not isfinite(loss[0]):
            return 1
        if not updated(&self.plan, chain, loss[0], lr, self.plan.scale, self.plan.in_parts,
                       threads):
            return 3 if self.plan.stopped or self.plan.failed else 2
        return 0

    cdef double value_and_gradients(self, bint training, uint64_t seed, uint64_t step, int wanted, int most,
                                    bint adds=False) noexcept nogil:
        """The loss of the attached rows; grads gets its gradient, added to what it held if `adds`."""
        cdef int threads = tuned(&self.tuners[GRADIENTS], self.plan.rows, wanted, most)
        cdef double loss
        self.begin(training, seed, step)
        self.plan.rules = NULL
        loss = batch_loss(&self.plan, self.plan.all_dense and self.plan.all_plain, adds, threads)
        if not self.plan.in_parts and not self.plan.failed and not self.plan.stopped:
            gradients(&self.plan, adds, threads)
        passed(&self.tuners[GRADIENTS])
        return loss

    def guard(self, Lock lock):
        """Tells the program which lock is held during its passes."""
        cdef InPython node
        for node in self.in_python:
            node.lock = lock

    # What Python calls.  Arrays come checked; the arguments are described in _engine/README.md.

    def forward(self, xs, bint training, uint64_t seed, uint64_t step, int threads=1):
        """Outputs of a batch; keeps what backward needs."""
        cdef Py_ssize_t N = len(xs[0])
        cdef int most
        self.reserve(N)
        attach_sources(self, xs, N)
        outputs = new_rows(self, self.plan.sinks, self.plan.n_sinks, N)
        most = self.claim(threads, N // PASSES if threads < 0 else N)
        with nogil:
            threads = tuned(&self.tuners[FORWARDS], N, threads, most)
            self.plan.rows, self.plan.order, self.plan.first = N, NULL, 0
            self.begin(training, seed, step)
            place_inputs(&self.plan, False, 0)
            forward_pass(&self.plan, threads)
            passed(&self.tuners[FORWARDS])
            leave(most)
        self.raise_failed()
        return outputs

    def backward(self, dys, bint accumulate, bint input_gradients, int threads=1):
        """Fills grads from the gradients dys of the last forward pass's outputs; the inputs' gradients if wanted."""
        cdef Py_ssize_t N = self.plan.rows
        cdef double summed = 1 / self.plan.scale if accumulate and self.plan.scale > 0 else 0
        cdef int most
        self.plan.scale = 1 / (summed + <double> N)
        attach_rows(self, self.plan.sinks, self.plan.n_sinks, dys, N)
        dxs = new_rows(self, self.plan.sources, self.plan.n_sources, N) if input_gradients else None
        most = self.claim(threads, N)
        with nogil:
            threads = tuned(&self.tuners[BACKWARDS], N, threads, most)
            self.want_inputs(input_gradients)
            backward_pass(&self.plan, threads)
            self.plan.rules = NULL
            if not self.plan.failed and not self.plan.stopped:
                gradients(&self.plan, accumulate, threads)
            self.want_inputs(False)
            passed(&self.tuners[BACKWARDS])
            leave(most)
        self.raise_failed()
        return dxs

    @property
    def unfit(self):
        """Whether a source had a number that is not allowed, in the last pass."""
        return self.plan.unfit

    @property
    def losses(self):
        """What each output added to the last loss."""
        cdef Py_ssize_t k
        return [self.plan.sinks[k].loss for k in range(self.plan.n_sinks)]

    def constrain(self):
        """Applies the constraints of the weights, as a step does after its update."""
        with nogil:
            constrain_task(&self.plan, 0, 1)

    def predict(self, xs, int threads=1):
        """Outputs of any number of rows, block by block."""
        cdef Py_ssize_t N = len(xs[0])
        self.reserve(1)
        attach_sources(self, xs, N)
        outputs = new_rows(self, self.plan.sinks, self.plan.n_sinks, N)
        self.predict_rows(N, threads)
        return outputs

    def loss_and_gradient(self, xs, ts, weights, terms, uint64_t seed, uint64_t step, bint training, int threads=1,
                          bint adds=False):
        """The loss of a batch; grads gets its gradient, added to what it held if `adds`."""
        cdef Py_ssize_t N = len(xs[0])
        cdef double loss
        cdef int most
        self.reserve_batch(N)
        attach_training(self, xs, ts, weights, terms, N)
        most = self.claim(threads, N)
        with nogil:
            self.plan.rows, self.plan.order, self.plan.first, self.plan.outputs_wanted = N, NULL, 0, False
            loss = self.value_and_gradients(training, seed, step, threads, most, adds)
            leave(most)
        self.raise_failed()
        return loss

    def run(self, batches, uint64_t seed, uint64_t step, int threads=1):
        """Trains on batches first ... last - 1 of `Batches`; returns (next batch, status of `batch`)."""
        cdef Chain chain = batches.chain
        cdef Py_ssize_t k = batches.first, first = k, last = batches.last, batch_size = batches.size, s
        cdef object order = batches.order, rates = batches.rates
        cdef Py_ssize_t n = len(batches.xs[0]), total = len(order) if order is not None else n
        cdef bint one_rate = not isinstance(rates, np.ndarray), direct
        cdef double rate = rates if one_rate else 0, seconds = batches.seconds, begun
        cdef const double[::1] each = None if one_rate else rates
        cdef double[::1] losses = batches.losses
        cdef double[:, ::1] each_loss = batches.each_loss
        cdef int status = 0, most
        cdef fp_mode mode = 0
        cdef Py_ssize_t apart = CLOCKED if self.plan.small and batch_size <= SHORT_ROWS else 1
        self.plan.order = NULL
        if order is not None:
            self.plan.order = <const int64_t*> address(order, total * sizeof(int64_t))
        self.reserve_batch(min(batch_size, total))
        attach_training(self, batches.xs, batches.ts, batches.weights, batches.terms, n)
        if batches.outs is not None:
            attach_rows(self, self.plan.sinks, self.plan.n_sinks, batches.outs, total)
        self.plan.outputs_wanted = batches.outs is not None
        most = self.claim(threads, min(batch_size, total))
        direct = self.plan.all_dense and self.plan.all_plain and order is None
        with nogil:
            begun = clock_seconds()
            if self.plan.small:         # once for all steps: short_step finds the mode set
                mode = flush_subnormals()
            while k < last:
                self.plan.first = k * batch_size
                self.plan.rows = min(batch_size, total - self.plan.first)
                status = self.batch(chain, rate if one_rate else each[k], seed, step + <uint64_t> (k - first),
                                    direct, threads, most, &losses[k])
                for s in range(self.plan.n_sinks if each_loss is not None else 0):
                    each_loss[k, s] = self.plan.sinks[s].loss
                if status:
                    break
                k += 1
                if seconds > 0 and (k - first - 1) % apart == 0 and clock_seconds() - begun > seconds:
                    break
            if self.plan.small:
                restore_mode(mode)
            leave(most)
        self.raise_failed()
        return k, status
