"""A chain of optimizer rules with its state over the flat parameter vector."""
from libc.stdlib cimport free, malloc

import numpy as np

from fastbp._engine.flush cimport flush_subnormals, fp_mode, restore_mode
from fastbp._engine.kernels cimport MAX_RULES, MAX_SCALARS, MAX_STATES, Rule
from fastbp._engine.memory cimport address, kernels_of
from fastbp._engine.tables cimport row_named


cdef class Chain:
    """Rules applied one after the other: each changes the parameters, or hands on another gradient.

    `rules` is a list of (name, parameters).  `states` is an array (state vectors, n) and `t` the number
    of steps taken; both may be set, to go on from a saved state.
    """

    def __init__(self, dtype, rules, Py_ssize_t n):
        cdef const Rule* rule
        cdef Py_ssize_t count = 0, s
        cdef char* states
        assert len(rules) <= MAX_RULES
        self.kernels = kernels_of(np.dtype(dtype))
        self.n_links, self.n, self.t = len(rules), n, 0
        self.scratch = <char*> malloc(self.kernels.scratch)
        if self.scratch == NULL:
            raise MemoryError
        for c, (name, parameters) in enumerate(rules):
            rule = <const Rule*> row_named(self.kernels.rules, sizeof(Rule), name)
            assert len(parameters) == rule.parameters <= MAX_SCALARS and rule.states <= MAX_STATES
            self.links[c].rule = rule
            for s, parameter in enumerate(parameters):
                self.links[c].parameters[s] = parameter
            count += rule.states
        self.states = np.zeros((count, n), dtype)
        states = <char*> address(self.states, count * n * self.kernels.item)
        for c in range(self.n_links):
            for s in range(self.links[c].rule.states):
                self.links[c].states[s] = states
                states += n * self.kernels.item

    def __dealloc__(self):
        free(self.scratch)

    cdef void prepare(self, double lr) noexcept nogil:
        """Begins step t + 1."""
        cdef int c
        self.t += 1
        for c in range(self.n_links):
            self.links[c].rule.prepare(self.links[c].parameters, lr, <double> self.t, self.links[c].scalars)

    def step(self, params, grads, double lr, spans=None):
        """One step on flat vectors, or on stretches (start, stop) of them; False if part of it was not finite and so
        withheld."""
        cdef Py_ssize_t size = self.n * self.kernels.item, start, stop
        cdef void* P = address(params, size)
        cdef const void* G = address(grads, size)
        cdef fp_mode mode
        cdef bint fine = True
        self.prepare(lr)
        for start, stop in [(0, self.n)] if spans is None else spans:
            with nogil:
                mode = flush_subnormals()
                fine &= self.kernels.update(self.links, self.n_links, P, G, start, stop, self.scratch)
                restore_mode(mode)
        return fine
