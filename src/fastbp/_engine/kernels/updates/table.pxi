"""Update rules: each is what one step does to a stretch of the flat parameter vector, and an entry of the table.

A rule sees the parameters P, the gradient G and its state vectors, and returns the gradient that the next
rule of the chain sees: weight decay and clipping are separate rules, never flags of another.
prepare computes, once a step and in double, the scalars that depend on the step number and lr.

A rule reads all its vectors at i before it writes any: they often begin at the same offset of a page, and a
processor delays a load whose address ends in the same 12 bits as a pending store's (4K aliasing).
"""

cdef enum:
    MOST_RULES = 64
    # The most numbers of a vector that a chain handles at a time: all its vectors stay in the first-level cache.
    STRETCH = 1024

# A quarter of a page of each vector: the processor prefetches only within a page, so with a page at a time the vectors
# would come from memory one after the other instead of all at once.
cdef Py_ssize_t AT_A_TIME = 1024 // sizeof(real)
# Vectors up to SHORT are in the caches already, so they go in fewer, longer stretches.
cdef Py_ssize_t SHORT = 65536 // sizeof(real), AT_A_TIME_OF_SHORT = 4096 // sizeof(real)

cdef Rule[MOST_RULES] rules
cdef int n_rules = 0

ctypedef const real* (*Update)(const double* scalars, real* P, const real* G, real** states, real* scratch,
                               Py_ssize_t n) noexcept nogil


cdef Rule* rule(const char* name, int states, int parameters, PrepareKernel prepare, Update update_stretch):
    """Adds an entry and returns it; fields that few entries need are set on the result."""
    global n_rules
    assert n_rules < MOST_RULES - 1
    cdef Rule* made = &rules[n_rules]
    memset(made, 0, sizeof(Rule))
    made.name, made.states, made.parameters, made.hands_on = name, states, parameters, -1
    made.prepare, made.update = prepare, <UpdateKernel> update_stretch
    n_rules += 1
    return made


cdef void rate_first(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0], scalars[1], scalars[2] = step.lr, parameters[0], parameters[1]
    scalars[3] = 1


cdef inline Py_ssize_t vectors(Py_ssize_t n) noexcept nogil:
    """How many vectors a stretch has; `update` makes it whole vectors."""
    return n * <Py_ssize_t> sizeof(real) // <Py_ssize_t> sizeof(vector)


