"""Data parallel training: one network on many ranks, each with its own rows, over existing transports.

A group is any object with four names: `rank`, `size`, `allreduce(array)`, which sums an array over all ranks in place,
and `broadcast(array, root=0)`. `mpi`, `torch` and `threads` make one. fastbp opens no socket and starts no process.
"""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__)
