"""Reads a CSV file into columns of text, and determines which of them are numeric.

A plain file, one row per line and no quotes that protect anything, is split as a whole; any other file goes through the
standard library's csv. The whole column then decides what a cell means: `number_text` has the rules, `csv_columns` the
arrays.

Limits: the file is held in memory, about ten times its size without polars; a cell between quotes has at most 131,072
characters. Time is linear in the size.
"""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastbp.data import csv_columns, number_text
from fastbp.data.csv_columns import Column
from fastbp.data.number_text import PLAIN, Form

DELIMITERS = ",;\t|"
MOSTLY = 0.9  # a column with this share of numbers is numeric with errors in it, rather than text
LONGEST_LINE = 131_072  # characters; csv's limit of a cell, which no cell of a shorter line exceeds


class TableWarning(UserWarning):
    """Something about a table may be unintended; nothing fails."""


@dataclass(frozen=True)
class Table:
    """Named columns of stripped text, and the line of the file on which each row begins.

    `missing` are the texts that stand for no value, `decimal` is the decimal mark if it is known.
    """

    path: str
    columns: dict[str, Column]
    lines: Sequence[int]
    missing: Collection[str] = number_text.MISSING
    decimal: str = ""
    delimiter: str = ","
    _read: dict = field(default_factory=dict, repr=False, compare=False)  # numbers by column and form

    def __len__(self) -> int:
        return len(self.lines)

    def require(self, names: Iterable[str]) -> None:
        """Raise unless the table has all of these columns; the error lists its columns."""
        lacking = [name for name in names if name not in self.columns]
        if lacking:
            what = "column" if len(lacking) == 1 else "columns"
            raise ValueError(f"{self.path} has no {what} {quoted(lacking)}; it has {quoted(self.columns)}")

    def names(self, words: Iterable[str]) -> list[str]:
        """Columns by name: each word is a column, or a line of CSV with the names of several."""
        found = []
        for word in words:
            parts = [word] if word.strip() in self.columns else next(csv.reader([word], skipinitialspace=True), [])
            found += [name.strip() for name in parts if name.strip()]
        self.require(found)
        return found

    def take(self, rows: np.ndarray) -> "Table":
        """The table with only these rows."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        lines = [self.lines[row] for row in rows.tolist()]
        return Table(self.path, columns, lines, self.missing, self.decimal, self.delimiter)

    def error(self, row: int, name: str, fault: str) -> ValueError:
        """Make the error for one cell."""
        return ValueError(f"{self.path}, line {self.lines[row]}, column {name!r}: {fault}")

    def numbers(self, name: str, form: Form = PLAIN) -> np.ndarray:
        """The column as finite numbers (float64), NaN where a cell is missing; any other cell raises."""
        if (name, form) not in self._read:
            self._read[name, form] = self._numbers(name, form)
        return self._read[name, form].copy()

    def _numbers(self, name, form):
        column = self.columns[name]
        values = column.numbers(self.missing) if form == PLAIN else None
        if values is None:
            codes, texts = column.codes()
            known = [form.number(text, self.missing) for text in texts]
            others = np.array([value is None for value in known])[codes]
            if others.any():
                row = int(np.argmax(others))
                raise self.error(row, name, f"{column[row]!r} is not a number{form.describe()}")
            values = np.array(known, np.float64)[codes]
        endless = np.flatnonzero(np.isinf(values))
        if endless.size:
            raise self.error(endless[0], name, f"{column[int(endless[0])]!r} is not a finite number")
        return values

    def form(self, name: str) -> Form | None:
        """How the column's numbers are written; None if it holds something else.

        A column of numbers with a few other cells raises: as text, every number would be a category.
        """
        column = self.columns[name]
        if self.decimal != ",":
            values = column.numbers(self.missing)
            if values is not None:
                if np.isnan(values).all():
                    raise ValueError(f"{self.path}: column {name!r} holds no values (--ignore leaves it out)")
                if np.isfinite(values).any() and not np.isinf(values).any():
                    self._read[name, PLAIN] = values
                return PLAIN
        codes, texts = column.codes()
        form = number_text.form_of(texts, self.decimal, self.missing)
        if isinstance(form, str) and self.delimiter == ",":
            form = number_text.form_of(texts, ".", self.missing)  # a file with commas between cells has decimal points
        if isinstance(form, str):
            row = int(np.argmax(codes == texts.index(form)))
            raise self.error(row, name, f"{form!r} has a comma in it: --decimal . or --decimal , says what it means")
        if form is None:
            self._refuse_slips(name, codes, texts)
        return form

    def _refuse_slips(self, name, codes, texts):
        """Raise if most cells are numbers."""
        form = Form(self.decimal) if self.decimal else PLAIN
        values = [form.number(text, self.missing) for text in texts]
        counts = np.bincount(codes, minlength=len(texts))
        others = np.array([value is None for value in values])
        count = int(counts[np.array([value is not None and value == value for value in values])].sum())
        if count >= MOSTLY * (count + counts[others].sum()):
            row = int(np.argmax(others[codes]))
            share = f"{count} of the column's {len(codes)} cells are (--text takes it as text)"
            raise self.error(row, name, f"{texts[codes[row]]!r} is not a number, but {share}")

    def holds_numbers(self, name: str) -> bool:
        """Whether each cell is a number or missing; raises as `form` does."""
        return self.form(name) is not None


def read(
    path: str | os.PathLike,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
    missing: Collection[str] | None = None,
    decimal: str = "",
) -> Table:
    r"""Read a table from a file of comma-separated values.

    The first line names the columns; one without a name is called "column N". White space around a cell does not
    count, nor do empty lines.

    Parameters
    ----------
    path : str or path-like
        A text file, with or without a byte order mark.
    delimiter : str, optional
        One character that separates cells; if not given, the most frequent of comma, semicolon, tab and bar in the
        first line.
    encoding : str
        Any encoding that Python knows.
    header : bool
        Whether the first line names the columns; else they are "column 1", "column 2" ...
    missing : collection of str, optional
        Texts that stand for no value, as an empty cell does; they replace NA, n/a, nan, null, none and "?".
    decimal : {"", ".", ","}
        The decimal mark; if "", it is inferred for each column.

    Returns
    -------
    Table
        At least one column and one row.

    Raises
    ------
    ValueError
        The file is not such a table; the message says where.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from fastbp.data import csv_file
    >>> path = pathlib.Path(tempfile.mkdtemp(), "two.csv")
    >>> _ = path.write_text("age,name\n31,Ann\n4,Bo\n")
    >>> table = csv_file.read(path)
    >>> {name: list(column) for name, column in table.columns.items()}
    {'age': ['31', '4'], 'name': ['Ann', 'Bo']}
    >>> table.holds_numbers("age"), table.holds_numbers("name")
    (True, False)
    """
    path = os.fspath(path)
    text = _text(path, encoding)
    if not text.strip():
        raise ValueError(f"{path} is empty")
    if delimiter is None:
        first = re.sub(r'"[^"]*"', "", text.lstrip("\n").partition("\n")[0])
        delimiter = max(DELIMITERS, key=first.count)
    titles, columns, lines = _split(path, text, delimiter, header)
    names = [name.strip() or f"column {k}" for k, name in enumerate(titles, start=1)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ValueError(f"{path} has more than one column called {quoted(twice)}")
    if not lines:
        raise ValueError(f"{path} has a header and no rows")
    known = number_text.MISSING if missing is None else frozenset({"", *missing})
    return Table(path, dict(zip(names, columns, strict=True)), lines, known, decimal, delimiter)


def quoted(names: Iterable[str], most: int = 20) -> str:
    """The names as a list in words; of many, the first `most`."""
    names = list(names)
    text = ", ".join(repr(name if len(name) <= 100 else f"{name[:99]}\N{HORIZONTAL ELLIPSIS}") for name in names[:most])
    return text if len(names) <= most else f"{text} ... ({len(names)} in all)"


def _text(path: str, encoding: str) -> str:
    with open(path, "rb") as file:
        data = file.read()
    named = encoding.upper()
    try:
        text = data.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"byte {data[error.start]:#x} on line {line} (--encoding names another, such as cp1252)"
        raise ValueError(f"{path} is not text in {named}: {where}") from None
    except (LookupError, UnicodeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read in the encoding {encoding!r}: {error}") from None
    if "\0" in text:
        raise ValueError(f"{path} is not text in {named}: it holds a zero byte")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _split(path: str, text: str, delimiter: str, header: bool) -> tuple[list[str], list[Column], Sequence[int]]:
    """Titles, columns and line numbers."""
    original, text = text, _without_quotes(text, delimiter)
    first, _, rest = text.partition("\n") if header else ("", "", text)
    width = (first if header else text.partition("\n")[0]).count(delimiter)
    if _is_plain(text) and rest and all(line.count(delimiter) == width for line in rest.split("\n")):
        columns = csv_columns.split(rest, delimiter)
        lines = range(1 + header, 1 + header + len(columns[0]))
        titles = first.split(delimiter) if header else [""] * len(columns)
        return titles, columns, lines
    return _split_by_csv(path, original, delimiter, header)


def _without_quotes(text, delimiter):
    """The text without its quotes, if each pair of quotes encloses a whole cell and protects nothing in it."""
    count = text.count('"')
    if not count or delimiter in '"\n':
        return text
    cell = rf'(?:^|(?<=[{re.escape(delimiter)}\n]))"[^"{re.escape(delimiter)}\n]*"(?![^{re.escape(delimiter)}\n])'
    return text.replace('"', "") if 2 * len(re.findall(cell, text)) == count else text


def _is_plain(text):
    """Whether the text has one row per line and no quotes; ambiguous or faulty text is not plain."""
    if '"' in text or "\n\n" in text or text.startswith("\n") or text.endswith("\n"):
        return False
    return len(text) <= LONGEST_LINE or max(map(len, text.split("\n"))) <= LONGEST_LINE


def _split_by_csv(path, text, delimiter, header):
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    titles: list[str] = []
    rows, lines, end = [], [], 0
    try:
        for row in reader:
            begin, end = end + 1, reader.line_num  # a quoted cell may run over several lines
            if not row:
                continue
            if not titles:
                titles = row if header else [""] * len(row)
                if header:
                    continue
            if len(row) != len(titles):
                there = "the header has" if header else "the first line has"
                raise ValueError(f"{path}, line {begin}: {len(row)} cells, {there} {len(titles)}")
            rows.append(row)
            lines.append(begin)
    except csv.Error as error:
        raise ValueError(f"{path}, line {end + 1}: {error}") from None
    columns = zip(*rows, strict=True) if rows else ([] for _ in titles)
    return titles, [Column(list(cells)) for cells in columns], lines
