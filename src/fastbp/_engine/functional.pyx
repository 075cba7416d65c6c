"""The kernels one by one, for Python: over C-contiguous arrays, with buffers made for the call.

Each function builds the struct that a program would and calls the same kernel, so the bits are the same.  A Function
does without these: it calls the kernels of an activation on arrays as they lie.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memmove, memset

import numpy as np

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Activation, Context, Kernels, Op, OpKind, Targets, Tensor
from fastbp._engine.memory cimport Arena, address, kernels_of, numbers_of, pitch_of
from fastbp._engine.tables cimport row_named
from fastbp._engine.loss_term cimport Term


cdef class _Blocks:
    """A tensor in blocks with the memory that it owns, and its way from and to arrays."""
    cdef const Kernels* kernels
    cdef Tensor tensor
    cdef Py_ssize_t rows
    cdef Arena arena
    cdef object dtype

    def __cinit__(self, dtype, Py_ssize_t rows, Py_ssize_t width, array=None):
        cdef Py_ssize_t pitch
        self.kernels, self.rows, self.dtype = kernels_of(dtype), rows, dtype
        pitch = pitch_of(self.kernels, width)
        self.arena = Arena(numbers_of(self.kernels, width, rows) * self.kernels.item)
        self.tensor.width, self.tensor.pitch, self.tensor.block = width, pitch, rows * pitch
        self.tensor.data = self.arena.take(0)
        if array is not None:
            self.kernels.load_rows(address(array, rows * width * self.kernels.item), width, NULL, &self.tensor, 0, rows)

    def array(self):
        rows = np.empty((self.rows, self.tensor.width), self.dtype)
        self.kernels.store_rows(&self.tensor, address(rows, rows.nbytes), self.tensor.width, 0, self.rows)
        return rows


cdef class _Node:
    """An op with its buffers, for N rows."""
    cdef Op op
    cdef Context context
    cdef const Kernels* kernels
    cdef Arena scratch
    cdef Py_ssize_t N
    cdef list kept

    def __cinit__(self, kind, dtype, Py_ssize_t N, activation, double alpha, double beta):
        self.kernels, self.N, self.kept = kernels_of(dtype), N, []
        self.scratch = Arena(self.kernels.scratch)
        self.context.scratch = self.scratch.take(self.kernels.scratch)
        self.op.inputs = 1
        self.op.alpha, self.op.beta = alpha, beta
        self.op.kind = <const OpKind*> row_named(self.kernels.ops, sizeof(OpKind), kind)
        self.op.activation = <const Activation*> row_named(self.kernels.activations, sizeof(Activation), activation)

    cdef Tensor* keep(self, _Blocks blocks) noexcept:
        self.kept.append(blocks)
        return &blocks.tensor

    cdef void parameters(self, W, b, dW, db) except *:
        cdef Py_ssize_t size = W.nbytes
        self.op.W = address(W, size)
        self.op.b = NULL if b is None else address(b, b.nbytes)
        self.op.dW = NULL if dW is None else address(dW, size)
        self.op.db = NULL if db is None else address(db, db.nbytes)

    cdef void forward(self) noexcept:
        cdef fp_mode mode = flush_subnormals()
        self.op.kind.forward(&self.op, &self.context, 0, self.N)
        restore_mode(mode)

    cdef void backward(self) noexcept:
        cdef fp_mode mode = flush_subnormals()
        self.op.kind.backward(&self.op, &self.context, 0, self.N)
        if self.op.kind.gradient != NULL:
            self.op.kind.gradient(&self.op, &self.context, self.N, 0, self.op.X.width, True)
        restore_mode(mode)


cdef enum:
    COPIED = 2048               # bytes: of more, memmove takes an instruction that is slower within the caches
    WORTH_THE_LOCK = 16384      # numbers for which other threads of Python may run meanwhile
    IN_CACHE = 16384            # numbers of which several arrays stay in the second-level cache

empty, ndarray = np.empty, np.ndarray
cdef tuple DTYPES = (np.dtype("float32"), np.dtype("float64"))


cdef bint take(array, Py_buffer* view, int flags) noexcept:
    """A buffer of rows of floats; False for what needs a closer look, an error or a copy."""
    if type(array) is not ndarray:
        return False
    try:
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags)
    except Exception:
        return False
    if (view.ndim == 2 and view.len > 0 and (view.format[0] == b"f" or view.format[0] == b"d")
            and view.format[1] == 0 and <size_t> view.buf % <size_t> view.itemsize == 0):
        return True
    PyBuffer_Release(view)
    return False


cdef bint alike(const Py_buffer* a, const Py_buffer* b) noexcept:
    return a.itemsize == b.itemsize and a.shape[0] == b.shape[0] and a.shape[1] == b.shape[1]


cdef bint apart(const Py_buffer* a, const Py_buffer* b) noexcept:
    """Whether they share no memory, or all of it."""
    cdef const char* x = <const char*> a.buf
    cdef const char* y = <const char*> b.buf
    return x == y or x + a.len <= y or y + b.len <= x


cdef class Function:
    """An activation with its parameters, for arrays of two dimensions.

    What it is called with is looked at here, without Python's help, where it is what a kernel can take as it lies;
    for all else the answer is None, and the caller has it checked, converted or refused.
    """
    cdef const Kernels* kernels[2]
    cdef const Activation* rows[2]
    cdef Op op
    cdef Context context

    def __cinit__(self, name, double alpha, double beta):
        for k in range(2):
            self.kernels[k] = kernels_of(DTYPES[k])
            self.rows[k] = <const Activation*> row_named(self.kernels[k].activations, sizeof(Activation), name)
        self.op.alpha, self.op.beta, self.op.inputs = alpha, beta, 1

    def forward(self, Z, out):
        """f(Z), written into out if there is one; or None."""
        cdef Py_buffer z, y
        if not take(Z, &z, 0):
            return None
        try:
            Y = empty((z.shape[0], z.shape[1]), DTYPES[z.itemsize == 8]) if out is None else out
            if not take(Y, &y, PyBUF_WRITABLE):
                return None
            try:
                return Y if alike(&z, &y) and apart(&z, &y) and self.run(&z, NULL, NULL, &y) else None
            finally:
                PyBuffer_Release(&y)
        finally:
            PyBuffer_Release(&z)

    def backward(self, dY, Z, Y, out):
        """dY f'(Z), with Y = f(Z), written into out if there is one; or None."""
        cdef Py_buffer dy, z, y, dz
        if not take(dY, &dy, 0):
            return None
        try:
            if not take(Z, &z, 0):
                return None
            try:
                if not take(Y, &y, 0):
                    return None
                try:
                    dZ = empty((z.shape[0], z.shape[1]), DTYPES[z.itemsize == 8]) if out is None else out
                    if not take(dZ, &dz, PyBUF_WRITABLE):
                        return None
                    try:
                        fits = (alike(&dy, &z) and alike(&y, &z) and alike(&dz, &z) and apart(&dy, &dz)
                                and z.buf != dz.buf and y.buf != dz.buf and apart(&z, &dz) and apart(&y, &dz))
                        return dZ if fits and self.run(&dy, &z, &y, &dz) else None
                    finally:
                        PyBuffer_Release(&dz)
                finally:
                    PyBuffer_Release(&y)
            finally:
                PyBuffer_Release(&z)
        finally:
            PyBuffer_Release(&dy)

    cdef bint run(self, const Py_buffer* source, const Py_buffer* Z, const Py_buffer* Y,
                  const Py_buffer* result) noexcept:
        """The value, or with Z and Y the gradient; False where a kernel needs rows of whole vectors, and has others."""
        cdef int k = source.itemsize == 8
        cdef const Activation* row = self.rows[k]
        cdef bint by_rows = row.rows_value != NULL and not row.draws
        cdef fp_mode mode
        if by_rows and source.shape[1] % self.kernels[k].lanes:
            return False
        mode = flush_subnormals()
        if by_rows:
            self.run_rows(k, source, Z, Y, result)
        elif source.len < WORTH_THE_LOCK * source.itemsize:
            run_elements(row, &self.op, self.kernels[k].lanes, source, Z, Y, result)
        else:
            with nogil:
                run_elements(row, &self.op, self.kernels[k].lanes, source, Z, Y, result)
        restore_mode(mode)
        return True

    cdef void run_rows(self, int k, const Py_buffer* source, const Py_buffer* Z, const Py_buffer* Y,
                       const Py_buffer* result) noexcept:
        cdef Tensor z, dy, dz
        self.op.activation = self.rows[k]
        if Z == NULL:
            z, self.op.Y = plain(self.kernels[k], source), plain(self.kernels[k], result)
            self.op.activation.rows_value(&self.op, &self.context, &z, 0, source.shape[0])
        else:
            z, self.op.Y = plain(self.kernels[k], Z), plain(self.kernels[k], Y)
            dy, dz = plain(self.kernels[k], source), plain(self.kernels[k], result)
            self.op.activation.rows_vjp(&self.op, &self.context, &z, &dy, &dz, 0, source.shape[0])


