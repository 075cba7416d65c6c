"""Normalization: of each row (layer_norm, rms_norm), and of each feature over the rows of a batch (batch_norm).

All compute Y = gamma Z + beta and keep the normalized Z for the backward pass; gamma is the op's W, beta its b.
Batch normalization couples rows, so it has `couple` kernels that run between the passes over rows: each takes all rows
of some of the features.
"""

cdef inline void scale_and_shift(const Op* op, const Tensor* Z, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = gamma Z + beta; without gamma and beta Y = Z."""
    cdef Py_ssize_t block, n, j, width
    cdef const real* gamma
    cdef const real* beta
    cdef const real* z
    cdef real* y
    for block in range(blocks(op.Y.width)):
        width = width_of(op.Y.width, block)
        gamma = <const real*> op.W + block * PANEL if op.W != NULL else NULL
        beta = <const real*> op.b + block * PANEL if op.b != NULL else NULL
        for n in range(start, stop):
            z, y = block_of(Z, n, block), block_of(&op.Y, n, block)
            if gamma == NULL:
                memcpy(y, z, width * sizeof(real))
            elif beta == NULL:
                for j in range(width):
                    y[j] = gamma[j] * z[j]
            else:
                for j in range(width):
                    y[j] = gamma[j] * z[j] + beta[j]


cdef inline void times_gamma(const Op* op, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dZ = gamma dY."""
    cdef Py_ssize_t block, n, j
    cdef const real* gamma
    cdef const real* dy
    cdef real* dx
    if op.W == NULL:
        copy_rows(&op.dY, op.dX, start, stop)
        return
    for block in range(blocks(op.Y.width)):
        gamma = <const real*> op.W + block * PANEL
        for n in range(start, stop):
            dy, dx = block_of(&op.dY, n, block), block_of(op.dX, n, block)
            for j in range(width_of(op.Y.width, block)):
                dx[j] = gamma[j] * dy[j]


cdef inline void scale_gradient(const Op* op, const Tensor* Z, Py_ssize_t N, bint gamma, bint beta) noexcept nogil:
    """dgamma[j] = sum over n of dY[n, j] Z[n, j]; dbeta[j] = sum over n of dY[n, j]."""
    cdef Py_ssize_t block, n, j, width
    cdef real* dgamma
    cdef const real* dy
    cdef const real* z
    for block in range(blocks(op.Y.width)):
        width = width_of(op.Y.width, block)
        if gamma:
            dgamma = <real*> op.dW + block * PANEL
            if not op.adds_gradient:
                memset(dgamma, 0, width * sizeof(real))
            for n in range(N):
                dy, z = block_of(&op.dY, n, block), block_of(Z, n, block)
                for j in range(width):
                    dgamma[j] += dy[j] * z[j]
        if beta and op.db != NULL:
            sum_rows(&op.dY, block, N, <real*> op.db + block * PANEL, op.adds_bias)


cdef void normalization_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start,
                                 Py_ssize_t stop, bint bias) noexcept nogil:
    """The gradients of gamma, which is one row of weights, and of beta."""
    scale_gradient(op, &op.Z, N, start < stop, bias)


cdef void scale_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = gamma X + beta."""
    scale_and_shift(op, op.X, start, stop)

cdef void scale_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = gamma dY."""
    if op.dX.data != NULL:
        times_gamma(op, start, stop)

cdef void gradient_of_scale(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start,
                            Py_ssize_t stop, bint bias) noexcept nogil:
    scale_gradient(op, op.X, N, start < stop, bias)

op_kind(b"scale", scale_forward, scale_backward, gradient_of_scale)


cdef inline void normalize_rows(const Op* op, Py_ssize_t start, Py_ssize_t stop, bint centred) noexcept nogil:
    """Z[n] = (X[n] - mean) saved[n] with saved[n] = 1 / sqrt(variance + alpha), over the features of the row."""
    cdef Py_ssize_t n, block, j
    cdef real mean = 0, scale
    cdef real* z
    cdef const real* x
    for n in range(start, stop):
        if centred:
            mean = row_sum(op.X, n) / <real> op.Y.width
        for block in range(blocks(op.Y.width)):
            x, z = block_of(op.X, n, block), block_of(&op.Z, n, block)
            for j in range(width_of(op.Y.width, block)):
                z[j] = x[j] - mean
        scale = <real> (1 / sqrt_double(<double> row_dot(&op.Z, &op.Z, n) / <double> op.Y.width + op.alpha))
        (<real*> op.saved)[n] = scale
        for block in range(blocks(op.Y.width)):
            z = block_of(&op.Z, n, block)
            for j in range(width_of(op.Y.width, block)):
                z[j] *= scale
    scale_and_shift(op, &op.Z, start, stop)


