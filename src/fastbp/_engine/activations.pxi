"""Activations: value, vjp and curvature one under the other, and a row.

    name_value   Y = f(Z) in place: Y holds Z when it begins
    name_vjp     dZ = dY f'(Z) in place: dZ holds dY when it begins; the slope comes from Z or from Y, whichever
                 is cheaper, and a row with keeps_input = True has Z kept
    name_curvature   dZ = dY f''(Z) in place, for second derivatives; a row without one is piecewise linear

At a kink the slope is the left one.  In place, because a loop over two arrays that may be one does not
vectorise.  Element by element where it can be: only softmax works by rows.
"""

ctypedef void (*Value)(real* Y, Py_ssize_t n, double alpha) noexcept nogil
ctypedef void (*Vjp)(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil

cdef enum:
    MOST_ACTIVATIONS = 64

cdef Activation[MOST_ACTIVATIONS] activations
cdef int n_activations = 0


cdef Activation* activation(const char* name, Value value, Vjp vjp, const char* start, double alpha=0,
                            bint keeps_input=False,
                            Vjp curvature=NULL, RowsValueKernel rows_value=NULL, RowsVjpKernel rows_vjp=NULL):
    """Adds a row; what most lack is set on the row that it returns."""
    global n_activations
    assert n_activations < MOST_ACTIVATIONS - 1
    activations[n_activations] = Activation(name, start, alpha, keeps_input, <ValueKernel> value, <VjpKernel> vjp,
                                            <VjpKernel> curvature, rows_value, rows_vjp, 1, 0, 0, False)
    n_activations += 1
    return &activations[n_activations - 1]


activation(b"linear", NULL, NULL, b"glorot_uniform")


cdef void sigmoid_value(real* Y, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        Y[i] = sigmoid(Y[i])

cdef void sigmoid_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dZ[i] *= Y[i] * (<real> 1 - Y[i])

cdef void sigmoid_curvature(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dZ[i] *= Y[i] * (<real> 1 - Y[i]) * (<real> 1 - <real> 2 * Y[i])

cdef Activation* row
row = activation(b"sigmoid", sigmoid_value, sigmoid_vjp, b"glorot_uniform", 0, False, sigmoid_curvature)
row.bound, row.low, row.high = 0.25, 0.0126606, 0.9873394


cdef void tanh_value(real* Y, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        Y[i] = tanh(Y[i])

cdef void tanh_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dZ[i] *= <real> 1 - Y[i] * Y[i]

cdef void tanh_curvature(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dZ[i] *= <real> -2 * Y[i] * (<real> 1 - Y[i] * Y[i])

row = activation(b"tanh", tanh_value, tanh_vjp, b"glorot_uniform", 0, False, tanh_curvature)
row.low, row.high = -0.9746794, 0.9746794


cdef void relu_value(real* Y, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        Y[i] = 0 if Y[i] <= 0 else Y[i]

cdef void relu_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dZ[i] = 0 if Y[i] <= 0 else dZ[i]

row = activation(b"relu", relu_value, relu_vjp, b"he_normal")
row.dies = True


cdef void leaky_relu_value(real* Y, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(n):
        Y[i] = a * Y[i] if Y[i] <= 0 else Y[i]

cdef void leaky_relu_vjp(const real* Z, const real* Y, real* dZ, Py_ssize_t n, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    cdef real a = <real> alpha
    for i in range(n):
        dZ[i] = a * dZ[i] if Z[i] <= 0 else dZ[i]

activation(b"leaky_relu", leaky_relu_value, leaky_relu_vjp, b"he_normal", 0.01, True)


cdef inline real largest(const Tensor* T, Py_ssize_t n) noexcept nogil:
    """max over j of T[n, j]."""
    cdef real[16] most
    cdef Py_ssize_t block, v
    cdef int k, left
    cdef const real* t = block_of(T, n, 0)
    for k in range(<int> LANES):
        most[k] = t[0]
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            t, left = block_of(T, n, block) + v * LANES, <int> (width_of(T.width, block) - v * LANES)
            for k in range(<int> LANES):
                most[k] = t[k] if k < left and t[k] > most[k] else most[k]
    for k in range(1, <int> LANES):
        most[0] = most[k] if most[k] > most[0] else most[0]
    return most[0]


cdef inline real shifted_exp(const Tensor* T, const Tensor* E, real shift, Py_ssize_t n) noexcept nogil:
    """E[n, j] = exp(T[n, j] - shift); returns their sum.  T and E may be one."""
    cdef real[16] e, sums
    cdef Py_ssize_t block, v
    cdef int k, left, half
    memset(sums, 0, sizeof(sums))
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            left = <int> (width_of(T.width, block) - v * LANES)
            memcpy(e, block_of(T, n, block) + v * LANES, LANES * sizeof(real))
            for k in range(<int> LANES):
                e[k] = exp(e[k] - shift)
                sums[k] += e[k] if k < left else 0
            memcpy(block_of(E, n, block) + v * LANES, e, LANES * sizeof(real))
    half = <int> LANES // 2
    while half > 0:
        for k in range(half):
            sums[k] += sums[k + half]
        half = half // 2
    return sums[0]


cdef inline void scale_row(const Tensor* T, real scale, Py_ssize_t n) noexcept nogil:
    """T[n] *= scale."""
    cdef Py_ssize_t block, v, k
    cdef real* t
    for block in range(blocks(T.width)):
        for v in range(parts(width_of(T.width, block), LANES)):
            t = block_of(T, n, block) + v * LANES
            for k in range(LANES):
                t[k] *= scale


cdef void softmax_value(const Tensor* Y, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, j] = exp(Z[n, j]) / sum over k of exp(Z[n, k]), shifted by the largest."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        scale_row(Y, <real> 1 / shifted_exp(Y, Y, largest(Y, n), n), n)

cdef void softmax_vjp(const Tensor* Y, const Tensor* dZ, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dZ[n, j] = Y[n, j] (dY[n, j] - sum over k of dY[n, k] Y[n, k])."""
    cdef Py_ssize_t n, block, k
    cdef real dot
    cdef const real* y
    cdef real* dz
    for n in range(start, stop):
        dot = 0
        for block in range(blocks(Y.width)):
            dz, y = block_of(dZ, n, block), block_of(Y, n, block)
            for k in range(width_of(Y.width, block)):
                dot += dz[k] * y[k]
        for block in range(blocks(Y.width)):
            dz, y = block_of(dZ, n, block), block_of(Y, n, block)
            for k in range(width_of(Y.width, block)):
                dz[k] = y[k] * (dz[k] - dot)

row = activation(b"softmax", NULL, NULL, b"glorot_uniform", 0, False, NULL, softmax_value, softmax_vjp)
row.bound = 0.5


cdef inline void activate_block(const Op* op, const Tensor* Z, Py_ssize_t block, Py_ssize_t start,
                                Py_ssize_t stop) noexcept nogil:
    """Y = f(Z) for the rows of one block, as far as it goes element by element."""
    cdef real* Y = block_of(&op.Y, start, block)
    if Z.data != op.Y.data:
        memcpy(Y, block_of(Z, start, block), (stop - start) * op.Y.pitch * sizeof(real))
    if op.activation.value != NULL:
        op.activation.value(Y, (stop - start) * op.Y.pitch, op.alpha)


cdef inline void activation_slope(const Op* op, const Tensor* Z, const Tensor* dZ, Py_ssize_t start,
                                  Py_ssize_t stop) noexcept nogil:
    """dZ = dY f'(Z) in place."""
    cdef Py_ssize_t block
    if op.activation.rows_vjp != NULL:
        op.activation.rows_vjp(&op.Y, dZ, start, stop)
    if op.activation.vjp == NULL:
        return
    for block in range(blocks(dZ.width)):
        op.activation.vjp(block_of(Z, start, block), block_of(&op.Y, start, block), block_of(dZ, start, block),
                          (stop - start) * op.Y.pitch, op.alpha)
