"""Callbacks, which watch a fit and may stop it, and the history of a fit."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__)
