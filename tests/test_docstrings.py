"""Docstrings of the public things have numpydoc's form: its own checks, but for those that OFF names with a reason.

That the examples in them run, `test_readme.py` sees to.
"""

import inspect

import pytest

from public import NAMES, functions_of, public_things

validation = pytest.importorskip("numpydoc.validate")

OFF = {
    "ES01": "one line is enough where it says all",
    "GL08": "a method that overrides one has its docstring; test_architecture.py looks for those that lack one",
    "PR03": "parameters of one type stand in one line: lr, eps : float",
    "PR04": "the type of several parameters may be said once, with what explains them",
    "PR07": "a name that says all has no description",
    "PR08": "a description may begin with a letter of a formula",
    "RT02": "several values that are returned may share a line",
    "RT03": "shape and dtype say what is returned",
    "SA01": "the pages of docs/ lead from one thing to others",
    "SS05": "it takes the noun loss and the letters dX for verbs",
    "YD01": "a context manager may yield nothing",
}
ELSEWHERE = {"fastbp.model.Model.fit": "Trainer.fit explains the parameters"}
SECTIONS = ("Parameters\n----", "Attributes\n----", "Returns\n----", "Raises\n----")


def path_of(thing: object) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def documented() -> dict[str, object]:
    """Public classes, functions and methods with a docstring of their own, by their full names."""
    found = {}
    for name, thing in public_things():
        if name.endswith(".resolve"):  # what a module does with its own names
            continue
        if inspect.isfunction(thing) or (inspect.isclass(thing) and name in NAMES):
            found[path_of(thing)] = thing
        for member, function in functions_of(thing) if inspect.isclass(thing) else ():
            if not member.startswith(".__") and function.__doc__:
                found[path_of(function)] = function
    return found


THINGS = documented()


def due(thing: object, method: bool) -> set[str]:
    """Checks of sections that this thing need not have.

    These are the parameters of a class that only the library makes or that has those of its base, the sections of a
    method that one line explains, and examples of methods.
    """
    doc = inspect.getdoc(thing) or ""
    brief = method and not any(section in doc for section in SECTIONS)
    made_for_users = "Attributes\n----" in doc and "Parameters\n----" not in doc
    inherited = inspect.isclass(thing) and "__init__" not in vars(thing)
    excused = {"PR01"} if brief or made_for_users or inherited or (method and "Parameters\n----" not in doc) else set()
    return excused | ({"RT01"} if brief else set()) | ({"EX01"} if method or made_for_users else set())


@pytest.mark.parametrize("path", sorted(THINGS))
def test_the_form_of_a_docstring(path: str) -> None:
    thing = THINGS[path]
    method = inspect.isfunction(thing) and "." in thing.__qualname__
    excused = OFF.keys() | due(thing, method) | ({"PR01"} if path in ELSEWHERE else set())
    faults = [f"{code}: {text}" for code, text in validation.validate(path)["errors"] if code not in excused]
    assert not faults, faults


def bad(X: int) -> int:
    """Does a thing.

    Parameters
    ----------
    Y : int
    """
    return X


def test_bad_form_is_found() -> None:
    codes = {code for code, _ in validation.validate(f"{__name__}.bad")["errors"]}
    assert {"PR01", "PR02", "RT01", "EX01"} <= codes - OFF.keys()
