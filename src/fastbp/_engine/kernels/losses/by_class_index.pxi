"""The cross-entropy of softmax(Y) at class indices, by rows like softmax.

Rejected: writing out one-hot targets and their weights, as `each_group` does.  64 rows of 1,000 classes took 145 us
that way, and take 59 (`fastbp.losses.cross_entropy`, float32, one thread).
"""

cdef inline real label_loss(const Targets* targets, double share, double* row_loss, Py_ssize_t label, real y,
                            real log_sum) noexcept nogil:
    """Adds a row's loss, from the logit y of its label, shifted like the row; returns the factor of its gradient."""
    cdef real counted = (<const real*> targets.column)[label] if targets.column != NULL else 1
    cdef real value = counted * (log_sum - y)
    lower(&value, targets.ceiling, 1)
    row_loss[0] += share * value
    return <real> share * counted


cdef inline void label_row(const Tensor* dY, const Targets* targets, double share, double* row_loss, Py_ssize_t n,
                           Py_ssize_t label, real y, real log_sum, real over) noexcept nogil:
    """`label_loss` with the gradient; dY[n] holds exp(Y[n]), shifted like y."""
    cdef real factor = label_loss(targets, share, row_loss, label, y, log_sum)
    cdef Py_ssize_t block
    for block in range(blocks(dY.width)):
        scaled(block_of(dY, n, block), block_of(dY, n, block), padded(width_of(dY.width, block)), factor * over)
    at(dY, n, label)[0] -= factor


cdef void narrow_labels(const Tensor* Y, const Targets* targets, double scale, double* row_losses,
                        const Tensor* dY, Py_ssize_t n) noexcept nogil:
    """`each_label` for LANES rows of few classes."""
    cdef real[FEW_CELLS] E
    cdef real[MOST_LANES] most, log_sums, over, factors
    cdef int64_t[MOST_LANES] labels
    cdef Py_ssize_t r, k
    exps_by_feature(Y, n, 1, E, most, over)
    for k in range(LANES):
        log_sums[k], over[k] = log(over[k]), <real> 1 / over[k]
    for r in range(LANES):
        labels[r], factors[r] = targets.indices[source_row(targets, n + r)], 0
        if labels[r] >= 0:
            factors[r] = label_loss(targets, scale * weight_of(targets, n + r), row_losses + n + r, labels[r],
                                    at(Y, n + r, labels[r])[0] - most[r], log_sums[r])
        over[r] *= factors[r]
    scaled_back(E, over, dY, n)
    for r in range(LANES):
        if labels[r] >= 0:
            at(dY, n + r, labels[r])[0] -= factors[r]
        else:
            zero_rows(dY, n + r, n + r + 1)


cdef void each_label(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* dY,
                     Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """The cross-entropy of softmax(Y) at class indices, without one-hot targets or a weight for each output."""
    cdef real[MOST_LANES] most, log_sums, over
    cdef Py_ssize_t group, n, r, rows, k, label
    for group in range(parts(stop - start, LANES)):
        n = start + group * LANES
        rows = least(LANES, stop - n)
        if narrow(Y, rows):
            narrow_labels(Y, targets, scale, row_losses, dY, n)
            continue
        largest(Y, n, rows, 1, most)
        shifted_exps(Y, dY, n, rows, 1, most, over)
        sums_of_few(dY, n, rows, over)
        for k in range(LANES):
            log_sums[k], over[k] = log(over[k]), <real> 1 / over[k]
        for r in range(rows):
            label = targets.indices[source_row(targets, n + r)]
            if label >= 0:
                label_row(dY, targets, scale * weight_of(targets, n + r), row_losses + n + r, n + r, label,
                          at(Y, n + r, label)[0] - most[r], log_sums[r], over[r])
            else:
                zero_rows(dY, n + r, n + r + 1)
