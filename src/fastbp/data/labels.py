"""The target of a table: labels as the file has them, or numbers; and the weights of its rows.

A label is its text, so 007 is not 7 and no digit is lost. Numbers written in two ways (2 and 2.0, +1 and 1) are one
label, compared digit by digit; where a column has leading zeros its labels are codes, and each text is its own.
"""

import warnings
from decimal import Decimal, InvalidOperation

import numpy as np

from fastbp.data.csv_file import Table, TableWarning
from fastbp.data.number_text import PLAIN, Form, is_missing_label

MAX_CLASSES = 20  # most different whole numbers of a target that are taken for classes by default
ROWS_A_CLASS = 2  # fewest rows per class, on average, of such a target
LOOKED_AT = 100_000  # most rows of a table in which a warning checks every cell


def target_form(table: Table, name: str, task: str, as_text: bool, wants_numbers: bool = False) -> Form | None:
    """How the target's numbers are written; None if the target has labels."""
    if task == "regression":
        return table.form(name) or PLAIN
    form = None if as_text else table.form(name)
    if form is None or task == "classification":
        return None
    if wants_numbers:
        return form
    values = table.numbers(name, form)
    values = values[~np.isnan(values)]
    if not np.array_equal(values, np.round(values)):
        return form
    if len(np.unique(values)) > MAX_CLASSES:
        return form
    different = len(set(labels(table, name)) - {""})
    return None if different <= MAX_CLASSES and different * ROWS_A_CLASS <= len(values) else form


def labels(table: Table, name: str) -> list[str]:
    """The label of each row, "" for a row without one."""
    codes, texts = table.columns[name].codes()
    known = [text for text in texts if not is_missing_label(text, table.missing)]
    spelling = _spellings(known)
    shown = [spelling.get(text, "") for text in texts]
    return [shown[code] for code in codes.tolist()]


def _spellings(texts):
    """A dict from each text to its representative: of texts for equal numbers, the plainest."""
    keys = {text: _digits(text) for text in texts}
    if any(key is None for key in keys.values()) or any(_is_code(text) for text in texts):
        return {text: text for text in texts}
    plainest: dict[tuple, str] = {}
    for text in sorted(texts, key=lambda text: ("e" in text.lower(), not text.isascii(), len(text), text)):
        plainest.setdefault(keys[text], text)
    return {text: plainest[keys[text]] for text in texts}


def _digits(text):
    """Sign, digits and exponent of a number without trailing zeros; None if the text is no plain number."""
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return None
    if not isinstance(exponent, int):  # NaN and infinity
        return None
    kept = "".join(map(str, digits)).lstrip("0")
    shorter = kept.rstrip("0")
    return (sign, shorter, exponent + len(kept) - len(shorter)) if shorter else (0, "", 0)


def _is_code(text):
    whole = text.lstrip("+-").partition(".")[0]
    return len(whole) > 1 and whole.startswith("0") and whole.isdigit()


def warn_of_codes(table: Table, name: str, values: np.ndarray) -> None:
    """Warn if a column that is read as numbers has leading zeros, as codes do."""
    if len(table) > LOOKED_AT or (values % 1 > 0).any():
        return
    code = next((cell for cell in table.columns[name] if len(cell) > 1 and cell[0] == "0" and cell.isdigit()), None)
    if code is not None:
        what = f"holds {code!r}, which is read as a number; --text takes the column as text"
        warnings.warn(TableWarning(f"{table.path}, column {name!r} {what}"), stacklevel=4)


def gaps(table: Table, name: str, form: Form | None) -> np.ndarray:
    """The rows without a target."""
    if form is not None:
        return np.flatnonzero(np.isnan(table.numbers(name, form)))
    codes, texts = table.columns[name].codes()
    return np.flatnonzero(np.array([is_missing_label(text, table.missing) for text in texts])[codes])


def gap_error(table: Table, row: int, name: str) -> ValueError:
    """Make the error for a row without a target."""
    cell = table.columns[name][row]
    read = f"{cell!r} is read as missing, --na changes that; " if cell else ""
    return table.error(row, name, f"the target has no value there ({read}--missing-target drop leaves such rows out)")


def weights(table: Table, name: str) -> np.ndarray:
    """The weight of each row: float32, not negative, not all 0."""
    values = table.numbers(name)
    bad = np.flatnonzero(~(values >= 0))
    if bad.size:
        fault = "is no weight: it must be a number of at least 0"
        raise table.error(bad[0], name, f"{table.columns[name][int(bad[0])]!r} {fault}")
    if not values.any():
        raise ValueError(f"{table.path}: column {name!r}, the weight, is 0 in every row")
    values = (values / values.max()).astype(np.float32)  # only ratios matter, and so none exceeds float32
    return np.asarray(values)
