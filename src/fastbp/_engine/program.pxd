"""A program, and its functions that other modules call: program.pyx."""
from libc.stdint cimport uint64_t

from fastbp._engine.chain cimport Chain
from fastbp._engine.kernel_table cimport Tensor
from fastbp._engine.memory cimport Arena
from fastbp._engine.plan cimport Plan, Port
from fastbp._engine.thread_choice cimport Tuner


cdef enum:
    # The passes that have a tuner of their own.
    STEPS, GRADIENTS, FORWARDS, BACKWARDS, PREDICTIONS, KINDS_OF_PASS


cdef class Program:
    cdef object __weakref__
    cdef Plan plan
    cdef Tuner[KINDS_OF_PASS] tuners
    cdef object dtype
    cdef list arrays            # kept alive: params and grads, and the structs below
    cdef list in_python         # the nodes that Python computes
    cdef list tensors, gradients    # of the buffers
    cdef list owns              # (tensor, its first gradient)
    cdef object interruption    # what a signal's handler has raised
    cdef object sweeper         # of derivatives.pyx, made on first use
    cdef list widths, specs, gradient_widths, inputs, outputs
    cdef public uint64_t seed, draws    # dropout's seed; forward passes in training, which number its masks
    cdef public uint64_t row            # in data parallel training: the batch's first row in the whole batch
    cdef public object meeting          # called where a node couples rows: passes/meeting.pxd
    cdef public Py_ssize_t pending      # rows of the forward pass that a backward pass may follow, 0 for none
    cdef int n_contexts         # contexts that have scratch memory ...
    cdef Py_ssize_t scratch     # ... of this many bytes
    cdef const char* params_end     # end of the memory that params lies in
    cdef double row_seconds     # seconds of a row on one thread, roughly
    cdef Tensor* dX             # of all nodes, one after the other
    cdef void** dX_data         # dX.data, also while that is NULL since no gradient is wanted
    cdef bint* dX_trains
    cdef Arena buffers          # activations and their gradients
    cdef Arena losses_of_rows

    cdef void* own(self, Py_ssize_t size) except NULL
    cdef void raise_failed(self) except *
    cdef void reserve(self, Py_ssize_t rows) except *
    cdef void reserve_batch(self, Py_ssize_t rows) except *
    cdef void want_inputs(self, bint wanted) noexcept nogil
    cdef int claim(self, int threads, Py_ssize_t rows) except -1
    cdef void begin(self, bint training, uint64_t seed, uint64_t step) noexcept nogil
    cdef void predict_rows(self, Py_ssize_t N, int threads, bint tiny=*) except *
    cdef double value_and_gradients(self, bint training, uint64_t seed, uint64_t step, int wanted, int most,
                                    bint adds=*) noexcept nogil
    cdef int batch(self, Chain chain, double lr, uint64_t seed, uint64_t step, bint direct, int wanted, int most,
                   double* loss) noexcept nogil
    cdef int batch_on(self, int threads, Chain chain, double lr, uint64_t seed, uint64_t step, bint direct,
                      double* loss) noexcept nogil


cdef class TensorHolder:
    cdef Tensor tensor


cdef void attach_plain(Program program) noexcept
cdef void attach_sources(Program program, xs, Py_ssize_t rows) except *
cdef void attach_rows(Program program, Port* ports, Py_ssize_t n_ports, arrays, Py_ssize_t rows) except *
cdef new_rows(Program program, Port* ports, Py_ssize_t n_ports, Py_ssize_t rows)
cdef void attach_targets(Program program, Py_ssize_t n_sinks, ts, weights, terms, Py_ssize_t rows) except *

cdef void backward_pass(Plan* plan, int threads) noexcept nogil
cdef bint gradients(Plan* plan, bint adds, int threads) noexcept nogil
cdef bint updated(Plan* plan, Chain chain, double loss, double lr, double scale, bint formed,
                  int threads) noexcept nogil
cdef double batch_loss(Plan* plan, bint direct, bint adds, int threads) noexcept nogil
cdef void attach_training(Program program, xs, ts, weights, terms, Py_ssize_t rows) except *
