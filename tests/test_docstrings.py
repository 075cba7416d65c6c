"""Docstrings of the public things have numpydoc's form: its own checks, but for those that OFF names with a reason.

That the examples in them run, `test_readme.py` sees to.
"""

import ast
import builtins
import inspect
import math
import re
import runpy
import textwrap
from fractions import Fraction

import pytest

import fastbp as fb
from public import CONF, functions_of, internal, public_things

validation = pytest.importorskip("numpydoc.validate")
NumpyDocString = pytest.importorskip("numpydoc.docscrape").NumpyDocString

OFF = {"ES01": "one line is enough where it says all; NumPy and scikit-learn do not ask for more either"}
SIBLINGS = [
    ("jacobian", "vjp", "jvp"),
    ("hessian", "hvp"),
    ("per_sample_gradients", "per_sample_gradient_norms"),
    ("diagnose", "explain"),
    ("Adam", "AdamW"),
    ("maximum", "minimum"),
    ("set_num_threads", "get_num_threads"),
    ("kfold", "cross_validate"),
    ("LayerNorm", "RMSNorm", "BatchNorm"),
    ("EarlyStopping", "ReduceLROnPlateau"),
    ("GLU", "Highway", "Maxout", "Residual"),
    ("diff", "grad", "jac", "hess", "laplacian"),
    ("Lambda", "PythonLayer"),
    ("Maximum", "Minimum"),
    ("MaxNorm", "NonNegative"),
    ("sin", "cos"),
    ("exp", "log"),
    ("sum", "mean"),
    ("Callback", "LambdaCallback"),
    ("CSVLogger", "JSONLogger", "MlflowLogger", "TensorBoardLogger", "WandbLogger"),
    ("Diagnosis", "Explanation"),
    ("Ensemble", "Trainers", "fit_many"),
    ("Split", "kfold"),
    ("batches", "Chunks"),
    ("from_fann", "from_keras", "from_onnx", "from_sklearn", "from_torch"),
]
# Who explains the parameters of a method, or of all methods of a class that lack a list of them.
ELSEWHERE = {
    "Model.fit": (fb.Trainer, fb.Trainer.fit),
    "Callback": (fb.Callback,),
    "PythonLayer": (fb.PythonLayer,),
    "Layer": (fb.PythonLayer,),
}
MADE = {fb.initializers.Initializer, fb.metrics.Metric}  # by the library alone; users call them with settings


COMMON = {fb.optimizers.Optimizer}  # its parameters are those that its subclasses pass on to it in one object


def path_of(thing: object) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def documented() -> dict[str, object]:
    """Public classes, functions and methods with a docstring of their own, by their full names."""
    found = {}
    for _, thing in public_things():
        if inspect.isfunction(thing) or inspect.isclass(thing):
            found[path_of(thing)] = thing
        for member, function in functions_of(thing) if inspect.isclass(thing) else ():
            if (member == ".__call__" or not member.startswith(".__")) and function.__doc__:
                found[path_of(function)] = function
    return found


THINGS = documented()


def due(thing: object, method: bool) -> set[str]:
    """Checks of sections that this thing need not have.

    These are the parameters of a class that only the library makes; of a method See Also and examples, which its class
    has, and what it returns if its one line says that; parameters and results of what is internal.
    """
    doc = inspect.getdoc(thing) or ""
    if not method:
        made = thing in MADE or ("Attributes\n----" in doc and "Parameters\n----" not in doc)
        return {"PR01", "PR02"} if thing in COMMON else {"PR01"} if made else set()
    cls, _, name = thing.__qualname__.rpartition(".")
    parameters = set(inspect.signature(thing).parameters) - {"self", "cls"}
    hidden = name in internal().get(cls, ())
    tellers = ELSEWHERE.get(thing.__qualname__) or ELSEWHERE.get(cls, ())
    explained = " ".join(inspect.getdoc(teller) or "" for teller in tellers)
    told = tellers and all(re.search(rf"\b{each}\b", explained) for each in parameters)
    excused = {"PR01", "RT01"} if hidden or told else {"RT01"} if not parameters and "\n\n" not in doc else set()
    return excused | {"SA01", "EX01"}


def see_also(thing: object) -> list[str]:
    """The names in this section."""
    return [name for names, _ in NumpyDocString(inspect.getdoc(thing) or "")["See Also"] for name, _ in names]


@pytest.mark.parametrize("path", sorted(THINGS))
def test_the_form_of_a_docstring(path: str) -> None:
    thing = THINGS[path]
    method = inspect.isfunction(thing) and "." in thing.__qualname__
    excused = OFF.keys() | due(thing, method)
    faults = [f"{code}: {text}" for code, text in validation.validate(path)["errors"] if code not in excused]
    assert not faults, faults


def raised_by(thing: object) -> set[str]:
    """The exceptions that a function, or a class when it is made or called, raises itself."""
    own = [vars(thing).get(name) for name in ("__init__", "__call__")] if inspect.isclass(thing) else [thing]
    written = [function for function in own if function and function.__code__.co_filename != "<string>"]
    trees = [ast.parse(textwrap.dedent(inspect.getsource(function))) for function in written]
    calls = [node.exc for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    names = {ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)}
    return {name for name in names if name in vars(builtins)} - {"NotImplementedError"}


@pytest.mark.parametrize("path", sorted(THINGS))
def test_what_a_thing_raises_is_in_its_docstring(path: str) -> None:
    thing = THINGS[path]
    owner, _, name = thing.__qualname__.rpartition(".")
    if inspect.isclass(thing) or name not in {*internal().get(owner, ()), "__call__"}:
        listed = {kind for _, kind, _ in NumpyDocString(inspect.getdoc(thing))["Raises"]}
        assert raised_by(thing) <= listed


