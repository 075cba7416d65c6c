"""Losses: (Y, t) -> (value, dY). Each has a function, and a class that makes it with other parameters."""

from fastbp.losses import table as _table
from fastbp.losses.loss import Loss

__all__ = ["Loss", *_table.NAMES]
globals().update({name: vars(_table)[name] for name in _table.NAMES})


def __dir__():
    return __all__