cdef Tensor plain(const Kernels* kernels, const Py_buffer* view) noexcept:
    """An array as a tensor."""
    return Tensor(view.buf, view.shape[1], view.shape[1], kernels.panel)


cdef void run_elements(const Activation* row, const Op* op, Py_ssize_t lanes, const Py_buffer* source,
                       const Py_buffer* Z, const Py_buffer* Y, const Py_buffer* result) noexcept nogil:
    """Whole vectors, and what is left as part of one, so that it has the same bits."""
    cdef Py_ssize_t vector = lanes * source.itemsize, at = source.len // vector * vector, left = source.len - at
    cdef char[3][64] rest
    if at > 0:
        run_stretch(row, op, at // source.itemsize, source.itemsize, <const char*> source.buf,
                    <const char*> Z.buf if Z != NULL else NULL, <const char*> Y.buf if Z != NULL else NULL,
                    <char*> result.buf)
    if left > 0:
        memset(rest, 0, sizeof(rest))
        memcpy(rest[0], <const char*> source.buf + at, left)
        if Z != NULL:
            memcpy(rest[1], <const char*> Z.buf + at, left)
            memcpy(rest[2], <const char*> Y.buf + at, left)
        run_stretch(row, op, lanes, source.itemsize, rest[0], rest[1] if Z != NULL else NULL, rest[2], rest[0])
        memcpy(<char*> result.buf + at, rest[0], left)


