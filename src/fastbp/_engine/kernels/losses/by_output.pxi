"""How elementwise losses are applied: to stretches of rows of a block, in place where rows have no padding."""

cdef void gather_outputs(const Tensor* Y, Py_ssize_t n, Py_ssize_t rows, Py_ssize_t block, Py_ssize_t width,
                         real* to) noexcept nogil:
    """Rows of a tensor's block without padding: copied in whole vectors, whose excess the next row overwrites."""
    cdef Py_ssize_t r, v
    if width == Y.pitch:
        memcpy(to, block_of(Y, n, block), rows * width * sizeof(real))
        return
    for r in range(rows):
        for v in range(parts(width, LANES)):
            memcpy(to + r * width + v * LANES, block_of(Y, n + r, block) + v * LANES, LANES * sizeof(real))


cdef void gather_values(const void* A, const Targets* targets, Py_ssize_t heads, Py_ssize_t n, Py_ssize_t rows,
                        Py_ssize_t first, Py_ssize_t width, real* to) noexcept nogil:
    """The values of an array of the targets' shape for the outputs from `first` on, without padding."""
    cdef const real* a = <const real*> A
    cdef Py_ssize_t r, j
    if heads > 1:
        for r in range(rows):
            a = <const real*> A + source_row(targets, n + r) * targets.width
            for j in range(width):
                to[r * width + j] = a[(first + j) // heads]
    elif targets.order == NULL and width == targets.width:
        memcpy(to, a + source_row(targets, n) * width, rows * width * sizeof(real))
    elif width == 1:
        for r in range(rows):
            to[r] = a[source_row(targets, n + r) * targets.width + first]
    else:
        for r in range(rows):
            copy_features(a + source_row(targets, n + r) * targets.width + first, to + r * width, width)


cdef void gather_weights(const Targets* targets, Py_ssize_t heads, Py_ssize_t n, Py_ssize_t rows, Py_ssize_t first,
                         Py_ssize_t width, const Chunk* chunk) noexcept nogil:
    """W: each value's own weight, or 1; 0 where the target is missing."""
    cdef Py_ssize_t i
    if targets.weighs_values:
        gather_values(targets.weights, targets, heads, n, rows, first, width, chunk.W)
    else:
        for i in range(rows * width):
            chunk.W[i] = 1
    if targets.skips_nan:
        for i in range(rows * width):
            chunk.W[i] = chunk.W[i] if chunk.T[i] == chunk.T[i] else 0


cdef inline void weigh(real* A, const real* W, Py_ssize_t n) noexcept nogil:
    """A *= W, but 0 where W is 0, even if A is NaN or infinite."""
    cdef Py_ssize_t i
    for i in range(n):
        A[i] = A[i] * W[i] if W[i] != 0 else 0


cdef inline void lower(real* A, double ceiling, Py_ssize_t n) noexcept nogil:
    """A = min(A, ceiling); NaN stays NaN."""
    cdef real most = <real> ceiling
    cdef Py_ssize_t i
    for i in range(n if ceiling < INFINITY else 0):
        A[i] = most if A[i] > most else A[i]


cdef inline real sum_of(const real* A, Py_ssize_t n) noexcept nogil:
    """The sum of A, with one partial sum for each lane, then the remainder."""
    cdef real[16] sums
    cdef real total = 0
    cdef Py_ssize_t v, k
    if n >= LANES:
        memset(sums, 0, sizeof(sums))
        for v in range(n // LANES):
            for k in range(LANES):
                sums[k] += A[v * LANES + k]
        for k in range(LANES):
            total += sums[k]
    for k in range(n - n % LANES, n):
        total += A[k]
    return total


cdef inline void add_narrow(operand losses, double share, double* row_losses, Py_ssize_t rows,
                            Py_ssize_t width) noexcept nogil:
    """Adds the losses of rows; inlined with a constant width, so that the compiler vectorises over rows."""
    cdef Py_ssize_t r, k
    cdef real total
    for r in range(rows):
        total = losses[r * width]
        for k in range(1, width):
            total += losses[r * width + k]
        row_losses[r] += share * <double> total


cdef inline void add_losses(const Targets* targets, double share, const real* losses, double* row_losses, Py_ssize_t n,
                            Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t r
    if targets.weights == NULL and width <= 4:
        if width == 1:
            add_narrow(losses, share, row_losses + n, rows, 1)
        elif width == 2:
            add_narrow(losses, share, row_losses + n, rows, 2)
        elif width == 3:
            add_narrow(losses, share, row_losses + n, rows, 3)
        else:
            add_narrow(losses, share, row_losses + n, rows, 4)
        return
    for r in range(rows):
        row_losses[n + r] += share * weight_of(targets, n + r) * sum_of(losses + r * width, width)


cdef void scatter(const Targets* targets, double scale, const Chunk* chunk, double* row_losses, const Tensor* V,
                  const Tensor* dY, Py_ssize_t n, Py_ssize_t rows, Py_ssize_t block, Py_ssize_t width) noexcept nogil:
    """Adds the rows' losses and writes their gradients into the tensor; with V writes the tangents only."""
    cdef Py_ssize_t r, v, k, pitch = dY.pitch
    cdef double share = scale / dY.width
    cdef real factor = <real> share
    cdef real* dy = block_of(dY, n, block)
    cdef const real* from_ = chunk.dY
    if V == NULL:
        add_losses(targets, share, chunk.losses, row_losses, n, rows, width)
    if width == pitch and targets.weights == NULL:       # no gaps between the rows, and one factor for all
        scaled(chunk.dY, chunk.dY, padded(rows * width), factor)
        if chunk.dY != dy:
            memcpy(dy, chunk.dY, rows * width * sizeof(real))
    else:
        for r in range(rows):
            if targets.weights != NULL:
                factor = <real> (share * weight_of(targets, n + r))
            if width == pitch:
                for k in range(width):
                    dy[k] = factor * from_[k]
            else:
                for v in range(parts(width, LANES)):
                    for k in range(LANES):
                        dy[v * LANES + k] = factor * from_[v * LANES + k]
            dy += pitch
            from_ += width
    for r in range(rows if V != NULL else 0):
        dy = block_of(dY, n + r, block)
        for k in range(width):
            dy[k] *= block_of(V, n + r, block)[k]


cdef void lone_outputs(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* dY,
                       Py_ssize_t n, real* own) noexcept nogil:
    """`each_output` for one row of at most a vector, in tensors of the engine, without weights."""
    cdef real* C = own + LANES
    cdef real* losses = own + 2 * LANES
    cdef real* dy = block_of(dY, n, 0)
    cdef double share = scale / dY.width
    cdef Py_ssize_t k
    read_first(<const real*> targets.values + source_row(targets, n) * targets.width, targets.width, own)
    if targets.column != NULL:
        read_first(<const real*> targets.column, Y.width, C)
    else:
        for k in range(LANES):
            C[k] = 1
    targets.loss.of_outputs(block_of(Y, n, 0), own, C, targets.numbers, losses, dy, LANES)
    lower(losses, targets.ceiling, LANES)
    add_losses(targets, share, losses, row_losses, n, 1, Y.width)
    scaled(dy, dy, LANES, <real> share)


cdef void each_output(const Tensor* Y, const Targets* targets, double scale, double* row_losses, const Tensor* V,
                      const Tensor* dY, Py_ssize_t start, Py_ssize_t stop, void* scratch) noexcept nogil:
    """An elementwise loss, over stretches of rows within each block of features."""
    cdef const Loss* row = targets.loss
    cdef Py_ssize_t heads, block, width, most, rows, n, r, size
    cdef bint in_place, weighs = targets.weighs_values or targets.skips_nan
    cdef Chunk chunk
    cdef real* own_Y = piece(&scratch, CHUNK + 2 * PANEL)
    cdef real* own_dY = piece(&scratch, CHUNK + 2 * PANEL)
    if (stop - start == 1 and V == NULL and Y.width == targets.width and Y.pitch == LANES == dY.pitch and not weighs
            and targets.weights == NULL):
        lone_outputs(Y, targets, scale, row_losses, dY, start, own_Y)
        return
    chunk.T, chunk.C = piece(&scratch, CHUNK + 2 * PANEL), piece(&scratch, CHUNK + 2 * PANEL)
    chunk.W, chunk.losses = piece(&scratch, CHUNK + 2 * PANEL), piece(&scratch, CHUNK + 2 * PANEL)
    heads = Y.width // targets.width
    for block in range(blocks(Y.width)):
        width = width_of(Y.width, block)
        most, n = least(CHUNK // width, stop - start), start
        for r in range(most * width if targets.column == NULL else 0):
            chunk.C[r] = 1
        for r in range(most if targets.column != NULL else 0):
            memcpy(chunk.C + r * width, <const real*> targets.column + block * PANEL, width * sizeof(real))
        while n < stop:
            rows = least(most, stop - n)
            size = padded(rows * width)
            in_place = width == Y.pitch and size == rows * width
            chunk.Y = block_of(Y, n, block) if in_place else own_Y
            chunk.dY = block_of(dY, n, block) if in_place else own_dY
            if not in_place:
                gather_outputs(Y, n, rows, block, width, chunk.Y)
            gather_values(targets.values, targets, heads, n, rows, block * PANEL, width, chunk.T)
            if V == NULL:
                row.of_outputs(chunk.Y, chunk.T, chunk.C, targets.numbers, chunk.losses, chunk.dY, size)
                lower(chunk.losses, targets.ceiling, size)
            else:
                row.curvature(chunk.Y, chunk.T, chunk.C, targets.numbers, chunk.dY, size)
            if weighs:
                gather_weights(targets, heads, n, rows, block * PANEL, width, &chunk)
                weigh(chunk.dY, chunk.W, rows * width)
                weigh(chunk.losses, chunk.W, rows * width)
            scatter(targets, scale, &chunk, row_losses, V, dY, n, rows, block, width)
            n += rows