cdef const real* sgd(const double* scalars, real* P, const real* G, real** states, real* scratch,
                     Py_ssize_t n) noexcept nogil:
    """P -= lr G."""
    cdef real lr = <real> scalars[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        P[i] -= lr * G[i]
    return G

rule(b"sgd", 0, 0, rate_first, sgd)


cdef void prepare_momentum(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0], scalars[1] = step.lr, parameters[0]
    scalars[2] = 1 if step.t == 1 else 1 - parameters[1]

cdef const real* momentum(const double* scalars, real* P, const real* G, real** states, real* scratch,
                          Py_ssize_t n) noexcept nogil:
    """V = mu V + (1 - dampening) G, at first G; P -= lr V (Polyak 1964, in PyTorch's form)."""
    cdef real lr = <real> scalars[0], mu = <real> scalars[1], gain = <real> scalars[2], v
    cdef real* V = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        v = mu * V[i] + gain * G[i]
        P[i] -= lr * v
        V[i] = v
    return G

rule(b"momentum", 1, 2, prepare_momentum, momentum)


cdef const real* nesterov(const double* scalars, real* P, const real* G, real** states, real* scratch,
                          Py_ssize_t n) noexcept nogil:
    """V = mu V + G; P -= lr (G + mu V) (Sutskever et al. 2013, in PyTorch's form)."""
    cdef real lr = <real> scalars[0], mu = <real> scalars[1], v
    cdef real* V = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        v = mu * V[i] + G[i]
        P[i] -= lr * (G[i] + mu * v)
        V[i] = v
    return G

rule(b"nesterov", 1, 1, rate_first, nesterov)


cdef const real* velocity(const double* scalars, real* P, const real* G, real** states, real* scratch,
                          Py_ssize_t n) noexcept nogil:
    """V = mu V - lr G; P += V: momentum in Keras's form, where V holds steps and a new lr counts for new ones only."""
    cdef real lr = <real> scalars[0], mu = <real> scalars[1], v
    cdef real* V = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        v = mu * V[i] - lr * G[i]
        P[i] += v
        V[i] = v
    return G

rule(b"velocity", 1, 1, rate_first, velocity)


cdef const real* nesterov_velocity(const double* scalars, real* P, const real* G, real** states, real* scratch,
                                   Py_ssize_t n) noexcept nogil:
    """V = mu V - lr G; P += mu V - lr G: Nesterov's momentum in Keras's form."""
    cdef real lr = <real> scalars[0], mu = <real> scalars[1], v
    cdef real* V = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        v = mu * V[i] - lr * G[i]
        P[i] += mu * v - lr * G[i]
        V[i] = v
    return G

rule(b"nesterov_velocity", 1, 1, rate_first, nesterov_velocity)


cdef const real* scale(const double* scalars, real* P, const real* G, real** states, real* scratch,
                       Py_ssize_t n) noexcept nogil:
    """The next rule gets factor G."""
    cdef real factor = <real> scalars[1]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        scratch[i] = factor * G[i]
    return scratch


cdef void prepare_adam(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    cdef double beta1 = parameters[0], beta2 = parameters[1]
    scalars[0], scalars[1], scalars[2] = beta1, beta2, parameters[2]
    scalars[3] = step.lr / (1 - pow(beta1, step.t))
    scalars[4] = 1 / sqrt_double(1 - pow(beta2, step.t))

cdef const real* adam(const double* scalars, real* P, const real* G, real** states, real* scratch,
                      Py_ssize_t n) noexcept nogil:
    """M = b1 M + (1 - b1) G; V = b2 V + (1 - b2) G^2; P -= lr M' / (sqrt(V') + eps), with the bias corrections
    M' = M / (1 - b1^t), V' = V / (1 - b2^t) (Kingma and Ba 2015)."""
    cdef real beta1 = <real> scalars[0], beta2 = <real> scalars[1], eps = <real> scalars[2]
    cdef real rate = <real> scalars[3], root_scale = <real> scalars[4]
    cdef real left1 = <real> (1 - scalars[0]), left2 = <real> (1 - scalars[1])
    cdef const vector* gradients = <const vector*> G
    cdef vector* M = <vector*> states[0]
    cdef vector* V = <vector*> states[1]
    cdef vector* parameters = <vector*> P
    cdef vector g, m, v, step, p
    cdef Py_ssize_t i
    for i in range(vectors(n)):
        g = gradients[i]
        m = beta1 * M[i] + left1 * g
        v = beta2 * V[i] + left2 * g * g
        step = square_roots(v) * root_scale + eps
        step = m / step
        p = parameters[i] - rate * step
        M[i], V[i], parameters[i] = m, v, p
    return G

rule(b"adam", 2, 3, prepare_adam, adam)


cdef void prepare_adam_eps_hat(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """eps is added to sqrt(V) without bias correction: epsilon hat of Kingma and Ba's section 2, as in scikit-learn."""
    prepare_adam(parameters, step, scalars)
    scalars[3] /= scalars[4]
    scalars[4] = 1

rule(b"adam_eps_hat", 2, 3, prepare_adam_eps_hat, adam)


cdef void prepare_radam(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """Adam with its rate rectified by V's variance at t; momentum while it is intractable (Liu et al. 2020)."""
    cdef double beta2 = parameters[1], last = 2 / (1 - beta2) - 1, power = pow(beta2, step.t)
    cdef double length = last - 2 * step.t * power / (1 - power)
    prepare_adam_eps_hat(parameters, step, scalars)
    if length > 5:
        scalars[3] *= sqrt_double((length - 4) * (length - 2) * last / ((last - 4) * (last - 2) * length))
    else:
        scalars[2], scalars[3], scalars[4] = 1, step.lr / (1 - pow(parameters[0], step.t)), 0

rule(b"radam", 2, 3, prepare_radam, adam)


cdef inline bint update_vectors(ChainLink* chain, int links, real* p, const real* g, Py_ssize_t i, real* tails,
                                Py_ssize_t n, Py_ssize_t counted, real* scratch) noexcept nogil:
    """One step on n numbers, in whole vectors; their states begin at i of the state vectors, or lie in tails.

    False if one of the first `counted` parameters is not finite after the step.
    """
    cdef void* states[MAX_STATES]
    cdef real* handed
    cdef int c, s, k = 0
    for c in range(links):
        for s in range(chain[c].rule.states):
            states[s] = <real*> chain[c].states[s] + i if tails == NULL else tails + k * LANES
            k += 1
        # Two buffers in turn: a loop that reads and writes the same buffer would not vectorize.
        handed = scratch + (STRETCH if g == scratch else 0)
        g = <const real*> chain[c].rule.update(chain[c].scalars, p, g, states, handed, n)
    return all_finite(p, counted)


cdef inline void copy_tails(ChainLink* chain, int links, Py_ssize_t i, Py_ssize_t n, real* tails,
                            bint back) noexcept nogil:
    """Copies the states of n numbers, less than a vector, to tails or back."""
    cdef int c, s
    cdef real* state
    for c in range(links):
        for s in range(chain[c].rule.states):
            state = <real*> chain[c].states[s] + i
            if back:
                write_first(tails, n, state)
            else:
                read_first(state, n, tails)
            tails += LANES


cdef bint update_tail(ChainLink* chain, int links, real* P, const real* G, Py_ssize_t i, Py_ssize_t n,
                      real* tail, real* scratch) noexcept nogil:
    """One step on the n numbers from i on, less than a vector, in a padded copy: the same instructions then update each
    number wherever it is in the flat vector."""
    read_first(P + i, n, tail)
    read_first(G + i, n, tail + LANES)
    copy_tails(chain, links, i, n, tail + 2 * LANES, False)
    if not update_vectors(chain, links, tail, tail + LANES, i, tail + 2 * LANES, LANES, n, scratch):
        return False
    write_first(tail, n, P + i)
    copy_tails(chain, links, i, n, tail + 2 * LANES, True)
    return True


cdef bint update(ChainLink* chain, int links, void* P, const void* G, Py_ssize_t start, Py_ssize_t stop,
                 void* scratch) noexcept nogil:
    """One step of the chain on P[start : stop].  False if a stretch's gradient or update was not finite: its parameters
    keep their values."""
    cdef real* before = <real*> scratch
    cdef real* handed = before + STRETCH
    cdef real* p = <real*> P
    cdef const real* g = <const real*> G
    cdef Py_ssize_t i = start, n, whole, most = AT_A_TIME if stop - start > SHORT else AT_A_TIME_OF_SHORT
    cdef bint fine = True
    while i < stop:
        n = least(most, stop - i)
        whole = n // LANES * LANES
        if not all_finite(g + i, n):
            fine = False
        else:
            if whole > 0:
                memcpy(before, p + i, whole * sizeof(real))
                if not update_vectors(chain, links, p + i, g + i, i, NULL, whole, whole, handed):
                    memcpy(p + i, before, whole * sizeof(real))
                    fine = False
            if whole < n:
                fine &= update_tail(chain, links, p, g, i + whole, n - whole, before + 3 * STRETCH, handed)
        i += n
    return fine
