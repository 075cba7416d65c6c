"""Ops of graphs with derivatives: directions along inputs, rows of W, W', Jacobians assembled from tangents.

A direction along an input is a column of the identity, so its product with W is a row of W: a copy, not a product.
"""

cdef void unit_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = alpha in column `first`, else 0."""
    cdef Py_ssize_t n
    zero_rows(&op.Y, start, stop)
    for n in range(start, stop):
        at(&op.Y, n, op.first)[0] = <real> op.alpha

op_kind(b"unit", unit_forward, no_inputs_backward)


cdef void weight_row_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = alpha W[first]."""
    cdef const real* W = <const real*> op.W + op.first * op.Y.width
    cdef Py_ssize_t block, n, j, width
    cdef real[64] row
    cdef real* y
    memset(row, 0, sizeof(row))
    for block in range(blocks(op.Y.width)):
        width = width_of(op.Y.width, block)
        for j in range(width):
            row[j] = <real> op.alpha * W[block * PANEL + j]
        for j in range(width, PANEL):
            row[j] = 0
        y = block_of(&op.Y, start, block)
        for n in range(stop - start):
            memcpy(y + n * op.Y.pitch, row, op.Y.pitch * sizeof(real))

cdef void weight_row_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                              bint bias) noexcept nogil:
    """dW[first] = alpha times the sum of dY's rows, and 0 elsewhere."""
    cdef real[64] sums
    cdef Py_ssize_t O = op.Y.width, block, j
    cdef real* dw = <real*> op.dW + op.first * O
    if not op.adds_gradient:
        memset(<real*> op.dW + start * O, 0, (stop - start) * O * sizeof(real))
    if op.first < start or op.first >= stop:
        return
    for block in range(blocks(O)):
        sum_rows(&op.dY, block, N, sums, False)
        for j in range(width_of(O, block)):
            dw[block * PANEL + j] += <real> op.alpha * sums[j]

op_kind(b"weight_row", weight_row_forward, no_inputs_backward, weight_row_gradient)


cdef void transposed_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X W'."""
    times_transposed(op.X, <const real*> op.W, &op.Y, <real*> context.scratch, start, stop)

cdef void transposed_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dY W."""
    cdef Op turned = op[0]
    if op.dX.data == NULL:
        return
    turned.X, turned.Y, turned.Z, turned.b = <Tensor*> &op.dY, op.dX[0], op.dX[0], NULL
    forward_panels(&turned, context, False, start, stop)

cdef void transposed_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                              bint bias) noexcept nogil:
    """dW[start : stop] = dY' X."""
    cdef Op turned = op[0]
    turned.X, turned.Y, turned.dY = <Tensor*> &op.dY, op.X[0], op.X[0]
    dense_gradient(&turned, context, N, start, stop, False)

op_kind(b"transposed", transposed_forward, transposed_backward, transposed_gradient)


cdef void scatter_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, first + j step] = X[n, j], else 0: the backward pass of a slice."""
    cdef Op turned = op[0]
    turned.dX, turned.dY, turned.Y = <Tensor*> &op.Y, op.X[0], op.X[0]
    slice_backward(&turned, context, start, stop)

cdef void scatter_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[n, j] = dY[n, first + j step]."""
    cdef Op turned = op[0]
    if op.dX.data == NULL:
        return
    turned.X, turned.Y = <Tensor*> &op.dY, op.dX[0]
    slice_forward(&turned, context, start, stop)

op_kind(b"scatter", scatter_forward, scatter_backward)


cdef void interleave_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, o inputs + i] = X[i][n, o]: a Jacobian by rows from its columns."""
    cdef Py_ssize_t n, o, i
    for n in range(start, stop):
        for i in range(op.inputs):
            for o in range(op.X.width):
                at(&op.Y, n, o * op.inputs + i)[0] = at(&op.X[i], n, o)[0]

cdef void interleave_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX[i][n, o] = dY[n, o inputs + i]."""
    cdef Py_ssize_t n, o, i
    for i in range(op.inputs):
        if op.dX[i].data != NULL:
            for n in range(start, stop):
                for o in range(op.X.width):
                    at(&op.dX[i], n, o)[0] = at(&op.dY, n, o * op.inputs + i)[0]

op_kind(b"interleave", interleave_forward, interleave_backward)


# Each row n has a square matrix J[o, i] = X[i][n, o]; it is computed in double whatever the number type.

cdef enum:
    MOST_SQUARE = 64            # rows of J: two of them fit the scratch memory


cdef inline double factorized(const Op* op, Py_ssize_t n, double* A, Py_ssize_t* rows) noexcept nogil:
    """log|det J| by LU decomposition with partial pivoting; A holds L and U, `rows` the permutation of J's rows."""
    cdef Py_ssize_t D = op.inputs, i, j, k, best, row
    cdef double total = 0, factor, swap
    for i in range(D):
        rows[i] = i
        for j in range(D):
            A[i * D + j] = <double> at(&op.X[j], n, i)[0]
    for k in range(D):
        best = k
        for i in range(k + 1, D):
            if fabs(A[i * D + k]) > fabs(A[best * D + k]):
                best = i
        if best != k:
            row, rows[k], rows[best] = rows[k], rows[best], rows[k]
            for j in range(D):
                swap, A[k * D + j] = A[k * D + j], A[best * D + j]
                A[best * D + j] = swap
        total += log_double(fabs(A[k * D + k]))
        for i in range(k + 1, D):
            factor = A[i * D + k] / A[k * D + k]
            A[i * D + k] = factor
            for j in range(k + 1, D):
                A[i * D + j] -= factor * A[k * D + j]
    return total


