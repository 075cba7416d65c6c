"""Writes the stubs that follow from tables and from the package's list of public names, `src/fastbp/__init__.pyi`.

    python docs/write_stubs.py            writes them into src/fastbp
    python docs/write_stubs.py --check    names the stubs that differ from what it would write; exits with 1 then

Editors and type checkers read these files; the interpreter does not. The code that makes the names is in modules of its
own or behind `TYPE_CHECKING`, so that no stub hides hand-written code from a type checker.
"""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import fastbp as fb
from fastbp import _engine, _lazy
from fastbp.initializers import INITIALIZERS
from fastbp.losses.loss import Loss

SOURCES = Path(__file__).resolve().parents[1] / "src" / "fastbp"
# Folders whose classes are in the package's list, with further names that they export.
FOLDERS = {
    "callbacks": {},
    "derivatives": {},
    "layers": {"Layer": "layer", "Node": "node"},
    "optimizers": {"Optimizer": "optimizer", "from_config": "optimizer"},
}
HEAD = '"""{}: written from the table by docs/write_stubs.py."""\n\n'
TYPES = {"flag": "bool", "heads": "float | Sequence[float]", "each output": "float | Sequence[float]"}


def docstring(text: str | None, indent: str = "    ") -> str:
    """The first line of a docstring, as a docstring."""
    line = (text or "").strip().splitlines()[0]
    return f'{indent}"""{line}"""\n'


def activations() -> str:
    """A function for each activation, with its parameters, that returns an ActivationFunction."""
    text = HEAD.format("The activation functions") + "from fastbp.activations import ActivationFunction\n"
    for name in sorted(_engine.ACTIVATIONS):
        row = _engine.ACTIVATIONS[name]
        arguments = ", ".join(f"{one.name}: float = {one.value!r}" for one in row.parameters)
        text += f"\ndef {name}({arguments}) -> ActivationFunction:\n{docstring(getattr(fb.activations, name).__doc__)}"
    return text


def losses() -> str:
    """A class for each loss, and its instance with the default parameters, which is called as a function."""
    classes = sorted(Loss.classes.values(), key=lambda cls: cls.__name__)
    head = HEAD.format("The losses") + "from collections.abc import Sequence\n\nfrom fastbp.losses.loss import Loss\n"
    text = head + "\nNAMES: tuple[str, ...]\n"
    for cls in classes:
        kinds = {one.name: TYPES.get(one.kind, "float") for one in cls.row.parameters}
        parameters = list(inspect.signature(cls).parameters.values())
        given = [f"{one.name}: {kinds[one.name]} = {one.default!r}" for one in parameters if one.name in kinds]
        signature = ", ".join(["self", *given, "*", "mask_nan: bool = False"])
        text += f"\nclass {cls.__name__}(Loss):\n{docstring(cls.__doc__)}"
        text += f"    def __init__({signature}) -> None: ...\n"
    text += "\n" + "".join(f"{cls.row.name}: {cls.__name__}\n" for cls in sorted(classes, key=lambda cls: cls.row.name))
    return text


def initializers() -> str:
    """An Initializer for each synonym; the others are functions in initializers.py."""
    text = HEAD.format("Synonyms of the initializers") + "from fastbp.initializers import Initializer\n\n"
    synonyms = sorted(name for name, row in INITIALIZERS.items() if row.__name__ != name)
    return text + "".join(f"{name}: Initializer\n" for name in synonyms)


def public_losses() -> str:
    """The names that `fastbp.losses` exports."""
    names = sorted({*_engine.LOSSES, *(cls.__name__ for cls in Loss.classes.values())})
    lines = "".join(f"    {name} as {name},\n" for name in names)
    head = HEAD.format("The public names of this folder")
    return f"{head}from fastbp.losses.loss import Loss as Loss\nfrom fastbp.losses.table import (\n{lines})\n"


def public_names() -> str:
    """`fastbp/__init__.pyi`, written by hand, with the activations that have parameters."""
    names = sorted(row.name for row in _engine.ACTIVATIONS.values() if row.parameters)
    lines = "".join(f"    {name} as {name},\n" for name in names)
    text = (SOURCES / "__init__.pyi").read_text(encoding="utf-8")
    return re.sub(r"(?<=from fastbp.activations import \(\n)[^)]*", lines, text)


def public_names_of(folder: str) -> str:
    """The names that a folder exports: its names in the package's list, and a few more."""
    origins = _lazy.origins((SOURCES / "__init__.pyi").read_text(encoding="utf-8"))
    names = {name: module for name, module in origins.items() if module.startswith(f"fastbp.{folder}.")}
    names |= {name: f"fastbp.{folder}.{module}" for name, module in FOLDERS[folder].items()}
    text = '"""The public names of this folder: written by docs/write_stubs.py from those of the package."""\n\n'
    for module in sorted(set(names.values())):
        text += f"from {module} import {', '.join(f'{n} as {n}' for n in sorted(names) if names[n] == module)}\n"
    return text


FILES = {
    "__init__.pyi": public_names,
    "_activation_names.pyi": activations,
    "_initializer_synonyms.pyi": initializers,
    "losses/table.pyi": losses,
    "losses/__init__.pyi": public_losses,
    **{f"{folder}/__init__.pyi": partial(public_names_of, folder) for folder in FOLDERS},
}


def stubs() -> Iterator[tuple[Path, str]]:
    """Each file with its text, formatted by ruff."""
    for name, write in FILES.items():
        command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(SOURCES / name), "-"]
        done = subprocess.run(command, input=write(), stdout=subprocess.PIPE, text=True, check=True)
        command = [sys.executable, "-m", "ruff", "check", "--fix", "-q", "--stdin-filename", str(SOURCES / name), "-"]
        yield (
            SOURCES / name,
            subprocess.run(command, input=done.stdout, stdout=subprocess.PIPE, text=True, check=False).stdout,
        )


def main(arguments: list[str]) -> int:
    """Write the stubs, or compare."""
    different = [(path, text) for path, text in stubs() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in different:
        sys.stdout.write(f"{path.relative_to(SOURCES.parents[1])}\n")
        if arguments != ["--check"]:
            path.write_text(text, encoding="utf-8")
    return int(arguments == ["--check"] and bool(different))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
