"""Entries of the kernel tables by name, and the tables as Python sees them.

Every list of names in the library is read from here.
"""
from collections import namedtuple

import numpy as np

from fastbp._engine cimport kernel_table as c
from fastbp._engine.memory cimport kernels_of

Activation = namedtuple(
    "Activation", "name formula synonyms start parameters ordered by_rows draws curved bound")
Setting = namedtuple("Setting", "name value low high above")
Loss = namedtuple("Loss", "name formula by_rows smooth labels heads low high whole parameters")
Parameter = namedtuple("Parameter", "name standard low high kind")
Rule = namedtuple("Rule", "name states scalars whole")


cdef inline const char* name_of(const void* row) noexcept:
    return (<const char**> row)[0]


cdef const void* row_named(const void* rows, Py_ssize_t size, name) except NULL:
    cdef bytes wanted = name.encode()
    cdef const char* row = <const char*> rows
    while name_of(row) != NULL:
        if name_of(row) == wanted:
            return row
        row += size
    raise KeyError(name)


cdef names_in(const void* rows, Py_ssize_t size):
    """The names of all entries."""
    cdef const char* row = <const char*> rows
    found = []
    while name_of(row) != NULL:
        found.append(name_of(row).decode())
        row += size
    return tuple(found)


cdef setting(const c.Setting* p):
    return Setting(p.name.decode(), p.value, p.low, p.high, p.above)


def _activations():
    cdef int k
    cdef const c.Activation* row = kernels_of(np.dtype("float64")).activations
    while row.name != NULL:
        synonyms = () if row.synonyms == NULL else tuple(row.synonyms.decode().split())
        parameters = tuple([setting(&row.parameters[k]) for k in range(2) if row.parameters[k].name != NULL])
        yield Activation(
            row.name.decode(), row.formula.decode(), synonyms, row.start.decode(), parameters, row.ordered,
            row.rows_value != NULL and not row.draws, row.draws, row.curvature != NULL, row.bound)
        row += 1


cdef _parameters(const c.Loss* row):
    kinds = {c.NUMBER: "number", c.FLAG: "flag", c.EACH_OUTPUT: "each output", c.HEADS: "heads"}
    cdef const c.Parameter* p = &row.parameters[0]
    found = []
    while p < row.parameters + c.MAX_PARAMETERS and p.name != NULL:
        found.append(Parameter(p.name.decode(), p.standard, p.low, p.high, kinds[p.kind]))
        p += 1
    return tuple(found)


def _losses():
    cdef const c.Loss* row = kernels_of(np.dtype("float64")).losses
    while row.name != NULL:
        yield Loss(row.name.decode(), row.formula.decode(), row.of_group != NULL,
                   row.tangent != NULL or row.curvature != NULL, row.labels, row.heads, row.low, row.high, row.whole,
                   _parameters(row))
        row += 1


def _rules():
    cdef const c.Rule* row = kernels_of(np.dtype("float64")).rules
    while row.name != NULL:
        yield Rule(row.name.decode(), row.states, row.parameters, row.matrix != NULL)
        row += 1


cdef const c.Kernels* any_kernels = kernels_of(np.dtype("float64"))
ACTIVATIONS = {row.name: row for row in _activations()}
CONSTRAINTS = names_in(any_kernels.constraints, sizeof(c.Constraint))
OPS = names_in(any_kernels.ops, sizeof(c.OpKind))
LOSSES = {row.name: row for row in _losses()}
SOURCES = names_in(any_kernels.sources, sizeof(c.SourceKind))
RULES = {row.name: row for row in _rules()}
