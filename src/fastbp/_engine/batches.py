"""Batches: what `Program.run` trains on, all of it by name."""

from typing import Any, NamedTuple


class Batches(NamedTuple):
    """Batches first ... last - 1 of some rows, what they are trained with, and where their results go."""

    xs: tuple  # an array or a Source for each input
    ts: tuple
    weights: tuple | None
    terms: tuple | None  # the loss of each output; None, which the engine does not take, for losses in Python
    chain: Any
    rates: Any  # one learning rate for all, or an array with one for each batch, by its number
    order: Any  # of the rows; None for the order that they have
    size: int  # rows of a batch
    first: int
    last: int
    seconds: float  # after which `run` returns; 0: not before all batches are done
    losses: Any  # an array with a place for each batch
    outs: tuple | None  # for each output an array with a place for each row, if they are wanted
    each_loss: Any = None  # an array (batches, outputs) for what each output adds to a batch's loss, if it is wanted