cdef inline void run_stretch(const Activation* row, const Op* op, Py_ssize_t n, Py_ssize_t item, const char* source,
                             const char* Z, const char* Y, char* result) noexcept nogil:
    """The value of n numbers, or with Z and Y the gradient."""
    cdef Py_ssize_t at = 0, size = n * item, count
    if row.value == NULL:
        while at < size:
            count = min(size - at, COPIED)
            memmove(result + at, source + at, count)
            at += count
    elif Z == NULL:
        row.value(source, result, n, op.alpha, op.beta)
    else:
        row.vjp(Z, Y, source, result, n, op.alpha, op.beta)


def _dense(X, W, b, activation, alpha, beta, dW=None, db=None):
    cdef _Node node = _Node("dense", X.dtype, len(X), activation, alpha, beta)
    cdef _Blocks Y = _Blocks(X.dtype, len(X), W.shape[1])
    cdef _Blocks Z = _Blocks(X.dtype, len(X), W.shape[1]) if node.op.activation.keeps_input else Y
    node.op.X = node.keep(_Blocks(X.dtype, len(X), W.shape[0], X))
    node.op.Z, node.op.Y = node.keep(Z)[0], node.keep(Y)[0]
    node.parameters(W, b, dW, db)
    return node, Y


def dense_forward(X, W, b, activation, alpha=0.0, beta=0.0):
    """Y = f(X W + b)."""
    node, Y = _dense(X, W, b, activation, alpha, beta)
    (<_Node> node).forward()
    return Y.array()


def dense_backward(dY, X, W, b, Y, activation, alpha=0.0, beta=0.0):
    """dX, dW, db (None without b) from dY and Y = f(X W + b); Z is computed again where f' needs it."""
    dW, db = np.empty_like(W), None if b is None else np.empty_like(b)
    cdef _Node node = _dense(X, W, b, activation, alpha, beta, dW, db)[0]
    cdef _Blocks dX = _Blocks(X.dtype, len(X), W.shape[0])
    node.op.dX = node.keep(dX)
    node.op.dY = node.keep(_Blocks(X.dtype, len(X), W.shape[1], dY))[0]
    if node.op.activation.keeps_input:
        node.forward()
    else:
        node.op.Y = node.op.Z = node.keep(_Blocks(X.dtype, len(X), W.shape[1], Y))[0]
    node.backward()
    return dX.array(), dW, db


def add_gram(J, out):
    """out += J'J, which is the dW of a layer with the input J and the gradient J."""
    cdef _Node node = _Node("dense", J.dtype, len(J), "linear", 0.0, 0.0)
    cdef Py_ssize_t size = J.shape[1]
    cdef fp_mode mode = flush_subnormals()
    node.op.X = node.keep(_Blocks(J.dtype, len(J), size, J))
    node.op.Z, node.op.Y, node.op.dY = node.op.X[0], node.op.X[0], node.op.X[0]
    node.parameters(out, None, out, None)
    node.op.adds_gradient = True
    node.op.kind.gradient(&node.op, &node.context, node.N, 0, size, False)
    restore_mode(mode)


