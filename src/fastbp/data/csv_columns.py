"""Columns of text as whole arrays: numbers, codes of distinct texts, texts; by polars, pandas, pyarrow or plain Python.

`number_text` alone decides what a cell means. A package that reads numbers faster is trusted for cells that it reads as
finite numbers; Python reads every other cell, once for each distinct text. So a file means the same whichever package
is installed. Rejected: the types that packages guess, which depend on their versions and on how a file is split into
the chunks that they read.
"""

import csv
import io
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from fastbp.data import number_text

WORTH_A_PACKAGE = 4_000_000  # characters of a file below which importing a package takes longer than plain Python
FEWEST_LINES = 1000  # lines below which a package is not worth its cost per column


class Column(Sequence[str]):
    """The cells of a column, stripped of white space; plain Python, over a list."""

    def __init__(self, cells: list[str]):
        self._cells = cells
        self._coded: tuple[np.ndarray, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, row):
        return self._cells[row].strip()

    def __iter__(self) -> Iterator[str]:
        return map(str.strip, self._cells)

    def codes(self) -> tuple[np.ndarray, list[str]]:
        """The index of each cell's text among the distinct texts, and these texts, sorted."""
        if self._coded is None:
            distinct = sorted(set(self._cells))
            number = {text: k for k, text in enumerate(distinct)}
            codes = np.fromiter(map(number.__getitem__, self._cells), np.int64, len(self._cells))
            self._coded = _stripped(codes, distinct)
        return self._coded

    def numbers(self, missing: Collection[str]) -> np.ndarray | None:
        """All cells as plain numbers, NaN for missing ones; None if a cell is neither."""
        quick = self._quick(missing) if number_text.no_numbers(missing) else None
        return _by_text(self, missing) if quick is None else quick

    def _quick(self, missing):
        """The numbers, if `float` and the set of texts for missing values explain every cell; else None."""
        cells, gaps = self._cells, 0
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            values = self._with_empty_cells()
            if values is not None:
                return values
            known, gap = number_text.spellings(missing), "nan"
            filled = [gap if cell in known else cell for cell in cells]
            try:
                values = np.fromiter(map(float, filled), np.float64, len(cells))
            except ValueError:
                return None
            if gap not in known and gap in cells:
                return None
            gaps = filled.count(gap)
        if np.isnan(values).sum() != gaps or "_" in "".join(cells):
            return None
        return values + 0.0  # turns -0.0 into 0.0, as a package does that reads -0 as an integer

    def _with_empty_cells(self):
        """`_quick` where all gaps are empty cells, as in most files: filled as one text, not cell by cell."""
        cells, text = self._cells, "\n".join(self._cells)
        if "_" in text or text.count("\n") >= len(cells):  # some cell has several lines
            return None
        for _ in range(2):  # twice, for consecutive gaps
            text = f"\n{text}\n".replace("\n\n", "\nnan\n")[1:-1]
        try:
            values = np.fromiter(map(float, text.split("\n")), np.float64, len(cells))
        except ValueError:
            return None
        return values + 0.0 if np.isnan(values).sum() == cells.count("") else None

    def take(self, rows: np.ndarray) -> "Column":
        """The column with only these rows."""
        return Column([self._cells[row] for row in rows.tolist()])


class _OfPolars(Column):
    def __init__(self, series):
        self._series = series
        self._coded = None

    def __len__(self):
        return len(self._series)

    def __getitem__(self, row):
        return self._series[int(row)].strip()

    def __iter__(self):
        return map(str.strip, self._series.to_list())

    def codes(self):
        if self._coded is None:
            codes = self._series.rank("dense").to_numpy().astype(np.int64) - 1
            self._coded = _stripped(codes, self._series.unique().sort().to_list())
        return self._coded

    def numbers(self, missing):
        import polars

        if not number_text.no_numbers(missing):
            return _by_text(self, missing)

        values = self._series.cast(polars.Float64, strict=False).fill_null(float("nan")).to_numpy()
        rest = ~np.isfinite(values)
        if rest.any():
            odd = _by_text(_OfPolars(self._series.filter(polars.Series(rest))), missing)
            if odd is None:
                return None
            values = values.copy()
            values[rest] = odd
        return values + 0.0

    def take(self, rows):
        return _OfPolars(self._series[rows])


class _OfArrow(Column):
    def __init__(self, array):
        self._array = array
        self._coded = None

    def __len__(self):
        return len(self._array)

    def __getitem__(self, row):
        return self._array[int(row)].as_py().strip()

    def __iter__(self):
        return map(str.strip, self._array.to_pylist())

    def codes(self):
        if self._coded is None:
            coded = self._array.dictionary_encode()
            self._coded = _stripped(coded.indices.to_numpy().astype(np.int64), coded.dictionary.to_pylist())
        return self._coded

    def numbers(self, missing):
        import pyarrow

        if number_text.no_numbers(missing):
            try:
                values = self._array.cast(pyarrow.float64()).to_numpy()
            except pyarrow.ArrowInvalid:
                values = np.array([np.nan])
            if np.isfinite(values).all():
                return values + 0.0
        return _by_text(self, missing)

    def take(self, rows):
        return _OfArrow(self._array.take(np.asarray(rows)))


