"""A chain of update rules with its state over the flat parameter vector.

Most rules need only a stretch of the vectors, so a thread applies the whole chain to a stretch while it is in its
cache. Where a rule needs the norm of the whole gradient or whole matrices first, the chain is cut into stages, with a
barrier for all threads between them. A stage begins with the gradient of the pass, or with a state of the rule before
the cut. Where a net has constraints, the rules that average parameters are one more stage, after the constraints.
"""
from libc.math cimport NAN, isfinite, sqrt
from libc.stdlib cimport malloc
from libc.string cimport memcpy

import numpy as np

from fastbp._engine.kernel_table cimport MAX_RULES, MAX_SCALARS, MAX_STATES, Rule
from fastbp._engine.memory cimport Arena, address, kernels_of
from fastbp._engine.tables cimport row_named

from fastbp._engine.tables import RULES

cdef enum:
    MOST_WORKS = 8              # threads that work on matrices
    LONG_MATRICES = 200000000   # floating-point operations; a matrix takes five iterations of three products
    SQUARES = 4096              # numbers of the gradient in a block, whose squares one thread sums


cdef bint update_span(const Rules* rules, void* P, const void* G, Py_ssize_t start, Py_ssize_t stop,
                      void* scratch) noexcept nogil:
    """One stage of a step on P[start : stop], each segment by the rules of its group.  False if not all was finite."""
    cdef int k = 0, first, count
    cdef bint fine = True
    cdef Py_ssize_t end
    cdef Group* group
    cdef const void* handed
    while start < stop:
        while rules.segments[k].stop <= start:
            k += 1
        end, group = min(stop, rules.segments[k].stop), rules.segments[k].group
        first, handed = group.cuts[rules.stage], group.handed[rules.stage]
        if rules.stage == rules.n_stages:
            first = group.averages
        count = 1 if rules.collecting else group.cuts[rules.stage + 1] - first
        if rules.averages_wait and rules.stage < rules.n_stages and not rules.collecting:
            count = min(count, group.averages - first)
        if count > 0:
            fine &= rules.kernels.update(group.links + first, count, P, G if handed == NULL else handed, start, end,
                                         scratch)
        start = end
    return fine


