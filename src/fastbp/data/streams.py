"""Streaming data: batches from a user's iterable, or from arrays through an augmentation function.

Each batch is checked when it arrives and trained on like any other: the bits are those of the same rows in arrays.
Rejected: collecting the batches of an epoch in arrays first, which is what an iterable is meant to avoid.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastbp.data.batches import Data
from fastbp.inputs import checks

Check = Callable[..., Data]  # called as (X, y, sample_weight or None, a format of names in errors: "{} of batch 3")
NO_ROWS = Data((np.empty((0, 1)),), (), None)


def as_batches(X: Any, name: str) -> Iterable[Any]:
    """X checked to be an iterable of batches, when y is not given."""
    if hasattr(X, "shape") or isinstance(X, (str, bytes, Mapping)) or not isinstance(X, Iterable):
        raise TypeError(f"y is None, and {name} no iterable of batches (X, y) but {type(X).__name__}")
    return X


def is_batches(data: Any) -> bool:
    """Whether validation data is an iterable of batches, not (X, y) or (X, y, sample_weight)."""
    if isinstance(data, list):
        return bool(data) and all(isinstance(item, tuple) for item in data)
    other = isinstance(data, (tuple, str, bytes, Mapping)) or hasattr(data, "shape")
    return isinstance(data, Iterable) and not other


class Stream:
    """The batches of an iterable, epoch by epoch.

    With `steps` an epoch has that many batches; the next training epoch continues there, validation restarts if it can.
    """

    def __init__(self, batches: Iterable[Any], check: Check, steps: int | None = None, prefix: str = ""):
        self._batches = batches
        self._check = check
        self._steps = steps
        self._prefix = prefix
        self._going_on: Iterator[Any] = iter(())
        self._taken = 0  # batches since the iterable was last started, if epochs continue in it
        self._begun = 0  # `_taken` when the epoch began

    @property
    def once(self) -> bool:
        """Whether the iterable can be iterated over only once."""
        return isinstance(self._batches, Iterator)

    def setting(self) -> dict:
        """The settings that must not change when an epoch is resumed."""
        return {"steps_per_epoch": self._steps}

    def place(self, within: bool) -> int:
        """Number of batches taken since the iterable was last started: now, or at the epoch's beginning if `within`."""
        return self._begun if within else self._taken

    def go_to(self, place: int) -> None:
        """Continue after this number of batches of the iterable, if it can be restarted."""
        if self.once:
            return
        self._going_on, self._taken = iter(self._batches), place
        for count in range(place):
            if next(self._going_on, self) is self:
                raise ValueError(f"the batches ended after {count}; the checkpoint was written after {place}")

    def epoch(self) -> Iterator[Data]:
        """Checked batches."""
        count, self._begun = 0, self._taken
        if self._prefix and not self.once:
            self._going_on = iter(())
        for item in self._batches if self._steps is None else self._some(self._steps):
            count += 1
            X, y, weights = checks.as_validation(item, f"{self._prefix}batch {count}")
            yield self._check(X, y, weights, f"{self._prefix}{{}} of batch {count}")
        if count < (self._steps or 1):
            name = "validation_steps" if self._prefix else "steps_per_epoch"
            wanted = "" if self._steps is None else f" of the {self._steps} of {name}"
            raise ValueError(
                f"the {self._prefix}batches ended after {count}{wanted}; pass what can be gone through again, such as "
                f"a list or a DataLoader, or an endless generator with {name}"
            )

    def _some(self, steps):
        """The next batches; an exhausted iterable is restarted if possible."""
        for _ in range(steps):
            for _ in range(2):
                item = next(self._going_on, self)
                if item is not self:
                    break
                self._going_on, self._taken = iter(self._batches), 0
            if item is self:
                return
            self._taken += 1
            yield item


class Slices(NamedTuple):
    """Mini-batches of checked arrays, shuffled for each epoch."""

    data: Data
    batch_size: int
    shuffle: bool
    rng: "np.random.Generator"
    once: bool = False

    def setting(self) -> dict:
        """The settings that must not change when an epoch is resumed."""
        return {"rows": self.data.rows, "batch_size": self.batch_size, "shuffle": bool(self.shuffle)}

    def place(self, within: bool) -> int:
        """Each epoch starts from the beginning."""
        return 0

    def go_to(self, place: int) -> None:
        """Nothing to do: the random generator has been restored."""

    def epoch(self) -> Iterator[Data]:
        """Batches, which are copies."""
        rows = self.data.rows
        order = self.data.order(self.rng if self.shuffle else None)
        order = np.arange(rows) if order is None else order
        starts = range(0, rows, self.batch_size)
        return (self.data.take(order, slice(start, start + self.batch_size)) for start in starts)


class Augmented(NamedTuple):
    """Batches changed by an augmentation function (X, y, rng) -> (X, y) and checked again."""

    batches: Stream | Slices
    augment: Callable[..., Any]
    rng: "np.random.Generator"
    check: Check

    def epoch(self) -> Iterator[Data]:
        """Checked batches."""
        for k, batch in enumerate(self.batches.epoch()):
            xs, ts = (tuple(np.array(part[:]) for part in parts) for parts in (batch.xs, batch.ts))
            result = self.augment(*(parts[0] if len(parts) == 1 else parts for parts in (xs, ts)), self.rng)
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise TypeError(f"augment must return (X, y), got {type(result).__name__}")
            weights = None if batch.weights is None else checks.alone(batch.weights)
            yield self.check(*result, weights, f"{{}} of batch {k + 1} from augment")


class Seen(NamedTuple):
    """What metrics need of a batch: copies of its targets, weights and outputs, not its X."""

    ts: tuple[np.ndarray, ...]
    outs: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray | None, ...] | None

    @classmethod
    def of(cls, batch: Data, outs: tuple[np.ndarray, ...]) -> "Seen":
        """Copies, since the owner of a batch may fill its arrays again."""
        weights = batch.weights and tuple(None if w is None else w.copy() for w in batch.weights)
        return cls(tuple(t.copy() for t in batch.ts), outs, weights)


def joined(parts: list[Seen]) -> Seen:
    """Targets, outputs and weights of all batches."""
    if len(parts) == 1:
        return parts[0]
    ts, ys = (tuple(map(np.concatenate, zip(*arrays, strict=True))) for arrays in list(zip(*parts, strict=True))[:2])
    if all(part.weights is None for part in parts):
        return Seen(ts, ys, None)
    return Seen(ts, ys, tuple(_weights(parts, k, Y.dtype) for k, Y in enumerate(ys)))


def _weights(parts, k, dtype):
    """The weights of an output in all batches: of the targets' shape if they have it in one batch."""
    given = [None if part.weights is None else part.weights[k] for part in parts]
    of_values = any(w is not None and w.ndim == 2 for w in given)
    shapes = [part.ts[k].shape if of_values else part.ts[k].shape[:1] for part in parts]
    found = [np.ones(shape, dtype) if w is None else w for w, shape in zip(given, shapes, strict=True)]
    if of_values:
        found = [np.broadcast_to(w.reshape(len(w), -1), s) for w, s in zip(found, shapes, strict=True)]
    return np.concatenate(found)
