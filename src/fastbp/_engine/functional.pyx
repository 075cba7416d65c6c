"""Single kernels for Python, called with the structs, and so with the bits, of a program: how a kernel is called.

A caller of a kernel does four things, as `dense_forward` shows.  It takes C-contiguous arrays as typed memoryviews of
`real`, for which Cython compiles it twice; arrays that a kernel only reads are `const`, so that they may be read-only.
It fills the kernel's struct (kernel_table.pxd): parameters are used in place, rows are copied into tensors, since
kernels need blocks of whole vectors.  It calls through the table of kernels, with subnormal numbers flushed to zero.
It copies the result into a new array.  Arrays have been checked before they come here; their sizes are checked once
more, since a wrong one would write out of bounds.

A long call runs in pieces of rows, with a look for signals between two of them: Ctrl-C ends it.

Letters: N rows, I inputs, O outputs; dT is dLoss/dT in T's shape; f is the activation.
"""
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport NAN
from libc.stdint cimport int64_t
from libc.stdlib cimport free

import numpy as np

from fastbp._engine.chain cimport Chain, Rules, long_matrices, matrices_part, squares_part, take_norm, update_span
from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Activation, Context, Kernels, Op, OpKind, Targets, Tensor
from fastbp._engine.loss_term cimport Term
from fastbp._engine.memory cimport Arena, address, aligned, kernels_of, numbers_of, pitch_of, plain
from fastbp._engine.signals cimport LOOK_EVERY, OPERATIONS
from fastbp._engine.tables cimport row_named
from fastbp._engine.thread_choice cimport clock_seconds

ctypedef fused real:
    float
    double

cdef enum:
    IN_CACHE = 16384            # numbers: several arrays of as many stay in the second-level cache
    PIECE = 4194304             # numbers that a kernel reads or writes between two looks for signals


cdef object empty = np.empty
# Indexed by sizeof(real) == 8.
cdef tuple DTYPES = (np.dtype("float32"), np.dtype("float64"))
cdef const Kernels* KERNELS[2]
KERNELS[0], KERNELS[1] = kernels_of(DTYPES[0]), kernels_of(DTYPES[1])


cdef inline int want(Py_ssize_t wanted, Py_ssize_t got) except -1:
    """Raises if the size of an array is not the one wanted."""
    if got != wanted:
        raise BufferError(f"an array has a size of {got} where {wanted} belongs")
    return 0


