"""Jets: several first and second derivatives through an activation in one op.

    first    Y_k = f'(Z) T
    second   Y_k = f'(Z) S + f''(Z) q,  q = the sum over pairs of weight T_i T_j

The value f(Z) may be the first output.  The op works in stretches that stay in the first-level cache: f' and f'' are
computed once for all outputs, and memory is read once.  Rejected: separate ops (slope, multiply, add), which took 1.4
to 2.6 times as long.  An op's table, int64: has_value; the number of other outputs; for each of these its kind (1
first, 2 second), the index of its T or S in X (-1: none), its first pair and the one after its last; then the pairs
(i, j, weight), with i and j indices in X.  X[0] is Z; without has_value X[1] is f(Z).  No output overlaps an input.
"""

cdef enum:
    JET = 256                   # numbers in a stretch: at most so many ...
    MOST_INPUTS = 256           # of one op

cdef Py_ssize_t JET_NUMBERS = 1024 // sizeof(real)      # ... and no more than 1 kB of each tensor


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


cdef void any_jet_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """All outputs of any jet."""
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
            n = least(JET_NUMBERS, total - at)
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

cdef void any_jet_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
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
            n = least(JET_NUMBERS, total - at)
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


# Most jets are plain: at most one second derivative, whose pairs are squares, and one first derivative of each tangent.
# A plain jet needs one pass over each tangent and one over the rest.

cdef struct Plain:
    # A plain jet: for each tangent its index in X, the index of its output (-1: none), and its weight in the sum of
    # squares.
    Py_ssize_t n
    Py_ssize_t[MOST_INPUTS] tangents
    Py_ssize_t[MOST_INPUTS] outputs
    real[MOST_INPUTS] weights
    Py_ssize_t S                # the index of the second derivative in X (-1: none) ...
    Py_ssize_t second           # ... and the index of its output (-1: none)


cdef inline bint plain_jet(const Op* op, Plain* jet) noexcept nogil:
    """Whether a jet is plain; if so, fills in `jet`."""
    cdef Py_ssize_t[MOST_INPUTS] place
    cdef const int64_t* pairs = op.table + 2 + 4 * op.table[1]
    cdef const int64_t* output
    cdef Py_ssize_t k, p, u
    jet.n, jet.S, jet.second = 0, -1, -1
    for u in range(op.inputs):
        place[u] = -1
    for k in range(op.table[1]):
        output = op.table + 2 + 4 * k
        if output[0] == 1:
            if place[output[1]] >= 0:
                return False
            place[output[1]] = jet.n
            jet.tangents[jet.n], jet.outputs[jet.n], jet.weights[jet.n] = output[1], op.table[0] + k, 0
            jet.n += 1
        elif jet.second >= 0:
            return False
        else:
            jet.S, jet.second = output[1], op.table[0] + k
    if jet.second < 0:
        return True
    output = op.table + 2 + 4 * (jet.second - op.table[0])
    for p in range(output[2], output[3]):
        u = pairs[3 * p]
        if u != pairs[3 * p + 1]:
            return False
        if place[u] < 0:
            place[u] = jet.n
            jet.tangents[jet.n], jet.outputs[jet.n], jet.weights[jet.n] = u, -1, 0
            jet.n += 1
        jet.weights[place[u]] += <real> pairs[3 * p + 2]
    return jet.S < 0 or place[jet.S] < 0


cdef inline void slopes_of(const Op* op, const real* z, const real* y, real* s, real* c, real* h, Py_ssize_t n,
                           int most) noexcept nogil:
    """s = f'(z), and up to order `most` also c = f''(z) and h = f'''(z)."""
    if op.activation.slopes != NULL:
        op.activation.slopes(z, y, s, c, h, n, op.alpha, op.beta)
        return
    fill_stretch(s, n, 1)
    if most > 2:
        times_derivative(op, z, y, s, h, n, 3)
    if most > 1:
        times_derivative(op, z, y, s, c, n, 2)
    times_derivative(op, z, y, s, s, n, 1)


cdef inline void push_tangent(operand s, operand t, real weight, result out, result q, Py_ssize_t n) noexcept nogil:
    """out = s t, q += weight t t."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        out[i] = s[i] * t[i]
        q[i] += weight * t[i] * t[i]

cdef inline void pull_tangent(operand s, operand t, operand g, operand cg, real weight, result dt, result slopes,
                              result q, Py_ssize_t n) noexcept nogil:
    """dt = s g + 2 weight t cg, slopes += t g, q += weight t t."""
    cdef Py_ssize_t i
    cdef real twice = 2 * weight
    for i in range(whole(n)):
        dt[i] = s[i] * g[i] + twice * t[i] * cg[i]
        slopes[i] += t[i] * g[i]
        q[i] += weight * t[i] * t[i]

cdef inline void pull_first(operand s, operand t, operand g, result dt, result slopes, Py_ssize_t n) noexcept nogil:
    """dt = s g, slopes += t g."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dt[i] = s[i] * g[i]
        slopes[i] += t[i] * g[i]

cdef inline void pull_square(operand t, operand cg, real weight, result dt, result q, Py_ssize_t n) noexcept nogil:
    """dt = 2 weight t cg, q += weight t t."""
    cdef Py_ssize_t i
    cdef real twice = 2 * weight
    for i in range(whole(n)):
        dt[i] = twice * t[i] * cg[i]
        q[i] += weight * t[i] * t[i]

