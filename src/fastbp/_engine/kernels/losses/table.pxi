"""Losses: the table, and the two ways in which its kernels get rows of outputs and targets.

Most losses are elementwise: their kernels see contiguous stretches of outputs and targets, and give loss and slope of
each output (`each_output`).  If the outputs of a row depend on each other, as under a softmax, a kernel sees GROUP
rows side by side, so that its loops still run over rows (`each_group`).  Both ways gather the targets in the order of
the epoch, apply weights, leave out missing targets, and sum: kernels do none of that.
Rejected: a loop over the outputs of one row.  It leaves most lanes of a vector empty in narrow layers.

The loss of a batch is the sum over n of scale weight[n] loss[n], with scale = 1 / (number of known samples), so that
the weights of other samples do not change a sample's share.  With `weighted_mean`, in evaluation and as in
scikit-learn, scale is 1 / (sum of the weights).  Curvatures and tangents give a sample's Hessian times a direction V.
"""

cdef enum:
    MOST_LOSSES = 64
    CHUNK = 512                 # about how many numbers an elementwise kernel sees at once
    GROUP = 16                  # rows side by side: whole vectors in every variant

cdef double ABOVE_0 = 5e-324            # ranges are closed, so the neighbouring numbers stand for open limits
cdef double BELOW_1 = 1 - 2.0 ** -53

cdef Loss[MOST_LOSSES] losses
cdef int n_losses = 0

ctypedef void (*OutputLoss)(const real* Y, const real* T, const real* C, const double* numbers, real* losses, real* dY,
                            Py_ssize_t n) noexcept nogil
ctypedef void (*OutputCurvature)(const real* Y, const real* T, const real* C, const double* numbers, real* ddY,
                                 Py_ssize_t n) noexcept nogil


cdef Loss* loss(const char* name, const char* formula, OutputLoss of_outputs, OutputCurvature curvature=NULL):
    """Adds the entry of an elementwise loss, whose mean over the outputs is the sample's loss, and returns it; fields
    that few entries need are set on the result.  Without `curvature` the second derivative is 0."""
    global n_losses
    assert n_losses < MOST_LOSSES - 1
    cdef Loss* made = &losses[n_losses]
    memset(made, 0, sizeof(Loss))
    made.name, made.formula, made.low, made.high, made.heads = name, formula, -INFINITY, INFINITY, 1
    made.of_outputs, made.curvature = <OutputLossKernel> of_outputs, <OutputCurvatureKernel> curvature
    n_losses += 1
    return made


cdef Loss* group_loss(const char* name, const char* formula, GroupLossKernel of_group, GroupLossKernel tangent):
    """Adds the entry of a loss that couples the outputs of a row."""
    cdef Loss* made = loss(name, formula, NULL)
    made.of_group, made.tangent = of_group, tangent
    return made


cdef inline Py_ssize_t source_row(const Targets* targets, Py_ssize_t n) noexcept nogil:
    return targets.order[targets.first + n] if targets.order != NULL else targets.first + n


cdef inline real weight_of(const Targets* targets, Py_ssize_t n) noexcept nogil:
    """The weight of a sample; 1 if each of its values has a weight."""
    if targets.weights == NULL or targets.weighs_values:
        return 1
    return (<const real*> targets.weights)[source_row(targets, n)]


cdef double sum_weights(const Targets* targets, Py_ssize_t N, bint weighs) noexcept nogil:
    """The sum of the weights of the known targets, in units of whole rows; without `weighs` all weights are 1."""
    cdef Py_ssize_t n, j, width = targets.width
    cdef const real* t
    cdef const real* w
    cdef double total = 0, row
    cdef bint weighs_values = weighs and targets.weighs_values
    for n in range(N):
        row = <double> width
        if targets.indices != NULL:
            row = row if targets.indices[source_row(targets, n)] >= 0 else 0
        elif weighs_values or targets.skips_nan:
            t, row = <const real*> targets.values + source_row(targets, n) * width, 0
            w = <const real*> targets.weights + source_row(targets, n) * width if weighs_values else t
            for j in range(width):
                if not targets.skips_nan or t[j] == t[j]:
                    row += <double> (w[j] if weighs_values else <real> 1)
        total += row * <double> weight_of(targets, n) if weighs else row
    return total / <double> width


