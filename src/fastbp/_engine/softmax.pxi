"""Softmax and its like: activations whose features depend on each other, so that they work by rows."""

cdef inline real sum_of_lanes(real* sums) noexcept nogil:
    """By halves, so that the additions overlap."""
    cdef int half = <int> LANES // 2, k
    while half > 0:
        for k in range(half):
            sums[k] += sums[k + half]
        half = half // 2
    return sums[0]


cdef inline real sum_of_products(const Tensor* A, const Tensor* B, Py_ssize_t n) noexcept nogil:
    """The sum over j of A[n, j] B[n, j]; without B of A[n, j]."""
    cdef real[16] sums
    cdef Py_ssize_t block, v
    cdef int k, left
    cdef const real* a
    cdef const real* b
    memset(sums, 0, sizeof(sums))
    for block in range(blocks(A.width)):
        for v in range(parts(width_of(A.width, block), LANES)):
            a, left = block_of(A, n, block) + v * LANES, <int> (width_of(A.width, block) - v * LANES)
            if B == NULL:
                for k in range(<int> LANES):
                    sums[k] += a[k] if k < left else 0
            else:
                b = block_of(B, n, block) + v * LANES
                for k in range(<int> LANES):
                    sums[k] += a[k] * b[k] if k < left else 0
    return sum_of_lanes(sums)


cdef inline real largest(const Tensor* T, Py_ssize_t n) noexcept nogil:
    """max over j of T[n, j]."""
    cdef real[16] most
    cdef Py_ssize_t block, v
    cdef int k, left, half
    cdef const real* t = block_of(T, n, 0)
    for k in range(<int> LANES):
        most[k] = t[0]
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            t, left = block_of(T, n, block) + v * LANES, <int> (width_of(T.width, block) - v * LANES)
            for k in range(<int> LANES):
                most[k] = t[k] if k < left and t[k] > most[k] else most[k]
    half = <int> LANES // 2
    while half > 0:
        for k in range(half):
            most[k] = most[k + half] if most[k + half] > most[k] else most[k]
        half = half // 2
    return most[0]


cdef inline real shifted_exp(const Tensor* T, const Tensor* E, real shift, Py_ssize_t n) noexcept nogil:
    """E[n, j] = exp(T[n, j] - shift); returns their sum.  T and E may be one."""
    cdef real[16] e, sums
    cdef Py_ssize_t block, v
    cdef int k, left
    memset(sums, 0, sizeof(sums))
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            left = <int> (width_of(T.width, block) - v * LANES)
            memcpy(e, block_of(T, n, block) + v * LANES, LANES * sizeof(real))
            for k in range(<int> LANES):
                e[k] = exp(e[k] - shift)
                sums[k] += e[k] if k < left else 0
            memcpy(block_of(E, n, block) + v * LANES, e, LANES * sizeof(real))
    return sum_of_lanes(sums)


cdef inline void scale_row(const Tensor* T, real scale, Py_ssize_t n) noexcept nogil:
    """T[n] *= scale."""
    cdef Py_ssize_t block, v, k
    cdef real* t
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            t = block_of(T, n, block) + v * LANES
            for k in range(LANES):
                t[k] *= scale


cdef inline void negate_rows(const Tensor* T, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """T = -T."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        scale_row(T, -1, n)


cdef void softmax_value(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = exp(Z[n, j]) / sum over k of exp(Z[n, k]), shifted by the largest."""
    cdef Py_ssize_t n
    cdef const Tensor* Y = &op.Y
    for n in range(start, stop):
        scale_row(Y, <real> 1 / shifted_exp(Y, Y, largest(Y, n), n), n)

cdef void softmax_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dZ, Py_ssize_t start,
                      Py_ssize_t stop) noexcept nogil:
    """dZ[n, j] = Y[n, j] (dY[n, j] - sum over k of dY[n, k] Y[n, k])."""
    cdef Py_ssize_t n, block, k
    cdef const Tensor* Y = &op.Y
    cdef real dot
    cdef const real* y
    cdef real* dz
    for n in range(start, stop):
        dot = sum_of_products(dZ, Y, n)
        for block in range(blocks(Y.width)):
            dz, y = block_of(dZ, n, block), block_of(Y, n, block)
            for k in range(width_of(Y.width, block)):
                dz[k] = y[k] * (dz[k] - dot)

row = activation(b"softmax", b"exp(z) / the sum of exp(z) over the row", NULL, NULL)
row.rows_value, row.rows_vjp, row.bound = softmax_value, softmax_vjp, 0.5


cdef void softmin_value(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = softmax(-Z)."""
    negate_rows(&op.Y, start, stop)
    softmax_value(op, context, start, stop)

cdef void softmin_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dZ, Py_ssize_t start,
                      Py_ssize_t stop) noexcept nogil:
    """dZ[n, j] = -Y[n, j] (dY[n, j] - sum over k of dY[n, k] Y[n, k])."""
    softmax_vjp(op, context, Z, dZ, start, stop)
    negate_rows(dZ, start, stop)

row = activation(b"softmin", b"exp(-z) / the sum of exp(-z) over the row", NULL, NULL)
row.rows_value, row.rows_vjp, row.bound = softmin_value, softmin_vjp, 0.5


cdef inline real sum_of_shifted_exp(const Tensor* T, real shift, Py_ssize_t n) noexcept nogil:
    """The sum over j of exp(T[n, j] - shift)."""
    cdef real[16] sums
    cdef Py_ssize_t block, v
    cdef int k, left
    cdef real e
    cdef const real* t
    memset(sums, 0, sizeof(sums))
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            t, left = block_of(T, n, block) + v * LANES, <int> (width_of(T.width, block) - v * LANES)
            for k in range(<int> LANES):
                e = exp(t[k] - shift)
                sums[k] += e if k < left else 0
    return sum_of_lanes(sums)


cdef void log_softmax_value(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = (Z[n, j] - largest) - log(sum over k of exp(Z[n, k] - largest))."""
    cdef Py_ssize_t n, block, k
    cdef real most, log_sum
    cdef real* y
    for n in range(start, stop):
        most = largest(&op.Y, n)
        log_sum = log(sum_of_shifted_exp(&op.Y, most, n))
        for block in range(blocks(op.Y.width)):
            y = block_of(&op.Y, n, block)
            for k in range(width_of(op.Y.width, block)):
                y[k] = (y[k] - most) - log_sum

cdef void log_softmax_vjp(const Op* op, const Context* context, const Tensor* Z, const Tensor* dZ, Py_ssize_t start,
                          Py_ssize_t stop) noexcept nogil:
    """dZ[n, j] = dY[n, j] - exp(Y[n, j]) times the sum over k of dY[n, k]."""
    cdef Py_ssize_t n, block, k
    cdef real total
    cdef const real* y
    cdef real* dz
    for n in range(start, stop):
        total = sum_of_products(dZ, NULL, n)
        for block in range(blocks(dZ.width)):
            dz, y = block_of(dZ, n, block), block_of(&op.Y, n, block)
            for k in range(width_of(dZ.width, block)):
                dz[k] -= exp(y[k]) * total

row = activation(b"log_softmax", b"z - log(the sum of exp(z) over the row)", NULL, NULL)
row.synonyms = b"logsoftmax"
row.rows_value, row.rows_vjp = log_softmax_value, log_softmax_vjp
