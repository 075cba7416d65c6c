"""A net as C functions for a fixed number of rows, and as one bound call for Python.

A handle has programs and scratch memory of its own, so that different handles run in parallel.  What is checked when a
handle is made is not checked in its calls.  A handle's struct is never freed: a call with an address that outlives its
net returns CLOSED and reads no freed memory, for 64 bytes a handle.
"""
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.weakref cimport PyWeakref_NewRef
from libc.math cimport NAN
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy, memmove

from fastbp._engine.array_access cimport (
    PyArray_Check, data_of, holds_labels, import_numpy, is_plain, is_writeable, length_of, ndim_of, new_rows_like,
    number_of, number_of_size,
)
from fastbp._engine.atomics cimport put, swap
from fastbp._engine.chain cimport Chain
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Targets
from fastbp._engine.loss_term cimport Term
from fastbp._engine.memory cimport Arena
from fastbp._engine.passes.forward_backward cimport backward_rows, forward_rows, place_inputs
from fastbp._engine.passes.interruption cimport BLOCK_ROWS
from fastbp._engine.passes.short_step cimport read_inputs
from fastbp._engine.plan cimport Plan, Port
from fastbp._engine.program cimport Program, attach_plain, gradients
from fastbp._engine.threads cimport Lock, leave, pause

import_numpy()

cdef enum:
    FREE, AT_WORK, GONE         # states of a handle
    # What a call returns, beside 1 and 2 of Program.batch.
    FINE = 0, BAD_TARGET = 4, BUSY = 5, CLOSED = 6

cdef double TINY = 2e-6         # seconds of a pass: a shorter one does not release the GIL


cdef void load(const Port* port, const Plan* plan, const void* x, Py_ssize_t rows) noexcept nogil:
    plan.kernels.load_rows(x, port.value.width, NULL, &port.value, 0, rows)


cdef void store(const Port* port, const Plan* plan, void* y, Py_ssize_t rows) noexcept nogil:
    if y != NULL:
        plan.kernels.store_rows(&port.value, y, port.value.width, 0, rows)


cdef void evaluate(Plan* plan, const void* x, Py_ssize_t rows) noexcept nogil:
    """All nodes forward, for inference, without looks for signals."""
    cdef Py_ssize_t k
    plan.sources.array = <char*> x
    read_inputs(plan, plan.all_dense, 0)
    if not plan.all_dense:
        load(plan.sources, plan, x, rows)
    for k in range(plan.n_nodes):
        if plan.nodes[k].op.kind.forward != NULL:
            plan.nodes[k].op.kind.forward(&plan.nodes[k].op, plan.contexts, 0, rows)


