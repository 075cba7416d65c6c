"""Callbacks, which watch a training and may stop it, and the history that it leaves."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__)
