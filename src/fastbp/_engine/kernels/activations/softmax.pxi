"""Softmax and related activations: a row's outputs depend on each other, so the kernels work by rows.

LANES rows at a time: a pass over each row leaves a vector of LANES partial maxima or sums; these vectors, transposed
in registers, give one vector with the maxima or sums of LANES rows, so that what a row needs once (a logarithm, a
quotient) is computed for all these rows together.  Rejected: reducing each row by itself, which waits for each halving
of the vector.  A row is summed in the same order wherever it stands.
"""

cdef enum:
    MOST_LANES = 16
    LANES_SQUARED = MOST_LANES * MOST_LANES
    FEW_FEATURES = 16
    FEW_CELLS = FEW_FEATURES * MOST_LANES


cdef void largest(const Tensor* T, Py_ssize_t n, Py_ssize_t rows, real sign, real* most) noexcept nogil:
    """most[r] = max over j of sign T[n + r, j], for LANES rows at most."""
    cdef real[LANES_SQUARED] partial
    cdef real[MOST_LANES] m
    cdef Py_ssize_t r, block, v, k, width
    cdef const real* t
    for r in range(LANES):
        m[0] = sign * block_of(T, n + least(r, rows - 1), 0)[0]
        for k in range(LANES):
            partial[r * LANES + k] = m[0]
    for block in range(blocks(T.width)):
        width = width_of(T.width, block)
        for r in range(rows):
            t = block_of(T, n + r, block)
            memcpy(m, partial + r * LANES, LANES * sizeof(real))
            for v in range(parts(width, LANES)):
                keep_largest(m, t + v * LANES, sign, width - v * LANES)
            memcpy(partial + r * LANES, m, LANES * sizeof(real))
    largest_across(partial, most)


cdef void sums_of_products(const Tensor* A, const Tensor* B, Py_ssize_t n, Py_ssize_t rows,
                           real* sums) noexcept nogil:
    """sums[r] = the sum over j of A[n + r, j] B[n + r, j]; without B of A[n + r, j]."""
    cdef real[LANES_SQUARED] partial
    cdef real[MOST_LANES] s
    cdef Py_ssize_t r, block, v, width, cells = LANES * LANES
    cdef const real* a
    cdef const real* b = NULL
    memset(partial, 0, cells * sizeof(real))
    for block in range(blocks(A.width)):
        width = width_of(A.width, block)
        for r in range(rows):
            a = block_of(A, n + r, block)
            if B != NULL:
                b = block_of(B, n + r, block)
            memcpy(s, partial + r * LANES, LANES * sizeof(real))
            for v in range(parts(width, LANES)):
                if B == NULL:
                    add_lanes(s, a + v * LANES, width - v * LANES)
                else:
                    add_products(s, a + v * LANES, b + v * LANES, width - v * LANES)
            memcpy(partial + r * LANES, s, LANES * sizeof(real))
    sums_across(partial, sums)


cdef void shifted_exps(const Tensor* T, const Tensor* E, Py_ssize_t n, Py_ssize_t rows, real sign,
                       const real* shifts, real* sums) noexcept nogil:
    """E[n + r, j] = exp(sign T[n + r, j] - shifts[r]) and their sums; without E only these."""
    cdef real[LANES_SQUARED] partial
    cdef real[MOST_LANES] e, s
    cdef Py_ssize_t r, block, v, k, width, cells = LANES * LANES
    cdef const real* t
    cdef real* to = NULL
    memset(partial, 0, cells * sizeof(real))
    for block in range(blocks(T.width)):
        width = width_of(T.width, block)
        for r in range(rows):
            t = block_of(T, n + r, block)
            if E != NULL:
                to = block_of(E, n + r, block)
            memcpy(s, partial + r * LANES, LANES * sizeof(real))
            for v in range(parts(width, LANES)):
                for k in range(LANES):
                    e[k] = exp_of_negative(sign * t[v * LANES + k] - shifts[r])
                add_lanes(s, e, width - v * LANES)
                if E != NULL:
                    memcpy(to + v * LANES, e, LANES * sizeof(real))
            memcpy(partial + r * LANES, s, LANES * sizeof(real))
    sums_across(partial, sums)


