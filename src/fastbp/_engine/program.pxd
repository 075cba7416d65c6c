"""The compiled plan of a net: program.pyx."""
from libc.stdint cimport int64_t

from fastbp._engine.chain cimport Chain
from fastbp._engine.kernels cimport Context, Kernels, LossKernel, Op, Targets, Tensor
from fastbp._engine.memory cimport Arena


cdef struct Node:
    Op op
    bint trains                 # parameters stand at it or above it
    bint shares_gradient        # an earlier node has the same parameters ...
    bint last_of_parameters     # ... no later one has
    Py_ssize_t weights, bias    # where they begin in the flat vector; -1: none


cdef struct Port:
    # Where a batch enters or leaves the net.
    Tensor value
    Tensor gradient
    char* array                 # the caller's rows
    LossKernel loss
    Targets targets


cdef class Program:
    cdef const Kernels* kernels
    cdef object dtype
    cdef list arrays            # kept alive: params and grads, and the structs below
    cdef list widths, specs, gradient_widths, trains, inputs, outputs

    cdef char* params
    cdef char* grads
    cdef Py_ssize_t n_nodes, n_sources, n_sinks, n_operands
    cdef Node* nodes
    cdef Tensor* X              # of all nodes, one after the other; likewise
    cdef Tensor* dX
    cdef void** dX_data         # dX.data, which is NULL while nobody wants it
    cdef bint* dX_trains
    cdef Port* sources
    cdef Port* sinks
    cdef Context context

    cdef Arena buffers          # activations and their gradients
    cdef Py_ssize_t capacity    # rows that they hold
    cdef Py_ssize_t rows        # rows of the last forward pass
    cdef double* row_losses

    cdef void* own(self, Py_ssize_t size) except NULL
    cdef void place_parameters(self, Node* node) noexcept
    cdef void reserve(self, Py_ssize_t rows) except *
    cdef void want_inputs(self, bint wanted) noexcept nogil
    cdef void load(self, const int64_t* order, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    cdef void forward_rows(self, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    cdef void backward_rows(self, bint inputs, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    cdef void phase_one(self, const int64_t* order, Py_ssize_t first, double scale, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil
    cdef bint phase_two(self, Chain chain, bint adds, Py_ssize_t part, Py_ssize_t of) noexcept nogil
    cdef double batch_loss(self, const int64_t* order, Py_ssize_t first, Py_ssize_t N) noexcept nogil
    cdef void store(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) noexcept nogil
    cdef void attach(self, Port* ports, Py_ssize_t n_ports, arrays, Py_ssize_t rows) except *
    cdef void attach_training(self, xs, ts, weights, losses, Py_ssize_t rows) except *
    cdef new_rows(self, Port* ports, Py_ssize_t n_ports, Py_ssize_t rows)
