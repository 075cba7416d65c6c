"""Shared by all commands: an argument parser with one-line errors, and argument types."""

import argparse
import csv
import sys
from collections.abc import Callable, Iterable

ERROR, WARNING = "fastbp: error: ", "fastbp: warning: "


class Parser(argparse.ArgumentParser):
    """Reports an error in one line; argparse would print the usage first."""

    def error(self, message):
        sys.stderr.write(f"{ERROR}{message} (see {self.prog} --help)\n")
        raise SystemExit(2)


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, and examples without wrapping."""

    def _get_help_string(self, action):
        return action.help if isinstance(action.default, bool | tuple | None) else super()._get_help_string(action)


def command(commands, name: str, function: Callable, text: str, *examples: str) -> Parser:
    """Add a command with its help; it calls `function(arguments)`."""
    lines = "\n".join(f"  {example}" for example in examples)
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[:1].upper()}{text[1:]}.",
        epilog=f"example{'s' * (len(examples) > 1)}:\n{lines}",
        formatter_class=Help,
    )
    parser.set_defaults(command=function)
    return parser


def named(table: Iterable[str], text: str) -> dict:
    """Arguments for an option that takes a name from a table: the choices, and a help text that lists them."""
    choices = sorted(table)
    return {"choices": choices, "metavar": "NAME", "help": f"{text}; one of {', '.join(choices)}"}


def warn(message: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"{WARNING}{' '.join(message.split())}\n")


def usage_error(message: str, of: str) -> None:
    """Exit with a usage error that argparse cannot detect."""
    Parser(prog=f"fastbp {of}").error(message)


def widths(text: str) -> tuple[int, ...]:
    return tuple(positive(int)(width) for width in text.split(",") if width.strip())


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas; a name that contains a comma is quoted."""
    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip())


def positive(kind: type) -> Callable:
    def positive(text: str):
        value = _number(kind, text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
        return value

    return positive


def whole(text: str) -> int:
    value = _number(int, text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2**63 - 1, got {text}")
    return value


def share(text: str) -> float:
    value = _number(float, text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {text}")
    return value


def _number(kind, text):
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}") from None
