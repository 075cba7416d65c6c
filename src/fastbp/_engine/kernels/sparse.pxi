"""A dense layer on rows in compressed form (CSR), which are never made dense: their zeros cost nothing.

Numbers are added in the order of the columns, as the tile adds them, so a sparse X gives the same bits as a dense X.
The gradient of X is not computed: nothing uses it.
"""

ctypedef fused column:
    int32_t
    int64_t


cdef inline const int64_t* bounds_of(const Op* op, const Context* context, Py_ssize_t n) noexcept nogil:
    """bounds[0] and bounds[1]: where the numbers of the batch's row n begin and end."""
    return op.rows.starts + (context.order[context.first + n] if context.order != NULL else context.first + n)


cdef inline void add_rows(const column* columns, const real* x, const int64_t* bounds, const real* W, Py_ssize_t O,
                          Py_ssize_t width, real* sums) noexcept nogil:
    """sums += the sum over k of x[k] W[columns[k]], of at most a block's features."""
    cdef Py_ssize_t k, j
    cdef const real* w
    for k in range(bounds[0], bounds[1]):
        w = W + columns[k] * O
        if width == PANEL:
            for j in range(PANEL):
                sums[j] += x[k] * w[j]
        else:
            for j in range(width):
                sums[j] += x[k] * w[j]


cdef void sparse_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Z = X W + b; Y = f(Z)."""
    cdef Py_ssize_t O = op.Y.width, block, width, n
    cdef const int64_t* bounds
    cdef real* sums = <real*> context.scratch
    cdef const real* x = <const real*> op.rows.data
    cdef const real* W
    for block in range(blocks(O)):
        width, W = width_of(O, block), <const real*> op.W + block * PANEL
        for n in range(start, stop):
            bounds = bounds_of(op, context, n)
            memset(sums, 0, PANEL * sizeof(real))
            if op.b != NULL:
                memcpy(sums, <const real*> op.b + block * PANEL, width * sizeof(real))
            if op.rows.wide:
                add_rows(<const int64_t*> op.rows.columns, x, bounds, W, O, width, sums)
            else:
                add_rows(<const int32_t*> op.rows.columns, x, bounds, W, O, width, sums)
            copy_features(sums, block_of(&op.Z, n, block), padded(width))
        activate_block(op, context, &op.Z, block, start, stop)
    activate_rows(op, context, &op.Z, start, stop)


cdef inline Py_ssize_t first_from(const column* columns, const int64_t* bounds, Py_ssize_t wanted) noexcept nogil:
    """The first of a row's numbers whose column is at least `wanted`."""
    cdef Py_ssize_t low = bounds[0], high = bounds[1], middle
    while low < high:
        middle = (low + high) // 2
        if columns[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void add_outer(const column* columns, const real* x, const int64_t* bounds, const Op* op, Py_ssize_t n,
                           Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dW[start : stop] += the outer product of the batch's row n with its dZ."""
    cdef Py_ssize_t O = op.Y.width, k = first_from(columns, bounds, start), block, j, width
    cdef const real* dz
    cdef real* dw
    while k < bounds[1] and columns[k] < stop:
        for block in range(blocks(O)):
            width, dz = width_of(O, block), block_of(&op.dY, n, block)
            dw = <real*> op.dW + columns[k] * O + block * PANEL
            for j in range(width):
                dw[j] += x[k] * dz[j]
        k += 1


cdef void sparse_gradient(const Op* op, const Context* context, Py_ssize_t N, Py_ssize_t start, Py_ssize_t stop,
                          bint bias) noexcept nogil:
    """dW[start : stop] = X' dZ over N rows, in their order; db = sum of dZ's rows."""
    cdef Py_ssize_t O = op.Y.width, n, block
    cdef const real* x = <const real*> op.rows.data
    if not op.adds_gradient:
        memset(<real*> op.dW + start * O, 0, (stop - start) * O * sizeof(real))
    for n in range(N):
        if op.rows.wide:
            add_outer(<const int64_t*> op.rows.columns, x, bounds_of(op, context, n), op, n, start, stop)
        else:
            add_outer(<const int32_t*> op.rows.columns, x, bounds_of(op, context, n), op, n, start, stop)
    for block in range(blocks(O) if bias and op.db != NULL else 0):
        sum_rows(&op.dY, block, N, <real*> op.db + block * PANEL, op.adds_bias)


cdef OpKind sparse_dense
memset(&sparse_dense, 0, sizeof(OpKind))
sparse_dense.name = b"sparse_dense"
sparse_dense.forward, sparse_dense.backward, sparse_dense.gradient = sparse_forward, dense_backward, sparse_gradient


cdef inline void spread(const column* columns, const real* x, const int64_t* bounds, const Tensor* X,
                        Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(bounds[0], bounds[1]):
        block_of(X, n, columns[k] // PANEL)[columns[k] % PANEL] += x[k]


cdef void gather_sparse(const void* A, const Rows* rows, const int64_t* order, Py_ssize_t first, const Tensor* X,
                        Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """X[n] = A[order[first + n]], made dense for other ops than a dense layer; without order X[n] = A[first + n]."""
    cdef Py_ssize_t n, block
    cdef const int64_t* bounds
    for block in range(blocks(X.width)):
        memset(block_of(X, start, block), 0, (stop - start) * X.pitch * sizeof(real))
    for n in range(start, stop):
        bounds = rows.starts + (order[first + n] if order != NULL else first + n)
        if rows.wide:
            spread(<const int64_t*> rows.columns, <const real*> A, bounds, X, n)
        else:
            spread(<const int32_t*> rows.columns, <const real*> A, bounds, X, n)
