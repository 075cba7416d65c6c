"""Groups, by which ranks exchange numbers: adapters of MPI and torch.distributed, and a group of threads."""

import threading
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fastbp._optional import package
from fastbp.inputs import checks

PATIENCE = 60.0  # seconds that a rank of a group of threads waits for the others


@runtime_checkable
class Group(Protocol):
    """The protocol of a group of ranks.

    Attributes
    ----------
    rank, size : int
        The number of this rank, from 0, and the number of ranks.

    See Also
    --------
    mpi, torch, threads : Create them.

    Examples
    --------
    >>> group, _ = threads(2)
    >>> group.rank, group.size
    (0, 2)
    """

    rank: int
    size: int

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def allreduce(self, array: np.ndarray) -> object:
        """Sum a flat array over all ranks, in place; afterwards all ranks have the same bits.

        Parameters
        ----------
        array : ndarray of shape (n,)
            The summand of this rank; afterwards the sum.
        """

    def broadcast(self, array: np.ndarray, root: int = 0) -> object:
        """Overwrite a flat array by the array of the rank `root`.

        Parameters
        ----------
        array : ndarray of shape (n,)
            An array of the same size and dtype on all ranks.
        root : int, default=0
            The rank whose array the other ranks get.
        """


class _Mpi:
    """The ranks of a communicator of mpi4py."""

    def __init__(self, comm):
        self._comm = comm
        self._in_place = package("mpi4py.MPI", "fastbp.distributed.mpi").IN_PLACE
        self.rank, self.size = comm.Get_rank(), comm.Get_size()

    def allreduce(self, array: np.ndarray) -> None:
        self._comm.Allreduce(self._in_place, array)

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        self._comm.Bcast(array, root)


class _Torch:
    """The ranks of a process group of torch.distributed whose tensors are in CPU memory (gloo)."""

    def __init__(self, group):
        distributed = package("torch.distributed", "fastbp.distributed.torch")
        if not distributed.is_initialized():
            raise RuntimeError(
                "fastbp.distributed.torch wants torch.distributed.init_process_group('gloo') before it, or a script "
                "that torchrun starts and that calls it"
            )
        self._tensor, self._distributed = package("torch", "fastbp.distributed.torch").from_numpy, distributed
        self._group = group
        self.rank, self.size = distributed.get_rank(group), distributed.get_world_size(group)

    def allreduce(self, array: np.ndarray) -> None:
        self._distributed.all_reduce(self._tensor(array), group=self._group)

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        source = root if self._group is None else self._distributed.get_global_rank(self._group, root)
        self._distributed.broadcast(self._tensor(array), source, group=self._group)


class _Meeting:
    """The state that the threads of a group share: a barrier, and a place for each thread's array."""

    def __init__(self, size: int):
        self.places: list[np.ndarray | None] = [None] * size
        self.barrier = threading.Barrier(size, timeout=PATIENCE)


class _Thread:
    """A rank that is a thread, for tests and demonstrations."""

    def __init__(self, meeting: _Meeting, rank: int):
        self._meeting = meeting
        self.rank, self.size = rank, len(meeting.places)

    def _exchange(self, array, combined):
        meeting = self._meeting
        meeting.places[self.rank] = array
        meeting.barrier.wait()
        result = combined(meeting.places)
        meeting.barrier.wait()
        array[...] = result

    def allreduce(self, array: np.ndarray) -> None:
        self._exchange(array, lambda places: sum(places[1:], start=places[0].copy()))

    def broadcast(self, array: np.ndarray, root: int = 0) -> None:
        self._exchange(array, lambda places: places[root].copy())


def mpi(comm: Any = None) -> Group:
    """The group of an MPI communicator, for scripts that `mpiexec` starts.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The communicator; `MPI.COMM_WORLD`, all ranks, if not given.

    Returns
    -------
    Group
        All ranks of the communicator, for `group=`.

    Raises
    ------
    ImportError
        If mpi4py is not installed; `pip install "fastbp[mpi]"` installs it and an MPI library.

    See Also
    --------
    torch : Over torch.distributed.
    threads : In one process.
    shard : The rows of a rank.

    Examples
    --------
    >>> import fastbp as fb
    >>> group = fb.distributed.mpi()  # doctest: +SKIP
    >>> net.fit(X, y, group=group)  # doctest: +SKIP
    """
    MPI = package("mpi4py.MPI", "fastbp.distributed.mpi")
    return _Mpi(MPI.COMM_WORLD if comm is None else comm)


def torch(group: Any = None) -> Group:
    """The group of an initialized torch.distributed, as torchrun, Ray Train and Spark's distributor set it up.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional
        A group whose backend exchanges tensors in CPU memory, as gloo does; the default group if not given.

    Returns
    -------
    Group
        All ranks of the process group, for `group=`.

    Raises
    ------
    ImportError
        If torch is not installed.
    RuntimeError
        If torch.distributed is not initialized.

    See Also
    --------
    mpi : Over MPI.
    threads : In one process.
    shard : The rows of a rank.

    Examples
    --------
    >>> import torch.distributed
    >>> torch.distributed.init_process_group("gloo")  # doctest: +SKIP
    >>> group = fb.distributed.torch()  # doctest: +SKIP
    """
    return _Torch(group)


def threads(size: int) -> list[Group]:
    """Make a group of threads of this process, one object for each thread: to test a script without MPI, not for speed.

    Parameters
    ----------
    size : int
        Number of ranks.

    Returns
    -------
    list of Group
        The group of each thread.

    See Also
    --------
    mpi : Over MPI.
    torch : Over torch.distributed.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> groups = threads(3)
    >>> def summed(group):
    ...     array = np.array([group.rank, 1.0])
    ...     group.allreduce(array)
    ...     return array.tolist()
    >>> with ThreadPoolExecutor(3) as pool:
    ...     list(pool.map(summed, groups))
    [[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]
    """
    meeting = _Meeting(checks.positive_int(size, "size"))
    return [_Thread(meeting, rank) for rank in range(size)]


def as_group(group: Any) -> Group | None:
    """A checked group; None if there are no other ranks."""
    if group is None:
        return None
    for name in ("rank", "size", "allreduce", "broadcast"):
        if not hasattr(group, name):
            raise TypeError(f"group must have rank, size, allreduce and broadcast, and {group!r} has no {name}")
    size = checks.positive_int(group.size, "group.size")
    rank = checks.positive_int(group.rank, "group.rank", low=0)
    if rank >= size:
        raise ValueError(f"group.rank must be below group.size, got {rank} and {size}")
    return group if size > 1 else None
