"""Learning rate schedules: functions of the step or the epoch, passed as `lr`."""

from fastbp._lazy import attach as _attach

__getattr__, __dir__, __all__ = _attach(__name__, __file__, eager=True)
