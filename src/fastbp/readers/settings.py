"""Settings of the original model: each is used, has its default value, or raises an error that names it.

An entry of a reader's table asks for the settings that it uses, and these are recorded. All others must be listed as
harmless or have their default values, so that a reader cannot ignore a setting that it does not know. Rejected: lists
of all settings beside the entries, which would lack those of the next version of the other library.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np


class Refused(Exception):
    """Describe the aspect of a part that has no counterpart."""


NOTHING = object()  # the default of a setting without default


class Settings:
    """The settings of a part by name, their defaults, and which of them have been asked for."""

    def __init__(self, found: Mapping[str, Any], defaults: Mapping[str, Any], harmless: Collection[str] = ()):
        self.found, self.defaults = found, defaults
        self.asked = set(harmless)

    def get(self, name: str, default: Any = None) -> Any:
        """A setting, which counts as used."""
        self.asked.add(name)
        return self.found.get(name, default)

    def refuse_others(self) -> None:
        """Raise for the first setting that was not used and does not have its default value."""
        for name, value in self.found.items():
            default = self.defaults.get(name, NOTHING)
            if name not in self.asked and not same(value, default):
                usual = "" if default is NOTHING else f" and not {default!r:.60}"
                raise Refused(f"{name} is {value!r:.60}{usual}")


class Asked:
    """A layer, module or estimator whose attributes count as used when they are read."""

    def __init__(self, part: Any, settings: Settings):
        self.__dict__.update(_part=part, _settings=settings)

    def __getattr__(self, name: str) -> Any:
        self._settings.asked.add(name)
        return getattr(self._part, name)


def want(name: str, value: Any, *wanted: Any) -> None:
    """Refuse a setting unless it is one of these."""
    if not any(same(value, each) for each in wanted):
        known = " or ".join(f"{each!r}" for each in wanted)
        raise Refused(f"{name} is {value!r:.60}, known here: {known}")


def same(a: Any, b: Any) -> bool:
    """Whether two settings are equal: numbers, texts, lists and arrays of them."""
    if a is b:
        return True
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    try:
        equal = np.shape(a) == np.shape(b) and a == b
        return bool(np.all(equal))
    except (TypeError, ValueError):
        return False
