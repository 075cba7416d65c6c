"""Jets: first and second derivatives on their way through an activation, several of them in one op.

    first    Y_k = f'(Z) T
    second   Y_k = f'(Z) S + f''(Z) q,  q = the sum over pairs of weight T_i T_j

A value f(Z) may be the first output.  The numbers come in stretches that stay in the first-level cache: f' and f'' are
computed once for all outputs and memory is read once.  As ops of their own (slope, multiply, add) the same derivatives
took 1.4 to 2.6 times as long.  The table of an op, int64: has_value, how many outputs after it, for each of them its
kind (1 first, 2 second), its T or S among X (-1: none), its first pair and the one after its last; then the pairs
(i, j, weight), i and j among X.  X[0] is Z, and without has_value X[1] is f(Z).  Outputs lie apart from inputs.
"""

cdef enum:
    JET = 128                   # numbers in a stretch
    MOST_INPUTS = 256           # of an op


cdef inline void fill_stretch(real* C, Py_ssize_t n, real value) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(whole(n)):
        C[i] = value

cdef inline void times_stretch(operand A, operand B, result C, Py_ssize_t n) noexcept nogil:
    """C = A B."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        C[i] = A[i] * B[i]

cdef inline void add_times_stretch(operand A, operand B, result C, Py_ssize_t n) noexcept nogil:
    """C += A B."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        C[i] += A[i] * B[i]

cdef inline void add_scaled_times(operand A, operand B, real scale, result C, Py_ssize_t n) noexcept nogil:
    """C += scale A B."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        C[i] += scale * A[i] * B[i]

cdef inline void take_product(operand A, operand B, result C, Py_ssize_t n, bint adds) noexcept nogil:
    """C (+)= A B."""
    if adds:
        add_times_stretch(A, B, C, n)
    else:
        times_stretch(A, B, C, n)

cdef inline void second_stretch(operand s, operand S, operand c, operand q, result C, Py_ssize_t n) noexcept nogil:
    """C = s S + c q."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        C[i] = s[i] * S[i] + c[i] * q[i]


cdef inline real* stretch_of(const Tensor* T, Py_ssize_t start, Py_ssize_t block, Py_ssize_t at) noexcept nogil:
    return block_of(T, start, block) + at


cdef inline void sum_of_pairs(const Op* op, const int64_t* output, Py_ssize_t start, Py_ssize_t block, Py_ssize_t at,
                              real* q, Py_ssize_t n) noexcept nogil:
    """q = the sum over the output's pairs of weight T_i T_j."""
    cdef const int64_t* pairs = op.table + 2 + 4 * op.table[1]
    cdef Py_ssize_t p
    memset(q, 0, n * sizeof(real))
    for p in range(output[2], output[3]):
        add_scaled_times(stretch_of(&op.X[pairs[3 * p]], start, block, at),
                         stretch_of(&op.X[pairs[3 * p + 1]], start, block, at), <real> pairs[3 * p + 2], q, n)


cdef inline bint any_second(const Op* op) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(op.table[1]):
        if op.table[2 + 4 * k] == 2:
            return True
    return False


cdef void jet_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """All outputs, as above."""
    cdef real[JET] s
    cdef real[JET] c
    cdef real[JET] q
    cdef Py_ssize_t block, at, n, k, total = numbers_in(&op.Y, start, stop), has_value = op.table[0]
    cdef bint second = any_second(op)
    cdef const Tensor* Ys = &op.Y               # a single one may be of another seed
    cdef const real* z
    cdef const real* y
    cdef real* out
    cdef const int64_t* output
    if op.outputs > 1:
        Ys = op.Ys
    for block in range(blocks(op.Y.width)):
        at = 0
        while at < total:
            n = least(JET, total - at)
            z = stretch_of(op.X, start, block, at)
            y = stretch_of(&op.Y if has_value else &op.X[1], start, block, at)
            if has_value:
                op.activation.value(z, <real*> y, n, op.alpha, op.beta)
            fill_stretch(s, n, 1)
            if second:
                times_derivative(op, z, y, s, c, n, 2)
            times_derivative(op, z, y, s, s, n, 1)
            for k in range(op.table[1]):
                output, out = op.table + 2 + 4 * k, stretch_of(&Ys[has_value + k], start, block, at)
                if output[0] == 1:
                    times_stretch(s, stretch_of(&op.X[output[1]], start, block, at), out, n)
                    continue
                sum_of_pairs(op, output, start, block, at, q, n)
                if output[1] >= 0:
                    second_stretch(s, stretch_of(&op.X[output[1]], start, block, at), c, q, out, n)
                else:
                    times_stretch(c, q, out, n)
            at += n

