"""What `fastbp.distributed` has: the one list of it. `fastbp._lazy` reads it."""

from fastbp.distributed.groups import Group as Group, mpi as mpi, threads as threads, torch as torch
from fastbp.distributed.ranks import RankError as RankError
from fastbp.distributed.sharding import shard as shard
