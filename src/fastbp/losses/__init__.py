"""Losses: (Y, t) -> (value, dY). A function for each, and a class that makes it with other parameters."""

import typing as _typing

from fastbp.losses import loss as _loss
from fastbp.losses.loss import Loss

__all__ = ["Loss", *_loss.NAMES]
globals().update({name: vars(_loss)[name] for name in _loss.NAMES})


def __dir__():
    return __all__


if _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> _typing.Any: ...