cdef inline Py_ssize_t rows_of_piece(double numbers, double operations=0) noexcept:
    """Rows between two checks for signals, by the numbers and operations per row; a multiple of 16, as blocks are."""
    return max(16, <Py_ssize_t> min(PIECE / max(numbers, 1.0), OPERATIONS / max(operations, 1.0)) // 16 * 16)


cdef class _Tensors:
    """Tensors of N rows, in the layout of the kernels, with their memory."""
    cdef const Kernels* kernels
    cdef Py_ssize_t N
    cdef list arenas

    cdef Tensor zeros(self, Py_ssize_t width) except *:
        """A tensor (N, width) of zeros."""
        cdef Py_ssize_t pitch = pitch_of(self.kernels, width)
        cdef Arena arena = Arena(numbers_of(self.kernels, width, self.N) * self.kernels.item)
        self.arenas.append(arena)
        return Tensor(arena.take(0), width, pitch, self.N * pitch)

    cdef rows(self, const Tensor* T):
        """A new array (N, width) with the numbers of a tensor."""
        cdef Py_ssize_t n = 0, step = rows_of_piece(T.width)
        A = empty((self.N, T.width), DTYPES[self.kernels.item == 8])
        cdef char* a = <char*> address(A, self.N * T.width * self.kernels.item)
        while True:
            self.kernels.store_rows(T, a, T.width, n, min(n + step, self.N))
            n += step
            if n >= self.N:
                return A
            PyErr_CheckSignals()


cdef Tensor copy(_Tensors owner, const real[:, ::1] A, Py_ssize_t width) except *:
    """A tensor with the numbers of A (N, width)."""
    cdef Tensor made = owner.zeros(width)
    want(owner.N, A.shape[0])
    want(width, A.shape[1])
    cdef Py_ssize_t n = 0, step = rows_of_piece(width)
    while True:
        owner.kernels.load_rows(&A[0, 0], width, NULL, &made, n, min(n + step, owner.N))
        n += step
        if n >= owner.N:
            return made
        PyErr_CheckSignals()


cdef _Tensors tensors(const Kernels* kernels, Py_ssize_t N):
    cdef _Tensors made = _Tensors.__new__(_Tensors)
    made.kernels, made.N, made.arenas = kernels, N, []
    return made


cdef class _Node(_Tensors):
    """An op of one input on N rows."""
    cdef Op op
    cdef Context context
    cdef Tensor X, dX

    cdef Py_ssize_t step(self) noexcept:
        """Rows between two looks for signals."""
        cdef double I = self.X.width, O = self.op.Y.width
        return rows_of_piece(I + O, 0 if self.op.kind.gradient == NULL else 2 * I * O)

    cdef forward(self):
        cdef Py_ssize_t n = 0, step = self.step()
        cdef fp_mode mode
        while True:
            mode = flush_subnormals()
            self.op.kind.forward(&self.op, &self.context, n, min(n + step, self.N))
            restore_mode(mode)
            n += step
            if n >= self.N:
                return
            PyErr_CheckSignals()

    cdef backward(self):
        cdef Py_ssize_t n = 0, step = self.step(), I = self.X.width
        cdef fp_mode mode
        while n < self.N:
            mode = flush_subnormals()
            self.op.kind.backward(&self.op, &self.context, n, min(n + step, self.N))
            restore_mode(mode)
            n += step
            if n < self.N:
                PyErr_CheckSignals()
        if self.op.kind.gradient == NULL:
            return
        n, step = 0, rows_of_piece(self.N, 2.0 * self.N * self.op.Y.width)
        while n < I:
            mode = flush_subnormals()
            self.op.kind.gradient(&self.op, &self.context, self.N, n, min(n + step, I), n + step >= I)
            restore_mode(mode)
            n += step
            if n < I:
                PyErr_CheckSignals()


cdef _Node node(kind, const real[:, ::1] X, activation, double alpha, double beta):
    """A _Node of a kind and an activation of the tables, with the input X."""
    cdef _Node made = _Node.__new__(_Node)
    cdef const Kernels* kernels = KERNELS[sizeof(real) == 8]
    cdef Arena scratch = Arena(kernels.scratch)
    made.kernels, made.N, made.arenas = kernels, X.shape[0], [scratch]
    made.context.scratch = scratch.take(0)
    made.op.kind = <const OpKind*> row_named(kernels.ops, sizeof(OpKind), kind)
    made.op.activation = <const Activation*> row_named(kernels.activations, sizeof(Activation), activation)
    made.op.alpha, made.op.beta, made.op.inputs = alpha, beta, 1
    made.X = copy(made, X, X.shape[1])
    made.op.X, made.op.dX = &made.X, &made.dX
    return made


cdef _Node dense(const real[:, ::1] X, const real[:, ::1] W, const real[::1] b, activation, double alpha, double beta):
    """A _Node for Y = f(X W + b); Y and Z are one tensor where f'(Z) is computed from Y."""
    cdef _Node made = node("dense", X, activation, alpha, beta)
    cdef Py_ssize_t O = W.shape[1]
    want(X.shape[1], W.shape[0])
    made.op.W = &W[0, 0]
    if b is not None:
        want(O, b.shape[0])
        made.op.b = &b[0]
    made.op.Y = made.zeros(O)
    made.op.Z = made.zeros(O) if made.op.activation.keeps_input else made.op.Y
    return made


def dense_forward(const real[:, ::1] X, const real[:, ::1] W, const real[::1] b, activation, double alpha=0.0,
                  double beta=0.0):
    """Y (N, O) = f(X W + b) for X (N, I), W (I, O) and b (O,) or None."""
    cdef _Node layer = dense(X, W, b, activation, alpha, beta)
    layer.forward()
    return layer.rows(&layer.op.Y)


def dense_backward(const real[:, ::1] dY, const real[:, ::1] X, const real[:, ::1] W, const real[::1] b,
                   const real[:, ::1] Y, activation, double alpha=0.0, double beta=0.0):
    """dX (N, I) = dZ W', dW (I, O) = X' dZ, db (O,) = the sum of dZ's rows, with dZ = dY f'(Z) for Y = f(X W + b)."""
    cdef _Node layer = dense(X, W, b, activation, alpha, beta)
    cdef real[:, ::1] dW = empty((W.shape[0], W.shape[1]), DTYPES[sizeof(real) == 8])
    cdef real[::1] db = None if b is None else empty(b.shape[0], DTYPES[sizeof(real) == 8])
    layer.op.dW = &dW[0, 0]
    layer.op.db = NULL if db is None else &db[0]
    if layer.op.activation.keeps_input:
        layer.forward()
    else:
        layer.op.Y = layer.op.Z = copy(layer, Y, W.shape[1])
    layer.op.dY, layer.dX = copy(layer, dY, W.shape[1]), layer.zeros(X.shape[1])
    layer.backward()
    return layer.rows(&layer.dX), dW.base, None if db is None else db.base


def add_gram(const real[:, ::1] J, real[:, ::1] out):
    """out (I, I) += J' J for J (N, I) on and above the diagonal; below it only some blocks are computed."""
    cdef _Node layer = node("dense", J, "linear", 0.0, 0.0)
    cdef Py_ssize_t I = J.shape[1]
    cdef Py_ssize_t panels = (I + layer.kernels.panel - 1) // layer.kernels.panel, k
    cdef fp_mode mode
    want(I, out.shape[0])
    want(I, out.shape[1])
    layer.op.Z = layer.op.Y = layer.op.dY = layer.X
    layer.op.W = layer.op.dW = &out[0, 0]
    for k in range(panels):
        mode = flush_subnormals()
        layer.kernels.add_gram(&layer.op, &layer.context, layer.N, k, k + 1, False)
        restore_mode(mode)
        if 2.0 * layer.N * I * layer.kernels.panel > OPERATIONS / 1000:
            PyErr_CheckSignals()


def activation_forward(const real[:, ::1] Z, activation, double alpha=0.0, double beta=0.0):
    """Y (N, O) = f(Z) for Z (N, O)."""
    cdef _Node layer = node("activation", Z, activation, alpha, beta)
    layer.op.Y = layer.zeros(Z.shape[1])
    layer.forward()
    return layer.rows(&layer.op.Y)


def activation_backward(const real[:, ::1] dY, const real[:, ::1] Z, const real[:, ::1] Y, activation,
                        double alpha=0.0, double beta=0.0):
    """dZ (N, O) = dY f'(Z) for dY, Z and Y = f(Z), each (N, O)."""
    cdef _Node layer = node("activation", Z, activation, alpha, beta)
    layer.op.Y, layer.op.dY = copy(layer, Y, Z.shape[1]), copy(layer, dY, Z.shape[1])
    layer.dX = layer.zeros(Z.shape[1])
    layer.backward()
    return layer.rows(&layer.dX)


def loss(Term term, const real[:, ::1] Y, t, weights):
    """The sum of weights[n] loss(Y[n], t[n]) / N, and dY (N, O): t (N,) or (N, O / heads), weights (N,) or as t."""
    cdef const Kernels* kernels = KERNELS[sizeof(real) == 8]
    cdef Py_ssize_t N = Y.shape[0], O = Y.shape[1]
    cdef Py_ssize_t size = kernels.loss_scratch(O)
    cdef Arena memory = Arena(aligned(size) + N * sizeof(double))
    cdef void* scratch = memory.take(size)
    cdef double* row_losses = <double*> memory.take(0)
    cdef real[:, ::1] dY = empty((N, O), DTYPES[sizeof(real) == 8])
    cdef Tensor y = plain(kernels, &Y[0, 0], O), dy = plain(kernels, &dY[0, 0], O)
    cdef Targets targets
    cdef double scale
    cdef Py_ssize_t n = 0, step = rows_of_piece(2 * O)
    cdef fp_mode mode
    want(term.kernels.item, sizeof(real))
    term.place(&targets, O, t, weights, N)
    scale = kernels.loss_scale(&targets, N)
    if O % kernels.lanes == 0 or (targets.loss.of_outputs != NULL and O <= kernels.panel):
        while n < N:
            mode = flush_subnormals()
            kernels.apply_loss(&y, &targets, scale, row_losses, NULL, &dy, n, min(n + step, N), scratch)
            restore_mode(mode)
            n += step
            if n < N:
                PyErr_CheckSignals()
    else:
        loss_in_blocks(Y, &targets, scale, row_losses, dY, scratch)
    return kernels.sum_losses(row_losses, N), dY.base


cdef loss_in_blocks(const real[:, ::1] Y, Targets* targets, double scale, double* row_losses, real[:, ::1] dY,
                    void* scratch):
    """The loss of rows that are not whole vectors: blocks of them that fit the cache are copied into padded tensors."""
    cdef Py_ssize_t N = Y.shape[0], O = Y.shape[1], n = 0, rows
    cdef _Tensors block = tensors(KERNELS[sizeof(real) == 8], max(16, min(N, IN_CACHE // O) // 16 * 16))
    cdef Tensor y = block.zeros(O), dy = block.zeros(O)
    cdef Py_ssize_t since = 0
    cdef fp_mode mode
    while n < N:
        mode = flush_subnormals()
        rows, targets.first = min(block.N, N - n), n
        block.kernels.load_rows(&Y[n, 0], O, NULL, &y, 0, rows)
        block.kernels.apply_loss(&y, targets, scale, row_losses + n, NULL, &dy, 0, rows, scratch)
        block.kernels.store_rows(&dy, &dY[n, 0], O, 0, rows)
        restore_mode(mode)
        n, since = n + rows, since + rows * O
        if since > PIECE:
            PyErr_CheckSignals()
            since = 0


cdef struct Watch:
    # What a long kernel's `Context.stops` reads and changes.
    double looked
    PyObject* error             # what a signal's handler has raised


cdef bint looks(const Context* context) noexcept nogil:
    cdef Watch* watch = <Watch*> context.plan
    if watch.error == NULL and clock_seconds() - watch.looked > LOOK_EVERY:
        look(watch)
    return watch.error != NULL


cdef void look(Watch* watch) noexcept with gil:
    watch.looked = clock_seconds()
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        Py_INCREF(error)
        watch.error = <PyObject*> error


def update(Chain chain, real[::1] P, const real[::1] G, double lr, spans=None, double loss=NAN, double scale=1,
           constrain=None):
    """A step on P (n,), or on spans (start, stop) of it, by its gradient G (n,); False if not all was finite."""
    # scale is 1 / (number of rows over which G is the mean); constrain() runs before parameters are averaged.
    cdef Rules* rules = &chain.rules
    cdef Py_ssize_t start, stop
    cdef bint fine = True
    cdef int stage
    cdef fp_mode mode
    cdef Watch watch
    cdef char* kept = NULL
    cdef long long t = chain.t
    cdef double loss_before = chain.loss
    want(rules.kernels.item, sizeof(real))
    want(chain.n, P.shape[0])
    want(chain.n, G.shape[0])
    rules.G = &G[0]
    chain.context.stops = NULL
    if chain.context.scratch == NULL:       # 64 kB, which a chain does not need in a network's own steps
        chain.context.scratch = chain.own(rules.kernels.scratch)
    chain.prepare(lr, loss, scale)
    rules.averages_wait = constrain is not None
    if not rules.collecting and long_matrices(rules):
        kept = chain.keep(<char*> &P[0])
        if kept != NULL:
            watch.error, watch.looked = NULL, clock_seconds()
            chain.context.stops, chain.context.plan = looks, &watch
    mode = flush_subnormals()
    for stage in range(1 if rules.collecting else rules.n_stages + rules.averages_wait):
        rules.stage = stage
        if stage == rules.n_stages:
            restore_mode(mode)
            constrain()
            mode = flush_subnormals()
        elif rules.wants_norm[stage]:
            squares_part(rules, 0, 1)
            if not take_norm(rules):
                fine = False
                break
        if stage < rules.n_stages and rules.wants_matrices[stage]:
            with nogil:
                matrices_part(rules, &chain.context, 0, 1)
            if kept != NULL and watch.error != NULL:
                break
        if spans is None:
            with nogil:
                fine &= update_span(rules, &P[0], &G[0], 0, chain.n, chain.context.scratch)
            continue
        for start, stop in spans:
            with nogil:
                fine &= update_span(rules, &P[0], &G[0], start, stop, chain.context.scratch)
    restore_mode(mode)
    if kept != NULL:
        chain.context.stops = NULL
        if watch.error != NULL:
            chain.t, chain.loss = t, loss_before
            chain.put_back(<char*> &P[0], kept)
        free(kept)
        if watch.error != NULL:
            error = <object> watch.error
            Py_DECREF(error)
            raise error
    return fine


# A caller of many steps picks one of the two once: Cython's dispatch on the arrays' dtype takes 0.2 us a call.
UPDATES = dict(zip(DTYPES, (update["float"], update["double"])))


def first_nonfinite(A):
    """Flat index of the first NaN or infinity of a C-contiguous float array of any shape, or -1."""
    cdef const Kernels* kernels = kernels_of(A.dtype)
    cdef Py_ssize_t n = A.size, start = 0, found
    cdef const char* a = <const char*> address(A, n * kernels.item)
    while True:
        found = kernels.first_nonfinite(a + start * kernels.item, min(<Py_ssize_t> PIECE, n - start))
        if found >= 0:
            return start + found
        start += PIECE
        if start >= n:
            return -1
        PyErr_CheckSignals()


def first_outside(A, double low, double high):
    """Flat index of the first element of a C-contiguous int64 or float array outside low ... high, or -1."""
    cdef Py_ssize_t n = A.size, start = 0, found
    cdef bint whole = A.dtype.kind != "f"
    cdef const char* a = <const char*> address(A, A.nbytes)
    cdef const Kernels* kernels = NULL
    if not whole:
        kernels = kernels_of(A.dtype)
    while True:
        if whole:
            found = first_whole_outside(<const int64_t*> a + start, min(<Py_ssize_t> PIECE, n - start), low, high)
        else:
            found = kernels.first_outside(a + start * kernels.item, min(<Py_ssize_t> PIECE, n - start), low, high)
        if found >= 0:
            return start + found
        start += PIECE
        if start >= n:
            return -1
        PyErr_CheckSignals()


cdef Py_ssize_t first_whole_outside(const int64_t* a, Py_ssize_t n, double low, double high) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        if not low <= <double> a[i] <= high:
            return i
    return -1
