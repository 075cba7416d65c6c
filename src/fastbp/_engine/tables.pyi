"""Types of tables.pyx."""

from typing import NamedTuple

class Activation(NamedTuple):
    name: str
    start: str
    alpha: float
    by_rows: bool

class Loss(NamedTuple):
    name: str
    formula: str
    by_rows: bool
    smooth: bool
    labels: bool
    heads: int
    low: float
    high: float
    whole: bool
    parameters: tuple[Parameter, ...]

class Parameter(NamedTuple):
    name: str
    standard: float
    low: float
    high: float
    kind: str

class Rule(NamedTuple):
    name: str
    states: int
    scalars: int
    whole: bool

ACTIVATIONS: dict[str, Activation]
CONSTRAINTS: tuple[str, ...]
LOSSES: dict[str, Loss]
OPS: tuple[str, ...]
RULES: dict[str, Rule]
SOURCES: tuple[str, ...]
