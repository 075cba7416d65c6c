"""Muon: a rule for whole matrices, by the kernels of the dense layers.

The elementwise part writes a direction into a state vector; the chain is cut there, and one thread orthogonalizes each
matrix of the direction, so no bit depends on the number of threads.
"""

cdef void prepare_muon(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    memcpy(scalars, parameters, 8 * sizeof(double))

cdef const real* muon(const double* scalars, real* P, const real* G, real** states, real* scratch,
                      Py_ssize_t n) noexcept nogil:
    """V = mu V + (1 - mu) G; the next rule gets V, or Nesterov's mu V + (1 - mu) G, orthogonal (Jordan et al. 2024).
    """
    cdef real mu = <real> scalars[0], left = <real> (1 - scalars[0]), v
    cdef real ahead = <real> (scalars[0] if scalars[1] else 1), own = <real> (1 - scalars[0] if scalars[1] else 0)
    cdef real* V = states[0]
    cdef real* U = states[1]
    cdef Py_ssize_t i
    for i in range(n):
        v = mu * V[i] + left * G[i]
        U[i] = ahead * v + own * G[i]
        V[i] = v
    return U


cdef inline Py_ssize_t whole_lines(Py_ssize_t numbers) noexcept nogil:
    """Rounded up so that the next buffer begins on a cache line too."""
    return parts(numbers, 16) * 16

cdef inline Py_ssize_t size_of(Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    """How many numbers a tensor takes in memory."""
    return whole_lines(rows * (blocks(width) * PANEL if width > PANEL else padded(width)))

cdef Py_ssize_t muon_work(Py_ssize_t I, Py_ssize_t O) noexcept nogil:
    cdef Py_ssize_t m = least(I, O), n = I if I > O else O
    return 2 * (whole_lines(m * n) + whole_lines(m * m) + size_of(m, n) + size_of(m, m))


cdef inline real* tensor_at(Tensor* T, real* memory, Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    """Places a tensor in memory, and returns the address after it."""
    T.data, T.width = memory, width
    T.pitch = PANEL if width > PANEL else padded(width)
    T.block = T.pitch * rows
    return memory + size_of(rows, width)


cdef inline Py_ssize_t rows_between(Py_ssize_t inner, Py_ssize_t columns) noexcept nogil:
    """Rows of a product between two checks for interruption; a multiple of 16, as blocks of rows are."""
    return parts(<Py_ssize_t> (OPERATIONS / (2.0 * inner * columns)), 16) * 16 + 16


cdef inline bint ends(const Context* context) noexcept nogil:
    return context.stops != NULL and context.stops(context)


cdef bint forward_in_pieces(const Op* op, const Context* context, Py_ssize_t N) noexcept nogil:
    """False if it was interrupted."""
    cdef Py_ssize_t n = 0, step = rows_between(op.X.width, op.Y.width)
    while n < N and not ends(context):
        dense_forward(op, context, n, least(N, n + step))
        n += step
    return n >= N


cdef bint backward_in_pieces(const Op* op, const Context* context, Py_ssize_t N) noexcept nogil:
    cdef Py_ssize_t n = 0, step = rows_between(op.X.width, op.Y.width)
    while n < N and not ends(context):
        dense_backward(op, context, n, least(N, n + step))
        n += step
    return n >= N


cdef void orthogonal(const double* scalars, void* A, Py_ssize_t I, Py_ssize_t O, void* work,
                     const Context* context) noexcept nogil:
    """X = A / |A|; then a few Newton-Schulz iterations X = a X + (b S + c S^2) X with S = X X': A's singular values go
    near 1.  If A has more rows than columns, X is its transpose; the result is scaled by a factor for A's shape.

    If it is interrupted, A keeps its values.
    """
    cdef Py_ssize_t m = least(I, O), n = I if I > O else O, i, k
    cdef bint turned = I > O
    cdef real* X = <real*> work
    cdef real* Y = X + whole_lines(m * n)
    cdef real* S = Y + whole_lines(m * n)
    cdef real* B = S + whole_lines(m * m)
    cdef real* free_from = B + whole_lines(m * m)
    cdef Tensor X_rows, Y_rows, S_rows, B_rows
    cdef Op op
    cdef real a = <real> scalars[4], b = <real> scalars[5], c = <real> scalars[6]
    cdef double norm = sqrt_double(sum_of_squares(A, I * O)), size = 1
    cdef real share = <real> (1 / (norm if norm > scalars[2] else scalars[2]))
    free_from = tensor_at(&X_rows, free_from, m, n)
    free_from = tensor_at(&Y_rows, free_from, m, n)
    free_from = tensor_at(&S_rows, free_from, m, m)
    tensor_at(&B_rows, free_from, m, m)
    memset(&op, 0, sizeof(op))
    op.activation, op.inputs = activations, 1
    copy_turned(<const real*> A, I, O, turned, share, X)
    for k in range(<Py_ssize_t> scalars[3]):
        load_rows(X, n, NULL, &X_rows, 0, m)
        # S = X X' is the input gradient of a layer with the weights X.
        op.X, op.Y, op.dX, op.dY, op.W = &S_rows, X_rows, &S_rows, X_rows, X
        if not backward_in_pieces(&op, context, m):
            return
        store_rows(&S_rows, S, m, 0, m)
        op.X, op.W, op.Y, op.Z = &S_rows, S, B_rows, B_rows
        if not forward_in_pieces(&op, context, m):
            return
        store_rows(&B_rows, B, m, 0, m)
        for i in range(m * m):
            B[i] = b * S[i] + c * B[i]
        load_rows(B, m, NULL, &B_rows, 0, m)
        op.X, op.W, op.Y, op.Z = &B_rows, X, Y_rows, Y_rows
        if not forward_in_pieces(&op, context, m):
            return
        store_rows(&Y_rows, Y, n, 0, m)
        for i in range(m * n):
            X[i] = a * X[i] + Y[i]
    if scalars[7] == 0:
        size = sqrt_double(<double> O / <double> I) if O > I else 1
    elif scalars[7] == 1:
        size = 0.2 * sqrt_double(<double> n)
    copy_turned(X, m, n, turned, <real> size, <real*> A)


cdef inline void copy_turned(const real* A, Py_ssize_t I, Py_ssize_t O, bint turned, real factor,
                             real* C) noexcept nogil:
    """C = factor A, or its transpose."""
    cdef Py_ssize_t i, o
    if not turned:
        for i in range(I * O):
            C[i] = factor * A[i]
        return
    for i in range(I):
        for o in range(O):
            C[o * I + i] = factor * A[i * O + o]


cdef Rule* muon_entry = rule(b"muon", 2, 8, prepare_muon, muon)
muon_entry.hands_on = 1
muon_entry.matrix = orthogonal
muon_entry.matrix_work = muon_work
