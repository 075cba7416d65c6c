"""What a network does under its lock, each in one call: a whole pass of a program with its bookkeeping.

No Python bytecode runs in between, so a signal handler sees the program before a pass or after it, never within.
"""
from libc.stdint cimport int64_t

from fastbp._engine.chain cimport Chain
from fastbp._engine.memory cimport address
from fastbp._engine.plan cimport Plan
from fastbp._engine.program cimport (
    GRADIENTS, Program, attach_rows, attach_training, batch_loss, gradients,
    updated as updated_by_chain,
)
from fastbp._engine.thread_choice cimport passed, tuned
from fastbp._engine.threads cimport leave

cdef enum:
    UPDATED_EACH = 1 << 15      # parameters for each thread of an update, at least


def forward_kept(Program program, xs, bint training, int threads):
    """`forward` with the program's own seed; a backward pass may follow."""
    program.pending = 0
    outputs = program.forward(xs, training, program.seed, program.draws, threads)
    program.pending = len(xs[0])
    program.draws += training
    return outputs


def forward_taped(Program program, Program owner, xs, bint training, int threads):
    """`forward` of one program with the dropout masks of another, its owner, which counts them."""
    outputs = program.forward(xs, training, owner.seed, owner.draws, threads)
    owner.draws += training
    return outputs


def backward_taped(Program program, Program owner, dys, bint accumulate, bint adds_rows, int threads):
    """`backward` of such a program; the owner's `scale` becomes 1 / (number of rows that the gradient averages)."""
    program.plan.scale = owner.plan.scale if adds_rows else 0
    dxs = program.backward(dys, accumulate, True, threads)
    owner.plan.scale = program.plan.scale
    return dxs


def predict_fit(Program program, xs, int threads):
    """Outputs, and whether a source had a number that is not allowed."""
    return program.predict(xs, threads), program.plan.unfit


def train(Program program, batches, int threads):
    """`run` with the program's own seed; (next batch, status)."""
    program.pending = 0
    batch, status = program.run(batches, program.seed, program.draws, threads)
    program.draws += batch - batches.first
    return batch, status


def gradient_of(Program program, xs, ts, weights, terms, int threads):
    """`loss_and_gradient` without dropout."""
    program.pending = 0
    return program.loss_and_gradient(xs, ts, weights, terms, program.seed, program.draws, False, threads)


def updated(Program program, update, arguments, double rows=0):
    """update(*arguments), one step of an optimizer with the constraints; whether the update was finite.

    `rows` is the number of rows over which its gradient is the mean; 0: those of the backward passes added up last.
    """
    constrain = program.constrain if program.plan.n_constrained > 0 else None
    return update(*arguments, 1 / rows if rows > 0 else program.plan.scale or 1.0, constrain)


def collected(Program program, batches, scales, int threads):
    """Fills grads with the gradient of batch `first` of `Batches`; returns (what each output adds to the loss, status
    as in `Program.run`).  Of the parameters only running averages change.

    `scales` are the factors of the losses of each output's rows; None for 1 / (their number).
    """
    cdef Plan* plan = &program.plan
    cdef Py_ssize_t n = len(batches.xs[0]), k, size = batches.size
    cdef object order = batches.order
    cdef Py_ssize_t total = len(order) if order is not None else n
    cdef int most, wanted = threads, status = 0
    cdef bint direct
    program.pending = 0
    plan.first = batches.first * size
    plan.rows = min(size, total - plan.first)
    program.reserve_batch(plan.rows)
    attach_training(program, batches.xs, batches.ts, batches.weights, batches.terms, n)
    plan.rows, plan.order = min(size, total - plan.first), NULL
    if order is not None:
        plan.order = <const int64_t*> address(order, total * sizeof(int64_t))
    if batches.outs is not None:
        attach_rows(program, plan.sinks, plan.n_sinks, batches.outs, total)
    plan.outputs_wanted = batches.outs is not None
    direct = plan.all_dense and plan.all_plain and order is None
    most = program.claim(wanted, plan.rows)
    if scales is not None:
        plan.scales = <const double*> address(scales, plan.n_sinks * sizeof(double))
    with nogil:
        threads = tuned(&program.tuners[GRADIENTS], plan.rows, wanted, most)
        program.begin(True, program.seed, program.draws)
        plan.rules = NULL
        batch_loss(plan, direct, False, threads)
        if plan.unfit:
            status = 4
        elif not plan.in_parts and not plan.failed and not plan.stopped:
            gradients(plan, False, threads)
        passed(&program.tuners[GRADIENTS])
        leave(most)
    plan.scales = NULL
    program.raise_failed()
    program.draws += 1
    return [plan.sinks[k].loss for k in range(plan.n_sinks)], status


def applied(Program program, Chain chain, double lr, double loss, double scale, int threads):
    """One step of a chain by the gradient in grads, with the constraints; whether the update was finite."""
    cdef Plan* plan = &program.plan
    cdef int most = min(threads if threads > 0 else -threads, <int> (chain.n // UPDATED_EACH) + 1)
    cdef bint fine
    most = program.claim(most, most)
    with nogil:
        plan.rules = &chain.rules
        chain.rules.G = plan.grads
        fine = updated_by_chain(plan, chain, loss, lr, scale, True, most)
        leave(most)
    program.raise_failed()
    return fine


def coupled(Program program):
    """The nodes that couple rows in training, in order: (number, width)."""
    cdef Py_ssize_t k
    nodes = [program.plan.coupled[k] for k in range(program.plan.n_coupled)]
    return [(k, program.widths[program.specs[k].output]) for k in nodes]
