"""Backpropagation for dense networks on the CPU, as fast as the machine allows."""

from fastbp import _engine as _engine  # not lazy: a missing instruction set raises at import
from fastbp._lazy import attach as _attach

_load, _, _names = _attach(__name__, __file__)
_BESIDE = {"MLPClassifier", "MLPRegressor", "cli", "river", "sklearn"}  # not in `import *`, which must need only NumPy
__all__ = ["__version__", *(name for name in _names if name not in _BESIDE)]


def __getattr__(name):
    if name != "__version__":
        return _load(name)
    from importlib.metadata import version

    return version("fastbp")


def __dir__():
    return __all__
