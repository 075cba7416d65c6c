"""Meeting: BatchNorm's statistics of a batch that is spread over several ranks, in data parallel training."""

import numpy as np

from fastbp.distributed.ranks import Ranks


class Meeting:
    """Called by a pass at a node that couples rows: small sums over the ranks, of 2 numbers for each feature.

    A forward pass makes two sums: of the means, then of the squared deviations from the common mean. A single sum of
    squares would cancel where a mean is large relative to its standard deviation.
    """

    def __init__(self, ranks: Ranks, coupled: list[tuple[int, int]]):
        self._ranks = ranks
        forward = [(width, True) for _, width in coupled]
        self._calls = [*forward, *((width, False) for width, _ in reversed(forward))]
        self._done = 0
        self._total = 0.0

    def __call__(
        self, node: int, rows: float, first: np.ndarray, second: np.ndarray, forward: bool
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean and variance of all rows, or in the backward pass its two means; and the number of rows."""
        self._done += 1
        return self._forward(rows, first, second) if forward else self._backward(rows, first, second)

    def _forward(self, rows, mean, variance):
        summed = self._ranks.sum(np.append(rows * mean, rows))
        total = self._total = float(summed[-1])
        of_all = summed[:-1] / (total or 1.0)
        squares = self._ranks.sum(rows * (variance + (mean - of_all) ** 2))
        return of_all, squares / (total or 1.0), total

    def _backward(self, rows, first, second):
        summed = self._ranks.sum(rows * np.concatenate([first, second])) / (self._total or 1.0)
        return summed[: len(first)], summed[len(first) :], self._total

    def finish(self, failed: bool) -> None:
        """Take part in the remaining sums of this step: without rows, or after an error with NaN."""
        rows = np.nan if failed else 0.0
        for width, forward in self._calls[self._done :]:
            self(0, rows, np.zeros(width), np.zeros(width), forward)
        self._done = 0
