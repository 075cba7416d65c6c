"""Derivatives of a network: Jacobians, Hessians, per-sample gradients, gradient checks."""

from fastbp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
