"""The encoding of a table: from its cells to the inputs of a network, and from the outputs to predictions.

Numeric columns are standardized by mean and standard deviation of the training rows; categorical columns are one-hot
encoded; the target becomes class indices or a standardized number. The encoding is stored as JSON in the model file, so
that a prediction needs only the model file and new rows. Rejected: a pickled pipeline, which runs code when loaded.
"""

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from fastbp.data import labels, number_text, splitting
from fastbp.data.csv_file import Table, TableWarning, quoted
from fastbp.data.number_text import PLAIN, Form
from fastbp.errors import ModelFormatError

METADATA_KEY = "fastbp.table"  # in the model file
MAX_VALUES = 1000  # different texts in a column; with more, it holds names or free text rather than categories
MANY_VALUES = 50  # different texts of a feature, above which a warning is given
TASKS = ("auto", "classification", "regression")
UNKNOWN = ("other", "error")


@dataclass(frozen=True)
class Number:
    """A column of numbers, standardised: (x - mean) / std; `form` is how they are written.

    `link` says what the outputs mean if this column is the target: the standardised number, its mean and the log of its
    variance (normal), the log of the number over std (log), or the logit of a share (logit).
    """

    name: str
    mean: float
    std: float
    form: Form = PLAIN
    link: str = "identity"

    def __post_init__(self):
        _check(isinstance(self.name, str), "a name is not text")
        _check(all(isinstance(x, float) and math.isfinite(x) for x in (self.mean, self.std)), "not finite")
        _check(self.std > 0, "std is not positive")
        _check(self.form.decimal in ("", ".", ",") and isinstance(self.form.unit, str), "no such form of numbers")
        _check(self.link in ("identity", "normal", "log", "logit"), "no such link")

    @classmethod
    def fit(cls, name: str, values: np.ndarray, form: Form = PLAIN, link: str = "identity") -> "Number":
        values = values[~np.isnan(values)]
        if link == "logit":
            return cls(name, 0.0, 1.0, form, link)
        size = float(np.abs(values).max(initial=0.0)) or 1.0  # divided out, so that no square overflows
        mean, std = (float(f(values / size)) if values.size else 0.0 for f in (np.mean, np.std))
        if link == "log":
            return cls(name, 0.0, mean * size if mean > 0 else 1.0, form, link)
        varies = std > 1e-12 and std * size > 0  # else the numbers are equal up to rounding
        return cls(name, mean * size, std * size if varies else 1.0, form, link)

    @property
    def width(self) -> int:
        return 2 if self.link == "normal" else 1

    def encode(self, table: Table, missing: str, unknown: str = "error") -> np.ndarray:
        values = table.numbers(self.name, self.form)
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
            value = table.columns[self.name][int(beyond[0])]
            raise table.error(beyond[0], self.name, f"{value!r} is too far from the mean, {self.mean:g}")
        return rows

    def decode(self, Y: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of a prediction from the net's outputs."""
        Y = Y.astype(np.float64)
        if self.link == "log":
            return {"prediction": np.exp(Y[:, 0]) * self.std}
        if self.link == "logit":
            return {"prediction": _sigmoid(Y[:, 0])}
        columns = {"prediction": Y[:, 0] * self.std + self.mean}
        return {**columns, "std": np.exp(Y[:, 1] / 2) * self.std} if self.link == "normal" else columns

    def restored(self, y: np.ndarray) -> np.ndarray:
        """The numbers that were encoded, as the file has them."""
        return y.reshape(-1).astype(np.float64) * self.std + self.mean

    def describe(self) -> str:
        return f"number{self.form.describe()}, mean {self.mean:.4g}, std {self.std:.4g}"


@dataclass(frozen=True)
class Text:
    """A column of text with a fixed set of values: one-hot, or classes.

    `link` says what the outputs mean if this column is the target: logits of a softmax or of sigmoids, or plain scores.
    """

    name: str
    values: tuple[str, ...]
    link: str = "softmax"

    def __post_init__(self):
        _check(isinstance(self.name, str), "a name is not text")
        _check(bool(self.values), "there are no values")
        _check(all(isinstance(value, str) for value in self.values), "a value is not text")
        _check(len(set(self.values)) == len(self.values), "a value comes twice")
        _check(self.link in ("softmax", "logit", "score"), "no such link")

    @classmethod
    def fit(cls, table: Table, name: str, values: Sequence[str], link: str = "softmax") -> "Text":
        if len(values) > MAX_VALUES:
            what = f"{table.path}: column {name!r} has {len(values)} different values"
            raise ValueError(f"{what}, at most {MAX_VALUES} can be told apart (--ignore leaves a column out)")
        return cls(name, tuple(sorted(values, key=_numbers_first)), link)

    @property
    def width(self) -> int:
        return len(self.values)

    def encode(self, table: Table, missing: str, unknown: str = "error") -> np.ndarray:
        codes, texts = table.columns[self.name].codes()
        numbers = {value: k for k, value in enumerate(self.values)}
        found = np.array([numbers.get(text, -1) for text in texts], dtype=np.int64)[codes]
        new = np.flatnonzero(found < 0)
        if new.size:
            cell = table.columns[self.name][int(new[0])]
            if unknown == "error":
                raise table.error(new[0], self.name, f"{cell!r} is unknown; known: {quoted(self.values)}")
            others = quoted([text for text in texts if text not in numbers], 6)
            what = f"{new.size} of {len(table)} rows have a value that training has not seen ({others})"
            warnings.warn(TableWarning(f"{table.path}, column {self.name!r}: {what}; read as other"), stacklevel=2)
        rows = np.zeros((len(table), self.width), dtype=np.float32)
        seen = np.flatnonzero(found >= 0)
        rows[seen, found[seen]] = 1
        return rows

    def decode(self, Y: np.ndarray) -> dict[str, np.ndarray | list[str]]:
        """The columns of a prediction from the net's outputs: labels, and a probability or score of each."""
        chosen = [self.values[k] for k in Y.argmax(axis=1)]
        word, shares = "probability", Y
        if self.link == "score":
            word = "score"
        elif self.link == "logit":
            shares = _sigmoid(Y.astype(np.float64))
            shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        else:
            shares = np.exp(Y - Y.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
        names = [f"{word}_{value}" for value in self.values]
        return {"prediction": chosen, **dict(zip(names, shares.T, strict=True))}

    def describe(self) -> str:
        return f"text, {quoted(self.values, 6)}"


@dataclass(frozen=True)
class Encoding:
    """The columns that a net reads, and the column that it predicts.

    `missing` says how a missing number is treated, `unknown` how a text that training has not seen; `na` has the texts
    that stand for no value, if they are not the standard ones.
    """

    features: tuple[Number | Text, ...]
    target: Number | Text
    missing: str = "error"
    unknown: str = "error"
    na: tuple[str, ...] | None = None

    def __post_init__(self):
        _check(bool(self.features), "there are no features")
        names = [column.name for column in (*self.features, self.target)]
        _check(len(set(names)) == len(names), "a name comes twice")
        _check(self.missing in ("error", "mean"), "missing is neither error nor mean")
        _check(self.unknown in UNKNOWN, "unknown is neither other nor error")
        _check(self.na is None or all(isinstance(text, str) for text in self.na), "na is not text")

    @property
    def task(self) -> str:
        return "classification" if isinstance(self.target, Text) else "regression"

    @property
    def width(self) -> int:
        return sum(column.width for column in self.features)

    def encode(self, table: Table, unknown: str | None = None) -> np.ndarray:
        """The net's inputs: float32 (rows, width). Columns that the encoding does not know are ignored."""
        table.require(column.name for column in self.features)
        return np.hstack([column.encode(table, self.missing, unknown or self.unknown) for column in self.features])

    def decode(self, Y: np.ndarray) -> dict:
        """The net's outputs as columns: the prediction and, for classes, the probability of each."""
        return dict(self.target.decode(Y))

    def to_json(self) -> str:
        return json.dumps(asdict(self, dict_factory=_without_standards), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Encoding":
        """Read what `to_json` wrote; ModelFormatError for anything else."""
        try:
            fields = json.loads(text)
            features = tuple(_column(column) for column in fields["features"])
            na = fields.get("na")
            _check(na is None or isinstance(na, list), "na is no list")
            na = None if na is None else tuple(na)
            return cls(features, _column(fields["target"]), fields["missing"], fields.get("unknown", "error"), na)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelFormatError(f"the table's encoding is damaged: {error}") from None


STANDARDS = (("form", PLAIN), ("link", "identity"), ("link", "softmax"), ("unknown", "error"), ("na", None))


def _without_standards(pairs):
    """The fields that differ from the standards, so that a file that uses no newer setting stays as it was."""
    return {name: value for name, value in pairs if (name, value) not in STANDARDS}


class Prepared(NamedTuple):
    """A table ready for training: X and y of all rows, and which rows train and which are held out."""

    encoding: Encoding
    X: np.ndarray
    y: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    weights: np.ndarray | None = None
    dropped: int = 0  # rows without a target


def prepare(
    table: Table,
    target: str,
    *,
    task: str = "auto",
    missing: str = "error",
    validation: float | Table = 0.2,
    seed: int = 0,
    ignore: Sequence[str] = (),
    text: Sequence[str] = (),
    weight: str | None = None,
    drop_gaps: bool = False,
    unknown: str = "other",
    na: tuple[str, ...] | None = None,
    links: tuple[str | None, str | None] = ("softmax", "identity"),
) -> Prepared:
    """Fit an encoding to a table and apply it.

    Parameters
    ----------
    table : Table
        The table; all columns except the target, the weight and the ignored ones are features.
    target : str
        The column to predict.
    task : {"auto", "classification", "regression"}, default="auto"
        "auto" is classification for a target of text, and for a target of whole numbers with at most 20 different
        values and on average at least two rows of each; else regression.
    missing : {"error", "mean"}, default="error"
        What a gap in a numeric feature does: raise, or take the mean of the training rows.
    validation : float or Table
        Share of the rows, 0 <= validation < 1, to hold out of each class; or a table of held-out rows.
    seed : int
        Seed of the choice of these rows.
    ignore, text : sequence of str, default=()
        Columns to leave out, and features to treat as text whatever they look like.
    weight : str, optional
        A column of weights of the rows.
    drop_gaps : bool
        Whether rows without a target are left out; else they raise.
    unknown : {"other", "error"}
        What a new text does in a prediction: count as other, with a warning, or raise.
    na : tuple of str, optional
        The texts for no value that `read` was given, for predictions.
    links : (str, str)
        What outputs mean, for classes and for numbers: the `link` of the target.

    Returns
    -------
    Prepared
        X is float32; y int64 class numbers of shape (rows,), or float32 of shape (rows, 1).
    """
    extra = [] if weight is None else [weight]
    table.require([target, *ignore, *text, *extra])
    for names, use in ((ignore, "be ignored"), (extra, "be the weight")):
        if target in names:
            raise ValueError(f"column {target!r} is the target and cannot {use}")
    left_out = {target, *ignore, *extra}
    names = [name for name in table.columns if name not in left_out]
    if not names:
        raise ValueError(f"{table.path} has no column besides the target to learn from")

    form = labels.target_form(table, target, task, target in text, links[0] is None)
    table, dropped = _with_targets(table, target, form, drop_gaps)
    column, y, train, held_out = _target(table, target, form, links, validation, seed)
    features = tuple(_fit_feature(table, name, train, name in set(text)) for name in names)
    encoding = Encoding(features, column, missing, unknown, na)
    tables, ys = [table], [y]
    if isinstance(validation, Table):
        validation.require([target, *extra])
        other, more = _with_targets(validation, target, form, drop_gaps)
        tables, dropped = [table, other], dropped + more
        ys.append(_targets_of(other, column))
        train, held_out = np.arange(len(table)), np.arange(len(table), len(table) + len(other))
    X, y = (np.concatenate(parts) for parts in ([encoding.encode(one) for one in tables], ys))
    weights = None if weight is None else np.concatenate([labels.weights(one, weight) for one in tables])
    return Prepared(encoding, X, y, train, held_out, weights, dropped)


def _with_targets(table, target, form, drop_gaps):
    """The table without the rows that lack a target, and the number of these rows."""
    gaps = labels.gaps(table, target, form)
    if not len(gaps):
        return table, 0
    if not drop_gaps:
        raise labels.gap_error(table, int(gaps[0]), target)
    if len(gaps) == len(table):
        raise ValueError(f"{table.path}: no row has a target in column {target!r}")
    return table.take(np.setdiff1d(np.arange(len(table)), gaps)), len(gaps)


def _target(table, name, form, links, validation, seed):
    """The target's column, its values, the training rows, and the held-out rows."""
    share = 0.0 if isinstance(validation, Table) else validation
    every = labels.labels(table, name) if form is None else table.numbers(name, form)
    if len(set(every)) == 1:
        raise table.error(0, name, f"the target is {table.columns[name][0]!r} in every row: nothing to learn")
    if form is not None:
        train, held_out = splitting.hold_out(np.zeros(len(table), dtype=np.int64), share, seed)
        column = Number.fit(name, every[train], form, links[1] or "identity")
        return column, column.standardise(table, every), train, held_out
    column = Text.fit(table, name, list(set(every)), links[0] or "softmax")
    if share and column.width == len(table):
        what = f"{len(table)} rows have {column.width} different labels, so that none can be held out"
        raise ValueError(
            f"{table.path}, column {name!r}: {what} (is it the target? --validation 0 trains on all, --task regression "
            "takes numbers as numbers)"
        )
    y = _targets_of(table, column)
    return column, y, *splitting.hold_out(y, share, seed)


def _targets_of(table, column):
    """The targets of a table's rows, as `column` encodes them."""
    if isinstance(column, Number):
        return column.standardise(table, table.numbers(column.name, column.form))
    number = {label: k for k, label in enumerate(column.values)}
    every = labels.labels(table, column.name)
    new = next((row for row, label in enumerate(every) if label not in number), None)
    if new is not None:
        fault = f"{every[new]!r} is no class of the training rows: {quoted(column.values)}"
        raise table.error(new, column.name, fault)
    return np.array([number[label] for label in every], dtype=np.int64)


def _fit_feature(table: Table, name: str, train: np.ndarray, as_text: bool) -> Number | Text:
    form = None if as_text else table.form(name)
    if form is not None:
        values = table.numbers(name, form)
        labels.warn_of_codes(table, name, values)
        return Number.fit(name, values[train], form)
    column = Text.fit(table, name, table.columns[name].codes()[1])
    if column.width > MANY_VALUES and not as_text:
        what = f"becomes {column.width} columns of zeros and ones, one for each text ({quoted(column.values, 3)})"
        hint = "numbers are written as 1234.5 or with one unit for all; --ignore leaves it out, --text confirms it"
        warnings.warn(TableWarning(f"{table.path}, column {name!r} {what}; {hint}"), stacklevel=3)
    return column


def _numbers_first(text: str) -> tuple[float, str]:
    """A sort key: 2 before 10, and texts that are no numbers after all numbers."""
    number = number_text.number(text)
    return (math.inf if number is None or math.isnan(number) else number), text


def _column(fields: dict) -> Number | Text:
    names = set(fields)
    if {"name", "mean", "std"} <= names <= {"name", "mean", "std", "form", "link"}:
        return Number(**{**fields, "form": Form(*fields.get("form", PLAIN))})
    if {"name", "values"} <= names <= {"name", "values", "link"} and isinstance(fields["values"], list):
        return Text(**{**fields, "values": tuple(fields["values"])})
    raise ValueError("a column is neither of numbers nor of text")


def _sigmoid(Y: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -Y))


def _check(good: bool, fault: str) -> None:
    if not good:
        raise ValueError(fault)