def activation_forward(Z, activation, alpha=0.0, beta=0.0):
    """Y = f(Z)."""
    cdef _Node node = _Node("activation", Z.dtype, len(Z), activation, alpha, beta)
    cdef _Blocks Y = _Blocks(Z.dtype, len(Z), Z.shape[1])
    node.op.X, node.op.Y = node.keep(_Blocks(Z.dtype, len(Z), Z.shape[1], Z)), node.keep(Y)[0]
    node.forward()
    return Y.array()


def activation_backward(dY, Z, Y, activation, alpha=0.0, beta=0.0):
    """dZ = dY f'(Z)."""
    name, N, width = Z.dtype, len(Z), Z.shape[1]
    cdef _Node node = _Node("activation", name, N, activation, alpha, beta)
    cdef _Blocks dZ = _Blocks(name, N, width)
    node.op.X, node.op.Y = node.keep(_Blocks(name, N, width, Z)), node.keep(_Blocks(name, N, width, Y))[0]
    node.op.dX, node.op.dY = node.keep(dZ), node.keep(_Blocks(name, N, width, dY))[0]
    node.backward()
    return dZ.array()


def loss(Term term, Y, t, weights):
    """The weighted mean of the rows' losses and its gradient dY."""
    cdef const Kernels* kernels = term.kernels
    cdef Py_ssize_t N = Y.shape[0], width = Y.shape[1], size = kernels.loss_scratch(width)
    cdef double[::1] row_losses = np.zeros(N)
    cdef Arena arena = Arena(size)
    cdef void* scratch = arena.take(size)
    cdef Targets targets
    cdef double scale
    cdef fp_mode mode
    dY = empty((N, width), Y.dtype)
    cdef Tensor y = Tensor(address(Y, N * width * kernels.item), width, width, kernels.panel)
    cdef Tensor dy = Tensor(address(dY, N * width * kernels.item), width, width, kernels.panel)
    term.place(&targets, width, t, weights, N)
    mode = flush_subnormals()
    scale = kernels.loss_scale(&targets, N)
    if width % kernels.lanes == 0 or (targets.loss.of_outputs != NULL and width <= kernels.panel):
        kernels.apply_loss(&y, &targets, scale, &row_losses[0], NULL, &dy, 0, N, scratch)
    else:
        in_blocks(kernels, &y, &targets, scale, &row_losses[0], &dy, N, scratch)
    restore_mode(mode)
    return kernels.sum_losses(&row_losses[0], N), dY


cdef in_blocks(const Kernels* kernels, const Tensor* Y, Targets* targets, double scale, double* row_losses,
               const Tensor* dY, Py_ssize_t N, void* scratch):
    """The loss of rows that are no whole vectors, by way of tensors that are, as many as stay in the cache."""
    cdef Py_ssize_t most = max(16, min(N, IN_CACHE // Y.width) // 16 * 16), n = 0, rows, width = Y.width
    cdef _Blocks y = _Blocks(DTYPES[kernels.item == 8], most, width)
    cdef _Blocks dy = _Blocks(DTYPES[kernels.item == 8], most, width)
    while n < N:
        rows, targets.first = min(most, N - n), n
        kernels.load_rows(<char*> Y.data + n * width * kernels.item, width, NULL, &y.tensor, 0, rows)
        kernels.apply_loss(&y.tensor, targets, scale, row_losses + n, NULL, &dy.tensor, 0, rows, scratch)
        kernels.store_rows(&dy.tensor, <char*> dY.data + n * width * kernels.item, width, 0, rows)
        n += rows


def first_nonfinite(A):
    """Flat index of the first NaN or infinity of a C-contiguous float array, or -1."""
    cdef const Kernels* kernels = kernels_of(A.dtype)
    cdef Py_ssize_t n = A.size
    return kernels.first_nonfinite(address(A, A.nbytes), n)


def first_outside(A, double low, double high):
    """Flat index of the first element of a C-contiguous int64 or float array outside low ... high, or -1."""
    cdef Py_ssize_t n = A.size, i
    cdef const int64_t* a
    if A.dtype.kind == "f":
        return kernels_of(A.dtype).first_outside(address(A, A.nbytes), n, low, high)
    a = <const int64_t*> address(A, n * sizeof(int64_t))
    for i in range(n):
        if not low <= <double> a[i] <= high:
            return i
    return -1
