"""Which texts are numbers: plain numbers, and spellings that occur in tables: 5 %, $1,234.50, (12), 1.234,5.

A plain number is what `float` takes, except 1_000. The other spellings are read by the whole column: one unit, and one
decimal mark that fits every cell. Rejected: reading cell by cell, where 1,5 and 1,500 of one column would be read in
two ways; locales, which belong to the machine and not to the file.
"""

import math
import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import NamedTuple

MISSING = frozenset(
    {"", "?", "na", "n/a", "nan", "none", "null", "<na>", "#n/a"}
)  # in a column of numbers, in any case
LONGEST = 64  # characters of a number that is not plain
SIGNS = str.maketrans(
    {
        **dict.fromkeys("\N{MINUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{SMALL HYPHEN-MINUS}\N{EN DASH}", "-"),
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}", " "),
        **dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{ARABIC THOUSANDS SEPARATOR}", "'"),
        **dict.fromkeys("\N{ARABIC DECIMAL SEPARATOR}\N{FULLWIDTH FULL STOP}", "."),
        **{"\N{FULLWIDTH COMMA}": ",", "\N{FULLWIDTH PLUS SIGN}": "+"},
        **{"\N{FULLWIDTH PERCENT SIGN}": "%", "\N{ARABIC PERCENT SIGN}": "%"},
    }
)
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL|MXN|ZAR|KRW|RUB|US[$]|[ACR][$]|Rs|kr"
UNIT = rf"(?:\S|{CODES})"  # `_is_unit` checks that a single character is a currency or percent sign
SPELLING = re.compile(
    rf"(?P<open>\()? ?(?P<sign>[-+])? ?(?P<before>(?![-+\d.,'()]){UNIT})? ?(?P<inner>[-+])?(?P<digits>[\d.,'][\d.,' ]*)"
    rf"(?P<exponent>[eE][-+]?\d+)? ?(?P<after>(?![-+\d.,'()]){UNIT})?(?P<last>-)? ?(?P<close>\))?"
)
DECIMALS = {mark: re.compile(rf"(?:[^\D0]\d{{0,2}}(?P<gap>[{other}' ])\d{{2,3}}(?:(?P=gap)\d{{2,3}})*(?<=\d{{3}})|\d*)"
                             rf"(?:[{mark}]\d*)?") for mark, other in ((".", ","), (",", "."))}  # fmt: skip


class Form(NamedTuple):
    """How the numbers of a column are written: decimal mark and unit, both empty for plain numbers."""

    decimal: str = ""
    unit: str = ""

    def number(self, cell: str, missing: Collection[str] = MISSING) -> float | None:
        """The number a cell holds, NaN if it is missing, None if it holds something else."""
        value = number(cell, missing) if self.decimal != "," else math.nan if is_missing(cell, missing) else None
        if value is not None or not self.decimal:
            return value if not self.unit.startswith("%") or not value or math.isnan(value) else None
        parts = _parts(cell)
        if parts is None or self.decimal not in parts.decimals or parts.unit not in ("", self.unit):
            return None
        value = parts.value(self.decimal)
        return value if self.unit != "%" or parts.unit or not value else None

    def describe(self) -> str:
        """The form in words; "" for plain numbers."""
        words = [f"with {self.unit}"] * bool(self.unit) + ["with a decimal comma"] * (self.decimal == ",")
        return f" {' and '.join(words)}" if words else ""


PLAIN = Form()


def number(cell: str, missing: Collection[str] = MISSING) -> float | None:
    """The number a cell holds as plain text, NaN if it is missing, None if it holds something else."""
    if missing is not MISSING and is_missing(cell, missing):  # a code for no value, such as -99
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        if is_missing(cell, missing):
            return math.nan
        plain = cell.translate(SIGNS)
        return number(plain, missing) if plain != cell else None
    return value if "_" not in cell else None  # float() takes underscores, no spreadsheet writes them


def no_numbers(missing: Collection[str]) -> bool:
    """Whether none of the texts that stand for no value is a number itself."""
    return missing is MISSING or all(number(text) is None or math.isnan(number(text) or 0.0) for text in missing)


def spellings(missing: Collection[str]) -> frozenset[str]:
    """The usual spellings, in upper and lower case, of the texts that stand for no value."""
    if missing is not MISSING:
        return frozenset(missing)
    ways = (str.lower, str.upper, str.capitalize)
    return frozenset({"NaN", "<Na>", *(way(text) for text in missing for way in ways)})


def is_missing(cell: str, missing: Collection[str] = MISSING) -> bool:
    """Whether a cell stands for no value. Case matters only for a list of the user."""
    return (cell.strip().lower() if missing is MISSING else cell.strip()) in missing


def is_missing_label(cell: str, missing: Collection[str] = MISSING) -> bool:
    """`is_missing` for a column of labels, in which "none" is a label: none, mild, severe."""
    return is_missing(cell, missing) and not (missing is MISSING and cell.strip() in ("none", "NONE"))


def form_of(cells: Iterable[str], decimal: str = "", missing: Collection[str] = MISSING) -> Form | str | None:
    """The form of these cells as numbers; None if they are no numbers; the text of a cell that could mean two numbers.

    `decimal` is the decimal mark if it is known.
    """
    units, possible, doubtful = set(), {decimal} if decimal else {".", ","}, ""
    bare = False
    for cell in cells:
        if is_missing(cell, missing):
            continue
        parts = _parts(cell)
        possible = possible & parts.decimals if parts else set()
        if parts is None or not possible:
            return None
        if len(parts.decimals) == 2 and parts.value(".") != parts.value(","):
            doubtful = doubtful or cell
        bare = bare or (not parts.unit and parts.value(min(possible)) != 0)
        units |= {parts.unit} - {""}
    if len(units) > 1 or (bare and "%" in units):
        return None
    if len(possible) == 2 and doubtful and "," in doubtful:
        return doubtful
    return Form("." if "." in possible else ",", units.pop() if units else "")


class _Parts(NamedTuple):
    negative: bool
    digits: str
    exponent: str
    unit: str
    decimals: frozenset[str]

    def value(self, decimal: str) -> float:
        kept = "".join("." if sign == decimal else sign for sign in self.digits if sign.isdigit() or sign == decimal)
        return (-1.0 if self.negative else 1.0) * float(kept + self.exponent)


def _parts(cell):
    """The parts of a cell, and the decimal marks with which it is a number; None if there is no such mark."""
    if len(cell) > LONGEST:
        return None
    found = SPELLING.fullmatch(" ".join(cell.translate(SIGNS).split()))
    if not found or bool(found["open"]) != bool(found["close"]):
        return None
    signs = [sign for sign in (found["sign"], found["inner"], found["last"], found["open"]) if sign]
    units = [unit for unit in (found["before"], found["after"]) if unit]
    if len(signs) > 1 or len(units) > 1 or not all(map(_is_unit, units)) or (units and found["before"] == "%"):
        return None
    digits = found["digits"].rstrip()
    decimals = frozenset(mark for mark, form in DECIMALS.items() if form.fullmatch(digits))
    if not decimals or not any(map(str.isdigit, digits)):
        return None
    return _Parts(bool(signs) and signs[0] != "+", digits, found["exponent"] or "", "".join(units), decimals)


def _is_unit(unit):
    return len(unit) > 1 or unit == "%" or unicodedata.category(unit) == "Sc"
