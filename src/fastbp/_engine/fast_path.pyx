"""The fast path: one batch that needs no conversion, in a microsecond.

A net of one input and one output often trains and predicts row by row, where the checks in Python cost ten times as
much as the arithmetic.  The fast path checks arrays itself and takes those that need no conversion: NumPy arrays,
contiguous, of the net's dtype and width, finite.  For all others it returns None and has changed nothing; the caller
then goes through inputs/, which converts the arrays or raises.
"""
from cpython.weakref cimport PyWeakref_NewRef
from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset

from fastbp._engine.array_access cimport (
    data_of, holds_int64, holds_labels, import_numpy, is_plain, is_rows, is_writeable, length_of, ndim_of,
    new_rows_like, number_of, number_of_size,
)
from fastbp._engine.chain cimport Group, Rules, prepare_link
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport (
    MAX_RULES, Activation, ChainLink, Kernels, LaneProduct, Rows, Rule, Step, Targets, Tensor,
)
from fastbp._engine.memory cimport Arena, address, pitch_of
from fastbp._engine.plan cimport CLOCKED, SHORT_ROWS, Node, Plan, Port
from fastbp._engine.program cimport attach_plain
from fastbp._engine.sources cimport Source
from fastbp._engine.loss_term cimport Term
from fastbp._engine.thread_choice cimport clock_seconds
from fastbp._engine.threads cimport leave, wanted

import_numpy()

cdef double TINY = 2e-6         # seconds of a pass: a shorter one does not release the GIL


