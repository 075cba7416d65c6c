"""All that is public, and the functions that users call of it."""

import inspect
import runpy
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import fastbp as fb

CONF = Path(__file__).resolve().parents[2] / "docs" / "conf.py"

NAMES = {*fb.__all__, *fb._BESIDE} - {"__version__"}


FIXED = {"__call__", "__init__", "__getitem__"}  # of the methods with underscores, those that users call


def public_things() -> Iterator[tuple[str, object]]:
    """Public names with what they stand for, and those that only a public module has."""
    for name in sorted(NAMES):
        if name == "river" and find_spec("river") is None:
            continue
        thing = getattr(fb, name)
        if inspect.ismodule(thing):
            inside = {each: getattr(thing, each) for each in public_names(thing)}
            own = {each: one for each, one in inside.items() if each not in NAMES or getattr(fb, each) is not one}
            yield from ((f"{name}.{each}", one) for each, one in own.items())
        else:
            yield name, thing


def public_names(module: object) -> list[str]:
    """What a module has of its own."""
    own = [name for name in dir(module) if getattr(getattr(module, name), "__module__", None) == module.__name__]
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def functions_of(thing: object) -> Iterator[tuple[str, object]]:
    """The functions that a user calls of a public thing: itself, or the methods of a class."""
    if inspect.isfunction(thing):
        yield "", thing
    elif inspect.isclass(thing):
        for base in thing.__mro__:
            if base.__module__.startswith("fastbp"):
                for name, member in vars(base).items():
                    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
                    if inspect.isfunction(function) and (name in FIXED or not name.startswith("_")):
                        yield f".{name}", function


@cache
def internal() -> dict[str, set[str]]:
    """The members that no page of the site shows, by the names of the classes in which they stand."""
    settings = runpy.run_path(str(CONF))
    hidden: dict[str, set[str]] = {}
    shown: dict[str, set[str]] = {}
    for _, cls in settings["classes"]():
        left_out = settings["internal_of"](cls)
        for base in cls.__mro__:
            hidden.setdefault(base.__qualname__, set()).update(left_out & vars(base).keys())
            shown.setdefault(base.__qualname__, set()).update(vars(base).keys() - left_out)
    return {name: members - shown[name] for name, members in hidden.items()}
