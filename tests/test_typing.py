"""Types: every public signature is annotated, and mypy agrees with the library and with those who use it.

What is public is read from `__all__`, and what is compiled from the sources. Here the names of the stubs are compared
with those of the compiled modules; all the rest that can be compared, `mypy.stubtest` compares, which .ci/run calls.
"""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastbp as fb
from fastbp import _engine, _lazy
from pages import README, blocks
from public import NAMES, functions_of, public_things

ROOT = README.parent
SOURCES = Path(fb.__file__).resolve().parent


def gaps_of(function: object, method: bool) -> list[str]:
    """Parameters without an annotation, and "return" without one; a method's first parameter needs none."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[method and "." in function.__qualname__ :]
    lacking = [p.name for p in parameters if p.annotation is p.empty]
    if signature.return_annotation is signature.empty and function.__name__ != "__init__":
        lacking.append("return")
    return lacking


def overrides(thing: type, name: str, function: object) -> bool:
    """Whether a method takes the place of an annotated one, whose types are its own."""
    others = [vars(base).get(name) for base in thing.__mro__]
    return any(other is not function and inspect.isfunction(other) and not gaps_of(other, True) for other in others)


@pytest.mark.parametrize("name", [name for name, _ in public_things()])
def test_public_signatures_are_annotated(name: str) -> None:
    thing = dict(public_things())[name]
    for member, function in functions_of(thing):
        lacking = gaps_of(function, bool(member))
        if lacking and not (inspect.isclass(thing) and overrides(thing, member[1:], function)):
            pytest.fail(f"{name}{member} has no annotation for {', '.join(lacking)}")


def test_every_compiled_module_has_a_stub_and_the_package_says_so() -> None:
    compiled = {path.stem for path in (ROOT / "src" / "fastbp" / "_engine").glob("*.pyx")}
    assert compiled
    assert {path.stem for path in (SOURCES / "_engine").glob("*.pyi")} == compiled | {"__init__"}
    assert (SOURCES / "py.typed").read_bytes() == b""


def names_in(stub: list[ast.stmt]) -> dict[str, list[str] | None]:
    """Names that a stub gives, functions and methods with the names of their parameters."""
    found: dict[str, list[str] | None] = {}
    for node in stub:
        if isinstance(node, ast.FunctionDef):
            called = "property" not in map(ast.unparse, node.decorator_list)
            found[node.name] = (
                [
                    each.arg
                    for each in [
                        *node.args.args,
                        *node.args.kwonlyargs,
                        *([node.args.vararg] if node.args.vararg else []),
                    ]
                ]
                if called
                else None
            )
        elif isinstance(node, ast.ClassDef):
            found[node.name] = None
            found |= {f"{node.name}.{name}": parameters for name, parameters in names_in(node.body).items()}
        elif isinstance(node, ast.AnnAssign):
            found[ast.unparse(node.target)] = None
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname: None for alias in node.names if alias.asname}
    return found


def names_of(module: ModuleType) -> dict[str, list[str] | None]:
    """Those that a compiled module gives, but what it has from others and what begins with an underscore."""
    found: dict[str, list[str] | None] = {}
    for name, thing in vars(module).items():
        if inspect.ismodule(thing) or getattr(thing, "__module__", module.__name__) != module.__name__:
            continue
        inner = vars(thing).items() if inspect.isclass(thing) else ()
        for path, value in [(name, thing), *((f"{name}.{each}", value) for each, value in inner)]:
            if not any(part.startswith("_") for part in path.split(".")):
                called = callable(value) and not inspect.isclass(value)
                found[path] = list(inspect.signature(value).parameters) if called else None
    return found


@pytest.mark.parametrize("name", sorted(path.stem for path in (SOURCES / "_engine").glob("[a-z]*.pyi")))
def test_a_stub_has_the_names_of_its_module(name: str) -> None:
    stub = names_in(ast.parse((SOURCES / "_engine" / f"{name}.pyi").read_text(encoding="utf-8")).body)
    module = names_of(importlib.import_module(f"fastbp._engine.{name}"))
    assert module
    assert {path: stub.get(path, "is missing") for path in module} == module


def test_the_stub_is_the_one_list_of_public_names() -> None:
    names = _lazy.origins((SOURCES / "__init__.pyi").read_text(encoding="utf-8"))
    assert dir(fb) == sorted(fb.__all__)
    assert set(names) == NAMES
    assert {name for name in names if name in fb._BESIDE} == fb._BESIDE
    parametrized = {row.name for row in _engine.ACTIVATIONS.values() if row.parameters}
    assert {name for name, module in names.items() if module == "fastbp.activations"} == parametrized
    for stub in SOURCES.rglob("__init__.pyi"):
        package = importlib.import_module(".".join(["fastbp", *stub.parent.relative_to(SOURCES).parts]))
        listed = _lazy.origins(stub.read_text(encoding="utf-8"))
        assert set(dir(package)) >= set(listed) - fb._BESIDE
        assert all(getattr(package, name) is not None for name in listed)


def test_the_stubs_are_those_of_the_tables(python) -> None:
    """Which `python docs/write_stubs.py` writes."""
    pytest.importorskip("ruff")
    done = python(str(ROOT / "docs" / "write_stubs.py"), "--check")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def mypy(folder: Path, *arguments: str) -> list[str]:
    """What it finds, a line each."""
    path = str(SOURCES.parent) if SOURCES.parent.name == "src" else ""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--no-color-output", *arguments],
        env={**os.environ, "MYPYPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_the_library_itself() -> None:
    assert mypy(ROOT, "--cache-dir", str(ROOT / "build" / "mypy")) == []


USE = Path(__file__).parent / "helpers" / "user_code.py"
WRONG = """
import fastbp as fb

