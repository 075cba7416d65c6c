"""Objects with a name and settings, in calls and JSON: losses, metrics, optimizers, schedules, initializers, layers.

A `Registry` has the objects of one kind by name and makes one from a name, from JSON or from the object itself. Its
entries are classes (`Registered`) or, where an object is one formula, functions with their settings (`Configured`).
Rejected for such functions: a class for each, as in Keras.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from fastbp.inputs import checks


class Registry(dict[str, Any]):
    """The entries of one kind by name: classes, or objects of the kind with default settings.

    Parameters
    ----------
    what : str
        The kind, as error messages name it.
    key : str
        The key of the name in JSON; the settings stand beside it.
    functions : bool
        Whether any Python function is accepted as well.
    synonyms : mapping
        From names in other libraries to names here. Capitals and underscores are ignored unless an entry has them.
    """

    base: type  # of all objects of the kind

    def __init__(
        self, what: str, key: str, functions: bool = False, synonyms: Mapping[str, str] = MappingProxyType({})
    ):
        super().__init__()
        self.what, self.key, self.functions, self.synonyms = what, key, functions, synonyms

    def named(self, name: Any, what: str | None = None) -> Any:
        """The entry of a name; `what` is the kind in the caller's error messages."""
        return self[checks.one_of(self.name_here(name), what or self.what, self)]

    def name_here(self, name: Any) -> Any:
        """The name of an entry for a synonym of it; any other name unchanged."""
        if not isinstance(name, str) or name in self:
            return name
        plain = {plain_name(key): known for key, known in self.synonyms.items()} | {
            plain_name(key): key for key in self
        }
        return plain.get(plain_name(name), name)

    def from_config(self, config: Mapping[str, Any], what: str | None = None) -> Any:
        """The object that `config()` described."""
        settings = dict(config)
        entry = self.named(settings.pop(self.key, None), what)
        return entry(**settings) if isinstance(entry, type) else entry.configured(**settings)

    def resolve(self, given: Any, what: str | None = None) -> Any:
        """The object for a name, with default settings, or for the result of `config()`, or the object itself."""
        if isinstance(given, str):
            entry = self.named(given, what)
            return entry() if isinstance(entry, type) else entry
        if isinstance(given, Mapping):
            return self.from_config(given, what)
        if isinstance(given, type) and issubclass(given, self.base):
            words = f"{what or self.what} must be a name or an object, got the class {given.__name__}"
            raise TypeError(f"{words}: {given.__name__}() makes one")
        if self.functions and not isinstance(given, self.base):
            return checks.as_callable(given, what or self.what)
        return checks.instance(given, self.base, what or self.what)


class Described:
    """Base of objects that a name and settings describe."""

    classes: ClassVar[Registry]

    def label(self) -> str:
        """The name."""
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """The settings that create an equal object."""
        raise NotImplementedError

    def config(self) -> dict:
        """Name and settings, for JSON."""
        return {self.classes.key: self.label(), **{name: _stored(value) for name, value in self.arguments().items()}}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """The object that `config()` described.

        Parameters
        ----------
        config : dict
            As returned by `config`.

        Returns
        -------
        object
            An object of the class, or the function, that `config` names.
        """
        return cls.classes.from_config(config)


class Registered(Described):
    """Base of the classes of one kind, whose settings are the arguments of the constructor.

    The base class of a kind has the registry `classes`, in which its subclasses are entered.
    """

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "classes" in vars(cls):
            cls.classes.base = cls
        else:
            cls.classes[cls.label()] = cls

    @classmethod
    def label(cls) -> str:
        """The name: the class's name in lower case, unless a kind overrides it."""
        return cls.__name__.lower()

    def configured(self, **settings: Any) -> Self:
        """A new object of the class with some settings changed."""
        return type(self)(**{**self.arguments(), **settings})


class Configured(Described):
    """A function with settings.

    An entry of a table has the defaults; called with settings it returns a copy with these, checked at once, so that a
    mistake raises where it is made and not in training.

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

    def label(self) -> str:
        """The name of the function."""
        return self.__name__

    def arguments(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        return dict(self.given)

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

    def __reduce__(self):
        return type(self).from_config, (self.config(),)

    def __repr__(self):
        return called(self.__name__, self.given)


def plain_name(name: str) -> str:
    """A name without capitals and underscores: MeanSquaredError and mean_squared_error become one."""
    return name.lower().replace("_", "")


def called(name: str, settings: Mapping[str, Any]) -> str:
    """A call as Python writes it."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def made(cls: type, settings: Mapping[str, Any]) -> Any:
    """An object of the class: what `pickle` calls."""
    return cls(**settings)


def _stored(value):
    return value.config() if isinstance(value, Described) else value
