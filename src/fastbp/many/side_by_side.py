"""Fits side by side: small networks of the same shape share each call of the engine, one network in each SIMD lane.

Between two calls each fit goes on alone, with its own callbacks, validation and end, and its bits are those of a fit
alone. Fits that cannot share a call (they are at different batches, or a network diverges) make calls of their own.
"""

import itertools
from collections.abc import Sequence

from fastbp import _engine
from fastbp.callbacks.history import History
from fastbp.training.fit import Calls
from fastbp.training.trainer import Trainer

FEW = 32  # batches that each fit trains alone after a shared call that failed, which goes back by as many at most


def groups_of(trainers: Sequence[Trainer | None], batch_sizes: Sequence[int], workers: int) -> list[list[int]]:
    """Group fits that train faster together than one after the other; each other fit is a group by itself.

    None stands for the trainer of a fit that must be alone, because of its data.
    """
    kinds: dict[tuple[int, int], list[list[int]]] = {}  # fits that may share calls, by parameters and batch size
    groups: list[list[int]] = []
    for k, (trainer, size) in enumerate(zip(trainers, batch_sizes, strict=True)):
        lanes = None if trainer is None else _lanes([trainer])
        if trainer is None or lanes is None or size > lanes.most_rows:
            groups.append([k])
            continue
        known = kinds.setdefault((trainer.net.params.size, size), [])
        kind = next((kind for kind in known if _lanes([trainers[kind[0]], trainer]) is not None), None)
        if kind is None:
            known.append([k])
        else:
            kind.append(k)
    for kind in itertools.chain.from_iterable(kinds.values()):
        lanes = _lanes([trainers[k] for k in kind])
        parts = [kind[first : first + lanes.lanes] for first in range(0, len(kind), lanes.lanes)]
        busy = min(len(parts), workers) * lanes.gain >= min(len(kind), workers)
        for part in parts:
            groups += [part] if busy and len(part) * lanes.gain >= lanes.lanes else [[k] for k in part]
    return groups


def _lanes(trainers):
    return _engine.lanes_of([trainer._fast_path for trainer in trainers])


class SideBySide:
    """Fits of networks of the same shape: their trainers, and the generators of their calls."""

    def __init__(self, trainers: list[Trainer], fits: list[Calls[History]], threads: int | None):
        self.trainers, self.fits, self.threads = trainers, fits, threads
        self.lanes = _lanes(trainers)
        self.asked: dict[int, _engine.Batches] = {}  # the call that each fit waits for
        self.histories: dict[int, History] = {}

    def run(self) -> list[History]:
        """Run all fits to their ends."""
        try:
            for k in range(len(self.fits)):
                self._send(k, None)
            while self.asked:
                for together in self._level():
                    self._call(together)
        finally:
            for fit in self.fits:
                fit.close()
        return [self.histories[k] for k in range(len(self.fits))]

    def _level(self) -> list[list[int]]:
        """Group the fits that wait for the same batches of an epoch."""
        found: dict[tuple[int, int], list[int]] = {}
        for k, batches in self.asked.items():
            found.setdefault((batches.first, batches.size), []).append(k)
        return list(found.values())

    def _call(self, together):
        lanes, batches = self.lanes, [self.asked[k] for k in together]
        done = None if lanes is None or len(together) == 1 else lanes.run(together, batches)
        for j, k in enumerate(together):
            asked, result = batches[j], None if done is None else done[j]
            if result == (asked.first, 0):
                asked, result = asked._replace(last=min(asked.last, asked.first + FEW)), None
            if result is None:
                result = self.trainers[k].runner.trained(asked, self.threads)
            self._send(k, result)

    def _send(self, k, result):
        try:
            self.asked[k] = self.fits[k].send(result)
        except StopIteration as end:
            self.asked.pop(k, None)
            self.histories[k] = end.value
