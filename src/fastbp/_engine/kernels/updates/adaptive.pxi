"""Update rules that scale each parameter's step by its past gradients; Adam itself is in table.pxi.

A rule with more than five vectors takes two loops: GCC checks at run time that no two vectors overlap, and does not
vectorize a loop that would need too many such checks.

A root is multiplied before a sum, by `one` if there is no other factor: otherwise the compiler could fuse the last
product of square_root with the sum in the vector loop but not in its remainder, and bits would depend on where a slice
ends.
"""

cdef const real* amsgrad(const double* scalars, real* P, const real* G, real** states, real* scratch,
                         Py_ssize_t n) noexcept nogil:
    """Adam with the maximum of all V so far instead of V (Reddi et al. 2018)."""
    cdef real beta1 = <real> scalars[0], beta2 = <real> scalars[1], eps = <real> scalars[2]
    cdef real rate = <real> scalars[3], root_scale = <real> scalars[4]
    cdef real left1 = <real> (1 - scalars[0]), left2 = <real> (1 - scalars[1]), m, v, most, p
    cdef real* M = states[0]
    cdef real* V = states[1]
    cdef real* L = states[2]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        m = beta1 * M[i] + left1 * G[i]
        v = beta2 * V[i] + left2 * G[i] * G[i]
        most = v if v > L[i] else L[i]
        p = P[i] - rate * m / (square_root(most) * root_scale + eps)
        M[i], V[i], L[i], P[i] = m, v, most, p
    return G

rule(b"amsgrad", 3, 3, prepare_adam, amsgrad)