cdef inline void normalize_rows_backward(const Op* op, Py_ssize_t start, Py_ssize_t stop, bint centred) noexcept nogil:
    """dX = saved (dZ - mean(dZ) - Z mean(dZ Z)), the means over the features of the row (Ba et al. 2016)."""
    cdef Py_ssize_t n, block, j
    cdef real mean = 0, along, scale
    cdef const real* z
    cdef real* dx
    if op.dX.data == NULL:
        return
    times_gamma(op, start, stop)
    for n in range(start, stop):
        if centred:
            mean = row_sum(op.dX, n) / <real> op.Y.width
        along, scale = row_dot(op.dX, &op.Z, n) / <real> op.Y.width, (<const real*> op.saved)[n]
        for block in range(blocks(op.Y.width)):
            dx, z = block_of(op.dX, n, block), block_of(&op.Z, n, block)
            for j in range(width_of(op.Y.width, block)):
                dx[j] = scale * (dx[j] - mean - z[j] * along)


cdef void layer_norm_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    normalize_rows(op, start, stop, True)

cdef void layer_norm_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    normalize_rows_backward(op, start, stop, True)

cdef OpKind* layer_norm_entry = op_kind(b"layer_norm", layer_norm_forward, layer_norm_backward, normalization_gradient)
layer_norm_entry.keeps_Z = True
layer_norm_entry.row_numbers = 1


cdef void rms_norm_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Layer normalization without the mean (Zhang and Sennrich 2019)."""
    normalize_rows(op, start, stop, False)

cdef void rms_norm_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    normalize_rows_backward(op, start, stop, False)

cdef OpKind* rms_norm_entry = op_kind(b"rms_norm", rms_norm_forward, rms_norm_backward, normalization_gradient)
rms_norm_entry.keeps_Z = True
rms_norm_entry.row_numbers = 1


# Batch normalization saves five vectors with one number for each feature: the mean, 1 / sqrt(variance + alpha), the
# variance, mean(dY) and mean(dY Z).

cdef inline real* saved(const Op* op, int which) noexcept nogil:
    return <real*> op.saved + which * blocks(op.Y.width) * PANEL


cdef inline bint by_batch(const Op* op, const Context* context) noexcept nogil:
    """Whether to use the batch's statistics; else the running averages."""
    return context.training and not op.frozen


cdef void batch_norm_statistics(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t first,
                                Py_ssize_t last) noexcept nogil:
    """Mean and variance over the rows, for the features of blocks first ... last - 1."""
    cdef Py_ssize_t block, n, j, width
    cdef real* mean
    cdef real* scale
    cdef real* variance
    cdef const real* x
    cdef real d
    for block in range(first, last):
        width = width_of(op.Y.width, block)
        mean, scale = saved(op, 0) + block * PANEL, saved(op, 1) + block * PANEL
        variance = saved(op, 2) + block * PANEL
        sum_rows(op.X, block, N, mean, False)
        memset(variance, 0, width * sizeof(real))
        for j in range(width):
            mean[j] /= <real> N
        for n in range(N):
            x = block_of(op.X, n, block)
            for j in range(width):
                d = x[j] - mean[j]
                variance[j] += d * d
        for j in range(width):
            variance[j] /= <real> N
            scale[j] = <real> (1 / sqrt_double(<double> variance[j] + op.alpha))