cdef void predict_rows(Plan* plan, const void* x, void* y, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t n = 0, some, item = plan.kernels.item
    cdef fp_mode mode = flush_subnormals()
    while n < rows:
        some = min(<Py_ssize_t> BLOCK_ROWS, rows - n)
        evaluate(plan, <const char*> x + n * plan.sources.value.width * item, some)
        store(plan.sinks, plan, <char*> y + n * plan.sinks.value.width * item, some)
        n += some
    restore_mode(mode)


cdef inline int begin(Handle* handle) noexcept nogil:
    if swap(&handle.state, FREE, AT_WORK):
        return FINE
    return CLOSED if handle.state == GONE else BUSY


# What compiled code calls.

cdef int predict(void* at, const void* x, void* y) noexcept nogil:
    """y = net(x)."""
    cdef Handle* handle = <Handle*> at
    cdef int status = begin(handle)
    if status == FINE:
        predict_rows(handle.values, x, y, handle.rows)
        put(&handle.state, FREE)
    return status


cdef int vjp(void* at, const void* x, const void* dy, void* dx, void* dparams) noexcept nogil:
    """dx = dy dNet/dx and dparams = the sum over rows of dy dNet/dparams, at x; NULL for a result not wanted."""
    cdef Handle* handle = <Handle*> at
    cdef int status = begin(handle)
    cdef Plan* plan = handle.values
    cdef fp_mode mode
    if status != FINE:
        return status
    mode = flush_subnormals()
    evaluate(plan, x, handle.rows)
    plan.kernels.load_rows(dy, plan.sinks.gradient.width, NULL, &plan.sinks.gradient, 0, handle.rows)
    backward_rows(plan, plan.contexts, 0, plan.n_nodes, 0, handle.rows)
    if dx != NULL:
        plan.kernels.store_rows(&plan.sources.gradient, dx, plan.sources.gradient.width, 0, handle.rows)
    if dparams != NULL:
        plan.rows, plan.rules = handle.rows, NULL
        gradients(plan, False, 1)
        memcpy(dparams, plan.grads, handle.params)
    restore_mode(mode)
    put(&handle.state, FREE)
    return status


cdef int jvp(void* at, const void* x, const void* dx, void* y, void* dy) noexcept nogil:
    """y = net(x), dy = dNet/dx dx; NULL for a result not wanted."""
    cdef Handle* handle = <Handle*> at
    cdef int status = begin(handle)
    cdef Plan* plan = handle.tangents
    cdef fp_mode mode
    if status != FINE:
        return status
    mode = flush_subnormals()
    place_inputs(plan, False, 0)
    load(plan.sources, plan, x, handle.rows)
    load(plan.sources + 1, plan, dx, handle.rows)
    forward_rows(plan, plan.contexts, 0, plan.n_nodes, 0, handle.rows)
    store(plan.sinks, plan, y, handle.rows)
    store(plan.sinks + 1, plan, dy, handle.rows)
    restore_mode(mode)
    put(&handle.state, FREE)
    return status


cdef int step(void* at, const void* x, const void* t, double lr, double* loss) noexcept nogil:
    """One training step; loss, unless NULL, gets the loss before the update."""
    cdef Handle* handle = <Handle*> at
    cdef int status = begin(handle)
    cdef double value = NAN
    if status != FINE:
        return status
    status = handle.trains(handle.owner, x, t, lr, &value)
    if loss != NULL:
        loss[0] = value
    put(&handle.state, FREE)
    return status


cdef double integrand(int n, double* x, void* at) noexcept nogil:
    """The one output of a row, with the signature of SciPy's integrators; NaN where `predict` returns an error."""
    cdef double y = NAN
    predict(at, x, &y)
    return y


cdef int trained(Native self, const void* x, const void* t, double lr, double* loss) noexcept nogil:
    """A step under the network's lock; BUSY where another thread holds it: waiting could deadlock, since the caller
    may hold what that thread wants next."""
    cdef int status
    if not self.lock.try_acquire():
        return BUSY
    status = self.train(x, t, lr, loss)
    self.lock.release()
    return status


cdef class Native:
    """The handle, and the objects that it needs alive.  Its programs, except `counts`, are for this handle alone."""

    def __cinit__(self):
        self.handle = <Handle*> calloc(1, sizeof(Handle))
        if self.handle == NULL:
            raise MemoryError
        self.handle.state = GONE

    def __init__(self, Lock lock, Py_ssize_t rows, Program values, Program tangents=None):
        cdef Program program
        assert values.plan.n_sources == values.plan.n_sinks == 1 and not values.in_python and not values.plan.any_table
        self.lock, self.rows, self.values, self.tangents = lock, rows, values, tangents
        self.I, self.O = values.widths[values.inputs[0][0]], values.widths[values.outputs[0][0]]
        self.number, self.tiny = number_of_size(values.plan.kernels.item), rows * values.row_seconds < TINY
        for program in (values, tangents):
            if program is not None:
                self.prepare(program)
                program.begin(False, 0, 0)
        values.want_inputs(True)
        self.handle.rows, self.handle.values, self.handle.owner = rows, &values.plan, <void*> self
        self.handle.tangents = NULL if tangents is None else &tangents.plan
        self.handle.params = values.arrays[0].nbytes
        self.handle.trains, self.handle.state = <Trains> <void*> trained, FREE

    cdef void prepare(self, Program program) except *:
        """Reserves all memory that calls need."""
        attach_plain(program)
        leave(program.claim(1, self.rows))
        program.reserve(self.rows)
        program.plan.rows, program.plan.order, program.plan.first = self.rows, NULL, 0
        program.plan.looks = program.plan.outputs_wanted = False

    def train_with(self, Program training, Program counts, Chain chain, Term term, next_rate, diverged):
        """Lets the handle train: `training` runs the steps, `counts` has dropout's seed and counts its masks."""
        self.training, self.counts, self.chain, self.term = training, counts, chain, term
        self.next_rate, self.diverged = next_rate, diverged
        self.width = self.O // term.heads
        self.prepare(training)
        self.labels = Arena(self.rows * sizeof(int64_t))
        self.labels_at = <int64_t*> self.labels.take(self.rows * sizeof(int64_t))

    def __dealloc__(self):
        self.close()

    cpdef close(self):
        """Makes every later call return CLOSED; waits for a call that is still running."""
        while self.handle != NULL and self.handle.state != GONE and not swap(&self.handle.state, FREE, GONE):
            with nogil:
                pause(20)

    @property
    def address(self):
        """The address of the handle: the first argument of every function."""
        return <uintptr_t> self.handle

    def addresses(self):
        """The addresses of the functions that the handle has, by name."""
        found = {"predict": <uintptr_t> <void*> predict, "vjp": <uintptr_t> <void*> vjp}
        if self.tangents is not None:
            found["jvp"] = <uintptr_t> <void*> jvp
        if self.chain is not None:
            found["step"] = <uintptr_t> <void*> step
        if self.rows == self.O == 1 and self.values.plan.kernels.item == 8:
            found["integrand"] = <uintptr_t> <void*> integrand
        return found

    cdef int train(self, const void* x, const void* t, double lr, double* loss) noexcept nogil:
        """A step; the caller holds the lock."""
        cdef Plan* plan = &self.training.plan
        cdef Port* sink = plan.sinks
        cdef Py_ssize_t n
        cdef int status
        memmove(&sink.targets, &self.term.targets, sizeof(Targets))     # compilers copy a struct in a slow loop
        sink.targets.width = self.width
        if sink.targets.loss.labels and t != NULL:
            memcpy(self.labels_at, t, self.rows * sizeof(int64_t))
            for n in range(self.rows):
                if not (-1 if sink.targets.skips_nan else 0) <= self.labels_at[n] < self.O:
                    return BAD_TARGET
            sink.targets.indices = self.labels_at
        else:
            sink.targets.values = t
        plan.sources.array, sink.array, plan.rows = <char*> x, NULL, self.rows
        status = self.training.batch_on(1, self.chain, lr, self.counts.seed, self.counts.draws, plan.all_dense, loss)
        if status == FINE:
            self.counts.draws += 1
        return status

    # What Python calls.

    def call(self, x, y=None):
        """The outputs for x, written to y if that is given; of the arrays only shape, dtype and layout are checked."""
        cdef const char* X
        cdef char* Y
        self.want("x", x, self.I)
        if y is None:
            y = new_rows_like(ndim_of(x), self.rows, self.O, self.number)
        else:
            self.want("y", y, self.O)
            if not is_writeable(y):
                raise ValueError("y must be writeable")
        X, Y = data_of(x), data_of(y)
        self.lock.acquire()
        if self.tiny:
            predict_rows(&self.values.plan, X, Y, self.rows)
        else:
            _pins = PyWeakref_NewRef(x, None), PyWeakref_NewRef(y, None)
            with nogil:
                predict_rows(&self.values.plan, X, Y, self.rows)
        self.lock.release()
        return y

    def call_step(self, x, t):
        """The loss of a training step."""
        cdef double loss = NAN, lr
        cdef int status
        cdef const char* X
        cdef const char* T
        self.want("x", x, self.I)
        self.want_target(t)
        X, T = data_of(x), data_of(t)
        lr = self.next_rate(self.chain.t)
        self.lock.acquire()
        if self.tiny:
            status = self.train(X, T, lr, &loss)
        else:
            _pins = PyWeakref_NewRef(x, None), PyWeakref_NewRef(t, None)
            with nogil:
                status = self.train(X, T, lr, &loss)
        self.lock.release()
        if status == BAD_TARGET:
            raise ValueError(f"y must have labels from 0 to {self.O - 1}, got {list(t)}")
        if status:
            raise self.diverged(status, loss, self.chain.t + (status == 1))
        return loss

    cdef int want(self, str name, array, Py_ssize_t width) except -1:
        if (is_plain(array) and number_of(array) == self.number
                and (ndim_of(array) == 2 and length_of(array, 0) == self.rows and length_of(array, 1) == width
                     or ndim_of(array) == self.rows == 1 and length_of(array, 0) == width)):
            return 0
        raise self.unfit(name, array, f"({self.rows}, {width})", self.values.dtype)

    cdef int want_target(self, array) except -1:
        if not self.term.targets.loss.labels:
            return self.want("y", array, self.width)
        if is_plain(array) and holds_labels(array) and length_of(array, 0) == self.rows:
            return 0
        raise self.unfit("y", array, f"({self.rows},)", "int64")

    cdef unfit(self, str name, array, shape, dtype):
        got = type(array).__name__
        if PyArray_Check(array):
            got = f"{got} {array.shape} of {array.dtype}" + ("" if is_plain(array) else ", or not C-contiguous")
        return ValueError(f"{name} must be a C-contiguous ndarray {shape} of {dtype}, got {got}")


def capsule(Native native, str name, bytes signature):
    """A PyCapsule of a function, with its signature as its name and the handle as its context, which it keeps alive."""
    cdef uintptr_t function = native.addresses()[name]
    made = PyCapsule_New(<void*> function, SIGNATURES.setdefault(signature, signature), let_go)
    PyCapsule_SetContext(made, native.handle)
    Py_INCREF(native)
    return made


cdef void let_go(object capsule) noexcept:
    Py_DECREF(<object> (<Handle*> PyCapsule_GetContext(capsule)).owner)


cdef dict SIGNATURES = {}       # names of capsules: a name must outlive its capsule