cdef inline void solve_column(const double* A, const Py_ssize_t* rows, Py_ssize_t D, Py_ssize_t o,
                              double* x) noexcept nogil:
    """x = column o of the inverse of J: x[i] = J^-1[i, o]."""
    cdef Py_ssize_t i, j
    for i in range(D):
        x[i] = 1 if rows[i] == o else 0
        for j in range(i):
            x[i] -= A[i * D + j] * x[j]
    for i in range(D - 1, -1, -1):
        for j in range(i + 1, D):
            x[i] -= A[i * D + j] * x[j]
        x[i] /= A[i * D + i]


cdef void log_det_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = log|det J|."""
    cdef double[MOST_SQUARE * MOST_SQUARE] A
    cdef Py_ssize_t[MOST_SQUARE] rows
    cdef Py_ssize_t n
    for n in range(start, stop):
        at(&op.Y, n, 0)[0] = <real> factorized(op, n, A, rows)

cdef void log_det_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dJ = dY J^-T."""
    cdef double[MOST_SQUARE * MOST_SQUARE] A
    cdef double[MOST_SQUARE] x
    cdef Py_ssize_t[MOST_SQUARE] rows
    cdef Py_ssize_t n, o, i
    for n in range(start, stop):
        factorized(op, n, A, rows)
        for o in range(op.inputs):
            solve_column(A, rows, op.inputs, o, x)
            for i in range(op.inputs):
                if op.dX[i].data != NULL:
                    at(&op.dX[i], n, o)[0] = <real> (<double> at(&op.dY, n, 0)[0] * x[i])

op_kind(b"log_det", log_det_forward, log_det_backward)


cdef void inverse_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y[n, o inputs + i] = J^-T[o, i]: the gradient of log|det J|, as an op."""
    cdef double[MOST_SQUARE * MOST_SQUARE] A
    cdef double[MOST_SQUARE] x
    cdef Py_ssize_t[MOST_SQUARE] rows
    cdef Py_ssize_t n, o, i
    for n in range(start, stop):
        factorized(op, n, A, rows)
        for o in range(op.inputs):
            solve_column(A, rows, op.inputs, o, x)
            for i in range(op.inputs):
                at(&op.Y, n, o * op.inputs + i)[0] = <real> x[i]

cdef inline void row_product(const Tensor* A, bint turn_a, const Tensor* B, bint turn_b, const Tensor* C, Py_ssize_t D,
                             Py_ssize_t n) noexcept nogil:
    """C = A B for the square matrices of a row, A and B transposed by turn_a and turn_b; C is neither A nor B."""
    cdef Py_ssize_t o, i, k
    cdef double total
    for o in range(D):
        for k in range(D):
            total = 0
            for i in range(D):
                total += (<double> at(A, n, i * D + o if turn_a else o * D + i)[0]
                          * <double> at(B, n, k * D + i if turn_b else i * D + k)[0])
            at(C, n, o * D + k)[0] = <real> total


cdef void inverse_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dJ = -M dY' M with M = J^-T."""
    cdef double[MOST_SQUARE * MOST_SQUARE] P
    cdef Py_ssize_t D = op.inputs, n, o, i, k
    cdef double total
    for n in range(start, stop):
        for i in range(D):                  # P = dY' M
            for k in range(D):
                total = 0
                for o in range(D):
                    total += <double> at(&op.dY, n, o * D + i)[0] * <double> at(&op.Y, n, o * D + k)[0]
                P[i * D + k] = total
        for o in range(D):
            for k in range(D):
                total = 0
                for i in range(D):
                    total += <double> at(&op.Y, n, o * D + i)[0] * P[i * D + k]
                if op.dX[k].data != NULL:
                    at(&op.dX[k], n, o)[0] = <real> -total

op_kind(b"inverse", inverse_forward, inverse_backward)


cdef void square_product_forward(const Op* op, const Context* context, Py_ssize_t start,
                                 Py_ssize_t stop) noexcept nogil:
    """Y = A B for the square matrices of a row, `first` by `first`; B is transposed if `step` is 2."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        row_product(op.X, False, &op.X[1], op.step == 2, &op.Y, op.first, n)

cdef void square_product_backward(const Op* op, const Context* context, Py_ssize_t start,
                                  Py_ssize_t stop) noexcept nogil:
    """dA = dY B', dB = A' dY; with B transposed dA = dY B, dB = dY' A."""
    cdef Py_ssize_t n
    for n in range(start, stop):
        if op.dX.data != NULL:
            row_product(&op.dY, False, &op.X[1], op.step != 2, op.dX, op.first, n)
        if op.dX[1].data != NULL:
            if op.step == 2:
                row_product(&op.dY, True, op.X, False, &op.dX[1], op.first, n)
            else:
                row_product(op.X, True, &op.dY, False, &op.dX[1], op.first, n)

op_kind(b"square_product", square_product_forward, square_product_backward)
