"""The shape of the library: imports point down, names are listed once, importing it is cheap.

Everything is read from the sources with ast, so lazy imports inside functions count too; a new module fails
until its folder has a place in ORDER.
"""

import ast
import importlib
import importlib.metadata
import inspect
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

import fastbp as fb
from fastbp import _engine, _lazy

SOURCES = Path(fb.__file__).resolve().parent
TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
# Folders and modules from the ground up. A module imports only from its own folder and from lines above it.
ORDER = """
    errors _typing _optional _lazy
    _engine
    inputs
    _configured
    activations threads
    functional initializers
    losses
    schedules
    data
    distributed
    plotting
    metrics
    callbacks
    layers
    network
    optimizers
    files
    writers
    training
    exports
    model datasets
    many
    derivatives
    insight
    readers
    sklearn river
    cli
    __main__
"""
FLOORS = [line.split() for line in ORDER.strip().splitlines()]
# Dictionaries from our names to another format's, which test_conversion.py compares with the engine's tables.
DICTIONARIES = {
    f"{place}.py"
    for place in (
        "writers/activation_formats", "readers/onnx/operators", "readers/fann",
        "readers/keras/layers", "readers/formulas", "losses/loss", "__init__",
    )
}  # fmt: skip
OPTIONAL = {"pandas", "tqdm", "sklearn", "matplotlib", "scipy", "torch", "safetensors", "onnx", "keras"}
OPTIONAL |= {"threadpoolctl", "pyarrow", "tensorboard", "mlflow", "wandb", "mpi4py", "optuna"}
LATE = OPTIONAL | {"argparse", "importlib.metadata", "csv"}
MODULES = sorted(path for path in SOURCES.rglob("*.py") if SOURCES / "_engine" not in path.parents)
PARTS = {path: path.relative_to(SOURCES).with_suffix("").parts for path in MODULES}
NAMED = pytest.mark.parametrize("path", MODULES, ids=lambda path: "/".join(PARTS[path]))


def floor_of(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Modules of fastbp that a module imports anywhere, with dots, without "fastbp."; "" is the package itself."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}:{node.lineno} imports by a relative path"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    stubs = {path.stem for path in SOURCES.glob("_*.pyi")}  # for type checkers alone
    ours = {name for name in found if name.partition(".")[0] == "fastbp"}
    return {module_of(name) for name in ours if name.split(".")[1:2] == [] or name.split(".")[1] not in stubs}


def module_of(name: str) -> str:
    """The module in which a dotted name of fastbp stands."""
    parts = name.split(".")[1:]
    if parts[:1] == ["_engine"]:
        return "_engine"
    while parts and not (SOURCES.joinpath(*parts).is_dir() or SOURCES.joinpath(*parts).with_suffix(".py").exists()):
        parts.pop()
    return ".".join(parts)


def is_dictionary(path: Path) -> bool:
    return path.relative_to(SOURCES).as_posix() in DICTIONARIES


def words(node: ast.AST) -> list[str]:
    """The strings that a list, tuple, set or the keys of a dict hold themselves."""
    elements = getattr(node, "elts", None) or getattr(node, "keys", None) or []
    return [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str)]


def strings(path: Path) -> set[str]:
    """All strings of a module but docstrings."""
    module = tree(path)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    constants = [node for node in ast.walk(module) if isinstance(node, ast.Constant) and id(node) not in docs]
    return {node.value for node in constants if isinstance(node.value, str)}


def test_every_folder_has_a_floor() -> None:
    rooms = {parts[0] for parts in PARTS.values()} - {"__init__"}
    assert rooms | {"_engine"} == {room for floor in FLOORS for room in floor}


@NAMED
def test_imports_point_down(path: Path) -> None:
    room = PARTS[path][0]
    if room == "__init__":
        return  # it gives out names of all, and loads them late
    for name in imported(path):
        other = name.partition(".")[0]
        assert other or room in ("cli", "__main__"), f"{path.name} imports the package itself"
        assert not other or other == room or floor_of(other) < floor_of(room), f"{room} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """What a folder's `__init__` gives out does not count: modules import from where a thing stands."""
    above = {".".join(PARTS[path]): imported(path) for path in MODULES if path.stem != "__init__"}
    above = {name: needs & above.keys() - {name} for name, needs in above.items()}
    while above:
        free = {name for name, needs in above.items() if not needs & above.keys()}
        assert free, f"these import each other in a circle: {sorted(above)}"
        above = {name: needs for name, needs in above.items() if name not in free}


