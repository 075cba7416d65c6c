"""Metrics: functions (y, output) -> float, and the table of them by name."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__, eager=True)