cdef double loss_scale(const Targets* targets, Py_ssize_t N) noexcept nogil:
    """The factor of the losses of a batch's rows: 1 / (number of known rows, or sum of their weights).

    A batch without known targets, or with weights of 0 only, has loss 0 and gradient 0.
    """
    cdef bint weighs = targets.weighted_mean and targets.weights != NULL
    cdef double total = <double> N
    if weighs or targets.skips_nan:
        total = sum_weights(targets, N, weighs)
    return 1 / total if total > 0 else 0


cdef double sum_losses(const double* row_losses, Py_ssize_t N) noexcept nogil:
    """The sum, always in the same order, with eight partial sums."""
    cdef double[8] sums
    cdef double total = 0
    cdef Py_ssize_t n, k
    memset(sums, 0, sizeof(sums))
    for n in range(N // 8):
        for k in range(8):
            sums[k] += row_losses[n * 8 + k]
    for n in range(N - N % 8, N):
        total += row_losses[n]
    for k in range(8):
        total += sums[k]
    return total


cdef struct Chunk:
    # A stretch of outputs with their targets, parameters, weights, losses and gradients: rows without padding.
    real* Y
    real* T
    real* C
    real* W
    real* losses
    real* dY


cdef Py_ssize_t loss_scratch(Py_ssize_t outputs) noexcept nogil:
    """Bytes of scratch memory that `apply_loss` needs for this number of outputs."""
    cdef Py_ssize_t chunks = 6 * (CHUNK + 2 * PANEL + 16), groups = 5 * padded(outputs) * GROUP + GROUP
    return (chunks if chunks > groups else groups) * sizeof(real)


cdef void gather_group(const Tensor* A, Py_ssize_t n, Py_ssize_t rows, real* to) noexcept nogil:
    """GROUP rows of a tensor side by side; if there are fewer, the last one is repeated."""
    cdef real[16 * 16] staged
    cdef Py_ssize_t block, v, part, r
    cdef const real* a
    for block in range(blocks(A.width)):
        for v in range(parts(width_of(A.width, block), LANES)):
            for part in range(GROUP // LANES):
                a = block_of(A, n + part * LANES, block) + v * LANES
                if rows == GROUP:
                    transpose(a, A.pitch, to + (block * PANEL + v * LANES) * GROUP + part * LANES, GROUP)
                    continue
                for r in range(LANES):
                    memcpy(staged + r * LANES, block_of(A, n + least(part * LANES + r, rows - 1), block) + v * LANES,
                           LANES * sizeof(real))
                transpose(staged, LANES, to + (block * PANEL + v * LANES) * GROUP + part * LANES, GROUP)


cdef void scatter_group(const real* A, const Tensor* to, Py_ssize_t n, Py_ssize_t rows) noexcept nogil:
    """Rows side by side back into a tensor."""
    cdef real[16 * 16] staged
    cdef Py_ssize_t block, v, part, r
    cdef const real* a
    for block in range(blocks(to.width)):
        for v in range(parts(width_of(to.width, block), LANES)):
            for part in range(GROUP // LANES):
                a = A + (block * PANEL + v * LANES) * GROUP + part * LANES
                if rows == GROUP:
                    transpose(a, GROUP, block_of(to, n + part * LANES, block) + v * LANES, to.pitch)
                    continue
                transpose(a, GROUP, staged, LANES)
                for r in range(least(LANES, rows - part * LANES)):
                    memcpy(block_of(to, n + part * LANES + r, block) + v * LANES, staged + r * LANES,
                           LANES * sizeof(real))


cdef void spread_values(const void* A, const Targets* targets, Py_ssize_t n, Py_ssize_t rows, real* to) noexcept nogil:
    """GROUP rows of an array of the targets' shape side by side."""
    cdef Py_ssize_t r, j
    cdef const real* a
    for r in range(GROUP):
        a = <const real*> A + source_row(targets, n + least(r, rows - 1)) * targets.width
        for j in range(targets.width):
            to[j * GROUP + r] = a[j]


cdef void gather_targets(const Targets* targets, Py_ssize_t n, Py_ssize_t rows, const Group* group) noexcept nogil:
    """T and W of a group: a class index becomes a one-hot row, a missing target has weight 0."""
    cdef real* T = <real*> group.T
    cdef real* W = <real*> group.W
    cdef Py_ssize_t r, i, j, size = targets.width * GROUP
    if targets.weighs_values:
        spread_values(targets.weights, targets, n, rows, W)
    elif targets.skips_nan:
        for i in range(size):
            W[i] = 1
    if targets.indices == NULL:
        spread_values(targets.values, targets, n, rows, T)
        for i in range(size if targets.skips_nan else 0):
            W[i], T[i] = W[i] if T[i] == T[i] else 0, T[i] if T[i] == T[i] else 0
        return
    memset(T, 0, size * sizeof(real))
    for r in range(rows):
        j = targets.indices[source_row(targets, n + r)]
        if j >= 0:
            T[j * GROUP + r] = 1
            continue
        for j in range(targets.width):
            W[j * GROUP + r] = 0


cdef void each_group(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* V,
                     const Tensor* dY, Py_ssize_t start, Py_ssize_t stop, void* scratch) noexcept nogil:
    """A loss that couples the outputs of a row, for GROUP rows at a time."""
    cdef Py_ssize_t n, group_number, rows, r, j, lanes = padded(Y.width) * GROUP
    cdef real[GROUP] losses_, factors
    cdef double[GROUP] shares
    cdef real* dy
    cdef Group group
    group.outputs, group.width, group.column = Y.width, targets.width, targets.column
    group.numbers = &targets.numbers[0]
    group.weighs = targets.weighs_values or targets.skips_nan
    group.Y, group.T, group.W = piece(&scratch, lanes), piece(&scratch, lanes), piece(&scratch, lanes)
    group.dY, group.V, group.losses = piece(&scratch, lanes), NULL, losses_
    dy = <real*> group.dY
    if V != NULL:
        group.V = piece(&scratch, lanes)
    for j in range(targets.width * GROUP):
        (<real*> group.W)[j] = 1
    for group_number in range(parts(stop - start, GROUP)):
        n = start + group_number * GROUP
        rows = least(GROUP, stop - n)
        gather_group(Y, n, rows, <real*> group.Y)
        gather_targets(targets, n, rows, &group)
        if V == NULL:
            targets.loss.of_group(&group)
            lower(losses_, targets.ceiling, GROUP)
        else:
            gather_group(V, n, rows, <real*> group.V)
            targets.loss.tangent(&group)
        for r in range(GROUP):
            shares[r] = scale * weight_of(targets, n + r) if r < rows else 0
            factors[r] = <real> shares[r]
        for r in range(rows if V == NULL else 0):
            row_losses[n + r] += shares[r] * losses_[r]
        for j in range(Y.width):
            for r in range(GROUP):
                dy[j * GROUP + r] *= factors[r]
        scatter_group(dy, dY, n, rows)


cdef void apply_loss(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* V,
                     const Tensor* dY, Py_ssize_t start, Py_ssize_t stop, void* scratch) noexcept nogil:
    """Adds share scale weight[n] loss[n] to row_losses[n] and writes dY; with a direction V writes the derivative of dY
    along V instead."""
    scale *= targets.share
    if targets.loss.of_labels and targets.indices != NULL and V == NULL and targets.numbers[0] == 0:
        each_label(Y, targets, scale, row_losses, dY, start, stop)
    elif targets.loss.of_group != NULL:
        each_group(Y, targets, scale, row_losses, V, dY, start, stop, scratch)
    elif V != NULL and targets.loss.curvature == NULL:
        zero_rows(dY, start, stop)
    else:
        each_output(Y, targets, scale, row_losses, V, dY, start, stop, scratch)
