"""The compiled engine.  It checks nothing: the folders above call it with checked arrays only.

README.md in this folder describes these files.  The kernels are loaded at import, so that an unsupported processor or
instruction set is reported there; all other modules are loaded on first use.
"""

from fastbp._engine.variant import isa as isa
from fastbp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
