"""The compiled engine.  It checks nothing: the folders above call it with checked arrays only.

README.md in this folder says how a training step runs through these files.  The kernels are loaded at once, so that a
processor or an instruction set that is missing is named at import; all else when it is first touched.
"""

from fastbp._engine.variant import isa as isa
from fastbp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