cdef void batch_norm_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Z = (X - mean) / sqrt(variance + alpha), with the batch's statistics in training, else the running averages; with
    first = 1 the mean is not subtracted, as for a tangent."""
    cdef Py_ssize_t block, n, j, width
    cdef const real* mean
    cdef const real* scale
    cdef const real* x
    cdef real* z
    cdef real[64] root
    cdef bint batch = by_batch(op, context)
    for block in range(blocks(op.Y.width)):
        width = width_of(op.Y.width, block)
        mean, scale = saved(op, 0) + block * PANEL, saved(op, 1) + block * PANEL
        if not batch:
            mean, scale = <const real*> op.running_mean + block * PANEL, root
            for j in range(width):
                root[j] = <real> (1 / sqrt_double(
                    <double> (<const real*> op.running_variance)[block * PANEL + j] + op.alpha))
        for n in range(start, stop):
            x, z = block_of(op.X, n, block), block_of(&op.Z, n, block)
            for j in range(width):
                z[j] = (x[j] - (mean[j] if op.first == 0 else 0)) * scale[j]
    scale_and_shift(op, &op.Z, start, stop)

cdef void batch_norm_gradient_statistics(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t first,
                                         Py_ssize_t last) noexcept nogil:
    """mean(dY) and mean(dY Z) over the rows."""
    cdef Py_ssize_t block, n, j, width
    cdef real* mean
    cdef real* along
    cdef const real* dy
    cdef const real* z
    for block in range(first, last):
        width = width_of(op.Y.width, block)
        mean, along = saved(op, 3) + block * PANEL, saved(op, 4) + block * PANEL
        sum_rows(&op.dY, block, N, mean, False)
        memset(along, 0, width * sizeof(real))
        for n in range(N):
            dy, z = block_of(&op.dY, n, block), block_of(&op.Z, n, block)
            for j in range(width):
                along[j] += dy[j] * z[j]
        for j in range(width):
            mean[j] /= <real> N
            along[j] /= <real> N

cdef void batch_norm_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = gamma / sqrt(variance + alpha) (dY - mean(dY) - Z mean(dY Z)); with running averages both means are 0
    (Ioffe and Szegedy 2015)."""
    cdef Py_ssize_t block, n, j, width
    cdef const real* mean
    cdef const real* along
    cdef const real* z
    cdef const real* dy
    cdef real* dx
    cdef real[64] scale
    cdef bint batch = by_batch(op, context)
    if op.dX.data == NULL:
        return
    for block in range(blocks(op.Y.width)):
        width = width_of(op.Y.width, block)
        mean, along = saved(op, 3) + block * PANEL, saved(op, 4) + block * PANEL
        for j in range(width):
            scale[j] = saved(op, 1)[block * PANEL + j] if batch else <real> (1 / sqrt_double(
                <double> (<const real*> op.running_variance)[block * PANEL + j] + op.alpha))
            if op.W != NULL:
                scale[j] *= (<const real*> op.W)[block * PANEL + j]
        for n in range(start, stop):
            dx, dy = block_of(op.dX, n, block), block_of(&op.dY, n, block)
            z = block_of(&op.Z, n, block)
            if batch:
                for j in range(width):
                    dx[j] = scale[j] * (dy[j] - mean[j] - z[j] * along[j])
            else:
                for j in range(width):
                    dx[j] = scale[j] * dy[j]

cdef void batch_norm_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start,
                              Py_ssize_t stop, bint bias) noexcept nogil:
    """dgamma and dbeta; in training the running averages also move by the fraction beta towards the batch's mean and
    unbiased variance."""
    cdef Py_ssize_t j
    cdef real kept = <real> (1 - op.beta), taken = <real> op.beta
    cdef real unbiased = taken * <real> N / <real> (N - 1) if N > 1 else taken
    cdef real* mean = <real*> op.running_mean
    cdef real* variance = <real*> op.running_variance
    if op.dW != NULL:
        normalization_gradient(op, context, N, start, stop, bias)
    if bias and by_batch(op, context):
        for j in range(op.Y.width):
            mean[j] = kept * mean[j] + taken * saved(op, 0)[j]
            variance[j] = kept * variance[j] + unbiased * saved(op, 2)[j]

cdef OpKind* batch_norm_entry = op_kind(b"batch_norm", batch_norm_forward, batch_norm_backward, batch_norm_gradient)
batch_norm_entry.keeps_Z = True
batch_norm_entry.feature_numbers = 5
batch_norm_entry.couple = batch_norm_statistics
batch_norm_entry.couple_backward = batch_norm_gradient_statistics
