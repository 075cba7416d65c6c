"""Schedules: learning rates as a function of the step or of the epoch. They go where `lr` goes."""

from fastbp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
