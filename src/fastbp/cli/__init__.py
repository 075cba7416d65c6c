"""The command line interface; `__main__.py` and the command `fastbp` call `main`."""

from fastbp.cli.main import main

__all__ = ["main"]


def __dir__():
    return __all__
