"""Dropout: masks drawn by counters, so that they do not depend on who draws them."""

cdef inline uint64_t mixed(uint64_t x) noexcept nogil:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of x moves every bit of the result."""
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline void mask_rows(const Op* op, const Context* context, const Tensor* A, const Tensor* C, Py_ssize_t start,
                           Py_ssize_t stop) noexcept nogil:
    """C[n, j] = A[n, j] / (1 - rate) or 0: a draw for (seed, step, node, row, feature), whoever makes it."""
    cdef uint64_t key
    cdef uint32_t row_key, h
    cdef uint32_t kept_below = <uint32_t> ((1 - op.alpha) * 4294967295.0)
    cdef real scale = <real> (1 / (1 - op.alpha)), zero = 0
    cdef Py_ssize_t n, block, k
    cdef const real* a
    cdef real* c
    for n in range(start, stop):
        key = mixed(mixed(mixed(context.seed) ^ context.step) ^ (op.key << 40) ^ <uint64_t> n)
        row_key = <uint32_t> key
        for block in range(blocks(C.width)):
            a, c = block_of(A, n, block), block_of(C, n, block)
            for k in range(C.pitch):
                # The finalizer of MurmurHash3 on a Weyl sequence: 32 bits, so that it vectorises.
                h = row_key + <uint32_t> (block * PANEL + k) * <uint32_t> 0x9E3779B9
                h = (h ^ (h >> 16)) * <uint32_t> 0x85EBCA6B
                h = (h ^ (h >> 13)) * <uint32_t> 0xC2B2AE35
                h = h ^ (h >> 16)
                c[k] = a[k] * (scale if h <= kept_below else zero)


cdef void dropout_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Y = X M / (1 - rate) in training, with M = 1 with probability 1 - rate; else Y = X."""
    if context.training:
        mask_rows(op, context, op.X, &op.Y, start, stop)
    else:
        copy_rows(op.X, &op.Y, start, stop)

cdef void dropout_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dX = dY M / (1 - rate) with the same M, drawn again; else dX = dY."""
    if context.training:
        mask_rows(op, context, &op.dY, op.dX, start, stop)
    else:
        copy_rows(&op.dY, op.dX, start, stop)

op_kind(b"dropout", dropout_forward, dropout_backward)