net = fb.Sequential(fb.Input(2), fb.Dense("3"))  # arg-type
net.fit([[1.0, 2.0]], [1.0], epoch=3)  # call-arg
fb.nonsense  # attr-defined
fb.diagnose(net, [[1.0]], [1.0]).verdict + 1  # operator
fb.Input(2) + "x"  # operator
fb.EarlyStopping(patients=3)  # call-arg
fb.losses.Hubber  # attr-defined
fb.losses.Huber(dleta=1)  # call-arg
fb.activations.leeky_relu  # attr-defined
fb.initializers.truncated_nromal  # attr-defined
"""


def test_the_users_code_has_most_of_the_names() -> None:
    """But optimizers, callbacks and gates by another name, one of each kind of which is enough."""
    kinds = (fb.Callback, fb.optimizers.Optimizer, fb.layers.Layer, fb.MaxNorm.__base__)
    used = set(re.findall(r"\bfb\.(\w+)", USE.read_text(encoding="utf-8")))
    assert used <= NAMES
    left = {name for name in NAMES - used if name in fb.__all__ and not _is_one_of(getattr(fb, name), kinds)}
    assert left - set(_engine.ACTIVATIONS) <= {"DivergenceError", "ModelFormatError", "minimum", "Split"}


def _is_one_of(thing: object, kinds: tuple) -> bool:
    return inspect.isclass(thing) and issubclass(thing, kinds)


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.2.0",
    reason="arrays without type arguments are whole types since NumPy 2.2",
)
def test_code_that_uses_it(tmp_path: Path) -> None:
    """The README's and a user's are fine in strict mode; each mistake is found."""
    (tmp_path / "use.py").write_bytes(USE.read_bytes())
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "readme.py").write_text("\n".join(code for _, code in blocks(README.read_text(encoding="utf-8"))))
    cache = str(ROOT / "build" / "mypy_strict")
    found = mypy(tmp_path, "--strict", "--cache-dir", cache, "use.py", "readme.py", "wrong.py")
    wanted = [(k, line.split("# ")[1]) for k, line in enumerate(WRONG.splitlines(), 1) if "  # " in line]
    assert [line for line in found if not line.startswith("wrong.py")] == []
    errors = [line.split(":", 2) for line in found if ": error: " in line]
    assert [(int(line), text.rsplit("[", 1)[1].rstrip("]")) for _, line, text in errors] == wanted
