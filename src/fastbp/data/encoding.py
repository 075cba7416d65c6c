"""The encoding of a table: from its cells to the inputs of a network, and from the outputs to predictions.

Numeric columns are standardized by mean and standard deviation of the training rows; categorical columns are one-hot
encoded; the target becomes class indices or a standardized number. The encoding is stored as JSON in the model file, so
that a prediction needs only the model file and new rows. Rejected: a pickled pipeline, which runs code when loaded.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from fastbp.data import csv_file
from fastbp.data.csv_file import Table, quoted
from fastbp.errors import ModelFormatError

METADATA_KEY = "fastbp.table"  # of the model file
MAX_VALUES = 1000  # different texts in a column; more is a name or a free text rather than a category
MAX_CLASSES = 20  # different whole numbers in a target that are taken for classes unless told otherwise
ROWS_A_CLASS = 2  # on average, for the same
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True)
class Number:
    """A numeric column, standardized: (x - mean) / std."""

    name: str
    mean: float
    std: float

    def __post_init__(self):
        _check(isinstance(self.name, str), "a name is not text")
        _check(all(isinstance(x, float) and math.isfinite(x) for x in (self.mean, self.std)), "not finite")
        _check(self.std > 0, "std is not positive")

    @classmethod
    def fit(cls, name: str, values: np.ndarray) -> "Number":
        values = values[~np.isnan(values)]
        size = float(np.abs(values).max(initial=0.0)) or 1.0  # taken out, so that no square overflows
        mean, std = (float(f(values / size)) if values.size else 0.0 for f in (np.mean, np.std))
        varies = std > 1e-12 and std * size > 0  # else the numbers are equal but for rounding
        return cls(name, mean * size, std * size if varies else 1.0)

    @property
    def width(self) -> int:
        return 1

    def encode(self, table: Table, missing: str) -> np.ndarray:
        values = table.numbers(self.name)
        gaps = np.flatnonzero(np.isnan(values))
        if gaps.size and missing == "error":
            fault = "a number is missing (training with --missing mean fills such gaps)"
            raise table.error(gaps[0], self.name, fault)
        values[gaps] = self.mean
        return self.standardise(table, values)

    def standardise(self, table: Table, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            rows = ((values - self.mean) / self.std)[:, None].astype(np.float32)
        beyond = np.flatnonzero(~np.isfinite(rows))
        if beyond.size:
            value = table.columns[self.name][beyond[0]]
            raise table.error(beyond[0], self.name, f"{value!r} is too far from the mean, {self.mean:g}")
        return rows

    def describe(self) -> str:
        return f"number, mean {self.mean:.4g}, std {self.std:.4g}"


@dataclass(frozen=True)
class Text:
    """A categorical column of text: one-hot, or classes."""

    name: str
    values: tuple[str, ...]

    def __post_init__(self):
        _check(isinstance(self.name, str), "a name is not text")
        _check(bool(self.values), "there are no values")
        _check(all(isinstance(value, str) for value in self.values), "a value is not text")
        _check(len(set(self.values)) == len(self.values), "a value comes twice")

    @classmethod
    def fit(cls, table: Table, name: str, cells: Sequence[str]) -> "Text":
        values = set(cells)
        if len(values) > MAX_VALUES:
            what = f"{table.path}: column {name!r} has {len(values)} different values"
            raise ValueError(f"{what}, at most {MAX_VALUES} can be told apart (--ignore leaves a column out)")
        return cls(name, tuple(sorted(values, key=_numbers_first)))

    @property
    def width(self) -> int:
        return len(self.values)

    def encode(self, table: Table, missing: str) -> np.ndarray:
        numbers = {value: k for k, value in enumerate(self.values)}
        rows = np.zeros((len(table), self.width), dtype=np.float32)
        for row, cell in enumerate(table.columns[self.name]):
            if cell not in numbers:
                raise table.error(row, self.name, f"{cell!r} is unknown; known: {quoted(self.values)}")
            rows[row, numbers[cell]] = 1
        return rows

    def describe(self) -> str:
        return f"text, {quoted(self.values, 6)}"


@dataclass(frozen=True)
class Encoding:
    """The columns a net reads, and the one it predicts."""

    features: tuple[Number | Text, ...]
    target: Number | Text
    missing: str = "error"

    def __post_init__(self):
        _check(bool(self.features), "there are no features")
        names = [column.name for column in (*self.features, self.target)]
        _check(len(set(names)) == len(names), "a name comes twice")
        _check(self.missing in ("error", "mean"), "missing is neither error nor mean")

    @property
    def task(self) -> str:
        return "classification" if isinstance(self.target, Text) else "regression"

    @property
    def width(self) -> int:
        return sum(column.width for column in self.features)

    def encode(self, table: Table) -> np.ndarray:
        """What the net sees: float32 (rows, width). Columns it does not know are left alone."""
        table.require(column.name for column in self.features)
        return np.hstack([column.encode(table, self.missing) for column in self.features])

    def decode(self, Y: np.ndarray) -> dict[str, np.ndarray | list[str]]:
        """The net's outputs as columns: the prediction and, for classes, the probability of each."""
        if isinstance(self.target, Number):
            return {"prediction": Y[:, 0].astype(np.float64) * self.target.std + self.target.mean}
        shares = np.exp(Y - Y.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        labels = [self.target.values[k] for k in Y.argmax(axis=1)]
        names = [f"probability_{value}" for value in self.target.values]
        return {"prediction": labels, **dict(zip(names, shares.T, strict=True))}

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Encoding":
        """Read what `to_json` wrote; ModelFormatError for anything else."""
        try:
            fields = json.loads(text)
            features = tuple(_column(column) for column in fields["features"])
            return cls(features, _column(fields["target"]), fields["missing"])
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelFormatError(f"the table's encoding is damaged: {error}") from None


class Prepared(NamedTuple):
    """A table ready for training: X and y of all rows, and which rows train and which are held out."""

    encoding: Encoding
    X: np.ndarray
    y: np.ndarray
    train: np.ndarray
    held_out: np.ndarray


def prepare(
    table: Table,
    target: str,
    *,
    task: str = "auto",
    missing: str = "error",
    validation: float = 0.2,
    seed: int = 0,
    ignore: Sequence[str] = (),
    text: Sequence[str] = (),
) -> Prepared:
    """Fit an encoding to a table and apply it.

    Parameters
    ----------
    table : Table
        With the target among its columns; all others, but those ignored, are features.
    target : str
        The column to predict.
    task : {"auto", "classification", "regression"}, default="auto"
        "auto" is classification for a target of text, and for one of whole numbers if there are at most 20
        different ones and on average at least two rows of each; else regression.
    missing : {"error", "mean"}, default="error"
        What a gap in a feature of numbers does: raise, or take the mean of the training rows.
    validation : float, default=0.2
        Share of the rows to hold out, 0 <= validation < 1; of each class alike.
    seed : int, default=0
        Of the choice of these rows.
    ignore, text : sequence of str, default=()
        Columns to leave out, and features to take as text whatever they look like.

    Returns
    -------
    Prepared
        X is float32; y int64 class numbers of shape (rows,), or float32 of shape (rows, 1).
    """
    table.require([target, *ignore, *text])
    if target in ignore:
        raise ValueError(f"column {target!r} is the target and cannot be ignored")
    names = [name for name in table.columns if name != target and name not in ignore]
    if not names:
        raise ValueError(f"{table.path} has no column besides the target to learn from")

    values = _target_values(table, target, task, target in text)
    if isinstance(values, list):
        column = Text.fit(table, target, values)
        number = {label: k for k, label in enumerate(column.values)}
        y = np.array([number[label] for label in values], dtype=np.int64)
        train, held_out = hold_out(y, validation, seed)
    else:
        train, held_out = hold_out(np.zeros(len(table), dtype=np.int64), validation, seed)
        column = Number.fit(target, values[train])
        y = column.standardise(table, values)
    features = tuple(_fit_feature(table, name, train, name in text) for name in names)
    encoding = Encoding(features, column, missing)
    return Prepared(encoding, encoding.encode(table), y, train, held_out)


def hold_out(groups: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose rows to hold out, the same share of each group as nearly as can be.

    Parameters
    ----------
    groups : numpy.ndarray
        Shape (rows,): the number of each row's group. Each group keeps a row to train on.
    fraction : float
        Share of the rows, 0 <= fraction < 1; above 0 it means one row at least.
    seed : int
        Of the choice.

    Returns
    -------
    train, held_out : numpy.ndarray
        Row numbers, ascending.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.data.encoding import hold_out
    >>> train, held_out = hold_out(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    >>> len(train), len(held_out)
    (6, 2)
    """
    rows = len(groups)
    if fraction == 0:
        return np.arange(rows), np.arange(0)
    order = np.random.default_rng(seed).permutation(rows)
    order = order[np.argsort(groups[order], kind="stable")]
    spare = order[1:][groups[order[1:]] == groups[order[:-1]]]  # without the first of each group
    if not spare.size:
        raise ValueError(f"{rows} rows are too few to hold some out (--validation 0 trains on all)")
    wanted = min(max(1, round(fraction * rows)), spare.size)
    # Evenly spaced over the rows sorted by group, so that each group gives its share.
    held_out = np.sort(spare[((np.arange(wanted) + 0.5) * spare.size / wanted).astype(np.int64)])
    return np.setdiff1d(np.arange(rows), held_out), held_out


def _target_values(table: Table, name: str, task: str, as_text: bool) -> list[str] | np.ndarray:
    """The target as labels for classification, as numbers for regression."""
    if task == "regression" or (not as_text and table.holds_numbers(name)):
        values = table.numbers(name)
        gaps = np.flatnonzero(np.isnan(values))
        labels = None
        if not gaps.size and (task == "classification" or (task == "auto" and _look_like_classes(values))):
            labels = [_label(value) for value in values.tolist()]
    else:
        labels = table.columns[name]
        gaps = [row for row, cell in enumerate(labels) if not cell]
    if len(gaps):
        raise table.error(gaps[0], name, "the target has no value there")
    wanted = values if labels is None else labels
    if len(set(wanted)) == 1:
        raise table.error(0, name, f"the target is {table.columns[name][0]!r} in every row: nothing to learn")
    return wanted


def _look_like_classes(values: np.ndarray) -> bool:
    if not np.array_equal(values, np.round(values)):
        return False
    different = len(np.unique(values))
    return different <= MAX_CLASSES and different * ROWS_A_CLASS <= len(values)


def _label(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _fit_feature(table: Table, name: str, train: np.ndarray, as_text: bool) -> Number | Text:
    if not as_text and table.holds_numbers(name):
        return Number.fit(name, table.numbers(name)[train])
    return Text.fit(table, name, table.columns[name])


def _numbers_first(text: str) -> tuple[float, str]:
    """Sorts 2 before 10, and what is no number after all numbers."""
    number = csv_file.number(text)
    return (math.inf if number is None or math.isnan(number) else number), text


def _column(fields: dict) -> Number | Text:
    if fields.keys() == {"name", "mean", "std"}:
        return Number(**fields)
    if fields.keys() == {"name", "values"} and isinstance(fields["values"], list):
        return Text(fields["name"], tuple(fields["values"]))
    raise ValueError("a column is neither of numbers nor of text")


def _check(good: bool, fault: str) -> None:
    if not good:
        raise ValueError(fault)