cdef void squares_part(const Rules* rules, int part, int of) noexcept nogil:
    """Sums of squares of some blocks of the gradient that the stage begins with, each the same in any thread."""
    cdef const char* G = <const char*> (rules.G if rules.groups.handed[rules.stage] == NULL
                                        else rules.groups.handed[rules.stage])
    cdef Py_ssize_t count = (rules.n + SQUARES - 1) // SQUARES, k
    for k in range(count * part // of, count * (part + 1) // of):
        rules.squares[k] = rules.kernels.sum_of_squares(G + k * SQUARES * rules.kernels.item,
                                                        min(<Py_ssize_t> SQUARES, rules.n - k * SQUARES))


cdef bint take_norm(Rules* rules) noexcept nogil:
    """Adds the sums of the blocks in order; gives the norm to the rules that want it.  False if it is not finite."""
    cdef Py_ssize_t k
    cdef int g, c
    cdef double total = 0
    for k in range((rules.n + SQUARES - 1) // SQUARES):
        total += rules.squares[k]
    rules.step.norm = sqrt(total)
    for g in range(rules.n_groups):
        for c in range(rules.groups[g].n_links):
            if rules.groups[g].links[c].rule.wants_norm:
                prepare_link(rules.groups[g].links + c, &rules.step, rules.groups[g].lr_scale)
    return isfinite(total)


cdef void matrices_part(const Rules* rules, const Context* context, int part, int of) noexcept nogil:
    """Applies their rule to every `step`-th matrix of the last stage's result."""
    cdef int k = part, step = min(of, rules.n_works)
    cdef const Matrix* matrix
    cdef char* A
    while part < step and k < rules.n_matrices:
        matrix = rules.matrices + k
        A = <char*> matrix.link.states[matrix.link.rule.hands_on] + matrix.start * rules.kernels.item
        matrix.link.rule.matrix(matrix.link.scalars, A, matrix.rows, matrix.columns, rules.works + part * rules.work,
                                context)
        k += step


cdef bint long_matrices(const Rules* rules) noexcept nogil:
    """Whether the work on matrices is long enough to be interruptible: from about 5 ms on."""
    cdef int k
    cdef double total = 0
    cdef const Matrix* matrix
    for k in range(rules.n_matrices):
        matrix = rules.matrices + k
        total += 30.0 * matrix.rows * matrix.columns * min(matrix.rows, matrix.columns)
    return total > LONG_MATRICES


cdef void prepare_link(ChainLink* link, Step* step, double lr_scale) noexcept nogil:
    cdef double lr = step.lr
    step.lr = lr * lr_scale
    link.rule.prepare(link.parameters, step, link.scalars)
    step.lr = lr


cdef class Chain:
    """Rules applied one after the other: each changes the parameters, or hands another gradient to the next rule.

    `groups` is a list of (lr_scale, rules), rules a list of (name, parameters); `segments` assigns the n parameters to
    groups: a list of (stop, group), each segment from the previous stop on; None assigns all to the first group.
    `matrices` are the weight matrices that a rule needs whole: (start, rows, columns, group).
    `shown_penalty` is the factor of the penalties in the losses that batches report: 0 unless set.
    `states` is an array (state vectors, n), `t` the number of batches seen, `loss` the loss of the last batch; all may
    be set, to continue from a saved state.
    """

    def __init__(self, dtype, groups, Py_ssize_t n, segments=None, matrices=()):
        cdef int k
        segments = [(n, 0)] if segments is None else segments
        stops = [stop for stop, _ in segments]
        assert stops == sorted(stops) and max(stops) == n    # else update_span would read past the last
        self.arrays, self.n, self.t, self.loss, self.every = [], n, 0, NAN, 1
        self.rules.kernels, self.rules.n = kernels_of(np.dtype(dtype)), n
        self.rules.n_groups, self.rules.n_segments = len(groups), len(segments)
        self.rules.groups = <Group*> self.own(self.rules.n_groups * sizeof(Group))
        self.rules.segments = <Segment*> self.own(self.rules.n_segments * sizeof(Segment))
        self.rules.squares = <double*> self.own((n // SQUARES + 1) * sizeof(double))
        for k, (stop, group) in enumerate(segments):
            self.rules.segments[k].stop, self.rules.segments[k].group = stop, self.rules.groups + <int> group
        wanted = [sum([RULES[name].states for name, _ in rules]) for _, rules in groups]
        # np.empty and fill instead of np.zeros: NumPy asks for huge pages only for memory that it does not clear.
        self.states = np.empty((max(wanted), n), dtype)
        self.states.fill(0)
        self.states_data, self.n_states = <char*> address(self.states, self.states.nbytes), len(self.states)
        for k, (lr_scale, rules) in enumerate(groups):
            self.rules.groups[k].lr_scale = lr_scale
            self.fill(self.rules.groups + k, rules)
        self.cut()
        self.place(matrices)

    cdef void* own(self, Py_ssize_t size) except NULL:
        """Zeroed memory that lives as long as the chain."""
        cdef Arena arena = Arena(size)
        self.arrays.append(arena)
        return arena.take(size)

    cdef void fill(self, Group* group, rules) except *:
        cdef const Rule* rule
        cdef int c, s
        cdef Py_ssize_t size = self.n * self.rules.kernels.item, used = 0
        cdef char* states = <char*> address(self.states, self.states.nbytes)
        assert len(rules) <= MAX_RULES
        group.n_links = len(rules)
        for c, (name, parameters) in enumerate(rules):
            rule = <const Rule*> row_named(self.rules.kernels.rules, sizeof(Rule), name)
            assert len(parameters) == rule.parameters <= MAX_SCALARS and rule.states <= MAX_STATES
            group.links[c].rule = rule
            for s, parameter in enumerate(parameters):
                group.links[c].parameters[s] = parameter
            if rule.averages:
                used = len(self.states) - 1
            for s in range(rule.states):
                group.links[c].states[s] = states + (used + s) * size
            used += rule.states
            if name == "l2_of_sum":
                group.penalty = parameters[0]

    cdef char* keep(self, const char* P) noexcept nogil:
        """A copy of the parameters and of all states, which the caller frees; NULL if there is no memory for it."""
        cdef Py_ssize_t size = self.n * self.rules.kernels.item
        cdef char* kept = <char*> malloc(size * (self.n_states + 1) + 1)
        if kept != NULL:
            memcpy(kept, P, size)
            memcpy(kept + size, self.states_data, size * self.n_states)
        return kept

    cdef void put_back(self, char* P, char* kept) noexcept nogil:
        cdef Py_ssize_t size = self.n * self.rules.kernels.item
        memcpy(P, kept, size)
        memcpy(self.states_data, kept + size, size * self.n_states)

    cdef double penalty(self, const void* P, double scale) noexcept nogil:
        """The penalty added to the loss of a batch: `shown_penalty` times the function whose gradient l2_of_sum is."""
        cdef double total = 0
        cdef Py_ssize_t start = 0
        cdef int k
        for k in range(self.rules.n_segments if self.shown_penalty != 0 else 0):
            if self.rules.segments[k].group.penalty != 0:
                total += self.rules.segments[k].group.penalty * self.rules.kernels.sum_of_squares(
                    <const char*> P + start * self.rules.kernels.item, self.rules.segments[k].stop - start)
            start = self.rules.segments[k].stop
        return self.shown_penalty * total * scale / 2

    def cut(self):
        """Finds the stages, which all groups share, and which links of each group are in each stage."""
        cdef int g, c
        cdef Group* group
        cdef const Rule* rule
        cdef bint norm = False, whole = False
        for g in range(self.rules.n_groups):
            for c in range(self.rules.groups[g].n_links):
                rule = self.rules.groups[g].links[c].rule
                norm, whole = norm or rule.wants_norm, whole or rule.matrix != NULL
                if rule.collects:
                    assert c == 0
                    self.every = <long long> self.rules.groups[g].links[c].parameters[0]
        self.rules.wants_norm[1], self.rules.wants_matrices[1 + norm] = norm, whole
        self.rules.n_stages = 1 + norm + whole
        for g in range(self.rules.n_groups):
            group = self.rules.groups + g
            for c in range(group.n_links, -1, -1):
                if norm and c < group.n_links and group.links[c].rule.wants_norm:
                    self.begin_stage(g, 1, c)
                if whole and (c == group.n_links or c > 0 and group.links[c - 1].rule.matrix != NULL):
                    self.begin_stage(g, 1 + norm, c)
            group.cuts[self.rules.n_stages] = group.cuts[self.rules.n_stages + 1] = group.averages = group.n_links
            while group.averages > 0 and group.links[group.averages - 1].rule.averages:
                group.averages -= 1

    def begin_stage(self, int g, int stage, int first):
        """Begins a group's stage at link `first`, with the gradient that the links before it hand on."""
        cdef Group* group = self.rules.groups + g
        cdef int c
        group.cuts[stage] = first
        for c in range(first):
            if group.links[c].rule.hands_on >= 0:
                group.handed[stage] = group.links[c].states[group.links[c].rule.hands_on]

    def place(self, matrices):
        cdef int k, c
        cdef Matrix* matrix
        cdef Group* group
        # The largest first: the caller's thread, the only one that can look for signals, then ends last.
        matrices = sorted(matrices, key=lambda each: -each[1] * each[2] * min(each[1:3]))
        self.rules.n_matrices = len(matrices)
        self.rules.matrices = <Matrix*> self.own(self.rules.n_matrices * sizeof(Matrix))
        for k, (start, rows, columns, g) in enumerate(matrices):
            matrix, group = self.rules.matrices + k, self.rules.groups + <int> g
            matrix.start, matrix.rows, matrix.columns = start, rows, columns
            for c in range(group.n_links):
                if group.links[c].rule.matrix != NULL:
                    matrix.link = group.links + c
            self.rules.work = max(self.rules.work, matrix.link.rule.matrix_work(matrix.rows, matrix.columns)
                                  * self.rules.kernels.item)
        self.rules.n_works = <int> min(len(matrices), MOST_WORKS)
        self.rules.works = <char*> self.own(self.rules.n_works * self.rules.work)

    cdef void prepare(self, double lr, double loss, double scale) noexcept nogil:
        """Begins the next step, or with accumulation the next batch of a step."""
        cdef int g, c
        cdef Step* step = &self.rules.step
        cdef Group* group
        self.t += 1
        step.lr, step.batch, step.norm, step.scale = lr, <double> self.t, 0, scale / <double> self.every
        step.t = <double> ((self.t - 1) // self.every + 1)
        step.loss_before, step.loss, self.loss = self.loss, loss, loss
        self.rules.collecting, self.rules.stage, self.rules.averages_wait = self.t % self.every != 0, 0, False
        for g in range(self.rules.n_groups):
            group = self.rules.groups + g
            for c in range(1 if self.rules.collecting else group.n_links):
                prepare_link(group.links + c, step, group.lr_scale)