cdef void jet_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dT += f' dY, and for a second derivative weight f'' T dY of each pair; dS += f' dY;
    dZ = f' dY + f'' (sum of T dY, S dY) + f''' q dY."""
    cdef real[JET] s
    cdef real[JET] c
    cdef real[JET] h
    cdef real[JET] q
    cdef real[JET] cg
    cdef real[JET] slopes
    cdef real[JET] dz
    cdef bint[MOST_INPUTS] written
    cdef Py_ssize_t block, at, n, k, u, p, total = numbers_in(&op.Y, start, stop), has_value = op.table[0]
    cdef bint second = any_second(op)
    cdef const Tensor* dYs = &op.dY
    cdef const real* z
    cdef const real* y
    cdef const real* g
    cdef const int64_t* output
    cdef const int64_t* pair
    if op.outputs > 1:
        dYs = op.dYs
    if not has_value and op.dX[1].data != NULL:
        zero_rows(&op.dX[1], start, stop)
    for block in range(blocks(op.Y.width)):
        at = 0
        while at < total:
            n = least(JET, total - at)
            z = stretch_of(op.X, start, block, at)
            y = stretch_of(&op.Y if has_value else &op.X[1], start, block, at)
            fill_stretch(s, n, 1)
            times_derivative(op, z, y, s, c, n, 2)
            if second:
                times_derivative(op, z, y, s, h, n, 3)
            times_derivative(op, z, y, s, s, n, 1)
            memset(written, 0, sizeof(written))
            if has_value:
                times_stretch(s, stretch_of(&op.dY, start, block, at), dz, n)
            else:
                memset(dz, 0, n * sizeof(real))
            memset(slopes, 0, n * sizeof(real))
            for k in range(op.table[1]):
                output, g = op.table + 2 + 4 * k, stretch_of(&dYs[has_value + k], start, block, at)
                u = output[1]
                if u >= 0:
                    add_times_stretch(stretch_of(&op.X[u], start, block, at), g, slopes, n)
                    if op.dX[u].data != NULL:
                        take_product(s, g, stretch_of(&op.dX[u], start, block, at), n, written[u])
                        written[u] = True
                if output[0] == 1:
                    continue
                sum_of_pairs(op, output, start, block, at, q, n)
                times_stretch(h, q, cg, n)
                add_times_stretch(cg, g, dz, n)
                times_stretch(c, g, cg, n)
                for p in range(output[2], output[3]):
                    pair = op.table + 2 + 4 * op.table[1] + 3 * p
                    add_to_pair(op, pair[0], pair[1], <real> pair[2], cg, start, block, at, n, written)
                    add_to_pair(op, pair[1], pair[0], <real> pair[2], cg, start, block, at, n, written)
            if op.dX.data != NULL:
                add_times_stretch(c, slopes, dz, n)
                memcpy(stretch_of(op.dX, start, block, at), dz, n * sizeof(real))
            at += n

cdef inline void add_to_pair(const Op* op, Py_ssize_t to, Py_ssize_t other, real weight, const real* cg,
                             Py_ssize_t start, Py_ssize_t block, Py_ssize_t at, Py_ssize_t n,
                             bint* written) noexcept nogil:
    """dT_to (+)= weight T_other f'' dY."""
    cdef real* dt
    if op.dX[to].data == NULL:
        return
    dt = stretch_of(&op.dX[to], start, block, at)
    if not written[to]:
        memset(dt, 0, n * sizeof(real))
        written[to] = True
    add_scaled_times(stretch_of(&op.X[other], start, block, at), cg, weight, dt, n)

op_kind(b"jet", jet_forward, jet_backward)
