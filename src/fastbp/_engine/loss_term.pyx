"""A loss with its parameters, as a program and the fast path take it: one term of the sum that is minimised."""
from libc.math cimport INFINITY
from libc.stdint cimport int64_t

import numpy as np

from fastbp._engine.kernel_table cimport Loss, Targets
from fastbp._engine.memory cimport address, kernels_of
from fastbp._engine.tables cimport row_named


cdef class Term:
    """An entry of the table of losses, for one number type.

    `numbers` holds a number for each of the entry's parameters (any number where the parameter is a vector), `column`
    the vector, a number for each output, or None; `heads` outputs belong to each target; `share` multiplies the loss;
    with `skips_nan` a target that is NaN is missing, as a class index of -1 is.
    """

    def __init__(self, dtype, name, numbers=(), column=None, Py_ssize_t heads=1, double share=1.0,
                 bint skips_nan=False):
        cdef Py_ssize_t k
        self.kernels = kernels_of(np.dtype(dtype))
        self.targets.loss = <const Loss*> row_named(self.kernels.losses, sizeof(Loss), name)
        for k, number in enumerate(numbers):
            self.targets.numbers[k] = number
        self.column, self.heads = column, heads
        self.targets.column = NULL if column is None else address(column, column.size * self.kernels.item)
        self.targets.share, self.targets.skips_nan, self.targets.ceiling = share, skips_nan, INFINITY

    @property
    def ceiling(self):
        """The upper bound of a single loss in the value, not in the gradient: infinity unless set."""
        return self.targets.ceiling

    @ceiling.setter
    def ceiling(self, double ceiling):
        self.targets.ceiling = ceiling

    @property
    def weighted_mean(self):
        """Whether the loss is divided by the sum of the weights, not by the number of samples: False unless set."""
        return bool(self.targets.weighted_mean)

    @weighted_mean.setter
    def weighted_mean(self, bint weighted_mean):
        self.targets.weighted_mean = weighted_mean

    cdef void place(self, Targets* targets, Py_ssize_t outputs, t, weights, Py_ssize_t rows) except *:
        """Fills in what is known before a batch begins: targets and weights of all rows."""
        cdef Py_ssize_t width = outputs // self.heads, item = self.kernels.item
        targets[0] = self.targets
        targets.width = width
        if t.ndim == 1 and targets.loss.labels:
            targets.indices = <const int64_t*> address(t, rows * sizeof(int64_t))
        else:
            targets.values = address(t, rows * width * item)
        if weights is not None:
            targets.weighs_values = weights.ndim == 2
            targets.weights = address(weights, rows * (width if weights.ndim == 2 else 1) * item)
