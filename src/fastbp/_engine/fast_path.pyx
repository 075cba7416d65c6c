"""The fast path: one batch that needs no conversion, in a microsecond.

A net of one input and one output is often trained and asked row by row, where the checks in Python cost ten
times as much as the arithmetic.  The fast path looks at the arrays itself and takes those that are right as they are:
arrays of NumPy's, contiguous, of the net's type and width, finite.  For all else it returns None, with nothing
done, and the way through inputs/ converts or explains.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject_CallObject
from cpython.weakref cimport PyWeakref_NewRef
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memmove

import numpy as np

from fastbp._engine.kernel_table cimport Targets
from fastbp._engine.memory cimport Arena
from fastbp._engine.program cimport Plan, Port, attach_plain
from fastbp._engine.loss_term cimport Term
from fastbp._engine.threads cimport leave, wanted

cdef extern from "Python.h":
    # A `try` would save and restore what is being handled, which is slow in the Limited API.
    int view_or_error "PyObject_GetBuffer"(object array, Py_buffer* view, int flags) noexcept

cdef object ndarray = np.ndarray
cdef object empty = np.empty


cdef double TINY = 2e-6         # seconds of a pass that is not worth letting other threads of Python in


cdef class FastPath:
    """Trains with a loss and a chain, or gives gradients, which needs no chain, or predicts, which needs neither."""

    def __init__(self, Program program, Lock lock, dtype, Term term=None, Chain chain=None):
        assert program.plan.n_sources == program.plan.n_sinks == 1
        self.program, self.lock, self.chain, self.dtype, self.term = program, lock, chain, dtype, term
        self.kind = b"f" if program.plan.kernels.item == 4 else b"d"
        self.size = program.arrays[0].nbytes
        self.I, self.O = program.widths[program.inputs[0][0]], program.widths[program.outputs[0][0]]

    cdef bint open_array(self, array, Py_buffer* view) noexcept:
        """Whether it is an array in one piece, and any numbers will do; then its view wants to be released."""
        if type(array) is not ndarray or self.program.plan.any_table:
            return False
        if view_or_error(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0:
            PyErr_Clear()
            return False
        return True

    cdef bint is_rows(self, const Py_buffer* view, Py_ssize_t width) noexcept:
        return (view.ndim == 2 and view.shape[0] > 0 and view.shape[1] == width and view.format[0] == self.kind
                and view.format[1] == 0 and <size_t> view.buf % <size_t> view.itemsize == 0)

    cdef const int64_t* copied(self, const int64_t* labels, Py_ssize_t rows) except NULL:
        """The labels of a batch in memory of our own: what is checked here is what the kernels index with."""
        if rows > self.labels_room:
            self.labels, self.labels_room = Arena(rows * sizeof(int64_t)), rows
            self.labels_at = <int64_t*> self.labels.take(rows * sizeof(int64_t))
        memcpy(self.labels_at, labels, rows * sizeof(int64_t))
        return self.labels_at

    cdef bint is_target(self, const Py_buffer* view, Py_ssize_t rows) except -1:
        """Whether it is what the loss takes, in its range; that they are whole is for inputs/ to see."""
        cdef const int64_t* labels = <const int64_t*> view.buf
        cdef const Targets* targets = &self.term.targets
        cdef Py_ssize_t n, width = self.O // self.term.heads
        if view.ndim == 0 or view.shape[0] != rows or targets.loss.whole or targets.skips_nan:
            return False
        if view.ndim == 1:
            if (not targets.loss.labels or view.format[0] != b"l" or view.format[1] != 0 or view.itemsize != 8
                    or <size_t> view.buf % 8):
                return False
            labels = self.copied(labels, rows)
            for n in range(rows):
                if not 0 <= labels[n] < self.O:
                    return False
            return True
        if not self.is_rows(view, width):
            return False
        return self.program.plan.kernels.first_nonfinite(view.buf, rows * width) < 0 and (
            targets.loss.low == -INFINITY or self.program.plan.kernels.first_outside(
                view.buf, rows * width, targets.loss.low, targets.loss.high) < 0)

    def step(self, X, y, double lr, threads=None):
        """The loss of a training step; (loss, status) as `Program.run` has it if that is not 0; or None."""
        return self.attached(X, y, lr, wanted(threads), NULL)

    def gradient(self, theta, X, y, threads=None):
        """The loss without dropout at parameters theta, which stay, and its gradient in grads; or None."""
        cdef Py_buffer view
        if not self.open_array(theta, &view):
            return None
        try:
            if view.ndim != 1 or view.len != self.size or view.format[0] != self.kind or view.format[1] != 0:
                return None
            return self.attached(X, y, 0, wanted(threads), view.buf)
        finally:
            PyBuffer_Release(&view)

    cdef attached(self, X, y, double lr, int threads, const void* theta):
        """A step, or where there is a theta a gradient."""
        cdef Py_buffer x, t
        if threads == 0 or not self.open_array(X, &x):
            return None
        try:
            if not self.is_rows(&x, self.I) or not self.open_array(y, &t):
                return None
            self.lock.acquire()
            # NumPy resizes no array that has a weak reference.
            _pins = None if self.tiny(x.shape[0]) else (PyWeakref_NewRef(X, None), PyWeakref_NewRef(y, None))
            try:
                if (self.program.plan.kernels.first_nonfinite(x.buf, x.shape[0] * self.I) >= 0
                        or not self.is_target(&t, x.shape[0])):
                    return None
                self.attach(&x, &t)
                if theta == NULL:
                    return self.updated(lr, threads)
                memmove(self.program.plan.params, theta, self.size)
                return self.differentiated(threads)
            finally:
                self.lock.release()
                PyBuffer_Release(&t)
        finally:
            PyBuffer_Release(&x)

    cdef void attach(self, const Py_buffer* x, const Py_buffer* t) except *:
        cdef Plan* plan = &self.program.plan
        cdef Port* sink = plan.sinks
        self.program.reserve(x.shape[0])
        attach_plain(self.program)
        plan.sources.array = <char*> x.buf
        sink.array, sink.targets = NULL, self.term.targets
        sink.targets.width = self.O // self.term.heads
        sink.targets.indices = self.labels_at if t.ndim == 1 else NULL
        sink.targets.values = NULL if t.ndim == 1 else t.buf
        plan.order, plan.first, plan.rows = NULL, 0, x.shape[0]
        plan.outputs_wanted = False
        self.program.pending = 0

    cdef bint tiny(self, Py_ssize_t rows) noexcept:
        return rows * self.program.row_seconds < TINY

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

    def predict(self, X, threads=None):
        """The outputs, or None."""
        cdef Py_buffer x, y
        cdef Py_ssize_t N
        cdef int most = wanted(threads)
        if most == 0 or not self.open_array(X, &x):
            return None
        try:
            N = x.shape[0] if x.ndim else 0
            if not self.is_rows(&x, self.I) or self.program.plan.kernels.first_nonfinite(x.buf, N * self.I) >= 0:
                return None
            if N != self.empty_rows:
                self.empty_arguments, self.empty_rows = ((N, self.O), self.dtype), N
            Y = PyObject_CallObject(empty, self.empty_arguments)
            PyObject_GetBuffer(Y, &y, PyBUF_C_CONTIGUOUS)
            self.lock.acquire()
            _pin = None if self.tiny(N) else PyWeakref_NewRef(X, None)
            try:
                self.program.plan.sources.array, self.program.plan.sinks.array = <char*> x.buf, <char*> y.buf
                attach_plain(self.program)
                self.program.predict_rows(N, most, self.tiny(N))
            finally:
                self.lock.release()
                PyBuffer_Release(&y)
            return Y
        finally:
            PyBuffer_Release(&x)