cdef const real* adamax(const double* scalars, real* P, const real* G, real** states, real* scratch,
                        Py_ssize_t n) noexcept nogil:
    """M = b1 M + (1 - b1) G; U = max(b2 U, |G| + eps); P -= lr M / (1 - b1^t) / U (Kingma and Ba 2015)."""
    cdef real beta1 = <real> scalars[0], beta2 = <real> scalars[1], eps = <real> scalars[2]
    cdef real rate = <real> scalars[3], left1 = <real> (1 - scalars[0]), m, u, size, p
    cdef real* M = states[0]
    cdef real* U = states[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        m = beta1 * M[i] + left1 * G[i]
        size = (G[i] if G[i] > 0 else -G[i]) + eps
        u = beta2 * U[i]
        u = size if size > u else u
        p = P[i] - rate * m / u
        M[i], U[i], P[i] = m, u, p
    return G

rule(b"adamax", 2, 3, prepare_adam, adamax)


cdef inline double nadam_momentum(double beta1, double decay, double t) noexcept nogil:
    return beta1 * (1 - 0.5 * pow(0.96, t * decay))

cdef void prepare_nadam(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """Updates the product of all momenta from the last step; if t does not follow that step, computes it anew."""
    cdef double beta1 = parameters[0], decay = parameters[3], product = scalars[6], done = scalars[7], after
    if done == 0 or done != step.t - 1:
        product, done = 1, 0
    while done < step.t and product > 1e-20:
        done += 1
        product *= nadam_momentum(beta1, decay, done)
    after = nadam_momentum(beta1, decay, step.t + 1)
    prepare_adam(parameters, step, scalars)
    scalars[3] = step.lr * after / (1 - product * after)
    scalars[5] = step.lr * (1 - nadam_momentum(beta1, decay, step.t)) / (1 - product)
    scalars[6], scalars[7] = product, step.t

cdef const real* nadam(const double* scalars, real* P, const real* G, real** states, real* scratch,
                       Py_ssize_t n) noexcept nogil:
    """Adam that moves by the gradient and by the next step's M, with a momentum that grows with t (Dozat 2016)."""
    cdef real beta1 = <real> scalars[0], beta2 = <real> scalars[1], eps = <real> scalars[2]
    cdef real rate = <real> scalars[3], root_scale = <real> scalars[4], own = <real> scalars[5]
    cdef real left1 = <real> (1 - scalars[0]), left2 = <real> (1 - scalars[1]), m, v, p
    cdef real* M = states[0]
    cdef real* V = states[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        m = beta1 * M[i] + left1 * G[i]
        v = beta2 * V[i] + left2 * G[i] * G[i]
        p = P[i] - (rate * m + own * G[i]) / (square_root(v) * root_scale + eps)
        M[i], V[i], P[i] = m, v, p
    return G

rule(b"nadam", 2, 4, prepare_nadam, nadam)


cdef void prepare_adan(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0], scalars[1], scalars[2], scalars[3] = parameters[0], parameters[1], parameters[2], parameters[3]
    scalars[4] = step.lr / (1 - pow(parameters[0], step.t))
    scalars[5] = step.lr * parameters[1] / (1 - pow(parameters[1], step.t))
    scalars[6] = 1 / sqrt_double(1 - pow(parameters[2], step.t))
    scalars[7] = step.t > 1

cdef const real* adan(const double* scalars, real* P, const real* G, real** states, real* scratch,
                      Py_ssize_t n) noexcept nogil:
    """D = G - (G of the last step, at first G); M = b1 M + (1 - b1) G; V = b2 V + (1 - b2) D;
    N = b3 N + (1 - b3) (G + b2 D)^2; P -= lr (M' + b2 V') / (sqrt(N') + eps), with M', V', N' corrected for bias
    (Xie et al. 2022, in the form of the authors' code)."""
    cdef real beta1 = <real> scalars[0], beta2 = <real> scalars[1], beta3 = <real> scalars[2], eps = <real> scalars[3]
    cdef real rate = <real> scalars[4], rate2 = <real> scalars[5], root_scale = <real> scalars[6]
    cdef real follows = <real> scalars[7], left1 = <real> (1 - scalars[0]), left2 = <real> (1 - scalars[1])
    cdef real left3 = <real> (1 - scalars[2]), d, u, v, m
    cdef real* M = states[0]
    cdef real* V = states[1]
    cdef real* N = states[2]
    cdef real* before = states[3]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        d = follows * (G[i] - before[i])
        v = beta2 * V[i] + left2 * d
        u = G[i] + beta2 * d
        u = beta3 * N[i] + left3 * u * u
        before[i], V[i], N[i] = G[i], v, u
    for i in range(whole(n)):
        m = beta1 * M[i] + left1 * G[i]
        P[i] -= (rate * m + rate2 * V[i]) / (square_root(N[i]) * root_scale + eps)
        M[i] = m
    return G

rule(b"adan", 4, 4, prepare_adan, adan)


cdef void prepare_adagrad(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0] = step.lr / (1 + (step.t - 1) * parameters[0])
    scalars[1] = parameters[1] if step.t == 1 else 0
    scalars[2] = parameters[2]

cdef const real* adagrad(const double* scalars, real* P, const real* G, real** states, real* scratch,
                         Py_ssize_t n) noexcept nogil:
    """V += G^2, from a given initial value; P -= lr G / (sqrt(V) + eps) (Duchi et al. 2011)."""
    cdef real rate = <real> scalars[0], start = <real> scalars[1], eps = <real> scalars[2]
    cdef const vector* gradients = <const vector*> G
    cdef vector* V = <vector*> states[0]
    cdef vector* parameters = <vector*> P
    cdef vector g, v, step, p
    cdef Py_ssize_t i
    for i in range(vectors(n)):
        g = gradients[i]
        v = V[i] + start + g * g
        step = square_roots(v) + eps
        step = g / step
        p = parameters[i] - rate * step
        V[i], parameters[i] = v, p
    return G

rule(b"adagrad", 1, 3, prepare_adagrad, adagrad)


cdef const real* adadelta(const double* scalars, real* P, const real* G, real** states, real* scratch,
                          Py_ssize_t n) noexcept nogil:
    """V = rho V + (1 - rho) G^2; D = G sqrt(A + eps) / sqrt(V + eps); A = rho A + (1 - rho) D^2; P -= lr D
    (Zeiler 2012)."""
    cdef real lr = <real> scalars[0], rho = <real> scalars[1], eps = <real> scalars[2]
    cdef real left = <real> (1 - scalars[1]), v, a, d, p
    cdef real* V = states[0]
    cdef real* A = states[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        v = rho * V[i] + left * G[i] * G[i]
        d = G[i] * square_root(A[i] + eps) / square_root(v + eps)
        a = rho * A[i] + left * d * d
        p = P[i] - lr * d
        V[i], A[i], P[i] = v, a, p
    return G

rule(b"adadelta", 2, 2, rate_first, adadelta)


cdef const real* rms(const double* scalars, real* P, const real* G, real** states, real* scratch,
                     Py_ssize_t n) noexcept nogil:
    """V = a V + (1 - a) G^2; the next rule gets G / (sqrt(V) + eps) (Tieleman and Hinton 2012)."""
    cdef real alpha = <real> scalars[1], eps = <real> scalars[2], left = <real> (1 - scalars[1])
    cdef const vector* gradients = <const vector*> G
    cdef vector* V = <vector*> states[0]
    cdef vector* handed = <vector*> scratch
    cdef vector g, v, root
    cdef Py_ssize_t i
    for i in range(vectors(n)):
        g = gradients[i]
        v = alpha * V[i] + left * g * g
        root = square_roots(v) + eps
        V[i], handed[i] = v, g / root
    return scratch

rule(b"rms", 1, 2, rate_first, rms)


cdef const real* rms_centered(const double* scalars, real* P, const real* G, real** states, real* scratch,
                              Py_ssize_t n) noexcept nogil:
    """`rms` with the variance V - M^2 instead of the mean square V; M = a M + (1 - a) G (Graves 2013)."""
    cdef real alpha = <real> scalars[1], eps = <real> scalars[2], one = <real> scalars[3]
    cdef real left = <real> (1 - scalars[1]), v, m, spread
    cdef real* V = states[0]
    cdef real* M = states[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        v = alpha * V[i] + left * G[i] * G[i]
        m = alpha * M[i] + left * G[i]
        spread = v - m * m
        # Rounding may make it negative if all gradients were equal.
        spread = spread if spread > 0 else 0
        scratch[i] = G[i] / (square_root(spread) * one + eps)
        V[i], M[i] = v, m
    return scratch

rule(b"rms_centered", 2, 2, rate_first, rms_centered)
