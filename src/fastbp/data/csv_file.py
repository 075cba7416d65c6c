"""Reads a CSV file into columns of text, and determines which of them are numeric.

Both parsers, pandas if installed and the standard library's csv otherwise, only split the text into cells. Types are
decided here, by the whole column, so that the result is the same with and without pandas. Rejected: the type inference
of pandas, which depends on its version and on the chunks it reads.
"""

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

DELIMITERS = ",;\t|"
MISSING = frozenset({"", "?", "na", "n/a", "nan", "none", "null"})  # in a column of numbers, in any case
MOSTLY = 0.9  # a column with this share of numbers has errors in it, rather than being text


@dataclass(frozen=True)
class Table:
    """Named columns of stripped text, and the line of the file on which each row begins (counted from 1)."""

    path: str
    columns: dict[str, list[str]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def require(self, names: Iterable[str]) -> None:
        """Raise, listing the columns there are, unless all of these are among them."""
        lacking = [name for name in names if name not in self.columns]
        if lacking:
            what = "column" if len(lacking) == 1 else "columns"
            raise ValueError(f"{self.path} has no {what} {quoted(lacking)}; it has {quoted(self.columns)}")

    def error(self, row: int, name: str, fault: str) -> ValueError:
        """Make the error for one cell."""
        return ValueError(f"{self.path}, line {self.lines[row]}, column {name!r}: {fault}")

    def numbers(self, name: str) -> np.ndarray:
        """The column as finite numbers (float64), NaN where a cell is missing; any other cell raises."""
        cells = self.columns[name]
        values = np.empty(len(cells))
        for row, cell in enumerate(cells):
            value = number(cell)
            if value is None:
                raise self.error(row, name, f"{cell!r} is not a number")
            if math.isinf(value):
                raise self.error(row, name, f"{cell!r} is not a finite number")
            values[row] = value
        return values

    def holds_numbers(self, name: str) -> bool:
        """Whether each cell is a number or missing.

        A column that holds numbers but for a few cells raises: as text, every number would be a category.
        """
        cells = self.columns[name]
        values = [number(cell) for cell in cells]
        others = [row for row, value in enumerate(values) if value is None]
        if not others:
            if all(value != value for value in values):
                raise ValueError(f"{self.path}: column {name!r} holds no values (--ignore leaves it out)")
            return True
        cell = cells[others[0]]
        if all(number(cells[row].replace(",", "")) is not None for row in others):
            raise self.error(others[0], name, f"{cell!r} has a comma in it; write numbers as 1234.5")
        count = sum(value is not None and not math.isnan(value) for value in values)
        if count >= MOSTLY * (count + len(others)):
            share = f"{count} of the column's {len(cells)} cells are (--text takes it as text)"
            raise self.error(others[0], name, f"{cell!r} is not a number, but {share}")
        return False


def read(path: str | os.PathLike) -> Table:
    r"""Read a table from a file of comma-separated values.

    The first line names the columns; one without a name is called "column N". Commas, semicolons, tabs or
    bars separate the cells, whichever the first line has most of. White space around a cell does not count,
    nor do empty lines.

    Parameters
    ----------
    path : str or path-like
        A text file in UTF-8, with or without a byte order mark.

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
    >>> table.columns
    {'age': ['31', '4'], 'name': ['Ann', 'Bo']}
    >>> table.holds_numbers("age"), table.holds_numbers("name")
    (True, False)
    """
    path = os.fspath(path)
    text = _text(path)
    if not text.strip():
        raise ValueError(f"{path} is empty")
    first = re.sub(r'"[^"]*"', "", text.lstrip("\n").partition("\n")[0])
    delimiter = max(DELIMITERS, key=first.count)
    header, columns, lines = _split_by_pandas(text, delimiter) or _split_by_csv(path, text, delimiter)
    names = [name.strip() or f"column {k}" for k, name in enumerate(header, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has more than one column called {quoted(twice)}")
    if not lines:
        raise ValueError(f"{path} has a header and no rows")
    cells = ([cell.strip() for cell in column] for column in columns)
    return Table(path, dict(zip(names, cells, strict=True)), lines)


def quoted(names: Iterable[str], most: int = 20) -> str:
    """The names as a person lists them, the first few of many."""
    names = list(names)
    text = ", ".join(repr(name) for name in names[:most])
    return text if len(names) <= most else f"{text} ... ({len(names)} in all)"


def number(cell: str) -> float | None:
    """The number a cell holds, NaN if it is missing, None if it holds something else."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        return value if cell.lower() in MISSING else None
    # What float() takes and no spreadsheet does: 1_000, digits of other scripts.
    return value if "_" not in cell and cell.isascii() else None


def _text(path: str) -> str:
    with open(path, "rb") as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path} is not text in UTF-8: byte {data[error.start]:#x} on line {line}") from None
    if "\0" in text:
        raise ValueError(f"{path} is not text in UTF-8: it holds a zero byte")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _split_by_pandas(text: str, delimiter: str) -> tuple | None:
    """Header, columns and line numbers of a plain file; None leaves it to the csv module.

    Plain means one row a line and no quotes. All that could be read in two ways, or is wrong, is not plain.
    """
    if '"' in text or "\n\n" in text or text.startswith("\n"):
        return None
    try:
        import pandas
    except ImportError:
        return None
    try:
        frame = pandas.read_csv(
            io.StringIO(text),
            sep=delimiter,
            header=None,
            dtype=object,
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
        )
    except pandas.errors.ParserError:
        return None
    if text.count(delimiter) != len(frame) * (frame.shape[1] - 1):  # a short row, which pandas fills up
        return None
    header, *columns = frame.iloc[0], *(frame[k][1:].tolist() for k in frame)
    return list(header), columns, range(2, len(frame) + 1)


def _split_by_csv(path: str, text: str, delimiter: str) -> tuple:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows, lines, end = [], [], 0
    try:
        for row in reader:
            begin, end = end + 1, reader.line_num  # a quoted cell may run over several lines
            if not row:
                continue
            if not header:
                header = row
                continue
            if len(row) != len(header):
                raise ValueError(f"{path}, line {begin}: {len(row)} cells, the header has {len(header)}")
            rows.append(row)
            lines.append(begin)
    except csv.Error as error:
        raise ValueError(f"{path}, line {end + 1}: {error}") from None
    return header, list(zip(*rows, strict=True)) or [()] * len(header), lines
