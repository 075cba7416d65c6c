"""The metrics of a training run, each with the output that it measures."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastbp._typing import MetricsLike
from fastbp.inputs import checks
from fastbp.losses.loss import Loss
from fastbp.metrics.metric import METRICS, Metric, Reading
from fastbp.training.objective import Objective


class Measured(NamedTuple):
    """A metric, the number of the output it measures, and how the loss reads that output."""

    function: Any
    output: int
    reading: Reading

    def of(self, y: np.ndarray, output: np.ndarray, weights: np.ndarray | None) -> float:
        """The metric's value, NaN if no target is known; a user's function gets no weights."""
        if not len(y):
            return np.nan
        if not isinstance(self.function, Metric):
            return float(self.function(y, output))
        return self.function.measure(y, output, weights if self.function.settings["weighted"] else None, self.reading)

    @property
    def adds_up(self) -> bool:
        """Whether the metric can be computed from sums over batches."""
        return isinstance(self.function, Metric) and self.function.adds_up

    def sums(self, y: np.ndarray, output: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """The summands of a batch; None if nothing in it has weight."""
        weights = weights if self.function.settings["weighted"] else None
        return self.function.sums(y, output, weights, self.reading) if len(y) else None

    def try_on(self, y: np.ndarray, width: int) -> None:
        """Raise if the metric does not suit targets of this form with outputs of this width; it is tried on zeros."""
        for rows in (min(len(y), 2), len(y)):
            try:
                self.of(np.broadcast_to(y.dtype.type(0), (rows, *y.shape[1:])), np.zeros((rows, width)), None)
            except ValueError:
                if rows == len(y):  # raised only for all rows, so that the error names their number
                    raise
            else:
                return


def resolve_metrics(metrics: MetricsLike, objective: Objective) -> dict[str, Measured]:
    """The metrics of a network's outputs by their displayed names.

    With several outputs there is a list of metrics for each, and their names are prefixed by the output's name.
    """
    nodes = objective.nodes
    if len(nodes) > 1 and not metrics:
        return {}
    found = []
    lists = checks.one_each(metrics, len(nodes), "metrics")
    for k, (wanted, loss, node) in enumerate(zip(lists, objective.losses, nodes, strict=True)):
        prefix = f"{node.name}_" if len(nodes) > 1 else ""
        for name, function in _named(wanted):
            metric = Measured(function, k, _reading(loss))
            if isinstance(function, Metric):  # the call below raises before training if the metric does not fit
                targets = node.width // (loss.outputs_a_target(node.width) if isinstance(loss, Loss) else 1)
                metric.of(np.zeros((2, targets)), np.zeros((2, node.width)), None)
            found.append((prefix + name, metric))
    checks.distinct([name for name, _ in found], "the metric")
    return dict(found)


def _named(metrics):
    if isinstance(metrics, (str, dict)) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be a list of names or functions, got {metrics!r}")
    for metric in metrics:
        found = METRICS.resolve(metric)
        yield found.name if isinstance(found, Metric) else found.__name__, found


def _reading(loss):
    """How a loss interprets outputs; under a loss in Python, outputs are predictions or probabilities."""
    if not isinstance(loss, Loss):
        return Reading(logits=False, multilabel=False)
    margins = loss.row.whole
    logits = loss.takes_shares or margins
    return Reading(logits, logits and not loss.row.labels, not margins, loss.settings["mask_nan"], loss.predicted)