cdef inline bint few(const Tensor* T) noexcept nogil:
    """Whether a vector should hold one feature of LANES rows, since rows are short; not with SSE's short vectors."""
    return LANES * <Py_ssize_t> sizeof(real) >= 32 and T.width <= FEW_FEATURES


cdef inline bint narrow(const Tensor* T, Py_ssize_t rows) noexcept nogil:
    """Whether these rows are transposed: only if they fill all lanes."""
    return few(T) and rows == LANES


cdef void exps_by_feature(const Tensor* T, Py_ssize_t n, real sign, real* E, real* most,
                          real* sums) noexcept nogil:
    """E[j, r] = exp(sign T[n + r, j] - most[r]) for LANES rows, their maxima `most`, and the sums of exponentials."""
    cdef Py_ssize_t v, j, k, width = T.width
    for v in range(1 + (width - 1) // LANES):
        transpose(at(T, n, v * LANES), T.pitch, E + v * LANES * LANES, LANES)
    for k in range(LANES):
        most[k] = sign * E[k]
    for j in range(1, width):
        keep_largest(most, E + j * LANES, sign, LANES)
    for j in range(width):
        for k in range(LANES):
            E[j * LANES + k] = exp_of_negative(sign * E[j * LANES + k] - most[k])
    memcpy(sums, E, LANES * sizeof(real))
    for j in range(1, width):
        add_lanes(sums, E + j * LANES, LANES)
    memset(E + width * LANES, 0, (padded(width) - width) * LANES * sizeof(real))


cdef inline void sums_of_few(const Tensor* E, Py_ssize_t n, Py_ssize_t rows, real* sums) noexcept nogil:
    """sums[r] = the sum of E[n + r], in the order of `exps_by_feature`: for rows that do not fill all lanes."""
    cdef Py_ssize_t r, j
    for r in range(rows if few(E) else 0):
        sums[r] = at(E, n + r, 0)[0]
        for j in range(1, E.width):
            sums[r] += at(E, n + r, j)[0]


cdef void scaled_back(const real* E, const real* scales, const Tensor* Y, Py_ssize_t n) noexcept nogil:
    """Y[n + r, j] = E[j, r] scales[r] for LANES rows."""
    cdef real[LANES_SQUARED] product
    cdef Py_ssize_t v, j, k
    for v in range(parts(Y.width, LANES)):
        for j in range(LANES):
            for k in range(LANES):
                product[j * LANES + k] = E[(v * LANES + j) * LANES + k] * scales[k]
        transpose(product, LANES, at(Y, n, v * LANES), Y.pitch)


cdef void softmax_rows(const Tensor* Z, const Tensor* Y, Py_ssize_t start, Py_ssize_t stop,
                       real sign) noexcept nogil:
    """Y = softmax(sign Z)."""
    cdef real[FEW_CELLS] E
    cdef real[MOST_LANES] most, over
    cdef Py_ssize_t group, n, r, block, k, rows
    for group in range(parts(stop - start, LANES)):
        n = start + group * LANES
        rows = least(LANES, stop - n)
        if narrow(Z, rows):
            exps_by_feature(Z, n, sign, E, most, over)
            for k in range(LANES):
                over[k] = <real> 1 / over[k]
            scaled_back(E, over, Y, n)
            continue
        largest(Z, n, rows, sign, most)
        shifted_exps(Z, Y, n, rows, sign, most, over)
        sums_of_few(Y, n, rows, over)
        for k in range(LANES):
            over[k] = <real> 1 / over[k]
        for block in range(blocks(Y.width)):
            for r in range(rows):
                scaled(block_of(Y, n + r, block), block_of(Y, n + r, block), padded(width_of(Y.width, block)), over[r])


cdef inline void softmax_slope(operand y, operand dy, real* dz, Py_ssize_t n, real dot, real sign) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dz[i] = y[i] * (sign * dy[i] - dot)


cdef void softmax_slopes(const Tensor* Y, const Tensor* dY, const Tensor* dZ, Py_ssize_t start,
                         Py_ssize_t stop, real sign) noexcept nogil:
    """dZ[n, j] = sign Y[n, j] (dY[n, j] - sum over k of dY[n, k] Y[n, k])."""
    cdef real[MOST_LANES] dots
    cdef Py_ssize_t group, n, r, block, rows
    for group in range(parts(stop - start, LANES)):
        n = start + group * LANES
        rows = least(LANES, stop - n)
        sums_of_products(dY, Y, n, rows, dots)
        for block in range(blocks(Y.width)):
            for r in range(rows):
                softmax_slope(block_of(Y, n + r, block), block_of(dY, n + r, block), block_of(dZ, n + r, block),
                              padded(width_of(Y.width, block)), sign * dots[r], sign)


cdef void softmax_value(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = exp(Z[n, j]) / sum over k of exp(Z[n, k]), with Z[n] shifted by its maximum."""
    softmax_rows(Z, &op.Y, start, stop, 1)

cdef void softmax_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dY, const Tensor* dZ,
                      Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    softmax_slopes(&op.Y, dY, dZ, start, stop, 1)

cdef Activation* softmax_entry = activation(b"softmax", b"exp(z) / the sum of exp(z) over the row", NULL, NULL)
softmax_entry.rows_value, softmax_entry.rows_vjp, softmax_entry.bound = softmax_value, softmax_vjp, 0.5


cdef void softmin_value(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t start,
                        Py_ssize_t stop) noexcept nogil:
    """Y = softmax(-Z)."""
    softmax_rows(Z, &op.Y, start, stop, -1)

cdef void softmin_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dY, const Tensor* dZ,
                      Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    softmax_slopes(&op.Y, dY, dZ, start, stop, -1)

cdef Activation* softmin_entry = activation(b"softmin", b"exp(-z) / the sum of exp(-z) over the row", NULL, NULL)
softmin_entry.rows_value, softmin_entry.rows_vjp, softmin_entry.bound = softmin_value, softmin_vjp, 0.5


cdef inline void shifted(operand z, real* y, Py_ssize_t n, real most, real log_sum) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        y[i] = (z[i] - most) - log_sum

cdef inline void log_softmax_slope(operand y, operand dy, real* dz, Py_ssize_t n, real total) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dz[i] = dy[i] - exp_of_negative(y[i]) * total


cdef void log_softmax_value(const Op* op, const Context* context, const Tensor* Z, Py_ssize_t start,
                            Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = (Z[n, j] - largest) - log(sum over k of exp(Z[n, k] - largest))."""
    cdef real[MOST_LANES] most, log_sums
    cdef Py_ssize_t group, n, r, block, k, rows
    for group in range(parts(stop - start, LANES)):
        n = start + group * LANES
        rows = least(LANES, stop - n)
        largest(Z, n, rows, 1, most)
        shifted_exps(Z, NULL, n, rows, 1, most, log_sums)
        for k in range(LANES):
            log_sums[k] = log(log_sums[k])
        for block in range(blocks(Z.width)):
            for r in range(rows):
                shifted(block_of(Z, n + r, block), block_of(&op.Y, n + r, block), padded(width_of(Z.width, block)),
                        most[r], log_sums[r])

cdef void log_softmax_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dY, const Tensor* dZ,
                          Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dZ[n, j] = dY[n, j] - exp(Y[n, j]) times the sum over k of dY[n, k]."""
    cdef real[MOST_LANES] totals
    cdef Py_ssize_t group, n, r, block, rows
    for group in range(parts(stop - start, LANES)):
        n = start + group * LANES
        rows = least(LANES, stop - n)
        sums_of_products(dY, NULL, n, rows, totals)
        for block in range(blocks(dZ.width)):
            for r in range(rows):
                log_softmax_slope(block_of(&op.Y, n + r, block), block_of(dY, n + r, block),
                                  block_of(dZ, n + r, block), padded(width_of(dZ.width, block)), totals[r])

cdef Activation* log_softmax_entry = activation(b"log_softmax", b"z - log(the sum of exp(z) over the row)", NULL, NULL)
log_softmax_entry.synonyms = b"logsoftmax"
log_softmax_entry.rows_value, log_softmax_entry.rows_vjp = log_softmax_value, log_softmax_vjp
