"""What a network does under its lock, each in one call: a whole pass of a program with its bookkeeping.

No line of Python runs in between, so a signal's handler finds the program before the pass or after it.
"""
from fastbp._engine.program cimport Program


def forward_kept(Program program, xs, bint training, int threads):
    """`forward` with the program's own seed; a backward pass may follow."""
    program.pending = 0
    outputs = program.forward(xs, training, program.seed, program.draws, threads)
    program.pending = len(xs[0])
    program.draws += training
    return outputs


def forward_taped(Program program, Program owner, xs, bint training, int threads):
    """`forward` of a program beside that which counts the draws of dropout."""
    outputs = program.forward(xs, training, owner.seed, owner.draws, threads)
    owner.draws += training
    return outputs


def backward_taped(Program program, Program owner, dys, bint accumulate, bint adds_rows, int threads):
    """`backward` of such a program; an update by the owner's learns of how many rows the gradient is the mean."""
    program.plan.scale = owner.plan.scale if adds_rows else 0
    dxs = program.backward(dys, accumulate, True, threads)
    owner.plan.scale = program.plan.scale
    return dxs


def predict_fit(Program program, xs, int threads):
    """Outputs, and whether a source had a number that it must not have."""
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

    Its gradient is a mean over so many rows; 0: over those of the last backward passes that were added up.
    """
    constrain = program.constrain if program.plan.n_constrained > 0 else None
    return update(*arguments, 1 / rows if rows > 0 else program.plan.scale or 1.0, constrain)
