"""Regularization rules: most come before the rule that moves the parameters, and change these or the gradient."""

cdef void prepare_decay(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0] = 1 - step.lr * parameters[0]

cdef const real* decoupled_decay(const double* scalars, real* P, const real* G, real** states, real* scratch,
                                 Py_ssize_t n) noexcept nogil:
    """P -= lr wd P, decoupled from the gradient (Loshchilov and Hutter 2019)."""
    cdef real kept = <real> scalars[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        P[i] *= kept
    return G

rule(b"decoupled_decay", 0, 1, prepare_decay, decoupled_decay)


cdef void prepare_proximal_decay(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """The proximal operator of the L2 penalty: P / (1 + lr wd), after the rule that moves P."""
    scalars[0] = 1 / (1 + step.lr * parameters[0])

rule(b"proximal_decay", 0, 1, prepare_proximal_decay, decoupled_decay)


cdef const real* l2(const double* scalars, real* P, const real* G, real** states, real* scratch,
                    Py_ssize_t n) noexcept nogil:
    """The next rule gets G + wd P."""
    cdef real wd = <real> scalars[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        scratch[i] = G[i] + wd * P[i]
    return scratch

rule(b"l2", 0, 1, rate_first, l2)


cdef void prepare_l2_of_sum(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """A penalty added to the sum of the rows' losses, not to their mean: wd / (sum of weights), as in scikit-learn."""
    scalars[1] = parameters[0] * step.scale

rule(b"l2_of_sum", 0, 1, prepare_l2_of_sum, l2)


cdef const real* l1(const double* scalars, real* P, const real* G, real** states, real* scratch,
                    Py_ssize_t n) noexcept nogil:
    """The next rule gets G + l1 sign(P)."""
    cdef real size = <real> scalars[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        scratch[i] = G[i] + (size if P[i] > 0 else -size if P[i] < 0 else 0)
    return scratch

rule(b"l1", 0, 1, rate_first, l1)


cdef void prepare_soft_threshold(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0] = step.lr * parameters[0]

cdef const real* soft_threshold(const double* scalars, real* P, const real* G, real** states, real* scratch,
                                Py_ssize_t n) noexcept nogil:
    """P moves towards 0 by lr l1 and stops there: the proximal operator of the L1 penalty (Daubechies et al. 2004),
    after the rule that moves P."""
    cdef real size = <real> scalars[0], p
    cdef Py_ssize_t i
    for i in range(whole(n)):
        p = P[i]
        P[i] = p - size if p > size else p + size if p < -size else p - p    # p - p is 0, but NaN if p is
    return G

rule(b"soft_threshold", 0, 1, prepare_soft_threshold, soft_threshold)
