"""A chain of optimizer rules with its state over the flat parameter vector."""
import numpy as np

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernels cimport MAX_RULES, MAX_SCALARS, MAX_STATES, Rule
from fastbp._engine.memory cimport Arena, address, kernels_of
from fastbp._engine.tables cimport row_named

from fastbp._engine.tables import RULES


cdef bint update_span(const Rules* rules, void* P, const void* G, Py_ssize_t start, Py_ssize_t stop,
                      void* scratch) noexcept nogil:
    """One step on P[start : stop], each part of it by its own rules.  False if some of it was not finite."""
    cdef int k = 0
    cdef bint fine = True
    cdef Py_ssize_t end
    while start < stop:
        while rules.segments[k].stop <= start:
            k += 1
        end = min(stop, rules.segments[k].stop)
        fine &= rules.kernels.update(rules.segments[k].group.links, rules.segments[k].group.n_links, P, G, start, end,
                                     scratch)
        start = end
    return fine


cdef class Chain:
    """Rules applied one after the other: each changes the parameters, or hands on another gradient.

    `groups` is a list of (lr_scale, rules), rules a list of (name, parameters); `segments` says which parts of the
    n parameters a group has: a list of (stop, group), each part from the stop before; None gives the first group all.
    `states` is an array (state vectors, n) and `t` the number of steps taken; both may be set, to go on from a saved
    state.
    """

    def __init__(self, dtype, groups, Py_ssize_t n, segments=None):
        cdef int k
        segments = [(n, 0)] if segments is None else segments
        self.arrays, self.n, self.t = [], n, 0
        self.rules.kernels = kernels_of(np.dtype(dtype))
        self.scratch = self.own(self.rules.kernels.scratch)
        self.n_groups, self.rules.n_segments = len(groups), len(segments)
        self.groups = <Group*> self.own(self.n_groups * sizeof(Group))
        self.rules.segments = <Segment*> self.own(self.rules.n_segments * sizeof(Segment))
        for k, (stop, group) in enumerate(segments):
            self.rules.segments[k].stop, self.rules.segments[k].group = stop, self.groups + <int> group
        wanted = [sum([RULES[name].states for name, _ in rules]) for _, rules in groups]
        self.states = np.zeros((max(wanted), n), dtype)
        for k, (lr_scale, rules) in enumerate(groups):
            self.groups[k].lr_scale = lr_scale
            self.fill(self.groups + k, rules)

    cdef void* own(self, Py_ssize_t size) except NULL:
        """Zeroed memory that lives as long as the chain."""
        cdef Arena arena = Arena(size)
        self.arrays.append(arena)
        return arena.take(size)

    cdef void fill(self, Group* group, rules) except *:
        cdef const Rule* rule
        cdef int c, s
        cdef char* states = <char*> address(self.states, self.states.nbytes)
        assert len(rules) <= MAX_RULES
        group.n_links = len(rules)
        for c, (name, parameters) in enumerate(rules):
            rule = <const Rule*> row_named(self.rules.kernels.rules, sizeof(Rule), name)
            assert len(parameters) == rule.parameters <= MAX_SCALARS and rule.states <= MAX_STATES
            group.links[c].rule = rule
            for s, parameter in enumerate(parameters):
                group.links[c].parameters[s] = parameter
            for s in range(rule.states):
                group.links[c].states[s] = states
                states += self.n * self.rules.kernels.item

    def penalise(self, penalties):
        """Adds to the loss of each batch a group's penalty / (2 rows) |P|^2, which l2_by_rows is the gradient of."""
        for k, penalty in enumerate(penalties):
            self.groups[<int> k].penalty = penalty

    cdef double penalty(self, const void* P, double scale) noexcept nogil:
        """What is added to the loss of a batch."""
        cdef double total = 0
        cdef Py_ssize_t start = 0
        cdef int k
        for k in range(self.rules.n_segments):
            if self.rules.segments[k].group.penalty != 0:
                total += self.rules.segments[k].group.penalty * self.rules.kernels.sum_of_squares(
                    <const char*> P + start * self.rules.kernels.item, self.rules.segments[k].stop - start)
            start = self.rules.segments[k].stop
        return total * scale / 2

    cdef void prepare(self, double lr, double scale) noexcept nogil:
        """Begins step t + 1."""
        cdef int k, c
        cdef ChainLink* link
        cdef Step step
        self.t += 1
        step.t, step.scale = <double> self.t, scale
        for k in range(self.n_groups):
            step.lr = lr * self.groups[k].lr_scale
            for c in range(self.groups[k].n_links):
                link = self.groups[k].links + c
                link.rule.prepare(link.parameters, &step, link.scalars)

    def step(self, params, grads, double lr, spans=None):
        """One step on flat vectors, or on stretches (start, stop) of them; False if part of it was not finite and so
        withheld."""
        cdef Py_ssize_t size = self.n * self.rules.kernels.item, start, stop
        cdef void* P = address(params, size)
        cdef const void* G = address(grads, size)
        cdef fp_mode mode
        cdef bint fine = True
        self.prepare(lr, 1)
        for start, stop in [(0, self.n)] if spans is None else spans:
            with nogil:
                mode = flush_subnormals()
                fine &= update_span(&self.rules, P, G, start, stop, self.scratch)
                restore_mode(mode)
        return fine
