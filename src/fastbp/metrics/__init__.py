"""Metrics: functions (y, output) -> float, and the table of them by name."""

from fastbp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
