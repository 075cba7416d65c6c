"""Losses: kernels that give each row's loss and its gradient together, and a row.

A loss kernel adds weight[n] loss[n] to losses[n] and writes dY[n] = scale weight[n] dloss[n]/dY[n], where
scale is 1 / (sum of the weights): the loss of a batch is the weighted mean over its rows.  Its tangent writes into
dY what dY changes by along T: the Hessian of the row's loss times T.
"""

cdef enum:
    MOST_LOSSES = 64

cdef Loss[MOST_LOSSES] losses
cdef int n_losses = 0


cdef loss(const char* name, LossTangentKernel tangent, LossKernel of_values, LossKernel of_indices=NULL,
          bint unit=False):
    global n_losses
    assert n_losses < MOST_LOSSES - 1
    losses[n_losses] = Loss(name, of_indices, of_values, tangent, unit)
    n_losses += 1


cdef inline Py_ssize_t source_row(const Targets* targets, Py_ssize_t n) noexcept nogil:
    return targets.order[targets.first + n] if targets.order != NULL else targets.first + n


cdef inline real weight_of(const Targets* targets, Py_ssize_t n) noexcept nogil:
    return (<const real*> targets.weights)[source_row(targets, n)] if targets.weights != NULL else 1


cdef double sum_weights(const Targets* targets, Py_ssize_t N) noexcept nogil:
    cdef Py_ssize_t n
    cdef double total = 0
    for n in range(N):
        total += weight_of(targets, n)
    return total


cdef inline const real* values_of(const Targets* targets, Py_ssize_t n, Py_ssize_t block) noexcept nogil:
    """Targets of row n for the features of a block."""
    return <const real*> targets.values + source_row(targets, n) * targets.width + block * PANEL


