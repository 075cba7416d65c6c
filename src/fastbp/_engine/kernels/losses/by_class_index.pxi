"""The entropy of softmax(Y) at class indices, row by row as softmax itself has it.

Neither the targets nor their weights are written out for each output, as `each_group` does: 64 rows of 1,000 classes
took 145 us so, and take 59 (`fastbp.losses.cross_entropy`, float32, one thread).
"""

cdef inline void label_row(const Tensor* dY, const Targets* targets, double share, double* row_loss, Py_ssize_t n,
                           Py_ssize_t label, real y, real log_sum, real over) noexcept nogil:
    """Of the logit y of a row's label, shifted like the row; dY[n] holds exp(Y[n]) so shifted."""
    cdef real counted = (<const real*> targets.column)[label] if targets.column != NULL else 1
    cdef real value = counted * (log_sum - y)
    cdef real factor = <real> share * counted
    cdef Py_ssize_t block
    lower(&value, targets.ceiling, 1)
    row_loss[0] += share * value
    for block in range(blocks(dY.width)):
        scaled(block_of(dY, n, block), block_of(dY, n, block), padded(width_of(dY.width, block)), factor * over)
    at(dY, n, label)[0] -= factor


cdef void each_label(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* dY,
                     Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The entropy of softmax(Y) at class indices: neither targets nor weights are written out for each output."""
    cdef real[MOST_LANES] most, log_sums, over
    cdef Py_ssize_t group, n, r, rows, k, label
    for group in range(parts(stop - start, LANES)):
        n = start + group * LANES
        rows = least(LANES, stop - n)
        largest(Y, n, rows, 1, most)
        shifted_exps(Y, dY, n, rows, 1, most, over)
        for k in range(LANES):
            log_sums[k], over[k] = log(over[k]), <real> 1 / over[k]
        for r in range(rows):
            label = targets.indices[source_row(targets, n + r)]
            if label >= 0:
                label_row(dY, targets, scale * weight_of(targets, n + r), row_losses + n + r, n + r, label,
                          at(Y, n + r, label)[0] - most[r], log_sums[r], over[r])
            else:
                zero_rows(dY, n + r, n + r + 1)
