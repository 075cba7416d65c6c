"""The caller's samples of any dtype into the engine's blocks: one body, an entry of the table for each dtype.

Samples are cast when their batch is read.  Rejected: a converted copy of the whole data.  It does not fit into memory
if the array is a memory-mapped file, and takes eight times the memory of an array of bytes.
"""

cdef struct half:
    uint16_t bits

ctypedef fused number:
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    int8_t
    int16_t
    int32_t
    int64_t
    half
    float
    double

cdef enum:
    MOST_SOURCES = 16

cdef SourceKind[MOST_SOURCES] sources
cdef int n_sources = 0


cdef void source(const char* name, GatherKernel gather):
    """Adds an entry."""
    global n_sources
    assert n_sources < MOST_SOURCES - 1
    sources[n_sources] = SourceKind(name, gather)
    n_sources += 1


cdef inline real from_half(half h) noexcept nogil:
    """From half precision; a subnormal by its mantissa, since the engine flushes single-precision subnormals to 0."""
    cdef uint32_t size = h.bits & 0x7FFF, bits = (size << 13) + (112 << 23)
    cdef float value
    bits += (<uint32_t> (112 << 23)) if size >= 0x7C00 else 0
    memcpy(&value, &bits, 4)
    value = <float> <int32_t> size * <float> 5.9604644775390625e-08 if size < 0x0400 else value    # 2**-24
    return <real> (-value if h.bits & 0x8000 else value)


cdef inline void cast_features(const number* A, Py_ssize_t step, real* C, Py_ssize_t width) noexcept nogil:
    """At most one block's features; contiguous numbers are cast as vectors."""
    cdef Py_ssize_t j
    if step == sizeof(number):
        for j in range(width):
            if number is half:
                C[j] = from_half(A[j])
            else:
                C[j] = <real> A[j]
        return
    for j in range(width):
        if number is half:
            C[j] = from_half((<const number*> (<const char*> A + j * step))[0])
        else:
            C[j] = <real> (<const number*> (<const char*> A + j * step))[0]


cdef void gather_numbers(const number* A, const Rows* rows, const int64_t* order, Py_ssize_t first, const Tensor* X,
                         Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """X[n] = A[order[first + n]]; without order X[n] = A[first + n]."""
    cdef Py_ssize_t n, block
    cdef const char* row
    for n in range(start, stop):
        row = <const char*> A + (order[first + n] if order != NULL else first + n) * rows.stride
        if order != NULL and rows.step == sizeof(number):
            fetch(<const char*> A + order[first + least(n + AHEAD, stop - 1)] * rows.stride, X.width * sizeof(number))
        for block in range(blocks(X.width)):
            cast_features(<const number*> (row + block * PANEL * rows.step), rows.step, block_of(X, n, block),
                          width_of(X.width, block))


source(b"bool", <GatherKernel> gather_numbers[uint8_t])
source(b"uint8", <GatherKernel> gather_numbers[uint8_t])
source(b"uint16", <GatherKernel> gather_numbers[uint16_t])
source(b"uint32", <GatherKernel> gather_numbers[uint32_t])
source(b"uint64", <GatherKernel> gather_numbers[uint64_t])
source(b"int8", <GatherKernel> gather_numbers[int8_t])
source(b"int16", <GatherKernel> gather_numbers[int16_t])
source(b"int32", <GatherKernel> gather_numbers[int32_t])
source(b"int64", <GatherKernel> gather_numbers[int64_t])
source(b"float16", <GatherKernel> gather_numbers[half])
source(b"float32", <GatherKernel> gather_numbers[float])
source(b"float64", <GatherKernel> gather_numbers[double])


cdef bint fit_rows(const Rows* rows, const Tensor* X, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Whether the numbers of these rows are finite, and valid indices where they select rows of a table.  An invalid
    index becomes 0, so that the pass, whose result is not used then, can finish."""
    cdef Py_ssize_t block, n, j
    cdef bint fine = True
    cdef real* x
    for block in range(blocks(X.width) if rows.watched else 0):
        fine &= all_finite(block_of(X, start, block), (stop - start) * X.pitch)
    for j in range(X.width if rows.limits != NULL else 0):
        for n in range(start, stop if rows.limits[j] > 0 else start):
            x = block_of(X, n, j // PANEL) + j % PANEL
            if not (0 <= x[0] < rows.limits[j] and x[0] == <real> <Py_ssize_t> x[0]):
                x[0], fine = 0, False
    return fine
