"""Configured: a function of a table, such as a metric or an initializer, with its settings.

The entry of the table has the defaults; called with settings it returns a copy with these, checked at once, so that a
mistake raises where it is made and not in training. Rejected: a class for each function, as in Keras, for what is one
formula.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from fastbp.inputs import checks


class Configured:
    """A function with settings.

    Parameters
    ----------
    function : function
        Its keyword-only arguments are the settings, with their defaults.
    rules : dict from str to function
        A check (value, name) -> value for each setting.
    given : mapping
        The settings that differ from the defaults.
    """

    common: ClassVar[dict] = {}  # further settings that all functions of a kind have, with their defaults

    def __init__(self, function: Any, rules: dict[str, Callable], given: Mapping):
        self.function = function
        self.rules = rules
        self.given = MappingProxyType(dict(given))
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name."""
        return {**(self.function.__kwdefaults__ or {}), **self.common, **self.given}

    def configured(self, *values: Any, **settings: Any) -> Self:
        """The function with these settings, checked."""
        known = list(self.rules)
        if len(values) > len(known):
            raise TypeError(f"{self.__name__} has {len(known)} settings, got {len(values)}")
        for name in settings:
            checks.one_of(name, f"setting of {self.__name__}", known, TypeError)
        settings = {**dict(zip(known, values, strict=False)), **settings}
        checked = {name: self.rules[name](value, name) for name, value in settings.items()}
        return type(self)(self.function, self.rules, {**self.given, **checked})

    def __eq__(self, other):
        return type(other) is type(self) and (other.function, other.given) == (self.function, self.given)

    def __hash__(self):
        return hash(self.function)

    def __repr__(self):
        return f"{self.__name__}({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"
