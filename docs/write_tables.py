"""Writes tables.md: what the package has, read from its tables, signatures and docstrings.

A new row, class or function shows up by itself; what has no table of its own is listed by the module it stands in.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import fastbp as fb
from fastbp import _engine, initializers, losses, metrics
from fastbp.layers import Layer
from fastbp.layers.blocks import Block
from fastbp.layers.constraints import Constraint
from fastbp.optimizers import Optimizer
from fastbp.readers import fann, sklearn
from fastbp.readers.keras import layers as keras
from fastbp.readers.onnx import operators
from fastbp.readers.torch import functions, modules, state_dict
from fastbp.schedules import Schedule
from fastbp.writers import c_table, onnx_table, torch as torch_writer

PAGE = Path(__file__).parent / "tables.md"
HEAD = """# Tables

Everything that the package has by name, written by `python docs/write_tables.py` from its own tables, signatures and
docstrings. `help(fastbp.Dense)` and its like say more.
"""


def cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(heads: str, rows: Iterable[Iterable[object]]) -> str:
    names = [head.strip() for head in heads.split(",")]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(cell(value) for value in row)} |" for row in rows)])


def meaning(thing: object) -> str:
    """The first sentence or line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n")[0].strip()


def arguments(thing: object) -> str:
    """The arguments and their defaults, without types."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return ""
    shown = [str(p.replace(annotation=inspect.Parameter.empty)).replace("'", '"') for p in parameters]
    return f"`{', '.join(shown)}`" if shown else ""


def subclasses(base: type) -> Iterator[type]:
    """The public classes of ours below a base, by name."""
    found, waiting = {}, [base]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind is not base and not kind.__name__.startswith("_") and kind.__module__.startswith("fastbp."):
            found[kind.__name__] = kind
    return iter([found[name] for name in sorted(found)])


def activations() -> str:
    rows = []
    for row in _engine.ACTIVATIONS.values():
        parameters = ", ".join(f"{p.name}={p.value:.4g}" for p in row.parameters)
        rows.append((f"`{row.name}`", row.formula, parameters, ", ".join(row.synonyms), row.start, f"{row.bound:.4g}"))
    return table("name, f(z), parameters, synonyms, weights before it start, largest slope", rows)


def loss_functions() -> str:
    rows = []
    for name, row in _engine.LOSSES.items():
        settings = ", ".join(f"{key}={value!r}" for key, value in getattr(losses, name).settings.items())
        rows.append((f"`{name}`", settings, ("" if row.by_rows else "mean of ") + row.formula))
    return table("name, settings, loss of a row", rows)


def configured(things: dict) -> str:
    """Rows of a table of functions with settings."""
    rows = []
    for name, thing in things.items():
        settings = thing.function.__kwdefaults__ or {}
        rows.append((f"`{name}`", ", ".join(f"{key}={value!r}" for key, value in settings.items()), meaning(thing)))
    return table("name, settings, meaning", rows)


def classes(base: type) -> str:
    return table("name, arguments, meaning", [(f"`{c.__name__}`", arguments(c), meaning(c)) for c in subclasses(base)])


# What each reader reads, from its own tables; each writer's table of activations.
READ = {
    "PyTorch": ("from_torch", lambda: [*modules.MODULES, *torch_modules(), *functions.FUNCTIONS]),
    "state dicts of PyTorch": ("from_torch", lambda: state_dict.STATES),
    "Keras": ("from_keras", lambda: [*keras.LAYERS, *keras.OPERATIONS]),
    "ONNX": ("from_onnx", lambda: [*operators.OPERATORS, *operators.ML_OPERATORS]),
    "scikit-learn": ("from_sklearn", lambda: ["MLPClassifier", "MLPRegressor", "Pipeline", *sklearn.SCALERS]),
    "FANN": ("from_fann", lambda: [row.name for row in fann.ACTIVATIONS.values()]),
}
WRITTEN = {"PyTorch": torch_writer, "ONNX": onnx_table, "C": c_table}


def torch_modules() -> list[str]:
    return [row.module for row in torch_writer.ACTIVATIONS.values() if row.module]


def formats_read() -> str:
    rows = [
        (form, f"`fb.{function}`", meaning(getattr(fb, function)), ", ".join(sorted(set(names()))))
        for form, (function, names) in READ.items()
    ]
    return table("from, function, meaning, what it knows", rows)


def formats_written() -> str:
    methods = {form: f"to_{form.lower().removeprefix('py')}" for form in WRITTEN}
    rows = []
    for form, module in WRITTEN.items():
        method = getattr(fb.Model, methods[form])
        layers = sorted(name for name, c in Layer.classes.items() if getattr(c, "kind", "") in module.IMPOSSIBLE)
        rows.append((form, f"`net.{methods[form]}`", meaning(method), ", ".join(layers)))
    return table("to, method, meaning, all but", rows)


class Operators:
    """A graph of ONNX of which only the operators are of interest."""

    opset, dtype = onnx_table.USUAL, np.dtype("float32")

    def __init__(self) -> None:
        self.kinds: dict[str, None] = {}

    def node(self, kind: str, inputs: list, attributes: dict) -> onnx_table.Value:
        self.kinds[kind] = None
        return onnx_table.Value(self, "")


def activations_elsewhere() -> str:
    theirs: dict[str, list[str]] = {}
    for name, (ours, _) in keras.ACTIVATIONS.items():
        theirs.setdefault(ours, []).append(name)
    rows = []
    for name, row in _engine.ACTIVATIONS.items():
        module, graph = torch_writer.ACTIVATIONS[name], Operators()
        values = [parameter.value for parameter in row.parameters]
        onnx_table.ACTIVATIONS[name](onnx_table.Value(graph, ""), *values, *[0.0] * (2 - len(values)))
        fixed = "".join(f"({key}={value!r})" for key, value in module.fixed.items() if key == "approximate")
        in_torch = f"`nn.{module.module}{fixed}`" if module.module else "a formula"
        rows.append((f"`{name}`", in_torch, ", ".join(theirs.get(name, [])), ", ".join(graph.kinds)))
    return table("name, PyTorch, Keras's other names, ONNX (opset 17)", rows)


def others(page: str) -> str:
    """Names of the package that no table above has."""
    names = [name for name in sorted(fb.__all__) if f"`{name}`" not in page and not name.startswith("_")]
    things = [(name, getattr(fb, name)) for name in names]
    return table("name, arguments, meaning", [(f"`{n}`", arguments(v), meaning(v)) for n, v in things])


SECTIONS = {
    "Activation functions": (
        "Names for `activation=`; those with parameters are functions of the package too, `fb.leaky_relu(0.1)`,\n"
        "and all are functions of `fastbp.activations`. Slopes at kinks are the left ones.",
        activations,
    ),
    "Losses": ("Functions of `fastbp.losses`, and names for `loss=`.", loss_functions),
    "Optimizers": ("Their names in lower case will do too.", lambda: classes(Optimizer)),
    "Learning-rate schedules": ("In the place of `lr`.", lambda: classes(Schedule)),
    "Metrics": ("Functions of `fastbp.metrics`, and names for `metrics=`.", lambda: configured(metrics.METRICS)),
    "Initializers": (
        "Functions of `fastbp.initializers`, and names for `weights=` and `biases=`.",
        lambda: configured(initializers.INITIALIZERS),
    ),
    "Callbacks": ("For `callbacks=`.", lambda: classes(fb.Callback)),
    "Constraints": ("For `constraint=`.", lambda: classes(Constraint)),
    "Layers and gates": ("Called on nodes, they give a node.", lambda: classes(Layer)),
    "Blocks": ("Several layers in one pattern.", lambda: classes(Block)),
    "From other formats": (
        "Activations are known as layers, as functions, and spelled out in arithmetic.\n"
        "[converting.md](converting.md) has examples.",
        formats_read,
    ),
    "To other formats": ("All layers, gates and activations can be written, but for those named.", formats_written),
    "Activations elsewhere": ("What is written, and read back as the same activation.", activations_elsewhere),
}


def page() -> str:
    """The whole text."""
    for name in fb.__all__:  # what is loaded late is there then
        getattr(fb, name)
    parts = [HEAD]
    for title, (words, write) in SECTIONS.items():
        parts.append(f"## {title}\n\n{words}\n\n{write()}\n")
    parts.append(f"## Else\n\nThe other names of the package.\n\n{others(''.join(parts))}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(), encoding="utf-8")
