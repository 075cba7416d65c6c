"""One row through a dense layer: forward, backward, gradient.  The sums of dense.pxi without parts and panels."""

cdef inline void lone_transposed(const Tensor* A, const real* W, const Tensor* C, real* packed,
                                 Py_ssize_t n) noexcept nogil:
    """C[n] = A[n] W', where A is at most DEPTH wide: the sums of `times_transposed`, by the same tiles."""
    cdef Py_ssize_t O = A.width, block, width
    cdef int kind = PLAIN if in_plain_rows(A) else BLOCKED
    for block in range(blocks(C.width)):
        width = width_of(C.width, block)
        pack_transposed(W + block * PANEL * O, O, O, width, packed)
        TILES[0][kind][parts(width, LANES) - 1](block_of(A, n, 0), A.pitch, A.block, packed, padded(width), O,
                                                block_of(C, n, block), C.pitch, NULL, FROM_ZERO)


cdef inline void lone_column(real a, const real* W, const Tensor* C, Py_ssize_t n) noexcept nogil:
    """`lone_transposed` where A is one number and C has whole vectors; each sum begins with 0: this turns -0 into 0."""
    cdef Py_ssize_t block, i
    cdef result c
    for block in range(blocks(C.width)):
        c = block_of(C, n, block)
        for i in range(whole(width_of(C.width, block))):
            c[i] = 0 + a * W[block * PANEL + i]


cdef inline void forward_lone(const Op* op, real* bias, Py_ssize_t n) noexcept nogil:
    """Z of one row, several panels at once; W is read in place."""
    cdef Py_ssize_t O = op.Y.width, first = 0, width
    cdef Py_ssize_t run = op.X.width if in_plain_rows(op.X) else PANEL
    cdef const real* A = block_of(op.X, n, 0)
    cdef const real* b = <const real*> op.b
    cdef real* Z = NULL
    while first < O:
        width = least(LONE_VECTORS * LANES, O - first)
        if op.b != NULL and beyond(width) != 0:
            copy_features(<const real*> op.b + first, bias, whole(width))
            read_first(<const real*> op.b + first + whole(width), beyond(width), bias + whole(width))
            b = bias
        elif op.b != NULL:
            b = <const real*> op.b + first
        Z = block_of(&op.Z, n, first // PANEL)
        LONES[parts(width, LANES) - 1](A, run, op.X.block, <const real*> op.W + first, O, op.X.width, Z, op.Z.block, b)
        first += width
    if beyond(O) != 0:
        Z = at(&op.Z, n, whole(O))
        read_first(Z, beyond(O), Z)


cdef void outer_product(const Op* op, Py_ssize_t start, Py_ssize_t stop, bint bias) noexcept nogil:
    """dW[start : stop] = X' dZ and db = dZ of one row, by plain loops: a tile would only start and finish its sums."""
    cdef Py_ssize_t O = op.Y.width, i = start, end, block
    cdef real* dW = <real*> op.dW
    cdef const real* x
    while i < stop:
        end, x = stop if in_plain_rows(op.X) else least(stop, (i | PANEL - 1) + 1), at(op.X, 0, i)
        if O == 1:
            add_scaled(x, block_of(&op.dY, 0, 0)[0], dW + i, end - i, op.adds_gradient)
        else:
            for block in range(blocks(O)):
                outer_block(x, end - i, block_of(&op.dY, 0, block), width_of(O, block), dW + i * O + block * PANEL, O,
                            op.adds_gradient)
        i = end
    for block in range(blocks(O) if bias and op.db != NULL else 0):
        add_scaled(block_of(&op.dY, 0, block), 1, <real*> op.db + block * PANEL, width_of(O, block), op.adds_bias)


cdef inline void outer_block(const real* x, Py_ssize_t rows, const real* dz, Py_ssize_t width, real* dW,
                             Py_ssize_t pitch, bint adds) noexcept nogil:
    """dW[i] (+)= x[i] dz."""
    cdef Py_ssize_t i, j, vectors = whole(width) // LANES, left = beyond(width)
    cdef real[16] last, product
    if adds:
        for i in range(rows):
            add_scaled(dz, x[i], dW + i * pitch, width, True)
        return
    if vectors > 0:
        OUTERS[vectors - 1](x, rows, dz, dW, pitch)
    if left > 0:
        read_first(dz + vectors * LANES, left, last)
        for i in range(rows):
            for j in range(<Py_ssize_t> LANES):
                product[j] = x[i] * last[j]
            write_first(product, left, dW + i * pitch + vectors * LANES)


cdef inline void add_scaled(operand A, real x, result C, Py_ssize_t n, bint adds) noexcept nogil:
    """C (+)= x A: whole vectors, then the remainder."""
    cdef Py_ssize_t i
    cdef real[16] last
    if adds:
        for i in range(whole(n)):
            C[i] += x * A[i]
        for i in range(whole(n), n):
            C[i] += x * A[i]
        return
    for i in range(whole(n)):
        C[i] = x * A[i]
    if beyond(n) != 0:
        read_first(A + whole(n), beyond(n), last)
        scaled(last, last, LANES, x)
        write_first(last, beyond(n), C + whole(n))
