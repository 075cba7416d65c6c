"""Plots of a training run and its results, by matplotlib: each function takes `ax` and returns it."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__)
