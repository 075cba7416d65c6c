"""shard: the rows of a rank."""

from typing import Any

from fastbp.distributed.groups import Group, as_group
from fastbp.inputs import checks


def shard(X: Any, y: Any, group: Group) -> tuple[Any, Any]:
    """The rows of X and y of this rank: consecutive rows, as many as the other ranks have or one more.

    Arrays and memory maps are sliced, so a rank reads only its own rows. `fit` shuffles within each rank's rows.

    Parameters
    ----------
    X, y : array, or a tuple of them
        Arrays with the same number of rows, the same on all ranks.
    group : Group
        A group, such as `mpi`, `torch` and `threads` return.

    Returns
    -------
    tuple
        X and y of this rank, which have no rows on some ranks if there are more ranks than rows.

    See Also
    --------
    mpi, torch : Groups of ranks.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import distributed
    >>> X, y = np.arange(10).reshape(5, 2), np.arange(5)
    >>> [distributed.shard(X, y, group)[1].tolist() for group in distributed.threads(2)]
    [[0, 1], [2, 3, 4]]
    """
    as_group(group)
    parts = [*(X if isinstance(X, tuple) else (X,)), *(y if isinstance(y, tuple) else (y,))]
    rows = len(parts[0])
    for part in parts:
        checks.same_rows(part, rows, "y")
    mine = slice(rows * group.rank // group.size, rows * (group.rank + 1) // group.size)
    return _sliced(X, mine), _sliced(y, mine)


def _sliced(A, rows):
    if isinstance(A, tuple):
        return tuple(_sliced(part, rows) for part in A)
    A = getattr(A, "iloc", A)
    return A[rows]
