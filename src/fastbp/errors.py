"""The two errors of fastbp's own; everything else is a ValueError, TypeError, KeyError or RuntimeError.

Each is also of a built-in type, so a caller may catch what he would catch from NumPy. A common base class
was rejected: nothing would be done with it.
"""


class ModelFormatError(ValueError):
    """A model file, or a model's configuration, is damaged or is not one."""


class DivergenceError(FloatingPointError, ValueError):
    """The loss or an update is no longer finite; the parameters are the last finite ones."""