cdef void mse_of_values(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* dY,
                        Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """mean over o of (Y - t)^2."""
    cdef Py_ssize_t n, block, j, k, O = Y.width
    cdef real weight, factor, difference, total
    cdef const real* t
    cdef const real* y
    cdef real* dy
    for n in range(start, stop):
        weight, total = weight_of(targets, n), 0
        factor = <real> (2 * scale * weight / O)
        for block in range(blocks(O)):
            y, dy, t = block_of(Y, n, block), block_of(dY, n, block), values_of(targets, n, block)
            for k in range(width_of(O, block)):
                difference = y[k] - t[k]
                total += difference * difference
                dy[k] = factor * difference
        row_losses[n] += <double> weight * (total / O)

cdef void mse_tangent(const Tensor* Y, const Targets* targets, double scale, const Tensor* T, const Tensor* dY,
                      Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """2 T / O."""
    cdef Py_ssize_t n, block, k
    for n in range(start, stop):
        for block in range(blocks(Y.width)):
            for k in range(width_of(Y.width, block)):
                block_of(dY, n, block)[k] = <real> (2 * scale / Y.width) * weight_of(targets, n) * (
                    block_of(T, n, block)[k])

loss(b"mse", mse_tangent, mse_of_values)


cdef inline real weighted_softmax(const Tensor* Y, const Tensor* dY, real shift, real factor,
                                  Py_ssize_t n) noexcept nogil:
    """dY[n] = factor softmax(Y[n]); returns log of the sum over j of exp(Y[n, j] - shift)."""
    cdef real total = shifted_exp(Y, dY, shift, n)
    scale_row(dY, factor / total, n)
    return log(total)


cdef void cross_entropy_of_indices(const Tensor* Y, const Targets* targets, double scale, double* row_losses,
                                   const Tensor* dY, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """-log softmax(Y)[t], of logits Y and a class index t."""
    cdef Py_ssize_t n, t, lane
    cdef real weight, log_sum, shift
    for n in range(start, stop):
        weight, t = weight_of(targets, n), targets.indices[source_row(targets, n)]
        t, lane = t // PANEL, t % PANEL
        shift = largest(Y, n)
        log_sum = weighted_softmax(Y, dY, shift, <real> (scale * weight), n)
        block_of(dY, n, t)[lane] -= <real> (scale * weight)
        row_losses[n] += <double> weight * (log_sum - (block_of(Y, n, t)[lane] - shift))

cdef void cross_entropy_of_values(const Tensor* Y, const Targets* targets, double scale, double* row_losses,
                                  const Tensor* dY, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """-sum over j of t[j] log softmax(Y)[j], of logits Y and probabilities t."""
    cdef Py_ssize_t n, block, j, k, O = Y.width
    cdef real weight, factor, log_sum, shift, mass, total
    cdef const real* t
    cdef const real* y
    cdef real* dy
    for n in range(start, stop):
        weight, t, mass, total = weight_of(targets, n), values_of(targets, n, 0), 0, 0
        factor, shift = <real> (scale * weight), largest(Y, n)
        for j in range(O):
            mass += t[j]
        log_sum = weighted_softmax(Y, dY, shift, factor * mass, n)
        for block in range(blocks(O)):
            y, dy, t = block_of(Y, n, block), block_of(dY, n, block), values_of(targets, n, block)
            for k in range(width_of(O, block)):
                # A class without share counts nothing, even where its logit is -inf.
                total += t[k] * (log_sum - (y[k] - shift)) if t[k] != 0 else 0
                dy[k] -= factor * t[k]
        row_losses[n] += <double> weight * total

cdef void cross_entropy_tangent(const Tensor* Y, const Targets* targets, double scale, const Tensor* T,
                                const Tensor* dY, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """mass p (T - p'T), with p = softmax(Y) and mass the sum of the targets."""
    cdef Py_ssize_t n, block, k
    cdef real along, mass, factor
    cdef real* dy
    for n in range(start, stop):
        weighted_softmax(Y, dY, largest(Y, n), 1, n)
        along, mass = row_dot(dY, T, n), 1
        if targets.values != NULL:
            mass = 0
            for k in range(Y.width):
                mass += values_of(targets, n, 0)[k]
        factor = <real> scale * mass * weight_of(targets, n)
        for block in range(blocks(Y.width)):
            dy = block_of(dY, n, block)
            for k in range(width_of(Y.width, block)):
                dy[k] *= factor * (block_of(T, n, block)[k] - along)

loss(b"cross_entropy", cross_entropy_tangent, cross_entropy_of_values, cross_entropy_of_indices, True)


cdef void binary_cross_entropy_of_values(const Tensor* Y, const Targets* targets, double scale, double* row_losses,
                                         const Tensor* dY, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """mean over o of -t log s - (1 - t) log (1 - s) with s = sigmoid(Y): max(Y, 0) - Y t + log(1 + exp(-|Y|))."""
    cdef Py_ssize_t n, block, j, k, O = Y.width
    cdef real weight, factor, total, size, above
    cdef const real* t
    cdef const real* y
    cdef real* dy
    for n in range(start, stop):
        weight, total = weight_of(targets, n), 0
        factor = <real> (scale * weight / O)
        for block in range(blocks(O)):
            y, dy, t = block_of(Y, n, block), block_of(dY, n, block), values_of(targets, n, block)
            for k in range(width_of(O, block)):
                above = 0 if y[k] <= 0 else y[k]
                size = -y[k] if y[k] < 0 else y[k]
                total += above - y[k] * t[k] + log1p_of_unit(exp(-size))
                dy[k] = factor * (sigmoid(y[k]) - t[k])
        row_losses[n] += <double> weight * (total / O)

cdef void binary_cross_entropy_tangent(const Tensor* Y, const Targets* targets, double scale, const Tensor* T,
                                       const Tensor* dY, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """s (1 - s) T / O."""
    cdef Py_ssize_t n, block, k
    cdef real s
    for n in range(start, stop):
        for block in range(blocks(Y.width)):
            for k in range(width_of(Y.width, block)):
                s = sigmoid(block_of(Y, n, block)[k])
                block_of(dY, n, block)[k] = <real> (scale / Y.width) * weight_of(targets, n) * (
                    s * (<real> 1 - s) * block_of(T, n, block)[k])

loss(b"binary_cross_entropy", binary_cross_entropy_tangent, binary_cross_entropy_of_values, NULL, True)
