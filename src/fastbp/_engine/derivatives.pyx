"""Derivatives of a net, as Python calls them: these functions attach arrays, reserve memory and claim threads for the
passes in passes/derivative_passes.pxd."""
import numpy as np

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernel_table cimport Activation, Tensor
from fastbp._engine.memory cimport Arena, address
from fastbp._engine.passes.derivative_passes cimport (
    MOST_SEEDS, SWEEP_BYTES, SWEEP_ROWS, Sweep, load_sources, pull_task, push_task, rows_gradient_task, second_task,
    seed_second,
)
from fastbp._engine.passes.forward_backward cimport backward_rows, forward_rows, place_inputs
from fastbp._engine.plan cimport Port
from fastbp._engine.program cimport (
    Program, attach_rows, attach_sources, attach_targets, backward_pass, gradients, new_rows,
)
from fastbp._engine.tables cimport row_named
from fastbp._engine.thread_choice cimport clock_seconds
from fastbp._engine.threads cimport Task, leave, share


cdef class _Sweeper:
    """The sweep of a program: the fields that stay the same between calls, and how a call starts and ends it."""
    cdef Sweep sweep
    cdef list kept
    cdef object outs, columns
    cdef Py_ssize_t n_outs, n_columns, n_shifted
    cdef char** addresses

    def __init__(self, Program program, moving):
        self.kept, self.n_outs, self.n_columns, self.n_shifted = [], 0, 0, 0
        self.sweep.plan, self.sweep.most = &program.plan, max(program.widths)
        self.sweep.operands = max([len(spec.inputs) for spec in program.specs], default=0) + 1
        line = np.zeros(2 * self.sweep.most + 1, program.dtype)
        line[self.sweep.most] = 1
        self.kept.append(line)
        self.sweep.line = <const char*> address(line, line.nbytes)
        self.sweep.linear = <const Activation*> row_named(
            program.plan.kernels.activations, sizeof(Activation), "linear")
        if moving is not None:
            self.sweep.moving = self.flags([moving[spec.output] for spec in program.specs])
            self.sweep.operand_moves = self.flags([moving[t] for spec in program.specs for t in spec.inputs])
            self.sweep.sink_moves = self.flags([moving[t] for t, _ in program.outputs])

    def aim(self, outs):
        """Sets where the results go."""
        cdef Py_ssize_t k
        if len(outs) > self.n_outs:
            self.n_outs = len(outs)
            self.addresses = <char**> self.own(self.n_outs * sizeof(char*))
        for k, out in enumerate(outs):
            self.addresses[k] = <char*> address(out, out.nbytes)
        self.outs, self.sweep.outs, self.sweep.norms = outs, self.addresses, NULL
        self.sweep.seeds, self.sweep.at_once = 1, SWEEP_ROWS
        self.n_columns = 0

    cdef const bint* flags(self, values) except NULL:
        array = np.array(values, np.intc)
        self.kept.append(array)
        return <const bint*> address(array, array.nbytes)

    cdef void stack(self, Program program, Port* ports, Py_ssize_t first, Py_ssize_t last) noexcept:
        """Takes several seeds at once, but no more than the widest port has columns; a block then has fewer rows."""
        cdef Py_ssize_t row = self.sweep.most * program.plan.kernels.item, k
        for k in range(first, last):
            self.sweep.seeds = max(self.sweep.seeds, min(ports[k].value.width, <Py_ssize_t> MOST_SEEDS))
        self.sweep.at_once = max(8, min(<Py_ssize_t> SWEEP_ROWS, SWEEP_BYTES // (row * self.sweep.seeds)))

    cdef void* own(self, Py_ssize_t size) except NULL:
        cdef Arena arena = Arena(size)
        self.kept.append(arena)
        return arena.take(size)

    cdef void run(self, Program program, Task task, Py_ssize_t N, bint inputs, int threads,
                  Py_ssize_t width_of_columns=0) except *:
        """Runs a task on all rows, in blocks, on several threads; the caller has attached all arrays that it reads."""
        threads = program.claim(threads, N)
        program.plan.looks, program.plan.looked = True, clock_seconds()
        try:
            self.sweep.at_once = min(self.sweep.at_once, (N + threads - 1) // threads)
            program.reserve(threads * self.sweep.at_once * self.sweep.seeds)
            if threads > self.n_shifted:
                self.n_shifted = threads
                self.sweep.shifted = <Tensor*> self.own(threads * self.sweep.operands * sizeof(Tensor))
            if threads * width_of_columns > self.n_columns:
                self.n_columns = threads * width_of_columns
                self.columns = np.zeros(self.n_columns, program.dtype)
                self.sweep.columns = <char*> address(self.columns, self.columns.nbytes)
            with nogil:
                program.begin(False, 0, 0)
                program.plan.rows = N
                place_inputs(&program.plan, False, 0)
                program.want_inputs(inputs)
                share(task, &self.sweep, threads)
                program.want_inputs(False)
        finally:
            leave(threads)
            self.outs = None
        program.raise_failed()


cdef _Sweeper sweeper_of(Program program, moving, outs):
    if program.sweeper is None:
        program.sweeper = _Sweeper(program, moving)
    program.sweeper.aim(outs)
    return program.sweeper


# What Python calls.  Arrays come checked; outs are new arrays of the right shapes.

def pull(Program program, xs, outs, int threads=1):
    """Jacobians by reverse mode: outs[p * inputs + s] of shape (N, O_p, I_s)."""
    cdef _Sweeper sweeper = sweeper_of(program, None, outs)
    program.reserve(1)
    attach_sources(program, xs, len(xs[0]))
    sweeper.stack(program, program.plan.sinks, 0, program.plan.n_sinks)
    sweeper.run(program, pull_task, len(xs[0]), True, threads)


def push(Program program, moving, xs, outs, int threads=1):
    """Jacobians by forward mode, with the program of the tangent graph: outs as for `pull`."""
    cdef _Sweeper sweeper = sweeper_of(program, moving, outs)
    program.reserve(1)
    sweeper.sweep.n_given, sweeper.sweep.n_values = len(xs), program.plan.n_sinks // 2
    attach_sources(program, xs, len(xs[0]))
    sweeper.stack(program, program.plan.sources, len(xs), program.plan.n_sources)
    sweeper.run(program, push_task, len(xs[0]), False, threads, sweeper.sweep.most)


def second(Program program, moving, xs, out, Py_ssize_t feature, ts, terms, int threads=1):
    """Hessians (N, I, I) of an output, or with feature -1 of each row's loss, by the program of the tangent graph; if
    xs has a direction after the input, the products (N, I) of the Hessians with that direction."""
    cdef _Sweeper sweeper = sweeper_of(program, moving, [out])
    cdef Py_ssize_t N = len(xs[0])
    program.reserve(1)
    sweeper.sweep.n_given, sweeper.sweep.n_values = 1, program.plan.n_sinks // 2
    sweeper.sweep.feature, sweeper.sweep.each_direction = feature, len(xs) == 1
    attach_sources(program, xs, N)
    if feature < 0:
        attach_losses(program, program.plan.n_sinks // 2, ts, terms, N)
    sweeper.run(program, second_task, N, True, threads)


cdef void attach_losses(Program program, Py_ssize_t n_sinks, ts, terms, Py_ssize_t N) except *:
    """Attaches targets of the first sinks, with the scale of each row's own loss: the mean of these losses is the
    batch's loss, also where targets are missing."""
    cdef Py_ssize_t k
    attach_targets(program, n_sinks, ts, None, terms, N)
    for k in range(n_sinks):
        program.plan.sinks[k].scale = N * program.plan.kernels.loss_scale(&program.plan.sinks[k].targets, N)


def parameter_second(Program program, xs, ts, terms):
    """grads = the Hessian of the batch's loss by the parameters times the direction in the program's params."""
    cdef _Sweeper sweeper = sweeper_of(program, None, [])
    cdef Py_ssize_t N = len(xs[0])
    cdef fp_mode mode
    program.reserve(N)
    sweeper.sweep.n_values, sweeper.sweep.feature = program.plan.n_sinks // 2, -1
    attach_sources(program, xs, N)
    attach_losses(program, program.plan.n_sinks // 2, ts, terms, N)
    program.claim(1, N)
    with nogil:
        mode = flush_subnormals()
        program.begin(False, 0, 0)
        program.plan.rows, program.plan.rules = N, NULL
        place_inputs(&program.plan, False, 0)
        load_sources(&program.plan, 0, program.plan.n_sources, 0, 0, N)
        forward_rows(&program.plan, program.plan.contexts, 0, program.plan.n_nodes, 0, N)
        seed_second(&sweeper.sweep, program.plan.contexts, 0, 0, N, 1.0 / <double> N)
        backward_rows(&program.plan, program.plan.contexts, 0, program.plan.n_nodes, 0, N)
        if not program.plan.stopped:
            gradients(&program.plan, False, 1)
        restore_mode(mode)
        leave(1)
    program.raise_failed()


def rows_gradients(Program program, xs, ts, terms, out, norms, Py_ssize_t size, int threads=1):
    """out (N, size) = the gradient of each row's loss; or only norms (N,), float64.  Without terms ts holds
    the gradients of the outputs."""
    cdef _Sweeper sweeper = sweeper_of(program, None, [] if out is None else [out])
    cdef Py_ssize_t N = len(xs[0])
    program.reserve(1)
    if norms is not None:
        sweeper.sweep.norms = <double*> address(norms, N * sizeof(double))
    sweeper.sweep.n_params = size
    attach_sources(program, xs, N)
    sweeper.sweep.by_loss = terms is not None
    if terms is None:
        attach_rows(program, program.plan.sinks, program.plan.n_sinks, ts, N)
    else:
        attach_losses(program, program.plan.n_sinks, ts, terms, N)
    sweeper.run(program, rows_gradient_task, N, False, threads, size)


def vjp(Program program, xs, dys, int threads=1):
    """The gradients of the inputs from those of the outputs, dys; the parameters' gradients are not computed."""
    cdef Py_ssize_t N = len(xs[0])
    program.reserve(N)
    program.forward(xs, False, 0, 0, threads)
    attach_rows(program, program.plan.sinks, program.plan.n_sinks, dys, N)
    dxs = new_rows(program, program.plan.sources, program.plan.n_sources, N)
    threads = program.claim(threads, N)
    with nogil:
        program.want_inputs(True)
        backward_pass(&program.plan, threads)
        program.want_inputs(False)
        leave(threads)
    program.raise_failed()
    return dxs


def weight_products(W, V, out):
    """out[h, o, i] = W[i, h] V[h, o]."""
    cdef Py_ssize_t I = W.shape[0], H = W.shape[1], O = V.shape[1], h, o, i
    cdef Py_ssize_t item = W.dtype.itemsize
    cdef const char* w = <const char*> address(W, W.nbytes)
    cdef const char* v = <const char*> address(V, V.nbytes)
    cdef char* c = <char*> address(out, I * H * O * item)
    if item == 8:
        for h in range(H):
            for o in range(O):
                for i in range(I):
                    (<double*> c)[(h * O + o) * I + i] = (<const double*> w)[i * H + h] * (<const double*> v)[h * O + o]
        return
    for h in range(H):
        for o in range(O):
            for i in range(I):
                (<float*> c)[(h * O + o) * I + i] = (<const float*> w)[i * H + h] * (<const float*> v)[h * O + o]
