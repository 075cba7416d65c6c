"""Lazy imports: public names are loaded on first access, and listed once, in the package's `__init__.pyi`.

Type checkers and editors read that stub; `attach` reads it for the interpreter; documentation and tests read the result
of `attach`. The stub's lines are `from fastbp.module import Name as Name`, in parentheses where they are long.
Rejected: the package `lazy-loader`, which parses the stub by `ast` and costs more than it saves here.
"""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_IMPORT = re.compile(r"^from (\S+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)


def origins(stub: str) -> dict[str, str]:
    """The public names in the text of a stub, each with its module."""
    found = {}
    for module, long, short in _IMPORT.findall(stub):
        for line in (long or short).split(","):
            name, _, again = line.strip().partition(" as ")
            if name and name == again:
                found[name] = module
    return found


def attach(
    package: str, file: str, eager: bool = False
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from the stub beside its `__init__.py`.

    Parameters
    ----------
    package, file : str
        `__name__` and `__file__` of the package.
    eager : bool, default=False
        Whether to load all names at once, for classes that model files name.

    Returns
    -------
    tuple
    """
    with open(file.removesuffix("c").removesuffix(".py") + ".pyi", encoding="utf-8") as stub:
        modules = origins(stub.read())
    names = sorted(modules)

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = modules[name]
        value = import_module(f"{module}.{name}") if module == package else getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    for name in names if eager else ():
        load(name)
    return load, lambda: names, names