class _OfPandas(Column):
    """A column that pandas reads as numbers, or else the codes of its texts, which `read` returns when needed."""

    def __init__(self, values, read, missing, rows=slice(None)):
        self._values, self._read, self._rows = values, read, rows
        self._missing = missing  # the texts that pandas read as gaps
        self._coded = None

    def __len__(self):
        return len(self.codes()[0]) if self._values is None else len(self._values[self._rows])

    def __getitem__(self, row):
        codes, texts = self.codes()
        return texts[codes[row]]

    def __iter__(self):
        codes, texts = self.codes()
        return iter(np.array(texts, object)[codes].tolist())

    def codes(self):
        if self._coded is None:
            categories = self._read()
            texts = categories.categories.tolist()
            self._coded = _stripped(np.asarray(categories.codes, np.int64)[self._rows], texts)
        return self._coded

    def numbers(self, missing):
        gaps = self._values is not None and np.isnan(self._values).any()
        if self._values is None or not number_text.no_numbers(missing) or (gaps and missing is not self._missing):
            return _by_text(self, missing)
        return self._values[self._rows] + 0.0

    def take(self, rows):
        return _OfPandas(
            self._values, self._read, self._missing, rows if isinstance(self._rows, slice) else self._rows[rows]
        )


def _stripped(codes, texts):
    """Codes and texts without white space around the texts; only texts that occur, sorted."""
    stripped = [text.strip() for text in texts]
    distinct = sorted(set(stripped))
    if distinct != stripped:
        number = {text: k for k, text in enumerate(distinct)}
        codes = np.array([number[text] for text in stripped], np.int64)[codes]
    seen = np.bincount(codes, minlength=len(distinct)) > 0
    if not seen.all():
        codes = (np.cumsum(seen) - 1)[codes]
        distinct = [text for text, there in zip(distinct, seen, strict=True) if there]
    return codes, distinct


def _by_text(column, missing):
    codes, texts = column.codes()
    values = [number_text.number(text, missing) for text in texts]
    return None if None in values else np.array(values, np.float64)[codes] + 0.0


def split(text: str, delimiter: str) -> list[Column]:
    """The columns of a plain text, in which all lines have the same number of cells and no cell is quoted."""
    lines = text.count("\n") + 1
    if len(text) >= WORTH_A_PACKAGE and lines > FEWEST_LINES:
        for read in (_by_polars, _by_pandas, _by_arrow):
            try:
                return read(text, delimiter)
            except (ImportError, TypeError):  # not installed, or a version without one of the settings
                continue
    cells = text.replace("\n", delimiter).split(delimiter)
    width = len(cells) // lines
    return [Column(cells[k::width]) for k in range(width)]


def _by_polars(text: str, delimiter: str) -> list[Column]:
    import polars

    frame = polars.read_csv(
        io.BytesIO(text.encode("utf-8", "surrogatepass")),
        has_header=False,
        separator=delimiter,
        quote_char=None,
        infer_schema_length=0,
    )
    return [_OfPolars(series.fill_null("")) for series in frame.get_columns()]


def _by_arrow(text: str, delimiter: str) -> list[Column]:
    from pyarrow import csv as arrow, string

    width = text[: (text + "\n").index("\n")].count(delimiter) + 1
    names = [str(k) for k in range(width)]
    table = arrow.read_csv(
        io.BytesIO(text.encode("utf-8", "surrogatepass")),
        read_options=arrow.ReadOptions(column_names=names),
        parse_options=arrow.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
        convert_options=arrow.ConvertOptions(
            check_utf8=False, column_types=dict.fromkeys(names, string()), strings_can_be_null=False
        ),
    )
    return [_OfArrow(column.combine_chunks()) for column in table.columns]


def _by_pandas(text: str, delimiter: str) -> list[Column]:
    import pandas

    plain: dict[str, Any] = {
        "sep": delimiter,
        "header": None,
        "quoting": csv.QUOTE_NONE,
        "skip_blank_lines": False,
        "low_memory": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of float_precision, which pandas before 3.1 needs and 3.1 does not
        typed = pandas.read_csv(
            io.StringIO(text),
            keep_default_na=False,
            na_values=sorted(number_text.spellings(number_text.MISSING)),
            float_precision="round_trip",
            **plain,
        )
    low = text.lower()
    signed = any(sign in low for sign in ("-nan", "+nan", "nan("))  # pandas reads these as gaps, fastbp does not
    missing = None if signed else number_text.MISSING
    names = [k for k, kind in typed.dtypes.items() if kind.kind not in "iuf"]
    texts = _categories(text, names, plain) if names else {}

    def read(k):
        return lambda: texts[k] if k in texts else _categories(text, [k], plain)[k]

    return [_OfPandas(None if k in texts else typed[k].to_numpy(np.float64), read(k), missing) for k in typed]


def _categories(text, names, plain):
    """Codes of texts; not read as categories directly, since texts that pandas reads as bool would be lost."""
    import pandas

    frame = pandas.read_csv(io.StringIO(text), usecols=names, dtype=str, na_filter=False, **plain)
    return {name: pandas.Categorical(frame[name]) for name in names}
