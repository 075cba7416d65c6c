"""Ranks: what training exchanges over a group, and how an error on one rank becomes the same error on all ranks.

All ranks make all exchanges, in the same order. A rank that has failed still takes part in the next exchange and
reports its error there; then all ranks raise. Rejected: timeouts, which cannot tell a slow rank from a dead one.
"""

from typing import Any

import numpy as np

from fastbp.distributed.groups import Group

NO_ERROR = b""


class RankError(RuntimeError):
    """A rank of a group has failed, or the ranks disagree: the same error, with the same message, on all ranks.

    See Also
    --------
    fastbp.DivergenceError : A loss or an update that is not finite.

    Examples
    --------
    >>> raise RankError("rank 1: ValueError: X must be finite, got nan in row 3, column 0")
    Traceback (most recent call last):
        ...
    fastbp.distributed.ranks.RankError: rank 1: ValueError: X must be finite, got nan in row 3, column 0
    """


class Ranks:
    """The exchanges of training over the ranks of a group.

    `settled` is the last error that all ranks have raised together, which need not be reported again.
    """

    def __init__(self, group: Group):
        self._group = group
        self.rank, self.size = group.rank, group.size
        self.settled: BaseException | None = None

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Sum a flat array over all ranks, in place."""
        self._group.allreduce(array)
        return array

    def each(self, *numbers: float) -> np.ndarray:
        """The numbers of each rank, of shape (size, numbers), as float64."""
        table = np.zeros((self.size, len(numbers)))
        table[self.rank] = numbers
        self.sum(table.reshape(-1))
        return table

    def broadcast(self, array: np.ndarray, root: int = 0) -> np.ndarray:
        """Overwrite a flat array by the array of the rank `root`."""
        self._group.broadcast(array, root)
        return array

    def broadcast_text(self, text: str, root: int = 0) -> str:
        """The text of the rank `root`."""
        sent = np.frombuffer(text.encode(), np.uint8).copy()
        length = int(self.broadcast(np.array([len(sent)], np.int64), root)[0])
        received = sent if self.rank == root else np.empty(length, np.uint8)
        return self.broadcast(received, root).tobytes().decode() if length else ""

    def gather(self, arrays: list) -> list[list]:
        """A list for each rank with its arrays, which have one or two dimensions."""
        form = [number for array in arrays for number in _form(array)]
        forms = self.each(*form).astype(np.int64).reshape(self.size, len(arrays), 3)
        found = []
        for rank in range(self.size):
            mine = rank == self.rank
            found.append([self._sent(a, rank, f, mine) for a, f in zip(arrays, forms[rank], strict=True)])
        return found

    def _sent(self, array, root, form, mine):
        dimensions, rows, columns = form.tolist()
        if not dimensions:
            return None
        code, dimensions = divmod(dimensions, 4)
        shape = (rows, columns)[:dimensions]
        sent = np.ascontiguousarray(array).reshape(-1) if mine else np.empty(rows * columns, DTYPES[code])
        return (self.broadcast(sent, root) if sent.size else sent).reshape(shape)

    def agree(self, error: BaseException | None = None, said: bool = False) -> bool:
        """Whether `said` is true on any rank; raises on all ranks if one of them has an error."""
        failed, said_by = self.sum(np.array([error is not None, said], np.float64))
        if failed:
            self.raise_together(error)
        return bool(said_by)

    def raise_together(self, error: BaseException | None) -> None:
        """Raise the error of the first rank that has one on all ranks; all ranks must make this call."""
        failed = self.each(float(error is not None))[:, 0].nonzero()[0]
        first = int(failed[0])
        text = "" if error is None else f"{type(error).__name__}: {error}"
        others = f" (and ranks {', '.join(map(str, failed[1:].tolist()))})" if len(failed) > 1 else ""
        self.raise_settled(f"rank {first}{others}: {self.broadcast_text(text, first)}", error)

    def raise_settled(self, message: str, error: BaseException | None = None) -> None:
        """Raise an error that all ranks raise here: a RankError, but the interrupt on a rank that was interrupted."""
        interrupted = isinstance(error, BaseException) and not isinstance(error, Exception)
        self.settled = error if interrupted else RankError(message)
        assert self.settled is not None
        raise self.settled from (None if interrupted else error)

    def compare(self, what: str, number: int) -> None:
        """Raise on all ranks if a whole number below 2**53 differs between them."""
        numbers = self.each(number)[:, 0]
        if (numbers != numbers[0]).any():
            groups: dict[Any, list[str]] = {}
            for rank, value in enumerate(numbers.tolist()):
                groups.setdefault(int(value), []).append(str(rank))
            parts = "; ".join(f"{value} on rank {', '.join(ranks)}" for value, ranks in groups.items())
            self.raise_settled(f"{what} differ between the ranks: {parts}")


DTYPES = [np.dtype(name) for name in ("float32", "float64", "int64")]


def _form(array):
    """An array's form in numbers: its dimensions and dtype as one code, its rows and columns."""
    if array is None:
        return 0, 0, 0
    if array.dtype not in DTYPES:
        raise TypeError(f"ranks exchange {', '.join(map(str, DTYPES))}, got {array.dtype}")
    return 4 * DTYPES.index(array.dtype) + array.ndim, len(array), array.shape[1] if array.ndim == 2 else 1
