"""Update rules that use only signs of gradients."""

cdef const real* lion(const double* scalars, real* P, const real* G, real** states, real* scratch,
                      Py_ssize_t n) noexcept nogil:
    """P -= lr sign(b1 M + (1 - b1) G); M = b2 M + (1 - b2) G (Chen et al. 2023)."""
    cdef real lr = <real> scalars[0], beta1 = <real> scalars[1], beta2 = <real> scalars[2]
    cdef real left1 = <real> (1 - scalars[1]), left2 = <real> (1 - scalars[2]), c, p
    cdef real* M = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        c = beta1 * M[i] + left1 * G[i]
        p = P[i] - (lr if c > 0 else -lr if c < 0 else 0)
        M[i], P[i] = beta2 * M[i] + left2 * G[i], p
    return G

rule(b"lion", 1, 2, rate_first, lion)


cdef void prepare_rprop(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0], scalars[1], scalars[2], scalars[3] = parameters[0], parameters[1], parameters[2], parameters[3]
    scalars[4] = step.lr if step.t == 1 else 0

cdef const real* rprop(const double* scalars, real* P, const real* G, real** states, real* scratch,
                       Py_ssize_t n) noexcept nogil:
    """S starts at lr, grows while G keeps its sign and shrinks when the sign changes; P -= sign(G) S.  After a change P
    does not move and G counts as 0 (iRprop-: Igel and Huesken 2003, as in PyTorch)."""
    cdef real down = <real> scalars[0], up = <real> scalars[1], low = <real> scalars[2], high = <real> scalars[3]
    cdef real start = <real> scalars[4], s, g, kept, p
    cdef real* before = states[0]
    cdef real* S = states[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        kept = G[i] * before[i]
        s = (S[i] + start) * (up if kept > 0 else down if kept < 0 else <real> 1)
        s = low if s < low else s
        s = high if s > high else s
        g = 0 if kept < 0 else G[i]
        p = P[i] - (s if g > 0 else -s if g < 0 else 0)
        before[i], S[i], P[i] = g, s, p
    return G

rule(b"rprop", 2, 4, prepare_rprop, rprop)


cdef void prepare_rprop_plus(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    prepare_rprop(parameters, step, scalars)
    scalars[5] = step.loss > step.loss_before

cdef const real* rprop_plus(const double* scalars, real* P, const real* G, real** states, real* scratch,
                            Py_ssize_t n) noexcept nogil:
    """`rprop`, but where the sign changed and the loss has grown, the last move D is undone (iRprop+)."""
    cdef real down = <real> scalars[0], up = <real> scalars[1], low = <real> scalars[2], high = <real> scalars[3]
    cdef real start = <real> scalars[4], back = <real> scalars[5], s, g, kept, d
    cdef real* before = states[0]
    cdef real* S = states[1]
    cdef real* D = states[2]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        kept = G[i] * before[i]
        s = (S[i] + start) * (up if kept > 0 else down if kept < 0 else <real> 1)
        s = low if s < low else s
        s = high if s > high else s
        g = 0 if kept < 0 else G[i]
        d = -back * D[i] if kept < 0 else -s if g > 0 else s if g < 0 else 0
        before[i], S[i], D[i] = g, s, d
    for i in range(whole(n)):
        P[i] += D[i]
    return G

cdef Rule* rprop_plus_entry = rule(b"rprop_plus", 3, 4, prepare_rprop_plus, rprop_plus)
rprop_plus_entry.compares_losses = True