def test_each_member_on_a_page_has_a_docstring() -> None:
    """Its own, or that of what it overrides."""
    hidden = internal()
    for name, cls in public_things():
        for member, function in functions_of(cls) if inspect.isclass(cls) else ():
            owner, key = function.__qualname__.rpartition(".")[0], member[1:]
            if key not in hidden.get(owner, ()) and not key.startswith("__") and getattr(cls, key) is not None:
                assert inspect.getdoc(getattr(cls, key)), f"{name}.{key}"


def test_the_members_that_pages_leave_out_exist() -> None:
    settings = runpy.run_path(str(CONF))
    bases = {base.__name__: base for _, cls in settings["classes"]() for base in cls.__mro__}
    for name, members in [*settings["INTERNAL"].items(), *settings["HOOKS"].items()]:
        assert not [member for member in members.split() if not hasattr(bases[name], member)], name


@pytest.mark.parametrize("group", SIBLINGS, ids=lambda group: group[0])
def test_siblings_name_each_other(group: tuple[str, ...]) -> None:
    for name in group:
        assert {*see_also(getattr(fb, name))} >= {*group} - {name}, name


@pytest.mark.parametrize("name", [name for name, _ in public_things()])
def test_what_see_also_names_has_a_page(name: str) -> None:
    """By the rules of Sphinx: from the module of this page, or in full."""
    things = dict(public_things())
    for other in see_also(things[name]) if inspect.isclass(things[name]) or inspect.isfunction(things[name]) else ():
        home = "" if other.startswith("fastbp.") else name.rpartition(".")[0]
        full = f"{home}.{other.removeprefix('fastbp.')}".lstrip(".")
        thing, _, member = full.rpartition(".")
        assert full in things or hasattr(things[thing], member), other
        assert full != name


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


def read_number(text: str) -> float:
    """The number that a text such as 1e-3, 1/3 or 2**30 stands for; NaN if it is none."""
    base, _, power = text.strip().rstrip(".").partition("**")
    try:
        return float(Fraction(base)) ** float(power or 1)
    except (ValueError, ZeroDivisionError):
        return math.nan


def states(text: str, default: object) -> bool:
    """Whether a type or description names this default."""
    if default is None or default != default:  # nothing, or NaN
        return "optional" in text or "None" in text
    found = re.findall(r"default=((?:\([^)]*\)|\[[^]]*\]|\"[^\"]*\"|[^,;])+)", text)
    number = isinstance(default, (int, float)) and not isinstance(default, bool)
    wanted = re.sub("'", '"', repr(default))
    return any(read_number(one) == default if number else one.rstrip(". ") == wanted for one in found)


def parameters_of(thing: object) -> tuple[dict[str, str], dict[str, object]]:
    """The text about each documented parameter, and the default of each that the signature has."""
    doc = NumpyDocString(inspect.getdoc(thing) or "")
    texts = {}
    for names, kind, lines in doc["Parameters"]:
        text = " ".join(lines).strip()
        for name in names.split(","):
            texts[name.strip().lstrip("*")] = f"{kind}; {text}" if text else ""
    try:
        signature = inspect.signature(thing).parameters.values()
    except ValueError:  # an exception's
        return texts, {}
    return texts, {p.name: p.default for p in signature if p.default is not inspect.Parameter.empty}


def undescribed(thing: object, elsewhere: dict[str, object]) -> list[str]:
    """What is missing: a description, or a default; "As for `Trainer`" is a description if `Trainer` has one."""
    faults = []
    texts, defaults = parameters_of(thing)
    if inspect.isclass(thing) and "PR01" not in due(thing, False):
        faults += [f"{name} is not documented" for name in defaults if name not in texts]
    for name, text in texts.items():
        asked = re.search(r"As for `([\w.]+)`", text)
        if not text:
            faults.append(f"{name} has no description")
        elif asked and asked[1] in elsewhere:
            theirs, known = parameters_of(elsewhere[asked[1]])
            if name not in theirs:
                faults.append(f"{name} is not explained by {asked[1]}")
            elif name in defaults and not states(text, defaults[name]) and defaults[name] != known.get(name, object()):
                faults.append(f"{name} has another default than in {asked[1]}: {defaults[name]!r}")
        elif name in defaults and not states(text, defaults[name]):
            faults.append(f"{name} does not say that its default is {defaults[name]!r}")
    return faults


DESCRIBED = THINGS | {path_of(thing): thing for _, thing in public_things() if inspect.isclass(thing)}
BY_NAME = {path.rpartition(".")[2]: thing for path, thing in DESCRIBED.items() if inspect.isclass(thing)}
BY_NAME |= {thing.__qualname__: thing for thing in DESCRIBED.values()}


@pytest.mark.parametrize("path", sorted(DESCRIBED))
def test_parameters_are_described_with_their_defaults(path: str) -> None:
    assert not undescribed(DESCRIBED[path], BY_NAME)


def vague(net: int, lr: float = 0.1, seed: int | None = None) -> None:
    """Train.

    Parameters
    ----------
    net : int
    lr : float, default=0.2
        The learning rate.
    seed : int
        The seed.
    """


def test_a_missing_description_and_a_wrong_default_are_found() -> None:
    assert undescribed(vague, {}) == [
        "net has no description",
        "lr does not say that its default is 0.1",
        "seed does not say that its default is None",
    ]
    assert states('"a" or "b", default="a"; it', "a")
    assert states("default=1/3; it", 1 / 3)
    assert not states("default=True", False)
    assert states("default=(0.5, 1.2)", (0.5, 1.2))