cdef class FastPath:
    """Trains (with a loss and a chain), gives gradients (without a chain) or predicts (without either)."""

    def __init__(self, Program program, Lock lock, dtype, Term term=None, Chain chain=None):
        assert program.plan.n_sources == program.plan.n_sinks == 1
        self.program, self.lock, self.chain, self.dtype, self.term = program, lock, chain, dtype, term
        self.number = number_of_size(program.plan.kernels.item)
        self.size = program.arrays[0].nbytes
        self.I, self.O = program.widths[program.inputs[0][0]], program.widths[program.outputs[0][0]]

    cdef bint takes(self, X) noexcept:
        """Whether X has the layout, dtype and shape that the engine reads; its values are not checked here."""
        return is_plain(X) and is_rows(X, self.I, self.number) and not self.program.plan.any_table

    cdef const int64_t* copied(self, const int64_t* labels, Py_ssize_t rows) except NULL:
        """A copy of a batch's labels: kernels index with the same numbers that are checked here."""
        if rows > self.labels_room:
            self.labels, self.labels_room = Arena(rows * sizeof(int64_t)), rows
            self.labels_at = <int64_t*> self.labels.take(rows * sizeof(int64_t))
        memcpy(self.labels_at, labels, rows * sizeof(int64_t))
        return self.labels_at

    cdef bint is_target(self, y, Py_ssize_t rows) except -1:
        """Whether y has the dtype, shape and range that the loss takes; False for losses of whole numbers, which
        inputs/ checks."""
        cdef const int64_t* labels
        cdef const Targets* targets = &self.term.targets
        cdef Py_ssize_t n, width = self.O // self.term.heads
        if not is_plain(y) or ndim_of(y) == 0 or length_of(y, 0) != rows or targets.loss.whole or targets.skips_nan:
            return False
        if ndim_of(y) == 1:
            if not targets.loss.labels or not holds_labels(y):
                return False
            labels = self.copied(<const int64_t*> data_of(y), rows)
            for n in range(rows):
                if not 0 <= labels[n] < self.O:
                    return False
            return True
        if not is_rows(y, width, self.number):
            return False
        return self.program.plan.kernels.first_nonfinite(data_of(y), rows * width) < 0 and (
            targets.loss.low == -INFINITY or self.program.plan.kernels.first_outside(
                data_of(y), rows * width, targets.loss.low, targets.loss.high) < 0)

    def step(self, X, y, double lr, threads=None):
        """The loss of a training step; (loss, status) if the status of `Program.batch` is not 0; None if the fast path
        does not take the arrays."""
        return self.attached(X, y, lr, wanted(threads), NULL)

    def gradient(self, theta, X, y, threads=None):
        """The loss without dropout at theta, which replaces params, with its gradient in grads; None as for `step`."""
        if (not is_plain(theta) or ndim_of(theta) != 1 or number_of(theta) != self.number
                or length_of(theta, 0) * self.program.plan.kernels.item != self.size):
            return None
        return self.attached(X, y, 0, wanted(threads), data_of(theta))

    cdef attached(self, X, y, double lr, int threads, const void* theta):
        """A step, or with a theta the gradient there."""
        cdef Py_ssize_t rows
        if threads == 0 or not self.takes(X):
            return None
        rows = length_of(X, 0)
        self.lock.acquire()
        # NumPy resizes no array that has a weak reference.
        _pins = None if self.tiny(rows) else (PyWeakref_NewRef(X, None), PyWeakref_NewRef(y, None))
        try:
            if (self.program.plan.kernels.first_nonfinite(data_of(X), rows * self.I) >= 0
                    or not self.is_target(y, rows)):
                return None
            self.attach(X, y)
            if theta == NULL:
                return self.updated(lr, threads)
            memmove(self.program.plan.params, theta, self.size)
            return self.differentiated(threads)
        finally:
            self.lock.release()

    cdef void attach(self, X, y) except *:
        cdef Plan* plan = &self.program.plan
        cdef Port* sink = plan.sinks
        self.program.reserve_batch(length_of(X, 0))
        attach_plain(self.program)
        plan.sources.array = data_of(X)
        sink.array = NULL
        memmove(&sink.targets, &self.term.targets, sizeof(Targets))
        sink.targets.width = self.O // self.term.heads
        sink.targets.indices = self.labels_at if ndim_of(y) == 1 else NULL
        sink.targets.values = NULL if ndim_of(y) == 1 else data_of(y)
        plan.order, plan.first, plan.rows = NULL, 0, length_of(X, 0)
        plan.outputs_wanted = False
        self.program.pending = 0

    cdef bint tiny(self, Py_ssize_t rows) noexcept:
        # A pass that waits for other threads to run Python must not hold the GIL.
        return rows * self.program.row_seconds < TINY and not self.program.in_python

    cdef updated(self, double lr, int threads):
        cdef Program program = self.program
        cdef int status, most = program.claim(threads, program.plan.rows)
        cdef double loss = 0
        if self.tiny(program.plan.rows):
            status = program.batch(self.chain, lr, program.seed, program.draws, program.plan.all_dense, threads, most,
                                   &loss)
        else:
            with nogil:
                status = program.batch(self.chain, lr, program.seed, program.draws, program.plan.all_dense, threads,
                                       most, &loss)
        leave(most)
        program.raise_failed()
        if status:
            return loss, status
        program.draws += 1
        return loss

    cdef differentiated(self, int threads):
        cdef Program program = self.program
        cdef int most = program.claim(threads, program.plan.rows)
        cdef double loss
        with nogil:
            loss = program.value_and_gradients(False, program.seed, program.draws, threads, most)
        leave(most)
        program.raise_failed()
        return loss

    def predict(self, X, threads=None, out=None):
        """The outputs, written to `out` if that is given; None if the fast path does not take the arrays."""
        cdef Py_ssize_t N
        cdef int most = wanted(threads)
        if most == 0 or not self.takes(X):
            return None
        N = length_of(X, 0)
        if self.program.plan.kernels.first_nonfinite(data_of(X), N * self.I) >= 0:
            return None
        if out is None:
            out = new_rows_like(2, N, self.O, self.number)
        elif not self.takes_outputs(X, out):
            return None
        self.lock.acquire()
        _pins = None if self.tiny(N) else (PyWeakref_NewRef(X, None), PyWeakref_NewRef(out, None))
        try:
            self.program.plan.sources.array, self.program.plan.sinks.array = data_of(X), data_of(out)
            attach_plain(self.program)
            self.program.predict_rows(N, most, self.tiny(N))
        finally:
            self.lock.release()
        return out

    cdef bint takes_outputs(self, X, out) noexcept:
        """Whether the outputs of X fit `out`, and it shares no memory with X or the parameters."""
        cdef const char* first = data_of(out) if is_plain(out) else NULL
        cdef Py_ssize_t N = length_of(X, 0), item = self.program.plan.kernels.item
        return (first != NULL and is_rows(out, self.O, self.number) and length_of(out, 0) == N and is_writeable(out)
                and apart(first, N * self.O * item, data_of(X), N * self.I * item)
                and apart(first, N * self.O * item, self.program.plan.params, self.size))


cdef bint apart(const char* a, Py_ssize_t a_size, const char* b, Py_ssize_t b_size) noexcept:
    """Whether two stretches of memory share no byte."""
    return a + a_size <= b or b + b_size <= a


def step_each(list paths, list xs, list ts, list rates, losses, threads=None):
    """A step of many nets, one after the other; (k, what `step` returned) for each net k that has made none.

    A path is None where a net has no fast path.
    """
    cdef int most = wanted(threads)
    cdef Py_ssize_t k
    cdef double* of_nets = <double*> address(losses, len(paths) * sizeof(double))
    cdef FastPath path
    others = []
    for k in range(len(paths)):
        path = paths[k]
        done = None if path is None else path.attached(xs[k], ts[k], rates[k], most, NULL)
        if type(done) is float:
            of_nets[k] = done
        else:
            others.append((k, done))
    return others


include "passes/lanes.pxi"
include "passes/lane_calls.pxi"
