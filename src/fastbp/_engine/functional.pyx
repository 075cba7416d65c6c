"""The kernels one by one, for Python: over C-contiguous arrays, with buffers made for the call.

Each function builds the struct that a program would and calls the same kernel, so the bits are the same.
"""
from libc.stdint cimport int64_t

import numpy as np

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernels cimport Activation, Context, Kernels, Op, OpKind, Targets, Tensor
from fastbp._engine.memory cimport Arena, address, kernels_of, numbers_of, pitch_of
from fastbp._engine.tables cimport row_named
from fastbp._engine.terms cimport Term


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
    cdef _Node node = _Node("dense", J.dtype, len(J), "linear", 0.0)
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
    cdef Py_ssize_t N = len(Y)
    cdef _Blocks y = _Blocks(Y.dtype, N, Y.shape[1], Y), dy = _Blocks(Y.dtype, N, Y.shape[1])
    cdef double[::1] row_losses = np.zeros(N)
    cdef Py_ssize_t size = kernels.loss_scratch(Y.shape[1])
    cdef Arena arena = Arena(size)
    cdef void* scratch = arena.take(size)
    cdef Targets targets
    cdef double scale
    cdef fp_mode mode
    term.place(&targets, Y.shape[1], t, weights, N)
    mode = flush_subnormals()
    scale = kernels.loss_scale(&targets, N)
    kernels.apply_loss(&y.tensor, &targets, scale, &row_losses[0], NULL, &dy.tensor, 0, N, scratch)
    restore_mode(mode)
    return kernels.sum_losses(&row_losses[0], N), dy.array()


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
