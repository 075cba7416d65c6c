"""The command line: `fastbp train`, `predict`, `inspect`, `export`, `bench`, `info`; each in its own module.

Results go to standard output, progress and errors to standard error, an error as one line. Exit codes: 0, 1 (the run
failed), 2 (usage). Rejected: a package for command lines, since NumPy must be the only dependency.
"""

import argparse
import os
import sys
import warnings

import fastbp
from fastbp.cli import bench, export, predict, train
from fastbp.cli.facts import facts
from fastbp.cli.options import ERROR, Help, Parser, command, warn
from fastbp.data.csv_file import TableWarning

EXAMPLES = """examples:
  fastbp train                                        the digits that come with the package
  fastbp train houses.csv --target price --report report.html
  fastbp predict net.safetensors new_houses.csv --out predictions.csv
  fastbp COMMAND --help                               options and examples of a command"""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; those of the process if not given.

    Returns
    -------
    int
        The exit code.

    See Also
    --------
    fastbp.load : Reads the model files that `train` writes.

    Examples
    --------
    >>> main(["info"])  # doctest: +ELLIPSIS
    fastbp: ...
    0
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.words = sys.argv[1:] if argv is None else argv
        with warnings.catch_warnings():
            warnings.simplefilter("always", TableWarning)
            warnings.showwarning = lambda message, *_: warn(str(message))
            arguments.command(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # raised by argparse for --help and for usage errors
        return int(stop.code or 0)
    except BrokenPipeError:  # the reader of standard output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _failed("interrupted")
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        return _failed(str(error) or type(error).__name__)
    except Exception as error:  # a bug in fastbp: still one line, for scripts
        return _failed(f"{type(error).__name__}: {error}")
    return 0


def _failed(message: str) -> int:
    sys.stderr.write(f"{ERROR}{' '.join(message.split())}\n")
    return 1


class _Version(argparse.Action):
    """Looks up the version only when asked, since that reads files of the installation."""

    def __call__(self, parser, namespace, values, option_string=None):
        sys.stdout.write(f"fastbp {fastbp.__version__}\n")
        parser.exit()


def _parser() -> Parser:
    text = "Backpropagation for dense networks on the CPU."
    parser = Parser(prog="fastbp", description=text, epilog=EXAMPLES, formatter_class=Help)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (train, predict, export, bench):
        module.add(commands)
    command(commands, "info", info, "show versions, instruction set and threads", "fastbp info")
    return parser


def info(arguments: argparse.Namespace) -> None:
    """Print versions, instruction set and threads."""
    sys.stdout.writelines(f"{name}: {fact}\n" for name, fact in facts().items())
