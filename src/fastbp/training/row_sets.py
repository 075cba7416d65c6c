"""Named row sets: rows of several kinds in one training run, each kind with the outputs that count for it.

A step takes a batch of each set and adds up the gradients of programs that compute only what the set's outputs need.
Rejected: one batch of all rows with missing targets, which would compute every output for every row.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastbp import _engine
from fastbp.data.batches import Data
from fastbp.data.streams import NO_ROWS
from fastbp.inputs import checks
from fastbp.layers.node import Node
from fastbp.losses import loss_checks
from fastbp.training import training_data
from fastbp.training.batch_runner import BatchRunner
from fastbp.training.fit import Calls, Fit, Position
from fastbp.training.objective import amounts, counted, mean_of_batches
from fastbp.training.stream_fit import StreamFit

# Arguments of a fit that cannot be combined with row sets, and why.
NOT_FOR_SETS = {
    "sample_weight": "the third thing of a set is its weight",
    "class_weight": "the third thing of a set is its weight",
    "steps_per_epoch": "an epoch is all their rows",
    "augment": "a function (rng) -> (X, targets) draws a set anew for each epoch",
    "validation_steps": "all rows are evaluated",
}


class RowSet(NamedTuple):
    """Checked rows of one kind: `outputs` has the numbers of the outputs that count, each with targets and a term."""

    name: str
    outputs: tuple[int, ...]
    xs: tuple[np.ndarray, ...]
    ts: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...] | None
    terms: tuple[_engine.Term, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.xs[0])

    def take(self, rows: Any) -> "RowSet":
        """A set of only these rows."""
        weights = None if self.weights is None else tuple(A[rows] for A in self.weights)
        return self._replace(xs=tuple(A[rows] for A in self.xs), ts=tuple(A[rows] for A in self.ts), weights=weights)


class RowSets:
    """The sets of a fit: a dict from names to (X, targets), (X, targets, weight) or functions of a generator.

    Arrays are checked when the fit begins; rows drawn by a function, at the beginning of each epoch.
    """

    def __init__(
        self, runner: BatchRunner, sets: Mapping[str, Any], what: str, check_finite: bool = True, trains: bool = True
    ):
        self.names = tuple(checks.as_name(name, f"a row set of {what}") or "" for name in sets)
        if not self.names:
            raise ValueError(f"{what} has no row set")
        self.runner, self.what, self.check_finite, self.trains = runner, what, check_finite, trains
        if runner.objective.terms is None:
            raise ValueError("row sets want losses of fastbp's own, no Python function")
        if runner.metrics:
            raise ValueError("metrics are for arrays; row sets have a loss each in the history")
        self._sets = {name: value if callable(value) else self._checked(name, value) for name, value in sets.items()}

    def drawn(self, rng: np.random.Generator) -> list[RowSet]:
        """The sets for an epoch."""
        given = self._sets.items()
        return [value if isinstance(value, RowSet) else self._checked(name, value(rng)) for name, value in given]

    def _checked(self, name, given):
        place = f"{self.what}[{name!r}]"
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise TypeError(f"{place} must be (X, targets) or (X, targets, weight), got {type(given).__name__}")
        X, y, weight = (*given, None)[:3]
        net, objective = self.runner.net, self.runner.objective
        xs = net.as_inputs(X, self.check_finite, f"X of {place}")
        rows, factor, targets = len(xs[0]), 1.0, self._targets(y, place)
        if weight is not None and np.ndim(weight) == 0:
            factor, weight = checks.in_range(weight, f"the weight of {place}", 0.0), None
        ts, weights, terms = [], [], []
        for k, target in targets.items():
            loss, node, part = objective.losses[k], net.outputs[k], f"the target {net.outputs[k].name} of {place}"
            if np.ndim(target) == 0:
                target = np.full((rows, node.width // loss.outputs_a_target(node.width)), target)
            ts.append(loss.targets(target, rows, node.width, net.dtype, part))
            if weight is not None:
                weights.append(loss_checks.as_weights(weight, ts[-1], net.dtype, f"the weight of {place}"))
            terms.append((objective.shares[k] * factor * loss).term(node.width, net.dtype))
            terms[-1].weighted_mean = not self.trains
        return RowSet(name, tuple(targets), xs, tuple(ts), tuple(weights) if weights else None, tuple(terms))

    def _targets(self, y, place):
        """The targets by output number, from a dict by names or nodes, or from the targets of a single output."""
        outputs = self.runner.net.outputs
        if not isinstance(y, Mapping):
            if len(outputs) > 1:
                names = ", ".join(str(node.name) for node in outputs)
                raise TypeError(f"the targets of {place} must be a dict by the outputs {names}, got {type(y).__name__}")
            return {0: y}
        if not y:
            raise ValueError(f"{place} has no target")
        names = [node.name for node in outputs]
        found = {}
        for key, target in y.items():
            name = key.name if isinstance(key, Node) and key in outputs else key
            found[names.index(checks.one_of(name, f"output in the targets of {place}", names))] = target
        return dict(sorted(found.items()))

    def evaluated(self, threads: int | None = None) -> dict[str, float]:
        """The loss, and the loss of each set, without dropout; functions get a generator of their own."""
        values = {}
        for each in self.drawn(np.random.default_rng(self.runner.net.seed)):
            ys = self.runner.net.programs.predict(each.xs, threads)
            weights = each.weights or (None,) * len(each.ts)
            parts = zip(each.terms, each.outputs, each.ts, weights, strict=True)
            losses = np.array([[_engine.loss(term, ys[k], t, w)[0] for term, k, t, w in parts]])
            sums = counted(self.amounts(each), len(each.ts), (np.array([0]), np.array([each.rows])))
            values[f"{each.name}_loss"] = mean_of_batches(losses, np.repeat(sums[:, 1:], 2, axis=1))
        return {"loss": sum(values.values()), **values}

    def amounts(self, each: RowSet) -> np.ndarray | None:
        """`objective.amounts` of the losses of a set."""
        losses = tuple(self.runner.objective.losses[k] for k in each.outputs)
        return amounts(losses, each.ts, each.weights)

    def loss_names(self) -> list[str]:
        """The names in the logs of `evaluated` and of an epoch."""
        return ["loss", *(f"{name}_loss" for name in self.names)]


class RowSetsFit(Fit):
    """A fit on row sets: a step takes a batch of each.

    An epoch has as many batches as all rows together need. Each set is spread evenly over the batches; a set with fewer
    rows than there are batches is used whole in each batch.
    """

    def __init__(self, runner: BatchRunner, rng: np.random.Generator, sets: RowSets, validation: Any, *rest: Any):
        super().__init__(runner, rng, NO_ROWS, validation, *rest)
        self._sets = sets
        self._each = np.empty((0, *self._of_batch))

    @property
    def _of_batch(self):
        return len(self._sets.names), len(self.runner.net.outputs)

    def trained(self, epoch: int) -> Calls[tuple[dict[str, float], int]]:
        """Go through the rows once; return the losses of the epoch and the number of rows done."""
        yield from ()  # `_step` calls the engine itself
        sets = self._sets.drawn(self.rng)
        count = math.ceil(sum(each.rows for each in sets) / self.batch_size)
        sets = [each.take(self.rng.permutation(each.rows)) if self.shuffle else each for each in sets]
        edges = np.array([_edges(each.rows, count) for each in sets])
        outputs = [list(each.outputs) for each in sets]
        sizes = (edges[:, 1] - edges[:, 0]).T
        stored, losses = self._each[: self._skip], np.zeros((count, *self._of_batch))
        if len(stored) > count:
            raise ValueError(f"an epoch has {count} batches here; the checkpoint was written after {len(stored)}")
        losses[: len(stored)] = stored
        self._each, self._batch, self._skip = losses, self._skip, 0
        while self._batch < count and not self.callbacks.stopped:
            k = self._batch
            found = self._step([each.take(slice(*edges[s, :, k])) for s, each in enumerate(sets)], epoch)
            for s, own in enumerate(found):
                losses[k, s, outputs[s]] = own
            self._batch = k + 1
            loss = float(losses[k].sum())
            self.callbacks.batches_done(1, k, loss)
            self.callbacks.call("on_tick", int(sizes[: k + 1].sum()), {"loss": loss})
        done = self._batch
        means = [
            mean_of_batches(
                losses[:done, s, outputs[s]],
                counted(self._sets.amounts(each), len(outputs[s]), tuple(edges[s, :, :done])),
            )
            for s, each in enumerate(sets)
        ]
        logs = dict(zip(self._sets.loss_names(), [sum(means), *means], strict=True))
        return logs, int(sizes[:done].sum())

    def _step(self, parts, epoch):
        runner = self.runner
        chain, t = runner.chain, runner.chain.t
        rate = runner.optimizer.next_rate(t)
        losses, status = runner.net.programs.step_on([part[1:] for part in parts], chain, rate, self.threads)
        if status:
            place = f" (epoch {epoch + 1}, batch {self._batch + 1})"
            raise runner.diverged(status, sum(map(sum, losses)), t + 1, place)
        return losses

    def validated(self, epoch: int) -> dict[str, float]:
        """Losses of the validation data, in epochs that evaluate it."""
        if not isinstance(self.validation, RowSets):
            return super().validated(epoch)
        if (epoch + 1) % self.validation_freq:
            return {}
        return {f"val_{name}": value for name, value in self.validation.evaluated(self.threads).items()}

    # Position

    def _setting(self):
        return {"row_sets": list(self._sets.names), "batch_size": self.batch_size, "shuffle": bool(self.shuffle)}

    def position(self, steps: int | None = None) -> Position:
        """The current position of the fit, for a checkpoint; each call of the engine trains one batch."""
        return super().position()

    def _within(self, batch):
        return {"fit.each_loss": self._each[:batch]}

    def _go_within(self, state, arrays):
        like = np.broadcast_to(np.zeros(()), (state["batch"], *self._of_batch))
        self._each = checks.as_stored(arrays["fit.each_loss"], like, "fit.each_loss")


def _edges(rows, count):
    """The edges of the parts of a set, one part for each batch."""
    if rows < count:
        return np.zeros(count, np.intp), np.full(count, rows)
    edges = np.arange(count + 1) * rows // count
    return edges[:-1], edges[1:]


def data_of(
    runner: BatchRunner,
    X: Any,
    y: Any,
    weights: tuple[Any, Any],
    check_finite: bool,
    steps: Any,
    augment: Any,
    held_out: tuple[Any, Any],
) -> tuple:
    """Check the data of a fit (arrays, batches or row sets) and its validation data.

    `weights` are sample_weight and class_weight, `held_out` validation_data and validation_steps.
    """
    validation_data, validation_steps = held_out
    if not isinstance(X, Mapping) or y is not None:
        data = training_data.to_train_on(runner.checked, X, y, *weights, check_finite, steps)
        return data, training_data.to_validate_on(runner.checked, validation_data, check_finite, validation_steps)
    others = (*weights, steps, augment, validation_steps)
    for name, given in zip(NOT_FOR_SETS, others, strict=True):
        if given is not None:
            raise ValueError(f"{name} does not go with row sets: {NOT_FOR_SETS[name]}")
    data = RowSets(runner, X, "X", check_finite)
    if isinstance(validation_data, Mapping):
        return data, RowSets(runner, validation_data, "validation_data", check_finite, trains=False)
    return data, training_data.to_validate_on(runner.checked, validation_data, check_finite, None)


def kind_of_fit(data: Any) -> Any:
    """The class of fit for the data."""
    return Fit if isinstance(data, Data) else RowSetsFit if isinstance(data, RowSets) else StreamFit


def logged(data: Any, validation: Any, metrics: Iterable[str]) -> list[str]:
    """The names in the logs of an epoch."""
    names = {"": data, "val_": validation}
    return [
        f"{prefix}{name}"
        for prefix, each in names.items()
        if each is not None
        for name in (each.loss_names() if isinstance(each, RowSets) else ["loss", *metrics])
    ]