def test_the_engine_imports_nothing_of_ours_above_it() -> None:
    for path in (SOURCES / "_engine").glob("*.py*"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith(("import fastbp", "from fastbp", "cimport fastbp")):
                assert "fastbp._engine" in line or "fastbp._lazy" in line, f"{path.name}: {line}"


@NAMED
@pytest.mark.parametrize("table", ["ACTIVATIONS", "CONSTRAINTS", "LOSSES", "RULES"])
def test_no_second_list_of_names(path: Path, table: str) -> None:
    """No list, tuple, set or dict of a module above the engine holds two names of one of its tables."""
    names = set() if is_dictionary(path) else set(getattr(_engine, table)) - {"cos"}  # a schedule's too
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)):
            second = names & set(words(node))
            assert len(second) < 2, f"{path.name}:{node.lineno} lists {sorted(second)}, which stand in {table}"


@NAMED
def test_no_module_knows_most_of_a_table(path: Path) -> None:
    for table in (_engine.ACTIVATIONS, _engine.LOSSES):
        known = strings(path) & set(table)
        limit = len(table) if is_dictionary(path) else max(2, len(table) // 3)
        assert len(known) <= limit, f"{path.name} knows {sorted(known)}"


def test_the_check_of_second_lists_finds_one(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text('CHOICES = ["relu", "tanh"]\n')
    node = tree(tmp_path / "bad.py").body[0].value
    assert len(set(words(node)) & set(_engine.ACTIVATIONS)) == 2
    assert strings(tmp_path / "bad.py") == {"relu", "tanh"}


@NAMED
def test_optional_packages_are_imported_late(path: Path) -> None:
    """At the top of a module stand the standard library, NumPy and what is below."""
    top = [node for node in tree(path).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in top:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if not getattr(node, "level", 0):
            assert not OPTIONAL & {name.split(".")[0] for name in names}, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.p*")), ids=lambda path: path.name)
def test_files_begin_with_what_they_hold_and_stay_short(path: Path) -> None:
    if path.suffix not in (".py", ".pyx", ".pxi", ".pxd"):
        return
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    first = text.split('"""')
    assert text.startswith('"""'), "no docstring"
    assert len(first[1].strip().splitlines()) <= 12
    assert "TODO" not in text
    assert "XXX" not in text


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "reliability", "docs"])
def test_tests_and_tools_stay_short_too(folder: str) -> None:
    long = [
        path.name for path in (TESTS.parent / folder).rglob("*.py") if len(path.read_text("utf-8").splitlines()) > 450
    ]
    assert not long, "split by idea"


def test_public_names() -> None:
    """Those that the stub lists, which is read by type checkers and at run time, and no others."""
    for name in set(fb.__all__) - {"__version__"}:
        getattr(fb, name)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fb.no_such_name


# What users import from: these paths stay.
PATHS = [
    "activations", "callbacks", "cli", "datasets", "derivatives", "distributed", "functional", "initializers", "layers",
    "losses", "metrics", "optimizers", "plotting", "river", "schedules", "sklearn", "threads",
]  # fmt: skip


def test_the_modules_that_pages_name_are_public() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("plot_*.py")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"\b(?:fb|fastbp)\.([a-z_]+)", text)) & {parts[0] for parts in PARTS.values()}
    listed = _lazy.origins((SOURCES / "__init__.pyi").read_text(encoding="utf-8"))
    assert named <= set(PATHS) == {name for name, module in listed.items() if module == "fastbp"}


