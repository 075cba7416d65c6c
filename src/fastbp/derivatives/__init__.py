"""Derivatives of a network: Jacobians, Hessians, per-sample gradients, gradient checks."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__)
