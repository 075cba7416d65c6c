"""Rules around the rule that moves the parameters: gradients accumulated and clipped before it, averages after it."""

cdef void prepare_accumulate(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0] = 1 / parameters[0]
    scalars[1] = step.batch != (step.t - 1) * parameters[0] + 1

cdef const real* accumulate(const double* scalars, real* P, const real* G, real** states, real* scratch,
                            Py_ssize_t n) noexcept nogil:
    """The next rule gets the mean gradient of some batches."""
    cdef real share = <real> scalars[0], kept = <real> scalars[1]
    cdef real* A = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        A[i] = (A[i] if kept > 0 else 0) + share * G[i]
    return A

cdef Rule* mean_of_batches_entry = rule(b"mean_of_batches", 1, 1, prepare_accumulate, accumulate)
mean_of_batches_entry.hands_on = 0
mean_of_batches_entry.collects = True


cdef void prepare_clip_norm(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """Scales the gradient down to the maximum norm if its norm is larger (Pascanu et al. 2013)."""
    scalars[1] = parameters[0] / step.norm if step.norm > parameters[0] else 1

cdef Rule* clip_by_norm_entry = rule(b"clip_by_norm", 0, 1, prepare_clip_norm, scale)
clip_by_norm_entry.wants_norm = True


cdef const real* clip_value(const double* scalars, real* P, const real* G, real** states, real* scratch,
                            Py_ssize_t n) noexcept nogil:
    """The next rule gets G with each number clipped to -limit ... limit."""
    cdef real limit = <real> scalars[1], g
    cdef Py_ssize_t i
    for i in range(whole(n)):
        g = limit if G[i] > limit else G[i]
        scratch[i] = -limit if g < -limit else g
    return scratch

rule(b"clip_by_value", 0, 1, rate_first, clip_value)


cdef void prepare_ema(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    scalars[0] = 1 if step.t == 1 else 1 - parameters[0]

cdef const real* average(const double* scalars, real* P, const real* G, real** states, real* scratch,
                         Py_ssize_t n) noexcept nogil:
    """A += share (P - A): an average of the parameters, used on request only."""
    cdef real share = <real> scalars[0]
    cdef real* A = states[0]
    cdef Py_ssize_t i
    for i in range(whole(n)):
        A[i] += share * (P[i] - A[i])
    return G

cdef Rule* moving_average_entry = rule(b"moving_average", 1, 1, prepare_ema, average)
moving_average_entry.averages = True


cdef void prepare_swa(const double* parameters, const Step* step, double* scalars) noexcept nogil:
    """The plain mean over the first averaged step and every n-th step after it (Izmailov et al. 2018)."""
    cdef double beyond = step.t - parameters[0]
    cdef double counted = floor(beyond / parameters[1])
    scalars[0] = 1 / (counted + 1) if beyond >= 0 and beyond == counted * parameters[1] else 0

cdef Rule* plain_average_entry = rule(b"plain_average", 1, 2, prepare_swa, average)
plain_average_entry.averages = True