@pytest.mark.parametrize("name", PATHS)
def test_a_public_module_is_an_attribute_of_the_package(name: str, python) -> None:
    """After `import fastbp` alone, which has not loaded it; it shows only what is its own."""
    if name in OPTIONAL | {"river"}:
        pytest.importorskip(name)
    code = f"""
import sys, types, fastbp as fb
assert "fastbp.{name}" not in sys.modules
assert fb.{name} is sys.modules["fastbp.{name}"]
for each in dir(fb.{name}):
    assert not each.startswith("_"), each
    assert not isinstance(getattr(fb.{name}, each), types.ModuleType), each
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in SOURCES.glob("*/__init__.py")))
def test_folders_give_out_public_names_only(folder: str) -> None:
    """Beside these stand their own modules, which Python puts there, and what an underscore marks."""
    if folder == "_engine":
        return
    if folder in ("sklearn", "river"):
        pytest.importorskip(folder)
    module = importlib.import_module(f"fastbp.{folder}")
    public = set(getattr(module, "__all__", ()))
    assert not any(name.startswith("_") for name in public)
    assert all(hasattr(module, name) for name in public)
    assert not public or set(dir(module)) == public
    own = {path.stem for path in (SOURCES / folder).iterdir()}
    assert {name for name in vars(module) if not name.startswith("_")} <= public | own


def test_the_version_is_that_of_the_package() -> None:
    try:
        wanted = importlib.metadata.version("fastbp")
    except importlib.metadata.PackageNotFoundError:  # run from the sources
        return
    assert fb.__version__ == wanted


@pytest.mark.parametrize("name", sorted(set(fb.__all__) - {"__version__"}))
def test_public_things_are_documented(name: str) -> None:
    thing = getattr(fb, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and callable(value):
                assert inspect.getdoc(getattr(thing, member)), f"{name}.{member} has no docstring"


def test_public_signatures_can_be_inspected() -> None:
    for name in (
        "Dense",
        "Sequential",
        "Model",
        "Trainer",
        "Adam",
        "SGD",
        "AdamW",
        "EarlyStopping",
        "load",
        "batches",
    ):
        assert inspect.signature(getattr(fb, name)).parameters


IMPORT = """
import json, sys
import numpy
before = set(sys.modules)
import fastbp
{then}
print(json.dumps([sorted(set(sys.modules) - before), sorted(sys.modules)]))
"""


def test_importing_loads_no_optional_package(python) -> None:
    done = python("-c", IMPORT.format(then=""))
    assert done.returncode == 0, done.stderr
    new, every = json.loads(done.stdout)
    assert not LATE & set(new)
    assert not OPTIONAL & {name.split(".")[0] for name in every}


MODEL = "fastbp.Sequential(fastbp.Input(3), fastbp.Dense(4, 'relu'), fastbp.Dense(2)).predict([[1, 2, 3]])"
UNUSED = {
    "callbacks",
    "data",
    "files",
    "losses",
    "metrics",
    "optimizers",
    "plotting",
    "readers",
    "schedules",
    "training",
}


@pytest.mark.parametrize(("then", "most"), [("", 10), (MODEL, 68)], ids=["import", "model that predicts"])
def test_importing_loads_few_modules(then: str, most: int, python) -> None:
    """A count, since a clock tells of the machine's other work."""
    new, _ = json.loads(python("-c", IMPORT.format(then=then)).stdout)
    loaded = [name for name in new if name.partition(".")[0] == "fastbp"]
    assert len(loaded) <= most, loaded
    assert not {name.split(".")[1] for name in loaded if "." in name} & {*UNUSED, "writers"}


def test_tests_ask_for_what_the_extra_does_not_bring() -> None:
    """At the top of a test stands what `pip install ".[test]"` installs; any other package is asked for."""
    extras = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = [*extras["dependencies"], *extras["optional-dependencies"]["test"]]
    known = {re.split(r"[<>=\[; ]", line)[0].replace("-", "_") for line in brought} | set(sys.stdlib_module_names)
    known |= {"sklearn" if name == "scikit_learn" else name for name in known}
    known |= {path.stem for path in TESTS.rglob("*")} | {"fastbp", "benchmarks", "reliability"}
    for path in sorted(TESTS.rglob("*.py")):
        asked = set(re.findall(r"importorskip\(\s*[\"'](\w+)", path.read_text(encoding="utf-8")))
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in {name.partition(".")[0] for name in names} - known - asked:
                raise AssertionError(f"{path.name}:{node.lineno} imports {name}, which the extra `test` does not bring")


def test_training_loads_no_optional_package(python, tmp_path: Path) -> None:
    done = python(
        "-c",
        "import sys, numpy as np, fastbp as fb\n"
        "net = fb.Sequential(fb.Input(3), fb.Dense(4), fb.Dense(2), seed=0)\n"
        "net.fit(np.ones((5, 3)), [0, 1, 0, 1, 0], loss='cross_entropy', metrics=['accuracy'])\n"
        "net.save(sys.argv[1]); fb.load(sys.argv[1])\n"
        "print(sorted(sys.modules))\n",
        str(tmp_path / "net.safetensors"),
    )
    assert done.returncode == 0, done.stderr
    assert not OPTIONAL & set(ast.literal_eval(done.stdout))
