"""Types of tables.pyx."""

from typing import NamedTuple

class Setting(NamedTuple):
    name: str
    value: float
    low: float
    high: float
    above: bool

class Activation(NamedTuple):
    name: str
    formula: str
    synonyms: tuple[str, ...]
    start: str
    parameters: tuple[Setting, ...]
    ordered: bool
    by_rows: bool
    draws: bool
    curved: bool
    bound: float

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
