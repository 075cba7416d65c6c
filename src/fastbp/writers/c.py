"""Writer of C: one C99 file that computes the outputs of one row, using only math.h.

Intermediate results are on the stack; a buffer is reused after its last reader. If the stack is small, define
PREDICT_STORAGE as `static`. Rejected: a pointer to the caller's memory as an argument of every call.
"""

import os
import re

import numpy as np

from fastbp._engine import ACTIVATIONS
from fastbp.files import safetensors
from fastbp.network.network import Network
from fastbp.writers import steps
from fastbp.writers.activation_formats import FORMATS
from fastbp.writers.c_table import FORM, FUNCTIONS, IMPOSSIBLE, KINDS, Names
from fastbp.writers.steps import INPUT, Step

KEYWORDS = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main real"
)


def write(net: Network, path: str | os.PathLike, name: str) -> None:
    """The implementation of `Model.to_c`."""
    text = source(net, name)
    with safetensors.replacing(path) as file:
        file.write(text.encode("ascii"))


def source(net: Network, name: str = "predict") -> str:
    """The text of the file."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in KEYWORDS.split():
        raise ValueError(f"name must be an identifier of C, got {name!r}")
    found = steps.require(net, FORM, KINDS, IMPOSSIBLE)
    return _Writer(net, found, name).text()


class _Writer:
    """The parts of the file."""

    def __init__(self, net: Network, found: list[Step], name: str):
        self.net, self.found, self.name = net, found, name
        self.single = net.dtype == np.float32
        self.inputs, self.outputs = steps.ends(net, KINDS)
        self.arrays: dict[str, str] = {}  # names in C by our full names
        self.functions: dict[str, str] = {}
        self.sizes: list[int] = []

    def text(self) -> str:
        """The whole file."""
        body = self.body()
        kind, suffix = ("float", "f") if self.single else ("double", "")
        glue = f"##{suffix}" if suffix else ""
        math = [f"#define F(name) name{glue}", f"#define K(number) number{glue}"]
        used = "\n".join([*body, *self.functions.values()])
        macros = [line for line, token in zip(math, ("F(", "K("), strict=True) if token in used]
        buffers = [f"    PREDICT_STORAGE real t{k}[{size}];" for k, size in enumerate(self.sizes)]
        storage = ["#ifndef PREDICT_STORAGE", "#define PREDICT_STORAGE /* or: static */", "#endif"] if buffers else []
        return "\n".join(
            [
                *self.head(),
                *(["#include <math.h>"] if "F(" in used or "log_det(" in used else []),
                "",
                f"typedef {kind} real;",
                *macros,
                *storage,
                "",
                *self.tables(),
                *self.functions.values(),
                f"{self.signature()};",
                "",
                self.signature(),
                "{",
                *(["    int i;"] if any("(i = 0" in line for line in body) else []),
                *buffers,
                *self.unused(body),
                *body,
                "}",
                "",
            ]
        )

    def unused(self, body: list[str]) -> list[str]:
        """Casts to void of inputs that no line reads, for example if all outputs are constant."""
        named = [f"x{k + 1 if len(self.inputs) > 1 else ''}" for k in range(len(self.inputs))]
        return [f"    (void){x};" for x in named if not re.search(rf"\b{x}\b", "\n".join(body))]

    def head(self) -> list[str]:
        """The comment at the head of the file: its origin, its inputs and outputs."""
        lines = [f"/* {_plain(self.net.name)}: outputs of one row, written by fastbp from a model in {self.net.dtype}."]
        for sign, ends in (("x", self.inputs), ("y", self.outputs)):
            many = len(ends) > 1
            for k, number in enumerate(ends):
                step = self.found[number]
                lines.append(f"   {sign}{k + 1 if many else ''}: {step.width} numbers, {_plain(step.name)}")
        return [*lines, "*/"]

    def signature(self) -> str:
        """The signature of the function."""
        xs, ys = (
            [f"{sign}{k + 1 if len(ends) > 1 else ''}" for k in range(len(ends))]
            for sign, ends in (("x", self.inputs), ("y", self.outputs))
        )
        return f"void {self.name}({', '.join([*(f'const real *{x}' for x in xs), *(f'real *{y}' for y in ys)])})"

    def tables(self) -> list[str]:
        """The parameters; those of a layer that is used several times appear once."""
        lines: list[str] = []
        written: set[str] = set()
        for step in self.found:
            for name, array in step.arrays.items():
                full = f"{step.layer.name}.{name}"
                if full in written:
                    continue
                written.add(full)
                shape = " x ".join(map(str, array.shape)) or "a number"
                rows = array.reshape(-1, (array.shape or (1,))[-1])
                lines += [
                    f"/* {_plain(full)}: {shape} */",
                    f"static const real {self.arrays[full]}[{array.size}] = {{",
                    *("    " + ", ".join(map(self.number, row.tolist())) + "," for row in rows),
                    "};",
                    "",
                ]
        return lines

    def number(self, value: float) -> str:
        """A constant that is exactly this number."""
        if self.single:
            text = str(np.float32(value)) if np.isfinite(np.float32(value)) else repr(value)
            return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
        return repr(float(value))

    def body(self) -> list[str]:
        """The lines of the function, one block for each step."""
        last = {parent: step.number for step in self.found for parent in step.parents}
        last |= dict.fromkeys(self.outputs, len(self.found))
        many = len(self.inputs) > 1
        places = {k: f"x{place + 1 if many else ''}" for place, k in enumerate(self.inputs)}
        free: list[int] = []
        lines: list[str] = []
        for step in self.found:
            if step.kind == INPUT:
                continue
            buffer = self.taken(free, step.width)
            places[step.number] = f"t{buffer}"
            lines += self.block(step, places)
            done = {k for k in (*step.parents, step.number) if last.get(k, -1) <= step.number}
            free += sorted(int(places[k][1:]) for k in done if places[k].startswith("t"))
        for place, k in enumerate(self.outputs):
            y = f"y{place + 1 if len(self.outputs) > 1 else ''}"
            lines.append(f"    for (i = 0; i < {self.found[k].width}; i++) {y}[i] = {places[k]}[i];")
        return lines

    def taken(self, free: list[int], width: int) -> int:
        """The free buffer that fits best, or a new one."""
        if not free:
            self.sizes.append(width)
            return len(self.sizes) - 1
        best = min(free, key=lambda k: (self.sizes[k] < width, abs(self.sizes[k] - width)))
        free.remove(best)
        self.sizes[best] = max(self.sizes[best], width)
        return best

    def block(self, step: Step, places: dict[int, str]) -> list[str]:
        """The lines of one step."""
        if step.kind in FUNCTIONS:
            most = max(len(each.parents) for each in self.found if each.kind in FUNCTIONS)
            self.functions[FUNCTIONS[step.kind]] = FUNCTIONS[step.kind].replace("MOST", str(most))
        p = {}
        for name in step.arrays:
            full = f"{step.layer.name}.{name}"
            p[name] = self.arrays.setdefault(full, f"p{len(self.arrays)}")
        widths = [self.found[k].width for k in step.parents]
        names = Names([places[k] for k in step.parents], widths, places[step.number], p, self.number)
        lines = KINDS[step.kind](step, names)
        activation = step.settings.get("activation", "linear")
        if activation != "linear":
            lines = [*lines, self.activated(activation, step, names)]
        title = f"    /* {_plain(step.name)}: {_plain(step.layer.describe())} */"
        braces = any(line.startswith(("real ", "const ")) for line in lines)
        lines = ["{", *lines, "}"] if braces else lines
        return [title, *(f"    {line}" for line in lines)]

    def activated(self, activation: str, step: Step, names: Names) -> str:
        """The call of an activation's function; the first call also writes the function."""
        expression = FORMATS[activation].c
        if ACTIVATIONS[activation].by_rows:
            head = f"static void {activation}_(real *y, int n)"
            self.functions[activation] = f"{head}\n{{\n{expression}\n}}\n"
            return f"{activation}_({names.y}, {step.width});"
        used = [letter for letter in "ab" if re.search(rf"\b{letter}\b", expression)]
        parameters = ", ".join(["real z", *(f"real {letter}" for letter in used)])
        body = f"    return {expression};"
        self.functions[activation] = f"static real {activation}_({parameters})\n{{\n{body}\n}}\n"
        values = {"a": step.alpha, "b": step.beta}
        call = ", ".join([f"{names.y}[i]", *(self.number(values[letter]) for letter in used)])
        return f"for (i = 0; i < {step.width}; i++) {names.y}[i] = {activation}_({call});"


def _plain(text: str) -> str:
    """A name with which a comment cannot end early."""
    return re.sub(r"[^\w .:,()=-]", "_", text, flags=re.ASCII)
