"""Optimizers: a class for each update rule, and clipping by the global norm."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__, eager=True)
