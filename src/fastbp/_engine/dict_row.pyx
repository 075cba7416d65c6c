"""Samples that come as dicts of features, one at a time: a dict becomes a row of X in the time of a dozen look-ups."""
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastbp._engine.memory cimport address


cdef class DictRow:
    """A batch of one row that dicts are written into.

    `columns` maps features to columns, `labels` labels to class indices; `labels` is None where y is a number.
    `row` (1, inputs) and `target`, (1, 1) or (1,) of int64, are overwritten by each dict.
    """

    def __init__(self, dict columns, labels, row, target):
        self.columns, self.labels, self.row, self.target = columns, labels, row, target
        self.data, self.size = <char*> address(row, row.nbytes), row.nbytes
        self.single = row.itemsize == 4
        self.target_data = <char*> address(target, target.nbytes)

    cdef inline void put(self, char* data, Py_ssize_t k, double value) noexcept:
        if self.single:
            (<float*> data)[k] = <float> value
        else:
            (<double*> data)[k] = value

    def fill(self, dict x, bint all_known=False):
        """Write a dict into the row; False, with the row half written, if `all_known` and a feature is unknown."""
        memset(self.data, 0, self.size)
        for feature, value in x.items():
            column = self.columns.get(feature)
            if column is not None:
                self.put(self.data, <Py_ssize_t> column, <double> value)
            elif all_known:
                return False
        return True

    def take(self, x, y):
        """Write a dict and its label or number; False if x is no dict, or a feature or the label is unknown."""
        if type(x) is not dict or not self.fill(<dict> x, True):
            return False
        if self.labels is None:
            self.put(self.target_data, 0, <double> y)
            return True
        label = (<dict> self.labels).get(y)
        if label is None:
            return False
        (<int64_t*> self.target_data)[0] = <int64_t> label
        return True
