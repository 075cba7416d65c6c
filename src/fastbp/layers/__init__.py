"""Layers, gates and blocks: descriptions of a network's nodes, which compute nothing."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__, eager=True)
