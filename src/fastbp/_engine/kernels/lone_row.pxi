"""One row through a dense layer: what the products of dense.pxi are without parts, panels and divisions."""

cdef inline void lone_transposed(const Tensor* A, const real* W, const Tensor* C, real* packed,
                                 Py_ssize_t n) noexcept nogil:
    """C[n] = A[n] W', where A is at most DEPTH wide: the sums of `times_transposed`, by the same tiles."""
    cdef Py_ssize_t O = A.width, block, width
    cdef int kind = PLAIN if in_plain_rows(A) else BLOCKED
    cdef const real* panel
    for block in range(blocks(C.width)):
        width = width_of(C.width, block)
        panel = W + block * PANEL * O
        if O > 1 or width % LANES != 0:  # a column of whole vectors is a panel as it lies
            pack_transposed(panel, O, O, width, packed)
            panel = packed
        TILES[0][kind][parts(width, LANES) - 1](block_of(A, n, 0), A.pitch, A.block, panel, padded(width), O,
                                                block_of(C, n, block), C.pitch, NULL, FROM_ZERO)