cdef inline void pull_value(operand s, operand g, operand c, operand slopes, result dz, Py_ssize_t n) noexcept nogil:
    """dz = s g + c slopes."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        dz[i] = s[i] * g[i] + c[i] * slopes[i]

cdef inline void add_three(operand a, operand b, operand c, result out, Py_ssize_t n) noexcept nogil:
    """out += a b c."""
    cdef Py_ssize_t i
    for i in range(whole(n)):
        out[i] += a[i] * b[i] * c[i]


cdef void jet_forward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """All outputs, by the formulas at the head of this file."""
    cdef real[JET] s
    cdef real[JET] c
    cdef real[JET] h
    cdef real[JET] q
    cdef Plain jet
    cdef Py_ssize_t block, at, n, k, total = numbers_in(&op.Y, start, stop), has_value = op.table[0]
    cdef const Tensor* Ys = &op.Y               # a single one may be of another seed
    cdef const real* z
    cdef const real* y
    cdef const real* t
    cdef real* out
    if not plain_jet(op, &jet):
        any_jet_forward(op, context, start, stop)
        return
    if op.outputs > 1:
        Ys = op.Ys
    for block in range(blocks(op.Y.width)):
        at = 0
        while at < total:
            n = least(JET_NUMBERS, total - at)
            z = stretch_of(op.X, start, block, at)
            y = stretch_of(&op.Y if has_value else &op.X[1], start, block, at)
            if has_value:
                op.activation.value(z, <real*> y, n, op.alpha, op.beta)
            slopes_of(op, z, y, s, c, h, n, 2 if jet.second >= 0 else 1)
            memset(q, 0, n * sizeof(real))
            for k in range(jet.n):
                t = stretch_of(&op.X[jet.tangents[k]], start, block, at)
                if jet.outputs[k] < 0:
                    add_scaled_times(t, t, jet.weights[k], q, n)
                elif jet.weights[k] == 0:
                    times_stretch(s, t, stretch_of(&Ys[jet.outputs[k]], start, block, at), n)
                else:
                    push_tangent(s, t, jet.weights[k], stretch_of(&Ys[jet.outputs[k]], start, block, at), q, n)
            if jet.second >= 0:
                out = stretch_of(&Ys[jet.second], start, block, at)
                if jet.S >= 0:
                    second_stretch(s, stretch_of(&op.X[jet.S], start, block, at), c, q, out, n)
                else:
                    times_stretch(c, q, out, n)
            at += n

cdef void jet_backward(const Op* op, const Context* context, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """dT = s dY + 2 weight c T dY'', dS = s dY'', dZ = s dY + c (sum of T dY, S dY'') + h q dY'', where dY'' is the
    gradient of the second derivative and s, c, h are the first three derivatives of the activation."""
    cdef real[JET] s
    cdef real[JET] c
    cdef real[JET] h
    cdef real[JET] q
    cdef real[JET] cg
    cdef real[JET] slopes
    cdef real[JET] unwanted
    cdef Plain jet
    cdef Py_ssize_t block, at, n, k, u, total = numbers_in(&op.Y, start, stop), has_value = op.table[0]
    cdef const Tensor* dYs = &op.dY
    cdef const real* z
    cdef const real* y
    cdef const real* g
    cdef const real* t
    cdef real* dt
    if not plain_jet(op, &jet):
        any_jet_backward(op, context, start, stop)
        return
    if op.outputs > 1:
        dYs = op.dYs
    if not has_value and op.dX[1].data != NULL:
        zero_rows(&op.dX[1], start, stop)
    for block in range(blocks(op.Y.width)):
        at = 0
        while at < total:
            n = least(JET_NUMBERS, total - at)
            z = stretch_of(op.X, start, block, at)
            y = stretch_of(&op.Y if has_value else &op.X[1], start, block, at)
            slopes_of(op, z, y, s, c, h, n, 3 if jet.second >= 0 else 2)
            memset(slopes, 0, n * sizeof(real))
            if jet.second >= 0:
                g = stretch_of(&dYs[jet.second], start, block, at)
                memset(q, 0, n * sizeof(real))
                times_stretch(c, g, cg, n)
                if jet.S >= 0:
                    dt = stretch_of(&op.dX[jet.S], start, block, at) if op.dX[jet.S].data != NULL else unwanted
                    pull_first(s, stretch_of(&op.X[jet.S], start, block, at), g, dt, slopes, n)
            for k in range(jet.n):
                u = jet.tangents[k]
                t = stretch_of(&op.X[u], start, block, at)
                dt = stretch_of(&op.dX[u], start, block, at) if op.dX[u].data != NULL else unwanted
                if jet.outputs[k] < 0:
                    pull_square(t, cg, jet.weights[k], dt, q, n)
                elif jet.weights[k] == 0:
                    pull_first(s, t, stretch_of(&dYs[jet.outputs[k]], start, block, at), dt, slopes, n)
                else:
                    pull_tangent(s, t, stretch_of(&dYs[jet.outputs[k]], start, block, at), cg, jet.weights[k], dt,
                                 slopes, q, n)
            if op.dX.data != NULL:
                dt = stretch_of(op.dX, start, block, at)
                if has_value:
                    pull_value(s, stretch_of(&op.dY, start, block, at), c, slopes, dt, n)
                else:
                    times_stretch(c, slopes, dt, n)
                if jet.second >= 0:
                    add_three(h, q, stretch_of(&dYs[jet.second], start, block, at), dt, n)
            at += n

op_kind(b"jet", jet_forward, jet_backward)
