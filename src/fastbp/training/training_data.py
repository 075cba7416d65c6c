"""Validation of the data passed to a trainer: arrays, or streams of batches.

All data is checked before anything changes; of a stream only the first batch is, together with the metrics.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastbp.data.batches import Chosen, Data
from fastbp.data.streams import Augmented, Slices, Stream, as_batches, is_batches
from fastbp.inputs import checks
from fastbp.losses.loss import Loss
from fastbp.losses.loss_checks import MISSING
from fastbp.network.network import Network
from fastbp.training.objective import Objective

Check = Callable[..., Data]  # `checked`, of a network and an objective


def to_train_on(
    check: Check,
    X: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Any,
    check_finite: bool,
    steps: int | None,
    training: bool = True,
) -> Data | Stream:
    """Check arrays, or without y a stream of batches; they are only for evaluation if `training` is false."""
    if steps is not None and y is not None:
        raise ValueError("steps_per_epoch is for batches; of arrays an epoch is all rows")
    check = partial(check, class_weight=class_weight, check_finite=check_finite, training=training)
    if y is not None or X is None:
        return check(X, y, sample_weight)
    if sample_weight is not None:
        raise ValueError("sample_weight is for arrays; batches are (X, y, sample_weight)")
    if isinstance(class_weight, str):
        raise ValueError(f"class_weight {class_weight!r} wants all of y; for batches pass a dict")
    steps = None if steps is None else checks.positive_int(steps, "steps_per_epoch")
    return Stream(as_batches(X, "X"), partial(check, part=True), steps)


def without_rows(X: Any, y: Any) -> bool:
    """Whether a rank of a group has no rows: X is None or empty."""
    if X is None or y is None:
        return X is None and y is None
    first = X[0] if isinstance(X, tuple) else X
    return len(first) == 0 if hasattr(first, "__len__") else False


def to_validate_on(check: Check, data: Any, check_finite: bool, steps: int | None) -> Data | Stream | None:
    """Check validation data: arrays, or a stream of batches."""
    batches = data is not None and is_batches(data)
    if steps is not None and not batches:
        raise ValueError("validation_steps is for validation data in batches; of arrays all rows are evaluated")
    if data is None:
        return None
    check = partial(check, check_finite=check_finite)
    if batches:
        steps = None if steps is None else checks.positive_int(steps, "validation_steps")
        return Stream(data, partial(check, part=True), steps, "validation ")
    return check(*checks.as_validation(data), "validation {}")


def augmented(
    data: Data | Stream,
    augment: Any,
    batch_size: int,
    shuffle: bool,
    rng: np.random.Generator,
    check: Check,
    check_finite: bool,
) -> Augmented:
    """Batches that a user's function changes."""
    slices = Slices(data, batch_size, shuffle, rng) if isinstance(data, Data) else data
    check = partial(check, check_finite=check_finite, part=True)
    return Augmented(slices, checks.as_callable(augment, "augment"), rng, check)


def checked(
    net: Network,
    objective: Objective,
    X: Any,
    y: Any,
    sample_weight: Any,
    name: str,
    class_weight: Any,
    check_finite: bool,
    part: bool = False,
    training: bool = False,
) -> Data:
    """Check arrays, or a part of the data, against a network and its objective."""
    X, chosen = X if isinstance(X, Chosen) else (X, None)
    xs = net.as_sources(X, check_finite, name.format("X"))
    rows = len(xs[0])
    ts = objective.targets(y, rows, name.format("y"))
    weights = objective.weights(sample_weight, ts, name.format("sample_weight"), part=part, training=training)
    if class_weight is not None:
        weights = weighted_by_class(class_weight, objective, ts, weights, net.dtype, part, chosen)
    return Data(xs, ts, weights, chosen)


def weighted_by_class(
    class_weight,
    objective: Objective,
    ts: tuple,
    weights: tuple | None,
    dtype: np.dtype,
    part: bool,
    chosen: np.ndarray | None = None,
) -> tuple:
    """The weights times the weight of each row's class; `class_weight` is a dict from label to weight or "balanced"."""
    labels, classes = _labels(objective, ts)
    if isinstance(class_weight, str) and class_weight == "balanced":
        seen = labels if chosen is None else labels[chosen]
        counts = np.bincount(seen[seen != MISSING], minlength=classes)
        of_class = counts.sum() / (max(1, np.count_nonzero(counts)) * np.maximum(counts, 1))
    else:
        of_class = checks.as_class_weight(class_weight, classes)
    of_row = of_class[labels] if weights is None else (of_class[labels] * weights[0].T).T
    return (checks.as_weights(of_row, of_row.shape, dtype, "class_weight by row", part=part),)


def _labels(objective, ts):
    """The label of each row, or MISSING, and the number of classes; raises unless there is one label per row."""
    loss, t, width = objective.losses[0], ts[0], objective.nodes[0].width
    if len(ts) == 1 and isinstance(loss, Loss):
        if t.ndim == 1:
            return t, width
        labels = np.where(np.isnan(t), MISSING, t)[:, 0]
        if loss.takes_shares and width == 1 and np.isin(labels, (0, 1, MISSING)).all():
            return labels.astype(np.int64), 2
    raise ValueError("class_weight wants one output with a class label in each row of y")
