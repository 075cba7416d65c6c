"""What every family of kernels uses: parts of a tensor, copies, sums of rows and columns, numbers within limits.

A tensor lies in blocks of PANEL features; the rows of a block are contiguous.  In a tensor of one block each row is
padded to whole vectors, as in every panel.  A tile then reads and writes contiguous memory whatever the width of the
layer.  Rejected: plain row-major tensors.  They take 1.2 to 1.9 times as long on wide layers, and longer if a row is a
multiple of 4096 bytes.
"""
from libc.string cimport memcpy, memset

from fastbp._engine.kernel_table cimport Tensor
from fastbp._engine.tile cimport LANES, PANEL, operand, real


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t parts(Py_ssize_t n, Py_ssize_t most) noexcept nogil:
    """How many parts of at most `most` make n; unsigned, so that a division by a power of two is a single shift."""
    return <Py_ssize_t> (<size_t> (n + most - 1) // <size_t> most)


cdef inline Py_ssize_t whole(Py_ssize_t n) noexcept nogil:
    """n rounded down to whole vectors; where n is a multiple of LANES, this tells the compiler so."""
    return n & -LANES


cdef inline real within(real z, real low, real high) noexcept nogil:
    """z clipped to low ... high; NaN for NaN."""
    z = low if z < low else z
    return high if z > high else z


cdef inline real absolute(real z) noexcept nogil:
    return z if z > 0 else <real> 0 - z


cdef inline Py_ssize_t padded(Py_ssize_t width) noexcept nogil:
    """The width rounded up to whole vectors."""
    return whole(width + LANES - 1)


cdef inline Py_ssize_t beyond(Py_ssize_t width) noexcept nogil:
    """How many numbers follow the last whole vector."""
    return width & LANES - 1


cdef inline Py_ssize_t blocks(Py_ssize_t width) noexcept nogil:
    return parts(width, PANEL)


cdef inline Py_ssize_t width_of(Py_ssize_t width, Py_ssize_t block) noexcept nogil:
    """How many of a tensor's features a block holds."""
    return least(PANEL, width - block * PANEL)


cdef inline real* block_of(const Tensor* T, Py_ssize_t n, Py_ssize_t block) noexcept nogil:
    """Row n of a block: the features from block * PANEL on."""
    return <real*> T.data + block * T.block + n * T.pitch


cdef inline real* at(const Tensor* T, Py_ssize_t n, Py_ssize_t j) noexcept nogil:
    """Where T[n, j] lies."""
    return block_of(T, n, <Py_ssize_t> (<size_t> j // <size_t> PANEL)) + (j & PANEL - 1)


cdef inline Py_ssize_t numbers_in(const Tensor* T, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """How many numbers rows start ... stop of a block hold, with padding."""
    return (stop - start) * T.pitch


cdef inline real* piece(void** free_from, Py_ssize_t numbers) noexcept nogil:
    """Takes the next part of the scratch memory, in whole cache lines."""
    cdef real* first = <real*> free_from[0]
    free_from[0] = first + (numbers + 15) // 16 * 16
    return first


# How many rows ahead shuffled rows are prefetched: the hardware prefetches only contiguous memory.
cdef enum:
    AHEAD = 2


cdef inline void copy_features(const real* A, real* C, Py_ssize_t width) noexcept nogil:
    """C = A, at most one block's features: copies of constant size are vector moves instead of calls."""
    cdef Py_ssize_t v, vectors = whole(width) // LANES
    if width == PANEL:
        memcpy(C, A, PANEL * sizeof(real))
        return
    for v in range(vectors):
        memcpy(C + v * LANES, A + v * LANES, LANES * sizeof(real))
    if vectors * LANES < width:
        memcpy(C + vectors * LANES, A + vectors * LANES, (width - vectors * LANES) * sizeof(real))


cdef inline Py_ssize_t stretches(const Tensor* T) noexcept nogil:
    """How many contiguous stretches of memory some rows take: one for each block, or one if T is an array."""
    return blocks(T.width) if T.pitch <= PANEL else 1


cdef inline void copy_rows(const Tensor* A, const Tensor* C, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """C = A; both are tensors of the engine, or both are arrays."""
    cdef Py_ssize_t block
    for block in range(stretches(C)):
        memcpy(block_of(C, start, block), block_of(A, start, block), (stop - start) * C.pitch * sizeof(real))


cdef inline void zero_rows(const Tensor* T, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """T[n] = 0."""
    cdef Py_ssize_t block
    for block in range(stretches(T)):
        memset(block_of(T, start, block), 0, (stop - start) * T.pitch * sizeof(real))


cdef inline void fill_row(const Tensor* C, Py_ssize_t n, real value) noexcept nogil:
    """C[n, j] = value."""
    cdef Py_ssize_t block, i
    cdef real* c
    for block in range(stretches(C)):
        c = block_of(C, n, block)
        for i in range(C.pitch):
            c[i] = value


cdef inline void scaled(operand A, real* C, Py_ssize_t n, real scale) noexcept nogil:
    """C = scale A, for whole vectors."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        C[i] = A[i] * scale


cdef inline real row_sum(const Tensor* A, Py_ssize_t n) noexcept nogil:
    """sum over j of A[n, j], with one partial sum for each lane."""
    cdef real[16] sums
    cdef Py_ssize_t block, v, j, width
    cdef const real* a
    cdef real total = 0
    memset(sums, 0, sizeof(sums))
    for block in range(blocks(A.width)):
        a, width = block_of(A, n, block), width_of(A.width, block)
        for v in range(width // LANES):
            for j in range(<Py_ssize_t> LANES):
                sums[j] += a[v * LANES + j]
        for j in range(width - width % LANES, width):
            total += a[j]
    for j in range(<Py_ssize_t> LANES):
        total += sums[j]
    return total


cdef inline real row_dot(const Tensor* A, const Tensor* B, Py_ssize_t n) noexcept nogil:
    """sum over j of A[n, j] B[n, j]."""
    cdef real[16] sums
    cdef Py_ssize_t block, v, j, width
    cdef const real* a
    cdef const real* b
    cdef real total = 0
    memset(sums, 0, sizeof(sums))
    for block in range(blocks(A.width)):
        a, b, width = block_of(A, n, block), block_of(B, n, block), width_of(A.width, block)
        for v in range(width // LANES):
            for j in range(<Py_ssize_t> LANES):
                sums[j] += a[v * LANES + j] * b[v * LANES + j]
        for j in range(width - width % LANES, width):
            total += a[j] * b[j]
    for j in range(<Py_ssize_t> LANES):
        total += sums[j]
    return total


cdef inline void sum_rows(const Tensor* dZ, Py_ssize_t block, Py_ssize_t N, real* db, bint adds) noexcept nogil:
    """db (+)= sum over n of dZ[n, block]; rows n, n + 4, n + 8 ... form four partial sums: their additions overlap."""
    cdef real sums[4][16]
    cdef Py_ssize_t width = width_of(dZ.width, block), v, n, c, j
    cdef const real* dz
    for v in range(parts(width, LANES)):
        memset(sums, 0, sizeof(sums))
        for n in range(N // 4):
            for c in range(4):
                dz = block_of(dZ, 4 * n + c, block) + v * LANES
                for j in range(LANES):
                    sums[c][j] += dz[j]
        for n in range(N - N % 4, N):
            dz = block_of(dZ, n, block) + v * LANES
            for j in range(LANES):
                sums[0][j] += dz[j]
        for j in range(least(LANES, width - v * LANES)):
            db[v * LANES + j] = (db[v * LANES + j] if adds else 0) + (
                (sums[0][j] + sums[1][j]) + (sums[2][j] + sums[3][j]))
