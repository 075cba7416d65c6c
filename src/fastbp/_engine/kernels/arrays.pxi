"""Copies between tensors and the caller's arrays, and figures of both: kernels that belong to no family."""

cdef void load_rows(const void* A, Py_ssize_t pitch, const int64_t* order, const Tensor* X,
                    Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """X[n] = A[order[n]]; without order X[n] = A[n]."""
    cdef Py_ssize_t n, block
    cdef const real* row
    for n in range(start, stop):
        row = <const real*> A + (order[n] if order != NULL else n) * pitch
        if order != NULL:
            fetch(<const real*> A + order[least(n + AHEAD, stop - 1)] * pitch, X.width * sizeof(real))
        for block in range(blocks(X.width)):
            copy_features(row + block * PANEL, block_of(X, n, block), width_of(X.width, block))


cdef void store_rows(const Tensor* Y, void* A, Py_ssize_t pitch, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """A[n] = Y[n]."""
    cdef Py_ssize_t n, block
    cdef real* row
    for n in range(start, stop):
        row = <real*> A + n * pitch
        for block in range(blocks(Y.width)):
            copy_features(block_of(Y, n, block), row + block * PANEL, width_of(Y.width, block))


cdef void describe(const Tensor* T, Py_ssize_t N, double low, double high, double* out) noexcept nogil:
    """Sum, sum of squares, number of values outside low ... high, number of columns that are nowhere above 0."""
    cdef Py_ssize_t block, n, j, width
    cdef double[64] total, squares, outside
    cdef real[64] most
    cdef const real* t
    cdef real below = <real> low, above = <real> high
    for j in range(4):
        out[j] = 0
    for block in range(blocks(T.width)):
        width = width_of(T.width, block)
        for j in range(width):
            total[j], squares[j], outside[j], most[j] = 0, 0, 0, block_of(T, 0, block)[j]
        for n in range(N):
            t = block_of(T, n, block)
            for j in range(width):
                total[j] += <double> t[j]
                squares[j] += <double> t[j] * <double> t[j]
                outside[j] += <double> ((t[j] < below) | (t[j] > above))
                most[j] = t[j] if t[j] > most[j] else most[j]
        for j in range(width):
            out[0] += total[j]
            out[1] += squares[j]
            out[2] += outside[j]
            out[3] += <double> (most[j] <= 0)


cdef double squares_of(const Tensor* T, Py_ssize_t N) noexcept nogil:
    """The sum of the squares of all numbers of N rows."""
    cdef Py_ssize_t block, n, j, width
    cdef double[64] squares
    cdef double total = 0
    cdef const real* t
    for block in range(blocks(T.width)):
        width = width_of(T.width, block)
        memset(squares, 0, sizeof(squares))
        for n in range(N):
            t = block_of(T, n, block)
            for j in range(width):
                squares[j] += <double> t[j] * <double> t[j]
        for j in range(width):
            total += squares[j]
    return total


cdef double sum_of_squares(const void* A, Py_ssize_t n) noexcept nogil:
    cdef const real* a = <const real*> A
    cdef double[16] sums
    cdef double total = 0
    cdef Py_ssize_t v, j
    memset(sums, 0, sizeof(sums))
    for v in range(n // 16):
        for j in range(16):
            sums[j] += <double> a[v * 16 + j] * <double> a[v * 16 + j]
    for j in range(n - n % 16, n):
        total += <double> a[j] * <double> a[j]
    for j in range(16):
        total += sums[j]
    return total


cdef void stream(const void* A, void* C, Py_ssize_t n) noexcept nogil:
    """C = A for numbers that are not read soon: whole cache lines go to memory without being fetched first."""
    cdef const char* a = <const char*> A
    cdef char* c = <char*> C
    cdef Py_ssize_t size = n * sizeof(real), head = least(size, -<Py_ssize_t> (<size_t> c % 64) & 63), k
    memcpy(c, a, head)
    for k in range((size - head) // 64):
        stream_line(a + head + k * 64, c + head + k * 64)
    head += (size - head) // 64 * 64
    memcpy(c + head, a + head, size - head)


cdef Py_ssize_t first_nonfinite(const void* A, Py_ssize_t n) noexcept nogil:
    cdef const real* a = <const real*> A
    cdef Py_ssize_t stretch, i
    for stretch in range(parts(n, 4096)):
        if not all_finite(a + stretch * 4096, least(4096, n - stretch * 4096)):
            for i in range(stretch * 4096, n):
                if not a[i] * 0 == 0:
                    return i
    return -1


cdef Py_ssize_t first_outside(const void* A, Py_ssize_t n, double low, double high) noexcept nogil:
    cdef const real* a = <const real*> A
    cdef Py_ssize_t i
    for i in range(n):
        if not low <= a[i] <= high:
            return i
    return -1
