"""Tables on the command line: the options that describe a file, and reading it."""

import argparse
import os
from collections.abc import Callable

from fastbp.cli.options import names
from fastbp.data import csv_file
from fastbp.data.csv_file import Table

SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


def add_options(add: Callable, trains: bool) -> None:
    """Options of a command that reads a table."""
    standard = "NA, n/a, nan, null, none and ?" if trains else "those of the training"
    add("--na", action="append", metavar="A,B", help=f"texts that stand for no value, in place of {standard}")
    add("--delimiter", type=_delimiter, metavar="CHAR", help="what separates cells, or tab; found out if left out")
    add("--encoding", default="utf-8", metavar="NAME", help="of the file's text, such as cp1252 or utf-16")
    add("--no-header", action="store_true", help="the first line is a row; columns are 1, 2, 3 ...")
    add("--decimal", choices=(".", ","), help="the decimal mark; found out for each column if left out")


def read(path: str, arguments: argparse.Namespace, na: tuple[str, ...] | None = None) -> Table:
    """Read a table by the options; `na` is used if they do not set it."""
    return csv_file.read(
        path,
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        header=not arguments.no_header,
        missing=missing(arguments) or na,
        decimal=arguments.decimal or "",
    )


def missing(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """The texts of --na, which always include the empty text; None if it was not given."""
    return (
        None if arguments.na is None else tuple(sorted({"", *(text for line in arguments.na for text in names(line))}))
    )


def column(name: str, arguments: argparse.Namespace) -> str:
    """A column by name, or without a header by number."""
    return f"column {name}" if arguments.no_header and name.isdigit() else name


def columns(words, arguments: argparse.Namespace, table: Table) -> list[str]:
    """Columns by name, or without a header by number."""
    if arguments.no_header:
        words = [column(part, arguments) for word in words for part in names(word)]
    return table.names(words)


def _delimiter(text):
    text = SEPARATORS.get(text, text)
    if len(text) != 1 or text in '"\r\n' or ord(text) > 127:
        raise argparse.ArgumentTypeError(f"must be one ASCII character that is no quote, or tab, got {text!r}")
    return text


def share_or_file(text: str) -> float | str:
    """A fraction of the rows, or the path of a file."""
    try:
        value = float(text)
    except ValueError:
        if not os.path.isfile(text):
            raise argparse.ArgumentTypeError(f"must be a share of the rows or a file, got {text!r}") from None
        return text
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, or a file, got {text}")
    return value
