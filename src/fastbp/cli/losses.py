"""How each loss encodes the target of a table, and what its outputs mean; taken from the table of losses."""

import numpy as np

from fastbp import _engine
from fastbp.data.encoding import Encoding, Text

STANDARD = {"classification": "cross_entropy", "regression": "mse"}
SCORES = {"classification": "accuracy", "regression": "r2"}


def links(name: str | None) -> tuple[str | None, str | None]:
    """The meaning of outputs under a loss, for classes and for numbers; None if it does not take such targets."""
    if name is None:
        return "softmax", "identity"
    row = _engine.LOSSES[name]
    if row.labels:
        return "softmax", None
    if (row.low, row.high) == (0, 1):
        return "logit", "logit"
    if row.low == -1:
        return "score", None
    if any(parameter.name == "log_input" for parameter in row.parameters):
        return None, "log"
    if row.heads == 2:
        return None, "normal"
    return "score" if row.by_rows else None, "identity"


def check(name: str | None, columns: Encoding, y: np.ndarray) -> None:
    """Raise if the loss does not take such targets."""
    for_classes, for_numbers = links(name)
    target = columns.target
    if isinstance(target, Text):
        if for_classes is None:
            raise ValueError(f"{name} wants values, and {target.name!r} has classes (--task regression takes numbers)")
        return
    if for_numbers is None:
        raise ValueError(f"{name} wants classes, and {target.name!r} has numbers (--task classification takes classes)")
    if name is not None:
        row = _engine.LOSSES[name]
        bad = y[~((y[:, 0] >= row.low) & (y[:, 0] <= row.high))]
        if len(bad):
            wanted = f"above {0:g}" if 0 < row.low < 1e-300 else f"from {row.low:g} to {row.high:g}"
            value = target.restored(bad[0])[0]
            raise ValueError(f"column {target.name!r} has {value:g}; {name} wants numbers {wanted}")


def targets(columns: Encoding, y: np.ndarray) -> np.ndarray:
    """Targets in the form that the loss takes: one-hot for classes, unless it takes class indices."""
    if isinstance(columns.target, Text) and columns.target.link != "softmax":
        return np.eye(columns.target.width, dtype=np.float32)[y]
    return y
