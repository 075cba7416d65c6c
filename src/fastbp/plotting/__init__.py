"""Pictures of a training and of what was learnt, by matplotlib: each function takes `ax` and returns it."""

from fastbp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
